"""A hedge entered over an exchange and a chain, the daemon killed between its steps: it goes on where it was, once."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from basis_daemon.demo import linked
from basis_daemon.demo.chain_story import HEDGE
from basis_daemon.demo.configuration import SANDBOX_HEDGE_CONFIG, written_over
from basis_daemon.demo.linked import LinkedFilm
from basis_daemon.demo.processes import Child, DemoFailedError
from basis_daemon.demo.stage import DemoOptions, Moment, Played, Stage, staged, status_of
from basis_daemon.sandbox.chain.world import Prepared
from basis_daemon.web.client import ControlRefusedError, NotListeningError
from tests.process.nursery import born

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]

WAIT_S = 60.0
STRATEGY = "usdt_market_neutral_no_leverage"
DEATHS = (
    "between_legs:2",
    "transfer_submitting:1",
    "transfer_left:1",
    "after_send:1",
    "tx_journalled:1",
    "tx_broadcast:1",
)
"""A clip bought and not yet hedged; a withdrawal asked for, or not; ether gone from there; a stake signed, sent."""
STORY = replace(HEDGE, scenes=())
SOON_S, SECOND = 5.0, timedelta(seconds=1)
DAYS = 5
"""Of the market of a whole story: the entry is on the fifth."""


class Silence:
    """Nobody watches."""

    def say(self, what: str) -> None:
        del what

    def see(self, moment: Moment) -> None:
        del moment


class MortalFilm(LinkedFilm):
    """A daemon that is killed at each point in its turn, and is followed by another on the same journal."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage, STORY, Silence())
        self._days = DAYS
        self.deaths: list[str] = []

    @property
    def daemon(self) -> Child:
        """The one that lives now."""
        return self._stage.daemon

    async def _catch_up(self, until: datetime) -> None:
        """What was said of an instant may have been said to the dead: to the next life a later one is told."""
        while True:
            try:
                return await super()._catch_up(until)
            except (DemoFailedError, NotListeningError, ControlRefusedError):
                while await self._has_died() and not await self._lives_again():
                    pass
                until = await self._move(int(self.reaction / SECOND))

    async def _has_died(self) -> bool:
        """False for one that was only slow to answer."""
        try:
            await self.daemon.ended(SOON_S)
        except DemoFailedError:
            return False
        return True

    async def _lives_again(self) -> bool:
        """The next life; False when it has died, too, before it was armed."""
        assert await self.daemon.ended(WAIT_S) == -signal.SIGKILL, self.daemon.tail()
        self.deaths.append(DEATHS[len(self.deaths)])
        stage = self._stage
        configure(stage.directory, self.deaths)
        words = ("run", "--config", "daemon.yaml", "--arm")
        daemon = born(f"daemon{len(self.deaths)}", words, stage.directory)
        self._stage = replace(stage, daemon=daemon)

        async def is_armed() -> bool:
            said = await status_of(stage.operator)
            return said is not None and bool(said["live"].get("phase") == "armed")

        try:
            await daemon.until("armed", is_armed, WAIT_S)
        except DemoFailedError:
            return False
        return True


def configure(directory: Path, deaths: list[str]) -> None:
    """The next daemon dies at the next point, the last one lives."""
    file = directory / "daemon.yaml"
    point = DEATHS[len(deaths)] if len(deaths) < len(DEATHS) else "null"
    file.write_text(written_over(file, {"sandbox.kill_at": point}), encoding="utf-8")


@asynccontextmanager
async def film(directory: Path, options: DemoOptions) -> AsyncIterator[MortalFilm]:
    configured = partial(linked.configure, SANDBOX_HEDGE_CONFIG, directory, options)
    sandboxes = partial(linked.sandboxes, options, STORY)
    doomed = lambda changes: configured({**changes, "sandbox.kill_at": DEATHS[0]})  # noqa: E731 - one more change
    async with staged(options, directory, Silence(), doomed, sandboxes) as stage:
        made = MortalFilm(stage)
        try:
            yield made
        finally:
            await made.daemon.stop(WAIT_S)


async def played(directory: Path) -> tuple[Played, list[str]]:
    options = DemoOptions(strategies=(STRATEGY,), seed=7, days=None)
    async with film(directory, options) as made:
        await made.run()
        exit_code = await made.daemon.stop(WAIT_S)
        books = await linked.told(made.stage)
        return linked.judge(made.stage, made, books, exit_code), made.deaths


@pytest.mark.feature("A06", part="process")
@pytest.mark.feature("T01", part="saga")
@pytest.mark.feature("T03", part="saga")
async def test_an_entry_over_both_sides_survives_a_death_between_any_two_of_its_steps(
    tmp_path: Path, chain_world: Prepared
) -> None:
    del chain_world  # only that it is built
    run, deaths = await played(tmp_path)
    said = run.outcome.document
    assert deaths == list(DEATHS)
    assert run.outcome.is_good, run.outcome.failed
    assert (said["duplicate_orders"], said["in_doubt"], said["breaks"], said["foreign_orders"]) == (0, 0, 0, 0)
    assert said["orders_sent"] == said["venue_orders"]
    held = {key: Decimal(amount) for key, amount in said["positions"].items()}
    assert held["wallet:lst:weETH"] > 19, "all of it bought and staked, what a death left too"
    assert not [key for key in held if ":transit:" in key]
    assert abs(_delta(run)) < Decimal("0.01"), "hedged"


def _delta(run: Played) -> Decimal:
    """Net ether over equity at the last valuation."""
    last = run.view.latest_of[STRATEGY]
    net = sum(
        (Decimal(q) * Decimal(last["prices"][asset]) for asset, q in last["net_delta"].items()),
        Decimal(0),
    )
    return net / Decimal(last["equity_usdt"])
