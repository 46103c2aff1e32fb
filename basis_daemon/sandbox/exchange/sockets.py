"""The websocket side of the wire: market streams, the user streams of futures, and the two websocket APIs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from basis_daemon.sandbox.exchange.auth import check_signature, check_stamp, owner_of
from basis_daemon.sandbox.exchange.clock import MarketClock
from basis_daemon.sandbox.exchange.connection import Connection
from basis_daemon.sandbox.exchange.endpoint import Endpoint
from basis_daemon.sandbox.exchange.gateway import TABLES, Gateway, Inquiry
from basis_daemon.sandbox.exchange.instruments import FUTURES, Market
from basis_daemon.sandbox.exchange.rejects import RejectError
from basis_daemon.sandbox.exchange.streams import Hub
from basis_daemon.sandbox.exchange.venue import Venue

MARKETS: tuple[Market, ...] = ("spot", *FUTURES)
USER_STREAMS = tuple(f"user-{market}" for market in FUTURES)
LISTEN_KEY_LENGTH = 64
CLOSE_TIMEOUT_S = 1.0
MARKET_OF_HOST: dict[str, Market] = {
    "stream.binance.com": "spot",
    "data-stream.binance.vision": "spot",
    "fstream.binance.com": "usdm",
    "demo-stream.binance.com": "spot",
    "fstream.binancefuture.com": "usdm",
    "dstream.binance.com": "coinm",
    "dstream.binancefuture.com": "coinm",
}
API_OF_HOST: dict[str, Market] = {
    "ws-api.binance.com": "spot",
    "ws-fapi.binance.com": "usdm",
    "demo-ws-api.binance.com": "spot",
    "testnet.binancefuture.com": "usdm",
}
METHODS: dict[tuple[str, str], tuple[str, str]] = {
    ("spot", "ping"): ("GET", "/api/v3/ping"),
    ("spot", "time"): ("GET", "/api/v3/time"),
    ("spot", "depth"): ("GET", "/api/v3/depth"),
    ("spot", "order.place"): ("POST", "/api/v3/order"),
    ("spot", "order.status"): ("GET", "/api/v3/order"),
    ("spot", "order.cancel"): ("DELETE", "/api/v3/order"),
    ("spot", "openOrders.status"): ("GET", "/api/v3/openOrders"),
    ("spot", "openOrders.cancelAll"): ("DELETE", "/api/v3/openOrders"),
    ("spot", "allOrders"): ("GET", "/api/v3/allOrders"),
    ("spot", "myTrades"): ("GET", "/api/v3/myTrades"),
    ("spot", "account.status"): ("GET", "/api/v3/account"),
    ("usdm", "ping"): ("GET", "/fapi/v1/ping"),
    ("usdm", "time"): ("GET", "/fapi/v1/time"),
    ("usdm", "depth"): ("GET", "/fapi/v1/depth"),
    ("usdm", "order.place"): ("POST", "/fapi/v1/order"),
    ("usdm", "order.modify"): ("PUT", "/fapi/v1/order"),
    ("usdm", "order.status"): ("GET", "/fapi/v1/order"),
    ("usdm", "order.cancel"): ("DELETE", "/fapi/v1/order"),
    ("usdm", "algoOrder.place"): ("POST", "/fapi/v1/algoOrder"),
    ("usdm", "algoOrder.cancel"): ("DELETE", "/fapi/v1/algoOrder"),
    ("usdm", "account.status"): ("GET", "/fapi/v2/account"),
    ("usdm", "v2/account.status"): ("GET", "/fapi/v3/account"),
    ("usdm", "account.balance"): ("GET", "/fapi/v2/balance"),
    ("usdm", "v2/account.balance"): ("GET", "/fapi/v3/balance"),
    ("usdm", "account.position"): ("GET", "/fapi/v2/positionRisk"),
    ("usdm", "v2/account.position"): ("GET", "/fapi/v3/positionRisk"),
}


class Sockets:
    """Accepts websockets of the mapped stream hosts and serves each until it closes."""

    def __init__(self, venue: Venue, clock: MarketClock, hub: Hub, gateway: Gateway, wake: Callable[[], None]) -> None:
        self._venue, self._clock, self._hub, self._gateway, self._wake = venue, clock, hub, gateway, wake

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One websocket from handshake to close."""
        host = (request.host or "").split(":")[0].lower()
        kind = self._kind(host, request)
        if kind is None:
            return web.json_response({"code": -1, "msg": f"no websocket at {host}{request.path}"}, status=404)
        socket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S, autoping=False, compress=False, max_msg_size=1024 * 1024
        )
        await socket.prepare(request)
        if request.transport is None:
            return socket
        connection = Connection(socket, request.transport, kind)
        self._hub.add(connection)
        try:
            await self._open(connection, request)
            await self._serve(connection, host)
        except ConnectionResetError:
            pass
        finally:
            self._hub.remove(connection)
            if connection.kind in MARKETS:
                self._clock.abandoned(time.monotonic(), watched=self._hub.subscriptions > 0)
            self._wake()
        return socket

    def _kind(self, host: str, request: web.Request) -> str | None:
        if host in API_OF_HOST:
            return "user-" + API_OF_HOST[host] if API_OF_HOST[host] == "spot" else "api-usdm"
        market = MARKET_OF_HOST.get(host)
        return f"user-{market}" if market in FUTURES and self._listen_key(request) else market

    def _listen_key(self, request: web.Request) -> str:
        """The key in the query, or as last path segment of the old form `/ws/<listenKey>`."""
        segment = request.path.rsplit("/", 1)[-1]
        return request.query.get("listenKey", "") or (segment if len(segment) == LISTEN_KEY_LENGTH else "")

    async def _open(self, connection: Connection, request: web.Request) -> None:
        if connection.kind in USER_STREAMS:
            owner = self._gateway.listen_keys.owner(self._listen_key(request), self._gateway.real_ms())
            self._hub.attach(connection, owner)
            if owner is None:
                await connection.socket.close(code=1008, message=b"invalid listenKey")
            return
        if connection.kind in MARKETS:
            connection.combined = request.path.endswith("/stream")
            named = request.query.get("streams", "") or request.path
            self._subscribe(connection, [name for name in named.split("/") if "@" in name])

    async def _serve(self, connection: Connection, host: str) -> None:
        connection.flush()
        async for message in connection.socket:
            if message.type is WSMsgType.PING:
                await connection.socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                connection.pong(message.data)
                self._hub.answered()
            elif message.type is WSMsgType.TEXT:
                await self._text(connection, host, message.data)
                connection.flush()

    async def _text(self, connection: Connection, host: str, data: str) -> None:
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            connection.reply({"error": {"code": 3, "msg": "Invalid JSON"}})
            return
        if host in API_OF_HOST:
            reply = await self._api(connection, API_OF_HOST[host], body)
        else:
            reply = self._command(connection, body)
        connection.reply(reply)

    def _command(self, connection: Connection, body: Mapping[str, Any]) -> dict[str, Any]:
        """SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS of a market stream."""
        method, names = body.get("method"), [str(name) for name in body.get("params") or []]
        result: Any = None
        if method == "SUBSCRIBE":
            self._subscribe(connection, names)
        elif method == "UNSUBSCRIBE":
            self._hub.unsubscribe(connection, names)
        elif method == "LIST_SUBSCRIPTIONS":
            result = sorted(connection.channels)
        else:
            return {"error": {"code": 2, "msg": f"Invalid request: unknown variant {method}"}, "id": body.get("id")}
        return {"result": result, "id": body.get("id")}

    def _subscribe(self, connection: Connection, names: list[str]) -> None:
        if names:
            self._hub.subscribe(connection, names)
            self._clock.subscribed(time.monotonic())
            self._hub.greet(connection, names)
            self._wake()

    async def _api(self, connection: Connection, api: Market, body: Mapping[str, Any]) -> dict[str, Any]:
        """One request of a websocket API, run as the REST endpoint it mirrors."""
        method = str(body.get("method"))
        params = {name: _text_of(value) for name, value in (body.get("params") or {}).items()}
        if method == "userDataStream.subscribe.signature" and api == "spot":
            try:
                return {"id": body.get("id"), "status": 200, "result": self._join(connection, params)}
            except RejectError as reject:
                return _refused(body.get("id"), reject.status, {"code": reject.code, "msg": reject.message})
        target = METHODS.get((api, method))
        if target is None:
            message = f"Method {method} is not modelled by the sandbox exchange."
            return _refused(body.get("id"), 400, {"code": -1100, "msg": message})
        endpoint: Endpoint = TABLES[api][target]
        answer = await self._gateway.run(Inquiry(api, endpoint, params, _sorted(params), params.get("apiKey", "")))
        if answer.status != HTTPStatus.OK:
            return _refused(body.get("id"), answer.status, answer.body)
        return {"id": body.get("id"), "status": 200, "result": answer.body, "rateLimits": []}

    def _join(self, connection: Connection, params: Mapping[str, str]) -> dict[str, int]:
        """Attach the account's spot events to this connection."""
        account = owner_of(self._venue.accounts, params.get("apiKey", ""))
        check_signature(account, _sorted(params), params.get("signature", ""))
        check_stamp(params, self._gateway.real_ms())
        self._hub.attach(connection, account, subscription_id=0)
        return {"subscriptionId": 0}


def _sorted(params: Mapping[str, str]) -> str:
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")


def _text_of(value: object) -> str:
    """A JSON value as it enters the signature: booleans in lower case, the rest as written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _refused(request_id: object, status: int, error: object) -> dict[str, Any]:
    return {"id": request_id, "status": status, "error": error, "rateLimits": []}
