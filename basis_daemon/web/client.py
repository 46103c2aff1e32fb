"""JSON over HTTP with a process on this machine: a daemon's control socket, or a sandbox's control port."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from basis_daemon.domain.errors import BasisError

Json = dict[str, Any]
TIMEOUT_S = 30.0
"""Generous: a daemon that reads its journal for the first time may take seconds."""

HTTP_REFUSED = 400


class NotListeningError(BasisError):
    """Nobody answers there; start the daemon, or read its journal."""


class ControlRefusedError(BasisError):
    """The process answered and refused; the message is its own."""


class LocalClient:
    """One connection's worth of questions to one local process. Use it as a context manager."""

    def __init__(self, base: str, connector: aiohttp.BaseConnector, whom: str) -> None:
        self._base = base
        self._whom = whom
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trust_env=False
        )

    @classmethod
    def at_socket(cls, socket: Path) -> Self:
        """A daemon's control socket."""
        whom = (
            f"no daemon listens at {socket}: start one with `basis-daemon run --config FILE`, name the one that runs "
            "with --socket or --config, or read a journal with --journal FILE"
        )
        return cls("http://daemon", aiohttp.UnixConnector(str(socket)), whom)

    @classmethod
    def at_port(cls, port: int) -> Self:
        """A control port on loopback."""
        whom = f"nobody listens at 127.0.0.1:{port}: is the sandbox still running?"
        return cls(f"http://127.0.0.1:{port}", aiohttp.TCPConnector(), whom)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str) -> Json:
        """The answer; raises NotListeningError or ControlRefusedError."""
        return await self._ask("GET", path, params=query)

    async def post(self, path: str, body: Mapping[str, object]) -> Json:
        """The answer; raises NotListeningError or ControlRefusedError."""
        return await self._ask("POST", path, data=orjson.dumps(body))

    async def delete(self, path: str) -> Json:
        """The answer; raises NotListeningError or ControlRefusedError."""
        return await self._ask("DELETE", path)

    async def _ask(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, data: bytes | None = None
    ) -> Json:
        try:
            async with self._session.request(method, self._base + path, params=params, data=data) as response:
                content = await response.read()
        except (aiohttp.ClientConnectionError, TimeoutError, OSError) as error:
            raise NotListeningError(f"{self._whom} ({type(error).__name__}: {error})") from error
        return _answer(content, response.status, path)


def _answer(content: bytes, status: int, path: str) -> Json:
    try:
        said = orjson.loads(content)
    except orjson.JSONDecodeError:
        said = {"error": content.decode(errors="replace")[:500]}
    if not isinstance(said, dict):
        said = {"error": f"{path} answered {type(said).__name__}, expected a JSON object"}
        status = HTTP_REFUSED
    if status >= HTTP_REFUSED:
        raise ControlRefusedError(str(said.get("error", f"{path} answered with HTTP status {status}")))
    return said
