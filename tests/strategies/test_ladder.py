"""The shared margin ladder: which repair, at which level, and its golden amounts."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from basis_daemon.domain.margin import Ladder
from basis_daemon.domain.margin_plan import Source
from basis_daemon.strategies.ladder import Form, MarginSite, Repair, repair
from tests.builders import D, signs

ETH = MarginSite(
    notional=D(100), margin=D(12), mm=D("0.01"), m_star=D("0.4"), shock=D("0.25"), cost=D("0.0006"), sigma=None,
    long_value=D(100),
)  # fmt: skip
STAKED = replace(ETH, margin=D(6), m_star=D("0.5"), long_value=D(0), release_value=D(100), release_eta_h=D(1))


def acted(site: MarginSite) -> Repair:
    found = repair(site, Ladder(), D(20))
    assert isinstance(found, Repair), found
    return found


def test_the_long_leg_on_the_same_venue_restores_the_target_at_level_two() -> None:
    found = acted(ETH)
    assert (found.level, found.form, signs(found.amount)) == (2, Form.LONG_LEG, "20")  # CX11


def test_a_topped_up_book_of_the_specification() -> None:
    book = replace(ETH, notional=D(250) / 3, margin=D(50) / 3, m_star=D("0.5"))
    assert (acted(book).level, signs(acted(book).amount)) == (1, "16.666667")  # CX4
    cash = acted(replace(book, cash=(Source("wallet", D(1000), D(4)),)))
    assert (cash.form, signs(cash.amount)) == (Form.CASH, "25")  # CX10


def test_a_staked_hedge_without_a_long_leg_here_buys_back_first() -> None:
    found = acted(STAKED)
    assert (found.level, found.form) == (3, Form.BUY_BACK)  # m .06 lies below the emergency level of ETH
    assert signs(found.amount) == "79.313947"  # CX9


def test_the_squeeze_of_2025_is_met_by_a_release_of_the_sleeve() -> None:
    rise = D("0.24661386711884048")
    notional = 200_000 * (1 + rise)
    book = replace(
        STAKED, notional=notional, margin=100_000 - 200_000 * rise, release_value=D(200_000), sigma=D("0.01")
    )
    found = acted(book)
    assert (found.level, found.form, signs(found.amount)) == (1, Form.LONG_LEG, "49322.773")  # MN6


@pytest.mark.parametrize(("sigma", "level"), [("0.015", 1), ("0.045", 2), (None, 1), ("0", 1)])
def test_a_source_that_comes_after_a_quarter_of_the_time_left_counts_as_none(sigma: str | None, level: int) -> None:
    book = replace(
        STAKED, margin=D("25.9"), release_eta_h=D(2), sigma=None if sigma is None else D(sigma)
    )  # d .2465: a quarter of the time is 7.5 h at sigma .015 and .83 h at .045 (CX12)
    assert acted(book).level == level


def test_money_within_the_leg_budget_is_drawn_before_a_leg_is_sold_at_every_level() -> None:
    near = Source("binance:spot:USDT", D(10), D(0))
    found = acted(replace(ETH, cash=(near,)))
    assert (found.form, found.cash) == (Form.LONG_LEG, (near,))
    assert found.amount == (D(40) - 12 - 10) / D("1.4")
    enough = acted(replace(ETH, cash=(replace(near, amount=D(50)),)))
    assert (enough.level, enough.form, enough.amount) == (2, Form.CASH, D(28))
    far = acted(replace(ETH, cash=(Source("wallet", D(50), D(1)),)))
    assert (far.form, far.cash) == (Form.LONG_LEG, ())


def test_an_emergency_whose_proceeds_come_too_late_buys_back_without_them() -> None:
    slow = replace(ETH, margin=D(5), proceeds_eta_s=D(21))
    assert acted(slow).form is Form.BUY_BACK
    assert acted(replace(slow, proceeds_eta_s=D(20))).form is Form.LONG_LEG


def test_a_sound_account_and_one_under_repair_ask_for_nothing() -> None:
    assert repair(replace(ETH, margin=D("26.25")), Ladder(), D(20)) == "z 1.0000 >= 1"
    assert "level 2 is under way" in str(repair(replace(ETH, level_in_flight=2), Ladder(), D(20)))


def test_amounts_never_exceed_the_notional() -> None:
    lost = replace(ETH, margin=D(-500))
    assert acted(lost).amount <= lost.notional
    assert acted(replace(lost, long_value=D(0))).amount == Decimal(100)
