"""Shares of a book: what comes and goes changes how many there are, what is won and lost what one is worth."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.valuation import Shares, shares_after

D = Decimal
MILLION = D(1_000_000)


def drawdown(shares: Shares) -> Decimal:
    return 1 - shares.unit_value / shares.high


@pytest.mark.feature("P04", part="shares")
def test_a_withdrawal_and_a_loss_after_it_give_the_specified_unit_value() -> None:
    """UV1: E and units 1,000,000, 50,000 withdrawn, then 20,000 lost."""
    first = shares_after(None, MILLION, D(0))
    withdrawn = shares_after(first, D(950_000), D(-50_000))
    lost = shares_after(withdrawn, D(930_000), D(0))
    assert (withdrawn.unit_value, withdrawn.units) == (D(1), D(950_000))
    assert round(lost.unit_value, 8) == D("0.97894737")
    assert round(drawdown(lost), 9) == D("0.021052632")


steps = st.lists(
    st.tuples(
        st.decimals("-0.30", "0.50", places=4),  # return of the interval
        st.decimals("-0.60", "3", places=4),  # capital that comes or goes at its end, of the equity then
    ),
    min_size=1,
    max_size=30,
)


@pytest.mark.feature("P04", part="shares")
@given(st.decimals("1000", "10000000", places=2), steps)
def test_share_price_and_drawdown_are_those_of_a_book_that_nobody_ever_paid_into(
    start: Decimal, path: list[tuple[Decimal, Decimal]]
) -> None:
    shares, equity = shares_after(None, start, D(0)), start
    alone = Shares(start, D(1), D(1))
    for gained, moved in path:
        earned = equity * (1 + gained)
        flow = earned * moved
        equity = earned + flow
        shares = shares_after(shares, equity, flow)
        value = alone.unit_value * (1 + gained)
        alone = Shares(alone.units, value, max(alone.high, value))
        assert abs(shares.unit_value / alone.unit_value - 1) < D("1e-20")
        assert abs(shares.units * shares.unit_value / equity - 1) < D("1e-20")
        assert abs(drawdown(shares) - drawdown(alone)) < D("1e-20")


def test_a_book_that_was_emptied_goes_on_at_its_old_share_price_when_money_comes_back() -> None:
    risen = shares_after(Shares(D(100), D(1), D(1)), D(110), D(0))
    emptied = shares_after(risen, D(0), D(-110))
    again = shares_after(emptied, D(220), D(220))
    assert (emptied.units, emptied.unit_value) == (D(0), D("1.1"))
    assert (again.units, again.unit_value, again.high) == (D(200), D("1.1"), D("1.1"))


@pytest.mark.parametrize("flow", [D(50), D(60), D(500)])
def test_money_into_a_book_that_had_lost_everything_hides_nothing_of_the_loss(flow: Decimal) -> None:
    """Nothing was left, or ten were owed: whatever came in between, a unit is worth nothing."""
    for own in (D(0), D(-10)):
        ruined = shares_after(Shares(D(100), D(1), D(1)), flow + own, flow)
        assert (ruined.units, drawdown(ruined)) == (D(100), D(1))
