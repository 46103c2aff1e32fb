"""What a levered book does not know: it holds, says what it lacks, and divides by nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from basis_daemon.domain.decision import ReasonCode
from tests.builders import D
from tests.strategies.chain_scenes import A_WEETH, DEBT, ETH
from tests.strategies.levered_scenes import at, levered

NEEDED = ("lst:wallet:lst:weETH", "reserve:aave_v3:atoken:WETH", "gas:wallet:token:ETH", "account:etherfi")


@pytest.mark.parametrize("name", [*NEEDED, "emode:aave_v3:atoken:weETH", "account:aave_v3", "account:wallet"])
def test_a_stale_input_holds(name: str) -> None:
    run = levered()
    run.holdings[ETH] += D(20)
    run.stale = frozenset({name})
    assert run.step(hours=1) is ReasonCode.STALE
    assert name in run.assess().note
    assert run.orders() == []


def test_a_debt_without_the_protocols_own_word_is_unknown() -> None:
    run = at("0.85")
    shownless = replace(run.exposure, lendings={})
    found = run.strategy.assess(run.time, "market", run.market, shownless, run.risk)
    assert found.reason is ReasonCode.STALE
    assert found.note == "unknown: lending:aave_v3"


@pytest.mark.parametrize("debt", ["0.4", "-0.000001"])
def test_a_debt_without_collateral_is_told_and_not_divided_by(debt: str) -> None:
    """What a liquidation leaves, or a whole exit until the interest that it paid is booked."""
    run = at("0.85")
    run.holdings[A_WEETH], run.holdings[DEBT] = D(0), D(debt)
    found = run.assess()
    assert found.reason is ReasonCode.STALE
    assert found.note == f"a debt of {debt} WETH without collateral"
    assert run.orders() == []


def test_a_loan_that_is_told_before_its_reserves_are_holds() -> None:
    """What a start hears first of a head: the account in the protocol's figures, and no price yet."""
    run = at("0.85")
    run.chain = replace(run.chain, reserves={}, emodes={})
    found = run.strategy.assess(run.time, "market", run.market, run.exposure, run.risk)
    assert found.reason is ReasonCode.STALE
    assert run.strategy.make_strategy_decision(run.time, "market", run.market, run.exposure, run.risk) == []


def test_nothing_at_all_was_ever_read() -> None:
    run = at("0.85")
    exposure = replace(run.exposure, lendings={})
    run.chain = replace(run.chain, lsts={}, reserves={}, emodes={})
    found = run.strategy.assess(run.time, "market", run.market, exposure, run.risk)
    assert found.reason is ReasonCode.STALE
