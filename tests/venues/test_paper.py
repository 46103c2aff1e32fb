"""The paper venue as a venue: funding, liquidation, streams, faults, doubt, and money that is never lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.errors import (
    ConfigError,
    ErrorClass,
    OrderRejectedError,
    OutcomeUnknownError,
    VenueUnreachableError,
)
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.market import BookTick, MarketEvent, MarkTick, StreamChanged
from basis_daemon.domain.order import OrderOperation, Side, TimeInForce
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.ports import AccountChanged, AccountSource, ExecutionInterface, Feed, Finding
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.paper.faults import Fault, FaultKind
from basis_daemon.venues.paper.feed import PaperFeed, PushedFeed, RecordedFeed
from basis_daemon.venues.paper.venue import PaperTerms, PaperVenue
from tests.venues.paper_support import (
    CASH,
    COIN,
    FUTURES,
    MARGIN,
    PERP,
    PERP_BTC,
    SPECS,
    SPOT_BTC,
    START,
    WALLET,
    D,
    Stage,
    Tape,
    ledger_of,
    limit_order,
    mark,
    stamp,
    tick,
    trade_order,
    transfer_order,
)

HOURS_8 = 28_800.0


# ------------------------------------------------------------------------------------------------ funding and margin
@pytest.mark.feature("R07", part="cex")
async def test_funding_is_paid_on_what_was_held_at_the_mark_of_the_settlement() -> None:
    stage = Stage()
    stage.mark(60_000, at_s=HOURS_8 - 60)
    await stage.futures.execute_order(trade_order(PERP, Side.SELL, "1.2"), START)
    stage.mark(61_000, at_s=HOURS_8 - 1)
    stage.mark(61_500, at_s=HOURS_8 + 5, next_funding_s=2 * HOURS_8)
    await stage.futures.execute_order(trade_order(PERP, Side.SELL, "0.5"), START)  # after the settlement
    before = stage.balance(MARGIN)
    stage.settle("0.0003", at_s=HOURS_8)
    stage.settle("0.0003", at_s=HOURS_8)  # the venue repeats itself
    assert stage.balance(MARGIN) - before == D("21.96")
    (flow,) = await stage.futures.fetch_cash_flows(START)
    assert (flow.cause, flow.amount, flow.venue_time) == (Cause.FUNDING, D("21.96"), stamp(HOURS_8))
    assert (flow.key, flow.instrument) == (MARGIN, PERP)
    assert stage.tape.of(AccountChanged)[-1].reason == "funding"


async def test_a_settlement_from_before_the_venue_opened_is_not_paid() -> None:
    stage = Stage()
    await stage.futures.execute_order(trade_order(PERP, Side.SELL, "1"), START)
    stage.settle("0.01", at_s=-1)
    assert await stage.futures.fetch_cash_flows(stamp(-10)) == []


async def test_a_short_whose_maintenance_reaches_equity_is_liquidated() -> None:
    """Short 1 at 59,999.5 on 10,000 less fee 29.99975: equity meets maintenance (.5 % less 50) near 69,671."""
    stage = Stage({MARGIN: D(10_000)})
    await stage.futures.execute_order(trade_order(PERP, Side.SELL, "1"), START)
    resting = limit_order(PERP, Side.SELL, "0.01", "75000")
    await stage.futures.execute_order(resting, START)
    stage.mark(69_600, at_s=1)
    assert stage.balance(PERP) == D(-1)
    stage.quote(PERP, 69_700, size="0.4", at_s=2)  # bids and asks of 0.4 twice: the rest goes at the last price shown
    stage.mark(69_700, at_s=3)
    fills = [t for t in stage.tape.trades if t.order_id == ""]
    prices = [(D("69700.5"), D("0.4")), (D(69_710), D("0.4")), (D(69_710), D("0.2"))]
    assert [(t.price, t.qty_base) for t in fills] == prices
    assert stage.balance(PERP) == 0
    cost = sum(price * quantity * D("1.0005") for price, quantity in prices)
    left = D(10_000) + D("59999.5") * (1 - D("0.0005")) - cost
    (flow,) = await stage.futures.fetch_cash_flows(START)
    assert (flow.cause, flow.amount) == (Cause.LIQUIDATION, -left)  # less than 1.25 % of the notional was left
    assert stage.balance(MARGIN) == 0
    assert stage.venue.exchange.tape.trades_of(resting.order_id)[-1].order_state is OrderState.CANCELLED
    assert stage.tape.of(AccountChanged)[-1].reason == "liquidation"


async def test_a_gap_through_bankruptcy_is_filled_by_the_fund() -> None:
    stage = Stage({MARGIN: D(5_000)})
    await stage.futures.execute_order(trade_order(PERP, Side.SELL, "1"), START)
    stage.quote(PERP, 80_000, at_s=1)
    (flow,) = await stage.futures.fetch_cash_flows(START)
    assert flow.amount > 0
    assert stage.balance(MARGIN) == 0


def test_a_perp_without_margin_tiers_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="has no margin tiers"):
        Stage().venue.list_instruments([replace(PERP_BTC, tiers=())])


def test_a_balance_of_an_unknown_account_or_without_cost_is_a_configuration_error() -> None:
    clock = Stage().clock
    with pytest.raises(ConfigError, match="in none of the accounts"):
        PaperVenue(SPECS, clock, {PositionKey("okx:spot:USDT"): D(1)})
    with pytest.raises(ConfigError, match="has no open notional"):
        PaperVenue(SPECS, clock, {PERP: D(-1)})


async def test_a_restarted_venue_goes_on_with_positions_at_their_cost() -> None:
    stage = Stage({MARGIN: D(10_000), PERP: D(-1)}, open_notional={PERP: D(-58_000)})
    last = await stage.futures.execute_order(trade_order(PERP, Side.BUY, "1", reduce_only=True), START)
    assert last.realised_pnl == D(58_000) - D("60000.5")


# ------------------------------------------------------------------------------------------------------------ faults
async def execute(stage: Stage, *faults: tuple[int, Fault]) -> Trade:
    for ahead, fault in faults:
        stage.faults.add(ahead, fault)
    return await stage.wallet.execute_order(trade_order(COIN, Side.BUY, "0.5"), START)


async def test_an_unreachable_venue_takes_nothing() -> None:
    stage = Stage()
    with pytest.raises(VenueUnreachableError, match="nothing was sent"):
        await execute(stage, (1, Fault(FaultKind.UNREACHABLE)))
    assert stage.balance(COIN) == 0
    assert (await execute(stage)).order_state is OrderState.FILLED


async def test_a_planned_refusal_carries_its_class() -> None:
    stage = Stage()
    with pytest.raises(OrderRejectedError) as caught:
        await execute(stage, (1, Fault(FaultKind.REJECT, error_class=ErrorClass.RATE_LIMITED)))
    assert caught.value.error_class is ErrorClass.RATE_LIMITED
    assert stage.balance(COIN) == 0


async def test_the_answer_is_lost_after_the_order_was_taken() -> None:
    stage = Stage()
    order = trade_order(COIN, Side.BUY, "0.5")
    stage.faults.add(1, Fault(FaultKind.LOST_AFTER_ACCEPT))
    with pytest.raises(OutcomeUnknownError):
        await stage.wallet.execute_order(order, START)
    assert stage.tape.trades == []
    evidence = await stage.wallet.find_order(order, stage.clock.wall())
    assert evidence.finding is Finding.FOUND
    assert [evidence.trade] == stage.tape.trades
    assert stage.balance(COIN) == D("0.4995")


async def test_an_unknown_id_proves_nothing_before_the_window_has_passed() -> None:
    stage = Stage(terms=PaperTerms(proof_s=D(7)))
    order, sent_at = trade_order(COIN, Side.BUY, "0.5"), stage.clock.wall()
    stage.faults.add(1, Fault(FaultKind.LOST_BEFORE_ACCEPT))
    with pytest.raises(OutcomeUnknownError):
        await stage.wallet.execute_order(order, START)
    await stage.clock.advance(7)
    assert (await stage.wallet.find_order(order, sent_at)).finding is Finding.NOT_YET
    await stage.clock.advance(1)
    assert (await stage.wallet.find_order(order, sent_at)).finding is Finding.ABSENT
    assert stage.balance(COIN) == 0


async def test_a_share_of_what_is_there_fills() -> None:
    stage = Stage()
    last = await execute(stage, (1, Fault(FaultKind.PARTIAL, share=D("0.333"))))
    assert (last.cum_filled, last.order_state) == (D("0.166"), OrderState.EXPIRED)


async def test_a_fill_is_said_twice() -> None:
    stage = Stage()
    await execute(stage, (1, Fault(FaultKind.DUPLICATE_FILL)))
    first, second = stage.tape.trades
    assert first == second
    assert stage.balance(COIN) == D("0.4995")


async def test_the_acknowledgement_comes_after_the_fill() -> None:
    stage = Stage()
    answer = await execute(stage, (1, Fault(FaultKind.FILL_BEFORE_ACK)))
    assert stage.tape.trades[0].order_state is OrderState.FILLED
    assert (answer.order_state, answer.is_fill, answer.cum_filled) == (OrderState.ACKED, False, D(0))


async def test_only_the_planned_request_goes_wrong() -> None:
    stage = Stage()
    stage.faults.add(2, Fault(FaultKind.UNREACHABLE))
    await execute(stage)
    with pytest.raises(VenueUnreachableError):
        await execute(stage)
    await execute(stage)


async def test_a_silent_venue_gives_no_answer_and_certainly_no_zero() -> None:
    stage = Stage()
    stage.faults.silence(2)
    for _ in range(2):
        with pytest.raises(VenueUnreachableError, match="gave no answer"):
            await stage.wallet.fetch_report()
    assert (await stage.wallet.fetch_report()).holdings == {CASH: D(100_000)}


async def test_without_a_mark_there_is_no_report_of_a_position() -> None:
    stage = Stage({MARGIN: D(10_000), PERP: D(-1)}, open_notional={PERP: D(-58_000)})
    blind = PaperVenue(SPECS, stage.clock, {PERP: D(-1)}, open_notional={PERP: D(-58_000)})
    blind.list_instruments([PERP_BTC])
    with pytest.raises(VenueUnreachableError, match="no mark yet"):
        await blind.accounts[FUTURES].fetch_report()


# --------------------------------------------------------------------------------------------------------- latency
async def test_an_order_meets_the_book_of_its_arrival_and_its_fill_precedes_the_answer() -> None:
    stage = Stage(terms=PaperTerms(uplink_s=0.5, downlink_s=0.25))
    answers: list[Trade] = []

    async def send() -> None:
        answers.append(await stage.futures.execute_order(trade_order(PERP, Side.SELL, "1"), START))

    async with TaskTree("test") as tree:
        tree.spawn("send", send())
        await stage.clock.until_sleepers(1)
        stage.quote(PERP, 60_100, at_s=0.4)
        await stage.clock.advance(0.5)
        assert [t.price for t in stage.tape.trades] == [D("60099.5")]
        assert answers == []
        await stage.clock.advance(0.25)
    assert [t.price for t in answers] == [D("60099.5")]


def test_the_proof_window_must_be_longer_than_the_way_to_the_venue() -> None:
    with pytest.raises(ConfigError, match="expected more than uplink_s"):
        Stage(terms=PaperTerms(uplink_s=5, proof_s=D(5)))


# ------------------------------------------------------------------------------------------------------------- feeds
def test_the_classes_honour_the_ports() -> None:
    stage = Stage()
    accounts: list[ExecutionInterface] = [stage.wallet, stage.futures]
    sources: list[AccountSource] = [stage.wallet, stage.futures]
    upstream = PushedFeed([SPOT_BTC, PERP_BTC])
    feeds: list[Feed] = [PaperFeed(stage.venue, upstream), upstream]
    assert [a.account for a in accounts] == [s.account for s in sources] == [WALLET, FUTURES]
    assert OrderOperation.SPOT_TRADE in stage.wallet.operations
    assert OrderOperation.PERP_TRADE not in stage.wallet.operations
    assert len(feeds) == 2


async def test_the_feed_passes_the_market_on_and_then_says_what_follows_from_it() -> None:
    clock, tape, upstream = Stage().clock, Tape(), PushedFeed([SPOT_BTC, PERP_BTC], history=[mark(59_000)])
    venue = PaperVenue(SPECS, clock, {CASH: D(100_000)})
    feed = PaperFeed(venue, upstream)
    assert set(await feed.start()) == {COIN, PERP}
    assert list(await feed.history()) == [mark(59_000)]
    book = tick(COIN, ((D(59_999), D(1)),), ((D(60_001), D(1)),))
    upstream.push(book)
    async with TaskTree("test") as tree:
        tree.spawn("feed", feed.run(tape))
        await clock.advance(0)
        order = limit_order(COIN, Side.BUY, "1", "59900")
        await venue.accounts[WALLET].execute_order(order, START)
        crossing = tick(COIN, ((D(59_800), D(1)),), ((D(59_900), D(1)),), 1)
        upstream.push(crossing, AccountReport(WALLET, START, 0, {CASH: D(7)}, frozenset()))
        upstream.push(StreamChanged(WALLET, "public", is_up=False, received_ns=0))
        tree.cancel_all()
    kinds = [type(event).__name__ for event in tape.events]
    assert kinds == [
        *("StreamChanged", "StreamChanged", "BookTick", "Trade"),  # both accounts are up, the book, the ack
        *("BookTick", "Trade", "AccountReport", "StreamChanged"),
    ]
    assert tape.trades[-1].order_state is OrderState.FILLED
    assert all(report.holdings != {CASH: D(7)} for report in tape.of(AccountReport))  # nothing of a real account
    venue.on_market(book)  # nobody listens any more


async def test_an_account_knows_the_day_of_its_market_before_the_first_event() -> None:
    clock, upstream = Stage().clock, PushedFeed([SPOT_BTC, PERP_BTC])
    venue = PaperVenue(SPECS, clock, {CASH: D(100_000)})
    await PaperFeed(venue, upstream, lambda: stamp(-86_400)).start()
    report = await venue.accounts[WALLET].fetch_report()
    assert report.observed_at == stamp(-86_400) < clock.wall()


async def test_funding_whose_rate_comes_late_is_found_by_who_asked_before() -> None:
    stage = Stage()
    stage.mark(60_000)
    await stage.futures.execute_order(trade_order(PERP, Side.SELL, "1"), START)
    for hour in (8, 9):
        stage.mark(60_000, at_s=hour * 3_600, next_funding_s=57_600)
    asked_until = stamp(9 * 3_600)
    assert await stage.futures.fetch_cash_flows(asked_until) == []
    stage.settle("0.0001", at_s=28_800)
    (flow,) = await stage.futures.fetch_cash_flows(asked_until)
    assert (flow.venue_time, flow.amount) == (stamp(28_800), D(6))


async def test_a_recording_is_played_to_its_end() -> None:
    async def events() -> AsyncIterator[MarketEvent]:
        yield tick(COIN, ((D(59_999), D(1)),), ((D(60_001), D(1)),))
        yield mark(60_000, at_s=1)

    tape, upstream = Tape(), RecordedFeed([SPOT_BTC, PERP_BTC], events())
    venue = PaperVenue(SPECS, Stage().clock, {CASH: D(100_000)})
    feed = PaperFeed(venue, upstream)
    await feed.start()
    async with TaskTree("test") as tree:
        tree.spawn("feed", feed.run(tape))
        await upstream.ended.wait()
        await feed.close()
    assert [len(tape.of(BookTick)), len(tape.of(MarkTick))] == [1, 1]
    assert await feed.history() == ()


async def test_strangers_and_their_money_reach_the_account() -> None:
    stage = Stage()
    stage.venue.trade_by_hand(PERP, Side.BUY, D("0.3"))
    stage.venue.deposit(CASH, D(250))
    (trade,) = await stage.futures.fetch_trades(START)
    assert (trade.order_id, trade.deltas[PERP]) == ("", D("0.3"))
    (flow,) = await stage.wallet.fetch_cash_flows(START)
    assert (flow.cause, flow.amount) == (Cause.EXTERNAL, D(250))


# ------------------------------------------------------------------------------------------------------ conservation
prices = st.integers(50_000, 70_000)
quantities = st.integers(1, 3_000).map(lambda steps: D(steps) / 1000)
steps = st.one_of(
    st.tuples(st.just("trade"), st.sampled_from([COIN, PERP]), st.sampled_from(list(Side)), quantities, prices),
    st.tuples(st.just("rest"), st.sampled_from([COIN, PERP]), st.sampled_from(list(Side)), quantities, prices),
    st.tuples(st.just("book"), st.sampled_from([COIN, PERP]), st.none(), quantities, prices),
    st.tuples(st.just("fund"), st.just(PERP), st.none(), quantities, prices),
    st.tuples(st.just("move"), st.sampled_from([CASH, MARGIN]), st.none(), quantities, prices),
)
Step = tuple[str, PositionKey, Side | None, Decimal, int]


async def act(stage: Stage, number: int, step: Step) -> None:
    what, key, side, quantity, price = step
    at_s = number * HOURS_8
    match what:
        case "book":
            stage.quote(key, price, str(quantity), at_s)
        case "fund":
            stage.mark(price, at_s, at_s + HOURS_8)
            stage.settle(str(quantity / 10_000 - D("0.00015")), at_s)
        case "move":
            target = FUTURES if key == CASH else WALLET
            await stage.venue.accounts[key.venue].execute_order(transfer_order(key, target, str(quantity * 999)), START)
        case _:
            assert side is not None
            tif = TimeInForce.GTC if what == "rest" else TimeInForce.IOC
            order = limit_order(key, side, str(quantity), str(price), tif)
            await stage.venue.accounts[key.venue].execute_order(order, START)


@pytest.mark.feature("R05")
@given(st.lists(steps, max_size=25))
@pytest.mark.slow
async def test_a_ledger_of_what_the_venue_reports_equals_its_balances_to_the_last_digit(script: list[Step]) -> None:
    opening = {CASH: D(150_000), COIN: D(2), MARGIN: D(20_000)}
    stage = Stage(opening)
    stage.mark(60_000)
    for number, step in enumerate(script, 1):
        try:
            await act(stage, number, step)
        except OrderRejectedError:
            continue
    ledger = ledger_of(opening, stage)
    wallets = stage.venue.exchange.wallets
    assert {key: held for key, held in ledger.holdings().items() if held} == {
        key: held for key, held in wallets.balances.items() if held
    }
    assert ledger.open_notional(PERP, "USDT") == wallets.cost(PERP)
    assert ledger.total(Cause.ROUNDING, "USDT") == 0
    assert (wallets.cost(PERP) == 0) == (wallets.holding(PERP) == 0)
    assert all(held >= 0 for key, held in wallets.balances.items() if key in {COIN, CASH})
