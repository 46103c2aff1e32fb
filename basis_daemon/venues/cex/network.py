"""The HTTP sessions through which a venue is reached: the real network, or a sandbox on loopback.

The sandbox speaks under the exchanges' real host names (the resolver redirects them and the sandbox's own CA vouches
for them), because ccxt picks error classes and websocket paths by URL prefix: overriding URLs would change both.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

MAPPED_DOMAINS = ("binance.com", "binancefuture.com", "bybit.com", "okx.com", "hyperliquid.xyz")
KEEPALIVE_TIMEOUT_S = 60.0
LOOPBACK = "127.0.0.1"
Check = Callable[[str, str], None]
"""Takes (method, url) of a request that is about to leave; raises to keep it."""


class SandboxNetworkError(RuntimeError):
    """Something in sandbox mode reached for a host or an address outside the sandbox: a bug or a wrong setting."""


@dataclass(frozen=True, slots=True)
class SandboxNetwork:
    """Where the sandbox exchange listens, who vouches for it, and which domains it answers for."""

    port: int
    ca_file: Path
    domains: tuple[str, ...] = MAPPED_DOMAINS

    def covers(self, host: str) -> bool:
        name = host.rstrip(".").lower()
        return any(name == domain or name.endswith("." + domain) for domain in self.domains)


def open_session(mapping: SandboxNetwork | None, check: Check | None = None) -> aiohttp.ClientSession:
    """A session for one venue; the caller closes it. With a mapping it can reach the sandbox and nothing else.

    ``check`` sees every request before a connection is sought for it, and what it raises is raised to the caller.
    Must be called inside a running event loop. Raises `SandboxNetworkError` at the request (not here) for a host that
    is not mapped or an address that is not loopback.
    """
    traces = [_checking(check)] if check is not None else []
    if mapping is None:
        connector = aiohttp.TCPConnector(keepalive_timeout=KEEPALIVE_TIMEOUT_S)
        return aiohttp.ClientSession(connector=connector, trace_configs=traces, ws_response_class=_Socket)
    connector = aiohttp.TCPConnector(
        resolver=_SandboxResolver(mapping),
        ssl=ssl.create_default_context(cafile=str(mapping.ca_file)),
        use_dns_cache=False,
        keepalive_timeout=KEEPALIVE_TIMEOUT_S,
        socket_factory=_loopback_socket,
    )
    return aiohttp.ClientSession(connector=connector, trust_env=False, trace_configs=traces, ws_response_class=_Socket)


def _checking(check: Check) -> aiohttp.TraceConfig:
    async def before_request(_: aiohttp.ClientSession, __: object, asked: aiohttp.TraceRequestStartParams) -> None:
        check(asked.method, str(asked.url))

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(before_request)
    return trace


class _Socket(aiohttp.ClientWebSocketResponse):
    """A websocket whose last ping may go unanswered.

    ccxt answers every ping in a task that nobody awaits. Where the connection goes down in between, the answer fails
    in that task, and asyncio complains when it is collected: a traceback, at the end of a process outside every log.
    That the connection is gone is told by its reader.
    """

    async def pong(self, message: bytes = b"") -> None:
        with suppress(aiohttp.ClientConnectionResetError):
            await super().pong(message)


class _SandboxResolver(AbstractResolver):
    """Sends every mapped host, whatever its port, to the sandbox's one port."""

    def __init__(self, mapping: SandboxNetwork) -> None:
        self._mapping = mapping

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if self._mapping.covers(host):
            port = self._mapping.port
        elif host != "localhost":
            raise SandboxNetworkError(
                f"sandbox mode refused to reach host {host!r} (port {port}): only "
                f"{', '.join('*.' + domain for domain in self._mapping.domains)} are mapped to the sandbox; "
                "remove the venue from the configuration or run it outside sandbox mode"
            )
        return [
            ResolveResult(
                hostname=host, host=LOOPBACK, port=port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        pass


def _loopback_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for one resolved address; the last gate, because IP literals never pass the resolver."""
    family, kind, proto, _, target = address
    if not ipaddress.ip_address(target[0]).is_loopback:
        raise SandboxNetworkError(f"sandbox mode refused to reach address {target[0]} port {target[1]}: not loopback")
    return socket.socket(family=family, type=kind, proto=proto)


def sandbox_from_ready_file(content: Mapping[str, Any]) -> SandboxNetwork:
    """The mapping described by the ready file that the sandbox exchange writes when it listens."""
    return SandboxNetwork(port=int(content["port"]), ca_file=Path(str(content["ca_file"])))
