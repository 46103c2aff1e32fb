"""The daemon killed around a transaction comes back by itself: each order is on the chain once, never twice."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from eth_account import Account
from eth_account.signers.local import LocalAccount

from basis_daemon.clock import SystemClock
from basis_daemon.demo.chain_outcome import ChainFacts, judge_chain, transactions_of
from basis_daemon.demo.configuration import SANDBOX_CHAIN_CONFIG, written_over
from basis_daemon.demo.processes import Child
from basis_daemon.demo.stage import book_of, status_of
from basis_daemon.engine.judgement import Outcome
from basis_daemon.journal.reader import JournalReader
from basis_daemon.ports import KillPoint
from basis_daemon.sandbox.chain.books import Books
from basis_daemon.sandbox.chain.controls import ChainControls
from basis_daemon.sandbox.chain.node import connect
from basis_daemon.sandbox.chain.world import Prepared
from basis_daemon.web.client import LocalClient
from tests.process.nursery import born

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

Json = dict[str, Any]
WAIT_S, START_S = 25.0, 120.0
MINUTE_S, LOOK_S, LOOKS = 60, 0.1, 30
ALIVE = "null"
STRATEGY, LENT = "pure_lending", "aave_v3:atoken:USDT"
FUNDS = {"ETH": Decimal(1), "USDT": Decimal(1_000_000)}
POINTS = ("tx_signed:2", "tx_journalled:1", "tx_journalled:2", "tx_broadcast:2", "tx_included:2")
"""The first transaction is the allowance of the supply, the second the supply itself."""


@dataclass(frozen=True)
class Sandbox:
    """The running sandbox chain of this file."""

    ready: Json
    world_file: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(chain_world: Prepared, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    del chain_world  # only that it is built
    place = tmp_path_factory.mktemp("sandbox")
    words = ("sandbox", "chain", "--directory", "chain", "--block-time", "0")
    process = born("sandbox", words, place)
    ready = place / "chain" / "ready.json"

    async def is_ready() -> bool:
        return ready.is_file()

    try:
        await process.until("listening", is_ready, START_S)
        yield Sandbox(json.loads(ready.read_bytes()), place / "chain" / "world.json")
    finally:
        await process.stop(WAIT_S)


class Drill:
    """One wallet and one book that nobody has used, and daemons that come and go on them."""

    def __init__(self, directory: Path, sandbox: Sandbox, controls: ChainControls, key: LocalAccount) -> None:
        self.directory, self._controls, self._address = directory, controls, key.address
        self.began = datetime.now(UTC)
        self.clock = SystemClock()
        self._lives = 0
        place = directory / "chain"
        place.mkdir()
        (place / "user.key").write_text("0x" + bytes(key.key).hex(), encoding="utf-8")
        (place / "user.key").chmod(0o600)
        (place / "world.json").write_bytes(sandbox.world_file.read_bytes())
        told = sandbox.ready | {"user": key.address, "user_key_file": "user.key", "world_file": "world.json"}
        (place / "ready.json").write_text(json.dumps(told), encoding="utf-8")

    async def start(self, kill_at: str) -> Child:
        self._lives += 1
        name = f"daemon{self._lives}"
        changes = {
            "data_dir": "book",
            "sandbox.chain_ready_file": "chain/ready.json",
            "sandbox.kill_at": kill_at,
            f"strategies.{STRATEGY}.enabled": "true",
            "strategies.eth_staking_only.enabled": "false",
            "strategies.eth_leveraged.enabled": "false",
        }
        (self.directory / f"{name}.yaml").write_text(written_over(SANDBOX_CHAIN_CONFIG, changes), encoding="utf-8")
        return born(name, ("run", "--config", f"{name}.yaml", "--arm"), self.directory)

    async def killed(self, point: str) -> None:
        """One life: blocks come until it is dead at its point."""
        daemon = await self.start(point)
        try:
            async with self._operator() as operator:
                give_up_ns = self.clock.monotonic_ns() + int(WAIT_S * 1_000_000_000)
                while daemon.exit_code is None and self.clock.monotonic_ns() < give_up_ns:
                    await self._minute_if_listening(operator)
                    await self.clock.sleep(LOOK_S)
        finally:
            await daemon.stop(WAIT_S)
        assert daemon.exit_code == -signal.SIGKILL, daemon.tail()

    async def finished(self) -> int:
        """The last life, until what it wanted is done and it has seen the newest block; its exit code."""
        daemon = await self.start(ALIVE)
        try:
            async with self._operator() as operator:

                async def is_at_rest() -> bool:
                    mined = await self._minute_if_listening(operator)
                    return mined is not None and await self._is_at_rest(operator, mined)

                await daemon.until("at rest", is_at_rest, WAIT_S)
        finally:
            exit_code = await daemon.stop(WAIT_S)
        return exit_code

    async def judged(self, exit_code: int) -> Outcome:
        """Book against chain, by the words of the contracts alone."""
        file = self.directory / "book" / "journal.sqlite"
        view = book_of(file)
        with JournalReader.open(file) as journal:
            signed = transactions_of(journal.rows())
        books = await Books(self._controls.contracts, self._address).told()
        clock = {
            "start": self.began.isoformat(),
            "market_time": view.state.market_time.isoformat(),
            "effective_speed": 0,
        }
        facts = ChainFacts(STRATEGY, 7, clock, exit_code, ())
        return judge_chain(view, signed, books, facts)

    def _operator(self) -> LocalClient:
        return LocalClient.at_socket(self.directory / "book" / "control.sock")

    async def _minute_if_listening(self, operator: LocalClient) -> datetime | None:
        """Chain time goes on by one block once the daemon is there to see it; the time of that block."""
        if (await status_of(operator) or {}).get("live", {}).get("phase") != "armed":
            return None
        await self._controls.advance(MINUTE_S)
        return await self._time()

    async def _is_at_rest(self, operator: LocalClient, mined: datetime) -> bool:
        """True once it holds what it lent, wants nothing more, and has decided so on the newest block."""
        for _ in range(LOOKS):
            status, held = await status_of(operator) or {}, await operator.get("/positions")
            decided = all(datetime.fromisoformat(row["time"]) >= mined for row in status.get("strategies", ()))
            has_lent = LENT in {row["key"] for row in held["positions"]}
            if has_lent and decided and not (status["open_orders"] or status["plans_running"]):
                return not status["in_doubt"]
            await self.clock.sleep(LOOK_S)
        return False

    async def _time(self) -> datetime:
        block = await self._controls.client.eth.get_block("latest")
        return datetime.fromtimestamp(block["timestamp"], UTC)


@asynccontextmanager
async def drill(directory: Path, sandbox: Sandbox, prepared: Prepared) -> AsyncIterator[Drill]:
    """A wallet of its own with money, and a book that is empty."""
    client = connect(sandbox.ready["rpc_url"])
    controls = await ChainControls.of(client, prepared)
    key: LocalAccount = Account.create()
    await controls.fund(key.address, **FUNDS)
    try:
        yield Drill(directory, sandbox, controls, key)
    finally:
        await client.provider.disconnect()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.feature("X01", part="process")
@pytest.mark.feature("H02", part="chain")
@pytest.mark.feature("O03", part="chain")
@pytest.mark.feature("O04", part="chain")
@pytest.mark.fault("F45", "F46", "F47")
@pytest.mark.parametrize("point", POINTS)
async def test_a_daemon_killed_around_a_transaction_sends_it_once_and_ends_reconciled(
    point: str, tmp_path: Path, sandbox: Sandbox, chain_world: Prepared
) -> None:
    async with drill(tmp_path, sandbox, chain_world) as one:
        await one.killed(point)
        outcome = await one.judged(await one.finished())
    assert outcome.is_good, outcome.failed
    said = outcome.document
    assert (said["duplicate_orders"], said["in_doubt"], said["breaks"], said["foreign_orders"]) == (0, 0, 0, 0)
    assert said["positions"] == said["venue_positions"]
    assert Decimal(said["positions"][LENT]) > 0
    assert said["transactions"] == 2, "one allowance and one supply"


def test_every_point_around_a_transaction_has_its_death() -> None:
    here = {point for point in KillPoint if point.startswith("tx_")}
    assert {point.partition(":")[0] for point in POINTS} == here
