"""What the venue itself sees of a book at every point and after every fill; with an arithmetic of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import FeedEvent
from basis_daemon.simulation.virtual import VirtualClock
from basis_daemon.venues.paper.exchange import PaperExchange

ZERO, ONE = Decimal(0), Decimal(1)


@dataclass(slots=True)
class Gauge:
    """Watches the accounts of one venue. ``shocks`` and ``delta_hard`` are the strategy's, ``prices`` the point's.

    ``breach_s`` are virtual seconds during which |delta| stood beyond ``delta_hard``, market time between points
    included: within a clip fractions of a second, and a standing breach in full. ``slippage`` is what fills cost
    against the price of the point (USDT).
    """

    exchange: PaperExchange
    instruments: Mapping[PositionKey, Instrument]
    shocks: Mapping[str, Decimal]
    delta_hard: Decimal
    clock: VirtualClock
    prices: dict[PositionKey, Decimal] = field(default_factory=dict)
    distance_min: Decimal | None = None
    z_min: Decimal | None = None
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

    def hear(self, event: FeedEvent) -> None:
        """What the venue said: a fill is held against the price of the point, and moves delta at once."""
        if isinstance(event, Trade) and event.is_fill and event.price is not None and event.qty_base:
            self.fills += 1
            if (path := self.prices.get(event.instrument)) is not None:
                self.slippage += event.qty_base * abs(event.price - path)
            self.look()

    def settle(self) -> None:
        """Measure while no plan runs: what delta is now, no clip excuses."""
        self.settled_delta_max = max(self.settled_delta_max, self.look())

    def look(self) -> Decimal:
        """Measure now; |net delta| as a share of equity."""
        self._measure_distance()
        share = self._delta_share()
        self.delta_max = max(self.delta_max, share)
        is_beyond = share > self.delta_hard
        if is_beyond and self._beyond_since is None:
            self._beyond_since = self.clock.wall()
        elif not is_beyond and self._beyond_since is not None:
            self._beyond += self.clock.wall() - self._beyond_since
            self._beyond_since = None
        return share

    def _measure_distance(self) -> None:
        for key, instrument in self.instruments.items():
            held, mark = self.exchange.wallets.holding(key), self.exchange.market.mark(key)
            if key.kind is not Kind.PERP or not held or mark is None:
                continue
            wallet = self.exchange.wallets.holding(instrument.quote_key)
            notional = abs(held) * mark
            equity = wallet + held * mark - self.exchange.wallets.cost(key)
            tier = instrument.tier(notional)
            maintenance = (notional * tier.maintenance_rate - tier.maintenance_deduction) / notional
            distance = (ONE + equity / notional) / (ONE + maintenance) - ONE
            z = distance / self.shocks[instrument.base]
            self.distance_min = distance if self.distance_min is None else min(self.distance_min, distance)
            self.z_min = z if self.z_min is None else min(self.z_min, z)

    def _delta_share(self) -> Decimal:
        """Largest |net delta| of any asset over equity, both in USDT; zero while nothing is priced."""
        wallets, net, equity = self.exchange.wallets, dict[str, Decimal](), ZERO
        for key, instrument in self.instruments.items():
            held, price = wallets.holding(key), self.exchange.market.mark(key)
            if price is None:
                return ZERO
            net[instrument.base] = net.get(instrument.base, ZERO) + held * self._spot(instrument.base, price)
            equity += held * price - (wallets.cost(key) if key.kind is Kind.PERP else ZERO)
        equity += sum((wallets.holding(key) for key in {i.quote_key: None for i in self.instruments.values()}), ZERO)
        return max((abs(amount) for amount in net.values()), default=ZERO) / equity if equity > 0 else ZERO

    def _spot(self, asset: str, otherwise: Decimal) -> Decimal:
        """One price for both legs of an asset: the spot's, which its quantities are hedged by."""
        for key, instrument in self.instruments.items():
            if key.kind is Kind.SPOT and instrument.base == asset:
                return self.exchange.market.mark(key) or otherwise
        return otherwise
