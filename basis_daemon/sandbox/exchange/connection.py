"""One websocket of a client: what is posted leaves in one write; a client that lets megabytes pile up is cut off."""

from __future__ import annotations

import asyncio
import struct

import orjson
from aiohttp import web

from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.faults import Subject

MOST_BUFFERED = 4 * 1024 * 1024
OP_TEXT, OP_PING = 0x81, 0x89
LENGTH_IN_TWO, LENGTH_IN_EIGHT = 126, 127


class Connection:
    """One websocket. `kind` is "spot", "usdm" or "coinm" for market data, "user-" and the same for an account.

    Frames are written straight to the transport: a server's frames need no mask, so a frame is a short header and the
    payload, built once for all subscribers, and everything posted leaves in one write.
    """

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.WriteTransport, kind: str) -> None:
        self.socket, self.kind = socket, kind
        self.channels: set[str] = set()
        self.combined = False
        self.account: Account | None = None
        self.subscription_id: int | None = None
        self.stalled = False
        self.doubles_next = self.swaps_next = False
        self._overtaken: bytes | None = None
        self.pinged = 0
        self.answered = 0
        self.lagging = False
        self._transport = transport
        self._outbox: list[bytes] = []

    @property
    def subject(self) -> Subject:
        """Whose stream it is, and the symbols that it tells of."""
        symbols = frozenset(channel.partition("@")[0].upper() for channel in self.channels)
        return Subject(self.account.api_key if self.account is not None else "", symbols)

    @property
    def awaited(self) -> bool:
        return self.answered < self.pinged and not self.lagging and not self.socket.closed

    def post(self, frame: bytes) -> None:
        if self.stalled:
            return
        if self.swaps_next:
            self.swaps_next, self._overtaken = False, frame
            return
        self._outbox += [frame, frame] if self.doubles_next else [frame]
        self.doubles_next = False
        if self._overtaken is not None:
            self._outbox.append(self._overtaken)
            self._overtaken = None

    def reply(self, body: object) -> None:
        self._outbox.append(text_frame(orjson.dumps(body)))

    def pong(self, payload: bytes) -> None:
        """The client has read everything sent before the ping with this number."""
        if payload.isdigit():
            self.answered = max(self.answered, int(payload))
            if self.answered >= self.pinged:
                self.lagging = False

    def flush(self, *, ping: bool = False) -> None:
        """Write what was posted; with `ping`, and only if there was something, ask the client to confirm it."""
        if not self._outbox:
            return
        frames, self._outbox = self._outbox, []
        if self.socket.closed or self._transport.is_closing():
            return
        if ping:
            self.pinged += 1
            frames.append(_frame(OP_PING, str(self.pinged).encode()))
        self._transport.write(b"".join(frames))
        if self._transport.get_write_buffer_size() > MOST_BUFFERED:
            self.abort()

    def abort(self) -> None:
        self._transport.abort()


def text_frame(payload: bytes) -> bytes:
    return _frame(OP_TEXT, payload)


def _frame(opcode: int, payload: bytes) -> bytes:
    """One unfragmented server frame (RFC 6455, section 5.2)."""
    length = len(payload)
    if length < LENGTH_IN_TWO:
        head = struct.pack("!BB", opcode, length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", opcode, LENGTH_IN_TWO, length)
    else:
        head = struct.pack("!BBQ", opcode, LENGTH_IN_EIGHT, length)
    return head + payload
