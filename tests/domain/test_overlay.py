"""The overlay in numbers, to the golden ones: what is borrowed, what it must earn, how lambda and margin restore."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.lending import fall_to_liquidation, health_of
from basis_daemon.domain.margin import ratio_after_move, top_up
from basis_daemon.domain.overlay import (
    idle_margin,
    overlay_apr,
    overlay_cost_apr,
    overlay_funding_for,
    overlay_target,
)
from tests.builders import D, signs

LAM, M, P = D("0.35"), D("0.4"), D(2500)
BOOK = overlay_target(D(100), P, LAM, M)
RATE = st.decimals("-0.5", "1.5", places=6)
M_STAR = st.decimals("0.25", 1, places=4)
LAMBDA = st.decimals("0.10", "0.45", places=4)


def after(price: str) -> tuple[Decimal, Decimal, Decimal]:
    """Notional, margin and worth of the core once the price moved and nobody acted."""
    now = D(price)
    return BOOK.quantity * now, BOOK.margin + BOOK.quantity * (P - now), 100 * now


def test_the_book_of_the_specification() -> None:
    assert tuple(map(signs, (BOOK.borrowed, BOOK.notional, BOOK.quantity, BOOK.margin))) == (
        "87500", "62500", "25", "25000",
    )  # EB2  # fmt: skip
    health = health_of(100 * P, BOOK.borrowed, D("0.83"))
    assert health is not None
    assert (signs(health), signs(fall_to_liquidation(health))) == ("2.3714286", "0.57831325")


def test_funding_pays_interest_and_round_trip_or_nothing_is_borrowed() -> None:
    cost = overlay_cost_apr(LAM, M, D("0.0036"), D(30))
    assert signs(overlay_apr(LAM, D("0.37"), D("0.12"), M) - cost) == "0.03955"  # EB3
    assert signs(overlay_apr(LAM, D("0.12"), D("0.055"), M) - cost) == "-0.0002"  # EB4


def test_a_rise_lowers_lambda_and_margin_together() -> None:
    notional, margin, core = after("3000")
    assert (signs(BOOK.borrowed / core), signs(margin / notional)) == ("0.29166667", "0.16666667")  # EB5
    assert ratio_after_move(M, D("0.2")) == margin / notional
    assert signs(BOOK.quantity * 500) == "12500"


def test_a_fall_leaves_idle_margin_that_restores_lambda_when_it_is_repaid() -> None:
    notional, margin, core = after("1900")
    idle = idle_margin(margin, notional, M)
    assert (signs(BOOK.borrowed / core), signs(idle)) == ("0.46052632", "21000")  # EB6
    assert ((BOOK.borrowed - idle) / core, (margin - idle) / notional) == (LAM, M)


def test_margin_for_a_rise_is_borrowed_and_lambda_is_what_it_was() -> None:
    notional, margin, core = after("2800")
    x = top_up(M, notional, margin)
    assert (signs(margin / notional), signs(x)) == ("0.25", "10500")  # EB7
    assert (BOOK.borrowed + x) / core == LAM


@given(st.decimals("-0.5", "1", places=4))
def test_whatever_the_price_margin_and_lambda_restore_each_other_exactly(move: Decimal) -> None:
    notional, margin, core = after(str(P * (1 + move)))
    assert abs(BOOK.borrowed - (margin - M * notional) - LAM * core) < D("1e-20")


@given(LAMBDA, RATE, RATE, M_STAR)
def test_the_rate_for_an_apr_earns_that_apr(lam: Decimal, apr: Decimal, b: Decimal, m: Decimal) -> None:
    assert abs(overlay_apr(lam, overlay_funding_for(apr, lam, b, m), b, m) - apr) < D("1e-20")


@given(LAMBDA, M_STAR, st.decimals("0.01", 10_000, places=4), st.decimals(100, 10_000, places=2))
def test_pair_and_margin_are_all_that_is_borrowed(lam: Decimal, m: Decimal, core: Decimal, price: Decimal) -> None:
    found = overlay_target(core, price, lam, m)
    assert abs(found.notional + found.margin - found.borrowed) < D("1e-18") * found.borrowed
    assert abs(found.borrowed - lam * core * price) == 0
