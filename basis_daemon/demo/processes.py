"""Processes of a demo: each with its log, a bounded wait for its readiness, and an end that is always reached."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Self

import orjson

from basis_daemon.domain.errors import BasisError
from basis_daemon.ports import Clock

POLL_S = 0.05
TAIL_LINES = 15
_OVERRIDES = "BASIS_DAEMON_"


class DemoFailedError(BasisError):
    """A demo could not be played to its end; the message holds what the processes said last."""


class Child:
    """One running process. Whoever starts it stops it."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path, clock: Clock) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._clock = clock
        self._shown = 0

    @classmethod
    async def start(cls, name: str, arguments: Sequence[str], directory: Path, clock: Clock) -> Self:
        """``python -m basis_daemon ARGUMENTS`` in ``directory``, both outputs in ``NAME.log``.

        It gets a session of its own, so that Ctrl-C reaches the demo alone, which then ends it in order. Overrides of
        the configuration in the environment are the caller's and are not handed on.
        """
        log = directory / f"{name}.log"
        environ = {key: value for key, value in os.environ.items() if not key.startswith(_OVERRIDES)}
        with log.open("wb") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "basis_daemon", *arguments, cwd=directory, env=environ, start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=sink, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
        return cls(name, process, log, clock)

    @property
    def exit_code(self) -> int | None:
        """None while it lives."""
        return self._process.returncode

    def check(self) -> None:
        """Raises DemoFailedError when it has ended."""
        if self.exit_code is not None:
            raise DemoFailedError(f"{self.name} ended with exit code {self.exit_code}\n{self.tail()}")

    async def until(self, what: str, is_so: Callable[[], Awaitable[bool]], timeout_s: float) -> None:
        """Return once ``is_so``; raises DemoFailedError when the process ends or the time is over before that."""
        give_up_ns = self._clock.monotonic_ns() + int(timeout_s * 1_000_000_000)
        while not await is_so():
            self.check()
            if self._clock.monotonic_ns() > give_up_ns:
                raise DemoFailedError(f"{self.name}: not {what} after {timeout_s:g} s\n{self.tail()}")
            await self._clock.sleep(POLL_S)

    async def ended(self, timeout_s: float) -> int:
        """The exit code once it has ended by itself; raises DemoFailedError when it still runs after ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._process.wait()
        except TimeoutError:
            raise DemoFailedError(f"{self.name}: still runs after {timeout_s:g} s\n{self.tail()}") from None

    async def stop(self, timeout_s: float) -> int:
        """Ask to end, wait, and kill after ``timeout_s``; returns the exit code."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(timeout_s):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        return await self._process.wait()

    def news(self) -> list[str]:
        """Whole lines of its log since the last call."""
        whole = self.log.read_bytes()[self._shown :].rpartition(b"\n")[0]
        self._shown += len(whole) + 1 if whole else 0
        return whole.decode(errors="replace").splitlines()

    def last_error(self) -> str | None:
        """The message that a command with ``--json`` ended with; None when it did not end so."""
        last = self.log.read_bytes().splitlines()[-1:]
        try:
            return str(orjson.loads(last[0])["error"]["message"]) if last else None
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None

    def tail(self) -> str:
        """The last lines of its log, and where the rest is."""
        return tail_of(self.log)


def tail_of(log: Path) -> str:
    """The last lines of a process's log, and where the rest is."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
    return "\n".join((f"last lines of {log}:", *lines))
