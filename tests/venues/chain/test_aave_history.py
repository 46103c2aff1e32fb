"""The past of Aave on a real node: every midnight as it was, found by the blocks' own times, in the files' form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.chain import BlockRef, ReserveTick
from basis_daemon.research.collect_aave import collect_reserves
from basis_daemon.simulation.chain.record import read_record
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.options import ignore_note
from basis_daemon.venues.chain import aave
from basis_daemon.venues.chain.aave_history import AaveHistory
from basis_daemon.venues.chain.aave_reads import read_reserves
from basis_daemon.venues.chain.abi import MAX
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.endpoint import EndpointOptions
from basis_daemon.venues.chain.erc20 import APPROVE
from basis_daemon.venues.chain.venue import Chain as OpenChain
from basis_daemon.venues.chain.venue import ChainOptions
from tests.chain_support import Chain
from tests.venues.chain.actor import Actor

DAY = timedelta(days=1)
SYMBOLS = ("USDT", "WETH", "weETH")


@asynccontextmanager
async def past_of(chain: Chain, book: AddressBook) -> AsyncIterator[AaveHistory]:
    endpoint = EndpointOptions("sandbox", SecretStr(chain.rpc_url), is_local=True, timeout_s=20)
    async with TaskTree("past") as tree:
        opened = await OpenChain.open(
            ChainOptions([endpoint], book, book.genesis_hash or ""), SystemClock(), tree, ignore_note
        )
        try:
            yield AaveHistory(opened.rpc, opened.book)
        finally:
            await opened.rpc.close()


def midnight_after(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0) + DAY


async def now(actor: Actor) -> tuple[BlockRef, dict[str, ReserveTick]]:
    head = await actor.head()
    ticks = await read_reserves(actor.reader, head, actor.book, SYMBOLS, 0)
    return head, {tick.instrument.symbol: tick for tick in ticks}


async def test_every_midnight_is_told_as_it_was(
    chain: Chain, actor: Actor, claimed_book: AddressBook, tmp_path: Path
) -> None:
    book = actor.book
    usdt = book.token("USDT").address
    await actor.send(APPROVE(usdt, book.aave.pool, MAX))
    first_midnight = midnight_after((await actor.head()).time)
    seen: dict[datetime, tuple[BlockRef, dict[str, ReserveTick]]] = {}
    for number in range(3):
        at = first_midnight + number * DAY
        await actor.controls.advance(int((at - (await actor.head()).time).total_seconds()) - 60)
        await actor.send(aave.supply(book, "USDT", 10**9 * (number + 1), actor.address))
        seen[at] = await now(actor)
    await actor.controls.advance(3_600)
    span = (first_midnight - timedelta(hours=1), first_midnight + 9 * DAY)
    days: list[datetime] = []
    async with past_of(chain, claimed_book) as past:
        rows = await collect_reserves(tmp_path, past, ["USDT", "weETH"], span, days.append)
        assert await past.block_at(first_midnight - timedelta(days=9_000)) is None
        again = await collect_reserves(tmp_path, past, ["USDT", "weETH"], span, days.append)
    assert rows == again == {"aave:USDT": 3, "aave:weETH": 3, "aave:WETH": 3}
    assert days == list(seen)
    record = read_record(tmp_path)
    for at, (_, ticks) in seen.items():
        for symbol, tick in ticks.items():
            row = record.reserve(symbol, at)
            assert row is not None
            assert (row.at, row.liquidity_index, row.debt_index) == (at, tick.liquidity_index, tick.debt_index)
            assert (row.supply_rate, row.borrow_rate, row.debt) == (tick.supply_rate, tick.borrow_rate, tick.debt)
            assert row.price == tick.price
            assert row.debt <= row.supplied <= tick.supplied  # what the treasury has not minted is no token yet
    weeth = record.reserve("weETH", first_midnight)
    assert weeth is not None
    assert weeth.rate is not None
    assert abs(weeth.rate - seen[first_midnight][1]["weETH"].price / seen[first_midnight][1]["WETH"].price) < Decimal(
        "1e-12"
    )
