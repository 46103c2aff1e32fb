"""What every venue owes the engine: a suite that each pair of ExecutionInterface and AccountSource passes.

A test module inherits ``VenueContract`` and gives it a fixture ``account`` of a ``VenueUnderTest``: a venue in a still
market, holding enough of everything, with nothing open.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import pytest

from basis_daemon.domain.errors import ErrorClass, InvalidOrderError, OrderRejectedError, OutcomeUnknownError
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey, round_down
from basis_daemon.domain.market import BookTick
from basis_daemon.domain.order import AmountUnit, Order, OrderOperation, OrderType, Side, TimeInForce
from basis_daemon.domain.order_ids import order_id
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.ports import AccountSource, ExecutionInterface, Finding

_numbers = itertools.count()
NEVER_SENT_S = 3_600


class VenueUnderTest(Protocol):
    """One account and the means to disturb it."""

    @property
    def interface(self) -> ExecutionInterface: ...

    @property
    def source(self) -> AccountSource: ...

    @property
    def instrument(self) -> Instrument:
        """What is traded; of kind spot or perp."""
        ...

    @property
    def trades(self) -> Sequence[Trade]:
        """What the interface's sink received, repetitions included."""
        ...

    @property
    def wall(self) -> datetime:
        """The clock by which ``sent_at`` is given."""
        ...

    def book(self) -> BookTick:
        """The book as it stands, two levels a side at least."""
        ...

    def lose_answer(self) -> None:
        """The next order is accepted, and its answer never arrives."""
        ...

    def lose_request(self) -> None:
        """The next order never arrives, and nothing says so."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Process time passes."""
        ...


def order_for(account: VenueUnderTest, side: Side, amount: Decimal, **fields: object) -> Order:
    """A market order within 50 bp of mid unless ``fields`` say otherwise; a limit order when they hold a price."""
    instrument, book = account.instrument, account.book()
    is_perp = instrument.key.kind is Kind.PERP
    number = next(_numbers)
    basics: dict[str, object] = {
        "order_id": order_id("contract", 1, "contract", number, 0, 0, 0),
        "strategy": "contract",
        "decision": number,
        "leg": 0,
        "operation": OrderOperation.PERP_TRADE if is_perp else OrderOperation.SPOT_TRADE,
        "venue": instrument.key.venue,
        "instrument": instrument.key,
        "side": side,
        "amount": amount,
        "amount_unit": AmountUnit.BASE if instrument.contract_value is None else AmountUnit.CONTRACTS,
        "order_type": OrderType.LIMIT if "price" in fields else OrderType.MARKET,
        "ref_price": book.mid,
        "ref_time": book.venue_time,
        "max_slippage_bp": None if "price" in fields else Decimal(50),
        "expected_deltas": {instrument.key: amount * side.sign},
        "reason": "contract",
        "created_at": book.venue_time,
    }
    return Order.model_validate(basics | fields)


def cancel_of(target: Order) -> Order:
    """A cancel order: ``memo`` names its target."""
    number = next(_numbers)
    return Order(
        order_id=order_id("contract", 1, "contract", number, 0, 0, 0),
        strategy="contract",
        decision=number,
        leg=0,
        operation=OrderOperation.CANCEL,
        venue=target.venue,
        instrument=target.instrument,
        amount=target.quantity,
        memo=target.order_id,
        reason="contract",
        created_at=target.created_at,
    )


def small(account: VenueUnderTest) -> Decimal:
    """A quantity that the best level holds and the filters allow."""
    instrument, book = account.instrument, account.book()
    size = round_down(min(book.bids[0][1], book.asks[0][1]) / 2, instrument.quantity_step)
    assert instrument.notional(size, book.bid) > instrument.notional_min, "the contract needs a deeper book"
    return size


def folded(trades: Sequence[Trade]) -> Mapping[PositionKey, Decimal]:
    """Sum of the deltas of unique trades."""
    sums: dict[PositionKey, Decimal] = {}
    for trade in {trade.trade_id: trade for trade in trades}.values():
        for key, amount in trade.deltas.items():
            sums[key] = sums.get(key, Decimal(0)) + amount
    return sums


async def holdings(account: VenueUnderTest) -> Mapping[PositionKey, Decimal]:
    return (await account.source.fetch_report()).holdings


def ids(trades: Sequence[Trade], order: Order) -> set[str]:
    return {trade.trade_id for trade in trades if trade.order_id == order.order_id and trade.deltas}


class VenueContract:
    """The promises of ports.py, one test each."""

    async def test_a_market_order_is_filled_to_the_last_step_and_pays_its_fee(self, account: VenueUnderTest) -> None:
        order = order_for(account, Side.BUY, small(account))

        trade = await account.interface.execute_order(order, account.wall)

        assert (trade.order_id, trade.status, trade.order_state) == (
            order.order_id, TradeStatus.FILLED, OrderState.FILLED,
        )  # fmt: skip
        assert (trade.cum_filled, trade.remaining) == (order.quantity, Decimal(0))
        fills = {t.trade_id: t for t in account.trades if t.order_id == order.order_id and t.deltas}
        assert sum(t.qty_base for t in fills.values()) == order.quantity
        for fill in fills.values():
            assert fill.price is not None
            assert fill.price <= order_bound(order)
            assert fill.liquidity == "taker"
            assert all(fee.quantity > 0 for fee in fill.fees)
            assert fill.fees, f"{fill.trade_id} bears no fee"

    async def test_a_fill_moves_both_sides_and_the_fee(self, account: VenueUnderTest) -> None:
        order = order_for(account, Side.BUY, small(account))

        await account.interface.execute_order(order, account.wall)

        for fill in {t.trade_id: t for t in account.trades if t.deltas}.values():
            expected: dict[PositionKey, Decimal] = {}
            if account.instrument.key.kind is Kind.PERP:
                moves = {account.instrument.key: fill.qty_base, account.instrument.quote_key: fill.realised_pnl}
            else:
                base = PositionKey.of(account.instrument.key.venue, Kind.SPOT, account.instrument.base)
                moves = {base: fill.qty_base, account.instrument.quote_key: -fill.qty_quote}
            for key, amount in moves.items():
                expected[key] = expected.get(key, Decimal(0)) + (amount or 0)
            for fee in fill.fees:
                key = PositionKey.of(account.instrument.key.venue, Kind.SPOT, fee.asset)
                expected[key] = expected.get(key, Decimal(0)) - fee.quantity
            assert dict(fill.deltas) == {key: amount for key, amount in expected.items() if amount}

    async def test_what_its_band_cannot_fill_expires(self, account: VenueUnderTest) -> None:
        price, size = account.book().asks[0]
        quantity = round_down(size * 2, account.instrument.quantity_step)
        order = order_for(account, Side.BUY, quantity, price=price, tif=TimeInForce.IOC)

        trade = await account.interface.execute_order(order, account.wall)

        assert (trade.status, trade.order_state) == (TradeStatus.PARTIAL, OrderState.EXPIRED)
        assert (trade.cum_filled, trade.remaining) == (size, quantity - size)
        assert sum(t.qty_base for t in {t.trade_id: t for t in account.trades}.values()) == size

    async def test_an_immediate_order_out_of_reach_fails_without_a_delta(self, account: VenueUnderTest) -> None:
        price = account.book().bids[1][0]
        order = order_for(account, Side.BUY, small(account), price=price, tif=TimeInForce.IOC)

        trade = await account.interface.execute_order(order, account.wall)

        assert (trade.status, trade.order_state, trade.is_fill) == (TradeStatus.FAILED, OrderState.EXPIRED, False)
        assert (trade.cum_filled, trade.remaining) == (Decimal(0), order.quantity)

    async def test_reduce_only_closes_and_never_turns_a_position(self, account: VenueUnderTest) -> None:
        if account.instrument.key.kind is not Kind.PERP:
            assert OrderOperation.PERP_TRADE not in account.interface.operations  # a wallet cannot be short
            return
        size, key = small(account), account.instrument.key
        await account.interface.execute_order(order_for(account, Side.SELL, size), account.wall)

        closing = order_for(account, Side.BUY, size, reduce_only=True)
        trade = await account.interface.execute_order(closing, account.wall)

        assert trade.status is TradeStatus.FILLED
        assert (await holdings(account)).get(key, Decimal(0)) == 0
        again = order_for(account, Side.BUY, size, reduce_only=True)
        with pytest.raises(OrderRejectedError) as refusal:
            await account.interface.execute_order(again, account.wall)
        assert refusal.value.error_class is ErrorClass.BAD_PARAMS

    @pytest.mark.feature("C04", part="contract")
    async def test_less_than_the_filters_allow_is_refused_before_it_is_sent(self, account: VenueUnderTest) -> None:
        instrument, step = account.instrument, account.instrument.quantity_step
        before = await holdings(account)
        is_enough = instrument.notional(step, account.book().bid) >= instrument.notional_min

        for amount in (step / 10,) if is_enough else (step / 10, step):
            with pytest.raises((OrderRejectedError, InvalidOrderError)) as refusal:
                await account.interface.execute_order(order_for(account, Side.BUY, amount), account.wall)
            if isinstance(refusal.value, OrderRejectedError):
                assert refusal.value.error_class is ErrorClass.BAD_PARAMS

        assert await holdings(account) == before

    async def test_a_refusal_says_what_was_short(self, account: VenueUnderTest) -> None:
        price = account.book().bids[1][0]
        unit = account.instrument.notional(Decimal(1), price)
        too_much = 100_000_000 if account.instrument.contract_value is None else 10_000_000  # no tier takes more
        amount = round_down(too_much / unit, account.instrument.quantity_step)
        order = order_for(account, Side.BUY, min(amount, account.instrument.quantity_max), price=price)

        with pytest.raises(OrderRejectedError) as refusal:
            await account.interface.execute_order(order, account.wall)

        assert refusal.value.error_class is ErrorClass.INSUFFICIENT
        assert order.order_id in str(refusal.value)

    @pytest.mark.feature("C03", part="contract")
    async def test_an_id_never_sent_is_not_yet_and_then_absent(self, account: VenueUnderTest) -> None:
        order, sent_at = order_for(account, Side.BUY, small(account)), account.wall

        assert (await account.interface.find_order(order, sent_at)).finding is Finding.NOT_YET
        account.pass_time(NEVER_SENT_S)
        assert (await account.interface.find_order(order, sent_at)).finding is Finding.ABSENT

    @pytest.mark.feature("O10", part="contract")
    async def test_asking_again_tells_the_same_trades(self, account: VenueUnderTest) -> None:
        order, sent_at = order_for(account, Side.BUY, small(account)), account.wall
        await account.interface.execute_order(order, account.wall)
        first = ids(account.trades, order)

        for _ in range(2):
            evidence = await account.interface.find_order(order, sent_at)
            assert evidence.finding is Finding.FOUND
            assert evidence.trade is not None
            assert evidence.trade.trade_id in first

        assert ids(account.trades, order) == first
        assert folded(account.trades) == folded(list({t.trade_id: t for t in account.trades}.values()))

    async def test_the_report_is_the_opening_plus_the_fold_of_the_trades(self, account: VenueUnderTest) -> None:
        opening = await holdings(account)

        await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)
        await account.interface.execute_order(order_for(account, Side.SELL, small(account) / 2), account.wall)

        moved, closing = folded(account.trades), await holdings(account)
        for key in {*opening, *moved, *closing}:
            assert closing.get(key, Decimal(0)) == opening.get(key, Decimal(0)) + moved.get(key, Decimal(0)), key

    async def test_the_venue_lists_the_trades_that_were_streamed(self, account: VenueUnderTest) -> None:
        order = order_for(account, Side.BUY, small(account))
        trade = await account.interface.execute_order(order, account.wall)

        listed = await account.source.fetch_trades(trade.venue_time)

        assert ids(listed, order) == ids(account.trades, order)
        assert folded(listed) == folded(account.trades)

    @pytest.mark.feature("O04", part="contract")
    async def test_a_lost_answer_is_doubt_and_the_venue_ends_it(self, account: VenueUnderTest) -> None:
        order, sent_at = order_for(account, Side.BUY, small(account)), account.wall
        account.lose_answer()

        with pytest.raises(OutcomeUnknownError, match=order.order_id):
            await account.interface.execute_order(order, account.wall)
        evidence = await account.interface.find_order(order, sent_at)

        assert evidence.finding is Finding.FOUND
        assert evidence.trade is not None
        assert evidence.trade.status is TradeStatus.FILLED
        assert sum(t.qty_base for t in {t.trade_id: t for t in account.trades}.values()) == order.quantity

    @pytest.mark.feature("C03", part="lost-request")
    async def test_a_lost_request_is_doubt_until_lateness_is_ruled_out(self, account: VenueUnderTest) -> None:
        order, sent_at = order_for(account, Side.BUY, small(account)), account.wall
        before = await holdings(account)
        account.lose_request()

        with pytest.raises(OutcomeUnknownError):
            await account.interface.execute_order(order, account.wall)
        assert (await account.interface.find_order(order, sent_at)).finding is Finding.NOT_YET
        account.pass_time(NEVER_SENT_S)

        assert (await account.interface.find_order(order, sent_at)).finding is Finding.ABSENT
        assert await holdings(account) == before

    async def test_a_resting_order_is_reported_and_cancelled(self, account: VenueUnderTest) -> None:
        price = account.book().bids[1][0]
        order = order_for(account, Side.BUY, small(account), price=price, tif=TimeInForce.GTC)

        trade = await account.interface.execute_order(order, account.wall)
        assert (trade.status, trade.order_state, trade.is_fill) == (TradeStatus.PENDING, OrderState.ACKED, False)
        assert order.order_id in (await account.source.fetch_report()).open_order_ids

        evidence = await account.interface.cancel_order(order)
        assert evidence.trade is not None
        assert evidence.trade.order_state is OrderState.CANCELLED
        assert (await account.source.fetch_report()).open_order_ids == ()

    async def test_a_cancel_that_comes_too_late_tells_of_the_fill(self, account: VenueUnderTest) -> None:
        order = order_for(account, Side.BUY, small(account))
        await account.interface.execute_order(order, account.wall)

        trade = await account.interface.execute_order(cancel_of(order), account.wall)

        assert (trade.order_id, trade.order_state) == (order.order_id, OrderState.FILLED)


def order_bound(order: Order) -> Decimal:
    """The worst price of a market order."""
    assert order.ref_price is not None
    assert order.max_slippage_bp is not None
    assert order.side is not None
    return order.ref_price * (1 + order.side.sign * order.max_slippage_bp / 10_000)
