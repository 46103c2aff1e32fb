"""The frame guard: every frame is stamped, shown to ccxt and then to us, and none of them can kill its connection.

ccxt parses JSON and dispatches inside the read loop of a connection; an exception there ends the loop without a word.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from basis_daemon.ports import Clock
from basis_daemon.venues.cex.frames import Foreign

FRAME_CHARACTERS_MAX = 4_000_000
"""Longer frames are dropped unread; the largest that Binance sends to what we subscribe is below 1 MB."""


class FrameListener(Protocol):
    """Who hears of frames; called on the event loop, must not block."""

    def frame(self, url: str, message: Foreign, received_ns: int) -> None:
        """A frame, after ccxt has worked it in."""
        ...

    def poison(self, url: str, fault: Exception) -> None:
        """A frame that could not be read, by ccxt or by the listener."""
        ...

    def connected(self, url: str) -> None:
        """A connection stands."""
        ...

    def dropped(self, url: str, why: str) -> None:
        """A connection is gone."""
        ...


class Tap:
    """Installed on a ccxt.pro instance before its first ``watch_*``."""

    def __init__(self, listener: FrameListener, clock: Clock) -> None:
        self._listener = listener
        self._clock = clock

    def install(self, exchange: Foreign) -> None:
        """Put this tap between the connections of ``exchange`` and its handlers."""
        handle, connected, failed, closed = (
            exchange.handle_message, exchange.on_connected, exchange.on_error, exchange.on_close,
        )  # fmt: skip
        make = exchange.client

        def is_current(client: Foreign) -> bool:
            """False for a connection that was hung up: ccxt would forget its successor of the same URL."""
            return (exchange.clients or {}).get(client.url) is client

        def handle_message(client: Foreign, message: Foreign) -> None:
            received_ns = self._clock.monotonic_ns()
            try:
                handle(client, message)
            finally:  # a frame that ccxt cannot digest may still be a fill
                self._listener.frame(client.url, message, received_ns)

        def on_connected(client: Foreign, message: Foreign = None) -> None:
            connected(client, message)
            self._listener.connected(client.url)

        def on_error(client: Foreign, error: Foreign) -> None:
            if is_current(client):
                failed(client, error)
                self._listener.dropped(client.url, type(error).__name__)

        def on_close(client: Foreign, code: Foreign) -> None:
            if is_current(client):
                closed(client, code)
                self._listener.dropped(client.url, f"closed with {code}")

        def guarded_client(url: str) -> Foreign:
            is_new = url not in (exchange.clients or {})
            client = make(url)
            if is_new:
                read = client.handle_text_or_binary_message
                client.handle_text_or_binary_message = partial(self._guard_frame, url, read)
            return client

        exchange.handle_message, exchange.client = handle_message, guarded_client
        exchange.on_connected, exchange.on_error, exchange.on_close = on_connected, on_error, on_close

    def _guard_frame(self, url: str, read: Foreign, data: str | bytes) -> None:
        if len(data) > FRAME_CHARACTERS_MAX:
            self._listener.poison(url, ValueError(f"frame of {len(data)} characters, at most {FRAME_CHARACTERS_MAX}"))
            return
        try:
            read(data)
        except Exception as fault:  # noqa: BLE001 - whatever a frame provokes, the connection must read on
            self._listener.poison(url, fault)
