"""After every trade: the ledger, the book, and what the venue says against what we expect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from basis_daemon.domain.breaks import TREATMENTS
from basis_daemon.domain.chain import LendingReport
from basis_daemon.domain.errors import IntegrityError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.domain.order import Side
from basis_daemon.domain.position import AccountFigures, AccountReport, BreakKind
from basis_daemon.domain.trade import Fee, OrderState, Trade, TradeStatus, TxInfo
from basis_daemon.ports import RecordKind
from basis_daemon.venues.paper.faults import Fault, FaultKind
from tests.engine.support import Rig, agrees, folded
from tests.venues.paper_support import (
    CASH,
    COIN,
    FUTURES,
    MARGIN,
    PERP,
    START,
    WALLET,
    D,
    stamp,
    trade_order,
    transfer_order,
)

BNB = PositionKey("binance:spot:BNB")


def fill(trade_id: str = "t1", order_id: str = "", quantity: str = "0.5", **fields: object) -> Trade:
    basics: dict[str, object] = {
        "trade_id": trade_id,
        "order_id": order_id,
        "account": WALLET,
        "instrument": COIN,
        "status": TradeStatus.FILLED,
        "order_state": OrderState.FILLED,
        "price": D(60_000),
        "qty_base": D(quantity),
        "venue_time": START,
        "recv_time": START,
        "deltas": {COIN: D(quantity), CASH: D(quantity) * -60_000},
    }
    return Trade.model_validate(basics | fields)


def holding(*amounts: tuple[PositionKey, str], at_s: float = 0, seen_s: int = 0, **fields: object) -> AccountReport:
    """A full report of the spot wallet, as received at the process second ``seen_s``."""
    held = {key: D(amount) for key, amount in amounts}
    report = AccountReport(WALLET, stamp(at_s), seen_s * 1_000_000_000, held, frozenset({Kind.SPOT}))
    return replace(report, **fields)  # type: ignore[arg-type]  # columns of an example


# --------------------------------------------------------------------------------------------------------- booking
@pytest.mark.feature("O10")
@pytest.mark.fault("F07")
def test_a_trade_is_booked_once_however_often_it_is_told() -> None:
    rig = Rig.adopted()
    for _ in range(3):
        book = rig.handler.process_trades([fill(), fill()])
    assert book.quantity(COIN) == D("0.5")
    assert rig.state.trade_count == 1
    assert rig.handler.changes(WALLET) == 1


@pytest.mark.feature("R05")
@pytest.mark.fault("F11")
def test_a_fee_in_a_third_asset_is_a_posting_of_its_own() -> None:
    rig = Rig.adopted()
    deltas = {COIN: D("0.5"), CASH: D(-30_000), BNB: D("-0.04")}
    rig.handler.process_trades([fill(deltas=deltas, fees=(Fee(asset="BNB", quantity=D("0.04")),))])
    assert (rig.held(COIN), rig.held(BNB)) == (D("0.5"), D("-0.04"))
    assert rig.state.ledger.total(Cause.FEE, "BNB") == D("-0.04")
    assert rig.state.ledger.total(Cause.TRADE, "BTC") == D("0.5")


@pytest.mark.feature("R03", part="cex")
@pytest.mark.fault("F10", "F18", "manual_trade")
def test_a_fill_that_is_not_ours_raises_the_alarm_and_is_booked() -> None:
    rig = Rig.adopted()
    rig.stage.venue.trade_by_hand(PERP, Side.BUY, D("0.3"))
    assert [what for what, _ in rig.alarms] == ["fill of an order that is not ours"]
    assert rig.held(PERP) == D("0.3")
    assert agrees(rig)


@pytest.mark.feature("R03", part="cex")
@pytest.mark.fault("F18", "foreign_order")
async def test_an_order_of_another_hand_is_adopted_with_its_owner_until_it_is_gone() -> None:
    rig = Rig.adopted()
    seen = await rig.report("binance")
    theirs = replace(seen, open_order_ids=("manual-1",))
    for _ in range(2):
        rig.handler.observe(theirs, is_settled=True)
    assert [(what, values["owner"]) for what, values in rig.alarms] == [("order of another hand", "external")]
    assert folded(rig).foreign_orders == rig.state.foreign_orders
    assert rig.state.foreign_orders["manual-1"].account == "binance"
    rig.handler.observe(seen, is_settled=True)
    assert rig.state.foreign_orders == {} == folded(rig).foreign_orders


async def test_a_fill_of_an_order_believed_dead_raises_the_alarm_and_is_booked() -> None:
    rig = Rig.adopted()
    order = trade_order(COIN, Side.BUY, "0.5")
    rig.faults.add(1, Fault(FaultKind.REJECT))
    life = await rig.run(order)
    rig.handler.process_trades([fill(order_id=order.order_id)])
    assert [what for what, _ in rig.alarms] == ["fill of an order believed dead"]
    assert (life.state, life.cum_filled) == (OrderState.REJECTED, D("0.5"))
    assert rig.held(COIN) == D("0.5")


@pytest.mark.feature("O10")
@pytest.mark.fault("F10", "overfill")
async def test_more_than_was_ordered_is_booked_and_halts_the_instrument_until_an_operator_rearms() -> None:
    rig = Rig.adopted()
    order = trade_order(COIN, Side.BUY, "0.5")
    await rig.run(order)
    for _ in range(2):
        rig.handler.process_trades([fill("late", order.order_id, "0.001")])
    assert rig.held(COIN) == D("0.4995") + D("0.001")
    why = f"order {order.order_id}: filled 0.501, expected at most 0.5"
    assert rig.alarms == [("instrument halted", {"instrument": COIN, "why": why})]
    kinds = [row.record.kind for row in rig.journal.read()]
    assert kinds.index(RecordKind.HALT) < len(kinds) - 1 - kinds[::-1].index(
        RecordKind.TRADE
    )  # on disk before its fill
    again = Rig(stage=rig.stage, journal=rig.journal)
    assert again.state.halts == {COIN: why}
    again.guard.rearm("operator")
    assert not again.state.halts
    assert not Rig(stage=rig.stage, journal=rig.journal).state.halts


def test_the_book_has_one_synchronous_writer() -> None:
    rig = Rig.adopted()

    def within() -> Iterator[Trade]:
        rig.handler.publish()
        yield fill()

    with pytest.raises(IntegrityError, match="entered twice"):
        rig.handler.process_trades(within())
    assert rig.handler.process_trades([fill()]).quantity(COIN) == D("0.5")  # and the door is open again


@pytest.mark.feature("R07", part="cex")
async def test_funding_is_booked_once_as_an_event_of_its_own() -> None:
    rig = Rig.adopted()
    await rig.run(trade_order(PERP, Side.SELL, "1.2"))
    rig.stage.mark(61_000, at_s=28_000)
    rig.stage.settle("0.0003", at_s=28_800)
    flows = await rig.stage.futures.fetch_cash_flows(START)
    for _ in range(2):
        rig.handler.process_cash_flows(flows)
    assert rig.state.ledger.total(Cause.FUNDING, "USDT") == D("21.96")
    assert agrees(rig)


@pytest.mark.feature("R04", part="cex")
async def test_spot_perps_margin_and_transfers_stand_in_one_book() -> None:
    rig = Rig.adopted()
    await rig.run(transfer_order(CASH, FUTURES, "10000"))
    await rig.run(trade_order(COIN, Side.BUY, "0.5"))
    await rig.run(trade_order(PERP, Side.SELL, "0.5"))
    book = rig.monitor.book
    assert {key: amount for key, amount in book.holdings.items() if amount} == {
        CASH: D(90_000) - D("30000.25"),
        COIN: D("0.4995"),
        MARGIN: D(60_000) - D("14.999875"),
        PERP: D("-0.5"),
    }
    assert book.open_notional[PERP] == D("-29999.75")
    assert rig.state.ledger.total(Cause.TRANSFER, "USDT") == 0


def test_a_position_found_at_the_first_start_is_adopted_at_its_cost() -> None:
    rig = Rig()
    rig.stage.venue.trade_by_hand(PERP, Side.SELL, D(1))
    again = Rig(stage=rig.stage)
    for account in rig.stage.venue.accounts:
        again.handler.adopt(rig.stage.venue.exchange.report(account))
    assert (again.held(PERP), again.monitor.book.open_notional[PERP]) == (D(-1), D("-59999.5"))
    assert agrees(again)


@pytest.mark.fault("F57")
def test_books_are_immutable_and_numbered() -> None:
    rig = Rig.adopted()
    before = rig.monitor.book
    after = rig.handler.process_trades([fill()])
    assert before.quantity(COIN) == 0
    assert after.version == before.version + 1
    assert after is rig.monitor.book


# ----------------------------------------------------------------------------------- the book against the venue
@pytest.mark.feature("R06", part="cex")
def test_a_difference_is_a_break_when_it_is_read_twice_and_closes_when_it_is_gone() -> None:
    rig = Rig.adopted()
    off, late, right = (
        holding((CASH, amount), seen_s=seen_s) for amount, seen_s in (("99990", 0), ("99990", 2), ("100000", 3))
    )
    assert [b.kind for b in rig.handler.observe(off, is_settled=True)] == [BreakKind.UNKNOWN]
    assert not rig.monitor.book.breaks
    rig.handler.observe(off, is_settled=True)
    assert not rig.monitor.book.breaks  # as often as you like: a balance may lag for a moment
    rig.handler.observe(late, is_settled=True)
    (found,) = rig.monitor.book.breaks
    assert (found.key, found.expected, found.actual, found.difference) == (CASH, D(100_000), D(99_990), D(-10))
    assert rig.alarms == [
        ("book and venue differ", {"holding": CASH, "difference": "-10", "kind": "unknown", "policy": "halt"})
    ]
    assert rig.handler.observe(right, is_settled=True) == ()
    assert rig.handler.has_breaks(WALLET)
    rig.handler.observe(right, is_settled=True)
    assert not rig.monitor.book.breaks
    assert rig.state.breaks_opened == 1
    assert rig.held(CASH) == D(100_000)  # never overwritten


def test_two_misses_with_agreement_in_between_are_no_break() -> None:
    rig = Rig.adopted()
    for seen_s, amount in enumerate(("99990", "100000") * 5):
        rig.handler.observe(holding((CASH, amount), seen_s=seen_s), is_settled=True)
    assert not rig.monitor.book.breaks


@pytest.mark.fault("F19", "venue_lies")
def test_a_venue_that_tells_now_this_and_now_that_does_not_make_a_break_come_and_go() -> None:
    rig = Rig.adopted()
    for seen_s, amount in enumerate(("99990", "99990", "99990", "100000") * 5):
        rig.handler.observe(holding((CASH, amount), seen_s=seen_s), is_settled=True)
    assert rig.state.breaks_opened == 1
    assert rig.handler.has_breaks(WALLET)
    assert rig.held(CASH) == D(100_000)


def test_a_difference_within_tolerance_is_none() -> None:
    rig = Rig.adopted()
    assert rig.handler.observe(holding((CASH, "99999.2")), is_settled=True) == ()


@pytest.mark.feature("R06", part="cex")
def test_a_holding_that_vanished_at_the_venue_is_seen() -> None:
    rig = Rig.adopted()
    rig.handler.process_trades([fill()])
    for seen_s in (0, 2):
        rig.handler.observe(holding((CASH, "70000"), seen_s=seen_s), is_settled=True)
    (found,) = rig.monitor.book.breaks
    assert (found.key, found.actual, found.kind) == (COIN, D(0), BreakKind.UNKNOWN)


@pytest.mark.feature("R06", part="cex")
@pytest.mark.fault("F17")
def test_a_perp_that_nobody_ordered_is_external() -> None:
    rig = Rig.adopted()
    covers = frozenset({Kind.SPOT, Kind.PERP})
    report = AccountReport(FUTURES, START, 0, {MARGIN: D(50_000), PERP: D("0.001")}, covers)
    for seen_ns in (0, TREATMENTS[BreakKind.UNKNOWN].patience_s * 1_000_000_000):
        found = rig.handler.observe(replace(report, received_ns=seen_ns), is_settled=True)
    assert [b.kind for b in found] == [BreakKind.EXTERNAL]
    assert [b.key for b in rig.monitor.book.breaks] == [PERP]


@pytest.mark.feature("R06", part="cex")
def test_while_something_moves_a_difference_is_lag_and_only_a_reason_to_ask_again() -> None:
    rig = Rig.adopted()
    for _ in range(3):
        found = rig.handler.observe(holding((CASH, "99990")), is_settled=False)
    assert [b.kind for b in found] == [BreakKind.LAG]
    assert not rig.monitor.book.breaks


def test_a_partial_report_never_opens_a_break() -> None:
    rig = Rig.adopted()
    for _ in range(3):
        found = rig.handler.observe(holding((COIN, "7"), is_partial=True), is_settled=True)
    assert [b.key for b in found] == [COIN]  # and what it does not mention is not zero
    assert not rig.monitor.book.breaks


def test_a_report_older_than_the_last_trade_is_ignored() -> None:
    rig = Rig.adopted()
    rig.handler.process_trades([fill(venue_time=stamp(10))])
    stale = holding((CASH, "100000"), at_s=9)
    for _ in range(3):
        assert rig.handler.observe(stale, is_settled=True) == ()
    assert not rig.monitor.book.breaks


def test_a_break_is_journalled_when_it_opens_and_when_it_closes() -> None:
    rig = Rig.adopted()
    for seen_s, amount in enumerate(("99990", "99990", "99990", "100000", "100000", "100000")):
        rig.handler.observe(holding((CASH, amount), seen_s=seen_s), is_settled=True)
    assert len(rig.journal.read(kinds=frozenset({RecordKind.BREAK}))) == 2


def test_flows_of_other_accounts_do_not_disturb_a_settled_comparison() -> None:
    rig = Rig.adopted()
    flow = CashFlow("f", MARGIN, D(1), Cause.FUNDING, START, PERP)
    rig.handler.process_cash_flows([flow])
    assert (rig.handler.changes(WALLET), rig.handler.changes(FUTURES)) == (0, 1)


def test_what_others_did_before_the_account_was_adopted_is_in_its_opening_already() -> None:
    """Asked for the last minutes, the venue tells of fills and funding that its opening balance contains."""
    rig = Rig()
    rig.handler.adopt(holding((CASH, "70000"), (COIN, "0.5"), at_s=60))
    rig.handler.process_trades([fill(venue_time=stamp(10))])
    rig.handler.process_cash_flows([CashFlow("f", CASH, D(5), Cause.FUNDING, stamp(20), None)])
    assert (rig.held(COIN), rig.held(CASH)) == (D("0.5"), D(70_000))
    rig.handler.process_cash_flows([CashFlow("g", CASH, D(5), Cause.FUNDING, stamp(61), None)])
    assert rig.held(CASH) == D(70_005)
    again = Rig(stage=rig.stage, journal=rig.journal)
    again.handler.process_trades([fill(venue_time=stamp(10))])
    assert again.held(COIN) == D("0.5")


def test_a_transaction_of_the_block_that_an_account_was_adopted_at_is_in_its_opening_already() -> None:
    """What an operator sent before the first start is told again until it is final, also before anything is adopted."""
    tx = TxInfo(hash="0x1", block=7, gas_used=1, gas_price=1, nonce=0)
    rig = Rig()
    rig.handler.process_trades([fill(venue_time=stamp(60), tx=tx)])
    rig.handler.adopt(holding((CASH, "70000"), (COIN, "0.5"), at_s=60))
    rig.handler.process_trades([fill(venue_time=stamp(60), tx=tx)])
    assert (rig.held(COIN), rig.held(CASH)) == (D("0.5"), D(70_000))
    rig.handler.process_trades([fill(venue_time=stamp(61), tx=tx)])
    assert rig.held(COIN) == 1


def test_a_lenders_figures_from_before_our_last_transaction_there_are_not_known_any_more() -> None:
    """A health factor of the position before it was levered, or of its terms then, is a false alarm."""
    tx = TxInfo(hash="0x1", block=7, gas_used=1, gas_price=1, nonce=0)
    lending = LendingReport(WALLET, D(100), D(0), D("0.78"), D("0.78"), None, 0)
    rig = Rig()
    rig.handler.adopt(holding((CASH, "70000"), at_s=60))
    rig.handler.see_figures(AccountFigures(WALLET, stamp(60), lending))
    assert rig.monitor.book.figures[WALLET].lending is lending
    rig.handler.process_trades([fill(venue_time=stamp(61), deltas={MARGIN: D(-1)}, qty_base=D(0), price=None, tx=tx)])
    assert rig.monitor.book.figures[WALLET].lending is None
    rig.handler.see_figures(AccountFigures(WALLET, stamp(61), lending))
    assert rig.monitor.book.figures[WALLET].lending is None, "what had accrued until then is not booked yet"
    rig.handler.observe(holding((CASH, "70000"), at_s=61), is_settled=True)
    assert rig.monitor.book.figures[WALLET].lending is lending


def test_two_different_differences_in_a_row_are_two_delays_and_no_break() -> None:
    rig = Rig.adopted()
    for seen_s, amount in ((0, "99990"), (2, "99980")):
        rig.handler.observe(holding((CASH, amount), seen_s=seen_s), is_settled=True)
    assert not rig.monitor.book.breaks
    rig.handler.observe(holding((CASH, "99980"), seen_s=4), is_settled=True)
    assert [found.difference for found in rig.monitor.book.breaks] == [D(-20)]


async def test_a_fill_read_again_after_its_order_ended_is_not_journalled_again() -> None:
    """Each reconciliation reads the last minutes; a part of a filled order is no news in any of them."""
    rig = Rig.adopted()
    order = trade_order(COIN, Side.BUY, "1")
    await rig.recorder.intents([order])
    part = fill("t1", order.order_id, status=TradeStatus.PARTIAL, order_state=OrderState.PARTIAL)
    rest = fill("t2", order.order_id)
    rig.recorder.move(order, OrderState.SUBMITTED)
    rig.handler.process_trades([part, rest])
    rows = len(rig.journal.read())
    rig.handler.process_trades([part, rest])
    assert len(rig.journal.read()) == rows
