"""What every book with shorts at exchanges is, remembers and tells, whatever stands behind its shorts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from basis_daemon.domain.decision import InputUsed
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.margin import ZERO
from basis_daemon.domain.order import OrderOperation
from basis_daemon.strategies.charter import Charter
from basis_daemon.strategies.memory import BasisMemory, Teaching, VenueMemory
from basis_daemon.strategies.parameters import QUOTE, BasisParameters
from basis_daemon.strategies.ruled import Declared
from basis_daemon.strategies.view import WALLET_CASH, BookView, VenueView


def pair_charter(p: BasisParameters) -> Charter:
    """Limits as configured; both legs at every venue, and transfers between wallets that are apart."""
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
        ways=tuple(venue.way for venue in p.venues),
        m_star=p.m_star,
    )


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


def pair_declared(parameters: BasisParameters) -> Declared:
    """Legs, cash, margin and transit of every venue, and the wallet's USDT where a route leads there."""
    asset, venues = parameters.asset, parameters.venues
    legs = {key for venue in venues for key in (venue.perp_key(asset), venue.spot_key(asset))}
    cash = {key for venue in venues for key in (venue.cash_key, venue.margin_key)}
    transit = {PositionKey.of(venue.spot_account, Kind.TRANSIT, QUOTE) for venue in venues}
    transit |= {PositionKey.of(venue.perp_account, Kind.TRANSIT, QUOTE) for venue in venues}
    is_routed = any(venue.network is not None for venue in venues)
    wallet = {WALLET_CASH, PositionKey.of("wallet", Kind.TRANSIT, QUOTE)} if is_routed else set()
    return Declared(frozenset(legs), frozenset(legs | cash | transit | wallet))


def pair_teaching(p: BasisParameters) -> Teaching:
    """What its memory needs beside events."""
    return Teaching({venue.perp_key(p.asset): venue.name for venue in p.venues}, p.funding_halflife_h, p.k_confirm)


def pair_memory(p: BasisParameters) -> BasisMemory:
    """No settlement seen, weights as configured and capped."""
    return BasisMemory({venue.name: VenueMemory() for venue in p.venues}, p.initial_weights)


def pair_inputs(view: BookView) -> dict[str, InputUsed]:
    """The numbers that went in, each with its age on the process clock."""
    exposure, risk = view.frame.exposure, view.frame.risk
    used = {"drawdown": InputUsed(risk.drawdown)}
    if exposure.equity_usdt is not None:
        used["equity_usdt"] = InputUsed(exposure.equity_usdt)
    if exposure.budget_usdt is not None:
        used["budget_usdt"] = InputUsed(exposure.budget_usdt)
    used["net_delta"] = InputUsed(view.net_delta)
    for venue in view.venues:
        used.update(_venue_inputs(venue))
    return used


def pair_thresholds(view: BookView) -> dict[str, Decimal]:
    """What the inputs were compared with."""
    p = view.frame.parameters
    bounds = {
        "delta_soft": p.delta_soft,
        "leg_drift": p.leg_drift,
        "max_drawdown": p.max_drawdown,
        "z_topup": p.z_topup,
        "min_basis_bp": p.min_basis_bp,
    }
    return bounds | {f"m_star:{venue.name}": venue.m_star for venue in view.venues}


def rate_thresholds(view: BookView) -> dict[str, Decimal]:
    """What funding of each venue was compared with, per 8 hours."""
    rates = {f"f_exit:{venue.name}": view.exit_rate(venue) for venue in view.venues}
    rates |= {f"f_entry:{venue.name}": view.entry_rate(venue) for venue in view.venues}
    return {name: rate for name, rate in rates.items() if rate is not None}


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
