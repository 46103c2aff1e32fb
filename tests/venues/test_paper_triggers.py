"""Stops and take-profits that the paper venue holds: fired by the mark, filled at the book, never past flat."""

from __future__ import annotations

from decimal import Decimal

import pytest

from basis_daemon.domain.errors import OrderRejectedError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import MarkTick
from basis_daemon.domain.order import Order, OrderOperation, OrderType, Side
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.venues.paper.venue import PaperVenue
from tests.venue_contract import order_for
from tests.venues.paper_support import D, tick
from tests.venues.test_paper_contract import INVERSE, PERP, PURSE, PaperUnderTest


class Guarded:
    """A long of one step and a half, and a market that the test moves."""

    def __init__(self, account: PaperUnderTest, venue: PaperVenue) -> None:
        self.account, self.venue = account, venue

    def protect(self, kind: OrderOperation, trigger: str, quantity: Decimal, side: Side = Side.SELL) -> Order:
        order_type = OrderType.STOP_MARKET if kind is OrderOperation.STOP else OrderType.TAKE_PROFIT_MARKET
        fields = {"operation": kind, "order_type": order_type, "trigger_price": D(trigger), "reduce_only": True}
        return order_for(self.account, side, quantity, **fields)

    def moves_to(self, price: str) -> None:
        key, at = self.account.instrument.key, self.account.book().venue_time
        self.venue.on_market(MarkTick(key, at, 0, D(price), D(price), D(0), at))
        size = D(2) if self.account.instrument.contract_value is None else D(200)
        self.venue.on_market(tick(key, ((D(price) - 1, size),), ((D(price) + 1, size),)))

    def fills(self, order: Order) -> list[Trade]:
        return [trade for trade in self.account.trades if trade.order_id == order.order_id and trade.is_fill]


async def guarded(instrument: object, quantity: Decimal) -> Guarded:
    account = PaperUnderTest(INVERSE if instrument == "inverse" else PERP)
    found = Guarded(account, account.venue)
    await account.interface.execute_order(order_for(account, Side.BUY, quantity), account.wall)
    found.moves_to("60000")
    return found


def held(book: Guarded, key: PositionKey) -> Decimal:
    return book.venue.exchange.wallets.holding(key)


@pytest.mark.feature("O08", part="paper")
@pytest.mark.parametrize(("instrument", "quantity"), [("linear", D("0.5")), ("inverse", D(60))])
async def test_a_stop_waits_for_the_mark_and_sells_at_what_the_book_shows(instrument: str, quantity: Decimal) -> None:
    book = await guarded(instrument, quantity)
    stop = book.protect(OrderOperation.STOP, "59400", quantity)
    trade = await book.account.interface.execute_order(stop, book.account.wall)
    assert trade.order_state is OrderState.ACKED
    assert stop.order_id in (await book.account.source.fetch_report()).open_order_ids
    book.moves_to("59401")
    assert book.fills(stop) == []
    book.moves_to("59300")
    (fill,) = book.fills(stop)
    assert (fill.price, fill.qty_base, fill.order_state) == (D(59_299), quantity, OrderState.FILLED)
    assert held(book, book.account.instrument.key) == 0
    assert (await book.account.source.fetch_report()).open_order_ids == ()


async def test_a_take_profit_gets_no_better_price_than_the_market_passed_on_its_way() -> None:
    book = await guarded("linear", D("0.5"))
    take = book.protect(OrderOperation.TAKE_PROFIT, "60900", D("0.5"))
    await book.account.interface.execute_order(take, book.account.wall)
    book.moves_to("61500")
    (fill,) = book.fills(take)
    assert fill.price == 60_900


async def test_what_is_reached_already_is_refused_and_what_finds_nothing_to_reduce_expires() -> None:
    book = await guarded("linear", D("0.5"))
    account = book.account
    with pytest.raises(OrderRejectedError, match="beyond its trigger"):
        await account.interface.execute_order(book.protect(OrderOperation.STOP, "60000", D("0.5")), account.wall)
    stop = book.protect(OrderOperation.STOP, "59400", D("0.5"))
    take = book.protect(OrderOperation.TAKE_PROFIT, "60900", D("0.5"))
    for order in (stop, take):
        await account.interface.execute_order(order, account.wall)
    book.moves_to("59000")
    book.moves_to("61000")
    assert [len(book.fills(order)) for order in (stop, take)] == [1, 0]
    assert book.venue.exchange.tape.trades_of(take.order_id)[-1].order_state is OrderState.EXPIRED
    assert held(book, PERP.key) == 0


async def test_an_inverse_round_trip_moves_coin_alone() -> None:
    book = await guarded("inverse", D(60))
    stop = book.protect(OrderOperation.STOP, "59400", D(60))
    await book.account.interface.execute_order(stop, book.account.wall)
    opened = next(trade for trade in book.account.trades if trade.deltas).price
    assert opened is not None
    book.moves_to("59300")
    (fill,) = book.fills(stop)
    assert fill.price is not None
    paid = sum(fee.quantity for trade in book.account.trades for fee in trade.fees)
    earned = 60 * 100 * (1 / opened - 1 / fill.price)
    assert abs(held(book, PURSE) - (2 + earned - paid)) < D("1e-15")
    assert fill.qty_quote == 6_000
