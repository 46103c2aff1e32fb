"""On paper only public questions leave: all else is refused in the client and again below it; nobody is dialled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import Kind, MarginTier
from basis_daemon.domain.market import BookTick, FundingSettled, MarkTick, StreamChanged
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.network import SandboxNetwork, open_session
from basis_daemon.venues.cex.options import CEXOptions, Fees, Terms
from basis_daemon.venues.cex.outcome import CallError
from basis_daemon.venues.cex.read_only import ReadOnly, WriteRefusedError
from tests.venues.rig import KEY, PERP_BTC, QUIET, SECRET, SPOT_BTC, Rig

pytestmark = [pytest.mark.slow, pytest.mark.feature("Y01", part="writes")]

D = Decimal
GATE = ReadOnly(BINANCE)
TIERS = (MarginTier(D(0), D(1_000_000), D("0.01"), D(0), D(50)),)
TERMS = Terms({Kind.SPOT: Fees(D("0.002"), D("0.001")), Kind.PERP: Fees(D("0.0006"), D("0.0001"))}, TIERS)
KEYLESS = replace(QUIET, api_key=None, api_secret=None, is_read_only=True, terms=TERMS)
WITH_KEY = replace(QUIET, is_read_only=True)


@pytest.fixture(params=[KEYLESS, WITH_KEY], ids=["keyless", "with_key"])
async def paper_rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with Rig(tmp_path, request.param) as rig:
        yield rig


async def test_a_read_only_venue_needs_no_key_and_brings_the_whole_market(tmp_path: Path) -> None:
    async with Rig(tmp_path, KEYLESS) as rig:
        await rig.start()
        history = await rig.feed.history()
        rig.spawn("feed", rig.feed.run(rig.sink))
        wanted = {("binance", "book"), ("binanceusdm", "book"), ("binanceusdm", "mark")}
        await rig.until(lambda: wanted <= {(e.account, e.stream) for e in rig.of(StreamChanged) if e.is_up})
        await rig.exchange.advance(60)
        await rig.until(lambda: {SPOT_BTC, PERP_BTC} <= {tick.instrument for tick in rig.of(BookTick)})
        await rig.until(lambda: bool(rig.of(MarkTick)))

        assert {e.stream for e in rig.of(StreamChanged)} == {"book", "mark"}
    spot, perp = rig.instruments[SPOT_BTC], rig.instruments[PERP_BTC]
    assert (spot.taker_fee, spot.maker_fee, perp.taker_fee) == (D("0.002"), D("0.001"), D("0.0006"))
    assert (perp.tiers, perp.notional_min, perp.price_tick) == (TIERS, D(100), D("0.1"))
    assert all(isinstance(event, FundingSettled) for event in history)
    assert history


async def test_a_key_is_used_for_fees_and_margin_tiers_and_for_no_mode(tmp_path: Path) -> None:
    async with Rig(tmp_path, WITH_KEY) as rig:
        await rig.start()
        account = rig.exchange.venue.accounts[KEY]

        assert rig.instruments[PERP_BTC].tier(D(700_000)).leverage_max == 75
        assert rig.instruments[SPOT_BTC].taker_fee == D("0.001")
        assert account.position("BTCUSDT").leverage == 20  # a daemon that trades there sets 5


@pytest.mark.parametrize(
    ("account", "method", "arguments"),
    [
        ("binance", "create_order", ("BTC/USDT", "limit", "buy", "0.001", "20000", {})),
        ("binance", "cancel_order", ("1", "BTC/USDT")),
        ("binance", "fetch_balance", ()),
        ("binance", "fetch_my_trades", ("BTC/USDT",)),
        ("binance", "transfer", ("USDT", "10", "spot", "swap")),
        ("binance", "withdraw", ("USDT", "10", "0x0000000000000000000000000000000000000001")),
        ("binanceusdm", "create_order", ("BTC/USDT:USDT", "limit", "sell", "0.002", "90000", {})),
        ("binanceusdm", "set_leverage", (5, "BTC/USDT:USDT")),
        ("binanceusdm", "set_margin_mode", ("cross", "BTC/USDT:USDT")),
        ("binanceusdm", "set_position_mode", (False,)),
        ("binanceusdm", "fetch_position_mode", ()),
        ("binanceusdm", "fapiPrivatePostListenKey", ()),
        ("binanceusdm", "fapiPrivateGetIncome", ()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_whatever_a_client_is_asked_beyond_the_market_is_refused_before_it_leaves(
    paper_rig: Rig, account: str, method: str, arguments: tuple[object, ...]
) -> None:
    await paper_rig.start()
    desk = paper_rig.venue.desks[account]
    spent = [desk.data._limiter.used(section) for section in ("public", "sapi", "fapiPublic")]

    for client in (desk.orders, desk.data):
        with pytest.raises(WriteRefusedError):
            await desk.ask(client, method, *arguments, read=lambda _: None)

    assert [desk.data._limiter.used(section) for section in ("public", "sapi", "fapiPublic")] == spent
    book = paper_rig.exchange.venue.accounts[KEY]
    assert (book.store("spot").orders, book.store("usdm").orders, book.transfers) == ({}, {}, [])


@pytest.mark.parametrize("account", ["binance", "binanceusdm"])
async def test_a_private_stream_does_not_open(paper_rig: Rig, account: str) -> None:
    await paper_rig.start()
    desk = paper_rig.venue.desks[account]

    with pytest.raises((WriteRefusedError, CallError)):
        await desk.ask(desk.data, "watch_balance", read=lambda _: None)


# ------------------------------------------------------------------------------------------------------- the session
class Doorbell:
    """A port on loopback that counts who dials it."""

    def __init__(self) -> None:
        self.dialled = 0

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.dialled += 1
        writer.close()


@pytest.mark.feature("Y01", part="socket")
@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "https://api.binance.com/api/v3/order"),
        ("DELETE", "https://api.binance.com/api/v3/order?symbol=BTCUSDT"),
        ("PUT", "https://fapi.binance.com/fapi/v1/listenKey"),
        ("POST", "https://api.binance.com/sapi/v1/asset/transfer"),
        ("GET", "https://api.binance.com/api/v3/account?timestamp=1&signature=ab"),
        ("GET", "https://papi.binance.com/papi/v1/balance"),
        ("GET", "https://example.com/"),
        ("GET", "wss://ws-api.binance.com/ws-api/v3"),
        ("GET", "wss://ws-fapi.binance.com/ws-fapi/v1"),
        ("GET", "wss://fstream.binance.com/private/ws?listenKey=x"),
        ("GET", "wss://fstream.binance.com/pm/ws"),
    ],
)
async def test_no_write_dials_anybody_even_from_the_bare_session(method: str, url: str, tmp_path: Path) -> None:
    bell, authority = Doorbell(), tmp_path / "ca.pem"
    async with Rig(tmp_path / "world") as rig:
        authority.write_bytes(rig.exchange.ca_file.read_bytes())
    async with await asyncio.start_server(bell, "127.0.0.1", 0) as server:
        network = SandboxNetwork(server.sockets[0].getsockname()[1], authority, ("binance.com", "example.com"))
        async with open_session(network, GATE.check_request) as gated:
            with pytest.raises(WriteRefusedError, match="refused"):
                await gated.request(method, url)
        assert bell.dialled == 0
        async with open_session(network) as open_to_all:
            with pytest.raises(aiohttp.ClientError):
                await open_to_all.request(method, url.replace("wss:", "https:"))
        assert bell.dialled > 0  # the bell rings when somebody comes


@pytest.mark.parametrize(
    "url",
    [
        "https://api.binance.com/api/v3/depth?symbol=BTCUSDT",
        "https://fapi.binance.com/fapi/v1/fundingRate?symbol=BTCUSDT",
        "https://fapi.binance.com/fapi/v1/leverageBracket?timestamp=1&signature=ab",
        "https://api.binance.com/api/v3/account/commission?signature=ab",
        "wss://stream.binance.com:9443/ws/1",
        "wss://fstream.binance.com/public/ws/1",
        "wss://fstream.binance.com/market/ws/1",
    ],
)
def test_the_market_stays_open(url: str) -> None:
    GATE.check_request("GET", url)


@pytest.mark.parametrize(
    "changes",
    [
        {"api_key": None, "api_secret": None},
        {"api_key": None, "api_secret": None, "is_read_only": True},
        {"api_key": None, "api_secret": None, "terms": TERMS},
        {"api_secret": None},
    ],
    ids=["trading", "no terms", "not read only", "half a key"],
)
def test_a_venue_without_a_key_is_read_only_and_knows_its_terms(changes: dict[str, object]) -> None:
    fields: dict[str, object] = {"api_key": SecretStr(KEY), "api_secret": SecretStr(SECRET), "spot_assets": ("BTC",)}
    fields |= {"perp_symbols": (), **changes}
    with pytest.raises(ConfigError, match="api_key and api_secret are expected"):
        CEXOptions(**fields)  # type: ignore[arg-type]  # the fields by name
