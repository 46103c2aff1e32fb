"""Two strategies in one daemon, each on accounts of its own: what troubles one is no matter of the other's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest

from basis_daemon.domain.exposure import build_exposure
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick, MarkTick
from basis_daemon.domain.order import Side
from basis_daemon.domain.position import Break, BreakKind
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.book_view import BookView
from basis_daemon.engine.codec import BreakRow, load
from basis_daemon.engine.profit import pnl
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import BookState
from basis_daemon.engine.valuation import Mandate, ValuationRow, Valuer, book_drawdown
from basis_daemon.engine.views import positions, status
from basis_daemon.ports import RecordKind
from basis_daemon.strategies.basis import BtcBasis, EthBasis
from basis_daemon.strategies.parameters import BasisVenue
from basis_daemon.venues.paper.venue import PaperAccountSpec
from tests.builders import RICH, executed, idle, paired, parameters, settlements
from tests.engine.support import Rig, folded
from tests.engine.turn_support import Room, opened
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
    stamp,
    trade_order,
)

ETH_VENUE = BasisVenue(name="eth", spot_account="binance_eth", perp_account="binanceusdm_eth")
ETH_COIN, ETH_PERP = ETH_VENUE.spot_key("ETH"), ETH_VENUE.perp_key("ETH")
ETH_CASH, ETH_MARGIN = ETH_VENUE.cash_key, ETH_VENUE.margin_key
ETH_SPECS = (
    PaperAccountSpec("binance_eth", trades_spot=True, trades_perps=False),
    PaperAccountSpec("binanceusdm_eth", trades_spot=False, trades_perps=True),
)
SPOT_ETH = replace(SPOT_BTC, key=ETH_COIN, base="ETH")
PERP_ETH = replace(PERP_BTC, key=ETH_PERP, base="ETH")
PRICES = {COIN: D(60_000), PERP: D(60_000), ETH_COIN: D(2_500), ETH_PERP: D(2_500)}
BTC, ETH = "btc_basis", "eth_basis"


def two_books() -> Room:
    """100,000 USDT in either spot wallet, and a book that may use them."""
    balances = {CASH: D(100_000), MARGIN: D(0), ETH_CASH: D(100_000), ETH_MARGIN: D(0)}
    instruments = (SPOT_BTC, PERP_BTC, SPOT_ETH, PERP_ETH)
    rig = Rig(stage=Stage(balances, specs=(*SPECS, *ETH_SPECS), instruments=instruments))
    rig.state.instruments.update({instrument.key: instrument for instrument in instruments})
    room = Room(rig, BtcBasis(parameters()), EthBasis(parameters(ETH_VENUE, asset="ETH")))
    room.feed.seed = [*room.feed.seed, *settlements(ETH_PERP, [RICH] * 30, START)]
    return room


def speak(room: Room, *keys: PositionKey, at_s: float = 0, factor: str = "1") -> None:
    """Books of these instruments, and marks of the perps among them."""
    received, at = room.rig.clock.monotonic_ns(), stamp(at_s)
    for key in keys:
        price = PRICES[key] * D(factor)
        bids, asks = (tuple((price * (1 + side * gap), D(1_000)) for gap in (D("1e-5"), D("1e-4"))) for side in (-1, 1))
        room.hear(BookTick(key, at, received, bids, asks))
        if key in {PERP, ETH_PERP}:
            room.hear(MarkTick(key, at, received, price, price, RICH, START + timedelta(hours=8)))


async def later(room: Room, seconds: float, *keys: PositionKey, factor: str = "1") -> None:
    """Process time goes on, every account answers, these instruments speak."""
    await room.rig.clock.advance_to(stamp(seconds))
    for reconciler in room.reconcilers:
        await reconciler.reconcile()
    speak(room, *keys, at_s=seconds, factor=factor)
    await room.breathe()


@asynccontextmanager
async def both_open(room: Room) -> AsyncIterator[Room]:
    """Both books open and every instrument seen."""
    async with opened(room):
        for seconds in (1, 20):  # the first word of a market is heard before the others have spoken
            await later(room, seconds, *PRICES)
        yield room


def last_reason(room: Room, strategy: str) -> str:
    return room.rig.state.last_decision[strategy].assessment.reason.value


def valued(room: Room) -> dict[str, ValuationRow]:
    rows = room.rig.journal.read(kinds=frozenset({RecordKind.VALUATION}))
    return {row.strategy: row for row in (load(ValuationRow, stored.record.payload) for stored in rows)}


# --------------------------------------------------------------------------------------------------- its own capital
@pytest.mark.feature("S10")
async def test_each_book_enters_with_what_lies_at_its_own_accounts() -> None:
    async with both_open(two_books()) as room:
        held = room.rig.held
        assert (last_reason(room, BTC), last_reason(room, ETH)) == ("HOLD", "HOLD")
        assert abs(held(COIN) + held(PERP)) < D("0.001") < abs(held(PERP))
        assert abs(held(ETH_COIN) + held(ETH_PERP)) < D("0.01") < abs(held(ETH_PERP))
        for venue, perp in (({WALLET, FUTURES}, PERP), ({"binance_eth", "binanceusdm_eth"}, ETH_PERP)):
            orders = [life.order for life in room.rig.state.orders.values() if life.order.venue in venue]
            assert {order.strategy for order in orders} == {BTC if perp == PERP else ETH}
        sized = {key: -held(key) * PRICES[key] for key in (PERP, ETH_PERP)}
        assert all(D(70_000) < notional < D("71428.58") for notional in sized.values())  # E/(1 + m*) of its own E


@pytest.mark.feature("S10")
async def test_each_book_is_valued_by_itself_and_the_whole_is_their_sum() -> None:
    async with both_open(two_books()) as room:
        for valuer in room.valuers:
            assert await valuer.value_now()
        await later(room, 3_600, *PRICES, factor="1.01")
        for valuer in room.valuers:
            assert await valuer.value_now()
        rows = valued(room)
        assert {name: set(row.accounts) for name, row in rows.items()} == {
            BTC: {WALLET, FUTURES},
            ETH: {"binance_eth", "binanceusdm_eth"},
        }
        assert all(row.components["unexplained"] == 0 for row in rows.values())
        assert all({key.venue for key in row.holdings} <= set(row.accounts) for row in rows.values())
        assert (set(rows[BTC].net_delta), set(rows[ETH].net_delta)) == ({"BTC"}, {"ETH"})
        view = BookView().fold(room.rig.journal.read())
        said = pnl(view)
        assert Decimal(said["equity_end"]) == sum(row.equity_usdt for row in rows.values())
        assert Decimal(said["residual"]) == 0
        assert set(said["strategies"]) == {BTC, ETH}
        assert {row["strategy"] for row in positions(view)["positions"]} == {BTC, ETH}
        told = {row["name"]: Decimal(row["equity_usdt"]) for row in status(view)["strategies"]}
        assert told == {name: row.equity_usdt for name, row in rows.items()}


# ------------------------------------------------------------------------------------------------- its own troubles
@pytest.mark.feature("S10")
async def test_a_market_that_fell_silent_stops_its_own_book_only() -> None:
    async with both_open(two_books()) as room:
        await later(room, 60, COIN, PERP)
        await later(room, 120, ETH_COIN)
        await later(room, 121, COIN, PERP)
        assert last_reason(room, BTC) == "HOLD"
        await room.rig.clock.advance(1)
        speak(room, ETH_COIN, at_s=122)
        assert last_reason(room, ETH) == "STALE"


@pytest.mark.feature("S10")
async def test_a_stamp_from_the_future_at_one_venue_makes_no_other_book_stale() -> None:
    async with both_open(two_books()) as room:
        speak(room, ETH_COIN, at_s=86_400)
        await later(room, 60, COIN, PERP)
        assert last_reason(room, BTC) == "HOLD"


@pytest.mark.feature("S10")
async def test_a_break_at_one_book_freezes_only_its_own_entries() -> None:
    async with both_open(two_books()) as room:
        found = Break(ETH_CASH, D(1), D(2), D(1), BreakKind.UNKNOWN)
        room.rig.recorder.record(BreakRow(is_open=True, found=found), ETH_CASH)
        room.rig.handler.publish()
        speak(room, *PRICES, at_s=60)
        assert (last_reason(room, BTC), last_reason(room, ETH)) == ("HOLD", "STALE")
        assert "open breaks: binance_eth:spot:USDT" in room.rig.state.last_decision[ETH].assessment.note


@pytest.mark.feature("S10")
async def test_an_order_in_doubt_at_one_book_holds_only_that_book() -> None:
    async with both_open(two_books()) as room:
        rig = room.rig
        order = trade_order(ETH_COIN, Side.SELL, "1", strategy=ETH)
        await rig.recorder.intents([order])
        rig.recorder.move(order, OrderState.SUBMITTED, START)
        rig.recorder.move(order, OrderState.UNKNOWN)
        speak(room, *PRICES, at_s=60)
        assert rig.state.in_doubt() == (order.order_id,)
        assert (last_reason(room, BTC), last_reason(room, ETH)) == ("HOLD", "IN_FLIGHT")
        assert order.order_id in rig.state.last_decision[ETH].assessment.note


@pytest.mark.feature("S10")
async def test_a_silent_venue_keeps_only_its_own_book_from_being_valued() -> None:
    async with both_open(two_books()) as room:
        room.rig.stage.venue.exchange.wallets.pay(ETH_CASH, D(-50))  # the venue holds less than the book says
        first, second = [await valuer.value_now() for valuer in room.valuers]
        assert (first, second) == (True, False)


@pytest.mark.feature("S10")
async def test_a_loss_latches_the_book_that_made_it_and_not_the_other() -> None:
    async with both_open(two_books()) as room:
        for valuer in room.valuers:
            assert await valuer.value_now()
        room.engines[1].is_open = False  # or it would hedge again at once
        room.rig.stage.venue.trade_by_hand(ETH_PERP, Side.BUY, -room.rig.held(ETH_PERP))  # the hedge is gone
        await later(room, 60, ETH_COIN, ETH_PERP, factor="0.9")
        for valuer in room.valuers:
            await valuer.value_now()
        room.engines[1].is_open = True
        assert (room.valuers[0].latched, bool(room.valuers[1].latched)) == ("", True)
        await later(room, 120, *PRICES, factor="0.9")
        assert last_reason(room, ETH) == "DRAWDOWN"
        assert last_reason(room, BTC) != "DRAWDOWN"
        assert room.rig.held(ETH_COIN) < D("0.001")
        assert room.rig.held(COIN) > 1


# ------------------------------------------------------------------------------------------------------- its budget
class Purse:
    """One coin and cash of 100,000 USDT in all, held by a book that may not trade, valued under a mandate."""

    def __init__(self, room: Room, budget: int | None, drawdown_max: str = "0.05") -> None:
        self.room, self.at_s = room, 0.0
        self.mandate = Mandate(BTC, D(drawdown_max), None if budget is None else D(budget))

    @property
    def valuer(self) -> Valuer:
        """A new one each time, as after a restart: what it knows is in the journal."""
        room = self.room
        survey = partial(room.pictures[0].survey, room.engines[0].strategy)
        return Valuer(
            mandate=self.mandate, recorder=room.rig.recorder, reconcilers=room.reconcilers, survey=survey,
            alarm=room.rig.alarm, step=timedelta(hours=1),
        )  # fmt: skip

    async def at(self, price: int, deposit: int = 0) -> ValuationRow:
        """The valuation at this price of the coin, after a deposit, or a withdrawal when it is negative."""
        self.at_s += 60
        if deposit:
            self.room.rig.stage.venue.deposit(CASH, D(deposit))
        await self.room.at(self.at_s, price=price)
        assert await self.valuer.value_now()
        return valued(self.room)[BTC]


@asynccontextmanager
async def purse(budget: int | None) -> AsyncIterator[Purse]:
    rig = Rig(stage=Stage({COIN: D(1), CASH: D(40_000), MARGIN: D(0)}))
    async with opened(Room(rig, is_armed=lambda: False)) as room:
        yield Purse(room, budget)


@pytest.mark.feature("S10")
async def test_a_loss_counts_against_the_budget_and_not_against_the_reserve_beside_it() -> None:
    async with purse(50_000) as book:
        first = await book.at(60_000)
        assert (first.equity_usdt, first.capital_usdt, first.unit_value) == (D(100_000), D(50_000), D(1))
        row = await book.at(58_000)  # 2,000 of 50,000: the reserve fills it up again, the share price keeps the loss
        assert (row.capital_usdt, row.unit_value, row.latched) == (D(50_000), D("0.96"), "")
        row = await book.at(57_000)
        assert abs(row.unit_value - D("0.96") * D("0.98")) < D("1e-25")
        assert "drawdown 0.059200 reached 0.05" in row.latched


@pytest.mark.feature("S10")
async def test_a_budget_that_was_lost_whole_latches_although_the_reserve_fills_it_up_again() -> None:
    async with purse(10_000) as book:
        await book.at(60_000)
        row = await book.at(40_000)  # 20,000 of 10,000
        assert (row.capital_usdt, row.unit_value) == (D(10_000), D(0))
        assert "drawdown 1.000000" in row.latched
        assert book_drawdown([book.valuer]) == 1
        book.valuer.rearm("operator: another try")
        anew = await book.at(41_000)
        assert (anew.unit_value, anew.unit_value_high, anew.latched) == (D("1.1"), D("1.1"), "")


@pytest.mark.feature("S10")
async def test_profit_above_the_budget_goes_into_the_reserve_at_the_share_price_of_the_day() -> None:
    async with purse(100_000) as book:
        await book.at(60_000)
        row = await book.at(70_000)
        assert (row.equity_usdt, row.capital_usdt, row.unit_value) == (D(110_000), D(100_000), D("1.1"))
        assert row.units * row.unit_value == 100_000
        row = await book.at(60_000)
        assert row.unit_value == D("1.1") * D("0.9")  # 10,000 of the 100,000 at work


@pytest.mark.parametrize("budget", [None, 50_000, 500_000])
@pytest.mark.feature("S10")
async def test_money_that_comes_and_goes_moves_no_share_price(budget: int | None) -> None:
    async with purse(budget) as book:
        await book.at(60_000)
        for amount in (30_000, -20_000, -15_000):
            row = await book.at(60_000, deposit=amount)
            assert row.components["flows"] == amount
            assert (row.unit_value, row.unit_value_high, row.latched) == (D(1), D(1), "")
            assert row.capital_usdt == row.units


@pytest.mark.feature("S10")
def test_a_pair_is_sized_by_the_budget_and_leaves_the_reserve_alone() -> None:
    whole, part = idle(), idle()
    market = part.market
    exposure = build_exposure(part.book, market, D(40_000))
    strategy = part.strategy
    orders = strategy.make_strategy_decision(part.time, "market", market, exposure, part.risk)
    assert orders[-1].quantity == pytest.approx(whole.orders()[-1].quantity * D("0.4"), abs=D("0.002"))
    after = executed(part, orders)
    assert after.holdings["binance"].cash > 59_900
    again = build_exposure(after.book, after.market, D(40_000))
    assert strategy.make_strategy_decision(after.time, "market", after.market, again, after.risk) == []


# -------------------------------------------------------------------------------------------------------- its latch
@pytest.mark.feature("K08")
async def test_a_latch_survives_the_restart_and_a_recovery_until_the_operator_opens_it() -> None:
    async with purse(None) as book:
        await book.at(60_000)
        latched = await book.at(50_000)
        assert latched.latched.startswith("drawdown 0.1")
        restored = BookState.restore(book.room.rig.state.dump())
        for state in (restored, folded(book.room.rig)):
            found = Valuer(
                mandate=book.mandate, recorder=Recorder(state, book.room.rig.journal), reconcilers=(),
                survey=partial(book.room.pictures[0].survey, book.room.engines[0].strategy),
                alarm=book.room.rig.alarm, step=timedelta(hours=1),
            )  # fmt: skip
            assert (found.latched, found.unit_value_high) == (latched.latched, D(1))
        recovered = await book.at(60_000)  # what is lost was won again: it stays latched all the same
        assert (recovered.unit_value, recovered.latched) == (D(1), latched.latched)
        assert book.valuer.rearm("operator: looked into it")
        assert book.valuer.latched == ""
        assert (await book.at(60_000)).latched == ""
        assert not book.valuer.rearm("again")


@pytest.mark.feature("K08")
async def test_after_a_rearm_the_drawdown_counts_from_the_price_that_was_accepted() -> None:
    async with purse(None) as book:
        await book.at(60_000)
        await book.at(50_000)
        book.valuer.rearm("operator: accepted")
        row = await book.at(46_000)  # .86 of .90 is less than five hundredths down
        assert (row.unit_value_high, row.latched) == (D("0.9"), "")
        assert (await book.at(45_000)).latched != ""


@pytest.mark.feature("K08")
def test_a_latched_book_leaves_and_stays_out_although_its_unit_value_has_recovered() -> None:
    scene = paired().risky(latched="drawdown 0.06 reached 0.05 of the highest unit value 1")
    found = scene.assess()
    assert (found.reason.value, found.page) == ("DRAWDOWN", True)
    after = executed(scene, scene.orders())
    assert after.orders() == []
    assert "flat until rearmed" in after.assess().note
    assert idle().risky(latched="drawdown").orders() == []
