"""A demo at the sandbox exchange and on the sandbox chain at once: one market time, coin goes from one to the other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from basis_daemon.demo import chain
from basis_daemon.demo.chain import Film, floor_of
from basis_daemon.demo.chain_outcome import ChainFacts, transactions_of
from basis_daemon.demo.chain_story import Story
from basis_daemon.demo.linked_outcome import Books, judge_linked
from basis_daemon.demo.linked_report import LINKED
from basis_daemon.demo.stage import (
    STOP_S,
    Counterparty,
    DemoOptions,
    Played,
    Spectator,
    Stage,
    book_of,
    configured,
    staged,
    switches,
)
from basis_daemon.journal.reader import JournalReader
from basis_daemon.settings import LoadedSettings, Settings, load_settings, strategy_parameters, weighed
from basis_daemon.strategies.onchain_parameters import LeveragedParameters
from basis_daemon.strategies.overlay_parameters import OverlayParameters
from basis_daemon.wiring_exchanges import sandbox_credentials

Json = dict[str, Any]
READY_FILE = "exchange/ready.json"
SPARE_DAYS = 1
"""The market lasts longer than the story: what is under way at its end may arrive."""
REACTION = timedelta(seconds=15)
"""Between two looks while something happens: the time between two decisions."""


async def perform(config: Path, directory: Path, options: DemoOptions, spectator: Spectator) -> Played:
    """Until the days are over. Raises DemoFailedError when it could not be played to its end."""
    story = chain.story_for(options, load_settings(config, {}, with_secrets=False).settings)
    configured_by = partial(configure, config, directory, options)
    async with staged(options, directory, spectator, configured_by, partial(sandboxes, options, story)) as stage:
        film = LinkedFilm(stage, story, spectator)
        film.may_owe = _may_owe(stage.settings.settings, options.strategies[0])
        await film.run()
        spectator.say("the days are over: the daemon drains")
        exit_code = await stage.daemon.stop(STOP_S)
        books = await told(stage)
    spectator.say("reading the journal")
    return judge(stage, film, books, exit_code)


def _may_owe(settings: Settings, name: str) -> bool:
    return isinstance(strategy_parameters(settings, name), LeveragedParameters | OverlayParameters)


def configure(config: Path, directory: Path, options: DemoOptions, changes: Mapping[str, str]) -> LoadedSettings:
    """Both ready files, and the deposit address that an exchange of this seed shows."""
    settings = load_settings(config, {}, with_secrets=False).settings
    venues = {venue.name for name in options.strategies for venue in weighed(settings, name)}
    ready = {"sandbox.ready_file": READY_FILE, "sandbox.chain_ready_file": chain.READY_FILE}
    addresses = {
        f"transfers.venues.{name}.deposit_address": f'"{_address(settings, name, options.seed)}"' for name in venues
    }
    return configured(
        config, directory, {**ready, **addresses, **changes, **switches(settings, options.strategies, venues)}
    )


def _address(settings: Settings, venue: str, seed: int) -> str:
    from basis_daemon.sandbox.exchange.chain_link import deposit_key  # noqa: PLC0415 - keys take a second to load

    return str(deposit_key(seed, sandbox_credentials(settings.venues[venue])[0]).address)


def sandboxes(options: DemoOptions, story: Story, settings: Settings) -> tuple[Counterparty, ...]:
    """The chain first: the exchange pays out over it."""
    del settings
    days = (options.days or story.days) + SPARE_DAYS
    words = [
        "--directory",
        "exchange",
        "--seed",
        str(options.seed),
        "--days",
        str(days),
        "--step",
        str(int(story.step.total_seconds())),
    ]
    words += ["--chain", chain.READY_FILE]
    first: dict[str, Mapping[str, object]] = {"/clock": {"hold": True}}
    if story.at_exchange:
        first["/conditions"] = {"balances": story.at_exchange}
    exchange = Counterparty("exchange", ("sandbox", "exchange", *words), READY_FILE, first)
    return chain.chain_of(options, story), exchange


class LinkedFilm(Film):
    """Market time is the exchange's, and the chain's follows; a transfer may take longer than a step."""

    reaction = REACTION
    may_owe = False

    def _quiet_step(self) -> timedelta:
        """To the exchange's next frame: what is decided on one is done before the next."""
        return self._step - (self.now - self.start) % self._step

    async def _move(self, seconds: int) -> datetime:
        """After a frame that nothing answers to, a block of its own: whatever is confirmed by the hour reads each."""
        at = _time_of(await self._stage.control.post("/clock", {"advance_s": seconds}))
        if seconds <= REACTION.total_seconds():
            return at
        await self._catch_up(at)
        if self._is_busy:
            return at
        await self._reach(at + REACTION)
        return at + REACTION

    async def _head_time(self) -> datetime:
        if self.may_owe:
            await super()._head_time()
        return _time_of(await self._stage.control.get("/status"))

    async def _reach(self, at: datetime) -> None:
        """The chain's time; asked again when the exchange set a block in between."""
        chain_time, mined = self._stage.houses["chain"].control, self.start
        while mined < at:
            mined = datetime.fromisoformat((await chain_time.post("/time", {"reach_s": int(at.timestamp())}))["time"])

    def _is_caught_up(self, book: Json, until: datetime) -> bool:
        """True once it has decided on what was last; while a plan runs, its money may be under way for long.

        Blocks may be seconds ahead of the exchange: then nothing is due yet.
        """
        has_decided = all(datetime.fromisoformat(row["time"]) > until - REACTION for row in book["strategies"])
        return has_decided and (bool(book["plans_running"]) or self._has_valued(book, until))


def _time_of(status: Json) -> datetime:
    return datetime.fromisoformat(status["market_time"])


async def told(stage: Stage) -> Books:
    """What both sandboxes say at the end."""
    return Books(*[await stage.houses[name].control.get("/books") for name in ("exchange", "chain")])


def judge(stage: Stage, film: Film, books: Books, exit_code: int) -> Played:
    """The book of the stage's journal against both."""
    settings, options = stage.settings.settings, stage.options
    view = book_of(settings.journal_file)
    facts = ChainFacts(
        strategy=options.strategies[0],
        seed=options.seed,
        clock=film.clock,
        daemon_exit_code=exit_code,
        story=tuple(film.told),
        loans=tuple(film.loans),
        health_factor_floor=floor_of(settings, options.strategies[0]),
        report=str(options.report) if options.report is not None else None,
    )
    accounts = {
        sandbox_credentials(venue)[0]: {"spot": venue.accounts.spot, "usdm": venue.accounts.derivatives}
        for venue in settings.enabled_venues.values()
    }
    with JournalReader.open(settings.journal_file) as journal:
        signed = transactions_of(journal.rows())
    return Played(judge_linked(view, signed, books, facts, accounts), view, settings.journal_file, LINKED)
