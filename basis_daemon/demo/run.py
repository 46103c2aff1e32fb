"""Plays a demo in a directory of its own, where its strategies live: the sandbox's exchange, its chain, or both."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

from basis_daemon.demo import chain, exchange, linked
from basis_daemon.demo.configuration import SANDBOX_CHAIN_CONFIG, SANDBOX_CONFIG, SANDBOX_HEDGE_CONFIG
from basis_daemon.demo.processes import DemoFailedError
from basis_daemon.demo.report import write_report
from basis_daemon.demo.stage import DemoOptions, Played, Spectator
from basis_daemon.domain.errors import BasisError, ConfigError
from basis_daemon.engine.judgement import Outcome
from basis_daemon.journal.reader import JournalReader
from basis_daemon.settings import Settings, lives_on_chain, load_settings, trades_at_exchanges

Perform = Callable[[Path, Path, DemoOptions, Spectator], Awaitable[Played]]


async def play(options: DemoOptions, spectator: Spectator) -> Outcome:
    """The judged outcome, with its report written.

    Raises ConfigError for what cannot be played, DemoFailedError when it could not be played to its end.
    """
    config, perform = house_of(options)
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await _play(config, perform, options, spectator)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def house_of(options: DemoOptions) -> tuple[Path, Perform]:
    """The configuration of a demo, and who performs it. Raises ConfigError."""
    known = {file: _settings(file) for file in _configs(options)}
    homes = {name: _home_of(name, known) for name in options.strategies}
    at_exchanges = [name for name, file in homes.items() if not lives_on_chain(known[file], name)]
    on_chain = [name for name in homes if name not in at_exchanges]
    if at_exchanges and on_chain:
        raise ConfigError(
            f"{at_exchanges[0]} trades at exchanges and {on_chain[0]} on the chain, expected strategies of one of the "
            "two: play them in two demos"
        )
    config = homes[options.strategies[0]]
    if not on_chain:
        return config, exchange.perform
    chain.story_for(options, known[config])
    is_linked = any(trades_at_exchanges(known[homes[name]], name) for name in on_chain)
    return config, linked.perform if is_linked else chain.perform


def _configs(options: DemoOptions) -> tuple[Path, ...]:
    return (SANDBOX_CONFIG, SANDBOX_CHAIN_CONFIG, SANDBOX_HEDGE_CONFIG) if options.config is None else (options.config,)


def _settings(file: Path) -> Settings:
    return load_settings(file, {}, with_secrets=False).settings


def _home_of(name: str, known: Mapping[Path, Settings]) -> Path:
    found = next((file for file, settings in known.items() if name in settings.strategies), None)
    if found is None:
        held = [f"{file}: it holds {', '.join(sorted(settings.strategies))}" for file, settings in known.items()]
        raise ConfigError(f"strategy {name!r} is not in {'; nor in '.join(held)}")
    return found


async def _play(config: Path, perform: Perform, options: DemoOptions, spectator: Spectator) -> Outcome:
    is_kept = options.keep is not None
    directory = (options.keep or Path(tempfile.mkdtemp(prefix="basis-demo-"))).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise DemoFailedError(
            f"{directory} is not empty, and a demo starts a book of its own: --keep an empty directory"
        )
    try:
        played = await perform(config, directory, options, spectator)
        _draw(played, options, spectator)
        is_kept = is_kept or not played.outcome.is_good
    except (BasisError, OSError) as error:
        is_kept = True
        raise DemoFailedError(f"{error}\neverything about this run is in {directory}") from error
    finally:
        if not is_kept:
            shutil.rmtree(directory, ignore_errors=True)
    return replace(played.outcome, directory=str(directory)) if is_kept else played.outcome


def _draw(played: Played, options: DemoOptions, spectator: Spectator) -> None:
    if options.report is not None:
        spectator.say(f"drawing {options.report}")
        with JournalReader.open(played.journal_file) as journal:
            write_report(options.report, played.outcome, played.view, journal.rows(), played.look)
