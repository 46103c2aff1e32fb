"""Old rows go behind snapshots, sealed first and a little at a time; what is left verifies at every moment."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.journal.pruning import Pruner, Retention
from basis_daemon.journal.reader import JournalReader
from basis_daemon.journal.schema import connect
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.ports import KillPoint, Record, RecordKind, StoredRecord
from tests.journal.builders import IDENTITY, NOON, RUN, StandingClock, a_record, open_journal
from tests.journal.test_integrity import damage

pytestmark = pytest.mark.slow

K = RecordKind
DAY = timedelta(days=1)
WEEK = Retention(keep=7 * DAY, keep_decisions=2 * DAY, snapshots=2)


class Killed(Exception):  # noqa: N818 - not an error: the process is gone
    """The process ended here."""


class Killer:
    """Ends the process at the n-th step of a pruning."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, point: KillPoint) -> None:
        assert point is KillPoint.DURING_PRUNING
        self.left -= 1
        if self.left < 0:
            raise Killed


def of_day(day: int) -> list[Record]:
    """Ten decisions and ten trades, then the day's snapshot."""
    rows = [a_record(f'{{"day":{day},"n":{n}}}', K.TRADE if n % 2 else K.DECISION) for n in range(20)]
    return [*rows, a_record(f'{{"until":{day}}}', K.SNAPSHOT)]


async def written(path: Path, days: int) -> SqliteJournal:
    """A journal of so many days, open at the end of the last one."""
    clock = StandingClock()
    journal = SqliteJournal.open(path, IDENTITY, RUN, clock)
    for day in range(days):
        clock.now = NOON + day * DAY
        await journal.append_durable(of_day(day))
    return journal


async def sealed(journal: SqliteJournal, retention: Retention) -> bool:
    """Record the seal, if anything may go."""
    journal._retention = retention
    if (payload := journal.pruning_due()) is None:
        return False
    await journal.append_durable([a_record(payload, K.PRUNING)])
    return True


def pruned(path: Path, probe: Killer | None = None) -> int:
    """What the writer's thread does between rows, done here; returns the transactions it took."""
    pruner, steps = Pruner(probe or Killer(10**9)), 0
    with closing(connect(path, busy_timeout_s=5)) as connection:
        while pruner.is_busy:
            steps += pruner.step(connection)
    return steps


def left(path: Path) -> list[StoredRecord]:
    with JournalReader.open(path) as reader:
        reader.verify()
        return list(reader.rows())


def payloads(rows: list[StoredRecord], kind: RecordKind) -> list[str]:
    return [row.record.payload for row in rows if row.record.kind is kind]


@pytest.mark.feature("H03", part="chain")
async def test_rows_older_than_the_limit_go_and_what_is_left_begins_with_a_snapshot_and_verifies(path: Path) -> None:
    journal = await written(path, 12)
    assert await sealed(journal, WEEK)
    journal.prune()
    await journal.flush()
    await journal.close()
    pruned(path)
    rows = left(path)
    assert rows[0].record.kind is K.SNAPSHOT
    assert rows[0].record.payload == '{"until":4}'  # of 7 days ago: what came after it is younger than that
    assert payloads(rows, K.TRADE)[0] == '{"day":5,"n":1}'
    assert payloads(rows, K.DECISION)[0] == '{"day":10,"n":0}'
    assert payloads(rows, K.SNAPSHOT) == [f'{{"until":{day}}}' for day in range(4, 12)]


async def test_the_writer_prunes_by_itself_between_rows_and_never_keeps_one_waiting(path: Path) -> None:
    journal = await written(path, 12)
    await sealed(journal, WEEK)
    journal.prune()
    async with asyncio.timeout(60):
        while journal._writer._pruner.is_busy:
            await journal.append_durable([a_record('"in between"')])
    await journal.close()
    assert left(path)[0].record.payload == '{"until":4}'


async def test_whatever_its_age_everything_since_the_last_snapshots_stays(path: Path) -> None:
    journal = await written(path, 5)
    assert await sealed(journal, Retention(timedelta(0), timedelta(0), snapshots=3))
    assert not await sealed(journal, Retention(timedelta(0), timedelta(0), snapshots=3))
    assert not await sealed(journal, Retention(timedelta(0), timedelta(0), snapshots=9))
    await journal.close()
    pruned(path)
    rows = left(path)
    assert payloads(rows, K.SNAPSHOT) == ['{"until":2}', '{"until":3}', '{"until":4}']
    assert len(payloads(rows, K.DECISION)) == 20


@pytest.mark.feature("H02", part="pruning")
@given(deaths=st.lists(st.integers(0, 6), max_size=6), keep=st.integers(0, 8), thin=st.integers(0, 8))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_pruning_killed_at_any_step_leaves_a_journal_that_verifies_and_is_taken_up(
    tmp_path_factory: pytest.TempPathFactory, deaths: list[int], keep: int, thin: int
) -> None:
    path = tmp_path_factory.mktemp("killed") / "journal.db"

    async def life() -> None:
        journal = await written(path, 10)
        await sealed(journal, Retention(keep * DAY, thin * DAY, snapshots=2))
        await journal.close()

    asyncio.run(life())
    for steps in deaths:
        try:
            pruned(path, Killer(steps))
        except Killed:
            left(path)
    pruned(path)
    rows = left(path)
    first = min(9 - keep, 8)  # the clock stands at day 9, and two snapshots stay in any case
    assert payloads(rows, K.SNAPSHOT) == [f'{{"until":{day}}}' for day in range(first, 10)]
    assert payloads(rows, K.DECISION)[0] == f'{{"day":{max(first, min(9 - thin, 8)) + 1},"n":0}}'
    asyncio.run(open_journal(path).close())


async def test_after_a_second_pruning_only_the_newest_seal_counts(path: Path) -> None:
    journal = await written(path, 12)
    await sealed(journal, WEEK)
    await journal.close()
    pruned(path)
    journal = SqliteJournal.open(path, IDENTITY, RUN, StandingClock(NOON + 14 * DAY))
    assert await sealed(journal, WEEK)
    await journal.close()
    pruned(path)
    assert left(path)[0].record.payload == '{"until":7}'
    with JournalReader.open(path) as reader:
        extent = reader.extent()
    assert extent.first is not None
    assert (extent.first.sequence, extent.sealed_through) == (extent.sealed_through + 1, extent.sealed_through)


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("DELETE FROM record WHERE sequence <= 3", "no pruning took them"),
        ("UPDATE record SET payload = '', digest = zeroblob(32) WHERE sequence = 2", "was changed"),
        ("UPDATE record SET payload = '', digest = zeroblob(32) WHERE sequence = 240", "was emptied, and no pruning"),
        ("UPDATE record SET payload = '', digest = zeroblob(32) WHERE kind = 'trade'", "was emptied, and no pruning"),
    ],
)
async def test_what_no_pruning_sealed_cannot_go_unseen(path: Path, statement: str, finding: str) -> None:
    journal = await written(path, 12)
    if "<=" not in statement:
        await sealed(journal, Retention(99 * DAY, 2 * DAY, 2))
    await journal.close()
    with closing(sqlite3.connect(path)) as shell, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        shell.execute("DELETE FROM record WHERE sequence = 200")
    damage(path, statement)
    with pytest.raises(IntegrityError, match=finding):
        left(path)


@pytest.mark.feature("H03", part="chain")
async def test_a_seal_that_was_forged_is_found(path: Path) -> None:
    journal = await written(path, 12)
    await sealed(journal, WEEK)
    await journal.close()
    pruned(path)
    damage(path, "DELETE FROM record WHERE sequence < 200",
           "UPDATE record SET payload = json_set(payload, '$.through', 199) WHERE kind = 'pruning'")  # fmt: skip
    with pytest.raises(IntegrityError, match="was changed after it was written"):
        left(path)
