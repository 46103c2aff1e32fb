"""What the adapter does while its venue answers late, wrongly, twice or not at all, over the real wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.clock import ManualClock
from basis_daemon.domain.errors import ErrorClass, OrderRejectedError, OutcomeUnknownError, VenueUnreachableError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.market import BookTick, MarkTick, StreamChanged
from basis_daemon.domain.order import Side
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.engine.freshness import Freshness, FreshnessLimits
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.position_monitor import PositionMonitor
from basis_daemon.engine.position_update_handler import PositionUpdateHandler
from basis_daemon.engine.reconciler import Reconciler
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import recover
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import Finding, InstrumentDoubted
from basis_daemon.venues.cex.ticks import REFUSALS_MAX
from tests.venue_contract import order_for, small
from tests.venues.rig import PERP_BTC, QUIET, SPOT_BTC, AccountUnderTest, Rig

pytestmark, D = pytest.mark.slow, Decimal
BOTH = pytest.mark.parametrize("key", [SPOT_BTC, PERP_BTC], ids=["spot", "perp"])
USDM, USDM_CASH = "binanceusdm", PositionKey.of("binanceusdm", Kind.SPOT, "USDT")
ACCOUNT_PATH = "/fapi/v3/account"


class Book:
    """The engine's own book of one account of a rig, reconciled over the wire."""

    def __init__(self, rig: Rig, account: str = USDM) -> None:
        self.rig = rig
        journal = MemoryJournal(ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))
        self.recorder = Recorder(recover(journal), journal)
        self.recorder.state.instruments.update(rig.instruments)
        self.alarms: list[str] = []
        self.handler = PositionUpdateHandler(self.recorder, PositionMonitor(), self._alarm)
        self.freshness = Freshness(Mailbox(), FreshnessLimits(D(5), D(20)))
        self.reconciler = Reconciler(
            rig.source(account), self.recorder, self.handler, self.freshness, rig.clock, self._alarm
        )
        self.interface = rig.venue.interface(account, self.take)

    def _alarm(self, what: str, facts: Mapping[str, str]) -> None:
        del facts
        self.alarms.append(what)

    def take(self, trade: Trade) -> None:
        self.handler.process_trades([trade])

    def held(self, key: PositionKey) -> Decimal:
        return self.recorder.state.ledger.holding(key)

    async def buy(self, key: PositionKey = PERP_BTC) -> Decimal:
        """Sent as the engine would, intent first; what was filled."""
        account = AccountUnderTest(self.rig, key)
        order = order_for(account, Side.BUY, small(account))
        await self.recorder.intents([order])
        self.recorder.move(order, OrderState.SUBMITTED, at=account.wall)
        trade = await self.interface.execute_order(order, account.wall)
        self.take(trade)
        return trade.cum_filled

    async def reconciled(self, times: int, every_s: float = 1.0) -> Sequence[bool]:
        found = []
        for _ in range(times):
            found.append(await self.reconciler.reconcile())
            self.rig.clock.ahead += every_s * TO_SECONDS
        return found


TO_SECONDS = datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC) - datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def book(listening: Rig) -> Book:
    adopted = Book(listening)
    await adopted.reconciler.adopt()
    return adopted


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[Rig]:
    """Gives up on an order after half a second."""
    async with Rig(tmp_path, replace(QUIET, order_timeout_s=0.5)) as rig:
        yield await rig.listen()


# ------------------------------------------------------------------------------------------------ orders on the wire
@BOTH
@pytest.mark.fault("F03", "late_request")
async def test_a_request_that_arrives_after_we_gave_up_is_doubt_until_the_order_is_found(
    hasty: Rig, key: PositionKey
) -> None:
    account = AccountUnderTest(hasty, key)
    order, sent_at = order_for(account, Side.BUY, small(account)), account.wall
    hasty.arm("late_request", method="POST", path="/order")
    with pytest.raises(OutcomeUnknownError):
        await account.interface.execute_order(order, account.wall)
    assert (await account.interface.find_order(order, sent_at)).finding is Finding.NOT_YET

    hasty.exchange.faults.clear()
    while (evidence := await account.interface.find_order(order, sent_at)).finding is Finding.NOT_YET:
        pass
    assert evidence.trade is not None
    assert evidence.trade.cum_filled == order.quantity


@pytest.mark.fault("F03", "late_request")
async def test_beyond_its_receive_window_a_late_request_is_refused_and_absence_is_proved_only_then(hasty: Rig) -> None:
    account = AccountUnderTest(hasty, PERP_BTC)
    order, sent_at = order_for(account, Side.BUY, small(account)), account.wall
    hasty.arm("late_request", method="POST", path="/order", seconds=5.5)
    with pytest.raises(OutcomeUnknownError):
        await account.interface.execute_order(order, account.wall)
    assert (await account.interface.find_order(order, sent_at)).finding is Finding.NOT_YET
    await hasty.wire_is_empty()
    assert (await account.interface.find_order(order, sent_at)).finding is Finding.NOT_YET
    assert not hasty.exchange.venue.accounts["sandbox-key"].store("usdm").orders
    account.pass_time(account.interface.absence_proof_s)
    assert (await account.interface.find_order(order, sent_at)).finding is Finding.ABSENT


@BOTH
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        pytest.param("garbage", {"form": "truncated"}, marks=pytest.mark.fault("F01", "garbage")),
        pytest.param("garbage", {"form": "empty"}, marks=pytest.mark.fault("F01", "garbage")),
        pytest.param("garbage", {"form": "html"}, marks=pytest.mark.fault("F14", "garbage")),
        pytest.param("garbage", {"form": "object"}, marks=pytest.mark.fault("F01", "garbage")),
        pytest.param("executed_unknown", {}, marks=pytest.mark.fault("F01", "503")),
        pytest.param("executed_unknown", {"code": -1007, "status": 408}, marks=pytest.mark.fault("F01", "503")),
        pytest.param("accept_then_drop", {}, marks=pytest.mark.fault("F01", "accept_then_drop")),
    ],
)
async def test_an_order_whose_answer_helps_nobody_is_found_by_its_id_and_sent_once(
    listening: Rig, key: PositionKey, kind: str, fields: dict[str, object]
) -> None:
    account = AccountUnderTest(listening, key)
    order = order_for(account, Side.BUY, small(account))
    listening.arm(kind, method="POST", path="/order", **fields)
    with pytest.raises(OutcomeUnknownError):
        await account.interface.execute_order(order, account.wall)
    evidence = await account.interface.find_order(order, account.wall)
    assert evidence.trade is not None
    assert evidence.trade.cum_filled == order.quantity
    store = listening.exchange.venue.accounts["sandbox-key"].store("spot" if key == SPOT_BTC else "usdm")
    assert [known.client_id for known in store.orders.values()] == [order.order_id]


@BOTH
@pytest.mark.fault("F02", "F14", "503")
async def test_a_page_of_html_instead_of_an_answer_is_doubt_until_absence_is_proved(
    listening: Rig, key: PositionKey
) -> None:
    account = AccountUnderTest(listening, key)
    order, sent_at = order_for(account, Side.BUY, small(account)), account.wall
    listening.arm("bad_gateway", method="POST", path="/order")
    with pytest.raises(OutcomeUnknownError):
        await account.interface.execute_order(order, account.wall)
    assert (await account.interface.find_order(order, sent_at)).finding is Finding.NOT_YET
    account.pass_time(account.interface.absence_proof_s)
    assert (await account.interface.find_order(order, sent_at)).finding is Finding.ABSENT


@BOTH
@pytest.mark.fault("503")
async def test_an_overloaded_venue_says_that_it_did_not_take_the_order(listening: Rig, key: PositionKey) -> None:
    account = AccountUnderTest(listening, key)
    listening.arm("unavailable", method="POST", path="/order", code=-1008, message="Server is currently overloaded")
    with pytest.raises(OrderRejectedError) as refusal:
        await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)
    assert refusal.value.error_class is ErrorClass.RATE_LIMITED


@BOTH
@pytest.mark.fault("venue_rejects")
async def test_a_venue_that_refuses_everything_is_refused_evidence_and_never_doubt(
    listening: Rig, key: PositionKey
) -> None:
    account = AccountUnderTest(listening, key)
    listening.arm("reject", method="POST", path="/order", code=-2019, message="Margin is insufficient.", count=99)
    for _ in range(3):
        with pytest.raises(OrderRejectedError):
            await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)
    assert not account.trades
    assert key.venue == (await account.source.fetch_report()).account


@pytest.mark.fault("F13", "429")
async def test_a_ban_ends_neither_the_streams_nor_the_process_and_nobody_asks_before_it_is_over(
    listening: Rig,
) -> None:
    listening.arm("reject", path=ACCOUNT_PATH, code=-1003, status=418, retry_after_s=600, message="Way too many")
    with pytest.raises(VenueUnreachableError):
        await listening.source(USDM).fetch_report()
    asked = listening.exchange.gateway.limits["usdm"]._window.weight
    account = AccountUnderTest(listening, PERP_BTC)
    with pytest.raises(VenueUnreachableError, match="nothing was sent"):
        await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)
    for feed in listening.feed.accounts:  # what used to end the feed: a login that the budget forbids to prolong
        await feed.keep_login()
    assert listening.noted("login_not_kept")
    assert listening.exchange.gateway.limits["usdm"]._window.weight == asked


# --------------------------------------------------------------------------------------- what the venue says we hold
@pytest.mark.fault("F19", "venue_lags")
async def test_balances_that_lag_behind_the_fills_are_waited_for_and_the_book_is_the_fills(book: Book) -> None:
    assert await book.reconciler.reconcile()
    book.rig.arm("stale_account", path=ACCOUNT_PATH, count=3)
    filled = await book.buy()
    assert book.held(PERP_BTC) == filled
    assert list(await book.reconciled(4, every_s=0.4)) == [False, False, False, True]
    assert (book.held(PERP_BTC), book.recorder.state.breaks_opened) == (filled, 0)


@pytest.mark.fault("F19", "venue_lies")
async def test_a_single_lie_changes_nothing_and_a_lasting_one_is_a_break_that_never_rewrites_the_book(
    book: Book,
) -> None:
    filled = await book.buy()
    book.rig.arm("lie_account", path=ACCOUNT_PATH, asset="BTCUSDT", amount=D("0.5"))
    assert list(await book.reconciled(2)) == [False, True]
    assert book.recorder.state.breaks_opened == 0

    book.rig.arm("lie_account", path=ACCOUNT_PATH, asset="USDT", amount=D(-3000), count=4)
    assert list(await book.reconciled(7)) == [False] * 5 + [True] * 2
    assert (book.recorder.state.breaks_opened, book.recorder.state.breaks) == (1, {})
    assert book.alarms.count("book and venue differ") == 1
    assert book.held(PERP_BTC) == filled


@pytest.mark.fault("F20", "venue_lags")
@pytest.mark.parametrize(
    ("kind", "fields"), [("unavailable", {}), ("garbage", {"form": "object"}), ("bad_gateway", {})]
)
async def test_positions_that_cannot_be_had_are_stale_and_never_flat(
    book: Book, kind: str, fields: dict[str, object]
) -> None:
    filled = await book.buy()
    assert await book.reconciler.reconcile()
    book.rig.arm(kind, path=ACCOUNT_PATH, count=3, **fields)
    assert list(await book.reconciled(3, every_s=10)) == [False] * 3
    age = book.freshness.ages((), (USDM,), book.rig.clock.monotonic_ns())[f"account:{USDM}"]
    assert age.is_stale
    assert (book.held(PERP_BTC), book.recorder.state.breaks_opened) == (filled, 0)
    book.rig.clock.ahead += 60 * TO_SECONDS
    assert await book.reconciler.reconcile()


# -------------------------------------------------------------------------------------------------------- other hands
@pytest.mark.fault("F18", "F10", "manual_trade")
async def test_a_human_trades_on_the_account_and_the_next_reconciliation_has_booked_it(book: Book) -> None:
    event = {"kind": "trade", "market": "usdm", "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.02"}
    book.rig.exchange.happen(event)
    assert await book.reconciler.reconcile()
    assert book.held(PERP_BTC) == D("-0.02")
    assert book.alarms == ["fill of an order that is not ours"]
    assert book.recorder.state.breaks_opened == 0


@pytest.mark.fault("F18", "foreign_order")
async def test_an_order_of_another_hand_is_adopted_told_once_and_let_go(book: Book) -> None:
    order = {"kind": "order", "market": "usdm", "symbol": "BTCUSDT", "side": "BUY", "quantity": "0.01"}
    book.rig.exchange.happen({**order, "price": "30000", "client_id": "web_1"})
    assert await book.reconciler.reconcile()
    assert await book.reconciler.reconcile()
    assert list(book.recorder.state.foreign_orders) == ["web_1"]
    assert book.alarms == ["order of another hand"]
    book.rig.exchange.happen({"kind": "cancel", "market": "usdm", "symbol": "BTCUSDT", "client_id": "web_1"})
    assert await book.reconciler.reconcile()
    assert not book.recorder.state.foreign_orders


@pytest.mark.fault("F10", "overfill")
async def test_an_overfill_is_booked_to_truth_and_halts_its_instrument(book: Book) -> None:
    filled = await book.buy()
    book.rig.exchange.happen({"kind": "overfill", "market": "usdm", "symbol": "BTCUSDT", "quantity": "0.003"})
    await book.reconciled(2)
    assert book.held(PERP_BTC) == filled + D("0.003")
    assert list(book.recorder.state.halts) == [PERP_BTC]
    assert "instrument halted" in book.alarms
    assert await book.reconciler.reconcile()


# ------------------------------------------------------------------------------------------------------------- frames
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("duplicate_ws", marks=pytest.mark.fault("F07", "duplicate_frames")),
        pytest.param("reorder_ws", marks=pytest.mark.fault("F08", "reordered_frames")),
        pytest.param("drop_fill", marks=pytest.mark.fault("F07", "dropped_frames")),
    ],
)
@BOTH
async def test_private_frames_twice_in_the_wrong_order_or_lost_make_the_same_book(
    listening: Rig, key: PositionKey, kind: str
) -> None:
    book = Book(listening, key.venue)
    await book.reconciler.adopt()
    before = book.held(key)
    listening.arm(kind, path="user")
    listening.exchange.hub.flush()
    filled = [await book.buy(key) for _ in range(2)]
    for trade in listening.of(Trade):
        book.take(trade)
    fee_share = D(0) if key == PERP_BTC else D("0.001")
    assert book.held(key) - before == sum(filled) * (1 - fee_share)
    assert await book.reconciler.reconcile()
    assert book.recorder.state.breaks_opened == 0


@pytest.mark.parametrize("kind", ["duplicate_ws", "reorder_ws"])
@pytest.mark.fault("F24", "F28", "duplicate_frames", "reordered_frames")
async def test_market_frames_twice_or_in_the_wrong_order_never_lead_back_in_time(listening: Rig, kind: str) -> None:
    for stream in ("spot", "usdm"):
        listening.arm(kind, path=stream)
    listening.exchange.hub.flush()
    for _ in range(6):
        await listening.exchange.advance(60)
    newest = listening.exchange.venue.now_ms

    def is_caught_up() -> bool:
        return all(listening.book(key).venue_time.timestamp() * 1000 >= newest for key in (SPOT_BTC, PERP_BTC))

    while not is_caught_up():
        await listening.exchange.advance(60)
        newest = listening.exchange.venue.now_ms
        await listening.until(lambda: len(listening.events) > 0)
    for key in (SPOT_BTC, PERP_BTC):
        stamps = [tick.venue_time for tick in listening.of(BookTick) if tick.instrument == key]
        assert stamps == sorted(stamps)
    marks = [tick.venue_time for tick in listening.of(MarkTick)]
    assert marks == sorted(marks)


@pytest.mark.parametrize("word", ["nan", "zero", "negative", "leap"])
@pytest.mark.fault("F26")
async def test_a_mark_that_cannot_be_is_refused_at_the_boundary(listening: Rig, word: str) -> None:
    before = len(listening.of(MarkTick))
    true = listening.exchange.venue.marks["BTCUSDT"]
    listening.arm("price_ws", path="mark", text=word, count=2)
    await listening.exchange.advance(240)
    await listening.until(lambda: len(listening.of(MarkTick)) >= before + 2)
    assert all(abs(tick.mark / true - 1) < D("0.1") for tick in listening.of(MarkTick))
    counts = listening.feed.accounts[1].counts
    assert counts["mark_refused"] + counts["poison"] == 2
    assert not listening.of(InstrumentDoubted)


@pytest.mark.fault("F26")
async def test_marks_that_make_no_sense_again_and_again_halt_the_instrument(listening: Rig) -> None:
    listening.arm("price_ws", path="mark", text="leap", count=REFUSALS_MAX)
    await listening.exchange.advance(60 * (REFUSALS_MAX + 1))
    await listening.until(lambda: bool(listening.of(InstrumentDoubted)))
    (doubted,) = listening.of(InstrumentDoubted)
    assert doubted.instrument == PERP_BTC
    assert "20 marks in a row make no sense" in doubted.why


@pytest.mark.parametrize(("market", "key"), [("spot", SPOT_BTC), ("usdm", PERP_BTC)])
@pytest.mark.fault("F26")
async def test_a_crossed_book_is_refused_and_the_next_true_one_is_taken(
    listening: Rig, market: str, key: PositionKey
) -> None:
    before = len([tick for tick in listening.of(BookTick) if tick.instrument == key])
    for _ in range(3):  # one of the books that this venue lists
        listening.arm("price_ws", path=market, text="crossed")
    for _ in range(4):
        await listening.exchange.advance(60)
    await listening.until(lambda: len([t for t in listening.of(BookTick) if t.instrument == key]) > before)
    assert all(tick.bid < tick.ask for tick in listening.of(BookTick))
    assert not listening.of(InstrumentDoubted)


@pytest.mark.parametrize(
    ("text", "repeat"), [("[", 200_000), ('{"a":', 100_000), ("x", 4_100_000), ("\\ud800", 1), ("[]", 1), ("7", 1)]
)
@pytest.mark.fault("F27", "F61", "poison_ws")
async def test_a_frame_that_is_nested_huge_or_nonsense_is_dropped_and_the_stream_lives(
    listening: Rig, text: str, repeat: int
) -> None:
    before = len(listening.of(BookTick))
    listening.arm("poison_ws", path="usdm", text=text, repeat=repeat)
    for _ in range(2):
        await listening.exchange.advance(60)
    await listening.until(lambda: len(listening.of(BookTick)) > before + 2)
    assert not [e for e in listening.of(StreamChanged) if not e.is_up and e.stream == "user"]
