"""A process that has imported the daemon once and forks it as often as it is asked: a birth costs no second of imports.

What is born is the daemon's own command in a process of its own, which lives and dies like any other. Without threads
before the fork, so that nothing is held in the child that nobody would let go of.
"""

from __future__ import annotations

import asyncio
import atexit
import faulthandler
import gc
import os
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import orjson

from basis_daemon.clock import SystemClock
from basis_daemon.demo.processes import Child

POLL_S = 0.01
_OVERRIDES = "BASIS_DAEMON_"


class Born:
    """One forked process, with as much of a subprocess's face as a ``Child`` looks at."""

    def __init__(self, pid: int, nursery: Nursery) -> None:
        self.pid = pid
        self._nursery = nursery
        self._descriptor = os.pidfd_open(pid)
        self._code: int | None = None

    @property
    def returncode(self) -> int | None:
        """None while it lives; the negative number of the signal that ended it."""
        if self._code is None and select.select([self._descriptor], [], [], 0)[0]:
            self._code = os.waitstatus_to_exitcode(self._nursery.ask({"reap": self.pid}))
            os.close(self._descriptor)
        return self._code

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        while (code := self.returncode) is None:
            await SystemClock().sleep(POLL_S)
        return code

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The other end of the forking process. Whoever it bore dies with it."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """``environ`` is what the forking process, and everybody born there, finds around it."""
        command = (sys.executable, "-m", "tests.process.nursery")
        pipe = subprocess.PIPE
        around = dict(environ or {key: value for key, value in os.environ.items() if not key.startswith(_OVERRIDES)})
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=around)
        self._ready = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Nobody is born any more, and nobody lives on."""
        self._process.communicate()

    def birth(self, name: str, arguments: Sequence[str], directory: Path) -> Child:
        """``basis-daemon ARGUMENTS`` in ``directory``, outputs in ``NAME.log``, SIGUSR2 asks for ``NAME.census``."""
        log, census = directory / f"{name}.log", directory / f"{name}.census"
        told = {"directory": str(directory), "log": str(log), "census": str(census)}
        pid = self.ask({"arguments": list(arguments), **told})
        return Child(name, cast("asyncio.subprocess.Process", Born(pid, self)), log, SystemClock())

    def ask(self, request: Mapping[str, object]) -> int:
        """The process's one number of an answer."""
        told, heard = self._process.stdin, self._process.stdout
        if told is None or heard is None:
            raise RuntimeError("the nursery has no pipes")
        told.write(orjson.dumps(request) + b"\n")
        told.flush()
        return int(heard.readline())


@cache
def _of_this_run() -> Nursery:
    made = Nursery()
    atexit.register(made.close)
    return made


def born(name: str, arguments: Sequence[str], directory: Path) -> Child:
    """``basis-daemon ARGUMENTS`` of the one nursery that this process of the test run has, with its environment."""
    return _of_this_run().birth(name, arguments, directory)


def live(request: Mapping[str, Any]) -> None:
    """Become the daemon; never returns."""
    from basis_daemon.cli import main  # noqa: PLC0415 - what the forking process has imported already

    os.setsid()
    os.chdir(request["directory"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, descriptor in ((0, nothing), (1, log), (2, log)):
        os.dup2(descriptor, target)
    faulthandler.register(signal.SIGUSR1)  # who waits for a life that hangs may ask where
    signal.signal(signal.SIGUSR2, partial(_census, Path(request["census"])))
    sys.argv = ["basis-daemon", *request["arguments"]]
    main()


def _census(file: Path, *_: object) -> None:
    """Tasks that have not ended, and everything that containers hold which came after the start."""
    gc.collect()
    found = gc.get_objects()
    held = sum(len(one) for one in found if type(one) in {dict, list, set, deque})
    tasks = sum(not one.done() for one in found if isinstance(one, asyncio.Task))
    scratch = file.with_suffix(".new")
    scratch.write_bytes(orjson.dumps({"tasks": tasks, "held": held}))
    scratch.replace(file)


def serve() -> None:
    """Bear and reap until nobody asks any more."""
    import basis_daemon.cli  # noqa: PLC0415 - to have it
    import basis_daemon.cli.run  # noqa: PLC0415 - commands are loaded by name
    import basis_daemon.cli.sandbox  # noqa: PLC0415 - as above
    import basis_daemon.wiring  # noqa: F401, PLC0415 - likewise: the command waits with it until it runs

    alive: set[int] = set()
    for line in sys.stdin.buffer:
        request = orjson.loads(line)
        if "reap" in request:
            answer = os.waitpid(request["reap"], 0)[1]
            alive.discard(request["reap"])
        else:
            answer = os.fork()
            if not answer:
                live(request)
            alive.add(answer)
        print(answer, flush=True)  # noqa: T201 - its one word to who asked
    for pid in alive:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    serve()
