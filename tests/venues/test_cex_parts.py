"""The adapter's pure parts: steps and bounds, depth, the gate for books, fills that add up, funding, paging."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, getcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.clock import SystemClock
from basis_daemon.domain.depth import impact
from basis_daemon.domain.errors import ConfigError, ErrorClass, InvalidOrderError, OrderRejectedError
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.order import AmountUnit, Order, OrderOperation, OrderType, Side, TimeInForce
from basis_daemon.domain.order_ids import order_id
from basis_daemon.domain.trade import OrderState
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.ccxt_client import ExchangeClient
from basis_daemon.venues.cex.desk import MarketTime
from basis_daemon.venues.cex.fills import FillBook
from basis_daemon.venues.cex.frames import Fill, OrderView
from basis_daemon.venues.cex.funding import settlements
from basis_daemon.venues.cex.limiter import WeightLimiter
from basis_daemon.venues.cex.paging import Page, every_page
from basis_daemon.venues.cex.quantise import bound, quantised
from basis_daemon.venues.cex.ticks import REFUSALS_MAX, TickGate
from tests.venues.rig import QUIET, SECRET

D = Decimal
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PERP = PositionKey("binanceusdm:perp:BTCUSDT")
FILTERS = Instrument(PERP, "BTC", "USDT", D("0.001"), D("0.1"), D("0.001"), D(1000), D(100), D("0.0005"), D("0.0002"))


def order(side: Side = Side.BUY, amount: Decimal = D("0.5"), **fields: object) -> Order:
    basics: dict[str, Any] = {
        "order_id": order_id("t", 1, "t", 0, 0, 0, 0), "strategy": "t", "decision": 0, "leg": 0,
        "operation": OrderOperation.PERP_TRADE, "venue": "binanceusdm", "instrument": PERP, "side": side,
        "amount": amount, "order_type": OrderType.LIMIT if "price" in fields else OrderType.MARKET,
        "ref_price": D(60_000), "ref_time": NOW, "max_slippage_bp": None if "price" in fields else D(20),
        "expected_deltas": {PERP: amount}, "reason": "t", "created_at": NOW,
    }  # fmt: skip
    return Order.model_validate(basics | fields)


prices = st.decimals(min_value=D("0.01"), max_value=D(1_000_000), places=6)
slippages = st.decimals(min_value=0, max_value=1_000, places=2)
ticks = st.sampled_from([D("0.00001"), D("0.01"), D("0.05"), D("0.1"), D("0.25"), D(1)])
steps = st.sampled_from([D("0.00001"), D("0.001"), D("0.01"), D("0.1"), D(1)])
amounts = st.decimals(min_value=D("0.00001"), max_value=D(500), places=7)


@pytest.mark.feature("C04")
@given(prices, slippages, ticks)
def test_a_price_is_on_the_tick_and_never_beyond_its_bound(price: Decimal, slippage: Decimal, tick: Decimal) -> None:
    for side in Side:
        limit = price * (1 + side.sign * slippage / 10_000)
        rounded = bound(side, price, slippage, tick)
        assert rounded % tick == 0
        assert (limit - rounded) * side.sign >= 0
        assert abs(limit - rounded) < tick


@given(amounts, steps)
def test_a_quantity_is_in_steps_and_never_more_than_was_asked_for(amount: Decimal, step: Decimal) -> None:
    instrument = replace(FILTERS, quantity_step=step, quantity_min=step, notional_min=D(0))
    try:
        wire = quantised(order(amount=amount), instrument)
    except OrderRejectedError:
        assert amount < step
    else:
        assert wire.quantity % step == 0
        assert amount - step < wire.quantity <= amount


@given(st.decimals(min_value=D(100), max_value=D(10_000_000), places=2))
def test_a_budget_is_never_overspent(budget: Decimal) -> None:
    wire = quantised(order(amount=budget, amount_unit=AmountUnit.QUOTE), replace(FILTERS, notional_min=D(0)))

    assert wire.quantity * wire.price <= budget


def test_a_market_order_leaves_as_an_immediate_limit_order() -> None:
    wire = quantised(order(Side.SELL), FILTERS)

    assert (wire.price, wire.quantity, wire.tif, wire.is_immediate) == (D("59880.0"), D("0.500"), TimeInForce.IOC, True)


@pytest.mark.feature("C04", part="dust")
def test_dust_is_refused_unless_it_closes_a_position() -> None:
    with pytest.raises(OrderRejectedError, match="notional") as refusal:
        quantised(order(amount=D("0.001")), FILTERS)
    assert refusal.value.error_class is ErrorClass.BAD_PARAMS

    assert quantised(order(amount=D("0.001"), reduce_only=True), FILTERS).quantity == D("0.001")
    with pytest.raises(OrderRejectedError, match="quantity"):
        quantised(order(amount=D("0.0009"), reduce_only=True), FILTERS)


@pytest.mark.parametrize(
    "fields",
    [{"amount_unit": AmountUnit.WEI}, {"order_type": OrderType.STOP_MARKET, "trigger_price": D(1)}],
)
def test_what_no_exchange_can_take_is_invalid(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidOrderError):
        quantised(order(**fields), FILTERS)


def test_more_than_the_venue_takes_at_once_is_refused() -> None:
    with pytest.raises(OrderRejectedError, match="at most 1000"):
        quantised(order(amount=D(1001)), FILTERS)


# -------------------------------------------------------------------------------------------------------- depth
ASKS = ((D(100), D(2)), (D(101), D(3)), (D(103), D(5)))


@pytest.mark.feature("C12")
def test_the_impact_of_a_size_is_read_off_the_book() -> None:
    whole = impact(ASKS, D(5))

    assert (whole.filled, whole.average_price, whole.worst_price) == (D(5), D("100.6"), D(101))
    assert whole.slippage_bp == D(60)
    assert impact(ASKS, D(1)).slippage_bp == 0
    assert impact(ASKS, D(99)).filled == 10


@given(st.decimals(min_value=D("0.1"), max_value=D(10), places=3), st.decimals(min_value=0, max_value=D(5), places=3))
def test_more_size_never_costs_less(quantity: Decimal, more: Decimal) -> None:
    assert impact(ASKS, quantity).average_price <= impact(ASKS, quantity + more).average_price


def test_an_empty_side_has_no_impact_to_tell() -> None:
    with pytest.raises(ValueError, match="at least one"):
        impact((), D(1))


# ------------------------------------------------------------------------------------------------ the books' gate
def admitted(gate: TickGate, bid: float, ask: float, at_s: int = 0) -> bool:
    book = {"bids": [[bid, 1.5], [bid / 2, 2.0]], "asks": [[ask, 2.5], [ask * 2, 1.0]]}
    return gate.admit(book, NOW + timedelta(seconds=at_s), 7) is not None


@pytest.mark.parametrize(
    ("bid", "ask"),
    [(101.0, 100.0), (100.0, 100.0), (float("nan"), 100.0), (99.0, float("inf")), (0.0, 100.0), (-1.0, 100.0)],
)
@pytest.mark.fault("F26")
def test_a_book_of_nonsense_is_refused(bid: float, ask: float) -> None:
    gate = TickGate(PERP, 5, 0.5)

    assert not admitted(gate, bid, ask)
    assert gate.refusals == 1


@pytest.mark.fault("F26")
def test_a_price_a_thousand_times_too_high_is_refused_until_it_is_asked_for_again() -> None:
    gate = TickGate(PERP, 5, 0.5)
    assert admitted(gate, 100.0, 101.0)

    for second in range(REFUSALS_MAX):
        assert not admitted(gate, 100_000.0, 101_000.0, second)
    assert gate.refusals == REFUSALS_MAX
    gate.forget()
    assert admitted(gate, 100_000.0, 101_000.0)


@pytest.mark.fault("F28")
def test_a_book_older_than_the_last_one_is_refused() -> None:
    gate = TickGate(PERP, 5, 0.5)

    assert admitted(gate, 100.0, 101.0, 10)
    assert not admitted(gate, 100.0, 101.0, 9)
    assert admitted(gate, 100.0, 101.0, 10)


def test_levels_are_the_numbers_that_were_written() -> None:
    tick = TickGate(PERP, 1, 0.5).admit({"bids": [[59998.8, 0.607], [1.0, 1.0]], "asks": [[60001.2, 1e-05]]}, NOW, 7)

    assert tick is not None
    assert (tick.bids, tick.asks) == (((D("59998.8"), D("0.607")),), ((D("60001.2"), D("0.00001")),))


def test_market_time_grows_and_does_not_leap() -> None:
    time = MarketTime()
    time.advance(NOW)
    time.advance(NOW - timedelta(hours=1))

    assert time.newest == NOW
    with pytest.raises(ValueError, match="expected at most"):
        time.advance(NOW + timedelta(days=365))


# ------------------------------------------------------------------------------------------------- fills add up
def fill(number: int, quantity: str = "0.2", at_ms: int = 0) -> Fill:
    time = NOW + timedelta(milliseconds=at_ms)
    fee: dict[str, Any] = {"fee_asset": "USDT", "fee": D("0.01"), "realised": D(0), "is_maker": False, "time": time}
    return Fill("BTCUSDT", str(number), "7", "", Side.BUY, D(100), D(quantity), None, **fee)


@pytest.mark.feature("O10", part="fillbook")
def test_a_fill_counts_once_whatever_road_it_came_and_in_whatever_order() -> None:
    book, key = FillBook(BINANCE.origin_of), ("BTCUSDT", "7")
    book.learn(OrderView("BTCUSDT", "7", "ours", OrderState.FILLED, D(1), D("0.6"), NOW))

    news = [n for n in (10, 9, 10, 2, 9) if book.add(fill(n, at_ms=n))]
    assert news == [10, 9, 2]
    assert book.executed(key) == D("0.6")
    known = book.fills(key)
    assert [f.trade_no for f in known] == ["2", "9", "10"]
    assert [f.cum_filled for f in known] == [D("0.2"), D("0.4"), D("0.6")]
    assert {(f.client_id, f.ordered) for f in known} == {("ours", D(1))}


async def test_whoever_waits_for_fills_wakes_with_the_last_one() -> None:
    book, key = FillBook(BINANCE.origin_of), ("BTCUSDT", "7")
    woken: list[bool] = []

    async def wait() -> None:
        woken.append(await book.wait_for(key, D("0.4"), 5))

    async def fills_come() -> None:
        book.add(fill(1))
        book.add(fill(2))

    async with TaskTree("test") as tree:
        tree.spawn("wait", wait())
        tree.spawn("fills", fills_come())
    assert woken == [True]
    assert await book.wait_for(key, D("0.4"), 5)
    assert not await book.wait_for(key, D(9), 0.01)


# ------------------------------------------------------------------------------------------- funding, paging, options
@pytest.mark.feature("D02", part="interval")
def test_an_interval_is_the_distance_between_two_settlements() -> None:
    hours = (0, 8, 16, 20, 24)
    rows = [{"timestamp": int((NOW + timedelta(hours=h)).timestamp() * 1000) + h, "fundingRate": f"0.000{n}"}
            for n, h in enumerate(hours)]  # fmt: skip

    events = settlements(list(reversed(rows)), PERP)

    assert [(e.interval_hours, e.rate) for e in events] == [
        (8, D("0.0001")), (8, D("0.0002")), (4, D("0.0003")), (4, D("0.0004")),
    ]  # fmt: skip


def test_a_history_that_is_no_list_is_not_an_empty_one() -> None:
    with pytest.raises(ValueError, match="expected a list"):
        settlements({}, PERP)


async def test_every_row_is_paged_through_windows_and_full_pages() -> None:
    rows = [NOW + timedelta(minutes=m) for m in (0, 1, 2, 3, 200, 201)]
    asked: list[tuple[datetime, datetime]] = []

    async def fetch(start: datetime, end: datetime) -> Page[datetime]:
        asked.append((start, end))
        found = [row for row in rows if start <= row <= end][:3]
        return Page(found, found[-1] if len(found) == 3 else None)

    found = await every_page(NOW, NOW + timedelta(hours=4), timedelta(hours=1), fetch)

    assert sorted(set(found)) == rows
    assert all(end - start == timedelta(hours=1) for start, end in asked)


@pytest.mark.parametrize("fields", [{"demo_trading": True, "sandbox": True}, {"leverage": 0},
                                    {"spot_assets": (), "perp_symbols": ()}])  # fmt: skip
def test_options_that_contradict_each_other_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(QUIET, **fields)


def test_options_do_not_show_their_secret() -> None:
    assert SECRET not in repr(QUIET)


async def test_ccxt_rounds_its_numbers_without_changing_how_ours_are_rounded() -> None:
    before = getcontext().copy()
    client = ExchangeClient(BINANCE.accounts[0], {}, WeightLimiter(BINANCE.pools, SystemClock()), None)
    try:
        assert client._exchange.decimal_to_precision("0.125", 1, 2, 2) == "0.13"
    finally:
        await client.close()
    assert (getcontext().rounding, getcontext().prec, getcontext().traps) == (
        before.rounding,
        before.prec,
        before.traps,
    )
    assert D("0.125").quantize(D("0.01")) == D("0.12")
