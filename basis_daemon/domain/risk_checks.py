"""The pre-trade gate's checks. It fails closed: what a missing datum leaves unchecked is denied, ``found`` None."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from operator import attrgetter

from basis_daemon.domain.deny import Denial, DenyReason
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import CEX_TRADES, Order, OrderOperation
from basis_daemon.domain.risk import ZERO, Approved, Effect, GateInput, Refused, RiskLimits, effect_of
from basis_daemon.domain.risk_caps import cap_denials
from basis_daemon.domain.risk_money import BP, balance_denials, margin_denials, price_bound, venue_cap_denials

DEFENCE_LEVEL_IN_DOUBT = 2
_ID_OF, _IS_HALTED = attrgetter("order_id"), attrgetter("is_halted")


def review(orders: Sequence[Order], limits: RiskLimits, seen: GateInput) -> Approved | Refused:
    """All or none: every check looks at the whole plan and adds its denials."""
    found: list[Denial] = []
    for check in CHECKS:
        found.extend(check(orders, limits, seen))
    return Refused(tuple(found)) if found else Approved(tuple(orders))


# --------------------------------------------------------------------------------------------------- restrictions
def restriction_denials(orders: Sequence[Order], _: RiskLimits, seen: GateInput) -> Iterator[Denial]:
    """What the state of the daemon and of the book lets through, judged by what each order does to risk."""
    if _is_unrestricted(seen):
        return
    for order in orders:
        effect = effect_of(order, orders, seen.exposure)
        for reason, is_denied, detail in _restrictions(order, effect, seen):
            if is_denied:
                yield Denial(reason, order.order_id, None, None, "", detail)


def _is_unrestricted(seen: GateInput) -> bool:
    """True when nothing restricts anybody: then it does not matter what an order does to risk."""
    risk = seen.risk
    is_held = seen.is_read_only or seen.is_halted or seen.is_reducing or risk.is_killed or seen.caution
    is_doubtful = risk.in_doubt or risk.breaks or risk.halted_until or seen.exposure.equity_usdt is None
    is_shut = risk.halted_instruments or any(map(_IS_HALTED, seen.market.instruments.values()))
    return seen.is_armed and not is_held and not is_doubtful and not is_shut


def _restrictions(order: Order, effect: Effect, seen: GateInput) -> Iterator[tuple[DenyReason, bool, str]]:
    risk = seen.risk
    is_defence = effect is Effect.DEFENCE or (bool(risk.flatten) and effect is Effect.NEUTRAL)
    is_urgent = is_defence and (seen.level > 0 or seen.is_operator)
    halted = risk.halted_until.get(order.venue)
    breaks = ", ".join(item.key for item in risk.breaks)
    yield DenyReason.DISARMED, not seen.is_armed, ""
    yield DenyReason.READ_ONLY, seen.is_read_only, ""
    yield DenyReason.KILL_SWITCH, risk.is_killed and not is_defence, effect
    yield DenyReason.GUARD_HALTED, seen.is_halted and not is_urgent, effect
    yield DenyReason.GUARD_REDUCING, seen.is_reducing and effect is Effect.ADDING, effect
    yield DenyReason.GUARD_CAUTION, bool(seen.caution) and effect is Effect.ADDING, seen.caution
    yield DenyReason.UNRESOLVED_BREAK, bool(risk.breaks) and not is_defence, breaks
    yield DenyReason.ACCOUNT_HALTED, _is_ahead(halted, seen) and effect is Effect.ADDING, order.venue
    yield DenyReason.EQUITY_UNKNOWN, seen.exposure.equity_usdt is None and effect is Effect.ADDING, ""
    yield DenyReason.INSTRUMENT_HALTED, bool(shut := _shut(order, seen)) and effect is Effect.ADDING, shut
    may_act_in_doubt = is_defence and seen.level >= DEFENCE_LEVEL_IN_DOUBT
    yield DenyReason.IN_DOUBT, bool(risk.in_doubt) and not may_act_in_doubt, ", ".join(risk.in_doubt)


def _shut(order: Order, seen: GateInput) -> str:
    """Why its instrument takes no new risk; empty when it does."""
    instrument = seen.market.instruments.get(order.instrument)
    if instrument is not None and instrument.is_halted:
        return f"{order.instrument} is closed at its venue"
    return seen.risk.halted_instruments.get(order.instrument, "")


def _is_ahead(until: datetime | None, seen: GateInput) -> bool:
    return until is not None and seen.market.time < until


# ------------------------------------------------------------------------------------------------ the order itself
def form_denials(orders: Sequence[Order], limits: RiskLimits, seen: GateInput) -> Iterator[Denial]:
    """Ids, keys, operations, recipients and expiry."""
    ids = list(map(_ID_OF, orders))
    for order in orders:
        times = ids.count(order.order_id)
        if times > 1 or order.order_id in seen.known_ids:
            yield Denial(DenyReason.DUPLICATE_ID, order.order_id, Decimal(times), Decimal(1), "times")
        undeclared = {order.instrument, *order.expected_deltas} - seen.declared_keys
        for token in (order.token_in, order.token_out):
            if token is not None and token not in seen.declared_keys:
                undeclared.add(token)
        for key in sorted(undeclared) if undeclared else ():
            if not _is_claim_of_declared(key, seen.declared_keys):
                yield Denial(DenyReason.UNDECLARED_KEY, order.order_id, None, None, "", key)
        if order.operation not in seen.operations.get(order.venue, frozenset()):
            detail = f"{order.operation} at {order.venue}"
            yield Denial(DenyReason.UNSUPPORTED_OPERATION, order.order_id, None, None, "", detail)
        if order.operation is OrderOperation.TRANSFER and order.recipient not in limits.recipients:
            yield Denial(DenyReason.RECIPIENT_NOT_ALLOWED, order.order_id, None, None, "", str(order.recipient))
        if order.is_expired(seen.market.time):
            yield Denial(DenyReason.EXPIRED, order.order_id, None, None, "", f"{order.expires_at}")


def _is_claim_of_declared(key: PositionKey, declared: Container[PositionKey]) -> bool:
    """Claims get their numbers when they are asked for: whoever declared any claim of an issuer declared each."""
    return key.kind is Kind.CLAIM and PositionKey.of(key.venue, Kind.CLAIM, "*") in declared


def freshness_denials(orders: Sequence[Order], _: RiskLimits, seen: GateInput) -> Iterator[Denial]:
    """Every order's own inputs: its book, its mark, the accounts it moves money between."""
    for order in orders:
        names = {f"account:{order.instrument.venue}"}
        for key in order.expected_deltas:
            names.add(f"account:{key.venue}")
        if order.operation in CEX_TRADES:
            names.add(f"book:{order.instrument}")
        if order.operation is OrderOperation.PERP_TRADE:
            names.add(f"mark:{order.instrument}")
        for name in sorted(names):
            age = seen.market.ages.get(name)
            if age is not None and not age.is_stale:
                continue
            found = None if age is None else max(age.arrival_age_s, age.venue_lag_s)
            yield Denial(DenyReason.STALE_INPUT, order.order_id, found, None, "s", name)


def size_denials(orders: Sequence[Order], limits: RiskLimits, seen: GateInput) -> Iterator[Denial]:
    """Steps and minima of the venue, and our own cap. Defence is not capped: it must not be cut by a limit of ours."""
    for order in orders:
        if order.operation not in CEX_TRADES:
            continue
        instrument, price = seen.market.instruments.get(order.instrument), price_bound(order)
        if instrument is None or price is None:
            yield Denial(DenyReason.QUANTITY_STEP, order.order_id, None, None, "", f"filters of {order.instrument}")
            continue
        quantity = order.quantity
        if quantity % instrument.quantity_step:
            step = instrument.quantity_step
            yield Denial(DenyReason.QUANTITY_STEP, order.order_id, quantity, step, instrument.base)
        notional = instrument.notional(quantity, price)
        if quantity < instrument.quantity_min:
            least = instrument.quantity_min
            yield Denial(DenyReason.BELOW_MINIMUM, order.order_id, quantity, least, instrument.base)
        if notional < instrument.notional_min and not order.reduce_only:
            least = instrument.notional_min
            yield Denial(DenyReason.BELOW_MINIMUM, order.order_id, notional, least, instrument.quote)
        cap = limits.order_notional_max_usdt
        if notional > cap and effect_of(order, orders, seen.exposure) is not Effect.DEFENCE:
            yield Denial(DenyReason.NOTIONAL_CAP, order.order_id, notional, cap, instrument.quote)


def price_denials(orders: Sequence[Order], limits: RiskLimits, seen: GateInput) -> Iterator[Denial]:
    """Reference and limit prices against the middle of the book now, and the slippage bound against its own limit."""
    for order in orders:
        if order.operation not in CEX_TRADES:
            continue
        book = seen.market.books.get(order.instrument)
        mid = None if book is None else book.mid
        for price in (order.ref_price,) if order.ref_price == order.price else (order.ref_price, order.price):
            if price is None or (mid is not None and abs(price - mid) <= limits.price_band_bp * BP * mid):
                continue
            away = None if mid is None else abs(price / mid - 1) / BP
            yield Denial(DenyReason.PRICE_BAND, order.order_id, away, limits.price_band_bp, "bp", order.instrument)
        slip = order.max_slippage_bp or ZERO
        if slip > limits.slippage_max_bp:
            yield Denial(DenyReason.PRICE_BAND, order.order_id, slip, limits.slippage_max_bp, "bp", "max_slippage_bp")


def rate_denials(orders: Sequence[Order], limits: RiskLimits, seen: GateInput) -> Iterator[Denial]:
    """A runaway is stopped here; urgent defence is not counted against it."""
    count = seen.sent_last_minute + len(orders)
    if not orders or count <= limits.orders_per_minute_max:
        return
    is_defence = seen.level >= DEFENCE_LEVEL_IN_DOUBT and all(
        effect_of(order, orders, seen.exposure) is Effect.DEFENCE for order in orders
    )
    if not is_defence:
        limit = Decimal(limits.orders_per_minute_max)
        yield Denial(DenyReason.ORDER_RATE, orders[0].order_id, Decimal(count), limit, "orders per minute")


CHECKS: tuple[Callable[[Sequence[Order], RiskLimits, GateInput], Iterator[Denial]], ...] = (
    restriction_denials,
    form_denials,
    freshness_denials,
    size_denials,
    price_denials,
    rate_denials,
    balance_denials,
    margin_denials,
    venue_cap_denials,
    cap_denials,
)
"""Every check looks at the whole plan; the list of denials is complete, not the first found."""
