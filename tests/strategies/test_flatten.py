"""Every family closes its whole book on an operator's word, killed, in dispute or half blind, and adds no risk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.gas import DELEVER_UNITS, GWEI, gas_cost, planned_units
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.position import Break, BreakKind
from basis_daemon.domain.risk import Effect, effect_of
from basis_daemon.domain.risk_money import price_bound
from tests.builders import BINANCE, BYBIT, D, Holding, Scene, executed, parameters
from tests.strategies.chain_scenes import A_USDT, ETH, WEETH, Run
from tests.strategies.hedge_scenes import THREE_VENUES, HedgeRun, entered, levered, overlaid
from tests.strategies.levered_scenes import at
from tests.strategies.ml_scenes import MlRun, inverse, linear, long
from tests.strategies.staking_scenes import holder
from tests.strategies.test_pure_lending import lender

pytestmark = pytest.mark.feature("K09", part="strategies")
WHY = "operator: leaving"
R = TypeVar("R", bound=Run)
DEBTLIKE = {Kind.PERP, Kind.VDEBT, Kind.ATOKEN, Kind.LST, Kind.CLAIM}


def told(run: R) -> R:
    run.risk = replace(run.risk, flatten=WHY, is_killed=True)
    return run


def closed(run: Run, steps: int, **span: float) -> list[str]:
    """So many decisions at most: what their orders are, of which none adds risk to the book as it was then."""
    kinds: list[str] = []
    for _ in range(steps):
        before, exposure = len(run.acts), run.exposure
        if run.step(**span) == "FLAT":
            break
        for _, _, orders in run.acts[before:]:
            assert all(effect_of(order, orders, exposure) is not Effect.ADDING for order in orders), orders
            kinds += [order.operation.value for order in orders]
    return kinds


def left(run: Run) -> set[PositionKey]:
    """Positions and claims that are worth an order."""
    return {key for key, amount in run.holdings.items() if key.kind in DEBTLIKE and abs(amount) > D("0.02")}


def test_a_staked_hedge_goes_down_a_clip_of_both_legs_at_a_time() -> None:
    run = entered()
    told(run)
    worst = D(0)
    for _ in range(16):
        run.step(minutes=1)
        worst = max(worst, abs(run.exposure_at(run.market).net_delta["ETH"] + rated(run)))
    assert left(run) == set()
    assert worst < D(1)
    assert run.assess().reason == "FLAT"


def rated(run: HedgeRun) -> Decimal:
    """The token's ETH."""
    return run.holdings.get(WEETH, D(0)) * run.chain.lsts[WEETH].rate


def test_a_clip_whose_sale_failed_is_sold_before_more_of_the_short_is_bought_back() -> None:
    run = told(entered())
    bought = run.orders()[0]
    assert (bought.operation.value, bought.quantity * 2600 < 30_000) == ("perp_trade", True)
    run.holdings[bought.instrument] += bought.quantity  # its swap was reverted
    kinds = [order.operation.value for order in run.orders()]
    assert "perp_trade" not in kinds
    assert "swap" in kinds


@pytest.mark.parametrize(("make", "gwei"), [(entered, 300), (levered, 120)])
def test_dear_gas_does_not_end_the_way_out_of_a_hedge(make: Callable[[], HedgeRun], gwei: int) -> None:
    """Found by the drill: ether for gas went clip by clip, and a book that held tons of it could move none."""
    run, worst = told(make()), D(0)
    run.chain = replace(run.chain, gwei=gwei)
    for _ in range(40):
        before = len(run.acts)
        run.step(minutes=1)
        for _, _, orders in run.acts[before:]:
            groups = len({order.group_id for order in orders if order.group_id})
            units = planned_units(_singles(orders)) + DELEVER_UNITS * groups
            run.holdings[ETH] -= gas_cost(units, gwei * GWEI)
            assert run.holdings[ETH] >= 0, [order.operation.value for order in orders]
        worst = max(worst, abs(run.delta()))
    assert left(run) == set()
    assert worst < D("0.02"), "what gas burns is bought back with the last clip"
    assert run.assess().reason == "FLAT"


def _singles(orders: list[Order]) -> list[OrderOperation]:
    """Those of the chain that are transactions of their own."""
    return [o.operation for o in orders if not o.group_id and o.instrument.venue in {"wallet", "aave_v3"}]


@pytest.mark.parametrize(
    ("run", "steps", "expected"),
    [
        pytest.param(lambda: at("0.85"), 4, {"flash_borrow", "repay", "withdraw", "swap", "flash_repay"}, id="levered"),
        pytest.param(lambda: lender(D(20_000), D(980_000)), 3, {"withdraw"}, id="lender"),
        pytest.param(overlaid, 8, {"perp_trade", "spot_trade", "repay", "withdraw", "unwrap"}, id="overlay"),
        pytest.param(levered, 40, {"perp_trade", "flash_borrow", "swap"}, id="levered_hedge"),
    ],
)
def test_every_family_on_the_chain_ends_flat(run: Callable[[], Run], steps: int, expected: set[str]) -> None:
    book = told(run())
    if WEETH in book.chain.lsts:
        rate = book.chain.lsts[WEETH].rate
        book.chain = book.chain.token(WEETH, pool_price=rate * D("0.9995"), quoted_size=D(10_000))
    assert expected <= set(closed(book, steps, minutes=5))
    assert left(book) == set()
    assert book.assess().reason == "FLAT"


def test_a_staker_waits_for_its_claims_collects_them_and_is_flat_then() -> None:
    run = holder("500")
    run.chain = run.chain.token(WEETH, quoted_size=D(100))
    told(run)
    assert closed(run, 2, hours=1) == ["swap", "unwrap", "unstake"]
    assert (run.assess().reason, run.orders()) == ("FLATTEN", [])
    assert "etherfi:claim:1 has not come yet" in run.assess().note
    run.pay(PositionKey("etherfi:claim:1"))
    assert closed(run, 2, hours=1) == ["claim"]
    assert run.assess().reason == "FLAT"


@pytest.mark.parametrize("make", [linear, inverse])
def test_a_directional_book_is_closed_reduce_only(make: Callable[[], MlRun]) -> None:
    run = long(make())
    run.risk = replace(run.risk, flatten=WHY, is_killed=True)
    (order,) = run.orders()
    assert order.reduce_only
    run.step()
    assert (run.held, run.step()) == (D(0), "FLAT")


def test_a_lender_takes_what_the_reserve_can_pay_and_waits_for_the_rest() -> None:
    run = told(lender(D(20_000), D(980_000)))
    run.chain = run.chain.reserve(A_USDT, idle=D(300_000))
    assert closed(run, 1) == ["withdraw"]
    assert run.holdings[A_USDT] == 680_000
    run.chain = run.chain.reserve(A_USDT, idle=D(0))
    run.step()
    assert (run.assess().reason, run.orders()) == ("FLATTEN", [])
    assert "nothing is idle" in run.assess().note


def test_a_chain_that_cannot_be_seen_keeps_the_hedge_whole() -> None:
    run = told(entered())
    run.stale = frozenset({"gas:wallet:token:ETH"})
    assert (run.step(minutes=1), run.acts[3:]) == ("FLATTEN", [])
    assert "stale: gas" in run.assess().note


def test_a_venue_that_cannot_be_seen_keeps_its_part_of_the_hedge_and_the_others_leave() -> None:
    run = entered("300000", *THREE_VENUES)
    told(run)
    down = "bybitperp:perp:ETHUSDT"
    run.stale = frozenset({f"mark:{down}", f"book:{down}"})
    kept = run.holdings[PositionKey(down)]
    for _ in range(30):
        run.step(minutes=1)
    assert run.holdings[PositionKey(down)] == kept
    assert all(abs(run.holdings[v.perp_key("ETH")]) < D("0.02") for v in THREE_VENUES if v.name != "bybit")
    assert abs(rated(run) + kept) < 2
    assert run.assess().reason == "FLATTEN"
    run.stale = frozenset()
    for _ in range(12):
        run.step(minutes=1)
    assert left(run) == set()


def test_of_a_position_in_dispute_only_what_both_know_of_is_closed() -> None:
    run = told(lender(D(20_000), D(980_000)))
    run.risk = replace(run.risk, breaks=(Break(A_USDT, D(980_000), D(400_000), D(1), BreakKind.UNKNOWN),))
    (order,) = run.orders()
    assert (order.operation.value, order.expected_deltas[A_USDT]) == ("withdraw", D(-400_000))


def taken(order: Order, scene: Scene) -> bool:
    """True for what its venue does not refuse: no part of a step, and not too small where it does not only reduce."""
    price, instrument = price_bound(order), scene.market.instruments.get(order.instrument)
    if price is None or instrument is None:
        return True
    if order.quantity % instrument.quantity_step:
        return False
    if order.reduce_only:
        return True
    return instrument.notional(order.quantity, price) >= instrument.notional_min


AMOUNTS = st.integers(0, 200_000).map(lambda units: D(units) / 100_000)
SHORTS = st.integers(0, 2_000).map(lambda units: D(units) / 1_000)


@given(long=st.tuples(AMOUNTS, AMOUNTS), short=st.tuples(SHORTS, SHORTS))
@example(long=(D("0.58617"), D(0)), short=(D("0.544"), D("0.038")))  # short at one venue of what the other holds
@example(long=(D("0.50079"), D(0)), short=(D("0.5"), D("0.003")))  # more long than the pair, and short as a book
@example(long=(D(0), D("0.00084")), short=(D("0.001"), D(0)))  # no pair, and still a sale that hedges
@example(long=(D("0.5003"), D(0)), short=(D("0.5005"), D(0)))  # a short from before its exchange's step became coarser
@example(long=(D(0), D(0)), short=(D("0.0175"), D(0)))  # the same, alone
@example(long=(D("0.00008"), D(0)), short=(D("0.017"), D(0)))  # no venue takes an order for so little of the long leg
@example(long=(D("0.48767"), D("0.15411")), short=(D("0.4"), D("0.238")))  # the same, and each pair rounded its own way
def test_pairs_whose_legs_stand_at_two_venues_are_left_as_pairs(
    long: tuple[Decimal, Decimal], short: tuple[Decimal, Decimal]
) -> None:
    east, west = (
        Holding(cash=D(1_000), margin_wallet=D(90_000), base=held, short=sold)
        for held, sold in zip(long, short, strict=True)
    )
    scene = Scene(parameters(BINANCE, BYBIT), {"binance": east, "bybit": west}).risky(flatten=WHY, is_killed=True)
    for _ in range(6):
        if scene.assess().reason is ReasonCode.FLAT:
            break
        orders, exposure = scene.orders(), scene.exposure
        assert all(effect_of(order, orders, exposure) is not Effect.ADDING for order in orders), orders
        assert all(taken(order, scene) for order in orders), orders
        scene = executed(scene, orders)
    assert scene.assess().reason is ReasonCode.FLAT
    worth = scene.parameters.min_order_usdt + scene.price * D("0.001")  # less than an order and a step of the contract
    assert all(abs(at.base - at.short) * scene.price < worth for at in scene.holdings.values())
    assert all(at.short * scene.price < worth for at in scene.holdings.values())
