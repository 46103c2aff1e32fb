"""A demo on the sandbox chain: its time is moved step by step, and a story happens on the way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from basis_daemon.demo.chain_outcome import ChainFacts, Loan, judge_chain, transactions_of
from basis_daemon.demo.chain_report import CHAIN
from basis_daemon.demo.chain_story import Scene, Story, story_of
from basis_daemon.demo.processes import DemoFailedError
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
    switches,
)
from basis_daemon.domain.errors import ConfigError
from basis_daemon.engine.state import EPOCH
from basis_daemon.journal.reader import JournalReader
from basis_daemon.settings import LoadedSettings, Settings, load_settings, strategy_parameters
from basis_daemon.strategies.onchain_parameters import LeveragedParameters

Json = dict[str, Any]
READY_FILE = "chain/ready.json"
BUILD_S = 900.0
"""The first start on a machine installs and compiles; that takes minutes where the network or the machine is slow."""
REACTION = timedelta(minutes=1)
"""Market time between something that happens and the next look."""
CATCH_UP_S, LOOK_S, LOOK_MAX_S = 60.0, 0.01, 0.1
"""For the daemon to catch up; between the first two looks at it, and, doubled each time, between the last two."""
SECOND = timedelta(seconds=1)
OVERTIME = timedelta(hours=12)
"""Market time beyond the end in which what is under way may arrive."""
BEHIND_STEPS_MAX = 3
"""How old the newest valuation may be: they are hourly, and take time that a day of seconds does not have."""


def story_for(options: DemoOptions, settings: Settings) -> Story:
    """What would be played. Raises ConfigError for what only the sandbox exchange has, and for too few days."""
    if options.faults is not None:
        raise ConfigError("--faults are those of the sandbox exchange: a strategy on the chain is played without")
    if options.history is not None:
        raise ConfigError("--history is of exchanges: what happens on the sandbox chain is the strategy's story")
    if len(options.strategies) > 1:
        names = ", ".join(options.strategies)
        raise ConfigError(f"{names} live on the chain, and a wallet belongs to one strategy: play them one by one")
    story = story_of(settings.strategies[options.strategies[0]].kind)
    if (options.days or story.days) < story.days_min:
        raise ConfigError(f"--days {options.days}, expected at least {story.days_min}: it enters only after some days")
    return story


async def perform(config: Path, directory: Path, options: DemoOptions, spectator: Spectator) -> Played:
    """Until the days are over. Raises DemoFailedError when it could not be played to its end."""
    story = story_for(options, load_settings(config, {}, with_secrets=False).settings)
    configure = partial(_configure, config, directory, options)
    async with staged(options, directory, spectator, configure, partial(_sandbox, options, story)) as stage:
        film = Film(stage, story, spectator)
        await film.run()
        spectator.say("the days are over: the daemon drains")
        exit_code = await stage.daemon.stop(STOP_S)
        books = await stage.control.get("/books")
    spectator.say("reading the journal")
    return _judge(stage, film, books, exit_code)


def _configure(config: Path, directory: Path, options: DemoOptions, changes: Mapping[str, str]) -> LoadedSettings:
    settings = load_settings(config, {}, with_secrets=False).settings
    chosen = switches(settings, options.strategies)
    return configured(config, directory, {"sandbox.chain_ready_file": READY_FILE, **changes, **chosen})


def _sandbox(options: DemoOptions, story: Story, settings: Settings) -> tuple[Counterparty]:
    del settings
    return (chain_of(options, story),)


def chain_of(options: DemoOptions, story: Story) -> Counterparty:
    """A sandbox chain on which every transaction gets its block at once, with what the story begins with."""
    arguments = ["sandbox", "chain", "--json", "--directory", "chain", "--seed", str(options.seed), "--block-time", "0"]
    arguments += [word for symbol, amount in story.funds.items() for word in ("--fund", f"{symbol}={amount}")]
    return Counterparty("chain", tuple(arguments), READY_FILE, {}, story.setup, BUILD_S, is_talkative=True)


class Film:
    """The running demo: market time, what happened when, and what the chain said of the debt at every look."""

    reaction = REACTION

    def __init__(self, stage: Stage, story: Story, spectator: Spectator) -> None:
        self._stage, self._spectator = stage, spectator
        self._waiting, self._daily = list(story.scenes), story.daily
        self._days = stage.options.days or story.days
        self._day = 0
        self._step = story.step
        self._began_ns = 0
        self._is_busy = False
        self.told: list[Json] = []
        self.start = self.now = EPOCH
        self.loans: list[Loan] = []
        self.seconds = 0.0

    @property
    def stage(self) -> Stage:
        """Where it is played."""
        return self._stage

    @property
    def clock(self) -> Json:
        """Market time as a spectator and the judgement take it."""
        gone = self.now - self.start
        return {
            "start": self.start.isoformat(),
            "market_time": self.now.isoformat(),
            "days": self._days,
            "days_done": gone / timedelta(days=1),
            "done": gone >= timedelta(days=self._days),
            "effective_speed": f"{gone / SECOND / self.seconds:.1f}" if self.seconds else "0",
        }

    async def run(self) -> None:
        """All the days. Raises DemoFailedError when the daemon does not keep up."""
        self._spectator.say("market time runs")
        self._began_ns = self._stage.clock.monotonic_ns()
        self.start = self.now = await self._head_time()
        end = self.start + timedelta(days=self._days)
        step = self.reaction
        while self.now < end or (self._is_busy and self.now < end + OVERTIME):
            step = step if self.now >= end else min(step, end - self.now)
            await self._live_daily()
            await self._catch_up(await self._move(max(int(step / SECOND), 1)))
            step = self.reaction if await self._play_what_is_due() or self._is_busy else self._quiet_step()
        self.seconds = (self._stage.clock.monotonic_ns() - self._began_ns) / 1_000_000_000

    def _quiet_step(self) -> timedelta:
        """While nothing happens."""
        return self._step

    async def _move(self, seconds: int) -> datetime:
        """Market time goes on; what it is then."""
        mined = await self._stage.control.post("/time", {"advance_s": seconds})
        return datetime.fromisoformat(mined["time"])

    async def _live_daily(self) -> None:
        """What every day brings, once a day."""
        if (self.now - self.start).days > self._day:
            self._day = (self.now - self.start).days
            for action, body in self._daily:
                await self._stage.houses["chain"].control.post(f"/{action}", body)

    async def _play_what_is_due(self) -> bool:
        """True when something happened."""
        gone = Decimal(str((self.now - self.start) / timedelta(days=self._days)))
        due = [scene for scene in self._waiting if scene.at <= gone]
        for scene in due:
            await self._play(scene)
        self._waiting = self._waiting[len(due) :]
        return bool(due)

    async def _play(self, scene: Scene) -> None:
        await self._stage.houses[scene.house].control.post(f"/{scene.action}", scene.body)
        at = await self._head_time()
        self.told.append({"time": at.isoformat(), "action": scene.action, **scene.body, "says": scene.says})
        self._spectator.say(f"{at:%e %b %H:%M}  {scene.says}")

    async def _head_time(self) -> datetime:
        """Of the newest block; what the chain says of the debt then is noted."""
        status = await self._stage.houses["chain"].control.get("/status")
        at = datetime.fromisoformat(status["time"])
        if status["health_factor"] is not None:
            self.loans.append(Loan(at, Decimal(status["health_factor"]), Decimal(status["loan_to_value"])))
        return at

    def _is_caught_up(self, book: Json, until: datetime) -> bool:
        """True once it has decided on what was last, values in time, and has nothing in flight."""
        has_decided = all(datetime.fromisoformat(row["time"]) >= until for row in book["strategies"])
        is_at_rest = not (book["plans_running"] or book["in_doubt"])
        return is_at_rest and has_decided and self._has_valued(book, until)

    def _has_valued(self, book: Json, until: datetime) -> bool:
        """True when every strategy has been valued in time."""
        valued = [row["valued_at"] for row in book["strategies"]]
        since = until - BEHIND_STEPS_MAX * self._step
        return all(at is not None and datetime.fromisoformat(at) >= since for at in valued)

    async def _catch_up(self, until: datetime) -> None:
        """Return once the daemon has decided on this block, values in time, and has nothing in flight."""
        stage, pause_s = self._stage, LOOK_S
        give_up_ns = stage.clock.monotonic_ns() + int(CATCH_UP_S * 1_000_000_000)
        while True:
            stage.check()
            book = await stage.operator.get("/status")
            if self._is_caught_up(book, until):
                break
            if stage.clock.monotonic_ns() > give_up_ns:
                raise DemoFailedError(
                    f"the daemon has not caught up with {until.isoformat()} after {CATCH_UP_S:g} s: it stands at "
                    f"{book['market_time']}, plans {book['plans_running']}, in doubt {book['in_doubt']}\n"
                    f"{stage.daemon.tail()}"
                )
            await stage.clock.sleep(pause_s)
            pause_s = min(pause_s * 2, LOOK_MAX_S)
        self._is_busy = bool(book["plans_running"])
        self.now = await self._head_time()
        self._spectator.see(Moment(self.clock, book))


def _judge(stage: Stage, film: Film, books: Json, exit_code: int) -> Played:
    file, options = stage.settings.settings.journal_file, stage.options
    view = book_of(file)
    facts = ChainFacts(
        strategy=options.strategies[0],
        seed=options.seed,
        clock=film.clock,
        daemon_exit_code=exit_code,
        story=tuple(film.told),
        loans=tuple(film.loans),
        health_factor_floor=floor_of(stage.settings.settings, options.strategies[0]),
        report=str(options.report) if options.report is not None else None,
    )
    with JournalReader.open(file) as journal:
        signed = transactions_of(journal.rows())
    return Played(judge_chain(view, signed, books, facts), view, file, CHAIN)


def floor_of(settings: Settings, strategy: str) -> Decimal | None:
    """Below it nothing may ever stand; None for a strategy that borrows nothing."""
    parameters = strategy_parameters(settings, strategy)
    return parameters.hf_emergency if isinstance(parameters, LeveragedParameters) else None
