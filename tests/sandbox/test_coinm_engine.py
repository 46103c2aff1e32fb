"""Inverse contracts in examples that can be worked by hand: coin as margin, coin as profit, coin as funding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.sandbox.exchange.accounts import Account, AccountSpec, Position
from basis_daemon.sandbox.exchange.futures import net
from basis_daemon.sandbox.exchange.instruments import Key
from basis_daemon.sandbox.exchange.margin import liquidation_price, margin_of
from basis_daemon.sandbox.exchange.orders import Order, OrderRequest
from basis_daemon.sandbox.exchange.rejects import RejectError
from basis_daemon.sandbox.exchange.venue import Venue
from basis_daemon.sandbox.exchange.world import World
from tests.sandbox.builders import KEYS, ONE_DEEP_LEVEL, D, ScriptedPath

INVERSE: Key = ("coinm", "BTCUSD_PERP")
SPEC = AccountSpec(spot=(("BTC", D(1)),), coinm=(("BTC", D(2)),))


class Coins:
    """One account with two bitcoins of margin, at a market of 60,000 that stands still until it is moved."""

    def __init__(self) -> None:
        self.path = ScriptedPath(keys=(*KEYS, INVERSE))
        self.venue = Venue(self.path.keys, [SPEC], self.path.start_ms, depth=ONE_DEEP_LEVEL)
        self.world = World(self.venue, self.path)
        self.main = self.venue.accounts[SPEC.api_key]
        self.account: Account = self.main.of_market("coinm")
        self.position.leverage = 5

    def trade(self, side: str, quantity: str) -> Order:
        request = OrderRequest(symbol=INVERSE[1], side=side, kind="MARKET", quantity=D(quantity))
        return self.world.futures.place(self.account, request)

    def moves_to(self, price: int) -> None:
        self.path.prices[INVERSE] = price
        self.world.advance(self.venue.now_ms + 60_000)

    @property
    def position(self) -> Position:
        return self.account.position(INVERSE[1])


def test_a_long_earns_coin_when_the_coin_rises_and_less_of_it_than_of_dollars() -> None:
    coins = Coins()
    order = coins.trade("BUY", "600")
    assert order.fills[0].fee_asset == "BTC"
    assert coins.position.entry_price.quantize(D("0.1")) == order.average.quantize(D("0.1"))
    entry = order.average
    coins.moves_to(63_000)
    expected = 600 * 100 * (1 / entry - 1 / coins.venue.marks[INVERSE[1]])
    assert abs(margin_of(coins.account, coins.venue.marks).unrealised - expected) < D("1e-20")


def test_at_flat_the_cost_is_nothing_and_the_wallet_is_its_own_history() -> None:
    coins = Coins()
    coins.trade("BUY", "700")
    coins.moves_to(61_234)
    coins.trade("SELL", "333")
    coins.moves_to(58_765)
    coins.trade("SELL", "567")
    coins.trade("BUY", "200")
    assert (coins.position.quantity, coins.position.cost) == (D(0), D(0))
    assert coins.account.wallet["BTC"] == 2 + sum(row.amount for row in coins.account.income)
    assert coins.main.income == []
    assert coins.main.wallet == {"USDT": 0, "BNB": 0}


def test_a_long_is_liquidated_nearer_than_its_leverage_says_and_a_covered_short_never() -> None:
    coins = Coins()
    coins.trade("BUY", "1150")
    state = margin_of(coins.account, coins.venue.marks)
    price = liquidation_price(coins.position, state)
    share = state.symbols[INVERSE[1]].notional / state.margin_balance
    fall = share * D("1.004") / (1 + share) - 1  # ML6, at the rate of the first tier
    assert abs(price / coins.venue.marks[INVERSE[1]] - 1 - fall) < D("1e-6")
    coins.moves_to(int(price) - 1)
    assert coins.position.quantity == 0
    assert {row.kind for row in coins.account.income} >= {"REALIZED_PNL", "INSURANCE_CLEAR"}
    other = Coins()
    other.trade("SELL", "1100")
    assert liquidation_price(other.position, margin_of(other.account, other.venue.marks)) == 0


def test_margin_is_asked_for_in_coin() -> None:
    coins = Coins()
    with pytest.raises(RejectError, match="-2019"):
        coins.trade("BUY", "7000")
    assert coins.trade("BUY", "5000").filled == 5000


def test_coin_moves_between_the_spot_wallet_and_this_one() -> None:
    coins = Coins()
    coins.world.settlement.transfer(coins.main, "MAIN_CMFUTURE", "BTC", D("0.4"))
    assert (coins.main.holding("BTC").free, coins.account.wallet["BTC"]) == (D("0.6"), D("2.4"))
    coins.world.settlement.transfer(coins.main, "CMFUTURE_MAIN", "BTC", D("1.4"))
    assert (coins.main.holding("BTC").free, coins.account.wallet["BTC"]) == (D(2), D(1))
    with pytest.raises(RejectError, match="-5003"):
        coins.world.settlement.transfer(coins.main, "MAIN_CMFUTURE", "USDT", D(1))


@given(st.lists(st.tuples(st.integers(-900, 900), st.integers(20_000, 200_000)), min_size=1, max_size=30))
def test_what_is_realised_and_open_is_what_the_fills_were_worth(fills: list[tuple[int, int]]) -> None:
    position, realised, held, spent = Position(INVERSE[1]), D(0), 0, D(0)
    for quantity, price in fills:
        realised += net(position, D(quantity), D(price))
        held += quantity
        spent += D(quantity) * 100 / price
    mark = D(60_000)
    owed = spent - D(held) * 100 / mark
    assert position.quantity == held
    assert abs(realised + position.unrealised(mark) - owed) <= len(fills) * D("1e-8")
