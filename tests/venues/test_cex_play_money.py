"""Demo trading: the real client's own switch, asserted at the start, and the sandbox under the hosts of play money."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.domain.check import Light
from basis_daemon.domain.errors import ConfigError, ErrorClass, OrderRejectedError
from basis_daemon.domain.order import OrderOperation, Side
from basis_daemon.ports import pass_by
from basis_daemon.settings import load_settings
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.binance import BINANCE, LIVE_HOSTS, PLAY_HOSTS
from basis_daemon.venues.cex.checkup import examine
from basis_daemon.venues.cex.network import SandboxNetwork, open_session
from basis_daemon.venues.cex.options import CEXOptions
from basis_daemon.venues.cex.quirks import VenueQuirks
from basis_daemon.venues.cex.venue import CEXVenue
from basis_daemon.wiring_venues import _options
from tests.settings.files import CONFIG
from tests.venue_contract import order_for, small
from tests.venues.paper_support import CASH, FUTURES, transfer_order
from tests.venues.rig import PERP_BTC, QUIET, SPOT_BTC, AccountUnderTest, Rig

pytestmark = [pytest.mark.slow, pytest.mark.feature("Y03")]
DEMO = replace(QUIET, demo_trading=True)
KEYS = {"BASIS_DAEMON__VENUES__BINANCE__KEY": "play-key-0001", "BASIS_DAEMON__VENUES__BINANCE__SECRET": "play-secret"}


async def hosts_of(options: CEXOptions, quirks: VenueQuirks = BINANCE) -> frozenset[str]:
    """Every host that the real ccxt instances of both wallets could reach."""
    venue = CEXVenue(quirks, options, SystemClock())
    try:
        await venue.open()
        return frozenset(host for desk in venue.desks.values() for host in desk.orders.hosts() | desk.data.hosts())
    finally:
        await venue.close()


def options_of(mode: str) -> CEXOptions:
    loaded = load_settings(CONFIG / f"{mode}.yaml", KEYS)
    return _options(loaded.settings, loaded.settings.venues["binance"], ["BTC"], pass_by)


async def test_the_file_for_the_testnet_reaches_no_live_host() -> None:
    hosts = await hosts_of(options_of("testnet"))
    assert {"demo-api.binance.com", "demo-fapi.binance.com", "demo-stream.binance.com"} < hosts <= PLAY_HOSTS
    assert not hosts & LIVE_HOSTS


async def test_the_file_for_real_money_reaches_no_host_of_play_money() -> None:
    hosts = await hosts_of(options_of("live"))
    assert {"api.binance.com", "fapi.binance.com", "stream.binance.com"} < hosts <= LIVE_HOSTS
    assert not hosts & PLAY_HOSTS


@pytest.mark.parametrize(
    ("options", "taken_away"),
    [(DEMO, "demo-fapi.binance.com"), (DEMO, "fstream.binancefuture.com"), (QUIET, "fapi.binance.com")],
)
async def test_one_url_of_the_wrong_kind_stops_the_start(options: CEXOptions, taken_away: str) -> None:
    """As if another version of ccxt pointed one part of its API somewhere else, a stream as well as a request."""
    play, live = PLAY_HOSTS - {taken_away}, LIVE_HOSTS - {taken_away}
    with pytest.raises(ConfigError, match=f"could reach {taken_away}; expected .* only"):
        await hosts_of(options, replace(BINANCE, play_hosts=play, live_hosts=live))


async def test_play_money_of_two_kinds_is_refused() -> None:
    with pytest.raises(ConfigError, match="at most one kind of play money"):
        replace(QUIET, demo_trading=True, sandbox=True)


# --------------------------------------------------------------------------------- the sandbox under the demo's names
@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Rig]:
    """The whole adapter in demo trading, against an exchange that answers to those names."""
    async with Rig(tmp_path, DEMO) as rig:
        yield await rig.listen()


async def test_both_legs_trade_and_stream_under_the_hosts_of_demo_trading(demo: Rig) -> None:
    for key in (SPOT_BTC, PERP_BTC):
        account = AccountUnderTest(demo, key)
        order = order_for(account, Side.BUY, small(account))
        trade = await account.interface.execute_order(order, account.wall)
        assert trade.cum_filled == order.quantity
        assert (await account.source.fetch_report()).holdings[key] > 0
    assert demo.instruments[SPOT_BTC].taker_fee == demo.instruments[SPOT_BTC].maker_fee > 0


async def test_a_transfer_is_refused_before_it_leaves_because_demo_trading_has_none(demo: Rig) -> None:
    transfers = demo.venue.transfers(demo.on_trade)
    order = transfer_order(CASH, FUTURES, "100")
    assert order.operation is OrderOperation.TRANSFER
    with pytest.raises(OrderRejectedError, match="fund binanceusdm by hand") as refusal:
        await transfers.execute_order(order, demo.clock.wall())
    assert refusal.value.error_class is ErrorClass.BAD_PARAMS


async def test_the_sandbox_offers_no_more_under_those_names_than_the_demo_does(demo: Rig) -> None:
    network = SandboxNetwork(demo.exchange.port, demo.exchange.ca_file)
    async with open_session(network) as session:
        async with session.get("https://demo-api.binance.com/sapi/v1/bnbBurn") as answer:
            assert answer.status == HTTPStatus.NOT_FOUND
        async with session.get("https://demo-api.binance.com/api/v3/time") as answer:
            assert answer.status == HTTPStatus.OK


async def test_the_preflight_says_what_play_money_does_not_tell(tmp_path: Path) -> None:
    async with Rig(tmp_path, DEMO) as rig, TaskTree("preflight") as tree:
        rig.spawn("market", rig.exchange.advance(0))
        await rig.venue.close()
        rig.exchange.set_mode("paced", 1)
        checks = {check.name: check for check in await examine(rig.venue, "binance", tree)}
    assert {name for name, check in checks.items() if check.light is not Light.GREEN} == {
        "binance.rights",
        "binance.ip",
    }
    assert {check.light for check in checks.values()} == {Light.GREEN, Light.YELLOW}
    assert "fund every wallet by hand" in checks["binance.rights"].remedy
