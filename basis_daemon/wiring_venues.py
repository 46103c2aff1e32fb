"""The venues of a daemon: simulated and live differ by the constructor chosen here, and by nothing behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

import orjson
from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.check import Check
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import Order
from basis_daemon.engine.book_view import QUOTE
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.state import BookState
from basis_daemon.ports import (
    Clock,
    Feed,
    Probe,
    TaskScope,
    TradeSink,
    pass_by,
)
from basis_daemon.rare_paths import Rarely, never
from basis_daemon.research.recording import RecordingFeed
from basis_daemon.research.tape import Retention, Tape
from basis_daemon.settings import Mode, Settings, make_strategies
from basis_daemon.settings.model import FeeSettings, PaperSettings, SandboxSettings, VenueSettings
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.telemetry import get_logger
from basis_daemon.venues.cex.checkup import examine, unopened
from basis_daemon.venues.cex.lease import AccountLease
from basis_daemon.venues.cex.limiter import WeightLimiter
from basis_daemon.venues.cex.network import SandboxNetwork, sandbox_from_ready_file
from basis_daemon.venues.cex.options import CEXOptions, CustodyWish, Fees, Note, Terms, ignore_note
from basis_daemon.venues.cex.venue import CEXVenue
from basis_daemon.venues.paper.feed import PaperFeed
from basis_daemon.venues.paper.venue import PaperAccountSpec, PaperTerms, PaperVenue
from basis_daemon.wiring_book import Routes, Venue
from basis_daemon.wiring_exchanges import EXCHANGES, is_inverse, sandbox_credentials
from basis_daemon.wiring_limits import tiers_of
from basis_daemon.wiring_purse import wallet_address

_MB = 1_000_000


def make_venues(
    settings: Settings,
    strategies: list[BookStrategy],
    book: BookState,
    clock: Clock,
    alarm: Alarm,
    probe: Probe = pass_by,
    rarely: Rarely = never,
) -> list[Venue]:
    """Every enabled venue, in the mode's network; ``book`` is what the journal knows of its accounts.

    All accounts of one exchange share its request budget: the exchange counts by address, not by key.
    """
    limiters = {quirks.name: WeightLimiter(quirks.pools, clock) for quirks in EXCHANGES.values()}
    found = []
    for name, venue in settings.enabled_venues.items():
        quirks = EXCHANGES[venue.exchange].named(venue.accounts.spot, venue.accounts.derivatives)
        options = replace(_options(settings, venue, _assets(strategies, name), probe), rarely=rarely)
        limiter = limiters[quirks.name]
        exchange = CEXVenue(quirks, options, clock, note_to(alarm), limiter, open_orders=lambda: _open(book))
        is_paper = settings.mode is Mode.PAPER
        leverage = venue.leverage
        made = _on_paper(exchange, _paper(settings), leverage, book, clock) if is_paper else _at_exchange(exchange)
        found.append(_recorded(made, settings, venue.exchange, clock, alarm) if settings.recording.enabled else made)
    return found


def _recorded(venue: Venue, settings: Settings, name: str, clock: Clock, alarm: Alarm) -> Venue:
    """The same venue, whose market is written down."""
    kept = settings.recording
    recordings: list[RecordingFeed] = []

    def feed(scope: TaskScope) -> Feed:
        tape = Tape(
            settings.data_dir / kept.directory, name, kept.levels, Retention(kept.days_max, kept.size_max_mb * _MB)
        )
        made = RecordingFeed(venue.feed(scope), tape, clock, scope, alarm, queue_max=kept.queue_max)
        recordings.append(made)
        return made

    return replace(venue, feed=feed, recordings=recordings)


def inspected(settings: Settings, clock: SystemClock, alarm: Alarm) -> list[CEXVenue]:
    """Every enabled exchange, for questions alone. Raises ConfigError on paper: its accounts are the journal's own."""
    if settings.mode is Mode.PAPER:
        raise ConfigError("mode paper: its accounts live in the journal, so there is no venue to compare it with")
    strategies = make_strategies(settings)
    found = []
    for name, venue in settings.enabled_venues.items():
        quirks = EXCHANGES[venue.exchange].named(venue.accounts.spot, venue.accounts.derivatives)
        options = _options(settings, venue, _assets(strategies, name), pass_by)
        found.append(CEXVenue(quirks, options, clock, note_to(alarm)))
    return found


def account_leases(settings: Settings) -> list[AccountLease]:
    """What this process must hold before it speaks for an account; simulated accounts belong to it anyway."""
    if settings.mode is Mode.PAPER:
        return []
    found = []
    for name, venue in settings.enabled_venues.items():
        network = _network(settings)
        where = settings.mode.value if network is None else f"127.0.0.1:{network.port}"
        key = venue.key.get_secret_value() if venue.key is not None else sandbox_credentials(venue)[0]
        found.append(AccountLease(name, EXCHANGES[venue.exchange].name, where, key))
    return found


def _open(book: BookState) -> list[Order]:
    """Orders of ours that have not ended."""
    return [life.order for life in book.open_orders()]


def _dead_men(exchange: CEXVenue) -> Mapping[str, Mapping[str, object]]:
    """How the dead man's switch of every account stands."""
    return {account: dead_man.state() for account, dead_man in exchange.dead_men.items()}


def _assets(strategies: list[BookStrategy], venue: str) -> list[str]:
    """What is traded at a venue."""
    return sorted({asset for s in strategies for asset in s.charter.traded_at.get(venue, ())})


async def examine_venues(
    settings: Settings, strategies: list[BookStrategy], clock: SystemClock, scope: TaskScope
) -> list[Check]:
    """The preflight lines of every enabled exchange, over connections of their own; what it notes is not told."""
    found: list[Check] = []
    for name, venue in settings.enabled_venues.items():
        try:
            options = _options(settings, venue, _assets(strategies, name), pass_by)
        except ConfigError as error:
            found += unopened(name, str(error))
            continue
        quirks = EXCHANGES[venue.exchange].named(venue.accounts.spot, venue.accounts.derivatives)
        found += await examine(CEXVenue(quirks, options, clock, ignore_note), name, scope)
    return found


def _at_exchange(exchange: CEXVenue) -> Venue:
    """The exchange takes the orders itself."""

    def routes(on_trade: TradeSink) -> Routes:
        transfers = exchange.transfers(on_trade)
        trades = [(account, exchange.interface(account, on_trade)) for account in exchange.accounts]
        return [*trades, *((account, transfers) for account in exchange.accounts)]

    sources = [exchange.source(account) for account in exchange.accounts]
    return Venue(sources, routes, exchange.feed, lambda: _dead_men(exchange), custody=exchange.custody)


def _on_paper(exchange: CEXVenue, paper: PaperSettings, leverage: int, book: BookState, clock: Clock) -> Venue:
    """The exchange brings its market; orders go to simulated accounts, which tell of fills in the feed."""
    accounts = [
        PaperAccountSpec(desk.name, trades_spot=desk.quirks.has_spot, trades_perps=desk.quirks.has_perps)
        for desk in exchange.desks.values()
    ]
    latency_s = float(paper.latency_s)
    terms = PaperTerms(latency_s, latency_s, liquidation_fee=paper.liquidation_fee, leverage=Decimal(leverage))
    held, costs = _held(book, exchange.accounts, paper.balances)
    venue = PaperVenue(accounts, clock, held, open_notional=costs, terms=terms)
    return Venue(
        sources=list(venue.accounts.values()),
        routes=lambda _: list(venue.accounts.items()),
        feed=lambda scope: PaperFeed(venue, exchange.feed(scope), lambda: exchange.market_time.newest),
        dead_men=lambda: _dead_men(exchange),
    )


def _held(
    book: BookState, accounts: Iterable[str], first: Mapping[str, Decimal]
) -> tuple[dict[PositionKey, Decimal], dict[PositionKey, Decimal]]:
    """(balances, open notional) of these accounts: from the ledger, and ``first`` where it does not know one yet."""
    known = {account for account in accounts if book.is_adopted(account)}
    new = set(accounts) - known
    held = {key: amount for key, amount in book.ledger.holdings().items() if key.venue in known and amount}
    held |= {PositionKey(name): amount for name, amount in first.items() if PositionKey(name).venue in new}
    return held, {key: cost for key, cost in book.ledger.open_notionals().items() if key in held}


# ---------------------------------------------------------------------------------------------------- what they need
def _options(settings: Settings, venue: VenueSettings, assets: list[str], probe: Probe) -> CEXOptions:
    mode, key, secret, coins = settings.mode, venue.key, venue.secret, (venue.fee_asset, settings.guard.usdt_proxy)
    if mode is Mode.SANDBOX and key is None and secret is None:
        key, secret = (SecretStr(text) for text in sandbox_credentials(venue))
    if mode.needs_keys and (key is None or secret is None):
        raise ConfigError(f"mode {mode}: venue {venue.exchange} has no key, expected key_file and secret_file")
    is_paper = mode is Mode.PAPER
    return CEXOptions(
        api_key=key,
        api_secret=secret,
        spot_assets=tuple(dict.fromkeys([*assets, *(coin for coin in coins if coin is not None)])),
        perp_symbols=tuple(f"{asset}{'USD' if is_inverse(venue) else QUOTE}" for asset in assets),
        moved_coins=tuple(assets) if is_inverse(venue) else (QUOTE,),
        leverage=venue.leverage,
        network=_network(settings),
        demo_trading=mode is Mode.TESTNET,
        is_read_only=is_paper,
        rights=frozenset(right.value for right in venue.rights),
        custody=_custody(settings, venue),
        terms=_terms(_paper(settings)) if is_paper and key is None else None,
        probe=probe,
        dead_man_s=float(settings.execution.dead_man_s),
    )


def _custody(settings: Settings, venue: VenueSettings) -> CustodyWish | None:
    """What may cross between this venue's spot account and the wallet."""
    transfers, wallet = settings.enabled_transfers, wallet_address(settings)
    name = next((name for name, known in settings.venues.items() if known is venue), "")
    if transfers is None or wallet is None or name not in transfers.venues:
        return None
    own = transfers.venues[name]
    return CustodyWish(own.deposit_address, wallet, {c.upper(): bounds.first_max for c, bounds in own.coins.items()})


def _network(settings: Settings) -> SandboxNetwork | None:
    """The way to the sandbox: in its own mode always, on paper if one is named. Elsewhere it would be a mistake."""
    sandbox = settings.sandbox
    is_named = sandbox.port is not None or sandbox.ready_file is not None
    if settings.mode is Mode.SANDBOX or (settings.mode is Mode.PAPER and is_named):
        return _sandbox_network(sandbox)
    return None


def _sandbox_network(sandbox: SandboxSettings) -> SandboxNetwork:
    if sandbox.port is not None and sandbox.ca_file is not None:
        return SandboxNetwork(sandbox.port, sandbox.ca_file)
    if sandbox.ready_file is None:
        raise ConfigError("sandbox: found neither ready_file nor port and ca_file, expected one of the two")
    try:
        return sandbox_from_ready_file(orjson.loads(sandbox.ready_file.read_bytes()))
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"sandbox.ready_file {sandbox.ready_file}: {error}; start `basis-daemon sandbox exchange` first"
        ) from error


def _paper(settings: Settings) -> PaperSettings:
    if settings.paper is None:
        raise ConfigError("paper: found nothing, expected the section of config/paper.yaml, because mode is paper")
    return settings.paper


def _terms(paper: PaperSettings) -> Terms:
    if paper.fees is None:
        raise ConfigError("paper.fees: found nothing, expected fees of spot and perp, because a venue has no key")
    fees = {Kind.SPOT: _fees(paper.fees.spot), Kind.PERP: _fees(paper.fees.perp)}
    return Terms(fees, tiers_of(paper.tiers))


def _fees(fees: FeeSettings) -> Fees:
    return Fees(fees.taker, fees.maker)


def note_to(alarm: Alarm) -> Note:
    """What a venue notes goes to the log, and what it calls an alarm is one."""
    log = get_logger("venue")

    def note(event: str, facts: Mapping[str, object]) -> None:
        said = {name: str(value) for name, value in facts.items()}
        if event.endswith("_alarm"):
            alarm(event, said)
        else:
            log.info(event, **said)

    return note
