"""Plays a demo: sandbox and daemon as separate processes, the whole market time, an orderly end, and the judgement."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import orjson

from basis_daemon.clock import SystemClock
from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.demo.faults import FaultLevel, FaultPlayer, Injection, Target, schedule
from basis_daemon.demo.outcome import Outcome, RunFacts, judge
from basis_daemon.demo.processes import Child, DemoFailedError
from basis_daemon.demo.report import write_report
from basis_daemon.domain.errors import BasisError
from basis_daemon.engine.book_view import QUOTE, BookView
from basis_daemon.journal.reader import JournalReader
from basis_daemon.settings import LoadedSettings, Settings, load_settings, make_strategies, strategy_parameters
from basis_daemon.web.client import ControlRefusedError, LocalClient, NotListeningError
from basis_daemon.web.control import SOCKET_PATH_BYTES_MAX
from basis_daemon.wiring_venues import sandbox_credentials, sub_account_of

Json = dict[str, Any]
START_S, STOP_S, STANDSTILL_S, HEAL_S = 60.0, 60.0, 60.0, 90.0
LOOK_S, LOOK_AT_BOOK_S = 0.1, 1.0
ARMED = "armed"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to play: one strategy of the configuration, or several side by side on accounts of their own.

    Without ``history`` the market is generated from ``seed``; with it ``days`` None is all of it.
    """

    strategies: tuple[str, ...]
    seed: int
    days: int | None
    history: Path | None = None
    window: str | None = None
    config: Path = SANDBOX_CONFIG
    keep: Path | None = None
    report: Path | None = None
    faults: FaultLevel | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """What a spectator sees: the sandbox's clock and, once it answers, the daemon's status."""

    clock: Json
    book: Json


class Spectator(Protocol):
    """Shows progress; never fails."""

    def say(self, what: str) -> None:
        """A step of the demo began."""
        ...

    def see(self, moment: Moment) -> None:
        """Market time went on."""
        ...


@dataclass(frozen=True, slots=True)
class _Stage:
    """Everything that runs, and where."""

    options: DemoOptions
    directory: Path
    settings: LoadedSettings
    sandbox: Child
    exchange: LocalClient
    daemon: Child
    operator: LocalClient
    clock: SystemClock


async def play(options: DemoOptions, spectator: Spectator) -> Outcome:
    """The judged outcome, with its report written. Raises DemoFailedError when it could not be played to its end."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await _play(options, spectator)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def _play(options: DemoOptions, spectator: Spectator) -> Outcome:
    is_kept = options.keep is not None
    directory = (options.keep or Path(tempfile.mkdtemp(prefix="basis-demo-"))).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise DemoFailedError(
            f"{directory} is not empty, and a demo starts a book of its own: --keep an empty directory"
        )
    try:
        outcome = await _play_in(directory, options, spectator)
        is_kept = is_kept or not outcome.is_good
    except (BasisError, OSError) as error:
        is_kept = True
        raise DemoFailedError(f"{error}\neverything about this run is in {directory}") from error
    finally:
        if not is_kept:
            shutil.rmtree(directory, ignore_errors=True)
    return replace(outcome, directory=str(directory)) if is_kept else outcome


async def _play_in(directory: Path, options: DemoOptions, spectator: Spectator) -> Outcome:
    async with _stage(directory, options, spectator) as stage:
        await _let_time_run(stage, spectator)
        if options.faults is not None:
            spectator.say("the market is over: the book becomes whole again")
            await stage.daemon.until("whole again", lambda: _is_whole(stage.operator), HEAL_S)
        spectator.say("the market is over: the daemon drains")
        clock = await stage.exchange.get("/status")
        exit_code = await stage.daemon.stop(STOP_S)
        books = await stage.exchange.get("/books")
    spectator.say("reading the journal")
    view, outcome = _judge(stage, clock, books, exit_code)
    if options.report is not None:
        spectator.say(f"drawing {options.report}")
        with JournalReader.open(stage.settings.settings.journal_file) as journal:
            write_report(options.report, outcome, view, journal.rows())
    return outcome


@asynccontextmanager
async def _stage(directory: Path, options: DemoOptions, spectator: Spectator) -> AsyncIterator[_Stage]:
    """Both processes, ready, market time held; they are gone when the context is left."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        settings = _configure(directory, options, stack)
        spectator.say("starting the sandbox exchange")
        arguments = [*_sandbox_arguments(options), *_sub_accounts(settings.settings)]
        sandbox = await Child.start("sandbox", arguments, directory, clock)
        stack.push_async_callback(sandbox.stop, STOP_S)
        ready = directory / "exchange" / "ready.json"

        async def is_ready() -> bool:
            return ready.is_file()

        await sandbox.until("listening", is_ready, START_S)
        exchange = await stack.enter_async_context(
            LocalClient.at_port(orjson.loads(ready.read_bytes())["control_port"])
        )
        await exchange.post("/clock", {"hold": True})
        spectator.say("starting the daemon")
        daemon = await Child.start("daemon", ("run", "--config", "daemon.yaml", "--arm"), directory, clock)
        stack.push_async_callback(daemon.stop, STOP_S)
        operator = await stack.enter_async_context(LocalClient.at_socket(settings.settings.control_socket))
        stage = _Stage(options, directory, settings, sandbox, exchange, daemon, operator, clock)
        await daemon.until("armed with prices", lambda: _are_watching(operator, options.strategies), START_S)
        yield stage


def _sandbox_arguments(options: DemoOptions) -> list[str]:
    found = ["sandbox", "exchange", "--directory", "exchange", "--seed", str(options.seed)]
    if options.history is not None:
        found += ["--data", str(options.history.resolve())]
        found += ["--window", options.window] if options.window is not None else []
    elif options.days is not None:
        found += ["--days", str(options.days)]
    return found


def _configure(directory: Path, options: DemoOptions, stack: AsyncExitStack) -> LoadedSettings:
    """Writes ``daemon.yaml`` with paths relative to the demo's directory, so that equal demos have equal settings."""
    socket = "control.sock"
    if len(os.fsencode(directory / "book" / socket)) > SOCKET_PATH_BYTES_MAX:
        socket = f"{stack.enter_context(tempfile.TemporaryDirectory(prefix='basis-'))}/{socket}"
    changes = {
        "mode": "sandbox",
        "data_dir": "book",
        "control.socket": socket,
        "sandbox.ready_file": "exchange/ready.json",
    }
    file = directory / "daemon.yaml"
    file.write_text(written_over(options.config, changes | _chosen(options)), encoding="utf-8")
    (directory / "book").mkdir(exist_ok=True)
    return load_settings(file, {"BASIS_DAEMON__DATA_DIR": str(directory / "book")})


def _chosen(options: DemoOptions) -> dict[str, str]:
    """The strategies that are played and the venues that they weigh are switched on, all others off."""
    settings = load_settings(options.config, {}, with_secrets=False).settings
    if unknown := [name for name in options.strategies if name not in settings.strategies]:
        known = ", ".join(sorted(settings.strategies))
        raise DemoFailedError(f"strategy {unknown[0]!r} is not in {options.config}: it holds {known}")
    venues = {venue.name for name in options.strategies for venue in strategy_parameters(settings, name).venues}
    switches = {f"strategies.{name}.enabled": name in options.strategies for name in settings.strategies}
    switches |= {f"venues.{name}.enabled": name in venues for name in settings.venues}
    return {key: str(is_on).lower() for key, is_on in switches.items()}


def _sub_accounts(settings: Settings) -> list[str]:
    """Arguments that open an account at the sandbox for every venue that is not its main one."""
    names = [venue.accounts.spot for venue in settings.enabled_venues.values() if sub_account_of(venue)]
    return [word for name in names for word in ("--account", name)]


async def _are_watching(operator: LocalClient, strategies: tuple[str, ...]) -> bool:
    """True once the daemon is armed and every strategy has decided something on the prices of the held market."""
    try:
        status = await operator.get("/status")
    except (NotListeningError, ControlRefusedError):
        return False
    return bool(status["live"].get("phase") == ARMED and len(status["strategies"]) == len(strategies))


async def _is_whole(operator: LocalClient) -> bool:
    """True once nothing is in doubt, no break is open."""
    try:
        status = await operator.get("/status")
    except (NotListeningError, ControlRefusedError):
        return False
    return not (status["in_doubt"] or status["breaks"])


async def _player(stage: _Stage) -> FaultPlayer:
    """Plays the faults that were asked for against every strategy, at the prices of the held market."""
    options = stage.options
    found: tuple[Injection, ...] = ()
    if options.faults is not None:
        found = schedule(options.faults, options.seed, await _targets(stage))
    return FaultPlayer(found, stage.exchange, stage.operator)


async def _targets(stage: _Stage) -> list[Target]:
    """What every strategy trades at the venues that it weighs."""
    settings, found = stage.settings.settings, []
    books = await stage.exchange.get("/books")
    for strategy in make_strategies(settings):
        symbol = f"{strategy.parameters.asset}{QUOTE}"
        for venue in strategy.parameters.venues:
            account = sandbox_credentials(settings.venues[venue.name])[0]
            mark = Decimal(books["accounts"][account]["marks"][symbol])
            found.append(Target.at_price(account, symbol, mark))
    return found


async def _let_time_run(stage: _Stage, spectator: Spectator) -> None:
    """Until the market is over, or ``days`` of it are; raises DemoFailedError when it stands still."""
    spectator.say("market time runs")
    player = await _player(stage)
    await player.play(0.0)
    await stage.exchange.post("/clock", {"resume": True})
    book: Json = {}
    moved_ns = looked_ns = stage.clock.monotonic_ns()
    before = 0
    while True:
        clock = await stage.exchange.get("/status")
        stage.sandbox.check()
        stage.daemon.check()
        now_ns = stage.clock.monotonic_ns()
        if now_ns - looked_ns > LOOK_AT_BOOK_S * 1_000_000_000:
            book, looked_ns = await stage.operator.get("/status"), now_ns
        spectator.see(Moment(clock, book))
        await player.play(clock["days_done"] / (stage.options.days or clock["days"]))
        if clock["done"] or (stage.options.days is not None and clock["days_done"] >= stage.options.days):
            await stage.exchange.post("/clock", {"hold": True})
            return
        if clock["market_ms"] > before:
            before, moved_ns = clock["market_ms"], now_ns
        elif now_ns - moved_ns > STANDSTILL_S * 1_000_000_000:
            raise DemoFailedError(
                f"market time stands at {clock['market_time']} for {STANDSTILL_S:g} s\n{stage.daemon.tail()}\n"
                f"{stage.sandbox.tail()}"
            )
        await stage.clock.sleep(LOOK_S)


def _judge(stage: _Stage, clock: Json, books: Json, exit_code: int) -> tuple[BookView, Outcome]:
    settings, options = stage.settings.settings, stage.options
    with JournalReader.open(settings.journal_file) as journal:
        journal.verify()
        view = BookView().fold(journal.rows())
    facts = RunFacts(
        strategy=",".join(options.strategies),
        seed=options.seed if options.history is None else None,
        window=options.window,
        history=options.history is not None,
        clock=clock,
        daemon_exit_code=exit_code,
        accounts={
            sandbox_credentials(venue)[0]: {"spot": venue.accounts.spot, "usdm": venue.accounts.derivatives}
            for venue in settings.enabled_venues.values()
        },
        report=str(options.report) if options.report is not None else None,
    )
    return view, judge(view, books, facts)
