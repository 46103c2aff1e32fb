"""What a chain account tells leads the ledger to the chain's own balances, to the last unit, cause by cause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause, entry_of_cash_flow
from basis_daemon.domain.position import AccountFigures
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.endpoint import Header, newest_header
from basis_daemon.venues.chain.eye import ETHERFI, ChainEye, Watch
from basis_daemon.venues.chain.gas import GasDesk
from basis_daemon.venues.chain.heads import Head
from basis_daemon.venues.chain.own_moves import ROUNDING_MAX, OwnMoves
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.source import ChainAccountSource, _is_plausible
from basis_daemon.venues.chain.tokens import AAVE, ETH, atoken, held_at
from tests.venues.chain.proxy import ProxyNode
from tests.venues.chain.support import endpoint, identity_of
from tests.venues.chain.trader import POLICY, Trader

USDT, EETH, LENT = held_at("USDT"), held_at("eETH"), atoken("USDT")
DAY_S = 86_400


class Listener:
    """Asks a source as the reconciliation does, and books what it tells."""

    def __init__(self, trader: Trader) -> None:
        self.trader = trader
        self.gas = GasDesk(trader.rpc, POLICY.fees)
        self.since = trader.since.block.time
        self.start()

    def eye_over(self, rpc: RpcPool) -> ChainEye:
        trader = self.trader
        held = trader.ledger.holdings
        return ChainEye(rpc, trader.book, trader.account.address, Watch(), self.gas, SystemClock(), held)

    def start(self) -> None:
        """A source that has seen nothing yet, over the bookings of the process that lives now."""
        trader, clock = self.trader, SystemClock()
        self.eye = self.eye_over(trader.rpc)
        own = OwnMoves(trader.bookings, trader.account.is_busy, trader.ledger.has)
        self.source = ChainAccountSource(AAVE, self.eye, clock, trader.ledger.holdings, own)

    async def see_head(self) -> BlockRef:
        """The newest block reaches the eye."""
        header = await self.trader.rpc.ask("newest block", newest_header)
        self.eye.on_head(Head(header))
        return header.block

    async def listen(self, since: datetime | None = None) -> list[CashFlow]:
        """Everything that is new by now, booked."""
        block = await self.see_head()
        flows = await self.source.fetch_cash_flows(since or self.since)
        for flow in flows:
            assert self.trader.ledger.apply(entry_of_cash_flow(flow)), f"{flow.flow_id} was told before"
        self.since = block.time
        return list(flows)

    async def assert_equal(self) -> None:
        """The book of this account is what the chain says."""
        report = await self.source.fetch_report()
        book = {key: amount for key, amount in self.trader.ledger.holdings().items() if key.venue == AAVE and amount}
        assert book == report.holdings


def by_cause(flows: list[CashFlow]) -> dict[Cause, Decimal]:
    return {flow.cause: flow.amount for flow in flows if flow.key == LENT}


@pytest.fixture
def listener(trader: Trader) -> Listener:
    return Listener(trader)


async def supply(trader: Trader, amount: str) -> None:
    await trader.do("supply", AAVE, token_in=USDT, amount=Decimal(amount))


async def withdraw_all(trader: Trader) -> None:
    await trader.do("withdraw", AAVE, token_out=USDT, amount="MAX")


@pytest.mark.feature("R05", part="chain")
@pytest.mark.feature("R07", part="chain")
async def test_what_a_whole_withdrawal_brought_to_light_is_interest_and_what_the_pool_rounded_is_rounding(
    trader: Trader, listener: Listener
) -> None:
    await supply(trader, "980000")
    supplied = by_cause(await listener.listen())
    await trader.actor.controls.advance(DAY_S)
    await withdraw_all(trader)
    assert trader.ledger.holding(LENT) < 0, "nobody has looked since the day began"
    flows = by_cause(await listener.listen())
    assert Decimal(100) < flows[Cause.INTEREST] < Decimal(200)
    assert trader.ledger.holding(LENT) == 0
    for told in (supplied, flows):
        assert abs(told.get(Cause.ROUNDING, Decimal(0))) <= ROUNDING_MAX
    await listener.assert_equal()


async def test_a_wallet_that_stands_still_is_told_its_interest_and_nothing_else(
    trader: Trader, listener: Listener
) -> None:
    await supply(trader, "500000")
    await listener.listen()
    for seconds in (12, 3_600, DAY_S):
        await trader.actor.controls.advance(seconds)
        assert set(by_cause(await listener.listen())) == {Cause.INTEREST}
        assert await listener.listen() == []
        await listener.assert_equal()


async def test_the_next_process_tells_no_rounding_again_and_explains_what_the_last_one_had_not(
    trader: Trader, listener: Listener
) -> None:
    await supply(trader, "123456.789012")
    await listener.listen()
    await trader.actor.controls.advance(DAY_S)
    await withdraw_all(trader)
    await trader.restart()
    listener.start()
    assert by_cause(await listener.listen(listener.since - timedelta(days=1)))[Cause.INTEREST] > 10
    await listener.assert_equal()


async def test_what_was_rounded_in_a_block_that_is_gone_is_taken_back_with_it(
    trader: Trader, listener: Listener
) -> None:
    await trader.actor.controls.mine(3)
    await supply(trader, "777.777777")
    await trader.actor.controls.advance(DAY_S)
    await supply(trader, "333.333333")
    await listener.listen()
    await trader.actor.controls.reorg(1)
    await trader.until(lambda: any(trade.trade_id.endswith(":reorged") for trade in trader.trades))
    undone = len(trader.trades)
    await trader.until(lambda: len(trader.trades) > undone)
    await listener.listen()
    await listener.assert_equal()


@pytest.mark.parametrize(
    ("amount", "expected"), [("-0.05", True), ("-0.06", False), ("0.05", False), ("0.0000005", True)]
)
def test_interest_of_the_last_minutes_may_go_with_its_blocks_and_none_may_come_from_nowhere(
    amount: str, expected: bool
) -> None:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    flow = CashFlow("interest", LENT, Decimal(amount), Cause.INTEREST, at)
    assert _is_plausible(flow, Decimal(600), at, Decimal(0)) is expected


async def test_a_gift_is_no_interest(trader: Trader, listener: Listener) -> None:
    await supply(trader, "1000")
    await listener.listen()
    giver = await trader.chain.account(USDT=50_000)
    pool = trader.chain.contract("PoolInstance", "aave_v3", "pool")
    token = trader.chain.token("USDT")
    await trader.chain.send(giver, token.functions.approve(pool.address, 10**10))
    await trader.chain.send(giver, pool.functions.supply(token.address, 10**10, trader.account.address, 0))
    flows = by_cause(await listener.listen())
    assert sum(flows.values(), Decimal(0)) < 1
    report = await listener.source.fetch_report()
    assert report.holdings[LENT] - trader.ledger.holding(LENT) > 9_999, "a difference, for the reconciliation"


@pytest.mark.feature("X09", part="figures")
async def test_what_a_protocol_says_of_an_account_is_read_at_every_head(trader: Trader, listener: Listener) -> None:
    await supply(trader, "1000")
    staked = await trader.do("stake", ETHERFI, token_in=ETH, token_out=EETH, amount=Decimal(2), min_out=Decimal(1))
    await trader.do("unstake", ETHERFI, token_in=EETH, amount=staked.deltas[EETH])
    accounts = (AAVE, ETHERFI)
    block = await listener.see_head()
    lending, asked = await listener.eye.figures(accounts)
    assert (lending.account, asked.account, asked.observed_at) == (AAVE, ETHERFI, block.time)
    assert lending.lending is not None
    assert 999 <= lending.lending.collateral <= 1001
    assert asked.lending is None
    assert [claim.is_payable for claim in asked.claims.values()] == [False]
    await trader.actor.controls.finalize(ETHERFI)
    await listener.see_head()
    _, paid = await listener.eye.figures(accounts)
    assert [claim.is_payable for claim in paid.claims.values()] == [True]


async def test_a_request_that_was_booked_after_a_look_is_looked_for_at_the_same_block(
    trader: Trader, listener: Listener
) -> None:
    """Its issuer lists none by owner. Seen without it until the next block, the book would differ from the chain."""
    staked = await trader.do("stake", ETHERFI, token_in=ETH, token_out=EETH, amount=Decimal(2), min_out=Decimal(1))
    await trader.do("unstake", ETHERFI, token_in=EETH, amount=staked.deltas[EETH])
    (claim,) = [key for key, held in trader.ledger.holdings().items() if key.venue == ETHERFI and held]
    known: dict[PositionKey, Decimal] = {}
    eye = ChainEye(trader.rpc, trader.book, trader.account.address, Watch(), listener.gas, SystemClock(), lambda: known)
    block = await listener.see_head()
    assert claim not in (await eye.look(block)).held
    known |= trader.ledger.holdings()
    seen = await eye.look(block)
    assert abs(seen.held[claim] - trader.ledger.holding(claim)) < Decimal("1e-15")
    assert await eye.look(block) is seen


async def test_an_endpoint_that_is_a_block_behind_keeps_no_figures_back_and_confirms_no_balance(
    trader: Trader, listener: Listener
) -> None:
    await supply(trader, "1000")
    async with ProxyNode(trader.chain.rpc_url) as behind, TaskTree("test") as tree:
        endpoints = [endpoint(trader.chain.rpc_url), endpoint(behind.url, "behind")]
        rpc = RpcPool(endpoints, await identity_of(trader.chain), SystemClock(), tree)
        await rpc.start()
        behind.refuses("eth_call", "header not found")
        eye = listener.eye_over(rpc)
        (told,) = await eye.figures([AAVE])
        assert told.lending is not None
        with pytest.raises(VenueUnreachableError, match="1 answers, expected 2 alike"):
            await eye.look(told_at(told, await eye.newest()))
        await rpc.close()
        tree.cancel_all()


def told_at(told: AccountFigures, newest: Header) -> BlockRef:
    assert told.observed_at == newest.block.time
    return newest.block
