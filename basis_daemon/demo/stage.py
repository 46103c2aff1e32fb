"""What every demo stands on: what is to be played, who watches, and sandbox and daemon as processes that are ready."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from basis_daemon.clock import SystemClock
from basis_daemon.demo.configuration import written_over
from basis_daemon.demo.faults import FaultLevel
from basis_daemon.demo.processes import Child, DemoFailedError
from basis_daemon.demo.report import Look
from basis_daemon.engine.book_view import BookView
from basis_daemon.engine.judgement import Outcome
from basis_daemon.journal.reader import JournalReader
from basis_daemon.settings import LoadedSettings, Settings, load_settings
from basis_daemon.web.client import ControlRefusedError, LocalClient, NotListeningError
from basis_daemon.web.control import SOCKET_PATH_BYTES_MAX

Json = dict[str, Any]
START_S, STOP_S = 60.0, 60.0
ARMED = "armed"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to play: one strategy of the configuration, or several side by side on accounts of their own.

    Without ``config`` it is the one of the sandbox where the strategies live, without ``history`` a generated market
    of ``seed``, without ``signals`` words of the same seed; ``days`` None is all that was recorded, else as long as
    the market or the story is made for.
    """

    strategies: tuple[str, ...]
    seed: int
    days: int | None
    history: Path | None = None
    window: str | None = None
    config: Path | None = None
    keep: Path | None = None
    report: Path | None = None
    faults: FaultLevel | None = None
    signals: Path | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """What a spectator sees: the sandbox's clock and, once it answers, the daemon's status."""

    clock: Json
    book: Json


@dataclass(frozen=True, slots=True)
class Played:
    """A demo at its end: judged, the book that its journal tells of, and how it is drawn."""

    outcome: Outcome
    view: BookView
    journal_file: Path
    look: Look


class Spectator(Protocol):
    """Shows progress; never fails."""

    def say(self, what: str) -> None:
        """A step of the demo began."""
        ...

    def see(self, moment: Moment) -> None:
        """Market time went on."""
        ...


@dataclass(frozen=True, slots=True)
class Counterparty:
    """The sandbox of a demo: how it is started, where it says that it listens, and what it is told first.

    ``setup`` are commands that run before the daemon. Its first start may take ``start_s``; what it says meanwhile is
    shown when it is ``is_talkative``.
    """

    name: str
    arguments: tuple[str, ...]
    ready_file: str
    first: Mapping[str, Mapping[str, object]]
    setup: tuple[tuple[str, ...], ...] = ()
    start_s: float = START_S
    is_talkative: bool = False


@dataclass(frozen=True, slots=True)
class House:
    """A sandbox that runs; ``control`` is the port that drives it."""

    child: Child
    control: LocalClient


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs, and where; the last of ``houses`` keeps market time."""

    options: DemoOptions
    directory: Path
    settings: LoadedSettings
    houses: Mapping[str, House]
    daemon: Child
    operator: LocalClient
    clock: SystemClock

    @property
    def control(self) -> LocalClient:
        """Of the sandbox that keeps market time."""
        return list(self.houses.values())[-1].control

    def check(self) -> None:
        """Raises DemoFailedError when something that should run has ended."""
        for child in (*(house.child for house in self.houses.values()), self.daemon):
            child.check()


@asynccontextmanager
async def staged(
    options: DemoOptions,
    directory: Path,
    spectator: Spectator,
    configure: Callable[[Mapping[str, str]], LoadedSettings],
    sandboxes_of: Callable[[Settings], Sequence[Counterparty]],
) -> AsyncIterator[Stage]:
    """All processes, ready, market time held; they are gone when the context is left. Sandboxes start in order."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        settings = configure({"control.socket": _socket(directory, stack)})
        counterparties = sandboxes_of(settings.settings)
        houses: dict[str, House] = {}
        for who in counterparties:
            name = "sandbox" if len(counterparties) == 1 else f"sandbox_{who.name}"
            spectator.say(f"starting the sandbox {who.name}")
            child = await Child.start(name, who.arguments, directory, clock)
            stack.push_async_callback(child.stop, STOP_S)
            control = await stack.enter_async_context(await _listening(child, who, directory, spectator))
            houses[who.name] = House(child, control)
            for action, body in who.first.items():
                await control.post(action, body)
        for command in (command for who in counterparties for command in who.setup):
            await _set_up(command, directory, spectator, clock)
        spectator.say("starting the daemon")
        daemon = await Child.start("daemon", ("run", "--config", "daemon.yaml", "--arm"), directory, clock)
        stack.push_async_callback(daemon.stop, STOP_S)
        operator = await stack.enter_async_context(LocalClient.at_socket(settings.settings.control_socket))
        await daemon.until("armed with prices", lambda: _are_watching(operator, options.strategies), START_S)
        yield Stage(options, directory, settings, houses, daemon, operator, clock)


async def _listening(sandbox: Child, who: Counterparty, directory: Path, spectator: Spectator) -> LocalClient:
    ready = directory / who.ready_file

    async def is_ready() -> bool:
        for line in sandbox.news() if who.is_talkative else ():
            if not line.startswith("{"):  # an answer or an error, for machines
                spectator.say(f"  {line}")
        return ready.is_file()

    try:
        await sandbox.until("listening", is_ready, who.start_s)
    except DemoFailedError as failure:
        why = sandbox.last_error()
        if why is None:
            raise
        raise DemoFailedError(why) from failure
    return LocalClient.at_port(orjson.loads(ready.read_bytes())["control_port"])


async def _set_up(command: tuple[str, ...], directory: Path, spectator: Spectator, clock: SystemClock) -> None:
    spectator.say(f"basis-daemon {' '.join(command)}")
    child = await Child.start("setup", command, directory, clock)
    try:
        if await child.ended(START_S):
            child.check()
    finally:
        await child.stop(STOP_S)


def _socket(directory: Path, stack: AsyncExitStack) -> str:
    socket = "control.sock"
    if len(os.fsencode(directory / "book" / socket)) > SOCKET_PATH_BYTES_MAX:
        socket = f"{stack.enter_context(tempfile.TemporaryDirectory(prefix='basis-'))}/{socket}"
    return socket


def configured(config: Path, directory: Path, changes: Mapping[str, str]) -> LoadedSettings:
    """Writes ``daemon.yaml`` with paths relative to the demo's directory, so that equal demos have equal settings."""
    file = directory / "daemon.yaml"
    file.write_text(written_over(config, {"mode": "sandbox", "data_dir": "book", **changes}), encoding="utf-8")
    (directory / "book").mkdir(exist_ok=True)
    return load_settings(file, {"BASIS_DAEMON__DATA_DIR": str(directory / "book")})


def switches(settings: Settings, strategies: Iterable[str], venues: Iterable[str] = ()) -> dict[str, str]:
    """These strategies and venues are on, all others of the file off."""
    found = {f"strategies.{name}.enabled": name in strategies for name in settings.strategies}
    found |= {f"venues.{name}.enabled": name in venues for name in settings.venues}
    return {key: str(is_on).lower() for key, is_on in found.items()}


def book_of(journal_file: Path) -> BookView:
    """The book that a verified journal tells of. Raises JournalError, IntegrityError."""
    with JournalReader.open(journal_file) as journal:
        journal.verify()
        return BookView().fold(journal.rows())


async def status_of(operator: LocalClient) -> Json | None:
    """The daemon's status; None while it does not answer."""
    try:
        return await operator.get("/status")
    except (NotListeningError, ControlRefusedError):
        return None


async def _are_watching(operator: LocalClient, strategies: tuple[str, ...]) -> bool:
    """True once the daemon is armed and every strategy has decided something on the prices of the held market."""
    status = await status_of(operator)
    return bool(status and status["live"].get("phase") == ARMED and len(status["strategies"]) == len(strategies))
