"""A demo at the sandbox exchange: the whole market runs by itself, faults fall where a schedule says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from basis_daemon.demo.exchange_report import EXCHANGE
from basis_daemon.demo.faults import FaultPlayer, Injection, Target, schedule
from basis_daemon.demo.outcome import RunFacts, judge
from basis_daemon.demo.processes import DemoFailedError
from basis_daemon.demo.signals import words
from basis_daemon.demo.stage import (
    STOP_S,
    Counterparty,
    DemoOptions,
    Moment,
    Played,
    Spectator,
    Stage,
    book_of,
    configured,
    staged,
    status_of,
    switches,
)
from basis_daemon.domain.errors import ConfigError
from basis_daemon.engine.book_view import QUOTE
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.settings import LoadedSettings, Settings, load_settings, make_strategies, strategy_parameters, weighed
from basis_daemon.strategies.ml_parameters import DirectionalParameters
from basis_daemon.web.client import LocalClient
from basis_daemon.wiring_exchanges import is_inverse, sandbox_credentials, sub_account_of

Json = dict[str, Any]
STANDSTILL_S, HEAL_S = 60.0, 90.0
LOOK_S, LOOK_AT_BOOK_S = 0.1, 1.0
READY_FILE = "exchange/ready.json"
GENERATED_DAYS = 10
STEP_OF_BARS_S = 20
"""Market seconds per jump for who trades on bars of minutes: a stop is a matter of seconds, and so is a request."""


async def perform(config: Path, directory: Path, options: DemoOptions, spectator: Spectator) -> Played:
    """Until the market is over. Raises DemoFailedError when it could not be played to its end."""
    if options.history is None and options.days is None:
        options = replace(options, days=GENERATED_DAYS)
    configure = partial(_configure, config, directory, options)
    async with staged(options, directory, spectator, configure, partial(_sandbox, options)) as stage:
        await _let_time_run(stage, spectator)
        if options.faults is not None:
            spectator.say("the market is over: the book becomes whole again")
            await stage.daemon.until("whole again", lambda: _is_whole(stage.operator), HEAL_S)
        spectator.say("the market is over: the daemon drains")
        clock = await stage.control.get("/status")
        exit_code = await stage.daemon.stop(STOP_S)
        books = await stage.control.get("/books")
    spectator.say("reading the journal")
    return _judge(stage, clock, books, exit_code)


def _configure(config: Path, directory: Path, options: DemoOptions, changes: Mapping[str, str]) -> LoadedSettings:
    settings = load_settings(config, {}, with_secrets=False).settings
    venues = {venue.name for name in options.strategies for venue in weighed(settings, name)}
    chosen = switches(settings, options.strategies, venues) | _voices(settings, options, directory)
    return configured(config, directory, {"sandbox.ready_file": READY_FILE, **changes, **chosen})


def _voices(settings: Settings, options: DemoOptions, directory: Path) -> dict[str, str]:
    """Where the words of every strategy that listens are read: the file that was named, or one of the seed."""
    listening = [name for name in options.strategies if _is_recorded(settings, name)]
    if options.signals is not None and not listening:
        raise ConfigError(f"--signals {options.signals}: none of {', '.join(options.strategies)} reads recorded words")
    found = {}
    for name in listening:
        file = directory / f"signals_{name}.jsonl" if options.signals is None else options.signals.resolve()
        parameters = strategy_parameters(settings, name)
        if options.signals is None and isinstance(parameters, DirectionalParameters):
            file.write_text(words(options.seed, parameters, *_begin_and_end(options, directory)), encoding="utf-8")
        found[f"signals.{name}.file"] = str(file)
    return found


def _is_recorded(settings: Settings, name: str) -> bool:
    return name in settings.signals and settings.signals[name].source == "file"


def _begin_and_end(options: DemoOptions, directory: Path) -> tuple[datetime, datetime]:
    """Of the market that will be played."""
    days = options.days or GENERATED_DAYS
    path = ExchangeOptions(directory, seed=options.seed, days=days, data=options.history, window=options.window).path()
    begin, end = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (path.start_ms, path.end_ms))
    return begin, min(end, begin + timedelta(days=days)) if options.days is not None else end


def _sandbox(options: DemoOptions, settings: Settings) -> tuple[Counterparty]:
    arguments = [*_sandbox_arguments(options), *_sub_accounts(settings)]
    if any(name in settings.signals for name in options.strategies):
        arguments += ["--step", str(STEP_OF_BARS_S)]
    return (Counterparty("exchange", tuple(arguments), READY_FILE, {"/clock": {"hold": True}}),)


def _sandbox_arguments(options: DemoOptions) -> list[str]:
    found = ["sandbox", "exchange", "--directory", "exchange", "--seed", str(options.seed)]
    if options.history is not None:
        found += ["--data", str(options.history.resolve())]
        found += ["--window", options.window] if options.window is not None else []
    elif options.days is not None:
        found += ["--days", str(options.days)]
    return found


def _sub_accounts(settings: Settings) -> list[str]:
    """Arguments that open an account at the sandbox for every venue that is not its main one."""
    cash = {wallet.venue for strategy in make_strategies(settings) for wallet in strategy.charter.cash}
    found = []
    for venue in settings.enabled_venues.values():
        if sub_account_of(venue):
            is_margined = venue.accounts.derivatives in cash and venue.accounts.spot not in cash
            margined = "--coin-margined" if is_inverse(venue) else "--margined"
            found += [margined if is_margined else "--account", venue.accounts.spot]
    return found


async def _is_whole(operator: LocalClient) -> bool:
    """True once nothing is in doubt, no break is open."""
    status = await status_of(operator)
    return status is not None and not (status["in_doubt"] or status["breaks"])


async def _player(stage: Stage) -> FaultPlayer:
    """Plays the faults that were asked for against every strategy, at the prices of the held market."""
    options = stage.options
    found: tuple[Injection, ...] = ()
    if options.faults is not None:
        found = schedule(options.faults, options.seed, await _targets(stage))
    return FaultPlayer(found, stage.control, stage.operator)


async def _targets(stage: Stage) -> list[Target]:
    """What every strategy trades at the venues that it weighs."""
    settings, found = stage.settings.settings, []
    books = await stage.control.get("/books")
    for strategy in make_strategies(settings):
        for venue, assets in strategy.charter.traded_at.items():
            account = sandbox_credentials(settings.venues[venue])[0]
            for symbol in (f"{asset}{QUOTE}" for asset in sorted(assets)):
                mark = Decimal(books["accounts"][account]["marks"][symbol])
                found.append(Target.at_price(account, symbol, mark))
    return found


async def _let_time_run(stage: Stage, spectator: Spectator) -> None:
    """Until the market is over, or ``days`` of it are; raises DemoFailedError when it stands still."""
    spectator.say("market time runs")
    player = await _player(stage)
    await player.play(0.0)
    await stage.control.post("/clock", {"resume": True})
    book: Json = {}
    moved_ns = looked_ns = stage.clock.monotonic_ns()
    before = 0
    while True:
        clock = await stage.control.get("/status")
        stage.check()
        now_ns = stage.clock.monotonic_ns()
        if now_ns - looked_ns > LOOK_AT_BOOK_S * 1_000_000_000:
            book, looked_ns = await stage.operator.get("/status"), now_ns
        spectator.see(Moment(clock, book))
        await player.play(clock["days_done"] / (stage.options.days or clock["days"]))
        if clock["done"] or (stage.options.days is not None and clock["days_done"] >= stage.options.days):
            await stage.control.post("/clock", {"hold": True})
            return
        if clock["market_ms"] > before:
            before, moved_ns = clock["market_ms"], now_ns
        elif now_ns - moved_ns > STANDSTILL_S * 1_000_000_000:
            raise DemoFailedError(
                f"market time stands at {clock['market_time']} for {STANDSTILL_S:g} s\n{stage.daemon.tail()}\n"
                f"{stage.houses['exchange'].child.tail()}"
            )
        await stage.clock.sleep(LOOK_S)


def _judge(stage: Stage, clock: Json, books: Json, exit_code: int) -> Played:
    settings, options = stage.settings.settings, stage.options
    view = book_of(settings.journal_file)
    facts = RunFacts(
        strategy=",".join(options.strategies),
        seed=options.seed if options.history is None else None,
        window=options.window,
        history=options.history is not None,
        clock=clock,
        daemon_exit_code=exit_code,
        accounts={
            sandbox_credentials(venue)[0]: {
                "spot": venue.accounts.spot,
                "coinm" if is_inverse(venue) else "usdm": venue.accounts.derivatives,
            }
            for venue in settings.enabled_venues.values()
        },
        report=str(options.report) if options.report is not None else None,
    )
    return Played(judge(view, books, facts), view, settings.journal_file, EXCHANGE)
