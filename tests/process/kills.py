"""SIGKILL at random instants of a trading daemon's life, again and again over one market and one journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median

import orjson

from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.demo.processes import Child
from basis_daemon.engine.judgement import Outcome
from basis_daemon.web.client import ControlRefusedError, LocalClient
from tests.journeys.test_sigkill import WAIT_S, Drill
from tests.process.nursery import Nursery, born

YOUNG_SHARE = 0.65
"""Of all lives end at an instant counted from birth, in recovery mostly, whatever they have come to."""
YOUNG_S, OLD_S = 2.5, 0.8
"""The longest life from birth of the one kind, and from being armed of the other."""
CLIP_USDT = "1000"
"""Small clips: an entry is hundreds of orders, and a kill mostly finds one under way."""
MARKET, DAYS = "1", 400
ODDS = 0.4
"""Of each trouble in a life that has come to trade, and that its end does not wait for an order."""
QUIET_S = 3.0
"""For a later life to trade, which may have nothing to trade."""
STREAMS = ("spot", "usdm", "user")
DEAD_S = 60
"""Market time between two lives: the world goes on, and with it the minute of the venue's request budgets."""
PERP, SPOT = ("usdm", "BTCUSDT"), ("spot", "BTCUSDT")


@dataclass(frozen=True, slots=True)
class Life:
    """One life: seconds from birth until it was seen armed (None: it never was), and what the venue had seen of it."""

    reconciled_s: float | None
    orders: int


class Killing:
    """Lives on one journal, each ended at an instant that ``chance`` names."""

    def __init__(self, drill: Drill, nursery: Nursery, chance: Random) -> None:
        self.drill, self._nursery, self._chance = drill, nursery, chance
        self.lives: list[Life] = []

    async def lives_and_dies(self) -> None:
        """One more life. The first one is let live until it trades, so that there is something to be killed in."""
        drill, chance = self.drill, self._chance
        is_young, share = bool(self.lives) and chance.random() < YOUNG_SHARE, chance.random()
        born_ns = drill.clock.monotonic_ns()
        child = self.birth()
        reconciled_s = None
        if is_young:
            await drill.exchange.post("/clock", {"resume": True})
        else:
            await drill.armed(child)
            reconciled_s = (drill.clock.monotonic_ns() - born_ns) / 1e9
            await drill.exchange.post("/clock", {"resume": True})
            await self._trouble()
            await self._trades(child)
        await drill.clock.sleep(share * (YOUNG_S if is_young else OLD_S))
        child.check()
        child._process.kill()
        await child.ended(WAIT_S)
        await self.buried(reconciled_s)

    async def buried(self, reconciled_s: float | None) -> None:
        """The market goes on without this life, which is counted."""
        await self.drill.exchange.post("/clock", {"hold": True, "advance_s": DEAD_S})
        self.lives.append(Life(reconciled_s, await self.orders()))

    async def _trades(self, child: Child) -> None:
        """Until the venue has an order of this life; some later lives are not waited for."""
        if self.lives and self._chance.random() < ODDS:
            return
        before, give_up_ns = await self.orders(), self.drill.clock.monotonic_ns() + int(QUIET_S * 1e9)

        async def has_traded() -> bool:
            is_over = bool(self.lives) and self.drill.clock.monotonic_ns() > give_up_ns
            return is_over or await self.orders() > before

        await child.until("trading", has_traded, WAIT_S)

    async def _trouble(self) -> None:
        """An answer lost, a stream cut, or somebody else's trade, which the book has to see and to trade back."""
        if self._chance.random() < ODDS:
            await self.drill.exchange.post("/faults", {"kind": "accept_then_drop", "method": "POST", "path": "order"})
        if self._chance.random() < ODDS:
            await self.drill.exchange.post("/faults", {"kind": "close_ws", "path": self._chance.choice(STREAMS)})
        if self._chance.random() < ODDS:
            market, symbol = self._chance.choice((PERP, SPOT))
            side, quantity = self._chance.choice(("buy", "sell")), f"0.{self._chance.randrange(10, 40):03}"
            body = {"kind": "trade", "market": market, "symbol": symbol, "side": side, "quantity": quantity}
            with suppress(ControlRefusedError):  # a hand that holds nothing can sell nothing
                await self.drill.exchange.post("/market", body)

    def birth(self) -> Child:
        """A daemon of this journal, on its way."""
        name = f"daemon{len(self.lives) + 1}"
        return self._nursery.birth(name, ("run", "--config", "kills.yaml", "--arm"), self.drill.directory)

    async def orders(self) -> int:
        """That the venue has seen."""
        (book,) = (await self.drill.exchange.get("/books"))["accounts"].values()
        return sum(len(book["orders"][market]) for market in ("spot", "usdm"))

    async def last(self) -> Outcome:
        """A life that is left in peace for some hours of market, and leaves in order."""
        drill = self.drill
        child = self.birth()
        try:
            await drill.armed(child)
            await drill.run_market_until(child, (await drill.exchange.get("/status"))["days_done"] + 0.3)
            clock = await drill.exchange.get("/status")
        finally:
            code = await child.stop(WAIT_S)
        return drill.outcome(clock, await drill.exchange.get("/books"), code)


@asynccontextmanager
async def killing(
    directory: Path, chance: Random, environ: Mapping[str, str] | None = None, days: int = DAYS, clip: str = CLIP_USDT
) -> AsyncIterator[Killing]:
    """A market that is held, and a nursery whose daemons find ``environ`` around them."""
    arguments = ("sandbox", "exchange", "--directory", "exchange", "--seed", MARKET, "--days", str(days))
    with Nursery(environ) as nursery:
        sandbox = born("sandbox", arguments, directory)
        try:
            ready = directory / "exchange" / "ready.json"

            async def is_ready() -> bool:
                return ready.is_file()

            await sandbox.until("listening", is_ready, WAIT_S)
            changes = {
                "data_dir": str(directory / "book"),
                "sandbox.ready_file": str(ready),
                "strategies.btc_basis.params.clip_usdt": clip,
                "risk.orders_per_minute_max": "600",
                "guard.orders_per_minute_max": "6000",
            }
            (directory / "kills.yaml").write_text(written_over(SANDBOX_CONFIG, changes), encoding="utf-8")
            async with LocalClient.at_port(orjson.loads(ready.read_bytes())["control_port"]) as exchange:
                await exchange.post("/clock", {"hold": True})
                yield Killing(Drill(directory, sandbox, exchange), nursery, chance)
        finally:
            await sandbox.stop(WAIT_S)


def told(lives: Sequence[Life]) -> str:
    """The distribution of times to reconciled, in one line."""
    times = sorted(life.reconciled_s for life in lives if life.reconciled_s is not None)
    worst = times[min(len(times) * 9 // 10, len(times) - 1)]
    return (
        f"{len(lives)} kills; birth to reconciled of {len(times)} lives that came so far: "
        f"least {times[0]:.2f} s, median {median(times):.2f} s, p90 {worst:.2f} s, most {times[-1]:.2f} s"
    )


async def survived(campaign: Killing) -> tuple[str, ...]:
    """What is wrong after the last life, in words; nothing when every fill is booked once and no id went twice."""
    outcome = await campaign.last()
    said = {name: outcome.document[name] for name in ("duplicate_orders", "in_doubt", "breaks")}
    return (*map(str, outcome.failed), *(f"{name} is {found}" for name, found in said.items() if found))
