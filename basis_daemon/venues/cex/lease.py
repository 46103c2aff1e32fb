"""One daemon per account and machine: a name in the kernel that one process at a time holds, whatever its directory.

The kernel gives the name back when its holder ends, however it ends. A daemon on another machine is not seen here: the
ids of its orders at the venue tell of it.
"""

from __future__ import annotations

import errno
import hashlib
import socket
import struct
from types import TracebackType
from typing import Self

from basis_daemon.domain.errors import SecondDaemonError

_ASK_S = 1.0
_PEER = struct.Struct("3i")


class AccountLease:
    """Held between enter and exit. ``parts`` say whose account it is (exchange, network, key); only a digest shows."""

    def __init__(self, label: str, *parts: str) -> None:
        self._label = label
        self._name = f"\0basis-daemon/{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:32]}"
        self._holder: socket.socket | None = None

    def __enter__(self) -> Self:
        """Take the name. Raises SecondDaemonError, with the process that holds it, when it is taken."""
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            holder.bind(self._name)
            holder.listen(1)
        except OSError as error:
            holder.close()
            if error.errno != errno.EADDRINUSE:
                raise
            raise SecondDaemonError(
                f"account {self._label} is traded by another daemon on this machine (pid {self._other()}): stop it "
                "first, or give this one a key of another account"
            ) from error
        self._holder = holder
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    def _other(self) -> str:
        """The process behind the name, as the kernel knows it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(_ASK_S)
            if caller.connect_ex(self._name):
                return "unknown"
            pid, _, _ = _PEER.unpack(caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
            return str(pid)
