"""Cross margin of one futures account: initial, maintenance, what is available, and where liquidation begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.sandbox.exchange.accounts import Account, Position
from basis_daemon.sandbox.exchange.instruments import tier_of
from basis_daemon.sandbox.exchange.money import ZERO
from basis_daemon.sandbox.exchange.orders import Order


@dataclass(frozen=True, slots=True)
class Resting:
    """Unfilled notional of one symbol's orders (reduce-only orders reserve nothing)."""

    bids: Decimal = ZERO
    asks: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class SymbolMargin:
    """The margin of one symbol at its mark; `notional` is signed."""

    notional: Decimal
    unrealised: Decimal
    position_initial: Decimal
    order_initial: Decimal
    maintenance: Decimal
    resting: Resting


@dataclass(frozen=True, slots=True)
class MarginState:
    """Sums over the account. Liquidation begins when `margin_balance <= maintenance` with a position open."""

    wallet: Decimal
    unrealised: Decimal
    position_initial: Decimal
    order_initial: Decimal
    maintenance: Decimal
    symbols: Mapping[str, SymbolMargin]

    @property
    def margin_balance(self) -> Decimal:
        return self.wallet + self.unrealised

    @property
    def available(self) -> Decimal:
        return max(ZERO, self.margin_balance - self.position_initial - self.order_initial)

    @property
    def max_withdraw(self) -> Decimal:
        """Unrealised profit cannot leave; unrealised loss must stay covered."""
        return max(ZERO, self.wallet + min(ZERO, self.unrealised) - self.position_initial - self.order_initial)

    @property
    def in_liquidation(self) -> bool:
        return self.maintenance > ZERO and self.margin_balance <= self.maintenance


def resting_of(account: Account, symbol: str, besides: Order | None = None) -> Resting:
    """Unfilled notional of the open orders of `symbol`, without the order `besides`."""
    bids = asks = ZERO
    for order in account.store(account.market).open.values():
        if order is besides or order.symbol != symbol or order.request.reduce_only:
            continue
        if order.buy:
            bids += order.instrument.value(order.remaining, order.price)
        else:
            asks += order.instrument.value(order.remaining, order.price)
    return Resting(bids, asks)


def symbol_margin(position: Position, mark: Decimal, resting: Resting) -> SymbolMargin:
    signed = position.contract.value(position.quantity, mark)
    notional = abs(signed)
    tier = tier_of(position.tiers, notional)
    worst = max(abs(signed + resting.bids), abs(signed - resting.asks), notional)
    return SymbolMargin(
        notional=signed,
        unrealised=position.unrealised(mark),
        position_initial=notional / position.leverage,
        order_initial=(worst - notional) / position.leverage,
        maintenance=notional * tier.rate - tier.amount,
        resting=resting,
    )


def margin_of(account: Account, marks: Mapping[str, Decimal], besides: Order | None = None) -> MarginState:
    """The account's margin at `marks`, as if the open order `besides` were not there."""
    symbols: dict[str, SymbolMargin] = {}
    for symbol, position in account.positions.items():
        mark = marks.get(symbol)
        if mark is not None:
            symbols[symbol] = symbol_margin(position, mark, resting_of(account, symbol, besides))
    rows = symbols.values()
    return MarginState(
        wallet=account.wallet[account.margin_asset],
        unrealised=sum((row.unrealised for row in rows), ZERO),
        position_initial=sum((row.position_initial for row in rows), ZERO),
        order_initial=sum((row.order_initial for row in rows), ZERO),
        maintenance=sum((row.maintenance for row in rows), ZERO),
        symbols=symbols,
    )


def liquidation_price(position: Position, state: MarginState) -> Decimal:
    """The mark of `position` at which the account's margin balance meets its maintenance; 0 when there is none."""
    own = state.symbols.get(position.symbol)
    if own is None or not position.quantity:
        return ZERO
    tier = tier_of(position.tiers, abs(own.notional))
    side = 1 if position.quantity > ZERO else -1
    others = state.wallet + state.unrealised - own.unrealised - (state.maintenance - own.maintenance)
    covered = others - position.contract.profit(position.cost, ZERO) + tier.amount
    size = position.contract.contract_size
    if size is None:
        return max(ZERO, covered / (abs(position.quantity) * (tier.rate - side)))
    owed = abs(position.quantity) * size * (tier.rate + side)
    return max(ZERO, owed / covered) if covered else ZERO
