"""In sandbox mode nothing but the sandbox can be reached."""

from pathlib import Path

import aiohttp
import pytest

from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.venues.cex.network import SandboxNetwork, SandboxNetworkError, open_session

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://example.com/", r"refused to reach host 'example\.com'"),
        ("https://binance.com.example.com/", "refused to reach host"),
        ("https://notbinance.com/", "refused to reach host"),
        ("https://192.0.2.1/", r"refused to reach address 192\.0\.2\.1 port 443: not loopback"),
        ("https://[2001:db8::1]/", "not loopback"),
    ],
)
@pytest.mark.parametrize("how", ["get", "ws_connect"])
async def test_foreign_hosts_and_addresses_raise(
    session: aiohttp.ClientSession, url: str, message: str, how: str
) -> None:
    with pytest.raises(SandboxNetworkError, match=message):
        await getattr(session, how)(url)


async def test_a_proxy_cannot_lead_outside(session: aiohttp.ClientSession) -> None:
    with pytest.raises(SandboxNetworkError):
        await session.get("https://fapi.binance.com/fapi/v1/ping", proxy="http://192.0.2.1:3128")


@pytest.mark.parametrize("host", ["api.binance.com", "fapi.binance.com:8443", "API.BINANCE.COM"])
async def test_mapped_hosts_reach_the_sandbox_on_any_port(session: aiohttp.ClientSession, host: str) -> None:
    path = "/fapi/v1/time" if host.startswith("fapi") else "/api/v3/time"
    async with session.get(f"https://{host}{path}") as answer:
        assert "serverTime" in await answer.json()


async def test_what_the_sandbox_does_not_model_it_says(session: aiohttp.ClientSession) -> None:
    async with session.get("https://fapi.binance.com/fapi/v1/historicalTrades") as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, -5000)
    async with session.get("https://www.okx.com/api/v5/public/time") as answer:
        assert "does not speak for host www.okx.com" in (await answer.json())["msg"]


async def test_the_sandbox_is_trusted_by_its_own_authority_alone(exchange: SandboxExchange) -> None:
    async with open_session(None) as ordinary:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ordinary.get(f"https://127.0.0.1:{exchange.port}/")


async def test_a_ping_that_comes_while_the_connection_goes_down_stays_unanswered_without_a_complaint(
    session: aiohttp.ClientSession,
) -> None:
    socket = await session.ws_connect("wss://stream.binance.com/ws/btcusdt@depth")
    await socket.close()
    with pytest.raises(aiohttp.ClientConnectionResetError):
        await socket.ping()
    await socket.pong(b"1")


def test_only_whole_domain_names_are_mapped() -> None:
    network = SandboxNetwork(1, Path("unused"))
    assert network.covers("ws-fapi.binance.com.")
    assert not network.covers("xbinance.com")
