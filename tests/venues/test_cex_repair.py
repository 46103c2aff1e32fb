"""A book that lacks what its venue records: shown with its evidence, booked by a repair, and reconciled after."""

from __future__ import annotations

from decimal import Decimal

import pytest

from basis_daemon.domain.errors import ReconciliationError
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.order import Side
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.repair import Repair, apply, document, propose
from basis_daemon.engine.state import recover
from basis_daemon.ports import RecordKind
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.read_only import Inspection, WriteRefusedError
from tests.venue_contract import order_for, small
from tests.venues.rig import PERP_BTC, AccountUnderTest, Rig
from tests.venues.test_cex_foreign import MARGIN, Book

D = Decimal
pytestmark = [pytest.mark.slow, pytest.mark.feature("R08")]


@pytest.fixture
async def book(listening: Rig) -> Book:
    return await Book(listening).adopted()


async def proposed(book: Book) -> Repair:
    return await propose(book.state, [book.rig.source(account) for account in book.rig.venue.accounts])


async def trade_by_hand(book: Book, side: str = "SELL", quantity: str = "0.05") -> None:
    event = {"kind": "trade", "market": "usdm", "symbol": "BTCUSDT", "side": side, "quantity": quantity}
    book.rig.exchange.happen(event)


async def test_a_book_that_agrees_needs_nothing(book: Book) -> None:
    assert (await proposed(book)).is_empty


async def test_missed_fills_and_funding_are_shown_as_the_venues_own_rows_and_the_book_is_left_alone(book: Book) -> None:
    await trade_by_hand(book)
    await book.rig.exchange.advance(9 * 3600)
    before = book.state.dump()
    found = await proposed(book)
    assert sum((t.deltas[PERP_BTC] for t in found.trades), D(0)) == D("-0.05")
    assert [flow.cause for flow in found.flows] == [Cause.FUNDING]
    assert found.corrections == ()
    assert book.state.dump() == before
    apply(found, book.recorder, "operator")
    assert (await proposed(book)).is_empty
    assert await book.period()
    assert book.state.breaks_opened == 0


async def test_what_no_row_explains_is_corrected_by_exactly_the_posting_that_was_shown(book: Book) -> None:
    account = book.rig.exchange.venue.accounts["sandbox-key"]
    account.wallet["USDT"] -= D("40.25")  # the venue took it and says nothing
    account.position("BTCUSDT").quantity, account.position("BTCUSDT").cost = D("-0.1"), D(-6000)
    found = await proposed(book)
    shown = {item["key"]: item for item in document(found)["breaks"]}
    assert (shown[MARGIN]["kind"], shown[MARGIN]["policy"], shown[MARGIN]["difference"]) == (
        "unknown", "halt", "-40.25000000",
    )  # fmt: skip
    assert shown[MARGIN]["postings"][0] == {
        "account": MARGIN, "asset": "USDT", "amount": "-40.25000000", "cause": "correction",
    }  # fmt: skip
    assert shown[PERP_BTC]["kind"] == "external"
    assert [line["asset"] for line in shown[PERP_BTC]["postings"]] == ["perp:BTCUSDT"] * 2 + ["cost:USDT"] * 2
    apply(found, book.recorder, "operator")
    assert await book.period()
    assert book.state.ledger.open_notional(PERP_BTC, "USDT") == D(-6000)
    assert book.state.ledger.total(Cause.CORRECTION, "USDT") == D("-40.25")


async def test_a_repair_is_audited_and_survives_a_restart(book: Book) -> None:
    book.rig.exchange.venue.accounts["sandbox-key"].wallet["USDT"] += 70
    apply(await proposed(book), book.recorder, '{"command": "repair"}')
    rows = [row.record.kind for row in book.journal.read()]
    assert rows[-2:] == [RecordKind.OPERATOR, RecordKind.CORRECTION]
    again = recover(book.journal)
    assert again.ledger.holdings() == book.state.ledger.holdings()
    assert again.ledger.total(Cause.CORRECTION, "USDT") == 70


async def test_while_an_order_is_in_doubt_nothing_is_proposed(book: Book) -> None:
    account = AccountUnderTest(book.rig, PERP_BTC)
    order = order_for(account, Side.SELL, small(account))
    recorder = Recorder(book.state, book.journal)
    await recorder.intents([order])
    recorder.move(order, OrderState.SUBMITTED, at=account.wall)
    with pytest.raises(ReconciliationError, match="in doubt"):
        await proposed(book)


def test_an_inspection_lets_no_write_through() -> None:
    gate = Inspection(BINANCE)
    gate.check_call("fapiPrivate", "GET", "account")
    gate.check_request("GET", "https://fapi.binance.com/fapi/v3/account")
    for method in ("POST", "PUT", "DELETE"):
        with pytest.raises(WriteRefusedError):
            gate.check_call("fapiPrivate", method, "leverage")
        with pytest.raises(WriteRefusedError):
            gate.check_request(method, "https://fapi.binance.com/fapi/v1/leverage")
