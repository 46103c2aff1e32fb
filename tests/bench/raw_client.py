"""The floor of tick to order: a client that does nothing but decode a frame, sign a request and post it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson

from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.network import SandboxNetwork, open_session
from tests.bench.live import API_KEY, API_SECRET, TRIAL_TIMEOUT_S, ExchangeProcess

STREAM = "wss://stream.binance.com:9443/ws/btcusdt@depth@100ms"
BELOW = 0.97
"""Where a bid does not trade, whatever level the frame names first."""
ORDERS = "https://api.binance.com/api/v3/order"
HEADERS = {"X-MBX-APIKEY": API_KEY, "Content-Type": "application/x-www-form-urlencoded"}


class RawClient:
    """Answers every depth frame with one signed order, the same that the daemon sends."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._session, self._socket = session, socket
        self._signer = hmac.new(API_SECRET.encode(), digestmod=hashlib.sha256)
        self._number = 0
        self._ended = asyncio.Event()

    async def answered(self, exchange: ExchangeProcess) -> None:
        """Push a frame and return when the answer to our order is read."""
        self._ended.clear()
        exchange.push()
        async with asyncio.timeout(TRIAL_TIMEOUT_S):
            await self._ended.wait()

    async def run(self) -> None:
        """Live until the socket closes."""
        async for message in self._socket:
            frame = orjson.loads(message.data)
            if frame.get("e") == "depthUpdate" and frame["b"]:
                await self._post(f"{float(frame['b'][0][0]) * BELOW:.2f}")
                self._ended.set()

    async def _post(self, price: str) -> None:
        self._number += 1
        signed = (
            f"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=IOC&quantity=0.001&price={price}"
            f"&newClientOrderId={self._number:032x}&recvWindow=5000&timestamp={time.time_ns() // 1_000_000}"
        )
        signer = self._signer.copy()
        signer.update(signed.encode())
        async with self._session.post(
            ORDERS, data=f"{signed}&signature={signer.hexdigest()}", headers=HEADERS
        ) as answer:
            body = orjson.loads(await answer.read())
        if body.get("status") != "EXPIRED":
            raise RuntimeError(f"the exchange answered {body}, expected an order that did not trade")


@asynccontextmanager
async def raw_client(network: SandboxNetwork) -> AsyncIterator[RawClient]:
    """A connected client."""
    async with open_session(network) as session, session.ws_connect(STREAM) as socket, TaskTree("raw") as tree:
        client = RawClient(session, socket)
        tree.spawn("frames", client.run())
        yield client
        tree.cancel_all("measured")
