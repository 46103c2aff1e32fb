"""The market written down while the daemon listens: whole after a crash, bounded, played back to the same prices."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import BookTick, ExchangeEvent, FundingSettled, MarkTick
from basis_daemon.ports import FeedEvent
from basis_daemon.research.recording import RecordingFeed
from basis_daemon.research.tape import Heard, Retention, Tape
from basis_daemon.sandbox.exchange.instruments import Key
from basis_daemon.sandbox.exchange.money import E8
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.recorded import DataError
from basis_daemon.sandbox.exchange.ticks import HOLE_MS, TickPath, is_recording
from basis_daemon.tasks import TaskTree
from tests.builders import NOW, PERP, SPOT, D, perp_instrument, spot_instrument

pytestmark = pytest.mark.feature("D05")
INSTRUMENTS = {SPOT: spot_instrument(), PERP: perp_instrument()}
AMPLE = Retention(days_max=30, bytes_max=10**9)


def book(at: timedelta, mid: Decimal) -> BookTick:
    sides = tuple(tuple((mid + s * D(n), D(n)) for n in (1, 2, 3)) for s in (-1, 1))
    return BookTick(SPOT, NOW + at, 0, sides[0], sides[1])


def mark(at: timedelta, price: Decimal) -> MarkTick:
    return MarkTick(PERP, NOW + at, 0, price, price, D("0.0001"), NOW + timedelta(hours=8))


def settled(hours: int) -> FundingSettled:
    return FundingSettled(PERP, NOW + timedelta(hours=hours), D("0.00012345"), 8)


def tape(directory: Path, retention: Retention = AMPLE) -> Tape:
    made = Tape(directory, "binance", 2, retention)
    made.name(INSTRUMENTS)
    return made


def heard(*events: ExchangeEvent) -> list[Heard]:
    return [Heard(event, NOW) for event in events]


def hour_of_market() -> list[ExchangeEvent]:
    """A price a minute on both legs, and the settlements before."""
    minutes = [timedelta(minutes=n) for n in range(61)]
    events: list[ExchangeEvent] = [settled(hours) for hours in (-16, -8, 0)]
    for number, at in enumerate(minutes):
        events += [book(at, D("60000.5") + number), mark(at, D("60001.12345678") + number)]
    return events


def ms(at: timedelta) -> int:
    return int((NOW + at).timestamp() * 1000)


# ------------------------------------------------------------------------------------------------------- what is kept
def test_a_recording_plays_to_the_same_prices_and_rates_at_every_stamp(tmp_path: Path) -> None:
    written = tape(tmp_path)
    written.write(heard(*hour_of_market()))
    written.close()
    assert is_recording(tmp_path)
    path = TickPath(tmp_path)
    assert (path.start_ms, path.end_ms) == (ms(timedelta()), ms(timedelta(hours=1)))
    for event in hour_of_market():
        at = int(event.venue_time.timestamp() * 1000)
        if isinstance(event, BookTick):
            assert path.price_e8(("spot", "BTCUSDT"), at) == event.mid * E8
        elif isinstance(event, MarkTick):
            assert path.price_e8(("usdm", "BTCUSDT"), at) == event.mark * E8
    assert [(r.at_ms, r.rate, r.interval_hours) for r in path.rates("BTCUSDT")] == [
        (ms(timedelta(hours=h)), D("0.00012345"), 8) for h in (-16, -8, 0)
    ]


def test_levels_and_both_stamps_are_kept(tmp_path: Path) -> None:
    written = tape(tmp_path)
    written.write([Heard(book(timedelta(), D(60_000)), NOW + timedelta(milliseconds=7))])
    written.close()
    (file,) = tmp_path.glob("books-*.csv.gz")
    header, row = gzip.decompress(file.read_bytes()).decode().splitlines()
    kept = dict(zip(header.split(","), row.split(","), strict=True))
    assert (kept["venue"], kept["market"], kept["symbol"]) == ("binance", "spot", "BTCUSDT")
    assert (kept["bid"], kept["ask"], kept["bids"], kept["asks"]) == ("59999", "60001", "59998:2", "60002:2")
    assert kept["received"] > kept["timestamp"]


def test_what_a_killed_process_wrote_reads_up_to_its_last_write(tmp_path: Path) -> None:
    written = tape(tmp_path)
    written.write(heard(*hour_of_market()))  # and no close: the process is gone
    assert TickPath(tmp_path).end_ms == ms(timedelta(hours=1))
    again = tape(tmp_path)
    again.write(heard(mark(timedelta(hours=1, minutes=1), D(70_000))))
    assert TickPath(tmp_path).price_e8(("usdm", "BTCUSDT"), ms(timedelta(hours=1, minutes=1))) == 70_000 * E8
    assert len(list(tmp_path.glob("marks-*"))) == 2
    written.close()
    again.close()


def test_a_file_cut_anywhere_loses_no_more_than_its_end(tmp_path: Path) -> None:
    written = tape(tmp_path)
    written.write(heard(*hour_of_market()))
    written.close()
    (file,) = tmp_path.glob("marks-*")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    path = TickPath(tmp_path)
    assert path.price_e8(("usdm", "BTCUSDT"), ms(timedelta())) == D("60001.12345678") * E8


def test_a_silence_is_never_filled(tmp_path: Path) -> None:
    written = tape(tmp_path)
    written.write(heard(settled(0), mark(timedelta(), D(60_000)), mark(timedelta(hours=1), D(61_000))))
    path = TickPath(tmp_path)
    key: Key = ("usdm", "BTCUSDT")
    assert path.price_e8(key, ms(timedelta()) + HOLE_MS) == 60_000 * E8
    assert path.price_e8(key, ms(timedelta()) + HOLE_MS + 1) is None
    written.close()


def test_days_are_files_of_their_own_and_the_oldest_go_first(tmp_path: Path) -> None:
    written = tape(tmp_path, Retention(days_max=2, bytes_max=10**9))
    for day in range(5):
        written.write(heard(mark(timedelta(days=day), D(60_000 + day))))
    days = [file.name[6:16] for file in sorted(tmp_path.glob("marks-*"))]
    assert days == [f"{NOW + timedelta(days=day):%Y-%m-%d}" for day in (2, 3, 4)]
    written.close()
    small = tape(tmp_path, Retention(days_max=30, bytes_max=1))
    small.write(heard(mark(timedelta(days=5), D(60_005))))
    small.close()
    assert [file.name[6:16] for file in tmp_path.glob("marks-*")] == [f"{NOW + timedelta(days=5):%Y-%m-%d}"]


def test_an_empty_or_damaged_recording_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "marks-2024-03-01-0000.csv.gz").write_bytes(b"no gzip at all")
    with pytest.raises(DataError, match=r"marks-2024-03-01-0000\.csv\.gz"):
        TickPath(tmp_path)


# ---------------------------------------------------------------------------------------------------------- the feed
class Spoken:
    """A feed that says what it is told to say."""

    def __init__(self, past: Sequence[ExchangeEvent]) -> None:
        self._past = past
        self.sink: Callable[[FeedEvent], None] = lambda _: None
        self.is_running = asyncio.Event()

    async def start(self) -> Mapping[PositionKey, Instrument]:
        return INSTRUMENTS

    async def history(self) -> Sequence[ExchangeEvent]:
        return self._past

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        self.sink = sink
        self.is_running.set()
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing is open."""


async def recorded(
    directory: Path, events: Sequence[ExchangeEvent], *, queue_max: int
) -> tuple[RecordingFeed, list[str]]:
    """A feed that spoke these events in one breath, and what an operator was told; all of it closed."""
    told: list[str] = []
    inner, got = Spoken([settled(-8)]), list[FeedEvent]()
    async with TaskTree("test") as tree:
        writer = tape(directory)
        feed = RecordingFeed(inner, writer, SystemClock(), tree, lambda what, _: told.append(what), queue_max=queue_max)
        await feed.start()
        await feed.history()
        tree.spawn("feed", feed.run(got.append))
        await inner.is_running.wait()
        for event in events:
            inner.sink(event)
        assert got == list(events)  # the daemon heard everything, at once
        tree.cancel_all("over")
    await feed.close()
    return feed, told


async def test_the_daemon_hears_everything_at_once_and_the_disk_later(tmp_path: Path) -> None:
    feed, told = await recorded(tmp_path, hour_of_market(), queue_max=1000)
    assert feed.state() == {"written": 1 + len(hour_of_market()), "dropped": 0, "failure": ""}
    assert told == []
    assert len(TickPath(tmp_path).rates("BTCUSDT")) == 3


async def test_what_does_not_fit_is_dropped_counted_and_told(tmp_path: Path) -> None:
    feed, told = await recorded(tmp_path, hour_of_market(), queue_max=50)
    assert (feed.written, feed.dropped) == (50, 1 + len(hour_of_market()) - 50)
    assert told == ["market events not recorded"]


async def test_a_disk_that_refuses_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("a file where a directory is wanted", encoding="utf-8")
    feed, told = await recorded(tmp_path / "occupied", hour_of_market(), queue_max=1000)
    assert feed.failure.startswith(("FileExistsError", "NotADirectoryError"))
    assert told == ["recording of the market stopped"]
    assert feed.written == 0


def test_the_sandbox_takes_a_recording_for_its_market(tmp_path: Path) -> None:
    written = tape(tmp_path)
    written.write(heard(*hour_of_market()))
    written.close()
    options = ExchangeOptions(directory=tmp_path / "exchange", data=tmp_path)
    assert isinstance(options.path(), TickPath)
    assert replace(options, data=None).path().keys != ()
