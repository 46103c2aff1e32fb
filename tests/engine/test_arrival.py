"""What a trade is held against: the mid of its order, or for a pool the rate that an issuer pays."""

from __future__ import annotations

import json

from basis_daemon.domain.ledger import NOWHERE, Arrival
from basis_daemon.domain.order import Order, Side
from basis_daemon.engine.arrival import arrival_of, ether_rates
from basis_daemon.engine.order_life import OrderLife
from tests.builders import D
from tests.venues.chain.actor import order
from tests.venues.paper_support import COIN, trade_order

PRICES = {"USDT": "1", "ETH": "2000", "WETH": "2000", "weETH": "2120.5", "EIGEN": "3"}
VALUED = {"tests": json.dumps({"prices": PRICES})}
WETH, LST = "wallet:token:WETH", "wallet:lst:weETH"
GROUP = {"group_id": "bundle", "execution_mode": "atomic", "on_fail": "abort"}


def lives(*orders: Order) -> dict[str, OrderLife]:
    return {one.order_id: OrderLife(one, "plan") for one in orders}


def swap(**fields: object) -> Order:
    wanted = {"token_in": LST, "token_out": WETH, "min_out": D(1), "deadline": "2026-01-01T00:05:00Z"}
    return order("swap", "uniswap_v3", **wanted, **fields)


def test_a_swap_of_staked_ether_is_held_against_its_rate_at_the_last_valuation() -> None:
    wish = swap()
    found = arrival_of(wish.order_id, lives(wish), VALUED)
    assert (found.mid, found.rates["weETH"], found.rates["WETH"]) == (None, D("1.06025"), D(1))
    assert "USDT" not in found.rates
    assert "EIGEN" not in found.rates


def test_a_bundle_is_held_against_it_when_there_is_a_swap_in_it_and_the_issuer_never_is() -> None:
    loan = order("flash_borrow", "aave_v3", token_out=WETH, order_id="01" * 16, **GROUP)
    stake = order("stake", "etherfi", token_in="wallet:token:ETH", token_out=LST, min_out=D(1), **GROUP)
    assert arrival_of(loan.order_id, lives(loan, stake), VALUED) == Arrival()
    sold = swap(order_id="02" * 16, sequence_in_group=1, **GROUP)
    assert arrival_of(loan.order_id, lives(loan, sold), VALUED).rates["weETH"] == D("1.06025")


def test_an_order_at_an_exchange_is_held_against_its_mid_and_a_foreign_fill_against_nothing() -> None:
    wish = trade_order(COIN, Side.BUY, "0.5")
    assert arrival_of(wish.order_id, lives(wish), VALUED) == Arrival(wish.ref_price)
    assert arrival_of("nobody", lives(wish), VALUED) == NOWHERE


def test_without_a_valuation_or_a_price_of_ether_there_is_no_rate() -> None:
    wish = swap()
    assert arrival_of(wish.order_id, lives(wish), {}) == Arrival()
    assert ether_rates(json.dumps({"prices": {"USDT": "1"}})) == {}
