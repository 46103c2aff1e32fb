"""A node's JSON-RPC port over HTTP: what it answers is somebody else's, what goes wrong on the way is armed here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import StrEnum
from itertools import cycle
from typing import Any

import msgspec
from aiohttp import web

LOOPBACK = "127.0.0.1"
HTML = b"<html><head><title>502 Bad Gateway</title></head></html>"
LENGTH_EXTRA = 64
MISFITS: tuple[object, ...] = ({}, "zz", [], None)
"""What a node that is ill may call a result."""
Json = dict[str, Any]
Answer = Callable[[str, list[Any]], Json]
"""``result`` or ``error`` of a method and its parameters."""


class Slip(StrEnum):
    """How an answer goes wrong between a node and who asked it."""

    UNAVAILABLE = "unavailable"
    TOO_MANY = "too_many"
    BAD_GATEWAY = "bad_gateway"
    LIMITED = "limited"
    GARBAGE = "garbage"
    TRUNCATED = "truncated"
    CROSSED = "crossed"
    EMPTY = "empty"
    MISFIT = "misfit"
    UNHEARD = "unheard"


_STATUS = {Slip.UNAVAILABLE: 503, Slip.TOO_MANY: 429, Slip.BAD_GATEWAY: 502}


class RpcPort:
    """``slip`` says for each request what goes wrong, and whether the node has done what was asked before it did."""

    def __init__(
        self, answer: Answer, slip: Callable[[str], tuple[Slip, bool] | None], *, unheard_s: float = 30.0
    ) -> None:
        self._answer, self._slip, self._unheard_s = answer, slip, unheard_s
        self._before = b""
        self._misfits = cycle(MISFITS)
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, port: int) -> None:
        app = web.Application()
        app.router.add_post("/", self._asked)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{LOOPBACK}:{self.port}/"

    async def _asked(self, request: web.Request) -> web.StreamResponse:
        question = msgspec.json.decode(await request.read(), type=Json)
        slip, is_done = self._slip(question["method"]) or (None, True)
        body = self._body(question) if is_done else b""
        before, self._before = self._before, body
        if slip is None:
            return web.Response(body=body, content_type="application/json")
        return await self._slipped(slip, request, question["id"], body or b"{}", before)

    def _body(self, question: Mapping[str, Any]) -> bytes:
        said = {"jsonrpc": "2.0", "id": question["id"]} | self._answer(question["method"], question["params"])
        return msgspec.json.encode(said)

    async def _slipped(
        self, slip: Slip, request: web.Request, number: object, body: bytes, before: bytes
    ) -> web.StreamResponse:
        if slip in _STATUS:
            return web.Response(status=_STATUS[slip], body=HTML, content_type="text/html")
        if slip is Slip.TRUNCATED:
            return await _cut(request, body)
        if slip is Slip.UNHEARD:
            await asyncio.sleep(self._unheard_s)
        told = {"jsonrpc": "2.0", "id": number}
        limited = {"error": {"code": -32_005, "message": "request limit reached"}}
        bodies = {
            Slip.LIMITED: msgspec.json.encode(told | limited),
            Slip.MISFIT: msgspec.json.encode(told | {"result": next(self._misfits)}),
            Slip.GARBAGE: body[: len(body) // 2] + b"\xff}",
            Slip.CROSSED: before or b"[]",
            Slip.EMPTY: b"",
        }
        return web.Response(body=bodies.get(slip, body), content_type="application/json")


async def _cut(request: web.Request, body: bytes) -> web.StreamResponse:
    """Fewer bytes than were promised, and then the connection is gone."""
    response = web.StreamResponse()
    response.content_length = len(body) + LENGTH_EXTRA
    await response.prepare(request)
    await response.write(body)
    if request.transport is not None:
        request.transport.close()
    return response
