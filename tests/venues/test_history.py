"""Recorded history fetched through unmodified ccxt from the sandbox exchange, into files that a replay reads."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import ConfigError, IntegrityError, VenueUnreachableError
from basis_daemon.research.collect import Collector, Progress, Wanted
from basis_daemon.simulation.history import PERP, SPOT, SeriesName, read_history
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.history import Candle, CEXHistory, SettledRate
from basis_daemon.venues.cex.network import SandboxNetwork
from tests.venues.rig import Rig

HOUR = timedelta(hours=1)
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@asynccontextmanager
async def record_of(rig: Rig) -> AsyncIterator[CEXHistory]:
    """The sandbox's public record, without any key."""
    network = SandboxNetwork(rig.exchange.port, rig.exchange.ca_file)
    async with CEXHistory(BINANCE, SystemClock(), network) as source:
        yield source


def everything(start: datetime, end: datetime) -> list[Wanted]:
    return [Wanted(kind, "BTCUSDT", start, end) for kind in ("spot", "perp", "funding")]


async def test_what_the_exchange_has_recorded_is_fetched_in_its_own_words_and_read_by_a_replay(
    rig: Rig, tmp_path: Path
) -> None:
    begun = rig.exchange.world.path.start_ms
    start = datetime.fromtimestamp(begun / 1000, UTC)
    for _ in range(30):
        await rig.exchange.advance(3_600)
    pages: list[Progress] = []
    async with record_of(rig) as source:
        rows = await Collector(tmp_path / "w", source, pages.append).collect(everything(start, start + 29 * HOUR))
    found = read_history(tmp_path / "w", [SeriesName("binance", market, "BTCUSDT") for market in (SPOT, PERP)])
    perp = found.bars[SeriesName("binance", PERP, "BTCUSDT")]
    assert rows["binance:perp:BTCUSDT"] == len(perp) == 29
    assert [bar.opened for bar in perp] == [start + n * HOUR for n in range(29)]
    raw = rig.exchange.world.path.price_e8(("usdm", "BTCUSDT"), begun + 3_600_000)
    assert raw is not None
    assert perp[1].open == Decimal(raw).scaleb(-8)
    settled = found.settled[SeriesName("binance", PERP, "BTCUSDT")]
    assert [row.interval_hours for row in settled] == [8] * len(settled)
    assert len(settled) >= 3
    assert (tmp_path / "w" / "gaps.csv").read_text(encoding="utf-8") == "series,after,before,missing\n"
    assert {page.wanted.market for page in pages} == {"spot", "perp", "funding"}


async def test_a_running_hour_is_not_recorded_before_the_exchange_tells_of_the_next(rig: Rig) -> None:
    start = datetime.fromtimestamp(rig.exchange.world.path.start_ms / 1000, UTC)
    await rig.exchange.advance(2 * 3_600 + 600)
    async with record_of(rig) as source:
        assert len(await source.candles(SPOT, "BTCUSDT", start, start + 24 * HOUR)) == 2


async def test_a_failing_exchange_is_asked_again_and_an_unknown_symbol_is_not(rig: Rig) -> None:
    start = datetime.fromtimestamp(rig.exchange.world.path.start_ms / 1000, UTC)
    await rig.exchange.advance(3 * 3_600)
    async with record_of(rig) as source:
        with pytest.raises(VenueUnreachableError, match=r"NOSUCH.*asked 1 times"):
            await source.candles(SPOT, "NOSUCH", start, start + HOUR)


@dataclass
class Told:
    """A record that says what it is told to say, a page at a time; honours ``collect.Source``."""

    bars: Sequence[Candle] = ()
    settled: Sequence[SettledRate] = ()
    page: int = 3
    asked: list[datetime] = field(default_factory=list)
    dies_after: int = 10**6

    @property
    def name(self) -> str:
        return "binance"

    async def candles(self, market: str, symbol: str, start: datetime, end: datetime) -> Sequence[Candle]:
        self.asked.append(start)
        if len(self.asked) > self.dies_after:
            raise VenueUnreachableError("the line is down")
        return [bar for bar in self.bars if start <= bar.opened < end][: self.page]

    async def rates(self, symbol: str, start: datetime, end: datetime) -> Sequence[SettledRate]:
        return [rate for rate in self.settled if start <= rate.at < end][: self.page]


def bar(hour: int, close: str = "60001.50") -> Candle:
    return Candle(NOON + hour * HOUR, "60000.10", "60002.00", "59999.90", close, "1.000", "60000.5")


def rows_in(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def files_in(directory: Path) -> set[str]:
    return {file.name for file in directory.iterdir()}


async def test_a_run_that_was_cut_is_taken_up_where_its_files_end(tmp_path: Path) -> None:
    bars, wanted = [bar(n) for n in range(10)], [Wanted("spot", "BTCUSDT", NOON, NOON + 10 * HOUR)]
    with pytest.raises(VenueUnreachableError):
        await Collector(tmp_path, Told(bars, dies_after=2)).collect(wanted)
    assert len(rows_in(tmp_path / "candles_1h.csv")) == 6
    again = Told(bars)
    assert await Collector(tmp_path, again).collect(wanted) == {"binance:spot:BTCUSDT": 10}
    assert again.asked[0] == NOON + 6 * HOUR
    assert [row["close"] for row in rows_in(tmp_path / "candles_1h.csv")] == ["60001.50"] * 10
    assert files_in(tmp_path) == {"candles_1h.csv", "funding.csv", "gaps.csv"}


async def test_holes_and_repeated_rows_are_listed_and_two_words_for_one_hour_are_refused(tmp_path: Path) -> None:
    wanted = [Wanted("perp", "BTCUSDT", NOON, NOON + 10 * HOUR)]
    bars = [bar(0), bar(1), bar(1), bar(4), bar(5)]
    await Collector(tmp_path, Told(bars, page=9)).collect(wanted)
    assert [tuple(row.values()) for row in rows_in(tmp_path / "gaps.csv")] == [
        ("binance:perp:BTCUSDT", "2026-01-05T13:00:00Z", "2026-01-05T16:00:00Z", "2"),
        ("binance:perp:BTCUSDT", "2026-01-05T17:00:00Z", "2026-01-05T22:00:00Z", "4"),
        ("binance:perp:BTCUSDT", "", "", "1 exact duplicate rows removed"),
    ]
    with pytest.raises(IntegrityError, match="expected one record"):
        await Collector(tmp_path / "other", Told([bar(0), bar(0, "1.00")], page=9)).collect(wanted)


async def test_a_funding_interval_is_the_distance_to_the_settlement_before(tmp_path: Path) -> None:
    late = timedelta(milliseconds=7)
    hours = (-8, 0, 8, 16, 20, 24)
    settled = [SettledRate(NOON + n * HOUR + late, "0.00010000") for n in hours]
    wanted = [Wanted("funding", "BTCUSDT", NOON, NOON + 30 * HOUR)]
    await Collector(tmp_path, Told(settled=settled)).collect(wanted)
    rows = rows_in(tmp_path / "funding.csv")
    assert [row["interval_hours"] for row in rows] == ["8", "8", "8", "4", "4"]
    assert rows[0]["timestamp"] == "2026-01-05T12:00:00Z"
    assert {row["funding_rate"] for row in rows} == {"0.00010000"}


async def test_a_file_of_another_form_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "candles_1h.csv").write_text("time,price\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="name another directory"):
        Collector(tmp_path, Told())


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_the_command_fetches_a_window_that_the_replay_command_plays(rig: Rig, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    ready.write_text(json.dumps({"port": rig.exchange.port, "ca_file": str(rig.exchange.ca_file)}), encoding="utf-8")
    for _ in range(30):
        await rig.exchange.advance(3_600)
    first = datetime.fromtimestamp(rig.exchange.world.path.start_ms / 1000, UTC)
    window = tmp_path / "window"
    words = ["history", "fetch", str(window), "--symbol", "BTCUSDT", "--from", f"{first:%Y-%m-%d}"]
    words += ["--to", f"{first:%Y-%m-%d}", "--sandbox", str(ready), "--json"]
    fetched = await command(*words)
    assert fetched["rows"]["binance:spot:BTCUSDT"] == fetched["rows"]["binance:perp:BTCUSDT"] == 24
    again = await command(*words)
    assert (again["rows"], again["fetched"]) == (fetched["rows"], again["fetched"])
    assert again["fetched"] < fetched["fetched"]
    config = Path(__file__).parents[1] / "replay" / "binance.yaml"
    played = await command(
        "replay", "--strategy", "btc_basis", "--history", str(window), "--config", str(config), "--json",
        "--from", f"{first:%Y-%m-%d}", "--to", f"{first:%Y-%m-%d}",
    )  # fmt: skip
    assert (played["missing"], played["ok"]) == ([], True)
    assert sum(played["decisions"].values()) >= 24 * 4


async def command(*words: str) -> dict[str, Any]:
    """What the command answers, in a process of its own beside the exchange in this one."""
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "basis_daemon", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await asyncio.wait_for(run.communicate(), 110)
    assert run.returncode == 0, said.decode() + complained.decode()
    document: dict[str, Any] = json.loads(said)
    return document
