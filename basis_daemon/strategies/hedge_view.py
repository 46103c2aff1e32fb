"""The picture of a staked hedge: a basis book whose long leg is a sleeve of staked ETH on the chain.

Both halves are the pictures of their own families, over one set of parameters: the venues see USDT and shorts, the
sleeve sees the ETH on the chain and nothing else. What the basis rules ask of a long leg is answered here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from basis_daemon.domain.exposure import AS_ETHER
from basis_daemon.domain.hedge import carry_apr, cost_apr, funding_for, sleeve_exit_cost, staked_share
from basis_daemon.domain.margin import REDUCE, ZERO
from basis_daemon.strategies.carry import SETTLEMENTS_MIN, SETTLEMENTS_PER_YEAR, holds
from basis_daemon.strategies.hedge_parameters import HedgeParameters
from basis_daemon.strategies.orders import CENT, Step, cents_down
from basis_daemon.strategies.rules import brief
from basis_daemon.strategies.sizing import is_tradable, route
from basis_daemon.strategies.sleeve import Freed, Stake, freed_weth, levered_value, refuelled, sold_for_usdt
from basis_daemon.strategies.staking import acquire_fault
from basis_daemon.strategies.twofold import Rates
from basis_daemon.strategies.view import WALLET_CASH, BookView, VenueView


@dataclass(frozen=True)
class HedgeView(BookView):
    """Venues and sleeve. ETH unless said otherwise; a token counts at its issuer's rate, whatever the DEX pays."""

    p: HedgeParameters
    sleeve: Stake
    rates: Rates

    @property
    def net_delta(self) -> Decimal:
        """Sleeve, loose ETH, claims and what travels, less the shorts."""
        held = self.frame.exposure.net_delta.items()
        return sum((amount * self._ether(asset) for asset, amount in held), ZERO)

    def _ether(self, asset: str) -> Decimal:
        """ETH per unit; of a token that was not read, what the exposure prices it at: no rule trades on that."""
        if asset in AS_ETHER:
            return Decimal(1)
        if asset != self.p.lst:
            return ZERO
        if self.p.lst.key in self.frame.market.lsts:
            return self.sleeve.rate
        return self.frame.exposure.prices.get(asset, ZERO) / self.frame.price if self.frame.price else ZERO

    @cached_property
    def short(self) -> Decimal:
        """All shorts together, positive."""
        return sum((venue.short for venue in self.venues), ZERO)

    @property
    def long(self) -> Decimal:
        """Everything that the shorts stand against."""
        return self.net_delta + self.short

    @cached_property
    def spot(self) -> Decimal:
        """ETH that lies at exchanges."""
        return sum((venue.held for venue in self.venues), ZERO)

    @cached_property
    def is_hedging(self) -> bool:
        """True when a short stands."""
        return any(venue.is_held for venue in self.venues)

    # ------------------------------------------------------------------------------------------------------- inputs
    @cached_property
    def delta_inputs(self) -> tuple[str, ...]:
        """Those of the venues and of the sleeve."""
        return (*super().delta_inputs, *self.sleeve.needed)

    def long_inputs(self, venue: VenueView) -> tuple[str, ...]:
        """Those of the sleeve, but for ETH that still lies at the venue."""
        is_here = is_tradable(venue, venue.held, venue.spot)
        return venue.long_inputs if is_here else self.sleeve.needed

    @cached_property
    def restriction(self) -> str | None:
        """As any book's; a sleeve that cannot be seen is as good as a book that cannot."""
        blind = f"sleeve stale: {', '.join(self.sleeve.stale)}" if self.sleeve.stale else None
        return "; ".join(why for why in (super().restriction, blind) if why) or None

    @property
    def stuck(self) -> str:
        """A sleeve that cannot be sold keeps all of its hedge; a venue that cannot be reached its part of both."""
        return self.sleeve.stuck or ("" if any(venue.short > 0 for venue in self.leaving) else super().stuck)

    # -------------------------------------------------------------------------------------------------------- carry
    @cached_property
    def weighed(self) -> tuple[VenueView, ...]:
        """Venues that can be seen and have a weight."""
        return tuple(venue for venue in self.fresh if venue.weight > 0)

    def _mean(self, values: Mapping[str, Decimal]) -> Decimal:
        """By effective weight; zero without a venue."""
        whole = sum((venue.weight for venue in self.weighed), ZERO)
        return sum((venue.weight * values[venue.name] for venue in self.weighed), ZERO) / whole if whole else ZERO

    @cached_property
    def share(self) -> Decimal:
        """``a``: part of E that is staked."""
        return self._mean({venue.name: staked_share(venue.m_star) for venue in self.weighed})

    def levelled(self, venue: VenueView) -> tuple[Decimal, ...]:
        """More by what the token yielded more, less by what it yielded less then."""
        now, then = self.sleeve.y_eff, self.rates.get(venue.name, ())
        if now is None or not then:
            return ()
        known = zip(venue.memory.averages[-len(then) :], then, strict=True)
        return tuple(f + (y - now) / SETTLEMENTS_PER_YEAR for f, y in known)

    @cached_property
    def funding(self) -> tuple[Decimal, ...]:
        """Smoothed funding a year after each of the latest settlements, weighed over the venues, newest last."""
        known = {venue.name: self.levelled(venue) for venue in self.weighed}
        kept = min((len(rates) for rates in known.values()), default=0)
        rows = [{name: rates[-back] for name, rates in known.items()} for back in range(kept, 0, -1)]
        return tuple(self._mean(row) * SETTLEMENTS_PER_YEAR for row in rows)

    @property
    def confirmations(self) -> int:
        """Settlements in a row that a carry test needs: those of the quickest venue."""
        return max((venue.confirmations for venue in self.weighed), default=1)

    @property
    def staking(self) -> Decimal | None:
        """What the sleeve yields a year on its equity; None while the rate has no history."""
        return self.sleeve.y_eff

    @property
    def lam(self) -> Decimal:
        """Leverage that the sleeve would run at."""
        return ZERO

    @cached_property
    def cost(self) -> Decimal:
        """Entering and leaving a year on equity."""
        round_trip = self._mean({venue.name: venue.costs.round_trip for venue in self.weighed})
        leaving = sleeve_exit_cost(max(self.p.c_exit_plan, self.sleeve.sale_cost or ZERO), self.lam)
        return cost_apr(self.share, round_trip, leaving, self.p.hold_days_funding)

    def hurdle(self, apr: Decimal) -> Decimal | None:
        """Funding a year at which the carry is ``apr``; None while that cannot be told."""
        return None if self.staking is None or not self.share else funding_for(apr, self.share, self.staking)

    def net_apr(self, venue: VenueView) -> Decimal | None:
        """The book has one carry: yield of the sleeve and funding of all venues, less what it costs."""
        del venue
        if self.staking is None or not self.funding:
            return None
        return carry_apr(self.share, self.staking, self.funding[-1]) - self.cost

    def carry_fault(self, venue: VenueView) -> str | None:
        """The gate of the whole book, then whether the sleeve takes anything."""
        p, least = self.p, self.hurdle(self.p.entry_net_apr + self.cost)
        if least is None or not self.funding:
            return "yield or funding is unknown"
        if known := [v.name for v in self.weighed if v.memory.settlements < SETTLEMENTS_MIN]:
            return f"{', '.join(known)}: fewer than {SETTLEMENTS_MIN} settlements known"
        now, confirmed = self.funding[-1], self.confirmations
        if not holds(self.funding, confirmed, at_least=least) or min(self.funding[-confirmed:]) <= 0:
            return f"funding {brief(now)} a year, {brief(least)} and above 0 needed at {confirmed} settlements in a row"
        predicted = self._mean({v.name: v.f_predicted for v in self.weighed}) * SETTLEMENTS_PER_YEAR
        if p.uses_prediction and predicted < least:
            return f"predicted funding {brief(predicted)} < {brief(least)} a year"
        return acquire_fault(self.sleeve, venue.weight * self.investable * self.share / self.frame.price)

    # ------------------------------------------------------------------------------------------------------- sleeve
    def stands_here(self, venue: VenueView, quantity: Decimal) -> bool:
        """The long leg is at the venue only before it is staked."""
        return venue.held >= quantity

    def release_value(self, venue: VenueView) -> Decimal:
        """What the sleeve sells inside an ordinary limit, where a route leads to the venue."""
        limit, sleeve = self.p.slip_dex, self.sleeve
        if venue.venue.network is None or sleeve.stale or sleeve.gas_fault(is_defence=True) is not None:
            return ZERO
        is_dear = sleeve.sale_cost is None or sleeve.sale_cost > limit
        eth = sleeve.loose_eth if is_dear else levered_value(sleeve)
        return eth * self.frame.price * (1 - limit) ** 2

    def released(self, needs: Mapping[str, Decimal], level: int) -> tuple[Step, ...] | str:
        """Always fast: inside slip_dex at level 1, slip_emergency above. Money goes to each venue by its need."""
        wanted = sum(needs.values(), ZERO)
        if not wanted:
            return ()
        limit = self.p.slip_emergency if level >= REDUCE else self.p.slip_dex
        sold = self._cashed(wanted / self.frame.price, limit)
        if isinstance(sold, str):
            return f"the sleeve is not sold: {sold}"
        steps = list(sold.steps)
        for venue in self.venues:
            fee = venue.venue.withdrawal_fee_usdt
            part = cents_down(sold.amount * needs.get(venue.name, ZERO) / wanted - fee - CENT)
            steps += route(WALLET_CASH, None, venue.venue, part) if part > 0 else ()
        return tuple(steps)

    def sold_elsewhere(self, quantity: Decimal) -> tuple[Step, ...] | str:
        """Out of the sleeve into USDT, which stays in the wallet."""
        sold = self._cashed(quantity, self.p.slip_dex)
        return sold if isinstance(sold, str) else sold.steps

    def _cashed(self, eth: Decimal, limit: Decimal) -> Freed | str:
        """USDT in the wallet for up to so much ETH of the sleeve."""
        if fault := ", ".join(self.sleeve.stale) or self.sleeve.gas_fault(is_defence=True):
            return fault
        found = freed_weth(self.sleeve, eth, limit)
        freed = found if isinstance(found, str) else refuelled(self.sleeve, found)
        if isinstance(freed, str) or not freed.amount:
            return freed
        swapped, least = sold_for_usdt(freed.amount, self.frame.price, limit)
        return Freed((*freed.steps, swapped), least)
