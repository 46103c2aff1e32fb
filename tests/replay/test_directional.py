"""Books that listen to a model, replayed: five-minute bars, recorded words, brackets on the path, and coin as money."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.order import PROTECTIVE
from basis_daemon.domain.trade import OrderState
from basis_daemon.simulation.replay import Asked
from tests.replay.support import BOOM, DATA, START, D, answered, commanded, needs_data, one, whole, written

pytestmark = pytest.mark.slow

BAR = timedelta(minutes=5)
LINEAR, INVERSE = "ml_usdt_directional", "ml_btc_directional"
SERIES = {LINEAR: ("bybit", "BTCUSDT"), INVERSE: ("binancecoinm", "BTCUSD")}
Bar = tuple[float, float, float, float]
FLAT: Bar = (60_000, 60_010, 59_990, 60_000)
CASES = [LINEAR, INVERSE]


def window(directory: Path, strategy: str, bars: Sequence[Bar]) -> Path:
    """Bars of five minutes from START on, as open, high, low, close; funding every eight hours before and in them."""
    directory.mkdir(parents=True, exist_ok=True)
    venue, symbol = SERIES[strategy]
    candles, funding = (
        ["timestamp,venue,market,symbol,open,high,low,close"],
        ["timestamp,venue,symbol,funding_rate,interval_hours"],
    )
    for number, bar in enumerate(bars):
        at = START + number * BAR
        candles.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{venue},perp,{symbol},{','.join(map(str, bar))}")
    stamps = (START + number * timedelta(hours=8) for number in range(-3, 2))
    funding.extend(f"{at:%Y-%m-%dT%H:%M:%SZ},{venue},{symbol},0.0001,8" for at in stamps)
    (directory / "candles_5m.csv").write_text("\n".join([*candles, ""]), encoding="utf-8")
    (directory / "funding.csv").write_text("\n".join([*funding, ""]), encoding="utf-8")
    return directory


def words(file: Path, strategy: str, said: Sequence[tuple[int, str]], sd: str = "0.0045") -> Path:
    """Sure words, one a line: (bar since START, signal)."""
    rows = [
        {"symbol": SERIES[strategy][1], "bar_time": (START + bar * BAR).isoformat(), "signal": side,
         "confidence": "0.9", "sd": sd, "model_version": "demo-1"}
        for bar, side in said
    ]  # fmt: skip
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def is_sound(said: dict[str, Any]) -> bool:
    return (said["ok"], said["liquidations"], said["unexplained"], said["breaks"], said["alarms"]) == (
        True, 0, "0", 0, {},
    )  # fmt: skip


@pytest.mark.feature("O08", part="replay")
@pytest.mark.parametrize("strategy", CASES)
@pytest.mark.parametrize(
    ("bar", "half"), [((60_000, 61_500, 58_500, 60_100), "stop"), ((60_000, 61_500, 58_500, 59_900), "take_profit")]
)
def test_where_a_bar_reaches_both_halves_the_path_says_which_comes_first(
    tmp_path: Path, strategy: str, bar: Bar, half: str
) -> None:
    bars = [FLAT, FLAT, FLAT, bar, *[(bar[3], bar[3] + 5, bar[3] - 5, bar[3])] * 4]
    asked = Asked(
        strategy, window(tmp_path / "w", strategy, bars), signals=words(tmp_path / "s", strategy, [(0, "long")])
    )
    outcome, _, view = one(asked)
    said = outcome.document
    assert is_sound(said), said["alarms"]
    assert said["actions"] == {"SIGNAL": 1}
    halves = {
        str(life.order.operation): life.state
        for life in view.history.lives.values()
        if life.order.operation in PROTECTIVE
    }
    other = {"stop": "take_profit", "take_profit": "stop"}[half]
    assert halves[half] is OrderState.FILLED
    assert halves[other] in {OrderState.CANCELLED, OrderState.EXPIRED}
    assert not any(":perp:" in key for key in said["positions"])
    assert (D(said["equity_end"]) < D(said["equity_start"])) is (half == "stop")


@pytest.mark.parametrize("strategy", CASES)
def test_a_position_ends_where_the_model_falls_silent_and_nothing_waits_for_it(tmp_path: Path, strategy: str) -> None:
    asked = Asked(
        strategy,
        window(tmp_path / "w", strategy, [FLAT] * 12),
        signals=words(tmp_path / "s", strategy, [(0, "short"), (1, "short")]),
    )
    outcome, _, view = one(asked)
    said = outcome.document
    assert is_sound(said)
    assert said["actions"] == {"SIGNAL": 2}
    assert "expired" in said["acts"][1]["why"]
    assert not view.state.open_orders()


def test_no_word_is_heard_before_its_bar_has_closed(tmp_path: Path) -> None:
    asked = Asked(
        LINEAR, window(tmp_path / "w", LINEAR, [FLAT] * 6), signals=words(tmp_path / "s", LINEAR, [(2, "long")])
    )
    (act, *_) = whole(asked).document["acts"]
    assert act["at"] >= (START + 3 * BAR).isoformat()
    assert act["at"] < (START + 4 * BAR).isoformat()


@pytest.mark.parametrize("strategy", CASES)
def test_half_of_the_capital_is_what_a_word_moves(tmp_path: Path, strategy: str) -> None:
    asked = Asked(
        strategy, window(tmp_path / "w", strategy, [FLAT] * 4), signals=words(tmp_path / "s", strategy, [(0, "long")])
    )
    _, _, view = one(asked)
    entry = next(life.order for life in view.history.lives.values() if life.order.stop_loss is not None)
    assert entry.quantity == (D("0.833") if strategy == LINEAR else D(600))  # ML1, ML4
    assert entry.stop_loss is not None
    assert abs(entry.stop_loss - 59_460) < 1  # ML2


@pytest.mark.feature("S09", part="replay")
@pytest.mark.slow
@pytest.mark.parametrize("strategy", CASES)
def test_a_seeded_market_gives_the_same_stream_of_decisions_under_any_hash_seed(tmp_path: Path, strategy: str) -> None:
    made = answered("--directory", str(tmp_path / "five"), "--days", "1", command=("sandbox", "series"))
    assert len(made["files"]) == 4
    spoken = tmp_path / "five" / f"signals_{strategy}.jsonl"
    arguments = "--strategy", strategy, "--history", str(tmp_path / "five"), "--signals", str(spoken)
    first, second = (answered(*arguments, hash_seed=seed) for seed in ("1", "77"))
    assert is_sound(first)
    assert first["fills"] > 0
    assert Decimal(first["min_z"]) > 1
    assert first["decision_stream_sha256"] == second["decision_stream_sha256"]
    assert (first["equity_end"], first["acts"]) == (second["equity_end"], second["acts"])


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("strategy", CASES)
def test_a_recorded_window_without_such_bars_is_held_with_stale_and_says_so(strategy: str) -> None:
    said = answered("--strategy", strategy, "--history", str(DATA / BOOM))
    assert said["missing"] == [f"candles_5m.csv {SERIES[strategy][0]} perp {SERIES[strategy][1]}"]
    assert said["decisions"] == {"STALE": 31 * 24}
    assert (said["ok"], said["actions"], said["liquidations"], said["unexplained"]) == (True, {}, 0, "0")


def test_a_window_without_an_index_is_held_as_long_as_its_hours_last(tmp_path: Path) -> None:
    said = whole(Asked(LINEAR, written(tmp_path / "w", days=4))).document
    assert said["decisions"] == {"STALE": 4 * 24}


def test_words_that_nobody_listens_to_are_refused(tmp_path: Path) -> None:
    file = words(tmp_path / "s", LINEAR, [(0, "long")])
    run = commanded(
        "--strategy", "btc_basis", "--history", str(written(tmp_path / "w", days=4)), "--signals", str(file)
    )
    assert run.returncode == 1
    assert "listens to no model" in " ".join(run.stderr.replace("│", " ").split())
    with pytest.raises(ConfigError, match="found no such file"):
        whole(Asked(LINEAR, tmp_path / "w", signals=tmp_path / "nothing.jsonl"))
