from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.sandbox.exchange.accounts import Position
from basis_daemon.sandbox.exchange.book import DepthProfile
from basis_daemon.sandbox.exchange.futures import net
from basis_daemon.sandbox.exchange.margin import liquidation_price, margin_of
from basis_daemon.sandbox.exchange.path import HOUR_MS, Rate
from basis_daemon.sandbox.exchange.rejects import RejectError
from tests.sandbox.builders import PERP, START_MS, D, Desk, ScriptedPath, code_of

LADDER = DepthProfile(offsets=(100, 1000, 5000), sizes=(30_000, 60_000, 90_000))


def test_fills_net_at_exact_cost() -> None:
    position = Position("BTCUSDT")
    assert net(position, D(1), D(60_000)) == 0
    assert net(position, D(1), D(62_000)) == 0
    assert position.entry_price == D(61_000)
    assert net(position, D("-0.5"), D(64_000)) == D(1500)  # half a coin, 3000 above its cost
    assert (position.quantity, position.cost) == (D("1.5"), D(91_500))


def test_a_fill_through_flat_closes_and_opens() -> None:
    position = Position("BTCUSDT", D(1), D(60_000))
    assert net(position, D(-3), D(59_000)) == D(-1000)
    assert (position.quantity, position.cost) == (D(-2), D(-118_000))


def test_a_profit_cut_to_eight_places_is_made_good_when_the_position_closes() -> None:
    position = Position("BTCUSDT")
    for price in ("60000.1", "60000.2", "60000.2"):
        net(position, D("0.001"), D(price))
    first = net(position, D("-0.001"), D("60001"))
    assert first == D("0.00083333")  # (3 x 60001 - 180000.5) / 3 x .001 = .000833333...
    assert first + net(position, D("-0.002"), D("60001")) == D("0.0025")
    assert position.cost == 0


@given(
    st.lists(st.tuples(st.integers(-5000, 5000).filter(bool), st.integers(10_000, 2_000_000)), min_size=1, max_size=40)
)
def test_realised_and_open_profit_are_together_exactly_the_flows(fills: list[tuple[int, int]]) -> None:
    position, realised, held, paid = Position("BTCUSDT"), D(0), D(0), D(0)
    for lots, ticks in fills:
        quantity, price = lots * D("0.001"), ticks * D("0.1")
        realised += net(position, quantity, price)
        held, paid = held + quantity, paid + quantity * price
    mark = D("61234.5")
    assert position.quantity == held
    assert realised + position.unrealised(mark) == held * mark - paid
    if held == 0:
        assert position.cost == 0


def test_a_short_pays_commission_and_shows_its_margin() -> None:
    desk = Desk(usdm="30000")
    order = desk.perp("SELL", "1")
    assert order.average == D("59999.9")
    assert desk.income("COMMISSION") == [D("-29.99995")]  # 5 bp
    state = margin_of(desk.account, desk.venue.marks)
    assert state.unrealised == D("-0.1")
    assert state.maintenance == D(60_000) * D("0.005") - 50
    assert state.position_initial == D(3000)  # 20x
    assert state.available == D(30_000) - D("29.99995") - D("0.1") - 3000


def test_a_resting_order_fills_as_maker_at_its_price() -> None:
    desk = Desk(usdm="30000")
    order = desk.perp("SELL", "0.5", "61000")
    assert margin_of(desk.account, desk.venue.marks).order_initial == D(1525)
    desk.move({PERP: 61_500})
    assert (order.status, order.average) == ("FILLED", D(61_000))
    assert desk.income("COMMISSION") == [D("-6.1")]  # 2 bp


def test_an_order_beyond_the_margin_is_refused() -> None:
    desk = Desk(usdm="1000")
    assert code_of(lambda: desk.perp("SELL", "0.34")) == -2019  # 20400 / 20 > 1000
    assert code_of(lambda: desk.perp("SELL", "0.33")) == 0


def test_closing_needs_no_margin() -> None:
    desk = Desk(usdm="1000")
    desk.perp("SELL", "0.33")
    desk.move({PERP: 62_500})
    assert margin_of(desk.account, desk.venue.marks).available == 0
    assert code_of(lambda: desk.perp("SELL", "0.01")) == -2019
    assert desk.perp("BUY", "0.33").status == "FILLED"


def test_the_leverage_bounds_the_notional() -> None:
    desk = Desk(usdm="900000", depth=DepthProfile(offsets=(0,), sizes=(500_000_000,)))
    desk.account.position("BTCUSDT").leverage = 100
    assert code_of(lambda: desk.perp("BUY", "11")) == -2027  # 660,000 of at most 600,000


def test_a_reduce_only_order_never_passes_flat() -> None:
    desk = Desk(usdm="30000")
    desk.perp("SELL", "0.5")
    order = desk.perp("BUY", "2", reduce_only=True)
    assert (order.filled, order.status) == (D("0.5"), "EXPIRED")
    assert desk.account.position("BTCUSDT").quantity == 0


def test_a_resting_reduce_only_order_dies_with_its_position() -> None:
    desk = Desk(usdm="30000")
    desk.perp("SELL", "0.5")
    order = desk.perp("BUY", "0.5", "58000", reduce_only=True)
    desk.perp("BUY", "0.5")
    desk.move({})
    assert order.status == "EXPIRED"


def test_an_ioc_band_limits_the_price_paid() -> None:
    desk = Desk(usdm="100000", depth=LADDER)
    best = next(iter(desk.venue.books[PERP].bids)) * D("0.1")
    order = desk.perp("SELL", "5", str(best), time_in_force="IOC")
    assert (order.status, order.average) == ("EXPIRED", best)
    assert 0 < order.filled < 1


@pytest.mark.parametrize(
    ("order", "more", "code"),
    [
        (("SELL", "0.0005"), {}, -1111),
        (("SELL", "121"), {}, -4005),
        (("SELL", "0.001"), {}, -4164),
        (("SELL", "1", "60000.05"), {}, -4014),
        (("BUY", "1", "63000.1"), {}, -4016),
        (("SELL", "1", "56999.9"), {}, -4024),
        (("BUY", "1"), {"reduce_only": True}, -2022),
        (("SELL", "1", "59000"), {"time_in_force": "GTX"}, -5022),
        (("SELL", "1000", "60000"), {"time_in_force": "FOK"}, -5021),
        (("SELL", "1"), {"position_side": "SHORT"}, -4061),
        (("SELL", "1"), {"kind": "STOP_MARKET"}, -4120),
        (("SELL", None), {}, -1102),
        (("SELL", "1"), {"symbol": "BNBUSDT"}, -1121),
    ],
)
def test_a_refused_order_changes_nothing(order: tuple[Any, ...], more: dict[str, Any], code: int) -> None:
    desk = Desk(usdm="30000", depth=LADDER)
    with pytest.raises(RejectError) as refused:
        desk.perp(*order, **more)
    assert refused.value.code == code
    assert (desk.wallet, desk.account.store("usdm").orders, desk.events) == (D(30_000), {}, [])


def test_a_client_id_is_unique_among_open_orders_only() -> None:
    desk = Desk(usdm="30000")
    desk.perp("SELL", "0.1", client_id="a")
    desk.perp("SELL", "0.1", "62000", client_id="a")
    assert code_of(lambda: desk.perp("SELL", "0.1", client_id="a")) == -4116


def test_an_amended_order_keeps_its_id_and_meets_the_margin_check() -> None:
    desk = Desk(usdm="1000")
    order = desk.perp("SELL", "0.1", "62000")
    with pytest.raises(RejectError) as refused:
        desk.world.futures.amend(desk.account, order, D(9), D(62_000))
    assert refused.value.code == -2019
    assert order.quantity == D("0.1")
    desk.world.futures.amend(desk.account, order, D("0.2"), D(61_000))
    assert (order.quantity, order.price, order.live) == (D("0.2"), D(61_000), True)


@pytest.mark.parametrize(("rate", "cash"), [("0.0003", "21.96"), ("-0.00006859", "-5.020788")])
def test_funding_is_quantity_times_mark_times_rate(rate: str, cash: str) -> None:
    path = ScriptedPath(
        funding=[Rate(START_MS - 8 * HOUR_MS, D(0), 8), Rate(START_MS + 8 * HOUR_MS, D(rate), 8)],
        prices={PERP: 61_000},
    )
    desk = Desk(usdm="50000", path=path)
    desk.perp("SELL", "1.2")
    desk.move({}, seconds=8 * 3600 - 1)
    assert desk.income("FUNDING_FEE") == []
    desk.move({}, seconds=1)
    assert desk.income("FUNDING_FEE") == [D(cash)]
    desk.move({}, seconds=3600)
    assert len(desk.income("FUNDING_FEE")) == 1


def test_a_long_step_settles_every_funding_on_its_way() -> None:
    desk = Desk(usdm="50000")
    desk.perp("BUY", "1")
    desk.move({}, seconds=24 * 3600)
    assert desk.income("FUNDING_FEE") == [D(-6)] * 3


def test_a_request_between_two_steps_finds_the_settlement_before_it_booked() -> None:
    desk = Desk(usdm="50000")
    desk.perp("BUY", "1")
    desk.world.observe(START_MS + 8 * HOUR_MS + 1)
    assert desk.income("FUNDING_FEE") == [D(-6)]
    desk.world.observe(START_MS + 8 * HOUR_MS)
    assert desk.venue.now_ms == START_MS + 8 * HOUR_MS + 1
    desk.move({})
    assert desk.income("FUNDING_FEE") == [D(-6)]


def test_a_silent_market_still_settles_at_the_last_mark() -> None:
    desk = Desk(usdm="50000")
    desk.perp("SELL", "1")
    desk.move({PERP: None}, seconds=8 * 3600)
    assert desk.income("FUNDING_FEE") == [D(6)]
    assert code_of(lambda: desk.perp("BUY", "1")) == -4108


def test_below_maintenance_the_position_is_closed_by_force() -> None:
    desk = Desk(usdm="3029.99995")
    desk.account.position("BTCUSDT").leverage = 50
    desk.perp("SELL", "1")  # wallet 3000 after commission, cost -59999.9
    desk.perp("SELL", "0.01", "63000")
    state = margin_of(desk.account, desk.venue.marks)
    price = liquidation_price(desk.account.position("BTCUSDT"), state)
    assert round(price, 4) == D("62736.2189")  # (3000 + 59999.9 + 50) / 1.005
    desk.move({PERP: 62_736})
    assert desk.account.position("BTCUSDT").quantity == -1
    desk.move({PERP: 62_737})
    assert desk.account.position("BTCUSDT").quantity == 0
    store = desk.account.store("usdm")
    assert [order.status for order in store.orders.values()] == ["FILLED", "EXPIRED", "FILLED"]
    forced = list(store.orders.values())[-1]
    assert forced.client_id.startswith("autoclose-")
    assert forced.request.kind == "LIQUIDATION"
    assert desk.income("REALIZED_PNL") == [D("59999.9") - D(62_737)]
    assert desk.wallet == 0  # 1.25 % of the notional is more than what is left


def test_a_gap_beyond_bankruptcy_is_paid_by_the_insurance_fund() -> None:
    desk = Desk(usdm="3029.99995")
    desk.perp("SELL", "1")
    desk.move({PERP: 70_000})
    assert desk.account.position("BTCUSDT").quantity == 0
    assert desk.wallet == 0
    assert sum(desk.income("INSURANCE_CLEAR")) > 6000


def test_only_settled_money_leaves_the_futures_wallet() -> None:
    desk = Desk(spot={"USDT": "0"}, usdm="3029.99995")
    desk.perp("SELL", "0.5")
    wallet = desk.wallet
    desk.move({PERP: 58_000})  # an unrealised profit of 999.95 stays
    state = margin_of(desk.account, desk.venue.marks)
    assert state.max_withdraw == wallet - D(29_000) / 20
    with pytest.raises(RejectError) as refused:
        desk.world.settlement.transfer(desk.account, "UMFUTURE_MAIN", "USDT", state.max_withdraw + D("0.00000001"))
    assert refused.value.code == -5013
    desk.world.settlement.transfer(desk.account, "UMFUTURE_MAIN", "USDT", state.max_withdraw)
    assert desk.free("USDT") == state.max_withdraw
    assert desk.income("TRANSFER") == [-state.max_withdraw]


def test_isolated_margin_can_be_set_but_not_traded() -> None:
    desk = Desk(usdm="3000")
    desk.account.position("BTCUSDT").margin_type = "ISOLATED"
    assert code_of(lambda: desk.perp("SELL", "0.1")) == -4054
