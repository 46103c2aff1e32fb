"""A window without the series a strategy needs: it is asked all the same, hour by hour, and says that it holds."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from basis_daemon.domain.decision import Assessment, Exposure, RiskView
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.market import DecisionIds, MarketSnapshot
from basis_daemon.engine.codec import dump
from basis_daemon.engine.judgement import Outcome
from basis_daemon.settings import Settings, strategy_parameters
from basis_daemon.simulation.history import HOUR
from basis_daemon.simulation.outcome import held
from basis_daemon.simulation.run import Span
from basis_daemon.simulation.windows import Window
from basis_daemon.strategies import STRATEGIES
from basis_daemon.strategies.charter import BookStrategy

AAVE, LST, GAS = "aave_daily.csv", "lst_market.csv", "gas.csv"
_ONE = Decimal(1)


def is_simulated(settings: Settings, name: str) -> bool:
    """True for an instance that trades at exchanges; those that live on the chain have no simulated chain yet."""
    return not instance_of(settings, name).charter.is_on_chain


def instance_of(settings: Settings, name: str) -> BookStrategy:
    """The instance itself, whether the file enables it or not."""
    return STRATEGIES[settings.strategies[name].kind](strategy_parameters(settings, name), name)


def lacking(settings: Settings, name: str, directory: Path) -> list[str]:
    """Series on chain that the instance needs and this directory does not hold."""
    lst = getattr(strategy_parameters(settings, name), "lst", None)
    wanted = [(AAVE, "WETH")]
    wanted += [(AAVE, "USDT")] if lst is None else [(LST, str(lst)), (AAVE, str(lst))]
    found = [f"{file} {asset}" for file, asset in wanted if not _has(directory / file, asset)]
    return found if (directory / GAS).is_file() else [*found, GAS]


def hold(strategy: BookStrategy, window: Window, span: Span, missing: Sequence[str]) -> Outcome:
    """The strategy's own answers on a picture in which nothing was ever seen, one an hour."""
    reasons, digest, last = Counter[str](), hashlib.sha256(), None
    at = span.start
    while at < span.end:
        last = _asked(strategy, at)
        reasons[last.reason.value] += 1
        digest.update(f"{at.isoformat()}\n{dump(last)}\n".encode())
        at += HOUR
    note = f"{last.reason.value}: {last.note}" if last is not None else None
    return held(strategy.name, window.name, span, dict(reasons), missing, note, digest.hexdigest())


def refuse(name: str, kind: str, window: Window) -> ConfigError:
    """For a strategy on chain in a window that has its series."""
    return ConfigError(
        f"strategies.{name}.kind: found {kind}, and {window.directory} has its series; expected btc_basis or eth_basis"
        ": a replay simulates exchanges and no chain yet; play it on the sandbox chain with `basis-daemon demo`"
    )


def _asked(strategy: BookStrategy, at: datetime) -> Assessment:
    market = MarketSnapshot(at, DecisionIds("", 0, 0), {}, {}, {}, {}, strategy.initial_memory())
    return strategy.assess(at, "market", market, Exposure(at, None, {}, {}, {}, ()), RiskView((), _ONE, _ONE))


def _has(file: Path, asset: str) -> bool:
    try:
        with file.open(newline="", encoding="utf-8") as handle:
            return any(row.get("asset") == asset for row in csv.DictReader(handle))
    except OSError:
        return False
