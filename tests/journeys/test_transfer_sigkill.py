"""The daemon killed around a transfer comes back by itself: the money is in one place, and the book says where."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.demo.stage import book_of, status_of
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.transfer import TransferStep
from basis_daemon.ports import KillPoint
from basis_daemon.sandbox.chain.node import connect
from basis_daemon.sandbox.chain.world import Prepared
from basis_daemon.web.client import LocalClient
from tests.process.nursery import born

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

WAIT_S = 90.0
POINTS = ("transfer_submitting:1", "transfer_left:1", "transfer_arrived:1")
IN_WALLET, AT_EXCHANGE = Decimal(30_000), "100000"
CHANGES = {
    "data_dir": "book",
    "sandbox.ready_file": "exchange/ready.json",
    "sandbox.chain_ready_file": "chain/ready.json",
    "chain.enabled": "true",
    "transfers.enabled": "true",
    "venues.binance.rights": "[trade, transfer, withdraw]",
}


@asynccontextmanager
async def child(name: str, directory: Path, *words: str, ready: str) -> AsyncIterator[dict[str, Any]]:
    """A sandbox of its own process, until it says that it listens; what it says of itself."""
    process = born(name, ("sandbox", name, "--directory", name, *words), directory)
    file = directory / ready

    async def is_ready() -> bool:
        return file.is_file()

    try:
        await process.until("listening", is_ready, WAIT_S)
        yield orjson.loads(file.read_bytes())
    finally:
        await process.stop(WAIT_S)


class Drill:
    """A market in hand, a wallet, and daemons that come and go on one journal."""

    def __init__(self, directory: Path, exchange: LocalClient) -> None:
        self.directory, self.exchange = directory, exchange
        self._lives = 0

    async def life(self, kill_at: str) -> int:
        """One daemon, from its start until it is dead at its point, or has brought everything home; its exit code."""
        self._lives += 1
        name = f"daemon{self._lives}"
        text = written_over(SANDBOX_CONFIG, CHANGES | {"sandbox.kill_at": kill_at})
        (self.directory / f"{name}.yaml").write_text(text, encoding="utf-8")
        words = ("run", "--config", f"{name}.yaml", "--arm")
        daemon = born(name, words, self.directory)

        async def is_over() -> bool:
            return daemon.exit_code is not None or await self._is_home()

        try:
            await self.exchange.post("/clock", {"resume": True})
            while daemon.exit_code is None and not await is_over():
                await SystemClock().sleep(0.1)
            await self.exchange.post("/clock", {"hold": True})
        finally:
            code = await daemon.stop(WAIT_S)
        return code

    async def _is_home(self) -> bool:
        """True once the exchange has everything that was in the wallet, and nothing is under way."""
        async with LocalClient.at_socket(self.directory / "book" / "control.sock") as operator:
            status = await status_of(operator) or {}
            if not status or status["in_doubt"] or status["open_orders"] or status["plans_running"]:
                return False
        rows = [row for row in (await self._account())["capital"] if row["kind"] == "deposit"]
        return sum((Decimal(row["amount"]) for row in rows), Decimal(0)) == IN_WALLET

    async def _account(self) -> dict[str, Any]:
        books = await self.exchange.get("/books")
        account: dict[str, Any] = books["accounts"]["sandbox-key"]
        return account


@pytest.mark.feature("T01", part="process")
@pytest.mark.feature("T03", part="process")
@pytest.mark.feature("H02", part="transfer")
async def test_a_daemon_killed_around_transfers_moves_the_money_once_and_ends_reconciled(
    tmp_path: Path, chain_world: Prepared
) -> None:
    del chain_world  # only that it is built
    funds = ("--block-time", "0", "--fund", "ETH=5", "--fund", f"USDT={IN_WALLET}")
    market = ("--days", "300", "--seed", "7", "--chain", "chain/ready.json")
    async with (
        child("chain", tmp_path, *funds, ready="chain/ready.json") as chain,
        child("exchange", tmp_path, *market, ready="exchange/ready.json") as exchange,
        LocalClient.at_port(exchange["control_port"]) as control,
    ):
        await control.post("/clock", {"hold": True})
        drill = Drill(tmp_path, control)
        for point in POINTS:
            assert await drill.life(point) == -signal.SIGKILL
        assert await drill.life("null") == 0
        account = (await control.get("/books"))["accounts"]["sandbox-key"]
        left = await in_wallet(chain, orjson.loads((tmp_path / "chain" / "world.json").read_bytes()))
    book = book_of(tmp_path / "book" / "journal.sqlite").state
    done = [row for row in book.transfers.values() if row.step is TransferStep.DONE]
    deposits = [row for row in account["capital"] if row["kind"] == "deposit"]
    assert sorted(row.amount for row in done) == sorted(Decimal(row["amount"]) for row in deposits)
    assert sum(row.amount for row in done) == IN_WALLET - left == IN_WALLET
    assert (book.in_doubt(), book.breaks) == ((), {})
    held = book.ledger.holding
    assert held(PositionKey("wallet:transit:USDT")) == held(PositionKey("wallet:token:USDT")) == 0
    assert held(PositionKey("binance:spot:USDT")) == Decimal(account["balances"]["spot"]["USDT"])
    assert {row.step for row in book.transfers.values()} <= {TransferStep.DONE, TransferStep.FAILED}


async def in_wallet(chain: dict[str, Any], world: dict[str, Any]) -> Decimal:
    """USDT that the chain says the wallet has."""
    client = connect(chain["rpc_url"])
    try:
        call = "0x70a08231" + chain["user"][2:].lower().rjust(64, "0")
        token = client.to_checksum_address(world["tokens"]["USDT"]["address"])
        return Decimal(int((await client.eth.call({"to": token, "data": call})).hex(), 16)).scaleb(-6)
    finally:
        await client.provider.disconnect()


def test_every_point_around_a_transfer_has_its_death() -> None:
    assert {point.partition(":")[0] for point in POINTS} == {p for p in KillPoint if p.startswith("transfer_")}
