"""Checks of the gate that walk through the plan's money: balances, margin after every batch, share at one exchange.

Every flow is taken at its worst inside the order's own bounds: a buy costs its slippage bound and its fee, a sale
brings less by both. Orders of one group count as done together, groups and single orders one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from basis_daemon.domain.decision import MarginState
from basis_daemon.domain.deny import Denial, DenyReason
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.margin import distance_of, maintenance_rate
from basis_daemon.domain.order import CEX_TRADES, Order, OrderOperation, Side
from basis_daemon.domain.risk import ZERO, GateInput, RiskLimits

BP = Decimal("1e-4")
UNWIND_COST_Z = Decimal("0.05")
"""Shocks that the worst fills and fees of an unwinding may cost an account whose margin ratio it keeps."""
_COUNTED = frozenset({Kind.SPOT, Kind.TOKEN, Kind.ATOKEN, Kind.LST, Kind.SHARE})


def price_bound(order: Order) -> Decimal | None:
    """The worst price at which the order may fill; None when it names none."""
    if order.price is not None:
        return order.price
    if order.ref_price is None or order.side is None:
        return None
    return order.ref_price * (1 + order.side.sign * (order.max_slippage_bp or ZERO) * BP)


def worst_flows(order: Order, seen: GateInput) -> Mapping[PositionKey, Decimal]:
    """Signed change of every balance at the order's bounds; what it only promises elsewhere is taken as promised."""
    instrument, bound = seen.market.instruments.get(order.instrument), price_bound(order)
    if order.operation not in CEX_TRADES or instrument is None or bound is None:
        return {key: amount for key, amount in order.expected_deltas.items() if key.kind in _COUNTED}
    quantity, fee = order.quantity, instrument.taker_fee
    value = abs(quantity * instrument.unit_worth(bound))
    if order.operation is OrderOperation.PERP_TRADE:
        return {instrument.quote_key: _realised(order, seen) - value * fee}
    if order.side is Side.BUY:
        return {instrument.quote_key: -value * (1 + fee), order.instrument: quantity * (1 - fee)}
    return {instrument.quote_key: value * (1 - fee), order.instrument: -quantity}


def _realised(order: Order, seen: GateInput) -> Decimal:
    """Share of the account's unrealised P&L that a reducing perp order turns into coin."""
    state = margin_state(order.instrument, seen)
    instrument = seen.market.instruments[order.instrument]
    if state is None or state.quantity * order.signed_quantity >= 0:
        return ZERO
    unrealised = state.margin - seen.exposure.holdings.get(instrument.quote_key, ZERO)
    return unrealised * min(order.quantity / abs(state.quantity), Decimal(1))


def margin_state(key: PositionKey, seen: GateInput) -> MarginState | None:
    """The account's state with this perp."""
    return next((state for state in seen.exposure.margins if state.instrument == key), None)


def batches_of(orders: Sequence[Order]) -> Iterator[list[Order]]:
    """Orders that are done together: the members of a group, or one order."""
    batch: list[Order] = []
    for order in orders:
        if batch and (order.group_id is None or order.group_id != batch[-1].group_id):
            yield batch
            batch = []
        batch.append(order)
    if batch:
        yield batch


# ------------------------------------------------------------------------------------------------------- balances
def balance_denials(orders: Sequence[Order], _: RiskLimits, seen: GateInput) -> Iterator[Denial]:
    """One denial per order that would take a balance below zero."""
    running = dict(seen.exposure.holdings)
    if seen.reserved:
        for key in seen.reserved.keys() & running.keys():
            running[key] -= seen.reserved[key]
    for order in orders:
        is_priced = order.instrument in seen.market.instruments and (order.price or price_bound(order)) is not None
        if order.operation in CEX_TRADES and not is_priced:
            yield Denial(DenyReason.BALANCE, order.order_id, None, None, "", f"cost of {order.instrument}")
            continue
        for key, change in worst_flows(order, seen).items():
            before = running.get(key, ZERO)
            running[key] = before + change
            if change < 0 and running[key] < 0 and not _is_margin_coin_of_a_perp(order, key):
                yield Denial(DenyReason.BALANCE, order.order_id, before, -change, key.symbol, f"balance of {key}")


def _is_margin_coin_of_a_perp(order: Order, key: PositionKey) -> bool:
    """A perp's fee and loss come out of the margin, which the margin check watches."""
    return order.operation is OrderOperation.PERP_TRADE and key.venue == order.venue


# --------------------------------------------------------------------------------------------------- margin after
@dataclass(slots=True)
class _Account:
    state: MarginState
    coin: PositionKey
    quantity: Decimal
    margin: Decimal
    is_riskier: bool = False


def margin_denials(orders: Sequence[Order], limits: RiskLimits, seen: GateInput) -> Iterator[Denial]:
    """After each batch that enlarges a perp or takes margin away, the account must stand at ``z_open`` or better.

    A position that shrinks may take its share of the margin along: then it must stand no nearer than before.
    """
    if not seen.exposure.margins:  # then there is nothing to stand nearer to, and no account for a perp
        for order in orders:
            if order.operation is OrderOperation.PERP_TRADE:
                yield Denial(DenyReason.MARGIN_AFTER, order.order_id, None, limits.z_open, "shocks", order.instrument)
        return
    accounts = {
        state.instrument: _Account(state, instrument.quote_key, state.quantity, state.margin)
        for state in seen.exposure.margins
        if (instrument := seen.market.instruments.get(state.instrument)) is not None
    }
    for batch in batches_of(orders):
        for order in batch:
            if order.operation is OrderOperation.PERP_TRADE and order.instrument not in accounts:
                yield Denial(DenyReason.MARGIN_AFTER, order.order_id, None, limits.z_open, "shocks", order.instrument)
            for account in accounts.values():
                _apply(account, order, seen)
        for account in accounts.values():
            if account.is_riskier and (denial := _too_near(account, batch[-1], limits, seen)) is not None:
                yield denial
            account.is_riskier = False


def _apply(account: _Account, order: Order, seen: GateInput) -> None:
    if order.operation is OrderOperation.PERP_TRADE:
        if order.venue == account.state.account:
            _apply_perp(account, order, seen)
        return
    change = worst_flows(order, seen).get(account.coin, ZERO)
    account.margin += change
    account.is_riskier |= change < 0


def _apply_perp(account: _Account, order: Order, seen: GateInput) -> None:
    """Fee and worst fill come out of the margin; realised P&L was in it before."""
    perp = seen.market.instruments[account.state.instrument]
    worth, marked = perp.unit_worth(price_bound(order) or account.state.mark), perp.unit_worth(account.state.mark)
    account.margin -= order.quantity * (abs(worth) * perp.taker_fee + abs(worth - marked))
    if order.instrument != account.state.instrument:
        return
    held, change = account.quantity, order.signed_quantity
    if order.reduce_only:
        change = max(min(change, max(-held, ZERO)), min(-held, ZERO))
    account.quantity = held + change
    account.is_riskier |= abs(account.quantity) > abs(held)


def _too_near(account: _Account, order: Order, limits: RiskLimits, seen: GateInput) -> Denial | None:
    if account.quantity == 0:
        return None
    state, detail = account.state, f"z of {account.state.account}"
    shock = limits.shocks.get(state.underlying)
    after = replace(state, quantity=account.quantity, margin=account.margin)
    if shock is None:
        return Denial(DenyReason.MARGIN_AFTER, order.order_id, None, limits.z_open, "shocks", detail)
    rate = maintenance_rate(seen.market.instruments[state.instrument], after.notional)
    z = distance_of(replace(after, maintenance_rate=rate)) / shock
    if z >= limits.z_open or _is_unwound(account, z, shock):
        return None
    return Denial(DenyReason.MARGIN_AFTER, order.order_id, z, limits.z_open, "shocks", detail)


def _is_unwound(account: _Account, z: Decimal, shock: Decimal) -> bool:
    """True where the position shrinks and its margin with it (strategies.md 1.1 rule 4): no nearer than it stood."""
    is_smaller = abs(account.quantity) < abs(account.state.quantity)
    return is_smaller and z >= distance_of(account.state) / shock - UNWIND_COST_Z


# ------------------------------------------------------------------------------------------------------ venue cap
def venue_cap_denials(orders: Sequence[Order], limits: RiskLimits, seen: GateInput) -> Iterator[Denial]:
    """An exchange that the plan brings money to must stay below its share of equity."""
    arriving: dict[str, Decimal] = {}
    carrier: dict[str, Order] = {}
    for order in orders:
        if order.operation in CEX_TRADES:
            continue
        for key, amount in order.expected_deltas.items():
            exchange = limits.exchange_of.get(key.venue)
            if exchange is None or key.kind not in _COUNTED:
                continue
            price = seen.exposure.prices.get(key.asset)
            if price is None:
                limit = limits.venue_share_max
                yield Denial(DenyReason.VENUE_CAP, order.order_id, None, limit, "of E", f"price of {key}")
                continue
            arriving[exchange] = arriving.get(exchange, ZERO) + amount * price
            carrier[exchange] = order
    equity = seen.exposure.equity_usdt
    for exchange, amount in arriving.items():
        if amount <= 0:
            continue
        share = None if equity is None or equity <= 0 else (value_at(exchange, limits, seen) + amount) / equity
        if share is None or share > limits.venue_share_max:
            order_id = carrier[exchange].order_id
            yield Denial(DenyReason.VENUE_CAP, order_id, share, limits.venue_share_max, "of E", f"share at {exchange}")


def value_at(exchange: str, limits: RiskLimits, seen: GateInput) -> Decimal:
    """USDT at one exchange: balances at their prices and unrealised P&L. What has no price makes equity unknown."""
    total = ZERO
    for key, quantity in seen.exposure.holdings.items():
        if limits.exchange_of.get(key.venue) == exchange and key.kind in _COUNTED:
            total += quantity * seen.exposure.prices.get(key.asset, ZERO)
    coins: dict[PositionKey, Decimal] = {}
    for state in seen.exposure.margins:
        instrument = seen.market.instruments.get(state.instrument)
        if instrument is not None and limits.exchange_of.get(state.account) == exchange:
            coins[instrument.quote_key] = state.margin
    gains = ((coin, margin - seen.exposure.holdings.get(coin, ZERO)) for coin, margin in coins.items())
    return total + sum((gain * seen.exposure.prices.get(coin.asset, ZERO) for coin, gain in gains), ZERO)
