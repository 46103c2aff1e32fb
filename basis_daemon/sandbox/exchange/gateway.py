"""The REST side of the wire: route, count, authenticate, run, answer. Faults act here and nowhere else on REST."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from basis_daemon.sandbox.exchange import rest_algo, rest_capital, rest_coinm, rest_spot, rest_usdm, rest_usdm_market
from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.auth import admit, check_stamp, signed_part
from basis_daemon.sandbox.exchange.clock import MarketClock
from basis_daemon.sandbox.exchange.distortions import ACCOUNT_PATHS, HTML, garbled, lied
from basis_daemon.sandbox.exchange.endpoint import Call, Endpoint
from basis_daemon.sandbox.exchange.faults import NOT_EXECUTED, REST_KINDS, UNKNOWN_OUTCOME, Fault, FaultBoard, Subject
from basis_daemon.sandbox.exchange.instruments import Market
from basis_daemon.sandbox.exchange.limits import Limits, TooManyRequestsError
from basis_daemon.sandbox.exchange.listen_keys import ListenKeys
from basis_daemon.sandbox.exchange.orders import Refused
from basis_daemon.sandbox.exchange.rejects import NO_SUCH_ORDER, RejectError
from basis_daemon.sandbox.exchange.streams import Hub
from basis_daemon.sandbox.exchange.world import World

Table = dict[tuple[str, str], Endpoint]
TABLES: dict[Market, Table] = {
    "spot": {(row.method, row.path): row for row in rest_spot.ENDPOINTS + rest_capital.ENDPOINTS},
    "usdm": {
        (row.method, row.path): row for row in rest_usdm_market.ENDPOINTS + rest_usdm.ENDPOINTS + rest_algo.ENDPOINTS
    },
    "coinm": {(row.method, row.path): row for row in rest_coinm.ENDPOINTS},
}
HTML_KIND, JSON_KIND = "text/html", "application/json"
REFUSALS = ("reject", "unavailable")
API_OF_HOST: dict[str, Market] = {
    "api.binance.com": "spot",
    "api1.binance.com": "spot",
    "api2.binance.com": "spot",
    "api3.binance.com": "spot",
    "api4.binance.com": "spot",
    "fapi.binance.com": "usdm",
    "dapi.binance.com": "coinm",
    "demo-api.binance.com": "spot",
    "demo-fapi.binance.com": "usdm",
    "demo-dapi.binance.com": "coinm",
}
DEMO = "demo-"
NOT_IN_DEMO = "/sapi/"
"""The hosts of demo trading, and what they do not offer: transfers, fee tables, rights of the key."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back, before any fault touches it."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One request with its endpoint, as REST and the websocket API both deliver it."""

    api: Market
    endpoint: Endpoint
    params: Mapping[str, str]
    payload: str
    api_key: str

    @property
    def subject(self) -> Subject:
        """Whose it is and what it is about."""
        return Subject(self.api_key, frozenset({self.params["symbol"]} if "symbol" in self.params else ()))


class Gateway:
    """Runs inquiries against the world; a private one holds market time at 1x while it is outstanding."""

    def __init__(
        self,
        world: World,
        clock: MarketClock,
        hub: Hub,
        faults: FaultBoard,
        limits: Mapping[str, Limits],
        wake: Callable[[], None],
    ) -> None:
        self._world, self._clock, self._hub, self._faults, self.limits = world, clock, hub, faults, limits
        self._wake = wake
        self.listen_keys = ListenKeys()
        self.skew_ms = 0
        self._told: dict[tuple[str, str], Any] = {}

    def real_ms(self) -> int:
        """Wall time as this venue believes it: signing stamps, receive windows and listen keys are judged by it."""
        return time.time_ns() // 1_000_000 + self.skew_ms

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One REST request of any mapped host."""
        host = (request.host or "").split(":")[0].lower()
        api = API_OF_HOST.get(host)
        if api is None:
            return _json(404, {"code": -1, "msg": f"the sandbox exchange does not speak for host {host}"})
        is_offered = not (host.startswith(DEMO) and request.path.startswith(NOT_IN_DEMO))
        endpoint = TABLES[api].get((request.method, request.path)) if is_offered else None
        if endpoint is None:
            message = f"Path {request.path}, Method {request.method} is invalid (not modelled by the sandbox exchange)"
            return _json(404, {"code": -5000, "msg": message})
        query = request.raw_path.partition("?")[2]
        body = await request.text()
        params = dict(parse_qsl(query, keep_blank_values=True)) | dict(parse_qsl(body, keep_blank_values=True))
        payload = "&".join(part for part in (query, body) if part)
        inquiry = Inquiry(api, endpoint, params, signed_part(payload), request.headers.get("X-MBX-APIKEY", ""))
        fault = self._faults.take(REST_KINDS, request.path, request.method, inquiry.subject)
        if fault is not None and fault.kind == "bad_gateway":
            return web.Response(status=502, body=HTML, content_type=HTML_KIND)
        answer = await self.run(inquiry, fault)
        if fault is not None and fault.kind == "accept_then_drop" and request.transport is not None:
            request.transport.abort()
        if fault is not None and fault.kind == "garbage":
            broken, content_type = garbled(fault.form, orjson.dumps(answer.body))
            return web.Response(status=200, body=broken, content_type=content_type)
        return _json(answer.status, answer.body, answer.headers)

    async def run(self, inquiry: Inquiry, fault: Fault | None = None) -> Answer:
        """The answer to one inquiry; market time runs at 1x until it is ready (a delaying fault included)."""
        private = inquiry.endpoint.security != "NONE"
        if private:
            self._clock.request_began(time.monotonic())
            self._wake()
        try:
            if fault is not None and fault.kind == "late_request":
                await self._faults.outlast(fault)
            answer = self._distorted(inquiry, self._answer(inquiry, fault), fault)
            if answer.status != HTTPStatus.OK and answer.body["code"] == NO_SUCH_ORDER:
                self._clock.doubted(time.monotonic())
            self._hub.changes()
            self._hub.flush()
            if fault is not None and fault.kind == "delay_response_s":
                await self._faults.outlast(fault)
            return answer
        finally:
            if private:
                self._clock.request_ended(time.monotonic())
                self._wake()

    def _distorted(self, inquiry: Inquiry, answer: Answer, fault: Fault | None) -> Answer:
        """The answer as a fault lets it be told; what accounts hold is remembered, so that it can be told late."""
        if answer.status != HTTPStatus.OK:
            return answer
        if fault is not None and fault.kind == "executed_unknown":
            code = UNKNOWN_OUTCOME if fault.code == NOT_EXECUTED else fault.code
            status = HTTPStatus.SERVICE_UNAVAILABLE if fault.status == HTTPStatus.BAD_REQUEST else fault.status
            return Answer(status, {"code": code, "msg": fault.message})
        if inquiry.endpoint.path not in ACCOUNT_PATHS:
            return answer
        told = inquiry.api_key, inquiry.endpoint.path
        if fault is not None and fault.kind == "stale_account":
            return Answer(answer.status, self._told.get(told, answer.body), answer.headers)
        self._told[told] = answer.body
        if fault is not None and fault.kind == "lie_account":
            return Answer(answer.status, lied(answer.body, fault.asset, fault.amount), answer.headers)
        return answer

    def _answer(self, inquiry: Inquiry, fault: Fault | None) -> Answer:
        real_ms, venue, endpoint = self.real_ms(), self._world.venue, inquiry.endpoint
        self._world.observe(self._clock.now_ms(time.monotonic()))
        account: Account | None = None
        headers: dict[str, str] = {}
        try:
            headers = self.limits[inquiry.api].charge(
                endpoint.weight, int(endpoint.places is not None), real_ms, venue.now_ms
            )
            account = admit(endpoint, venue.accounts, inquiry.api_key, inquiry.payload, inquiry.params)
            account = None if account is None else account.of_market(inquiry.api)
            if endpoint.security == "SIGNED":
                check_stamp(inquiry.params, real_ms)
            _refuse(fault)
            call = Call(self._world, inquiry.params, real_ms, self.listen_keys, account, inquiry.api)
            return Answer(200, endpoint.handler(call), headers)
        except RejectError as reject:
            if account is not None and endpoint.places is not None:
                account.store(endpoint.places).refused.append(self._refused(inquiry.params, reject))
            if isinstance(reject, TooManyRequestsError):
                headers = {"Retry-After": str(reject.retry_after_s)}
            elif fault is not None and fault.retry_after_s:
                headers = {"Retry-After": str(fault.retry_after_s)}
            return Answer(reject.status, {"code": reject.code, "msg": reject.message}, headers)

    def _refused(self, params: Mapping[str, str], reject: RejectError) -> Refused:
        return Refused(
            client_id=params.get("newClientOrderId") or params.get("clientAlgoId", ""),
            symbol=params.get("symbol", ""),
            side=params.get("side", ""),
            code=reject.code,
            message=reject.message,
            at_ms=self._world.venue.now_ms,
        )


def _refuse(fault: Fault | None) -> None:
    """Raise what a scripted refusal says."""
    if fault is not None and fault.kind in REFUSALS:
        raise RejectError(fault.code, fault.message, 503 if fault.kind == "unavailable" else fault.status)


def _json(status: int, body: object, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type=JSON_KIND, headers=dict(headers or {}))
