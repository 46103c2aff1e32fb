"""A book counted in bitcoin: whatever is filled and wherever the mark goes, every satoshi of its equity has a cause."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import (
    Arrival,
    CashFlow,
    Cause,
    Ledger,
    entry_of_cash_flow,
    entry_of_opening,
    entry_of_trade,
)
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import Fee, OrderState, Trade, TradeStatus
from basis_daemon.domain.valuation import Posted, Valuation, attribute
from tests.builders import NOW, D, perp_instrument, signs

KEY, COIN = PositionKey("binancecoinm:perp:BTCUSD"), PositionKey("binancecoinm:spot:BTC")
PERP = replace(perp_instrument(KEY, "BTC"), quote="USD", contract_value=D(100), quantity_step=D(1))
SATOSHI = D("1e-8")
MOVES = st.tuples(st.integers(-900, 900).filter(bool), st.integers(200_000, 2_000_000), st.integers(-20, 20))


class Book:
    """Its ledger, and the wallet as its venue keeps it: eight places, profit cut toward zero, cost in full."""

    def __init__(self) -> None:
        self.ledger, self.wallet, self.cost, self.held = Ledger(), D(2), D(0), D(0)
        report = AccountReport("binancecoinm", NOW, 0, {COIN: D(2)}, frozenset(), None)
        self.ledger.apply(entry_of_opening(report, {}))
        self.times = 0

    def fill(self, quantity: Decimal, price: Decimal, arrival: Decimal) -> None:
        before, opened = self.held, self.cost
        closing = D(0) if before * quantity >= 0 else min(abs(before), abs(quantity))
        share = closing / abs(before) if closing else D(0)
        sold = closing if before > 0 else -closing
        realised = (opened * share - sold * 100 / price).quantize(SATOSHI, rounding=ROUND_DOWN)
        self.held += quantity
        self.cost = (opened + quantity * 100 / price - realised) if self.held else D(0)
        fee = (abs(quantity) * 100 / price * D("0.0005")).quantize(SATOSHI, rounding=ROUND_DOWN)
        self.wallet += realised - fee
        self.times += 1
        deltas = {KEY: quantity, COIN: realised - fee}
        trade = Trade(
            trade_id=f"t{self.times}", order_id="o", account="binancecoinm", instrument=KEY, status=TradeStatus.FILLED,
            order_state=OrderState.FILLED, price=price, qty_base=abs(quantity), qty_quote=abs(quantity) * 100,
            fees=(Fee(asset="BTC", quantity=fee),), realised_pnl=realised, venue_time=NOW, recv_time=NOW,
            cum_filled=abs(quantity), deltas=deltas,
        )  # fmt: skip
        cost = self.ledger.open_notional(KEY, "BTC")
        self.ledger.apply(entry_of_trade(trade, self.ledger.holding(KEY), cost, PERP, Arrival(arrival)))

    def funded(self, mark: Decimal, rate: Decimal) -> None:
        paid = (self.held * 100 / mark * rate).quantize(SATOSHI, rounding=ROUND_DOWN)
        self.times += 1
        self.wallet -= paid
        self.ledger.apply(entry_of_cash_flow(CashFlow(f"f{self.times}", COIN, -paid, Cause.FUNDING, NOW, KEY)))

    def valued(self, mark: Decimal) -> Valuation:
        """With what the venue says that the account holds."""
        posted = tuple(Posted(c, a, s, x) for (c, a, s), x in self.ledger.totals().items())
        return Valuation(
            time=NOW + timedelta(hours=self.times), holdings={KEY: self.held, COIN: self.wallet},
            open_notional=self.ledger.open_notionals(), prices={"BTC": D(1)}, marks={KEY: mark}, bases={KEY: "BTC"},
            posted=posted, numeraire="BTC", contract_values={KEY: D(100)},
        )  # fmt: skip


@given(st.lists(MOVES, min_size=1, max_size=20))
def test_every_change_of_a_coin_margined_book_is_explained_to_the_last_digit(moves: list[tuple[int, int, int]]) -> None:
    book, mark = Book(), D(60_000)
    opening = book.valued(mark)
    for quantity, tenths, funding in moves:
        before, price = book.valued(mark), D(tenths) / 10
        book.fill(D(quantity), price, mark)
        book.funded(price, D(funding) / 10_000)
        mark = (price + mark) / 2
        parts = attribute(before, book.valued(mark))
        assert parts["unexplained"] == 0
        assert parts["basis"] == 0
        assert abs(parts["rounding"]) <= 2 * SATOSHI
    whole = attribute(opening, book.valued(mark))
    assert whole["unexplained"] == 0
    assert book.wallet == book.ledger.holding(COIN)


def test_what_an_overlay_earns_is_the_golden_number() -> None:
    for end, earned in ((57_000, "-0.052631579"), (63_000, "0.047619048")):
        book = Book()
        book.fill(D(600), D(60_000), D(60_000))
        opening, closing = book.valued(D(60_000)), book.valued(D(end))
        assert signs(attribute(opening, closing)["delta"]) == earned  # ML5
        assert opening.net_delta() == {}


@pytest.mark.parametrize("side", [1, -1])
def test_what_a_fill_lost_against_its_arrival_is_slippage_in_coin(side: int) -> None:
    book = Book()
    opening = book.valued(D(60_000))
    book.fill(side * D(600), D(60_000 + side * 30), D(60_000))
    parts = attribute(opening, book.valued(D(60_000)))
    lost = -side * 600 * D(100) * (1 / D(60_000) - 1 / D(60_000 + side * 30))
    assert abs(parts["slippage"] - lost) < D("1e-14")
    assert parts["slippage"] < 0
    assert abs(parts["trading"]) < D("1e-14")
