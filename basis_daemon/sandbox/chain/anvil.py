"""One anvil process on loopback: spawned directly, ready when it answers, and gone for certain at the end."""

from __future__ import annotations

import ctypes
import re
import signal
import subprocess
import tempfile
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from basis_daemon.sandbox.chain.toolchain import ToolchainError, anvil_binary

LOOPBACK = "127.0.0.1"
CHAIN_ID = 31337
HARDFORK = "prague"
START_TIMEOUT_S, STOP_TIMEOUT_S = 20.0, 5.0
_LISTENING = re.compile(rb"Listening on [^:]+:(\d+)")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class AnvilOptions:
    """How a node starts. Without ``block_time_s`` every transaction gets a block of its own at once.

    ``port`` 0 takes a free one. ``slots_in_an_epoch`` sets the distance of `safe` (once) and `finalized` (twice) from
    the head. ``timestamp`` is that of the genesis block, seconds; ``state`` a file written by a node before. Of blocks
    older than ``history_blocks`` the state cannot be asked for; headers, transactions and logs can.
    """

    state: Path | None = None
    port: int = 0
    block_time_s: float | None = None
    timestamp: int | None = None
    slots_in_an_epoch: int = 32
    history_blocks: int = 256
    binary: Path | None = None

    def command(self) -> list[str]:
        binary = self.binary or anvil_binary()
        words = [str(binary), "--host", LOOPBACK, "--port", str(self.port), "--chain-id", str(CHAIN_ID)]
        words += ["--hardfork", HARDFORK, "--threads", "1", "--slots-in-an-epoch", str(self.slots_in_an_epoch)]
        words += ["--prune-history", str(self.history_blocks)]  # without, every block leaves megabytes on the disk
        optional = {
            "--load-state": self.state,
            "--block-time": self.block_time_s,
            "--timestamp": self.timestamp,
        }
        return words + [word for flag, value in optional.items() if value is not None for word in (flag, str(value))]


class Anvil:
    """A running node, as a context. It dies with its parent, whatever becomes of that."""

    def __init__(self, options: AnvilOptions | None = None) -> None:
        self._options = options or AnvilOptions()
        self._process: subprocess.Popen[bytes] | None = None
        self._last_lines: deque[bytes] = deque(maxlen=20)
        self._told = threading.Event()
        self._reader: threading.Thread | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self.port = 0

    @property
    def rpc_url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    @property
    def scratch(self) -> Path:
        """The folder for what the node leaves on the disk, gone with it."""
        if self._scratch is None:
            raise ToolchainError("the node is not running, so it has no folder")
        return Path(self._scratch.name)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Blocks until the node listens, some 50 ms; raises `ToolchainError` with its last words when it does not."""
        command = self._options.command()
        self._scratch = tempfile.TemporaryDirectory(prefix="basis-daemon-anvil-")
        command += ["--cache-path", self._scratch.name]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a binary by its full path, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, and nothing of Python after it
            )
        except OSError as error:
            self._scratch.cleanup()
            raise ToolchainError(f"{command[0]} cannot be started: {error.strerror}") from error
        if self._process.stdout is not None:
            self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
            self._reader.start()
        self._told.wait(START_TIMEOUT_S)
        if not self.port:
            self.stop()
            told = b"".join(self._last_lines).decode(errors="replace").strip()
            raise ToolchainError(f"anvil did not listen within {START_TIMEOUT_S:.0f} s; it said: {told or 'nothing'}")

    def stop(self) -> None:
        """End the node; returns when it is gone."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._reader is not None:
            self._reader.join(STOP_TIMEOUT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._scratch is not None:
            self._scratch.cleanup()
        self._process = self._reader = self._scratch = None

    def kill(self) -> None:
        """SIGKILL, as a crash would; `stop` still tidies up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *exc: object) -> None:
        self.stop()

    def _read(self, output: IO[bytes]) -> None:
        """Drain what the node prints, or it would block; a thread, because the node outlives event loops."""
        for line in output:
            self._last_lines.append(line)
            if found := _LISTENING.search(line):
                self.port = int(found[1])
                self._told.set()
        self._told.set()


def _die_with_parent() -> None:
    """The kernel ends the node when the thread that started it ends: no orphan survives a SIGKILL of its parent."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
