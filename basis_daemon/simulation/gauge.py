"""What the venues themselves see of a book at every point and after every fill; with an arithmetic of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.instrument import Instrument, Kind, PositionKey, unit_worth
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import FeedEvent
from basis_daemon.simulation.virtual import VirtualClock
from basis_daemon.venues.paper.exchange import PaperExchange

ZERO, ONE = Decimal(0), Decimal(1)
ETHER, DOLLAR = "ETH", "USDT"


@dataclass(frozen=True, slots=True)
class Aboard:
    """What of a book is not at an exchange: ``ether`` and ``dollars`` of it, what it holds, and its health factor.

    ``price`` is USDT per ETH, where the chain knows it; ``shock`` the fall of its collateral that is feared.
    """

    held: Mapping[PositionKey, Decimal]
    ether: Decimal
    dollars: Decimal
    price: Decimal | None
    health: Decimal | None
    shock: Decimal


NOTHING = Aboard({}, ZERO, ZERO, None, None, ONE)


@dataclass(slots=True)
class Gauge:
    """Watches accounts. ``shocks`` and ``delta_hard`` are the strategy's, ``prices`` the point's.

    ``breach_s`` are virtual seconds during which |delta| stood beyond ``delta_hard``, market time between points
    included: within a clip fractions of a second, and a standing breach in full. ``slippage`` is what fills, sales on
    chain among them, cost against the prices of their point (numeraire); ``fills`` counts transactions too. In a class
    of a coin the book's own worth of it is no delta.
    """

    exchange: PaperExchange | None
    instruments: Mapping[PositionKey, Instrument]
    shocks: Mapping[str, Decimal]
    delta_hard: Decimal
    clock: VirtualClock
    aboard: Callable[[], Aboard] = lambda: NOTHING
    numeraire: str = DOLLAR
    prices: dict[PositionKey, Decimal] = field(default_factory=dict)
    distance_min: Decimal | None = None
    z_min: Decimal | None = None
    health_min: Decimal | None = None
    delta_max: Decimal = ZERO
    settled_delta_max: Decimal = ZERO
    slippage: Decimal = ZERO
    fills: int = 0
    _beyond_since: datetime | None = None
    _beyond: timedelta = timedelta(0)

    @property
    def breach_s(self) -> Decimal:
        """So far."""
        running = self.clock.wall() - self._beyond_since if self._beyond_since is not None else timedelta(0)
        return Decimal(str((self._beyond + running).total_seconds()))

    def holdings(self) -> Mapping[PositionKey, Decimal]:
        """What the venues have, by key."""
        at_exchange = self.exchange.wallets.balances if self.exchange is not None else {}
        return {**at_exchange, **self.aboard().held}

    def hear(self, event: FeedEvent) -> None:
        """What the venue said: a fill is held against the price of the point, and moves delta at once."""
        if isinstance(event, Trade) and event.is_fill and event.price is not None and event.qty_base:
            self.fills += 1
            if (path := self.prices.get(event.instrument)) is not None:
                cv = self.instruments[event.instrument].contract_value
                lost = event.qty_base * abs(unit_worth(event.price, cv) - unit_worth(path, cv))
                if cv is None:
                    self._count(lost)
                else:
                    self.slippage += lost
            self.look()

    def moved(self, lost: Decimal) -> None:
        """A transaction was included, and what it exchanged is worth so much less (USDT)."""
        self.fills += 1
        self._count(lost)
        self.look()

    def _count(self, lost: Decimal) -> None:
        price = self._spot(ETHER, self.aboard().price or ZERO) if self.numeraire == ETHER else ONE
        self.slippage += lost / price if price else ZERO

    def settle(self) -> None:
        """Measure while no plan runs: what delta is now, no clip excuses."""
        self.settled_delta_max = max(self.settled_delta_max, self.look())

    def look(self) -> Decimal:
        """Measure now; |net delta| as a share of equity."""
        aboard = self.aboard()
        self._measure_accounts()
        self._measure_loan(aboard)
        share = self._delta_share(aboard)
        self.delta_max = max(self.delta_max, share)
        is_beyond = share > self.delta_hard
        if is_beyond and self._beyond_since is None:
            self._beyond_since = self.clock.wall()
        elif not is_beyond and self._beyond_since is not None:
            self._beyond += self.clock.wall() - self._beyond_since
            self._beyond_since = None
        return share

    def _measure_accounts(self) -> None:
        if self.exchange is None:
            return
        for key, instrument in self.instruments.items():
            held, mark = self.exchange.wallets.holding(key), self.exchange.market.mark(key)
            if key.kind is not Kind.PERP or not held or mark is None:
                continue
            wallet, cost = self.exchange.wallets.holding(instrument.quote_key), self.exchange.wallets.cost(key)
            worth = held * (mark if instrument.contract_value is None else -instrument.contract_value / mark)
            notional, equity = abs(worth), wallet + worth - cost
            tier = instrument.tier(notional)
            maintenance = (notional * tier.maintenance_rate - tier.maintenance_deduction) / notional
            m, shock = equity / notional, self.shocks[instrument.base]
            if (
                distance := _distance(m, maintenance, held, is_inverse=instrument.contract_value is not None)
            ) is not None:
                self._near(distance, shock)

    def _measure_loan(self, aboard: Aboard) -> None:
        if aboard.health is not None:
            self.health_min = aboard.health if self.health_min is None else min(self.health_min, aboard.health)
            self._near(ONE - ONE / aboard.health, aboard.shock)

    def _near(self, distance: Decimal, shock: Decimal) -> None:
        z = distance / shock
        self.distance_min = distance if self.distance_min is None else min(self.distance_min, distance)
        self.z_min = z if self.z_min is None else min(self.z_min, z)

    def _delta_share(self, aboard: Aboard) -> Decimal:
        """Largest |net delta| of any asset over equity, both in USDT; zero while nothing is priced."""
        net, equity = {ETHER: aboard.ether} if aboard.ether else dict[str, Decimal](), aboard.dollars
        prices = {ETHER: self._spot(ETHER, aboard.price or ZERO)}
        if self.exchange is not None:
            wallets = self.exchange.wallets
            for key, instrument in self.instruments.items():
                held, price = wallets.holding(key), self.exchange.market.mark(key)
                if price is None:
                    return ZERO
                base, cv = instrument.base, instrument.contract_value
                if cv is not None:
                    coin = wallets.holding(instrument.quote_key) - held * cv / price - wallets.cost(key)
                    net[base], equity = net.get(base, ZERO) + coin + held * cv / price, equity + coin * price
                    prices[base] = price
                    continue
                prices[base] = self._spot(base, price)
                net[base] = net.get(base, ZERO) + held
                equity += held * price - (wallets.cost(key) if key.kind is Kind.PERP else ZERO)
            linear = [one for one in self.instruments.values() if one.contract_value is None]
            coins = {instrument.quote_key: None for instrument in linear}
            equity += sum((wallets.holding(key) for key in coins), ZERO)
        equity += aboard.ether * prices[ETHER]
        if equity <= 0:
            return ZERO
        if self.numeraire != DOLLAR and prices[self.numeraire]:
            net[self.numeraire] = net.get(self.numeraire, ZERO) - equity / prices[self.numeraire]
        return max((abs(amount * prices[base]) for base, amount in net.items()), default=ZERO) / equity

    def _spot(self, asset: str, otherwise: Decimal) -> Decimal:
        """One price for both legs of an asset: the spot's, which its quantities are hedged by."""
        for key, instrument in self.instruments.items():
            if self.exchange is not None and key.kind is Kind.SPOT and instrument.base == asset:
                return self.exchange.market.mark(key) or otherwise
        return otherwise


def _distance(m: Decimal, mm: Decimal, held: Decimal, *, is_inverse: bool) -> Decimal | None:
    """Adverse move that takes a margin of ``m`` notionals to ``mm``; None for an inverse short that its coin covers.

    A linear position gains and loses what the price moves by. An inverse one is worth ``1/P`` coins: at a price of
    ``1 + x`` it has won or lost ``x/(1 + x)``, and the notional that must be covered has shrunk or grown as well.
    """
    if not is_inverse:
        return (ONE + m) / (ONE + mm) - ONE if held < 0 else ONE - (ONE - m) / (ONE - mm)
    if held > 0:
        return (m - mm) / (ONE + m)
    return None if m >= ONE else (m - mm) / (ONE - m)
