"""First in, first out: nothing is lost between what was paid, what was gained and what is still held."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.lots import Event, Queue
from tests.builders import NOW, D

BUY = Event("buy", NOW, "trade")
SELL = Event("sell", NOW, "trade")


def queue() -> Queue:
    return Queue("BTC", "USDT")


def test_what_was_bought_first_is_sold_first() -> None:
    lots = queue()
    lots.move(D(2), D(100), BUY)
    lots.move(D(1), D(80), BUY)
    lots.move(D("-2.5"), D(-200), SELL)
    assert [(part.lot.quantity, part.lot.cost, part.proceeds, part.gain) for part in lots.closed] == [
        (D(2), D(100), D(160), D(60)),
        (D("0.5"), D(40), D(40), D(0)),
    ]
    assert [(lot.quantity, lot.cost) for lot in lots.lots] == [(D("0.5"), D(40))]


def test_a_short_gains_when_it_is_bought_back_for_less_and_what_crosses_zero_opens_anew() -> None:
    lots = queue()
    lots.move(D(-2), D(-120), SELL)
    lots.move(D(3), D(150), BUY)
    (part,) = lots.closed
    assert (part.lot.quantity, part.lot.cost, part.proceeds, part.gain) == (D(-2), D(-120), D(-100), D(20))
    assert [(lot.quantity, lot.cost) for lot in lots.lots] == [(D(1), D(50))]


def test_what_leaves_at_cost_gains_nothing_and_takes_its_cost_along() -> None:
    lots = queue()
    lots.move(D(2), D(100), BUY)
    assert lots.leave(D("0.5"), SELL) == D(25)
    assert [part.gain for part in lots.closed] == [D(0)]
    assert [(lot.quantity, lot.cost) for lot in lots.lots] == [(D("1.5"), D(75))]


def test_an_unknown_cost_is_an_unknown_gain_and_never_zero() -> None:
    lots = queue()
    lots.move(D(1), None, BUY)
    lots.move(D(1), D(50), BUY)
    lots.move(D(-2), D(-120), SELL)
    assert [part.gain for part in lots.closed] == [None, D(10)]
    assert lots.leave(D(1), SELL) is None, "more left than there was"


quantities = st.decimals(min_value=D(-9), max_value=D(9), places=7).filter(bool)
prices = st.decimals(min_value=D("0.01"), max_value=D(90_000), places=5)


@given(st.lists(st.tuples(quantities, prices), max_size=30), prices)
def test_gains_and_what_is_held_at_any_price_are_what_was_made_of_what_was_paid(
    moves: list[tuple[Decimal, Decimal]], price: Decimal
) -> None:
    lots = queue()
    for quantity, at in moves:
        lots.move(quantity, quantity * at, BUY)
    held, paid = sum((q for q, _ in moves), D(0)), sum((q * at for q, at in moves), D(0))
    gains = [part.gain for part in lots.closed]
    open_lots = [(lot.quantity, lot.cost) for lot in lots.lots]
    assert None not in gains
    assert sum(q for q, _ in open_lots) == held
    unrealised = sum((q * price - cost for q, cost in open_lots if cost is not None), D(0))
    assert sum((gain for gain in gains if gain is not None), D(0)) + unrealised == held * price - paid
    assert len({lot.quantity > 0 for lot in lots.lots}) <= 1, "never long and short at once"
