"""What balances do by themselves is posted with its cause and adds up exactly."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.venues.chain.accrual import Balances, accruals
from basis_daemon.venues.chain.deltas import Moved
from basis_daemon.venues.chain.tokens import atoken, held_at, vdebt

A, B = (BlockRef(n, f"0x{n:064x}", datetime(2026, 1, n, tzinfo=UTC)) for n in (1, 2))
ATOKEN, VDEBT, CLAIM = atoken("WETH"), vdebt("WETH"), PositionKey("lido:claim:7")
WEI = st.integers(0, 10**27).map(lambda wei: Decimal(wei).scaleb(-18))
SIGNED = st.integers(-(10**27), 10**27).map(lambda wei: Decimal(wei).scaleb(-18))
TINY = st.integers(-2, 2).map(lambda wei: Decimal(wei).scaleb(-18))


@given(WEI, WEI, SIGNED, TINY)
def test_postings_and_own_moves_are_the_whole_difference(
    before: Decimal, after: Decimal, moved: Decimal, rounding: Decimal
) -> None:
    own = Moved({ATOKEN: moved}, {ATOKEN: rounding})
    flows = list(accruals(Balances(A, {ATOKEN: before}), Balances(B, {ATOKEN: after}), own))
    assert sum((flow.amount for flow in flows), moved) == after - before
    assert [flow.amount for flow in flows if flow.cause is Cause.ROUNDING] == ([rounding] if rounding else [])
    assert len({flow.flow_id for flow in flows}) == len(flows)


@pytest.mark.parametrize(
    ("key", "cause"),
    [
        (ATOKEN, Cause.INTEREST),
        (VDEBT, Cause.INTEREST),
        (held_at("stETH"), Cause.REBASE),
        (held_at("eETH"), Cause.REBASE),
        (CLAIM, Cause.REBASE),
    ],
)
def test_each_growth_has_its_cause(key: PositionKey, cause: Cause) -> None:
    (flow,) = accruals(Balances(A, {key: Decimal(1)}), Balances(B, {key: Decimal("1.1")}), Moved())
    assert (flow.cause, flow.amount, flow.venue_time) == (cause, Decimal("0.1"), B.time)


@pytest.mark.parametrize("symbol", ["WETH", "USDT", "wstETH", "weETH", "ETH"])
def test_what_cannot_grow_is_left_to_the_reconciliation(symbol: str) -> None:
    key = held_at(symbol)
    assert not list(accruals(Balances(A, {key: Decimal(1)}), Balances(B, {key: Decimal(2)}), Moved()))


def test_a_key_that_was_not_read_is_unknown_and_not_zero() -> None:
    assert not list(accruals(Balances(A, {ATOKEN: Decimal(1)}), Balances(B, {}), Moved()))
    assert not list(accruals(Balances(A, {}), Balances(B, {ATOKEN: Decimal(1)}), Moved()))


def test_a_claim_made_in_between_begins_at_nothing() -> None:
    (flow,) = accruals(Balances(A, {}), Balances(B, {CLAIM: Decimal("0.9")}), Moved({CLAIM: Decimal(1)}))
    assert (flow.cause, flow.amount) == (Cause.REBASE, Decimal("-0.1"))
