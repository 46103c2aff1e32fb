"""Two sub-accounts of one exchange, each with a key and wallet names of its own, over the wire of the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import StreamChanged
from basis_daemon.domain.order import Order, OrderOperation, OrderType, Side
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import FeedEvent
from basis_daemon.sandbox.exchange.accounts import AccountSpec
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.limiter import WeightLimiter
from basis_daemon.venues.cex.network import SandboxNetwork
from basis_daemon.venues.cex.venue import CEXVenue
from tests.venues.paper_support import START, new_id
from tests.venues.rig import PATIENCE_S, QUIET, SteppedClock

pytestmark = pytest.mark.slow

MAIN, SUB = AccountSpec(), AccountSpec.of_sub_account("binance_eth")
NAMES = {MAIN: ("binance", "binanceusdm"), SUB: ("binance_eth", "binanceusdm_eth")}


@dataclass
class Ear:
    """What one venue said."""

    venue: CEXVenue
    events: list[FeedEvent] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, event: FeedEvent) -> None:
        self.events.append(event)
        if isinstance(event, Trade):
            self.trades.append(event)
        self.changed.set()

    async def is_up(self) -> None:
        """Return once every user stream is up."""
        wanted = {(account, "user") for account in self.venue.accounts}
        async with asyncio.timeout(PATIENCE_S):
            while not wanted <= {
                (e.account, e.stream) for e in self.events if isinstance(e, StreamChanged) and e.is_up
            }:
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Pair:
    """Both sub-accounts behind one limiter."""

    exchange: SandboxExchange
    limiter: WeightLimiter
    ears: dict[AccountSpec, Ear]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    world = ExchangeOptions(directory=tmp_path, mode="manual", accounts=(MAIN, SUB))
    clock = SteppedClock()
    limiter = WeightLimiter(BINANCE.pools, clock)
    async with SandboxExchange(world) as exchange, TaskTree("test") as tree:
        network = SandboxNetwork(exchange.port, exchange.ca_file)
        ears = {}
        for spec, names in NAMES.items():
            key, secret = SecretStr(spec.api_key), SecretStr(spec.api_secret)
            options = replace(QUIET, api_key=key, api_secret=secret, network=network)
            ears[spec] = Ear(CEXVenue(BINANCE.named(*names), options, clock, limiter=limiter))
        feeds = [ear.venue.feed(tree) for ear in ears.values()]
        for feed, ear in zip(feeds, ears.values(), strict=True):
            await feed.start()
            tree.spawn("feed", feed.run(ear.hear))
        for ear in ears.values():
            await ear.is_up()
        yield Pair(exchange, limiter, ears)
        for feed in feeds:
            await feed.close()
        tree.cancel_all("the test is over")


def world_start(exchange: SandboxExchange) -> datetime:
    """When the market of the sandbox began."""
    return datetime.fromtimestamp(exchange.clock.start_ms / 1000, UTC)


def bought(account: str, price: Decimal) -> Order:
    key = PositionKey(f"{account}:spot:ETH")
    return Order(
        order_id=new_id(), strategy="eth_basis", decision=1, leg=0, operation=OrderOperation.SPOT_TRADE, venue=account,
        instrument=key, side=Side.BUY, amount=Decimal("0.1"), order_type=OrderType.MARKET, ref_price=price,
        ref_time=START, max_slippage_bp=Decimal(50), expected_deltas={key: Decimal("0.1")}, reason="test",
        created_at=START,
    )  # fmt: skip


@pytest.mark.feature("S10", part="wire")
@pytest.mark.feature("C10")
async def test_an_order_of_one_sub_account_moves_and_tells_that_account_alone(pair: Pair) -> None:
    ear, other = pair.ears[SUB], pair.ears[MAIN]
    price = pair.exchange.venue.last_price["spot", "ETHUSDT"]
    interface = ear.venue.interface("binance_eth", ear.trades.append)
    trade = await interface.execute_order(bought("binance_eth", price), START)
    assert trade.deltas[PositionKey("binance_eth:spot:ETH")] == Decimal("0.0999")
    held = (await ear.venue.source("binance_eth").fetch_report()).holdings
    assert held[PositionKey("binance_eth:spot:ETH")] == Decimal("0.0999")
    untouched = (await other.venue.source("binance").fetch_report()).holdings
    assert untouched == {PositionKey("binance:spot:USDT"): Decimal(100_000)}
    assert {fill.account for fill in ear.trades} == {"binance_eth"}
    assert other.trades == []


@pytest.mark.feature("C05", part="sub-accounts")
async def test_all_sub_accounts_spend_from_one_request_budget(pair: Pair) -> None:
    spent = [pair.limiter.used("private")]
    for spec, (spot, _) in NAMES.items():
        await pair.ears[spec].venue.source(spot).fetch_report()
        spent.append(pair.limiter.used("private"))
    assert spent[0] < spent[1] < spent[2]


async def test_money_that_moves_without_an_order_is_booked_under_the_name_of_its_account(pair: Pair) -> None:
    account = pair.exchange.venue.accounts[SUB.api_key]
    pair.exchange.world.futures.book_income(account, "FUNDING_FEE", Decimal(3), "BTCUSDT")
    since = world_start(pair.exchange)
    flows = await pair.ears[SUB].venue.source("binanceusdm_eth").fetch_cash_flows(since)
    assert [(flow.key, flow.amount) for flow in flows] == [("binanceusdm_eth:spot:USDT", Decimal(3))]
    assert flows[0].flow_id.startswith("binanceusdm_eth:income:FUNDING_FEE:")
    assert await pair.ears[MAIN].venue.source("binanceusdm").fetch_cash_flows(since) == []
