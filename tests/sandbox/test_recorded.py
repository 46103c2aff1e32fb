"""Recorded hours: how they are walked, what a hole does, and what a broken file is told."""

import json
from pathlib import Path

import pytest

from basis_daemon.sandbox.exchange.accounts import AccountSpec
from basis_daemon.sandbox.exchange.path import HOUR_MS
from basis_daemon.sandbox.exchange.recorded import DataError, RecordedPath, load_window
from basis_daemon.sandbox.exchange.venue import Venue
from basis_daemon.sandbox.exchange.world import World
from tests.sandbox.builders import PERP, START_MS, D, request

HEADER = "timestamp,venue,market,symbol,open,high,low,close,volume,quote_volume"
FUNDING = "timestamp,venue,symbol,funding_rate,interval_hours"
MINUTE_MS = 60_000
DAY = "2026-01-05"


def candle(hour: int, prices: str, market: str = "perp", venue: str = "binance", day: str = DAY) -> str:
    return f"{day}T{hour:02d}:00:00Z,{venue},{market},BTCUSDT,{prices},1,1"


def rate(hour: int, value: str, day: str = DAY, hours: int = 8) -> str:
    return f"{day}T{hour:02d}:00:00Z,binance,BTCUSDT,{value},{hours}"


UP, DOWN = "100,110,90,105", "105,106,80,95"
GOOD = [
    candle(0, UP), candle(1, DOWN), candle(4, UP),
    *(candle(hour, UP, "spot", "bybit") for hour in range(5)), candle(0, "1,1,1,1", "spot"),
]  # fmt: skip
RATES = [rate(16, "0.0002", "2026-01-04"), rate(0, "0.0001"), rate(2, "0.0003"), rate(8, "-0.0002")]


def write(directory: Path, candles: list[str] | None = None, rates: list[str] | None = None) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "candles_1h.csv").write_text("\n".join([HEADER, *(candles or GOOD)]) + "\n")
    (directory / "funding.csv").write_text("\n".join([FUNDING, *(rates or RATES)]) + "\n")
    return directory


def at(path: RecordedPath, hour: int, minute: int) -> float | None:
    price = path.price_e8(("usdm", "BTCUSDT"), START_MS + hour * HOUR_MS + minute * MINUTE_MS)
    return None if price is None else price / 1e8


def test_a_rising_candle_dips_first_and_a_falling_one_rises_first(tmp_path: Path) -> None:
    path = RecordedPath(write(tmp_path))
    assert [at(path, 0, minute) for minute in (0, 10, 20, 30, 40, 50)] == [100, 95, 90, 100, 110, 107.5]
    assert [at(path, 1, minute) for minute in (0, 20, 40, 50)] == [105, 106, 80, 87.5]


def test_the_reference_spot_wins_over_the_venues_own(tmp_path: Path) -> None:
    path = RecordedPath(write(tmp_path))
    assert path.price_e8(("spot", "BTCUSDT"), START_MS) == 100 * 10**8


def test_the_last_close_is_the_price_of_the_end(tmp_path: Path) -> None:
    path = RecordedPath(write(tmp_path))
    assert path.end_ms == START_MS + 5 * HOUR_MS
    assert at(path, 5, 0) == 105
    assert at(path, 5, 1) is None


def test_a_hole_is_silent_and_settles_at_the_last_mark(tmp_path: Path) -> None:
    path = RecordedPath(write(tmp_path))
    assert [at(path, hour, 0) for hour in (2, 3, 4)] == [None, None, 100]
    venue = Venue(path.keys, [AccountSpec(usdm=(("USDT", D(1000)),))], path.start_ms)
    world = World(venue, path)
    (account,) = venue.accounts.values()
    world.futures.place(account, request("SELL", "5"))
    for minute in range(1, 3 * 60):
        world.advance(START_MS + minute * MINUTE_MS)
    assert not venue.books[PERP].open
    (funding,) = [row.amount for row in account.income if row.kind == "FUNDING_FEE"]
    assert funding == 5 * D("94.25") * D("0.0003")  # a minute before its close the candle was at 80 + 15 x 19/20
    world.advance(START_MS + 4 * HOUR_MS)
    assert venue.books[PERP].open


def test_a_window_keeps_its_lead_in_as_history(tmp_path: Path) -> None:
    write(tmp_path / "calm")
    window = {"id": "calm", "start": DAY, "end": DAY}
    (tmp_path / "windows.json").write_text(json.dumps({"windows": [window]}))
    path = load_window(tmp_path, "calm")
    assert (path.start_ms, path.end_ms) == (START_MS, START_MS + 24 * HOUR_MS)
    assert [entry.at_ms < START_MS for entry in path.rates("BTCUSDT")] == [True, False, False, False]
    with pytest.raises(DataError, match=r"no window 'storm'; known: calm"):
        load_window(tmp_path, "storm")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (candle(0, "100,110,90,oops"), r"candles_1h.csv, line 2, column 'close': 'oops': write a plain decimal"),
        (candle(0, "100,99,90,95"), r"line 2, column 'high': '99': the high is below another price"),
        (candle(0, "100,110,101,105"), r"column 'low': '101': the low is above"),
        (candle(0, "0,110,0,105"), r"column 'open': '0': prices are above zero"),
        (candle(0, UP, "future"), r"column 'market': 'future': market is 'spot' or 'perp'"),
        (candle(0, UP).replace("00:00Z", "30:00Z"), r"column 'timestamp': .*candles open at full hours"),
        (candle(0, UP).replace("Z,", "+02:00,"), r"stamps must be UTC"),
        (candle(0, UP).replace("2026", "yesterday"), r"write UTC as"),
        ("2026-01-05T00:00:00Z,binance", r"line 2: the line does not have one value per column"),
    ],
)
def test_a_broken_candle_is_named_by_file_line_column_and_remedy(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        RecordedPath(write(tmp_path, [line]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (rate(0, "3"), r"funding.csv, line 2, column 'funding_rate': '3': a rate per interval"),
        (rate(0, "0.0001", hours=7), r"column 'interval_hours': '7'"),
        (rate(0, "0.0001").replace("BTCUSDT", "XRPUSDT"), r"no rows of venue binance for BTCUSDT"),
    ],
)
def test_a_broken_rate_is_named_too(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        RecordedPath(write(tmp_path, rates=[line]))


def test_repeated_missing_and_foreign_rows_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="given before"):
        RecordedPath(write(tmp_path, [candle(0, UP), candle(0, UP)]))
    with pytest.raises(DataError, match="no usable series"):
        RecordedPath(write(tmp_path, [candle(0, UP, venue="okx")]))
    (tmp_path / "candles_1h.csv").write_text("timestamp,venue,market,symbol,open,high,low\n")
    with pytest.raises(DataError, match=r"columns \['close'\] are missing"):
        RecordedPath(tmp_path)
    with pytest.raises(DataError, match="not found"):
        RecordedPath(tmp_path / "nowhere")
