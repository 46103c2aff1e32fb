"""The service manager's ear: readiness, status and watchdog over the datagram socket that systemd names."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress

VARIABLE = "NOTIFY_SOCKET"
_ABSTRACT, _NUL = "@", "\0"


class ServiceManager:
    """Tells systemd (`man sd_notify`) how the daemon stands; without a manager it says nothing.

    A datagram that cannot be delivered at once is dropped: the manager's own limits then decide.
    """

    def __init__(self, address: str | None) -> None:
        self._address = _NUL + address[1:] if address and address.startswith(_ABSTRACT) else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        if self._socket is not None:
            self._socket.settimeout(0)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> ServiceManager:
        """The one that started this process, if any."""
        return cls(environ.get(VARIABLE))

    def ready(self, status: str) -> None:
        """The book is reconciled: what waits for this service may start, and the watchdog counts from here."""
        self._say("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._say(f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """The drain has begun."""
        self._say("STOPPING=1", f"STATUS={status}")

    def alive(self) -> None:
        """The trading loop has moved on; within WatchdogSec it must do so again."""
        self._say("WATCHDOG=1")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _say(self, *assignments: str) -> None:
        if self._socket is None or self._address is None:
            return
        message = "\n".join(line.replace("\n", " ") for line in assignments)
        with suppress(OSError):
            self._socket.sendto(message.encode(), self._address)
