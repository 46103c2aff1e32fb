"""Connections of memory: what one end writes arrives at the other in its order, after a while, or never."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Self

from basis_daemon.simulation.full_stack.weather import Trouble, Weather

TICK_S = 1e-6
"""Between two arrivals at least: equal deadlines have no order in a loop."""
Address = tuple[str, int]


class Process:
    """Whose end of a connection it is. Nothing of a dead one reaches the outside, nor does it hear anything."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.ends: list[End] = []
        self.on_write: Callable[[bytes], None] = _unheard

    def kill(self) -> None:
        """As the kernel does for it: its connections are reset, whatever had left before arrives."""
        self.is_dead = True
        for end in list(self.ends):
            end.reset_other()


def _unheard(_: bytes) -> None:
    """Nobody listens to the wire."""


class End(asyncio.Transport):
    """One of the two transports of a connection."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, weather: Weather, owner: Process, names: tuple[Address, Address]
    ) -> None:
        super().__init__({"sockname": names[0], "peername": names[1]})
        self._loop, self._weather, self._owner = loop, weather, owner
        self._protocol: Any = None
        self._other: End | None = None
        self._next_at = 0.0
        self._waiting: list[bytes] = []
        self._is_paused = self._is_closing = self._is_lost = False
        self.is_silent = False
        owner.ends.append(self)

    @classmethod
    def pair(
        cls, loop: asyncio.AbstractEventLoop, weather: Weather, owners: tuple[Process, Process],
        names: tuple[Address, Address],
    ) -> tuple[Self, Self]:  # fmt: skip
        """(client's, server's)."""
        client, server = cls(loop, weather, owners[0], names), cls(loop, weather, owners[1], names[::-1])
        client._other, server._other = server, client
        return client, server

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand this end to who uses it."""
        self._protocol = protocol
        protocol.connection_made(self)
        self._hand_over()

    # ------------------------------------------------------------------------------------------ what is sent
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Bytes on their way; a dead process writes none."""
        if self._is_closing or self._is_lost or self._owner.is_dead or not data:
            return
        content = bytes(data)
        self._owner.on_write(content)
        if self._weather.strikes(Trouble.BLACKHOLE):
            self._go_silent()
        if self._weather.strikes(Trouble.RESET):
            self._loop.call_soon(self.lose, ConnectionResetError("reset by the network"))
            self._is_closing = True
            self.reset_other()
            return
        self._send(lambda other: other.take(content))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """As one."""
        self.write(b"".join(list_of_data))

    def _send(self, arrive: Callable[[End], None]) -> None:
        """In order behind everything that was sent before; nothing comes out of a connection that fell silent."""
        other = self._other
        if other is None or self.is_silent:
            return
        self._next_at = max(self._next_at + TICK_S, self._loop.time() + self._weather.way_s())
        self._loop.call_at(self._next_at, self._arrive, other, arrive)

    def _arrive(self, other: End, arrive: Callable[[End], None]) -> None:
        if not other.is_silent:
            arrive(other)

    def _go_silent(self) -> None:
        """Both ends stay open and hear nothing from each other any more."""
        self.is_silent = True
        if self._other is not None:
            self._other.is_silent = True

    def write_eof(self) -> None:
        self._send(End.take_eof)

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        """What was written arrives, then the other end is told."""
        if self._is_closing:
            return
        self._is_closing = True
        if not self._owner.is_dead:
            self._send(End.take_eof)
        self._loop.call_soon(self.lose, None)

    def abort(self) -> None:
        """At once; the other end is reset."""
        self._is_closing = True
        if not self._owner.is_dead:
            self.reset_other()
        self._loop.call_soon(self.lose, None)

    def reset_other(self) -> None:
        """The other end learns that this one is gone."""
        self._send(lambda other: other.lose(ConnectionResetError("reset by the other end")))

    # -------------------------------------------------------------------------------------------- what arrives
    def take(self, data: bytes) -> None:
        """Bytes of the other end."""
        if self._is_lost or self._is_closing or self._owner.is_dead:
            return
        self._waiting.append(data)
        self._hand_over()

    def take_eof(self) -> None:
        """The other end sends no more."""
        if self._is_lost or self._is_closing or self._owner.is_dead or self._protocol is None:
            return
        if not self._protocol.eof_received():
            self.close()

    def _hand_over(self) -> None:
        while self._waiting and not self._is_paused and self._protocol is not None and not self._is_lost:
            self._protocol.data_received(self._waiting.pop(0))

    def lose(self, error: Exception | None) -> None:
        """This end is gone; whoever uses it is told."""
        if self._is_lost:
            return
        self._is_lost = self._is_closing = True
        if self in self._owner.ends:
            self._owner.ends.remove(self)
        if self._protocol is not None:
            self._protocol.connection_lost(error)

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        self._loop.call_soon(self._hand_over)

    def is_reading(self) -> bool:
        return not self._is_paused

    def is_closing(self) -> bool:
        return self._is_closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        del high, low  # nothing is ever held back

    def get_write_buffer_size(self) -> int:
        return 0
