"""Directional books: what a word becomes, how long it lasts, what guards the position, and what is as if unsaid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basis_daemon.domain.bracket import BracketFired, Guarding
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.order import AmountUnit, Side
from basis_daemon.domain.prediction import Signal
from basis_daemon.domain.trade import OrderState, Origin, Trade, TradeStatus
from basis_daemon.strategies.directional import MlBtcDirectional, MlUsdtDirectional
from tests.builders import D, signs
from tests.strategies.ml_scenes import BAR, CASH, COIN, LINEAR, MlRun, inverse, linear, long

LONG, SHORT, NEUTRAL, HOLD = Signal.LONG, Signal.SHORT, Signal.NEUTRAL, Signal.HOLD
BOTH = pytest.mark.parametrize("make", [linear, inverse], ids=["usdt", "btc"])
Make = Callable[[], MlRun]


# ------------------------------------------------------------------------------------------------------ parameters
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"models": ()}, "models is empty"),
        ({"ml_conf_hold": D("0.8")}, "ml_conf_hold < ml_conf_enter is broken"),
        ({"ml_size": D(2)}, "ml_size 2, expected 0.05 to 1"),
        ({"ml_daily_loss": D("0.5")}, "ml_daily_loss 0.5, expected 0.005 to 0.10"),
    ],
)
def test_a_wrong_parameter_is_told(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        linear("1", **changes)


def test_a_book_refuses_the_parameters_of_the_other_class() -> None:
    with pytest.raises(ConfigError, match="class BTC, expected USDT"):
        MlUsdtDirectional(inverse().p)
    with pytest.raises(ConfigError, match="class USDT, expected BTC"):
        MlBtcDirectional(linear().p)


def test_defaults_and_what_each_declares() -> None:
    assert (linear().p.venue_cap, linear().p.max_drawdown, linear().p.symbol) == (D(1), D("0.20"), "BTCUSDT")
    assert linear().strategy.declared_keys == {LINEAR, "binanceusdm:spot:USDT"}
    assert inverse().strategy.declared_keys == {"binanceusdm:perp:BTCUSD", COIN}
    assert (inverse().strategy.charter.numeraire, linear().strategy.charter.numeraire) == ("BTC", "USDT")


# ----------------------------------------------------------------------------------------------------------- entry
def test_a_sure_word_becomes_one_order_with_its_bracket() -> None:
    run = linear().said(LONG)
    (order,) = run.orders()
    assert (order.side, order.quantity, order.reduce_only) == (Side.BUY, D("0.833"), False)  # ML1
    assert (order.stop_loss, order.take_profit) == (D(59_460), D(60_810))  # ML2
    assert run.assess().reason.value == "SIGNAL"


def test_a_coin_book_lays_whole_contracts_over_its_capital() -> None:
    run = inverse().said(LONG)
    (order,) = run.orders()
    assert (order.side, order.quantity, order.amount_unit) == (Side.BUY, D(600), AmountUnit.CONTRACTS)  # ML4
    run.step()
    run.price = D(57_000)
    assert signs(run.exposure.margins[0].margin - 2) == "-0.052631579"  # ML5
    short = inverse().said(SHORT)
    short.price = D(60_050)
    (order,) = short.orders()
    assert (order.side, order.quantity) == (Side.SELL, D(600))  # ML9


@BOTH
def test_a_short_stands_on_the_other_side_of_its_bracket(make: Make) -> None:
    (order,) = make().said(SHORT).orders()
    assert (order.side, order.stop_loss, order.take_profit) == (Side.SELL, D(60_540), D(59_190))


@BOTH
@pytest.mark.parametrize("confidence", ["0.69", "0.5", "0"])
def test_an_unsure_word_opens_nothing(make: Make, confidence: str) -> None:
    run = make().said(LONG, confidence)
    assert (run.step(), run.held) == ("HOLD", D(0))


@BOTH
@pytest.mark.parametrize("signal", [NEUTRAL, HOLD])
def test_a_word_without_a_side_opens_nothing(make: Make, signal: Signal) -> None:
    assert make().said(signal).orders() == []


@BOTH
@pytest.mark.parametrize(
    "changes",
    [{"symbol": "ETHUSDT"}, {"model_version": "v8"}, {"bar_time": "2025-05-06T11:00:00Z"}],
)
def test_a_word_that_does_not_count_is_as_if_unsaid_and_told(make: Make, changes: dict[str, object]) -> None:
    run = make().said(LONG, "0.8", "0.0045", **changes)
    found = run.assess()
    assert (run.step(), run.known.last) == ("HOLD", None)
    assert any(run.known.refused in item.why for item in found.rejected if item.rule.value == "SIGNAL")


def test_the_target_is_frozen_when_it_is_first_aimed_at() -> None:
    run = long(linear())
    for price in ("60700", "60500", "60300"):
        run.later(price=price).said(LONG)
        assert run.step() == "HOLD"
    assert run.held == D("0.833")


def test_a_partly_filled_order_is_completed_to_the_same_target_and_not_taken_back() -> None:
    run = linear().said(LONG)
    run.step(filled=D("0.4"))
    run.price = D(60_100)
    (order,) = run.orders()
    assert run.held + order.quantity == D("0.833")
    assert order.side is Side.BUY
    entry = D(60_000)
    assert order.stop_loss == D("59460.00")  # anchored on what is held: 60,000
    assert run.entry == entry
    run.step()
    assert (run.held, run.step()) == (D("0.833"), "HOLD")


# ------------------------------------------------------------------------------------------------------- next words
@BOTH
@pytest.mark.parametrize(
    ("signal", "confidence", "stays"),
    [(LONG, "0.55", True), (LONG, "0.54", False), (SHORT, "0.69", True), (HOLD, "0", True), (NEUTRAL, "0.9", False)],
)
def test_what_a_later_word_does_to_a_long(make: Make, signal: Signal, confidence: str, *, stays: bool) -> None:
    run = long(make())
    before = run.held
    run.later(2).said(signal, confidence)
    run.step()
    assert run.held == (before if stays else 0)


def test_a_sure_word_of_the_other_side_reverses_in_one_order() -> None:
    run = long(linear())
    run.later(2).said(SHORT)
    (order,) = run.orders()
    assert (order.side, order.quantity, order.reduce_only) == (Side.SELL, D("1.666"), False)  # ML3
    run.step()
    assert (run.held, run.entry) == (D("-0.833"), D(60_000))
    assert run.later().step() == "HOLD"


def test_a_reversal_right_after_the_entry_is_flat_first() -> None:
    run = long(linear())
    run.later(1).said(SHORT)
    (order,) = run.orders()
    assert (order.quantity, order.reduce_only) == (D("0.833"), True)
    run.step()
    run.later(1).said(SHORT)
    run.step()
    assert run.held < 0


@BOTH
def test_only_a_sure_word_of_its_side_renews_a_hold_and_its_end_is_flat(make: Make) -> None:
    renewed, kept = long(make()), long(make())
    for bar in range(1, 13):
        renewed.later().said(LONG, "0.7")
        kept.later().said(LONG, "0.6")
        assert renewed.step() == "HOLD"
        assert kept.step() == ("SIGNAL" if bar == 12 else "HOLD")
    assert renewed.held
    assert not kept.held


@BOTH
def test_silence_of_three_bars_is_flat(make: Make) -> None:
    run = long(make())
    assert [run.later().step() for _ in range(4)] == ["HOLD", "HOLD", "HOLD", "SIGNAL"]
    assert run.held == 0


@BOTH
def test_after_its_end_a_position_needs_a_word_of_a_later_bar(make: Make) -> None:
    run = long(make())
    run.later(4).step()
    assert run.later().step() == "HOLD"
    run.said(HOLD)
    assert run.step() == "HOLD"
    run.later().said(LONG)
    assert run.step() == "SIGNAL"


# ----------------------------------------------------------------------------------------------------------- guards
@BOTH
@pytest.mark.parametrize("half", list(Guarding))
def test_a_bracket_that_fired_ends_the_side_until_a_later_bar_is_spoken_of(make: Make, half: Guarding) -> None:
    run = long(make())
    run.holdings[run.key] = D(0)
    run.fold(BracketFired(run.key, half, run.time))
    assert (run.step(), run.orders()) == ("HOLD", [])
    run.later().said(LONG, "0.6")
    assert run.step() == "HOLD"
    run.later().said(LONG)
    assert run.step() == "SIGNAL"


@BOTH
@pytest.mark.parametrize(("price", "half"), [("59400", "stop"), ("60900", "take_profit")])
def test_a_mark_beyond_the_bracket_is_closed_here_when_the_venue_did_not(make: Make, price: str, half: str) -> None:
    run = long(make())
    run.price = D(price)
    found, (order,) = run.assess(), run.orders()
    assert (found.reason.value, order.reduce_only, order.side) == ("BRACKET", True, Side.SELL)
    assert half in found.note
    run.step()
    assert (run.held, run.step()) == (D(0), "HOLD")


@BOTH
def test_a_bracket_stands_around_the_real_entry_and_not_the_first_mid(make: Make) -> None:
    run = long(make())
    run.entry = D(60_600)  # filled a percent worse
    run.price = D(60_040)
    assert run.assess().reason.value == "BRACKET"


@BOTH
def test_a_bad_day_is_flat_until_the_next_one(make: Make) -> None:
    run = long(make())
    run.risk = replace(run.risk, unit_value=D("0.969"), unit_value_of_day=D(1))
    assert run.step() == "DRAWDOWN"
    assert run.held == 0
    run.later().said(LONG)
    assert (run.step(), run.held) == ("DRAWDOWN", D(0))
    run.risk = replace(run.risk, unit_value_of_day=D("0.969"))
    run.later().said(LONG)
    assert run.step() == "SIGNAL"


@BOTH
def test_a_drawdown_is_flat_until_an_operator_lets_it_in(make: Make) -> None:
    run = long(make())
    run.risk = replace(run.risk, unit_value=D("0.79"))
    found = run.assess()
    assert (found.reason.value, found.page) == ("DRAWDOWN", True)
    run.step()
    run.later().said(LONG)
    assert (run.step(), run.held) == ("DRAWDOWN", D(0))


@pytest.mark.parametrize(("predicted", "enters"), [("0.0001", True), ("0.0109", False), ("-0.05", True)])
def test_funding_that_eats_the_target_keeps_a_long_out(predicted: str, *, enters: bool) -> None:
    run = linear()
    run.predicted = D(predicted)  # an hour of it is an eighth; a tenth of 135 bp is 13.5 bp
    assert bool(run.said(LONG).orders()) is enters


def test_a_reversal_that_funding_forbids_still_leaves_the_old_side() -> None:
    run = long(linear())
    run.predicted = D("-0.05")
    run.later(2).said(SHORT)
    (order,) = run.orders()
    assert (order.quantity, order.reduce_only) == (D("0.833"), True)


def test_a_forced_reduction_ends_the_side_and_keeps_the_venue_shut_for_a_day() -> None:
    run = long(linear())
    forced = Trade(
        trade_id="adl:1",
        order_id="",
        account="binanceusdm",
        instrument=LINEAR,
        status=TradeStatus.FILLED,
        order_state=OrderState.FILLED,
        venue_time=run.time,
        recv_time=run.time,
        price=D(60_000),
        qty_base=D("0.3"),
        origin=Origin.ADL,
        deltas={LINEAR: D("-0.3")},
    )
    run.fold(forced)
    run.holdings[LINEAR] -= D("0.3")
    assert run.step() == "SIGNAL"
    assert run.held == 0
    run.later().said(LONG)
    assert run.step() == "HOLD"
    run.time += timedelta(hours=24)
    run.said(LONG)
    assert run.step() == "SIGNAL"


@pytest.mark.parametrize(("m", "reason"), [("0.0991", "LIQ_REDUCE"), ("0.0496", "LIQ_EMERGENCY")])
def test_near_liquidation_a_position_is_left_and_never_topped_up(m: str, reason: str) -> None:
    run = long(linear())
    run.holdings[CASH] = D(m) * run.held * run.price  # .45 and .2 shocks of 20 %
    found, (order,) = run.assess(), run.orders()
    assert (found.reason.value, order.reduce_only, order.quantity) == (reason, True, D("0.833"))


def test_a_short_overlay_of_its_own_coins_cannot_be_liquidated_by_price() -> None:
    run = inverse().said(SHORT)
    run.step()
    run.memory, run.price = replace(run.known, sd=D(0)), D(600_000)
    assert run.assess().reason.value == "HOLD"


def test_what_nobody_aimed_at_is_taken_off() -> None:
    run = long(linear())
    run.holdings[LINEAR] += D("0.2")
    (order,) = run.orders()
    assert (run.assess().reason.value, order.side, order.quantity, order.reduce_only) == (
        "DELTA", Side.SELL, D("0.2"), True,
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------------- restriction
@BOTH
@pytest.mark.parametrize("name", ["mark", "book", "account"])
def test_what_cannot_be_seen_is_neither_entered_nor_left_by_signal(make: Make, name: str) -> None:
    run = make().said(LONG)
    run.stale = frozenset({f"{name}:binanceusdm" if name == "account" else f"{name}:{run.key}"})
    assert (run.step(), run.held) == ("STALE", D(0))


@BOTH
@pytest.mark.parametrize("gone", ["books", "marks", "instruments"])
def test_what_was_never_seen_is_no_exception_and_no_new_risk(make: Make, gone: str) -> None:
    for run in (make().said(LONG), long(make()).later(20)):
        changes: dict[str, Any] = {gone: {}, "ages": {}}
        market = replace(run.market, **changes)
        question = (run.time, "market", market, run.exposure, run.risk)
        assert run.strategy.assess(*question).reason.value == "STALE"
        assert run.strategy.make_strategy_decision(*question) == []


@BOTH
def test_its_memory_survives_and_equal_questions_have_equal_answers(make: Make) -> None:
    run = long(make())
    assert run.strategy.load_memory(run.strategy.dump_memory(run.memory)) == run.memory
    fresh = make().said(LONG)
    assert fresh.orders() == make().said(LONG).orders()
    assert {"confidence", "sd", "side", "equity", f"mark:{run.key}"} <= set(run.assess().inputs)
    assert {f"target:{run.key}", "ml_conf_enter"} <= set(run.assess().thresholds)


WORDS = st.lists(
    st.tuples(
        st.sampled_from(list(Signal)),
        st.sampled_from(["0.5", "0.6", "0.8"]),
        st.integers(1, 5),
        st.decimals("-0.02", "0.02", places=4),
        st.sampled_from([D(1), D("0.5")]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(WORDS, st.booleans())
def test_whatever_is_said_no_position_is_larger_than_its_share_or_without_a_bracket(
    words: list[tuple[Signal, str, int, Decimal, Decimal]], is_linear: bool
) -> None:
    run = linear() if is_linear else inverse()
    for signal, confidence, bars, move, filled in words:
        run.later(bars, str((run.price * (1 + move)).quantize(D("0.1")))).said(signal, confidence)
        run.step(filled)
        for _, orders in run.acts:
            for order in orders:
                assert order.reduce_only or (order.stop_loss is not None and order.take_profit is not None)
        size = abs(run.held) * (run.price if is_linear else D(100) / run.price)
        equity = run.exposure.equity_usdt if is_linear else run.exposure.margins[0].margin
        assert equity is not None
        assert size <= equity * D("0.56")
        if run.known.side == 0 and filled == 1:
            assert not run.held
    run.time += 20 * BAR
    run.step()
    assert run.held == 0


def test_a_bracket_that_its_venue_holds_is_not_closed_here_too() -> None:
    run = long(linear())
    run.risk, run.price = replace(run.risk, guarded=frozenset({LINEAR})), D(59_000)
    assert run.assess().reason.value != "BRACKET"
    run.risk = replace(run.risk, guarded=frozenset())
    assert run.assess().reason.value == "BRACKET"


@pytest.mark.feature("M01")
def test_every_decision_names_the_model_and_the_bar_that_it_follows() -> None:
    run = linear().said(Signal.LONG)
    for said in (run.assess(), long(linear()).assess()):
        notes = [said.note, *(rejected.why for rejected in said.rejected)]
        assert any("model v7 of bar 2025-05-06T11:55:00+00:00" in note for note in notes)
