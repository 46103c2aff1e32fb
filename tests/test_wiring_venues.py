"""Simulated and live differ by one constructor, and a paper account goes on where the journal ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import entry_of_opening
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.position import AccountReport
from basis_daemon.engine.state import BookState
from basis_daemon.engine.venue_interface_manager import VenueInterfaceManager
from basis_daemon.ports import pass_by
from basis_daemon.settings import Settings, load_settings, make_strategies
from basis_daemon.strategies.basis import BtcBasis
from basis_daemon.venues.cex.account import CEXAccountSource
from basis_daemon.venues.paper.venue import PaperAccount
from basis_daemon.wiring_book import Venue
from basis_daemon.wiring_limits import watch_limits
from basis_daemon.wiring_venues import _network, _options, make_venues
from tests.builders import parameters
from tests.venues.paper_support import CASH, COIN, MARGIN, PERP, START

ROOT = Path(__file__).resolve().parents[1]
D = Decimal
KEYS = {f"BASIS_DAEMON__VENUES__BINANCE__{half}": "12345678" for half in ("KEY", "SECRET")}
SANDBOX = {"BASIS_DAEMON__SANDBOX__PORT": "4443", "BASIS_DAEMON__SANDBOX__CA_FILE": "ca.pem"}


def test_the_guard_looks_at_an_asset_of_two_strategies_with_the_wider_shock() -> None:
    settings = settings_of("sandbox")
    shocks = [D("0.30"), D("0.20")]
    assert watch_limits(settings, [BtcBasis(parameters(shock=shock)) for shock in shocks]).shocks == {"BTC": D("0.30")}


def settings_of(mode: str, environ: Mapping[str, str] | None = None) -> Settings:
    return load_settings(ROOT / "config" / f"{mode}.yaml", environ or {}).settings


def venue_of(settings: Settings, book: BookState | None = None) -> Venue:
    def alarm(what: str, facts: Mapping[str, str]) -> None:
        pass

    (venue,) = make_venues(settings, make_strategies(settings), book or BookState(), SystemClock(), alarm)
    return venue


@pytest.mark.feature("B01")
@pytest.mark.parametrize(
    ("mode", "environ", "expected"),
    [
        ("paper", {}, PaperAccount),
        ("paper", KEYS, PaperAccount),
        ("sandbox", SANDBOX, CEXAccountSource),
        ("testnet", KEYS, CEXAccountSource),
        ("live", KEYS, CEXAccountSource),
    ],
)
def test_every_mode_has_the_same_accounts_and_routes(mode: str, environ: dict[str, str], expected: type) -> None:
    venue = venue_of(with_keys_from_environment(mode, environ))
    assert [(source.account, type(source)) for source in venue.sources] == [
        ("binance", expected),
        ("binanceusdm", expected),
    ]
    table = VenueInterfaceManager((), (), venue.routes(lambda _: None), let_out=lambda _: None).operations
    for account, trade in (("binance", OrderOperation.SPOT_TRADE), ("binanceusdm", OrderOperation.PERP_TRADE)):
        assert {trade, OrderOperation.TRANSFER, OrderOperation.CANCEL} <= table[account]


def with_keys_from_environment(mode: str, environ: dict[str, str]) -> Settings:
    return load_settings(ROOT / "config" / f"{mode}.yaml", environ, with_secrets=False).settings


@pytest.mark.feature("B01")
def test_nothing_behind_the_wiring_asks_for_the_mode() -> None:
    asks = re.compile(r"settings\.mode|(?<![.\w])mode\s*(==|!=|is\b|in\b)|\bMode\.[A-Z]")
    homes = ("domain", "engine", "strategies", "venues")
    files = [path for home in homes for path in (ROOT / "basis_daemon" / home).rglob("*.py")]
    files += [ROOT / "basis_daemon" / name for name in ("supervisor.py", "ports.py", "clock.py", "tasks.py")]
    found = [f"{path.name}: {line}" for path in files for line in path.read_text().splitlines() if asks.search(line)]
    assert found == []


@pytest.mark.feature("Y01")
@pytest.mark.parametrize(("environ", "knows_terms"), [({}, True), (KEYS, False)])
def test_paper_reads_only_and_knows_fees_from_the_file_or_from_the_exchange(
    environ: dict[str, str], knows_terms: bool
) -> None:
    settings = settings_of("paper", environ)
    options = _options(settings, settings.venues["binance"], ["BTC"], pass_by)
    assert options.is_read_only
    assert (options.api_key is None, options.terms is not None) == (knows_terms, knows_terms)
    if options.terms is not None:
        first, second, third = options.terms.tiers[:3]
        assert first.notional_floor == first.maintenance_deduction == 0
        for low, high in ((first, second), (second, third)):  # at the cap both say the same
            cap = low.notional_cap
            assert cap * low.maintenance_rate - low.maintenance_deduction == (
                cap * high.maintenance_rate - high.maintenance_deduction
            )


def test_a_market_of_the_sandbox_is_used_where_it_is_named_and_never_under_real_orders() -> None:
    network = _network(settings_of("paper", SANDBOX))
    assert network is not None
    assert (network.port, network.ca_file) == (4443, Path("ca.pem"))
    assert _network(settings_of("paper")) is None
    assert _network(with_keys_from_environment("live", SANDBOX)) is None
    with pytest.raises(ConfigError, match="neither ready_file nor port and ca_file"):
        _network(settings_of("sandbox", {"BASIS_DAEMON__SANDBOX__READY_FILE": "null"}))
    with pytest.raises(ConfigError, match="start `basis-daemon sandbox exchange` first"):
        _network(settings_of("paper", {"BASIS_DAEMON__SANDBOX__READY_FILE": "nowhere.json"}))


async def test_the_first_start_brings_money_and_every_later_one_the_ledger() -> None:
    held, cost = {COIN: D("0.5"), CASH: D(70_000)}, {PERP: D("-0.5"), MARGIN: D(12_345)}
    book = BookState()
    assert await reported(venue_of(settings_of("paper"), book)) == {CASH: D(100_000)}

    spot = AccountReport("binance", START, 0, held, frozenset())
    book.open_account("binance", entry_of_opening(spot, {}))
    assert await reported(venue_of(settings_of("paper"), book)) == held

    perps = AccountReport("binanceusdm", START, 0, cost, frozenset(), open_notional={PERP: D(-30_000)})
    book.open_account("binanceusdm", entry_of_opening(perps, {PERP: "USDT"}))
    venue = venue_of(settings_of("paper"), book)
    assert await reported(venue) == held | cost
    assert account(venue, "binanceusdm")._exchange.wallets.cost(PERP) == -30_000


def account(venue: Venue, name: str) -> PaperAccount:
    found = next(source for source in venue.sources if source.account == name)
    assert isinstance(found, PaperAccount)
    return found


async def reported(venue: Venue) -> dict[PositionKey, Decimal]:
    names = [source.account for source in venue.sources]
    return {key: amount for name in names for key, amount in account(venue, name)._exchange.wallets.of(name).items()}
