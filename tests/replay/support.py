"""Replays as tests ask for them: recorded windows beside the checkout, small written ones, and outcomes as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from basis_daemon.engine.book_view import BookView
from basis_daemon.engine.judgement import Outcome
from basis_daemon.simulation.history import PERP, SPOT, History, SeriesName, read_history
from basis_daemon.simulation.path import Point
from basis_daemon.simulation.replay import Asked, Told, replay
from basis_daemon.simulation.run import Played, Span
from basis_daemon.wiring_book import Daemon

D = Decimal
HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
BOOM, CRASH, SQUEEZE = "2024-03_funding_boom", "2024-08_crash_depeg", "2025-05_eth_squeeze"
START = datetime(2024, 3, 1, tzinfo=UTC)
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no recorded history at ../shared/data, beside the checkout")

Json = dict[str, Any]


class Unseen:
    """A spectator that looks away."""

    def begin(self, window: str, span: Span) -> None: ...

    def see(self, point: Point, daemon: Daemon) -> None: ...


def whole(asked: Asked, environ: Mapping[str, str] | None = None) -> Outcome:
    """The outcome of all windows."""
    return replay(asked, environ or {}, Unseen(), lambda _: None)


def one(asked: Asked) -> tuple[Outcome, Played, BookView]:
    """The outcome of a single window, with what was played and its book."""
    told: list[Told] = []
    outcome = replay(asked, {}, Unseen(), told.append)
    ((played, view),) = (each.book for each in told if each.book is not None)
    return outcome, played, view


def commanded(
    *words: str, command: Sequence[str] = ("replay",), hash_seed: str = "0"
) -> subprocess.CompletedProcess[str]:
    """The command itself, in a process of its own."""
    whole_command = [sys.executable, "-m", "basis_daemon", *command, *words]
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(whole_command, capture_output=True, text=True, check=False, timeout=110, env=environ)


def answered(*words: str, command: Sequence[str] = ("replay",), hash_seed: str = "0") -> Json:
    """What the command answers as JSON; it left with 0."""
    run = commanded(*words, "--json", command=command, hash_seed=hash_seed)
    assert run.returncode == 0, run.stdout + run.stderr
    document: Json = json.loads(run.stdout)
    return document


def written(
    directory: Path,
    *,
    days: int = 10,
    rate: str = "0.0004",
    changes: Mapping[int, str] | None = None,
    venues: Sequence[str] = ("bybit",),
    hole: tuple[str, range] = ("", range(0)),
) -> Path:
    """A window of hourly bars around 60,000 with funding every 8 h from ``days`` - 3 days before START.

    ``changes`` gives another close (and so another next open) to hours counted from START; in the hours of ``hole`` the
    perp of one venue has no rows.
    """
    directory.mkdir(parents=True, exist_ok=True)
    first = START - timedelta(days=days - 3)
    candles = ["timestamp,venue,market,symbol,open,high,low,close,volume,quote_volume"]
    funding = ["timestamp,venue,symbol,funding_rate,interval_hours"]
    last = D(60_000)
    for hour in range(days * 24):
        at = first + timedelta(hours=hour)
        since = (at - START) // timedelta(hours=1)
        close = D((changes or {}).get(since, 60_000 + 40 * (hour % 5 - 2)))
        high, low = max(last, close) + 10, min(last, close) - 10
        prices = f"{last},{high},{low},{close},1,60000"
        markets = [(venue, market) for venue in venues for market in (PERP, SPOT)]
        kept = [each for each in markets if each != (hole[0], PERP) or since not in hole[1]]
        candles += [f"{at:%Y-%m-%dT%H:%M:%SZ},{venue},{market},BTCUSDT,{prices}" for venue, market in kept]
        if at.hour % 8 == 0:
            funding += [f"{at:%Y-%m-%dT%H:%M:%SZ},{venue},BTCUSDT,{rate},8" for venue in venues]
        last = close
    (directory / "candles_1h.csv").write_text("\n".join([*candles, ""]), encoding="utf-8")
    (directory / "funding.csv").write_text("\n".join([*funding, ""]), encoding="utf-8")
    return directory


def history_of(window: Path) -> History:
    """Everything that ``written`` wrote."""
    return read_history(window, [SeriesName("bybit", market, "BTCUSDT") for market in (SPOT, PERP)])
