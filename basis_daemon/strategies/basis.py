"""Basis books: long spot, short perp of one asset, USDT class. The rules in their order; the first that acts wins.

A family is an asset with its shock: ``BtcBasis`` and ``EthBasis`` are the same rules over other parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from basis_daemon.domain.decision import Exposure, InputUsed, ReasonCode, Rejected, RiskView
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.margin import ZERO
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.order import OrderOperation
from basis_daemon.strategies import memory as remembered
from basis_daemon.strategies.carry import entry_rate_min, exit_rate
from basis_daemon.strategies.charter import Charter
from basis_daemon.strategies.defence import delta, drawdown, nearest_liquidation
from basis_daemon.strategies.entry import enter, scale
from basis_daemon.strategies.memory import BasisMemory, Teaching, VenueMemory
from basis_daemon.strategies.parameters import QUOTE, BasisParameters
from basis_daemon.strategies.rebalance import carry_exit, dust, leg_drift, margin_excess, withdrawal
from basis_daemon.strategies.rotation import rotate
from basis_daemon.strategies.ruled import Declared, RuledStrategy
from basis_daemon.strategies.rules import Act, Frame, Rule, brief, in_flight, stale_gate
from basis_daemon.strategies.view import WALLET_CASH, BookView, VenueView, look


def delta_hard(view: BookView) -> Act | Rejected:
    """Beyond ``delta_hard`` only repair is allowed, also while no repair is possible."""
    p = view.frame.parameters
    share = abs(view.frame.exposure.net_delta.get(p.asset, ZERO)) * view.frame.price / view.equity
    if share <= p.delta_hard:
        return Rejected(ReasonCode.DELTA, f"|delta| {brief(share)} <= delta_hard {p.delta_hard}")
    return Act(ReasonCode.DELTA, f"|delta| {brief(share)} of E > delta_hard {p.delta_hard}: only repair", page=True)


RULES: tuple[Rule[BookView], ...] = (
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


class BasisStrategy(RuledStrategy[BasisParameters, BasisMemory, BookView]):
    """One book of one asset: both legs at every venue."""

    asset: ClassVar[str]

    def __init__(self, parameters: BasisParameters, name: str = "") -> None:
        asset, venues = parameters.asset, parameters.venues
        if asset != self.asset:
            msg = f"{type(self).__name__}: parameters are of {asset}, expected {self.asset}"
            raise ConfigError(msg)
        venue_of = {venue.perp_key(asset): venue.name for venue in venues}
        self._teaching = Teaching(venue_of, parameters.funding_halflife_h, parameters.k_confirm)
        super().__init__(name or f"{asset.lower()}_basis", parameters, _declared(parameters), RULES, BasisMemory)

    @property
    def charter(self) -> Charter:
        """Limits as configured; both legs at every venue, and transfers between wallets that are apart."""
        p = self.parameters
        return Charter(
            max_drawdown=p.max_drawdown,
            slip_emergency_bp=p.slip_emergency_bp,
            needed=frozenset(_needed(p)),
            cash=tuple(venue.cash_key for venue in p.venues),
            ladder=p.ladder,
            shocks={p.asset: p.shock},
            venue_cap=p.venue_cap,
            exchange_of={account: v.name for v in p.venues for account in (v.spot_account, v.perp_account)},
            traded_at={venue.name: frozenset({p.asset}) for venue in p.venues},
            clip_usdt=p.clip_usdt,
            unhedged_max_s=p.unhedged_max_s,
        )

    @property
    def decision_interval_s(self) -> Decimal:
        """Market seconds between decisions at least."""
        return self._parameters.decision_interval_s

    def initial_memory(self) -> BasisMemory:
        """No settlement seen, weights as configured and capped."""
        names = [venue.name for venue in self._parameters.venues]
        return BasisMemory({name: VenueMemory() for name in names}, self._parameters.initial_weights)

    def fold(self, memory: object, event: object) -> BasisMemory:
        """Memory after an event; the same object when the event teaches nothing."""
        return remembered.fold(self._own(memory), event, self._teaching)

    @property
    def _leg_budget_s(self) -> Decimal:
        return self._parameters.unhedged_max_s

    def _look(self, timestamp: datetime, market: MarketSnapshot, exposure: Exposure, risk: RiskView) -> BookView:
        price = exposure.prices.get(self._parameters.asset, ZERO)
        return look(Frame(self._parameters, timestamp, market, exposure, risk, self._own(market.memory), price))

    def _inputs(self, view: BookView) -> dict[str, InputUsed]:
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

    def _thresholds(self, view: BookView) -> dict[str, Decimal]:
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


class BtcBasis(BasisStrategy):
    """BTC spot against BTCUSDT perps."""

    asset: ClassVar[str] = "BTC"


class EthBasis(BasisStrategy):
    """ETH spot against ETHUSDT perps, USDT class."""

    asset: ClassVar[str] = "ETH"


def _needed(p: BasisParameters) -> Iterator[tuple[OrderOperation, str]]:
    for venue in p.venues:
        yield OrderOperation.SPOT_TRADE, venue.spot_account
        yield OrderOperation.PERP_TRADE, venue.perp_account
        if not venue.is_unified:
            yield OrderOperation.TRANSFER, venue.spot_account
            yield OrderOperation.TRANSFER, venue.perp_account
        if venue.network is not None:
            yield OrderOperation.TRANSFER, venue.spot_account
            yield OrderOperation.TRANSFER, WALLET_CASH.venue


def _declared(parameters: BasisParameters) -> Declared:
    """Legs, cash, margin and transit of every venue, and the wallet's USDT where a route leads there."""
    asset, venues = parameters.asset, parameters.venues
    legs = {key for venue in venues for key in (venue.perp_key(asset), venue.spot_key(asset))}
    cash = {key for venue in venues for key in (venue.cash_key, venue.margin_key)}
    transit = {PositionKey.of(venue.spot_account, Kind.TRANSIT, QUOTE) for venue in venues}
    transit |= {PositionKey.of(venue.perp_account, Kind.TRANSIT, QUOTE) for venue in venues}
    is_routed = any(venue.network is not None for venue in venues)
    wallet = {WALLET_CASH, PositionKey.of("wallet", Kind.TRANSIT, QUOTE)} if is_routed else set()
    return Declared(frozenset(legs), frozenset(legs | cash | transit | wallet))


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
