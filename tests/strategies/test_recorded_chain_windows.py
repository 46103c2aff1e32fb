"""The acceptance windows of strategies.md 6 for the books on the chain: what recorded weeks make of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import pytest

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.levered import pickup
from basis_daemon.ports import Strategy
from basis_daemon.strategies.lending import PureLending
from basis_daemon.strategies.leveraged import EthLeveraged
from basis_daemon.strategies.onchain_memory import OnchainMemory
from basis_daemon.strategies.onchain_parameters import LendingParameters, LeveragedParameters, StakingParameters
from basis_daemon.strategies.staking import EthStakingOnly
from tests.builders import D, signs
from tests.strategies.chain_scenes import A_USDT, A_WEETH, DEBT, ETH, USDT, WEETH, Chain, Run
from tests.strategies.recorded import DATA, moment
from tests.strategies.recorded_chain import Hour, hours

BOOM, CRASH, SQUEEZE = "2024-03_funding_boom", "2024-08_crash_depeg", "2025-05_eth_squeeze"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not DATA.is_dir(), reason=f"no recorded history at {DATA}")]


def lived(window: str, since: str, run: Run) -> Iterator[Hour]:
    """Hour by hour: the book looks on before ``since``; from then on the reader decides and changes it in between."""
    for hour in hours(window):
        run.chain, run.time = hour.chain, hour.at
        run.remember()
        if hour.at >= moment(f"{since}T00:00:00Z"):
            yield hour


@dataclass
class Weeks:
    """A window that a candidate for leverage has seen: when it would have entered, b - y_eff and pickup by hour."""

    entries: list[datetime] = field(default_factory=list)
    costs: dict[datetime, Decimal] = field(default_factory=dict)
    pickups: dict[datetime, Decimal] = field(default_factory=dict)


def watched(window: str, since: str) -> Weeks:
    strategy, found = EthLeveraged(LeveragedParameters()), Weeks()
    p, run = strategy.parameters, Run(strategy, {ETH: D("100.4")}, Chain())
    for hour in lived(window, since, run):
        found.entries += [hour.at] if _levers(run) else []
        memory = run.memory
        assert isinstance(memory, OnchainMemory)
        spread, cost = memory.borrow.spreads[-1], max(p.c_exit_plan, memory.lst.sale_cost or D(0))
        found.costs[hour.at] = -spread
        found.pickups[hour.at] = pickup(spread, D(0), p.lambda_target, cost, p.hold_days_carry)
    return found


def _levers(run: Run) -> bool:
    return any(DEBT in order.expected_deltas for order in run.orders())


@pytest.mark.feature("S03", part="leverage")
def test_the_crash_opens_the_gate_of_leverage_at_its_end_and_never_costs_enough_to_leave() -> None:
    found = watched(CRASH, "2024-08-01")
    assert found.entries[0] == moment("2024-08-12T00:00:00Z")
    dearest = max(found.costs, key=lambda at: found.costs[at])
    assert (dearest, signs(found.costs[dearest], 2)) == (moment("2024-08-03T00:00:00Z"), "0.0017")


@pytest.mark.feature("S03", part="leverage")
def test_the_squeeze_never_pays_for_leverage() -> None:
    found = watched(SQUEEZE, "2025-05-06")
    assert found.entries == []
    first, last = found.pickups[moment("2025-05-06T00:00:00Z")], found.pickups[moment("2025-05-12T00:00:00Z")]
    assert signs(first, 1) == "0.006"
    assert max(found.pickups.values()) < D("0.010")
    assert last < 0


@pytest.mark.feature("S07", part="strategy")
@pytest.mark.parametrize(
    ("window", "since", "until", "levered", "health"),
    [
        (CRASH, "2024-08-01", "2024-08-12", "0.0017561372", "1.1177999"),  # LX8
        (SQUEEZE, "2025-05-06", "2025-05-12", "0.00021142805", "1.1176114"),  # LX5
    ],
)
def test_an_open_levered_book_is_left_alone_and_earns_the_golden_return(
    window: str, since: str, until: str, levered: str, health: str
) -> None:
    run = Run(EthLeveraged(LeveragedParameters()), {}, Chain(), emode=1)
    collateral, index = D(100) / D("0.15"), D(0)
    for hour in lived(window, since, run):
        if not index:
            index = hour.debt_index
            run.holdings = {ETH: D("0.4"), A_WEETH: collateral / hour.chain.lsts[WEETH].rate}
        run.holdings[DEBT] = D("0.85") * collateral * hour.debt_index / index
        assert run.orders() == [], run.assess()
        if hour.at == moment(f"{until}T00:00:00Z"):
            break
    seen = run.assess().inputs
    assert signs((seen["equity"].value - D("0.4")) / 100 - 1) == levered
    assert signs(seen["health_factor"].value) == health


@pytest.mark.feature("S08", part="strategy")
def test_a_lender_stays_supplied_through_the_boom_and_earns_the_index() -> None:  # WN5
    supplied, entered = D(98_000), D(0)
    run = Run(PureLending(LendingParameters()), {USDT: D(2_000), A_USDT: supplied, ETH: D("0.05")}, Chain())
    for hour in lived(BOOM, "2024-03-01", run):
        index = hour.chain.reserves[A_USDT].liquidity_index
        entered = entered or index
        run.holdings[A_USDT] = supplied * index / entered
        assert run.orders() == [], run.assess()
    assert signs(run.holdings[A_USDT] / supplied - 1) == "0.0096767154"


@pytest.mark.parametrize("strategy", [EthStakingOnly(StakingParameters()), EthLeveraged(LeveragedParameters())])
def test_without_readings_of_a_token_there_is_nothing_but_stale(strategy: Strategy) -> None:
    run = Run(strategy, {ETH: D(100)}, Chain())
    assert {run.assess().reason for _ in lived(BOOM, "2024-03-30", run)} == {ReasonCode.STALE}


def test_a_staking_book_holds_its_token_through_the_depeg() -> None:
    run = Run(EthStakingOnly(StakingParameters()), {ETH: D("0.05"), WEETH: D(93)}, Chain())
    values = []
    for _ in lived(CRASH, "2024-08-01", run):
        assert run.orders() == [], run.assess()
        values.append(run.assess().inputs["equity"].value)
    assert values == sorted(values)  # rates rose every day, whatever the DEX paid
