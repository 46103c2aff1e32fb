"""Basis books: long spot, short perp of one asset, USDT class. The rules in their order; the first that acts wins.

A family is an asset with its shock: ``BtcBasis`` and ``EthBasis`` are the same rules over other parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from basis_daemon.domain.decision import Assessment, Exposure, InputUsed, ReasonCode, Rejected, RiskView
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.margin import ZERO
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.order import Order
from basis_daemon.strategies import memory as remembered
from basis_daemon.strategies.carry import entry_rate_min, exit_rate
from basis_daemon.strategies.defence import delta, drawdown, nearest_liquidation
from basis_daemon.strategies.entry import enter, scale
from basis_daemon.strategies.memory import BasisMemory, Teaching, VenueMemory
from basis_daemon.strategies.orders import Desk, orders_of, targets_of
from basis_daemon.strategies.parameters import QUOTE, BasisParameters
from basis_daemon.strategies.rebalance import carry_exit, dust, leg_drift, margin_excess, withdrawal
from basis_daemon.strategies.rotation import rotate
from basis_daemon.strategies.view import WALLET_CASH, Act, BookView, Frame, VenueView, Verdict, brief, look


def stale_gate(view: BookView) -> Act | Rejected:
    """Rule 0: past this point everything must be known, fresh and settled."""
    if view.restriction is None:
        return Rejected(ReasonCode.STALE, "every required input is fresh")
    reason = ReasonCode.IN_FLIGHT if view.frame.risk.in_doubt else ReasonCode.STALE
    return Act(reason, view.restriction)


def in_flight(view: BookView) -> Act | Rejected:
    """Rule 1: one ordinary plan at a time, and none beside a defence or open orders on its legs."""
    risk = view.frame.risk
    if risk.plan_in_flight:
        return Act(ReasonCode.IN_FLIGHT, "a plan is in flight")
    if risk.defence_in_flight:
        return Act(ReasonCode.IN_FLIGHT, f"defence is in flight at {', '.join(sorted(risk.defence_in_flight))}")
    if risk.legs_with_open_orders:
        return Act(ReasonCode.IN_FLIGHT, f"orders are open on {', '.join(sorted(risk.legs_with_open_orders))}")
    return Rejected(ReasonCode.IN_FLIGHT, "nothing is in flight")


def delta_hard(view: BookView) -> Act | Rejected:
    """Beyond ``delta_hard`` only repair is allowed, also while no repair is possible."""
    p = view.frame.parameters
    share = abs(view.frame.exposure.net_delta.get(p.asset, ZERO)) * view.frame.price / view.equity
    if share <= p.delta_hard:
        return Rejected(ReasonCode.DELTA, f"|delta| {brief(share)} <= delta_hard {p.delta_hard}")
    return Act(ReasonCode.DELTA, f"|delta| {brief(share)} of E > delta_hard {p.delta_hard}: only repair", page=True)


RULES: tuple[Callable[[BookView], Verdict], ...] = (
    nearest_liquidation,
    drawdown,
    delta,
    stale_gate,
    in_flight,
    delta_hard,
    withdrawal,
    dust,
    carry_exit,
    leg_drift,
    scale,
    margin_excess,
    rotate,
    enter,
)
"""Defence first, on its own inputs; the stale gate and what is in flight stop everything below them."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, with what was looked at before it."""

    view: BookView
    act: Act
    rejected: tuple[Rejected, ...]


class BasisStrategy:
    """One book of one asset. Holds its parameters and what follows from them; everything else is handed in."""

    asset: ClassVar[str]

    def __init__(self, parameters: BasisParameters, name: str = "") -> None:
        asset, venues = parameters.asset, parameters.venues
        if asset != self.asset:
            msg = f"{type(self).__name__}: parameters are of {asset}, expected {self.asset}"
            raise ConfigError(msg)
        self._parameters, self._name = parameters, name or f"{asset.lower()}_basis"
        venue_of = {venue.perp_key(asset): venue.name for venue in venues}
        self._teaching = Teaching(venue_of, parameters.funding_halflife_h, parameters.k_confirm)
        self._instruments = frozenset({*venue_of, *(venue.spot_key(asset) for venue in venues)})
        cash = {key for venue in venues for key in (venue.cash_key, venue.margin_key)}
        transit = {PositionKey.of(venue.spot_account, Kind.TRANSIT, QUOTE) for venue in venues}
        transit |= {PositionKey.of(venue.perp_account, Kind.TRANSIT, QUOTE) for venue in venues}
        is_routed = any(venue.network is not None for venue in venues)
        wallet = {WALLET_CASH, PositionKey.of("wallet", Kind.TRANSIT, QUOTE)} if is_routed else set()
        self._declared = self._instruments | cash | transit | wallet

    @property
    def name(self) -> str:
        """Instance name, unique in the process."""
        return self._name

    @property
    def parameters(self) -> BasisParameters:
        """As configured and checked."""
        return self._parameters

    @property
    def instruments(self) -> frozenset[PositionKey]:
        """Both legs at every venue."""
        return self._instruments

    @property
    def declared_keys(self) -> frozenset[PositionKey]:
        """Legs, cash, margin and transit of every venue, and the wallet's USDT where a route leads there."""
        return self._declared

    @property
    def decision_interval_s(self) -> Decimal:
        """Market seconds between decisions at least."""
        return self._parameters.decision_interval_s

    def initial_memory(self) -> BasisMemory:
        """No settlement seen, weights as configured and capped."""
        names = [venue.name for venue in self._parameters.venues]
        return BasisMemory({name: VenueMemory() for name in names}, self._parameters.initial_weights)

    def dump_memory(self, memory: object) -> str:
        """JSON text of a memory."""
        return remembered.dump_memory(_own(memory))

    def load_memory(self, text: str) -> BasisMemory:
        """Inverse of ``dump_memory``; raises ValueError on text that is not one."""
        return remembered.load_memory(text)

    def fold(self, memory: object, event: object) -> BasisMemory:
        """Memory after an event; the same object when the event teaches nothing."""
        return remembered.fold(_own(memory), event, self._teaching)

    def assess(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> Assessment:
        """The reasons of this decision, HOLD too. Missing or stale inputs hold with STALE."""
        decision = self._decide(timestamp, market, exposure, risk)
        act = decision.act
        return Assessment(
            time=timestamp,
            strategy=self._name,
            trigger=trigger,
            reason=act.reason,
            note=act.note,
            inputs=_inputs(decision.view),
            thresholds=_thresholds(decision.view),
            rejected=decision.rejected,
            targets=targets_of(act.steps, exposure.holdings, market),
            urgency=act.urgency,
            page=act.page,
            weights=act.weights or {},
        )

    def make_strategy_decision(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> list[Order]:
        """Orders of the same decision; empty to hold."""
        del trigger
        act = self._decide(timestamp, market, exposure, risk).act
        desk = Desk(self._name, act.reason, timestamp, market, exposure, self._parameters.unhedged_max_s)
        return orders_of(act.steps, desk)

    def _decide(self, timestamp: datetime, market: MarketSnapshot, exposure: Exposure, risk: RiskView) -> Decision:
        price = exposure.prices.get(self._parameters.asset, ZERO)
        view = look(Frame(self._parameters, timestamp, market, exposure, risk, _own(market.memory), price))
        rejected: list[Rejected] = []
        for rule in RULES:
            verdict = rule(view)
            if isinstance(verdict, Act):
                return Decision(view, verdict, tuple(rejected))
            rejected.append(verdict)
        return Decision(view, Act(ReasonCode.HOLD, "no rule asks for anything"), tuple(rejected))


class BtcBasis(BasisStrategy):
    """BTC spot against BTCUSDT perps."""

    asset: ClassVar[str] = "BTC"


class EthBasis(BasisStrategy):
    """ETH spot against ETHUSDT perps, USDT class."""

    asset: ClassVar[str] = "ETH"


def _own(memory: object) -> BasisMemory:
    if isinstance(memory, BasisMemory):
        return memory
    msg = f"memory is a {type(memory).__name__}, expected BasisMemory"
    raise TypeError(msg)


def _inputs(view: BookView) -> dict[str, InputUsed]:
    """The numbers that went in, each with its age on the process clock."""
    exposure, risk = view.frame.exposure, view.frame.risk
    used = {"drawdown": InputUsed(risk.drawdown)}
    if exposure.equity_usdt is not None:
        used["equity_usdt"] = InputUsed(exposure.equity_usdt)
    if exposure.budget_usdt is not None:
        used["budget_usdt"] = InputUsed(exposure.budget_usdt)
    used["net_delta"] = InputUsed(exposure.net_delta.get(view.frame.parameters.asset, ZERO))
    for venue in view.venues:
        used.update(_venue_inputs(venue))
    return used


def _venue_inputs(venue: VenueView) -> dict[str, InputUsed]:
    ages = venue.frame.market.ages
    named = {
        f"book:{venue.spot.key}": venue.spot_book.mid,
        f"book:{venue.perp.key}": venue.perp_book.mid,
        f"mark:{venue.perp.key}": venue.state.mark,
        f"account:{venue.venue.perp_account}": venue.margin,
        f"account:{venue.venue.spot_account}": venue.held,
        f"f_hat:{venue.name}": venue.memory.f_hat,
        f"f_predicted:{venue.name}": venue.f_predicted,
        f"m:{venue.name}": venue.m,
        f"z:{venue.name}": venue.z,
        f"sigma:{venue.name}": venue.memory.sigma,
    }
    return {
        name: InputUsed(value, ages[name].arrival_age_s if name in ages else ZERO)
        for name, value in named.items()
        if value is not None
    }


def _thresholds(view: BookView) -> dict[str, Decimal]:
    """What the inputs were compared with."""
    p = view.frame.parameters
    bounds = {
        "delta_soft": p.delta_soft,
        "leg_drift": p.leg_drift,
        "max_drawdown": p.max_drawdown,
        "z_topup": p.z_topup,
        "min_basis_bp": p.min_basis_bp,
    }
    for venue in view.venues:
        bounds[f"m_star:{venue.name}"] = venue.m_star
        bounds[f"f_exit:{venue.name}"] = exit_rate(p.exit_net_apr, venue.m_star)
        bounds[f"f_entry:{venue.name}"] = entry_rate_min(
            p.entry_net_apr, venue.m_star, venue.costs, p.hold_days_funding
        )
    return bounds
