"""Each strategy gate fails on the violation it is there for, and passes without it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.domain.decision import Assessment, Exposure, ReasonCode, RiskView
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.order import Order
from basis_daemon.strategies.basis import BtcBasis
from tests.quality_gates.pictures import basis_pictures
from tests.quality_gates.purity import strategies_are_pencil_only
from tests.quality_gates.strategy import (
    Subject,
    decisions_are_lists_of_orders,
    equal_inputs_give_equal_decisions,
    strategies_honour_the_port,
)
from tests.quality_gates.subjects import basis_parameters
from tests.quality_gates.tree import Tree


class _Book(BtcBasis):
    """The real strategy, for one method to be broken in."""

    def __init__(self) -> None:
        super().__init__(basis_parameters("BTC"))
        self.asked = 0


class _AnswersTuples(_Book):
    def make_strategy_decision(  # type: ignore[override]  # the fault
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> tuple[Order, ...]:
        return tuple(super().make_strategy_decision(timestamp, trigger, market, exposure, risk))


class _NeverTrades(_Book):
    def make_strategy_decision(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> list[Order]:
        return []


class _TradesOnOldPrices(_Book):
    def make_strategy_decision(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> list[Order]:
        fresh = next(p for p in basis_pictures(self) if p.name == "enter")
        return super().make_strategy_decision(*fresh.question)


class _CallsStaleAHold(_Book):
    def assess(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> Assessment:
        held = {**{name: age for name, age in market.ages.items() if not age.is_stale}}
        reason = ReasonCode.ENTRY if held else ReasonCode.HOLD
        return Assessment(timestamp, self.name, trigger, reason, "", {}, {})


class _Counts(_Book):
    def make_strategy_decision(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> list[Order]:
        self.asked += 1
        return super().make_strategy_decision(timestamp, trigger, market, exposure, risk)[: self.asked]


class _WritesOnTheExposure(_Book):
    def assess(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> Assessment:
        object.__setattr__(exposure, "holdings", {})  # no honest write gets through: what is shown is read-only
        return super().assess(timestamp, trigger, market, exposure, risk)


class _Waits(_Book):
    async def assess(  # type: ignore[override]  # the fault
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> Assessment:
        return super().assess(timestamp, trigger, market, exposure, risk)


def of(make: Callable[[], BtcBasis]) -> list[Subject]:
    return [Subject("btc_basis", make, basis_pictures)]


@pytest.mark.feature("S11")
def test_the_real_strategy_passes_every_gate() -> None:
    assert strategies_honour_the_port(of(_Book), {"btc_basis": BtcBasis}).faults == ()
    assert decisions_are_lists_of_orders(of(_Book)).faults == ()
    assert equal_inputs_give_equal_decisions(of(_Book)).faults == ()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_AnswersTuples, "btc_basis enter: answered tuple of ['Order'], expected a list of Orders"),
        (_NeverTrades, "btc_basis enter: 0 orders"),
        (_TradesOnOldPrices, "btc_basis stale: 3 orders"),
        (_CallsStaleAHold, "btc_basis stale: assessed as HOLD, expected STALE"),
    ],
)
def test_a_strategy_that_answers_otherwise_is_named(make: Callable[[], BtcBasis], said: str) -> None:
    assert any(fault.startswith(said) for fault in decisions_are_lists_of_orders(of(make)).faults)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_Counts, "btc_basis enter: the second answer differs from the first"),
        (_WritesOnTheExposure, "btc_basis enter: the question was changed by asking it"),
    ],
)
def test_a_strategy_that_remembers_or_writes_is_named(make: Callable[[], BtcBasis], said: str) -> None:
    assert said in equal_inputs_give_equal_decisions(of(make)).faults


def test_a_strategy_that_waits_breaks_the_port() -> None:
    faults = strategies_honour_the_port(of(_Waits), {"btc_basis": _Waits}).faults
    assert any("assess: is async" in fault for fault in faults)


def test_a_strategy_without_pictures_and_a_tenth_strategy_are_named() -> None:
    faults = strategies_honour_the_port(of(_Book), {"btc_basis": BtcBasis, "grid": BtcBasis}).faults
    assert "grid is none of the nine strategies" in faults
    assert "grid is registered and has no pictures in tests/quality_gates" in faults


def test_a_claim_about_no_strategy_at_all_fails() -> None:
    assert strategies_honour_the_port([], {}).faults
    assert decisions_are_lists_of_orders([]).faults


def test_memories_survive_their_own_text() -> None:
    strategy = _Book()
    memory = basis_pictures(strategy)[0].question[2].memory
    assert strategy.load_memory(strategy.dump_memory(memory)) == memory


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("async def assess(): ...", "async def assess"),
        ("import asyncio", "import asyncio"),
        ("from os import path", "from os import"),
        ("def f():\n    import requests", "import requests"),
        ("from basis_daemon.engine.state import BookState", "from basis_daemon.engine.state import"),
        ("from basis_daemon import journal", "from basis_daemon import journal"),
        ("def f():\n    return open('x')", "open()"),
        ("from datetime import datetime\ndatetime.now()", "reads a clock: datetime.now()"),
        ("seen = 0\ndef f():\n    global seen\n    seen = 1", "rebinds seen outside its function"),
    ],
)
def test_a_strategy_file_that_reaches_outside_is_named(tmp_path: Path, text: str, said: str) -> None:
    home = tmp_path / "basis_daemon" / "strategies"
    home.mkdir(parents=True)
    (home / "greedy.py").write_text(text, encoding="utf-8")
    faults = strategies_are_pencil_only(Tree.of_folder(tmp_path)).faults
    assert len(faults) == 1
    assert faults[0].startswith("basis_daemon/strategies/greedy.py:")
    assert faults[0].endswith(said)


def test_pencil_work_passes(tmp_path: Path) -> None:
    home = tmp_path / "basis_daemon" / "strategies"
    home.mkdir(parents=True)
    pure = "from decimal import Decimal\nfrom basis_daemon.domain.order import Order\nHALF = Decimal('0.5')\n"
    (home / "calm.py").write_text(pure, encoding="utf-8")
    assert strategies_are_pencil_only(Tree.of_folder(tmp_path)).faults == ()


def test_a_tree_without_strategies_fails(tmp_path: Path) -> None:
    assert strategies_are_pencil_only(Tree.of_folder(tmp_path)).faults


def test_capital_is_enough_to_enter() -> None:
    holdings = basis_pictures(_Book())[0].question[3].holdings
    assert sum(holdings.values()) >= Decimal(10_000)
