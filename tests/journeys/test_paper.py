"""The daemon on paper: a venue's market, orders that never leave, and a book that goes on after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.demo.processes import Child
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.engine.book_view import BookView
from basis_daemon.journal.reader import JournalReader
from basis_daemon.web.client import ControlRefusedError, LocalClient, NotListeningError
from tests.process.nursery import born

PAPER_CONFIG = SANDBOX_CONFIG.with_name("paper.yaml")
WAIT_S = 90.0
SPOT, PERP = PositionKey("binance:spot:BTC"), PositionKey("binanceusdm:perp:BTCUSDT")
WALK, STAND, RUN = {"mode": "paced", "speed": 30}, {"mode": "paced", "speed": 1}, {"mode": "auto"}
"""How market time passes: nothing is outstanding on the wire while a paper order is under way, so it is walked."""


class Paper:
    """One book on paper beside the market of a sandbox exchange."""

    def __init__(self, directory: Path, exchange: LocalClient) -> None:
        self.exchange = exchange
        self._directory, self._clock = directory, SystemClock()
        self._lives = 0

    @asynccontextmanager
    async def life(self, settings: Mapping[str, str] | None = None) -> AsyncIterator[Child]:
        """An armed daemon; at the end it drains and leaves in order."""
        self._lives += 1
        name, data = f"daemon{self._lives}", self._directory / "book"
        ready = self._directory / "exchange" / "ready.json"
        changes = {"data_dir": str(data), "sandbox.ready_file": str(ready), **(settings or {})}
        (self._directory / f"{name}.yaml").write_text(written_over(PAPER_CONFIG, changes), encoding="utf-8")
        data.mkdir(exist_ok=True)
        daemon = born(name, ("run", "--config", f"{name}.yaml", "--arm"), self._directory)
        try:
            async with LocalClient.at_socket(data / "control.sock") as operator:

                async def is_armed() -> bool:
                    try:
                        return bool((await operator.get("/status"))["live"]["phase"] == "armed")
                    except (NotListeningError, ControlRefusedError):
                        return False

                await daemon.until("armed", is_armed, WAIT_S)
                yield daemon
        finally:
            exit_code = await daemon.stop(WAIT_S)
        assert exit_code == 0, daemon.tail()

    async def entered(self, daemon: Child) -> None:
        """Walk the market until a short stands and no plan runs any more."""

        async def has_pair() -> bool:
            state = self.book().state
            return not state.running_plans() and state.ledger.holding(PERP) < 0

        await self.exchange.post("/clock", WALK)
        await daemon.until("entered", has_pair, WAIT_S)

    async def run_market_until(self, daemon: Child, day_share: float) -> None:
        async def is_there() -> bool:
            return bool((await self.exchange.get("/status"))["days_done"] >= day_share)

        await self.exchange.post("/clock", RUN)
        await daemon.until("through the market", is_there, WAIT_S)
        await self.exchange.post("/clock", STAND)

    def book(self) -> BookView:
        with JournalReader.open(self._directory / "book" / "journal.sqlite") as journal:
            journal.verify()
            return BookView().fold(journal.rows())

    async def books_of_the_exchange(self) -> dict[str, Any]:
        (account,) = (await self.exchange.get("/books"))["accounts"].values()
        return {name: account[name] for name in ("orders", "fills", "positions", "balances", "income", "transfers")}


@asynccontextmanager
async def paper_on_a_sandbox_market(directory: Path) -> AsyncIterator[Paper]:
    arguments = ("sandbox", "exchange", "--directory", "exchange", "--seed", "7", "--days", "2", "--mode", "paced")
    sandbox = born("sandbox", arguments, directory)
    try:
        ready = directory / "exchange" / "ready.json"

        async def is_ready() -> bool:
            return ready.is_file()

        await sandbox.until("listening", is_ready, WAIT_S)
        async with LocalClient.at_port(orjson.loads(ready.read_bytes())["control_port"]) as exchange:
            yield Paper(directory, exchange)
    finally:
        await sandbox.stop(WAIT_S)


@pytest.mark.journey
@pytest.mark.timeout(300)
@pytest.mark.feature("B01")
@pytest.mark.feature("Y01")
@pytest.mark.feature("Y02", part="cex")
async def test_a_day_on_paper_leaves_the_exchange_untouched_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with paper_on_a_sandbox_market(tmp_path) as paper:
        untouched = await paper.books_of_the_exchange()
        async with paper.life() as daemon:
            await paper.entered(daemon)
            await paper.run_market_until(daemon, 1.0)
        before = paper.book()
        async with paper.life() as daemon:
            resumed = paper.book()
            await paper.run_market_until(daemon, 1.4)
        after = paper.book()
        assert await paper.books_of_the_exchange() == untouched

    assert untouched["orders"] == {"spot": [], "usdm": [], "coinm": []}
    assert resumed.state.ledger.holdings() == before.state.ledger.holdings()
    assert set(after.history.generations) == {1, 2}
    for view in (before, after):
        state, last = view.state, view.history.valuations[-1].row
        held, (margin,) = state.ledger.holdings(), last["margins"]
        assert held[PERP] < 0 < held[SPOT]
        assert abs(held[SPOT] + held[PERP]) < Decimal("0.01") * held[SPOT]
        assert Decimal(margin["margin"]) > 0 < Decimal(margin["z"])
        assert (state.breaks_opened, len(state.in_doubt())) == (0, 0)
        assert state.ledger.total(Cause.OPENING, "USDT") == 100_000
        assert all(Decimal(valued.row["components"]["unexplained"]) == 0 for valued in view.history.valuations[1:])
    funding = [view.state.ledger.total(Cause.FUNDING, "USDT") for view in (before, after)]
    assert funding[0] != 0 != funding[1] - funding[0]
