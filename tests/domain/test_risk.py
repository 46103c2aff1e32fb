"""The pre-trade gate: what a good plan passes, and the one change that makes each check refuse it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace as told

from basis_daemon.domain.deny import DenyReason, deny_reasons_markdown
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.position import Break, BreakKind
from basis_daemon.domain.risk import Approved, Effect, GateInput, Refused, RiskLimits, effect_of
from basis_daemon.domain.risk_checks import review
from tests.builders import BINANCE, CASH, MARGIN, NOW, PERP, SPOT, D, Scene, idle, paired, parameters

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deny_reasons.md"
LIMITS = RiskLimits(
    order_notional_max_usdt=D(1_000_000),
    price_band_bp=D(50),
    slippage_max_bp=D(100),
    venue_share_max=D(1),
    orders_per_minute_max=60,
    z_open=D("1.5"),
    shocks={"BTC": D("0.2")},
    exchange_of={"binance": "binance", "binanceusdm": "binance"},
    recipients=frozenset({"binance", "binanceusdm"}),
)
OPERATIONS = {
    "binance": frozenset({OrderOperation.SPOT_TRADE, OrderOperation.TRANSFER}),
    "binanceusdm": frozenset({OrderOperation.PERP_TRADE, OrderOperation.TRANSFER}),
}
Change = Callable[[GateInput], GateInput]


def gate_of(scene: Scene, level: int = 0) -> GateInput:
    return GateInput(
        market=scene.market,
        exposure=scene.exposure,
        risk=scene.risk,
        declared_keys=scene.strategy.declared_keys,
        operations=OPERATIONS,
        is_armed=True,
        level=level,
    )


def reasons(orders: list[Order], seen: GateInput, limits: RiskLimits = LIMITS) -> set[DenyReason]:
    verdict = review(orders, limits, seen)
    return {denial.reason for denial in verdict.denials} if isinstance(verdict, Refused) else set()


def changed(orders: list[Order], place: int, **fields: object) -> list[Order]:
    return [Order(**order.model_dump() | fields) if n == place else order for n, order in enumerate(orders)]


SCENES = {
    "entry": idle(),
    "exit": paired(rates={"binance": (D("-0.0003"),) * 30}),
    "exit of a winner": paired(entry=D(70_000), m=D("0.5"), rates={"binance": (D("-0.0003"),) * 30}),
    "exit of a loser": paired(entry=D(55_000), m=D("0.3"), rates={"binance": (D("-0.0003"),) * 30}),
    "top-up": paired(m=D("0.2")),
    "top-up from cash": paired(m=D("0.2"), cash=D(20_000)),
    "emergency": paired(m=D("0.05")),
    "scale": paired(cash=D(5_000)),
    "withdrawal": paired().risky(withdrawal_pending_usdt=D(8_400)),
    "delta": paired().holding(base=D("1.05")),
}


@pytest.mark.feature("K05")
@pytest.mark.parametrize("name", sorted(SCENES))
def test_what_the_strategy_asks_for_in_a_sound_book_is_approved_whole(name: str) -> None:
    scene = SCENES[name]
    orders = scene.orders()
    assert orders
    verdict = review(orders, LIMITS, gate_of(scene, scene.assess().urgency))
    assert isinstance(verdict, Approved), str(verdict)
    assert verdict.orders == tuple(orders)


def risky(**changes: object) -> Change:
    return lambda seen: told(seen, risk=replace(seen.risk, **dict[str, object](changes)))  # type: ignore[arg-type]  # names are those of RiskView


def without(*names: str) -> Change:
    return lambda seen: told(
        seen, market=replace(seen.market, ages={k: v for k, v in seen.market.ages.items() if k not in names})
    )


def closed(key: PositionKey) -> Change:
    """The venue takes no orders for ``key``."""

    def change(seen: GateInput) -> GateInput:
        instruments = {**seen.market.instruments, key: replace(seen.market.instruments[key], is_halted=True)}
        return told(seen, market=replace(seen.market, instruments=instruments))

    return change


BREAK = Break(CASH, D(1), D(2), D(1), BreakKind.UNKNOWN)
CHANGES: list[tuple[DenyReason, Change]] = [
    (DenyReason.DISARMED, lambda seen: told(seen, is_armed=False)),
    (DenyReason.READ_ONLY, lambda seen: told(seen, is_read_only=True)),
    (DenyReason.KILL_SWITCH, risky(is_killed=True)),
    (DenyReason.GUARD_HALTED, lambda seen: told(seen, is_halted=True)),
    (DenyReason.GUARD_REDUCING, lambda seen: told(seen, is_reducing=True)),
    (DenyReason.GUARD_CAUTION, lambda seen: told(seen, caution="USDT is at 0.98 USD")),
    (DenyReason.INSTRUMENT_HALTED, risky(halted_instruments={PERP: "filled beyond what was asked"})),
    (DenyReason.IN_DOUBT, risky(in_doubt=("ab" * 16,))),
    (DenyReason.UNRESOLVED_BREAK, risky(breaks=(BREAK,))),
    (DenyReason.ACCOUNT_HALTED, risky(halted_until={"binance": NOW + timedelta(minutes=1)})),
    (DenyReason.INSTRUMENT_HALTED, risky(halted_instruments={PERP: "overfilled"})),
    (DenyReason.INSTRUMENT_HALTED, closed(SPOT)),
    (DenyReason.STALE_INPUT, without(f"book:{SPOT}")),
    (DenyReason.STALE_INPUT, without("account:binanceusdm")),
    (DenyReason.EQUITY_UNKNOWN, lambda seen: told(seen, exposure=replace(seen.exposure, equity_usdt=None))),
    (DenyReason.UNDECLARED_KEY, lambda seen: told(seen, declared_keys=seen.declared_keys - {MARGIN})),
    (DenyReason.UNSUPPORTED_OPERATION, lambda seen: told(seen, operations={})),
    (DenyReason.ORDER_RATE, lambda seen: told(seen, sent_last_minute=58)),
    (DenyReason.BALANCE, lambda seen: told(seen, reserved={CASH: D(200)})),
    (DenyReason.MARGIN_AFTER, lambda seen: told(seen, exposure=replace(seen.exposure, margins=()))),
    (DenyReason.PRICE_BAND, lambda seen: told(seen, market=replace(seen.market, books={}))),
    (DenyReason.QUANTITY_STEP, lambda seen: told(seen, market=replace(seen.market, instruments={}))),
    (DenyReason.DUPLICATE_ID, lambda seen: told(seen, known_ids={order.order_id for order in idle().orders()})),
]


@pytest.mark.fault("F16")
def test_what_is_held_in_a_closed_or_halted_market_may_still_be_reduced() -> None:
    scene = SCENES["emergency"]
    for change in (closed(PERP), risky(halted_instruments={PERP: "overfilled"})):
        assert isinstance(review(scene.orders(), LIMITS, change(gate_of(scene, scene.assess().urgency))), Approved)


@pytest.mark.feature("K05")
@pytest.mark.parametrize(("reason", "change"), CHANGES)
def test_an_entry_is_refused_whole_when_the_state_forbids_it_or_is_not_known(
    reason: DenyReason, change: Change
) -> None:
    assert reason in reasons(idle().orders(), change(gate_of(idle())))


@pytest.mark.feature("K05")
@pytest.mark.parametrize(
    ("reason", "place", "fields"),
    [
        (DenyReason.EXPIRED, 1, {"expires_at": NOW}),
        (DenyReason.RECIPIENT_NOT_ALLOWED, 0, {"recipient": "0xdead"}),
        (DenyReason.QUANTITY_STEP, 2, {"amount": D("1.1861")}),
        (DenyReason.BELOW_MINIMUM, 2, {"amount": D("0.001")}),
        (DenyReason.NOTIONAL_CAP, 1, {"amount": D(20)}),
        (DenyReason.PRICE_BAND, 1, {"ref_price": D(61_000)}),
        (DenyReason.PRICE_BAND, 1, {"max_slippage_bp": D(101)}),
        (DenyReason.BALANCE, 1, {"amount": D("1.2")}),
        (DenyReason.BALANCE, 0, {"amount": D(30_000), "expected_deltas": {CASH: D(-30_000), MARGIN: D(30_000)}}),
        (DenyReason.MARGIN_AFTER, 2, {"amount": D("1.6")}),
        (DenyReason.UNDECLARED_KEY, 0, {"token_in": "binance:spot:DOGE"}),
    ],
)
def test_one_wrong_order_refuses_the_whole_plan(reason: DenyReason, place: int, fields: dict[str, object]) -> None:
    assert reason in reasons(changed(idle().orders(), place, **fields), gate_of(idle()))


@pytest.mark.parametrize(("declared", "is_denied"), [("lido:claim:*", False), ("etherfi:claim:*", True)])
def test_a_claim_is_declared_with_its_issuer_for_its_number_comes_later(declared: str, *, is_denied: bool) -> None:
    claim = PositionKey("lido:claim:48211")
    orders = changed(idle().orders(), 0, expected_deltas={CASH: D(-1), claim: D(1)})
    seen = gate_of(idle())
    seen = told(seen, declared_keys=seen.declared_keys | {PositionKey(declared)})
    assert (DenyReason.UNDECLARED_KEY in reasons(orders, seen)) is is_denied


@pytest.mark.feature("O09")
def test_a_denial_says_which_order_what_was_found_and_what_was_allowed() -> None:
    orders = changed(idle().orders(), 1, ref_price=D(60_600))
    verdict = review(orders, LIMITS, gate_of(idle()))
    assert isinstance(verdict, Refused)
    denial = next(d for d in verdict.denials if d.reason is DenyReason.PRICE_BAND)
    assert (denial.order_id, denial.found, denial.limit, denial.unit) == (orders[1].order_id, D(100), D(50), "bp")
    assert str(denial) == f"price_band {orders[1].order_id}: {SPOT} 100, limit 50 bp"


def test_ids_that_repeat_within_a_plan_are_refused() -> None:
    orders = idle().orders()
    assert DenyReason.DUPLICATE_ID in reasons([orders[0], *orders], gate_of(idle()))


def test_money_that_would_exceed_the_share_of_one_exchange_is_refused() -> None:
    scene = idle()
    arriving = changed(
        scene.orders()[:1], 0, venue="wallet", instrument="wallet:token:USDT", token_in="wallet:token:USDT",
        recipient="binance", network="tron", amount=D(10_000),
        expected_deltas={"wallet:token:USDT": D(-10_000), CASH: D(10_000)},
    )  # fmt: skip
    limits = replace(LIMITS, venue_share_max=D("0.6"))
    routed = BINANCE.model_copy(update={"network": "tron"})
    seen = gate_of(idle(D(50_000), wallet=D(50_000), parameters=parameters(routed)))
    seen = told(seen, operations={**OPERATIONS, "wallet": frozenset({OrderOperation.TRANSFER})})
    assert reasons(arriving, seen, limits) == set()
    assert reasons(arriving, seen, replace(limits, venue_share_max=D("0.59"))) == {DenyReason.VENUE_CAP}


RESTRICTIONS: list[Change] = [
    risky(is_killed=True),
    risky(breaks=(BREAK,)),
    risky(in_doubt=("ab" * 16,)),
    lambda seen: told(seen, is_halted=True),
    lambda seen: told(seen, is_reducing=True),
    lambda seen: told(seen, sent_last_minute=1_000),
]


@pytest.mark.feature("K05")
@pytest.mark.parametrize("restrict", RESTRICTIONS)
def test_defence_of_level_two_passes_where_new_risk_does_not(restrict: Change) -> None:
    scene = paired(m=D("0.1"))
    assert reasons(scene.orders(), restrict(gate_of(scene, level=2))) == set()
    assert reasons(idle().orders(), restrict(gate_of(idle()))) != set()


def test_in_doubt_a_top_up_waits_and_halted_even_an_exit() -> None:
    topup = paired(m=D("0.2"))
    doubtful = risky(in_doubt=("ab" * 16,))(gate_of(topup, level=1))
    assert reasons(topup.orders(), doubtful) == {DenyReason.IN_DOUBT}
    leaving = SCENES["exit"]
    halted = told(gate_of(leaving), is_halted=True)
    assert reasons(leaving.orders(), halted) == {DenyReason.GUARD_HALTED}
    operator = told(halted, is_operator=True)
    assert reasons(leaving.orders()[:2], operator) == set()


def test_a_reducing_guard_lets_a_whole_exit_through() -> None:
    leaving = SCENES["exit"]
    assert reasons(leaving.orders(), told(gate_of(leaving), is_reducing=True)) == set()


def test_stale_defence_is_refused_too() -> None:
    scene = paired(m=D("0.1"))
    assert reasons(scene.orders(), without(f"mark:{PERP}")(gate_of(scene, level=3))) == {DenyReason.STALE_INPUT}


def test_margin_is_not_taken_from_a_short_that_needs_it() -> None:
    scene = paired(m=D("0.4"))
    take = changed(
        idle().orders()[:1], 0, venue="binanceusdm", instrument=MARGIN, token_in=MARGIN, recipient="binance",
        amount=D(10_000), expected_deltas={MARGIN: D(-10_000), CASH: D(10_000)},
    )  # fmt: skip
    verdict = review(take, LIMITS, gate_of(scene))
    assert isinstance(verdict, Refused)
    (denial,) = verdict.denials
    assert denial.reason is DenyReason.MARGIN_AFTER
    assert denial.found == ((1 + D(14_000) / 60_000) / D("1.01") - 1) / D("0.2")


def test_a_withdrawal_takes_its_share_of_a_margin_below_z_open_along_and_no_more() -> None:
    """Rule 4 keeps m: a pair that stood at z 1.29 after a rally stands there when a tenth of it is gone."""
    scene = paired(m=D("0.27")).risky(withdrawal_pending_usdt=D(7_600))
    buy, sell, move = orders = scene.orders()
    assert (move.operation, move.instrument) == ("transfer", MARGIN)
    assert review(orders, LIMITS, gate_of(scene)) == Approved(tuple(orders))
    greedy = changed([buy, sell, move], 2, amount=move.quantity + 2_000, expected_deltas={
        MARGIN: -(move.quantity + 2_000), CASH: move.quantity + 2_000})  # fmt: skip
    assert reasons(greedy, gate_of(scene)) == {DenyReason.MARGIN_AFTER}


def test_a_sale_of_the_long_leg_is_judged_with_its_group_and_with_delta() -> None:
    scene = paired(m=D("0.2"))
    perp, spot, transfer = scene.orders()
    exposure = scene.exposure
    assert [effect_of(o, scene.orders(), exposure) for o in (perp, spot, transfer)] == [Effect.DEFENCE] * 3
    assert effect_of(spot, [spot], exposure) is Effect.ADDING
    naked = paired().holding(base=D("1.2"))
    assert effect_of(spot, [spot], naked.exposure) is Effect.DEFENCE


@pytest.mark.feature("O09")
def test_every_reason_is_documented_and_the_page_is_the_generated_one() -> None:
    assert all(reason.doc.endswith(".") for reason in DenyReason)
    assert len({reason.value for reason in DenyReason}) == len(DenyReason)
    assert PAGE.read_text(encoding="utf-8") == deny_reasons_markdown()


def test_nothing_asked_is_nothing_refused() -> None:
    assert review([], LIMITS, gate_of(idle())) == Approved(())


def test_the_price_of_every_bound_is_decimal() -> None:
    assert all(isinstance(order.ref_price, Decimal) for order in idle().orders()[1:])
