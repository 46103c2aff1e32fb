"""Whatever is traded, nothing appears and nothing is lost."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basis_daemon.sandbox.exchange.book import DepthProfile
from basis_daemon.sandbox.exchange.rejects import RejectError
from tests.sandbox.builders import PERP, SPOT, D, Desk

LADDER = DepthProfile(offsets=(20, 300, 2000), sizes=(40_000, 80_000, 200_000))
SIDES = st.sampled_from(["BUY", "SELL"])
LOTS = st.integers(2, 900)
AWAY = st.integers(-80, 80)
TRADE = st.tuples(st.sampled_from(["spot", "perp"]), SIDES, LOTS, st.none() | AWAY, st.sampled_from(["GTC", "IOC"]))
MOVE = st.tuples(st.just("move"), st.integers(-400, 400), st.integers(1, 5))
TRANSFER = st.tuples(st.just("transfer"), st.sampled_from(["MAIN_UMFUTURE", "UMFUTURE_MAIN"]), st.integers(1, 60_000))
CANCEL = st.tuples(st.just("cancel"))
Step = tuple[object, ...]


def run(desk: Desk, step: Step) -> None:
    match step:
        case ("move", int(bp), int(hours)):
            price = desk.venue.marks["BTCUSDT"] * (10_000 + bp) / 10_000
            price = round(max(D(20_000), min(D(200_000), price)), 1)
            desk.move({PERP: price, SPOT: round(price * D("0.9993"), 2)}, seconds=hours * 3600)
        case ("transfer", str(kind), int(amount)):
            desk.world.settlement.transfer(desk.account, kind, "USDT", D(amount))
        case ("cancel",):
            desk.world.futures.cancel_all(desk.account, None)
            for order in desk.account.store("spot").resting():
                desk.world.spot.cancel(desk.account, order)
        case (str(market), str(side), int(lots), away, str(force)):
            limit: str | None = None
            if isinstance(away, int):
                limit = str((desk.venue.marks["BTCUSDT"] * (10_000 + away) / 10_000).quantize(D("0.1")))
            (desk.spot if market == "spot" else desk.perp)(side, str(lots * D("0.001")), limit, time_in_force=force)
        case _:
            pytest.fail(f"unknown step {step}")


@pytest.mark.feature("Q01", part="conservation")
@settings(max_examples=40)
@given(st.lists(st.one_of(TRADE, TRADE, MOVE, TRANSFER, CANCEL), min_size=20, max_size=60), st.booleans())
@pytest.mark.slow
def test_balances_are_the_sum_of_flows(steps: list[Step], pays_in_bnb: bool) -> None:
    opening = {"USDT": D(100_000), "BTC": D(2), "BNB": D(3)}
    desk = Desk(spot={a: str(v) for a, v in opening.items()}, usdm="20000", depth=LADDER)
    desk.account.pays_fees_in_bnb = pays_in_bnb
    for step in steps:
        try:
            run(desk, step)
        except RejectError:
            continue
        check_spot(desk, opening)
        check_wallet(desk)


def check_spot(desk: Desk, opening: dict[str, Decimal]) -> None:
    expected = dict(opening)
    for fill in desk.account.store("spot").fills:
        sign = 1 if fill.buy else -1
        expected["BTC"] += sign * fill.quantity
        expected["USDT"] -= sign * fill.quote
        expected[fill.fee_asset] -= fill.fee
    expected["USDT"] -= sum(desk.income("TRANSFER"))
    for asset, amount in expected.items():
        holding = desk.account.holding(asset)
        assert holding.free + holding.locked == amount
        assert holding.free >= 0
        assert holding.locked >= 0
    locked = sum((o.remaining * o.price for o in desk.account.store("spot").resting() if o.buy), D(0))
    assert desk.locked("USDT") == locked


def check_wallet(desk: Desk) -> None:
    """Wallet plus open profit is opening money, flows and what the fills are worth at the mark: to the last digit."""
    fills = desk.account.store("usdm").fills
    mark, position = desk.venue.marks["BTCUSDT"], desk.account.position("BTCUSDT")
    held = sum((f.quantity if f.buy else -f.quantity for f in fills), D(0))
    worth = sum(((mark - f.price) * (f.quantity if f.buy else -f.quantity) for f in fills), D(0))
    flows = sum(sum(desk.income(kind)) for kind in ("TRANSFER", "FUNDING_FEE", "COMMISSION", "INSURANCE_CLEAR"))
    assert position.quantity == held
    assert desk.wallet + position.unrealised(mark) == 20_000 + flows + worth
    assert desk.wallet == 20_000 + sum(row.amount for row in desk.account.income)
    assert -sum(desk.income("COMMISSION")) == sum(f.fee for f in fills)
