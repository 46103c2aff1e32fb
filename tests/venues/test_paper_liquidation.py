"""Money of a paper book through any path of prices: what leaves one account arrives in another, or has its cause."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.errors import OrderRejectedError
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.order import Side
from basis_daemon.domain.trade import Trade
from basis_daemon.venues.paper.margin_core import is_liquidated
from basis_daemon.venues.paper.venue import PaperTerms
from tests.venues.paper_support import (
    CASH,
    COIN,
    FUTURES,
    MARGIN,
    PERP,
    START,
    WALLET,
    D,
    Stage,
    ledger_of,
    trade_order,
    transfer_order,
)

HOURS_8 = 28_800.0
FEE = D("0.0125")
FIVE = PaperTerms(liquidation_fee=FEE, leverage=D(5))

Move = tuple[str, int, Decimal]
"""(what happens, price, quantity or money in thousands)"""
moves = st.lists(
    st.tuples(
        st.sampled_from(["mark", "settle", "short", "long", "buy coin", "to margin", "from margin"]),
        st.integers(20_000, 140_000),
        st.integers(1, 3_000).map(lambda steps: D(steps) / 1000),
    ),
    min_size=1,
    max_size=30,
)


async def live_through(stage: Stage, path: Sequence[Move]) -> None:
    """Every move, whether the venue takes the order or not."""
    for number, (what, price, amount) in enumerate(path, 1):
        at_s = number * HOURS_8
        stage.quote(PERP, price, "3", at_s)
        stage.mark(price, at_s, at_s + HOURS_8)
        try:
            match what:
                case "settle":
                    stage.settle(str(amount / 1000 - D("0.0015")), at_s)
                case "short" | "long":
                    side = Side.SELL if what == "short" else Side.BUY
                    order = trade_order(PERP, side, amount, ref_price=D(price))
                    await stage.futures.execute_order(order, START)
                case "buy coin":
                    stage.quote(COIN, price, "3", at_s)
                    await stage.wallet.execute_order(trade_order(COIN, Side.BUY, amount, ref_price=D(price)), START)
                case "to margin":
                    await stage.wallet.execute_order(transfer_order(CASH, FUTURES, str(amount * 10_000)), START)
                case "from margin":
                    await stage.futures.execute_order(transfer_order(MARGIN, WALLET, str(amount * 10_000)), START)
        except OrderRejectedError:
            continue


@pytest.mark.feature("Y02", part="cex")
@given(moves)
@pytest.mark.slow
async def test_no_account_is_ever_left_at_or_below_its_maintenance(path: list[Move]) -> None:
    stage = Stage({CASH: D(60_000), MARGIN: D(20_000)}, terms=FIVE)
    for end in range(1, len(path) + 1):
        await live_through(stage, path[end - 1 : end])
        margin = stage.venue.exchange.wallets.margin(FUTURES)
        assert margin is not None
        assert not is_liquidated(margin)
        assert margin.wallet >= 0 or margin.maintenance > 0  # without a position nobody owes the venue


@pytest.mark.feature("Y02", part="cex")
@pytest.mark.feature("R05", part="liquidation")
@given(moves)
@pytest.mark.slow
async def test_every_cent_of_a_path_with_liquidations_has_its_cause(path: list[Move]) -> None:
    """Balances are opening plus realised profit, funding, liquidation fee, and less fees; transfers sum to zero."""
    opening = {CASH: D(60_000), MARGIN: D(20_000)}
    stage = Stage(opening, terms=FIVE)
    await live_through(stage, path)
    wallets, ledger = stage.venue.exchange.wallets, ledger_of(opening, stage)
    assert {key: held for key, held in ledger.holdings().items() if held} == {
        key: held for key, held in wallets.balances.items() if held
    }
    assert ledger.open_notional(PERP, "USDT") == wallets.cost(PERP)
    perps = [trade for trade in stage.venue.exchange.tape.fills(FUTURES) if trade.instrument == PERP]
    realised = sum((trade.realised_pnl or D(0) for trade in perps), D(0))
    fees = sum((fee.quantity for trade in perps for fee in trade.fees), D(0))
    moved = sum((trade.deltas.get(MARGIN, D(0)) for trade in transfers(stage)), D(0))
    flows = {cause: total(stage, cause) for cause in (Cause.FUNDING, Cause.LIQUIDATION)}
    assert wallets.holding(MARGIN) == opening[MARGIN] + moved + realised - fees + sum(flows.values())
    assert moved == -sum((trade.deltas.get(CASH, D(0)) for trade in transfers(stage)), D(0))


def transfers(stage: Stage) -> list[Trade]:
    both = [*stage.venue.exchange.tape.fills(WALLET), *stage.venue.exchange.tape.fills(FUTURES)]
    return [trade for trade in both if set(trade.deltas) == {CASH, MARGIN}]


def total(stage: Stage, cause: Cause) -> Decimal:
    return sum((flow.amount for flow in stage.venue.exchange.tape.flows(FUTURES) if flow.cause is cause), D(0))


@pytest.mark.feature("Y02", part="cex")
async def test_a_squeezed_short_pays_its_loss_the_taker_fee_and_the_liquidation_fee_and_keeps_the_rest() -> None:
    """Short 1 at 59,999.5 on 30,000; at 89,600 equity 369.50 meets .5 % less 50 = 398: closed at 89,600.5."""
    stage = Stage({MARGIN: D(30_000)}, terms=PaperTerms(liquidation_fee=D("0.0001"), leverage=D(5)))
    await stage.futures.execute_order(trade_order(PERP, Side.SELL, "1"), START)
    stage.quote(PERP, 89_500, at_s=1)
    stage.mark(89_500, at_s=1)
    assert stage.balance(PERP) == -1
    stage.quote(PERP, 89_600, at_s=2)
    stage.mark(89_600, at_s=2)
    assert stage.balance(PERP) == 0
    opened, closed = D("59999.5"), D("89600.5")
    taker = (opened + closed) * D("0.0005")
    assert total(stage, Cause.LIQUIDATION) == -D(89_600) * D("0.0001")
    assert stage.balance(MARGIN) == 30_000 + opened - closed - taker - D("8.96")


@pytest.mark.feature("Y02", part="cex")
@pytest.mark.parametrize("leverage", [D(5), D(20), D(125)])
async def test_the_leverage_that_is_set_decides_what_stays_behind_a_position(leverage: Decimal) -> None:
    """Short 2 at 59,999.5, marked at 60,000: 50,000 less fee 59.9995, less loss 1, less 120,000 over the leverage."""
    stage = Stage(terms=PaperTerms(leverage=leverage))
    await stage.futures.execute_order(trade_order(PERP, Side.SELL, "2"), START)
    most = D(50_000) - D("59.9995") - 1 - 120_000 / min(leverage, D(100))  # the tier of 120,000 allows 100
    with pytest.raises(OrderRejectedError, match="free"):
        await stage.futures.execute_order(transfer_order(MARGIN, WALLET, str(most + D("0.0001"))), START)
    await stage.futures.execute_order(transfer_order(MARGIN, WALLET, str(most)), START)
    with pytest.raises(OrderRejectedError, match="needs margin"):
        await stage.futures.execute_order(trade_order(PERP, Side.SELL, "0.5"), START)


@pytest.mark.feature("Y02", part="cex")
async def test_a_liquidation_is_no_gift_of_a_book_that_has_not_moved_yet() -> None:
    stage = Stage({MARGIN: D(30_000)}, terms=FIVE)
    await stage.futures.execute_order(trade_order(PERP, Side.SELL, "1"), START)
    stage.mark(95_000, at_s=1)  # the book still shows 60,000
    (closed,) = [trade for trade in stage.tape.trades if trade.order_id == ""]
    assert closed.price == 95_000
    assert stage.balance(MARGIN) == 0
    assert total(stage, Cause.LIQUIDATION) > 0  # the fund pays what the wallet could not
