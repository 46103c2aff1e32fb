"""A node in front of a node: passes everything on, except what a test had it lie about, refuse, or never answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

import aiohttp
from aiohttp import web
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from basis_daemon.venues.chain.endpoint import hex_of

Reply = dict[str, Any]
Socket = aiohttp.ClientWebSocketResponse | web.WebSocketResponse
Answer = Callable[[list[Any]], Awaitable[Reply]]


class _BrokenOffError(Exception):
    """Nothing more is said."""


class ProxyNode:
    """Loopback HTTP, and a websocket at the same address. ``asked`` holds every method, ``answers`` what is spoilt."""

    def __init__(self, upstream: str) -> None:
        self._upstream, self.url, self.ws_url = upstream, "", ""
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.ws_bends: dict[str, str] = {}
        self.is_mute = False
        self.body: str | None = None
        self._opened = 0
        self._opening = asyncio.Condition()
        self._released = asyncio.Event()
        self._sockets: list[web.WebSocketResponse] = []
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        application = web.Application()
        application.router.add_post("/", self._serve)
        application.router.add_get("/", self._bridge)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url, self.ws_url = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Gone: connections are refused."""
        self._released.set()
        assert self._runner is not None
        assert self._session is not None
        await self.cut()
        await self._runner.cleanup()
        await self._session.close()

    # ------------------------------------------------------------------------------------------------ what to spoil
    def says(self, method: str, result: object) -> None:
        """Answers this method with ``result`` from now on."""

        async def answer(_: list[Any]) -> Reply:
            return {"result": result}

        self.answers[method] = answer

    def refuses(self, method: str, message: str, code: int = -32000) -> None:
        """Answers this method with an error from now on."""
        self.errs(method, message, code, is_taken=False)

    def errs(self, method: str, message: str, code: int, *, is_taken: bool) -> None:
        """The same, after passing the request on or not."""

        async def answer(params: list[Any]) -> Reply:
            if is_taken:
                await self.forward(method, params)
            return {"error": {"code": code, "message": message}}

        self.answers[method] = answer

    def hangs(self, *methods: str) -> None:
        """Never answers these, or anything at all when none is named."""

        async def answer(_: list[Any]) -> Reply:
            await self._released.wait()
            raise web.HTTPServiceUnavailable

        self.answers.update(dict.fromkeys(methods or ("*",), answer))

    def takes_and_hangs(self, method: str) -> None:
        """Passes this method on, and keeps the answer to itself."""

        async def answer(params: list[Any]) -> Reply:
            await self.forward(method, params)
            await self._released.wait()
            raise web.HTTPServiceUnavailable

        self.answers[method] = answer

    def breaks(self, method: str, *, is_taken: bool) -> None:
        """Ends the connection instead of answering, after passing the request on or not."""

        async def answer(params: list[Any]) -> Reply:
            if is_taken:
                await self.forward(method, params)
            raise _BrokenOffError

        self.answers[method] = answer

    def bends(self, method: str, bend: Callable[[Any], Any]) -> None:
        """Answers this method with what ``bend`` makes of the true result."""

        async def answer(params: list[Any]) -> Reply:
            reply = await self.forward(method, params)
            return {**reply, "result": bend(reply["result"])} if "result" in reply else reply

        self.answers[method] = answer

    def swallows(self, method: str) -> None:
        """Answers a sent transaction with its hash and passes nothing on, like a relay that finds no builder."""

        async def answer(params: list[Any]) -> Reply:
            return {"result": hex_of(keccak(HexBytes(params[0])))}

        self.answers[method] = answer

    def is_honest(self) -> None:
        self.answers.clear()

    async def cut(self) -> None:
        """Ends every websocket."""
        sockets, self._sockets = self._sockets, []
        for socket in sockets:
            await socket.close()

    async def opened(self, count: int) -> None:
        """Once so many websockets were opened in all."""
        async with self._opening:
            await self._opening.wait_for(lambda: self._opened >= count)

    # --------------------------------------------------------------------------------------------------- its work
    async def forward(self, method: str, params: list[Any]) -> Reply:
        assert self._session is not None
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._session.post(self._upstream, json=question) as answer:
            reply: Reply = await answer.json()
            return {key: value for key, value in reply.items() if key in {"result", "error"}}

    async def _serve(self, asked: web.Request) -> web.Response:
        question = await asked.json()
        method, params = question["method"], question.get("params") or []
        self.asked.append(method)
        if self.body is not None:
            return web.Response(text=self.body)
        answer = self.answers.get(method) or self.answers.get("*")
        try:
            reply = await (answer(params) if answer is not None else self.forward(method, params))
        except _BrokenOffError:
            assert asked.transport is not None
            asked.transport.abort()
            return web.Response()
        return web.json_response({"jsonrpc": "2.0", "id": question["id"], **reply})

    async def _bridge(self, asked: web.Request) -> web.WebSocketResponse:
        assert self._session is not None
        mine = web.WebSocketResponse()
        await mine.prepare(asked)
        self._sockets.append(mine)
        async with self._opening:
            self._opened += 1
            self._opening.notify_all()
        async with (
            self._session.ws_connect(self._upstream.replace("http", "ws")) as theirs,
            asyncio.TaskGroup() as both,
        ):
            both.create_task(self._pipe(theirs, mine))
            both.create_task(self._pipe(mine, theirs))
        return mine

    async def _pipe(self, source: Socket, target: Socket) -> None:
        async for message in source:
            if target.closed:
                break
            text = message.data if isinstance(message.data, str) else message.data.decode()
            for true, false in self.ws_bends.items():
                text = text.replace(true, false)
            if not self.is_mute:
                await target.send_str(text)
        await target.close()


def geth_takes(kept: tuple[int, int], offered: tuple[int, int]) -> bool:
    """Geth's rule for (max fee, tip) on a nonce that is taken: above on both, and by a tenth at least."""
    return all(new > old and new * 100 >= old * 110 for old, new in zip(kept, offered, strict=True))


class GethPool:
    """The rules of geth's pool that anvil does not have: 10 % more on both fields, and the underpaid may wait.

    What pays less than ``base_fee_wei`` is kept and not passed on; the first that replaces it is.
    """

    def __init__(self, node: ProxyNode, base_fee_wei: int) -> None:
        self._node, self.base_fee_wei = node, base_fee_wei
        self._kept: dict[int, tuple[str, int, int]] = {}
        self.refused = 0
        node.answers["eth_sendRawTransaction"] = self.take

    async def take(self, params: list[Any]) -> Reply:
        raw = HexBytes(params[0])
        fields = TypedTransaction.from_bytes(raw).as_dict()
        nonce, max_fee, tip = fields["nonce"], fields["maxFeePerGas"], fields["maxPriorityFeePerGas"]
        kept = self._kept.get(nonce)
        if kept is not None and kept[0] == hex_of(raw):
            return _error("already known")
        if kept is not None and not geth_takes((kept[1], kept[2]), (max_fee, tip)):
            self.refused += 1
            return _error("replacement transaction underpriced")
        self._kept[nonce] = hex_of(raw), max_fee, tip
        if max_fee < self.base_fee_wei:
            return {"result": hex_of(keccak(raw))}
        return await self._node.forward("eth_sendRawTransaction", params)


def _error(message: str) -> Reply:
    return {"error": {"code": -32000, "message": message}}
