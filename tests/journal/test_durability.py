"""An acknowledged row survives whatever ends the process, and a disk that fails is never trusted again."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from threading import current_thread

import pytest

from basis_daemon.domain.errors import JournalError
from basis_daemon.journal.reader import JournalReader
from basis_daemon.journal.rows import Head
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.journal.watermark import Watermark
from basis_daemon.journal.writer import Limits
from basis_daemon.ports import RecordKind
from tests.journal.builders import a_record, open_journal

pytestmark = pytest.mark.slow

TRADES = frozenset({RecordKind.TRADE})


def written(path: Path) -> list[str]:
    with JournalReader.open(path) as reader:
        reader.verify()
        return [row.record.payload for row in reader.rows(kinds=TRADES)]


@pytest.mark.feature("H01", part="journal")
@pytest.mark.feature("O03", part="journal")
def test_a_killed_writer_loses_no_row_that_it_acknowledged(path: Path) -> None:
    chance = random.Random(20260509)  # noqa: S311 - a seed to repeat the kills by
    acknowledged: list[str] = []
    for generation in range(1, 5):
        command = [sys.executable, "-m", "tests.journal.killed", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(chance.randrange(1, 200))]
            writer.kill()
            lines += writer.stdout.readlines()
        assert lines[0] == f"{generation} 0\n"
        acknowledged += [line.strip() for line in lines if line.endswith("\n")]
        rows = written(path)
        expected = [f"{one} {how}" for one in acknowledged for how in ("lazy", "durable")]
        assert [row for row in rows if row in set(expected)] == expected
    journal = open_journal(path)
    assert journal.generation == 5
    asyncio.run(journal.close())


@pytest.mark.feature("H01", part="journal")
async def test_a_copy_taken_while_a_daemon_writes_opens_like_after_a_power_loss(
    path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    journal = open_journal(path)
    await journal.append_durable([a_record(str(number)) for number in range(50)])
    image = tmp_path_factory.mktemp("image") / "copy"
    shutil.copytree(path.parent, image)
    await journal.close()
    again = open_journal(image / path.name)
    assert again.generation == 2
    await again.close()
    assert written(image / path.name) == [str(number) for number in range(50)]


async def test_a_journal_that_is_closed_is_whole_in_its_one_file(path: Path) -> None:
    for generation in range(100):  # two connections that close at once would leave the WAL behind now and then
        journal = open_journal(path)
        journal.append(a_record(str(generation)))
        await journal.close()
        assert not path.with_name(f"{path.name}-wal").exists(), generation


async def test_a_hundred_waiting_callers_share_a_few_syncs(path: Path) -> None:
    journal = open_journal(path)
    async with asyncio.TaskGroup() as callers:
        for number in range(100):
            callers.create_task(journal.append_durable([a_record(str(number))]))
    assert 1 <= journal.commits <= 25
    await journal.close()
    assert written(path) == [str(number) for number in range(100)]


async def test_a_row_nobody_waits_for_is_written_all_the_same(path: Path) -> None:
    journal = open_journal(path)
    journal.append(a_record("lazy"))
    async with asyncio.timeout(30):
        with JournalReader.open(path) as reader:
            while not await asyncio.to_thread(reader.read, 0, TRADES):
                pass  # each turn is a read of the file in another thread
    await journal.close()


async def test_a_durable_row_takes_the_lazy_ones_before_it_along(path: Path) -> None:
    journal = open_journal(path, limits=Limits(lazy_s=3600))
    for number in range(1000):
        journal.append(a_record(str(number)))
    await journal.append_durable([a_record("1000")])
    assert [row.record.payload for row in journal.read(kinds=TRADES)] == [str(number) for number in range(1001)]
    await journal.close()


async def test_a_caller_that_gives_up_takes_nothing_back(path: Path) -> None:
    journal = open_journal(path)
    async with asyncio.TaskGroup() as callers:
        caller = callers.create_task(journal.append_durable([a_record("cancelled")]))
        callers.create_task(journal.append_durable([a_record("kept")]))
        callers.create_task(cancel(caller))
    await journal.flush()
    await journal.close()
    assert written(path) == ["cancelled", "kept"]


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


async def test_the_journal_counts_the_rows_that_it_was_given_over_all_its_lives(path: Path) -> None:
    for _ in range(2):
        journal = open_journal(path)
        journal.append(a_record())
        await journal.append_durable([a_record(), a_record()])
        assert journal.rows == journal.read()[-1].sequence
        await journal.close()


@pytest.mark.fault("F49")
async def test_a_full_disk_ends_the_journal_and_keeps_what_was_acknowledged(path: Path) -> None:
    journal = open_journal(path, limits=Limits(size_bytes_max=200_000))
    acknowledged: list[str] = []
    with pytest.raises(JournalError, match=r"journal\.db: .*full.*free space"):
        await fill(journal, acknowledged)
    assert len(acknowledged) > 10
    with pytest.raises(JournalError, match="full"):
        journal.append(a_record())
    with pytest.raises(JournalError, match="full"):
        await journal.flush()
    with pytest.raises(JournalError, match="full"):
        journal.read()
    await journal.close()
    assert written(path) == acknowledged


async def fill(journal: SqliteJournal, acknowledged: list[str]) -> None:
    while True:
        payload = f"{len(acknowledged)} {'x' * 5000}"
        await journal.append_durable([a_record(payload)])
        acknowledged.append(payload)


@pytest.mark.fault("F49")
async def test_everybody_who_waits_for_a_failed_write_is_told(path: Path) -> None:
    journal = open_journal(path, limits=Limits(size_bytes_max=100_000))
    told = []

    async def caller() -> None:
        try:
            await journal.append_durable([a_record("x" * 10_000)])
        except JournalError as error:
            told.append(str(error))

    async with asyncio.TaskGroup() as callers:
        for _ in range(50):
            callers.create_task(caller())
    assert len(told) >= 40
    assert set(told) == {journal.failure}
    await journal.close()


@pytest.mark.fault("F50")
async def test_another_program_holding_the_file_is_waited_for_only_so_long(path: Path) -> None:
    journal = open_journal(path, limits=Limits(busy_timeout_s=0.05))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match=r"locked.*another program"):
            await journal.append_durable([a_record()])
        other.execute("ROLLBACK")
    with pytest.raises(JournalError, match="locked"):
        await journal.append_durable([a_record("not tried again")])
    await journal.close()
    assert written(path) == []


async def test_a_queue_that_overflows_refuses_aloud_and_writes_what_it_holds(path: Path) -> None:
    journal = open_journal(path, limits=Limits(queue_rows_max=10, lazy_s=3600))
    for number in range(10):
        journal.append(a_record(str(number)))
    with pytest.raises(JournalError, match="11 rows would wait for the disk, at most 10"):
        journal.append(a_record("one too many"))
    with pytest.raises(JournalError, match="11 rows"):
        await journal.append_durable([])
    await journal.close()
    assert written(path) == [str(number) for number in range(10)]


async def test_text_that_no_file_can_hold_is_refused_and_spoils_nothing(path: Path) -> None:
    journal = open_journal(path)
    with pytest.raises(UnicodeEncodeError, match="surrogate"):
        await journal.append_durable([a_record("before it"), a_record("\ud800")])
    await journal.append_durable([a_record("good")])
    await journal.close()
    assert written(path) == ["good"]


async def test_text_is_made_once_by_the_thread_that_writes(path: Path) -> None:
    makers: list[str] = []

    def text() -> str:
        makers.append(current_thread().name)
        return "made"

    journal = open_journal(path)
    record = a_record(text)
    await journal.append_durable([record, a_record("given")])
    await journal.close()

    assert written(path) == ["made", "given"]
    assert (makers, record.payload) == ([f"journal-{path.name}"], "made")


async def test_a_value_that_no_text_can_be_made_of_ends_the_journal_aloud(path: Path) -> None:
    def text() -> str:
        raise ValueError("Infinity is not JSON")

    journal = open_journal(path)
    await journal.append_durable([a_record("good")])
    journal.append(a_record(text))
    with pytest.raises(JournalError, match="Infinity is not JSON"):
        await journal.append_durable([a_record("behind it")])
    with pytest.raises(JournalError, match="nothing was tried again"):
        journal.append(a_record("later"))
    await journal.close()
    assert written(path) == ["good"]


class FailingWatermark(Watermark):
    """Fails at the first write after it was put in."""

    def __init__(self, error: Exception) -> None:
        super().__init__(os.open(os.devnull, os.O_WRONLY))
        self._error = error

    def record(self, head: Head) -> None:
        raise self._error

    def sync(self) -> None:
        """The null device has none."""


@pytest.mark.fault("F49")
async def test_a_watermark_that_cannot_be_written_ends_the_journal(path: Path) -> None:
    journal = open_journal(path)
    journal._writer._watermark = FailingWatermark(OSError(28, "No space left on device"))
    await journal.append_durable([a_record("committed before")])
    with pytest.raises(JournalError, match="No space left"):
        await journal.append_durable([a_record()])
    await journal.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_writer_that_dies_of_a_bug_leaves_nobody_waiting(path: Path) -> None:
    journal = open_journal(path)
    journal._writer._watermark = FailingWatermark(ZeroDivisionError())
    async with asyncio.timeout(60):
        await journal.append_durable([a_record()])
        with pytest.raises(JournalError, match="ended unexpectedly"):
            await journal.append_durable([a_record()])
        await journal.close()


async def test_the_wal_is_used_over_and_over_and_does_not_grow(path: Path) -> None:
    journal = open_journal(path)
    wal = path.with_name(path.name + "-wal")
    for number in range(500):
        await journal.append_durable([a_record(f"{number} {'x' * 100_000}")])
    assert wal.stat().st_size < 25_000_000  # of the 50 MB that went through it
    await journal.close()
    assert len(written(path)) == 500
