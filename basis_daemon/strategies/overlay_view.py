"""The picture of an ETH book with an overlay: a lender's core, a debt in USDT against it, the pair that it pays for.

Sizes follow from the collateral and lambda, never from equity. The debt is money like any other: what the wallet may
send is what lies there and what may still be borrowed, up to lambda_b for a new pair, up to its maximum for margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from basis_daemon.domain.chain import LendingReport, ReserveTick
from basis_daemon.domain.exposure import AS_ETHER
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.lending import fall_to_liquidation, health_of
from basis_daemon.domain.margin import ZERO
from basis_daemon.domain.overlay import idle_margin, overlay_apr, overlay_cost_apr, overlay_funding_for
from basis_daemon.strategies.carry import SETTLEMENTS_PER_YEAR
from basis_daemon.strategies.lending import LendView
from basis_daemon.strategies.levered_view import kink_room
from basis_daemon.strategies.onchain_calls import AAVE, WETH, ceiling, floor, swap
from basis_daemon.strategies.orders import Step
from basis_daemon.strategies.overlay_parameters import OverlayParameters
from basis_daemon.strategies.parameters import QUOTE
from basis_daemon.strategies.twofold import Rates
from basis_daemon.strategies.view import WALLET_CASH, BookView, VenueView

USDT_DEBT = PositionKey.of(AAVE, Kind.VDEBT, QUOTE)
USDT_RESERVE = PositionKey.of(AAVE, Kind.ATOKEN, QUOTE)


@dataclass(frozen=True)
class OverlayView(BookView):
    """Venues and core; money is USDT, the core ETH."""

    p: OverlayParameters
    core: LendView
    rates: Rates

    # ------------------------------------------------------------------------------------------------------- delta
    @property
    def net_delta(self) -> Decimal:
        """ETH beyond the equity in ETH: the core is never hedged."""
        equity = self.frame.exposure.equity_usdt
        held = self.frame.exposure.net_delta.items()
        long = sum((amount for asset, amount in held if asset in AS_ETHER), ZERO)
        return ZERO if equity is None or not self.frame.price else long - equity / self.frame.price

    @cached_property
    def delta_inputs(self) -> tuple[str, ...]:
        """Those of the venues and of the core."""
        return (*super().delta_inputs, *self.core.needed)

    def bought_elsewhere(self, quantity: Decimal) -> tuple[Step, ...] | str:
        """What the overlay earned buys ETH for the core."""
        money = floor(WALLET_CASH, min(quantity * self.frame.price, self.held_usdt))
        if self.debt or money < self.p.min_order_usdt:
            return "no short may be bought back, and no USDT is free"
        if fault := self.core.gas_fault():
            return fault
        least = ceiling(WETH, money / self.frame.price * (1 - self.p.slip_dex))
        return (swap(WALLET_CASH, WETH, money, least, reduces=False),)

    @cached_property
    def restriction(self) -> str | None:
        """As any book's; neither a core nor a debt that cannot be seen lets anything new happen."""
        blind = f"core stale: {', '.join(self.core.stale)}" if self.core.stale else None
        mute = f"unknown: lending:{AAVE}" if self.debt and self.report is None else None
        return "; ".join(why for why in (super().restriction, blind, mute) if why) or None

    # -------------------------------------------------------------------------------------------------------- debt
    @property
    def report(self) -> LendingReport | None:
        """The account in the protocol's own figures."""
        return self.frame.exposure.lendings.get(AAVE)

    @property
    def usdt(self) -> ReserveTick:
        """The reserve that the debt is owed to; raises StaleDataError while it was never read."""
        return self.core.reserve(USDT_RESERVE)

    @property
    def debt(self) -> Decimal:
        """USDT owed."""
        return self.frame.exposure.holdings.get(USDT_DEBT, ZERO)

    @property
    def held_usdt(self) -> Decimal:
        """USDT that lies in the wallet."""
        return self.frame.exposure.holdings.get(WALLET_CASH, ZERO)

    @cached_property
    def worth_of_core(self) -> Decimal:
        """USDT that the collateral is worth at the protocol's oracle."""
        return self.core.position * self.core.tick.price / self.usdt.price

    @property
    def lam(self) -> Decimal:
        """Debt over collateral; above any limit where nothing stands behind a debt."""
        if not self.debt:
            return ZERO
        return self.debt / self.worth_of_core if self.worth_of_core else Decimal(1)

    @cached_property
    def health(self) -> Decimal | None:
        """The worse of ours and the protocol's own; None without debt."""
        own = health_of(self.worth_of_core, self.debt, self.core.tick.liquidation_threshold)
        told = self.report.health_factor if self.report is not None else None
        return own if own is None or told is None else min(own, told)

    @property
    def z_of_core(self) -> Decimal | None:
        """Shocks of ETH/USD until the core could be liquidated; None without debt."""
        return None if self.health is None else fall_to_liquidation(self.health) / self.p.shock

    def room(self, lam: Decimal) -> Decimal:
        """USDT that may be borrowed before lambda is ``lam`` or the reserve turns dear; zero while it lends nothing."""
        if self.core.stale or self.core.tick.is_paused or self.usdt.is_paused or not self.usdt.is_borrowable:
            return ZERO
        least = min(lam, self.core.tick.ltv)
        return floor(WALLET_CASH, max(min(least * self.worth_of_core - self.debt, kink_room(self.usdt)), ZERO))

    # ------------------------------------------------------------------------------------------------------- money
    @property
    def drawable(self) -> Decimal:
        """For margin it may be borrowed up to the maximum, whether the carry pays or not."""
        is_open = not self.core.stale and self.core.gas_fault(is_defence=True) is None
        return self.held_usdt + (self.room(self.p.lambda_b_max) if is_open else ZERO)

    @cached_property
    def wallet(self) -> Decimal:
        """What a new pair may take out of the wallet."""
        return self.held_usdt + self.room(self.p.lambda_b)

    @cached_property
    def cash(self) -> Decimal:
        """USDT outside margin, what may be borrowed with it: a withdrawal is ETH and takes none of it."""
        own = sum((venue.cash + (ZERO if venue.is_held else venue.margin) for venue in self.venues), ZERO)
        return self.wallet + own

    @property
    def investable(self) -> Decimal:
        """What all pairs and their margin together are: B."""
        return self.p.lambda_b * self.worth_of_core

    def idle(self, venue: VenueView) -> Decimal:
        """USDT in the margin beyond the target of its short, if there is one; what is unrealised cannot leave."""
        coin = max(self.frame.exposure.holdings.get(venue.venue.margin_key, ZERO), ZERO)
        beyond = idle_margin(venue.margin, venue.notional, venue.m_star) if venue.is_held else max(venue.margin, ZERO)
        return venue.let_out(min(beyond, coin))

    # ------------------------------------------------------------------------------------------------------- carry
    @property
    def borrow_rate(self) -> Decimal | None:
        """Smoothed; None before it was read."""
        rate = self.core.memory.borrow.rate
        return None if rate is None else rate.average

    def net_apr(self, venue: VenueView) -> Decimal | None:
        """Left side of the gate on E, cost included."""
        b, f_hat, p = self.borrow_rate, venue.memory.f_hat, self.p
        if b is None or f_hat is None:
            return None
        cost = overlay_cost_apr(p.lambda_b, venue.m_star, venue.costs.round_trip, p.hold_days_funding)
        return overlay_apr(p.lambda_b, f_hat * SETTLEMENTS_PER_YEAR, b, venue.m_star) - cost

    @property
    def entry_apr(self) -> Decimal:
        """Of the overlay."""
        return self.p.overlay_entry_apr

    def entry_rate(self, venue: VenueView) -> Decimal | None:
        """Least funding per 8 hours for a new pair."""
        p = self.p
        cost = overlay_cost_apr(p.lambda_b, venue.m_star, venue.costs.round_trip, p.hold_days_funding)
        return self._rate_for(venue, self.entry_apr + cost)

    def exit_rate(self, venue: VenueView) -> Decimal | None:
        """Funding per 8 hours below which a pair leaves."""
        return self._rate_for(venue, self.p.overlay_exit_apr)

    def _rate_for(self, venue: VenueView, apr: Decimal) -> Decimal | None:
        b = self.borrow_rate
        return None if b is None else overlay_funding_for(apr, self.p.lambda_b, b, venue.m_star) / SETTLEMENTS_PER_YEAR

    def levelled(self, venue: VenueView) -> tuple[Decimal, ...]:
        """Less by what interest was lower, more by what it was higher then."""
        now, then = self.borrow_rate, self.rates.get(venue.name, ())
        if now is None or not then:
            return ()
        known = zip(venue.memory.averages[-len(then) :], then, strict=True)
        return tuple(f - (b - now) * (1 + venue.m_star) / SETTLEMENTS_PER_YEAR for f, b in known)

    def carry_fault(self, venue: VenueView) -> str | None:
        """As any pair's; borrowing for it is ordinary work, which dear gas keeps waiting."""
        return super().carry_fault(venue) or self.core.gas_fault()
