"""The money of every paper account: balances, positions and their cost, and what of it is free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.errors import ConfigError, ErrorClass
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.order import PROTECTIVE, Order, Side
from basis_daemon.domain.position import MarginReport
from basis_daemon.venues.paper.margin_core import Booking, PerpHolding, margin_report, withdrawable
from basis_daemon.venues.paper.market import PaperMarket
from basis_daemon.venues.paper.matching import ZERO, reject, side_of


@dataclass(slots=True)
class Resting:
    """A live order in the venue's book, in order of arrival."""

    order: Order
    instrument: Instrument
    limit: Decimal
    remaining: Decimal

    @property
    def is_conditional(self) -> bool:
        """True while it waits for its trigger."""
        return self.order.operation in PROTECTIVE


class Wallets:
    """Balances and perp quantities under their position keys; ``costs`` is signed open notional per perp key."""

    def __init__(
        self,
        market: PaperMarket,
        balances: Mapping[PositionKey, Decimal],
        costs: Mapping[PositionKey, Decimal],
        leverage: Decimal,
    ) -> None:
        self.instruments: dict[PositionKey, Instrument] = {}
        self.balances = dict(balances)
        self.costs = dict(costs)
        self.resting: dict[str, Resting] = {}
        self._market = market
        self._leverage = leverage
        uncosted = [k for k, held in balances.items() if k.kind is Kind.PERP and held and k not in costs]
        if uncosted:
            raise ConfigError(f"paper position {uncosted[0]} has no open notional; give what it cost, short negative")

    def list_instrument(self, instrument: Instrument) -> None:
        """Trade this; raises ConfigError for a perp without tiers, or with a second margin coin in its account."""
        key = instrument.key
        if key.kind is Kind.PERP:
            if not instrument.tiers:
                raise ConfigError(f"paper perp {key} has no margin tiers; load them with the market")
            coins = {i.settle for i in self._perps_of(key.venue)} | {instrument.settle}
            if len(coins) > 1:
                raise ConfigError(f"paper account {key.venue} has perps in {sorted(coins)}, expected one margin coin")
        self.instruments[key] = instrument

    def holding(self, key: PositionKey) -> Decimal:
        """Zero for a key that was never touched."""
        return self.balances.get(key, ZERO)

    def cost(self, key: PositionKey) -> Decimal:
        """Signed open notional; zero when flat."""
        return self.costs.get(key, ZERO)

    def apply(self, key: PositionKey, booking: Booking) -> None:
        """Move what one fill of ``key`` moves."""
        for at, amount in booking.deltas.items():
            self.pay(at, amount)
        if booking.cost_change:
            self.costs[key] = self.cost(key) + booking.cost_change

    def pay(self, key: PositionKey, amount: Decimal) -> None:
        """Add ``amount`` (signed)."""
        self.balances[key] = self.holding(key) + amount

    def of(self, account: str) -> dict[PositionKey, Decimal]:
        """Everything an account holds; what is zero is left out."""
        return {key: held for key, held in self.balances.items() if key.venue == account and held}

    def perps(self, account: str) -> tuple[PerpHolding, ...] | None:
        """Open positions at their marks; None while a mark is missing, because no number stands for it."""
        found = []
        for instrument in self._perps_of(account):
            if held := self.holding(instrument.key):
                mark = self._market.mark(instrument.key)
                if mark is None:
                    return None
                found.append(PerpHolding(instrument, held, self.cost(instrument.key), mark, self._leverage))
        return tuple(found)

    def margin(self, account: str) -> MarginReport | None:
        """None for an account without perps, and while a mark is missing."""
        wallet_key, perps = self.margin_key(account), self.perps(account)
        if wallet_key is None or perps is None:
            return None
        return margin_report(self.holding(wallet_key), perps)

    def margin_key(self, account: str) -> PositionKey | None:
        """Where the margin coin of an account lies; None for one without perps."""
        return next((instrument.quote_key for instrument in self._perps_of(account)), None)

    def free(self, key: PositionKey) -> Decimal:
        """What of a balance neither rests in an order nor stands behind a position."""
        held = self.holding(key)
        if key == self.margin_key(key.venue):
            perps = self.perps(key.venue)
            held = ZERO if perps is None else withdrawable(held, perps)
        return held - sum((_reserved(item, key) for item in self.resting.values()), ZERO)

    def check_spot(self, order: Order, instrument: Instrument, limit: Decimal) -> None:
        """Raises OrderRejectedError when what is to be given is not free; a buy needs its worst price."""
        is_buy = side_of(order) is Side.BUY
        key = instrument.quote_key if is_buy else instrument.key
        needed, free = order.quantity * limit if is_buy else order.quantity, self.free(key)
        if needed > free:
            raise reject(order, f"needs {needed} {key}, free {free}", ErrorClass.INSUFFICIENT, "BALANCE")

    def check_perp(self, order: Order, instrument: Instrument, limit: Decimal) -> None:
        """Raises OrderRejectedError when the position could grow beyond what equity carries at its leverage."""
        key, side = instrument.key, side_of(order)
        mark, perps = self._market.mark(key), self.perps(key.venue)
        if mark is None or perps is None:
            raise reject(order, f"{key} has no mark yet", ErrorClass.MARKET_CLOSED, "MARK")
        same = [i for i in self.resting.values() if i.instrument.key == key and i.order.side is side]
        adding = order.quantity + sum((i.remaining for i in same if not i.order.reduce_only), ZERO)
        held = self.holding(key)
        worst = abs(held + side.sign * adding)
        if order.reduce_only or worst <= abs(held):
            return
        marked, paid = instrument.unit_worth(mark), instrument.unit_worth(limit)
        notional, most = worst * abs(marked), instrument.tiers[-1].notional_cap
        needed = notional / min(instrument.tier(min(notional, most)).leverage_max, self._leverage)
        needed += sum((perp.initial for perp in perps if perp.instrument.key != key), ZERO)
        needed += order.quantity * (abs(paid) * instrument.taker_fee + max(ZERO, (paid - marked) * side.sign))
        equity = margin_report(self.holding(instrument.quote_key), perps).equity
        if needed > equity:
            raise reject(order, f"needs margin {needed}, equity {equity}", ErrorClass.INSUFFICIENT, "MARGIN")
        if notional > most:
            raise reject(order, f"notional {notional}, expected at most {most}", ErrorClass.BAD_PARAMS, "TIER")

    def _perps_of(self, account: str) -> list[Instrument]:
        return [i for key, i in self.instruments.items() if key.venue == account and key.kind is Kind.PERP]


def _reserved(item: Resting, key: PositionKey) -> Decimal:
    if item.instrument.key.kind is Kind.PERP:
        return ZERO
    if item.order.side is Side.BUY:
        return item.remaining * item.limit if key == item.instrument.quote_key else ZERO
    return item.remaining if key == item.instrument.key else ZERO
