"""What every journal owes the engine, on a disk and in memory."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from basis_daemon.domain.errors import JournalError
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.ports import Journal, RecordKind
from tests.journal.builders import IDENTITY, NOON, RUN, StandingClock, a_record

K = RecordKind


class Kit(ABC):
    """Opens one kind of journal, and ends the process that writes it."""

    def __init__(self) -> None:
        self.clock = StandingClock()

    @property
    @abstractmethod
    def journal(self) -> Journal: ...

    @abstractmethod
    async def restart(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...


class OnDisk(Kit):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._journal = SqliteJournal.open(path, IDENTITY, RUN, self.clock)

    @property
    def journal(self) -> Journal:
        return self._journal

    async def restart(self) -> None:
        await self._journal.close()
        self._journal = SqliteJournal.open(self._path, IDENTITY, RUN, self.clock)

    async def close(self) -> None:
        await self._journal.close()


class InMemory(Kit):
    def __init__(self) -> None:
        super().__init__()
        self._journal = MemoryJournal(self.clock)

    @property
    def journal(self) -> Journal:
        return self._journal

    async def restart(self) -> None:
        await self._journal.close()
        self._journal = self._journal.after_crash()

    async def close(self) -> None:
        await self._journal.close()


@pytest.fixture(params=["disk", "memory"])
async def kit(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Kit]:
    kit: Kit = OnDisk(path) if request.param == "disk" else InMemory()
    yield kit
    await kit.close()


def payloads(journal: Journal, after: int = 0, kinds: frozenset[RecordKind] | None = None) -> list[str]:
    return [row.record.payload for row in journal.read(after, kinds) if row.record.kind is not K.GENERATION]


async def test_every_opening_starts_a_generation_and_says_so_in_a_row(kit: Kit) -> None:
    for generation in (1, 2, 3):
        newest = kit.journal.read()[-1]
        assert (kit.journal.generation, newest.generation, newest.record.kind) == (generation, generation, K.GENERATION)
        await kit.restart()


@pytest.mark.feature("H01", part="journal")
async def test_what_was_appended_is_read_back_in_order_and_without_a_gap(kit: Kit) -> None:
    kit.journal.append(a_record("1"))
    await kit.journal.append_durable([a_record("2"), a_record("3")])
    kit.journal.append(a_record("4"))
    await kit.journal.flush()
    assert payloads(kit.journal) == ["1", "2", "3", "4"]
    assert [row.sequence for row in kit.journal.read()] == [1, 2, 3, 4, 5]


@pytest.mark.feature("H01", part="journal")
async def test_a_restart_reads_what_was_written_before_it(kit: Kit) -> None:
    kit.journal.append(a_record("lazy"))
    await kit.journal.append_durable([a_record("durable")])
    await kit.restart()
    await kit.journal.append_durable([a_record("after")])
    assert payloads(kit.journal) == ["lazy", "durable", "after"]
    assert [row.generation for row in kit.journal.read()] == [1, 1, 1, 2, 2]


async def test_a_stored_record_keeps_both_times_and_its_causes(kit: Kit) -> None:
    kit.clock.now = NOON + timedelta(microseconds=1)
    record = a_record('{"qty":"0.1"}', K.INTENT, datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC))
    await kit.journal.append_durable([record])
    stored = kit.journal.read()[-1]
    assert (stored.record, stored.wall_time) == (record, kit.clock.now)
    assert stored.record.market_time.tzinfo is UTC


async def test_reading_starts_after_a_sequence_and_keeps_to_the_kinds_asked_for(kit: Kit) -> None:
    for number, kind in enumerate((K.TRADE, K.BREAK, K.SNAPSHOT, K.TRADE, K.BREAK), 2):
        kit.journal.append(a_record(str(number), kind))
    await kit.journal.flush()
    assert payloads(kit.journal, after=3) == ["4", "5", "6"]
    assert payloads(kit.journal, after=2, kinds=frozenset({K.BREAK})) == ["3", "6"]
    assert payloads(kit.journal, kinds=frozenset({K.TRADE, K.SNAPSHOT})) == ["2", "4", "5"]
    assert payloads(kit.journal, kinds=frozenset()) == []
    assert payloads(kit.journal, after=99) == []


@pytest.mark.parametrize("kind", sorted(set(RecordKind) - {K.GENERATION, K.PRUNING}))  # the journal reads that one
async def test_the_latest_row_of_a_kind_is_found_wherever_it_stands(kit: Kit, kind: RecordKind) -> None:
    other = K.TRADE if kind is not K.TRADE else K.GUARD
    assert kit.journal.latest(kind) is None
    await kit.journal.append_durable([a_record("old", kind), a_record("new", kind), a_record("other", other)])
    latest = kit.journal.latest(kind)
    assert latest is not None
    assert latest.record == a_record("new", kind)


async def test_a_time_without_a_zone_is_refused_and_spoils_nothing(kit: Kit) -> None:
    naive = datetime(2026, 5, 9)  # noqa: DTZ001 - the mistake under test
    with pytest.raises(ValueError, match="no time zone"):
        kit.journal.append(a_record(market_time=naive))
    with pytest.raises(ValueError, match="no time zone"):
        await kit.journal.append_durable([a_record("first"), a_record(market_time=naive)])
    await kit.journal.append_durable([a_record("good")])
    assert payloads(kit.journal) == ["good"]


async def test_a_closed_journal_takes_nothing_and_says_so(kit: Kit) -> None:
    await kit.close()
    with pytest.raises(JournalError, match="closed"):
        kit.journal.append(a_record())
    with pytest.raises(JournalError, match="closed"):
        await kit.journal.append_durable([a_record()])
    with pytest.raises(JournalError, match="closed"):
        await kit.journal.flush()


async def test_many_callers_at_once_lose_nothing(kit: Kit) -> None:
    async with asyncio.TaskGroup() as callers:
        for number in range(300):
            callers.create_task(kit.journal.append_durable([a_record(f"{number} a"), a_record(f"{number} b")]))
    written = payloads(kit.journal)
    assert sorted(written) == sorted(f"{number} {part}" for number in range(300) for part in "ab")
    assert all(one.split()[0] == two.split()[0] for one, two in zip(written[::2], written[1::2], strict=True))


async def test_a_crash_in_memory_loses_what_nobody_waited_for() -> None:
    journal = MemoryJournal(StandingClock())
    await journal.append_durable([a_record("durable")])
    journal.append(a_record("lazy"))
    again = journal.after_crash()
    assert payloads(again) == ["durable"]
    assert again.generation == 2
    assert [row.sequence for row in again.read()] == [1, 2, 3]
