"""Staked hedge with leverage: the sleeve is collateral at Aave, the short is what the sleeve is worth and nothing more.

Leverage changes neither the short nor its margin: it is a matter of the sleeve alone, which lives by the rules of a
levered book. Its two threats, an account at an exchange and one at Aave, are compared by level, then by shocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from basis_daemon.domain.decision import InputUsed, ReasonCode, Rejected
from basis_daemon.domain.lending import ZERO, fall_to_liquidation
from basis_daemon.domain.levered import levered_apr
from basis_daemon.strategies import defence, levered_defence, staking
from basis_daemon.strategies.defence import defended, worse_first
from basis_daemon.strategies.hedge import (
    GROWTH,
    HedgeStrategy,
    bring_home,
    carry_exit,
    drawdown,
    of_sleeve,
    sleeve_frame,
    withdrawal,
    yield_of,
)
from basis_daemon.strategies.hedge_parameters import LeveredHedgeParameters
from basis_daemon.strategies.hedge_view import HedgeView
from basis_daemon.strategies.leveraged import (
    gate_fault,
    lever_up,
    levered_declared,
    levered_inputs,
    levered_needs,
    levered_routes,
    levered_teaching,
    levered_thresholds,
    sized,
)
from basis_daemon.strategies.levered_view import LeverView
from basis_daemon.strategies.onchain_memory import OnchainMemory
from basis_daemon.strategies.rebalance import leg_drift
from basis_daemon.strategies.rewards import dust
from basis_daemon.strategies.rules import Frame, Rule, Verdict
from basis_daemon.strategies.twofold import ChainHalf, Rates
from basis_daemon.strategies.view import BookView


@dataclass(frozen=True)
class LeveredHedgeView(HedgeView):
    """Venues and a sleeve that may owe WETH."""

    sleeve: LeverView

    @cached_property
    def lam(self) -> Decimal:
        """What is owed now, or what an entry would owe where leverage pays."""
        if self.sleeve.debt:
            return self.sleeve.lam
        position = sized(self.sleeve, self.investable * self.share / self.frame.price)
        return ZERO if gate_fault(self.sleeve, position) else self.sleeve.lam_target

    @cached_property
    def staking(self) -> Decimal | None:
        """Yield on the sleeve's equity at that leverage."""
        y, rate = self.sleeve.y_eff, self.sleeve.memory.borrow.rate
        return y if y is None or not self.lam or rate is None else levered_apr(y, rate.average, self.lam)

    @cached_property
    def restriction(self) -> str | None:
        """A debt without the protocol's own word about it is unknown."""
        blind = f"sleeve: {self.sleeve.blind}" if self.sleeve.blind else None
        return "; ".join(why for why in (super().restriction, blind) if why) or None

    @property
    def z_of_sleeve(self) -> Decimal:
        """Shocks of the token against ETH until the debt could be liquidated."""
        health = self.sleeve.health
        return fall_to_liquidation(health) / self.sleeve.p.shock_lst if health else ZERO


def nearest_liquidation(view: LeveredHedgeView) -> Verdict:
    """Rule 2: the worse level first, then the nearer in shocks, an exchange before Aave; the other comes next."""
    at_exchange = defence.nearest_liquidation(view)
    at_aave = levered_defence.nearest_liquidation(view.sleeve)
    return worse_first(view, at_exchange, at_aave, lambda: view.z_of_sleeve)


def of_debt(rule: Callable[[LeverView], Verdict]) -> Rule[LeveredHedgeView]:
    """A levered book's rule, asked about the sleeve."""
    return lambda view: rule(view.sleeve)


def lever(view: LeveredHedgeView) -> Verdict:
    """Leverage on what is hedged."""
    return lever_up(view.sleeve) if view.is_hedging else Rejected(ReasonCode.SCALE, "no hedge stands")


RULES: tuple[Rule[LeveredHedgeView], ...] = (
    *defended(nearest_liquidation, drawdown),
    of_sleeve(staking.collect),
    withdrawal,
    of_sleeve(dust),
    of_debt(levered_defence.spike_exit),
    of_debt(levered_defence.carry_exit),
    carry_exit,
    of_debt(levered_defence.ltv_band),
    of_debt(levered_defence.issuer),
    leg_drift,
    bring_home,
    lever,
    *GROWTH,
)


def _view(
    book: BookView, frame: Frame[LeveredHedgeParameters, OnchainMemory], needed: tuple[str, ...], rates: Rates
) -> LeveredHedgeView:
    sleeve = LeverView(sleeve_frame(frame), needed)
    return LeveredHedgeView(book.frame, book.venues, book.missing, frame.parameters, sleeve, rates)


class UsdtMarketNeutral(HedgeStrategy[LeveredHedgeParameters, LeveredHedgeView]):
    """Staked ETH at Aave against ETHUSDT perps."""

    def __init__(self, parameters: LeveredHedgeParameters, name: str = "usdt_market_neutral") -> None:
        p = parameters
        chain = ChainHalf(
            declared=levered_declared(p),
            routes=levered_routes(p),
            needed=levered_needs(p),
            teaching=levered_teaching(p),
            view=_view,
            rules=RULES,
            rate=yield_of(p),
        )
        super().__init__(name, p, chain)

    def _inputs(self, view: LeveredHedgeView) -> dict[str, InputUsed]:
        return levered_inputs(view.sleeve) | super()._inputs(view)

    def _thresholds(self, view: LeveredHedgeView) -> dict[str, Decimal]:
        return levered_thresholds(view.sleeve) | super()._thresholds(view)
