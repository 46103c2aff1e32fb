"""A running exchange in manual time, and unmodified ccxt.pro clients connected to it under the real host names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import ccxt.pro
import pytest

from basis_daemon.sandbox.exchange.accounts import AccountSpec
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.venues.cex.network import SandboxNetwork, open_session

SPEC = AccountSpec(
    spot=(("USDT", Decimal(100_000)), ("BTC", Decimal(1)), ("BNB", Decimal(5))), usdm=(("USDT", Decimal(50_000)),)
)
CcxtClient = Any
"""ccxt ships no types."""
KEYS = {"apiKey": SPEC.api_key, "secret": SPEC.api_secret}


@dataclass(slots=True)
class Clients:
    """Spot and USD-M clients of one account, sharing a session as a daemon would."""

    session: aiohttp.ClientSession
    spot: CcxtClient
    perp: CcxtClient


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[SandboxExchange]:
    async with SandboxExchange(ExchangeOptions(directory=tmp_path, mode="manual", accounts=(SPEC,))) as running:
        yield running


@pytest.fixture
async def session(exchange: SandboxExchange) -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(SandboxNetwork(exchange.port, exchange.ca_file)) as opened:
        yield opened


def client(kind: str, session: aiohttp.ClientSession, **more: object) -> CcxtClient:
    options = {
        "fetchCurrencies": False,
        "fetchMargins": False,
        "fetchMarkets": {"types": ["spot"] if kind == "binance" else ["linear"]},
        "watchPositions": {"fetchPositionsSnapshot": False},
    }
    settings = (
        {"session": session, "number": str, "enableRateLimit": False, "timeout_on_exit": 0, "options": options}
        | KEYS
        | more
    )
    return getattr(ccxt.pro, kind)(settings)


@pytest.fixture
async def clients(session: aiohttp.ClientSession) -> AsyncIterator[Clients]:
    spot, perp = client("binance", session), client("binanceusdm", session)
    await spot.load_markets()
    await perp.load_markets()
    yield Clients(session, spot, perp)
    await spot.close()
    await perp.close()


@pytest.fixture
async def control(exchange: SandboxExchange) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{exchange.control_port}") as opened:
        yield opened
