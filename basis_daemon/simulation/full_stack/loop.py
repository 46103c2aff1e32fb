"""A seeded loop whose sockets are of memory: listeners by port, connections to them, and no other host anywhere."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from basis_daemon.simulation.drill.chance import Chance
from basis_daemon.simulation.drill.loop import SeededLoop
from basis_daemon.simulation.full_stack.weather import Trouble, Weather
from basis_daemon.simulation.full_stack.wire import Address, End, Process

OUTSIDE = Process("outside")
PROCESS: ContextVar[Process] = ContextVar("process", default=OUTSIDE)
"""Whose work this is: tasks inherit it, and so do the connections that they open."""
LOOPBACK, FIRST_PORT = "127.0.0.1", 40_000


class Listener:
    """Who accepts connections at one port."""

    def __init__(self, port: int, accept: Callable[[], asyncio.BaseProtocol], owner: Process) -> None:
        self.port, self.accept, self.owner = port, accept, owner
        self.sockets = (self,)

    def getsockname(self) -> Address:
        return LOOPBACK, self.port

    def is_serving(self) -> bool:
        return True

    def close(self) -> None: ...

    async def wait_closed(self) -> None: ...


class NetworkLoop(SeededLoop):
    """``create_server`` and ``create_connection`` as any loop has them; TLS is left out, host names are not."""

    def __init__(self, chance: Chance, weather: Weather) -> None:
        super().__init__(chance)
        self.weather = weather
        self._listeners: dict[int, Listener] = {}
        self._reached: dict[int, Address] = {}
        self._ports = iter(range(FIRST_PORT, FIRST_PORT + 20_000))

    async def create_server(  # type: ignore[override]  # asyncio's has twenty parameters that mean nothing here
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: str, port: int = 0, **_: object
    ) -> Listener:
        """Port 0 takes the next one."""
        del host
        listener = Listener(port or next(self._ports), protocol_factory, PROCESS.get())
        self._listeners[listener.port] = listener
        return listener

    async def sock_connect(self, sock: socket.socket, address: Address) -> None:  # type: ignore[override]  # of addresses with a port
        """The socket is a name for what will be a connection; nothing is ever sent over it."""
        await asyncio.sleep(self.weather.way_s())
        if address[1] not in self._listeners or self.weather.strikes(Trouble.REFUSED) or PROCESS.get().is_dead:
            raise ConnectionRefusedError(f"nobody accepts at {address}")
        self._reached[sock.fileno()] = address

    async def create_connection(  # type: ignore[override]  # as above
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], *, sock: socket.socket, **_: object
    ) -> tuple[asyncio.Transport, Any]:
        """A connection in the place of a socket that has reached somebody."""
        address = self._reached.pop(sock.fileno())
        sock.close()
        listener, here = self._listeners[address[1]], (LOOPBACK, next(self._ports))
        client, server = End.pair(self, self.weather, (PROCESS.get(), listener.owner), (here, address))
        server.begin(listener.accept())
        protocol = protocol_factory()
        client.begin(protocol)
        return client, protocol
