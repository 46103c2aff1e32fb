"""What a daemon may do, out of its settings: the limits of gate, guard, last hop, hedged groups, tiers and disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from basis_daemon.domain.caps import Caps
from basis_daemon.domain.instrument import Kind, MarginTier, PositionKey
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.risk import RiskLimits
from basis_daemon.domain.transfer import WALLET, Route
from basis_daemon.engine.guard import Guard
from basis_daemon.engine.guard_watch import WatchLimits
from basis_daemon.engine.last_hop import Collars
from basis_daemon.engine.leg_group import LegBudget
from basis_daemon.engine.picture import accounts_of
from basis_daemon.engine.upkeep import DiskWatch
from basis_daemon.settings import Settings
from basis_daemon.settings.model import TierSettings
from basis_daemon.settings.transfers import TransferSettings
from basis_daemon.strategies.charter import BookStrategy

_MB = 1_000_000


def risk_limits(
    settings: Settings, strategy: BookStrategy, operations: Mapping[str, frozenset[OrderOperation]]
) -> RiskLimits:
    """Of the gate before every plan of one strategy."""
    charter, risk = strategy.charter, settings.risk
    return RiskLimits(
        order_notional_max_usdt=risk.order_notional_max_usdt,
        price_band_bp=risk.price_band_bp,
        slippage_max_bp=charter.slip_emergency_bp,
        venue_share_max=charter.venue_cap,
        orders_per_minute_max=risk.orders_per_minute_max,
        z_open=charter.ladder.z_open,
        shocks=charter.shocks,
        exchange_of=charter.exchange_of,
        recipients=frozenset(operations) & accounts_of(strategy),
        caps=caps_of(settings),
    )


def caps_of(settings: Settings) -> Caps:
    """Of the book as a whole, with whose each account is."""
    venues = settings.enabled_venues
    accounts = {a: name for name, venue in venues.items() for a in (venue.accounts.spot, venue.accounts.derivatives)}
    operators = {name: venue.exchange for name, venue in venues.items()}
    return Caps(settings.risk.caps.shares(), accounts, operators)


def fee_coins(settings: Settings) -> list[PositionKey]:
    """What pays fees at each venue, as held in its spot wallet; also the name of the pair that prices it."""
    venues = settings.enabled_venues.values()
    return [PositionKey.of(v.accounts.spot, Kind.SPOT, v.fee_asset) for v in venues if v.fee_asset is not None]


def usdt_proxies(settings: Settings) -> list[PositionKey]:
    """The dollar's pair at each venue; the first one speaks for USDT."""
    proxy, venues = settings.guard.usdt_proxy, settings.enabled_venues.values()
    return [] if proxy is None else [PositionKey.of(venue.accounts.spot, Kind.SPOT, proxy) for venue in venues]


def watch_limits(settings: Settings, strategies: list[BookStrategy]) -> WatchLimits:
    """Of the guard over all strategies; of an asset's shocks the widest."""
    guard = settings.guard
    return WatchLimits(
        z_reducing=guard.z_reducing,
        z_halted=guard.z_halted,
        drawdown_reducing=guard.drawdown_reducing,
        drawdown_halted=guard.drawdown_halted,
        silent_max_s=guard.silent_max_s,
        break_max_s=guard.break_max_s,
        fee_coins=tuple(fee_coins(settings)),
        fee_coin_min_usdt=guard.fee_asset_min_usdt,
        gross_notional_max_usdt=guard.gross_notional_max_usdt,
        usdt_proxy=next(iter(usdt_proxies(settings)), None),
        usdt_floor=guard.usdt_floor,
        shocks=dict(sorted(shock for strategy in strategies for shock in strategy.charter.shocks.items())),
    )


def collars(settings: Settings) -> Collars:
    """Of the last hop."""
    guard = settings.guard
    return Collars(
        order_notional_max_usdt=guard.order_notional_max_usdt,
        orders_per_minute_max=guard.orders_per_minute_max,
        notional_per_minute_max_usdt=guard.notional_per_minute_max_usdt,
        price_collar_bp=guard.price_collar_bp,
        source_max_s=settings.freshness.quote_s,
    )


def leg_budget(settings: Settings, strategy: BookStrategy) -> LegBudget:
    """Of the hedged groups of one strategy."""
    charter, execution = strategy.charter, settings.execution
    return LegBudget(
        clip_usdt=charter.clip_usdt,
        depth_share=execution.depth_share,
        depth_band_bp=execution.depth_band_bp,
        unhedged_max_s=charter.unhedged_max_s,
        slippage_emergency_bp=charter.slip_emergency_bp,
        quote_max_s=settings.freshness.quote_s,
    )


def disk_watch(settings: Settings, guard: Guard) -> DiskWatch:
    """Of the disk that the journal lies on."""
    place, kept = settings.journal_file.parent, settings.journal
    return DiskWatch(lambda: shutil.disk_usage(place).free // _MB, kept.disk_soft_mb, kept.disk_hard_mb, guard.tighten)


def tiers_of(rows: Sequence[TierSettings]) -> tuple[MarginTier, ...]:
    """Brackets with the deduction that makes the requirement continuous from each to the next."""
    tiers: list[MarginTier] = []
    floor, rate, deduction = Decimal(0), Decimal(0), Decimal(0)
    for row in rows:
        deduction += floor * (row.maintenance - rate)
        tiers.append(MarginTier(floor, row.notional_max, row.maintenance, deduction, row.leverage_max))
        floor, rate = row.notional_max, row.maintenance
    return tuple(tiers)


def transfer_routes(settings: Settings, transfers: TransferSettings, wallet: str) -> Iterator[Route]:
    """Where money may go between exchanges and the wallet at that address: both ways for every coin of the file."""
    for name, venue in transfers.venues.items():
        account = settings.venues[name].accounts.spot
        for coin, bounds in venue.coins.items():
            most = bounds.once_max, bounds.day_max, bounds.first_max, bounds.approve_above
            yield Route(account, WALLET, coin.upper(), wallet, *most)
            yield Route(WALLET, account, coin.upper(), venue.deposit_address, *most)
