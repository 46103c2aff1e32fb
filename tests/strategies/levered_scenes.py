"""Levered books at every point of their life, built as the book itself would have built them."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import Order
from basis_daemon.strategies.leveraged import EthLeveraged
from basis_daemon.strategies.onchain_calls import Lst, floor
from basis_daemon.strategies.onchain_parameters import LeveragedParameters
from tests.builders import D
from tests.strategies.chain_scenes import A_WEETH, A_WETH, DEBT, ETH, WEETH, WETH, WSTETH, Chain, Run, calm

RICH, CHEAP = D("0.033"), D("0.020")
"""What the token earns and WETH costs a year where leverage pays."""


def candidate(eth: str = "100.4", lst: PositionKey = WEETH, **changes: Decimal) -> Run:
    """ETH in the wallet, ten days of a carry that pays seen from outside."""
    strategy = EthLeveraged(LeveragedParameters.model_validate({"lst": Lst(lst.symbol), **changes}))
    seen = _ten_days(lst)
    return Run(strategy, {ETH: D(eth)}, seen.chain, seen.time, memory=seen.memory)


@cache
def _ten_days(lst: PositionKey) -> Run:
    run = Run(EthLeveraged(LeveragedParameters(lst=Lst(lst.symbol))), {}, cheap(calm(lst)))
    run.grow(lst, RICH, days=10, decides=False)
    return run


def cheap(chain: Chain) -> Chain:
    """With WETH at a rate that leaves a carry."""
    return chain.reserve(A_WETH, borrow_rate=CHEAP)


def levered(lst: PositionKey = WEETH) -> Run:
    """The book an hour after its entry."""
    run = candidate(lst=lst)
    run.step(hours=1)
    assert run.done() == ["ENTRY"]
    run.step(hours=1)
    return run


def at(lam: str) -> Run:
    """A weETH book at this lambda that no plan has moved of late."""
    run = candidate()
    supplied = D(600)
    run.holdings = {ETH: D("0.4"), A_WEETH: supplied, DEBT: floor(WETH, D(lam) * supplied * oracle(run))}
    run.emode = 1
    return run


def oracle(run: Run, lst: PositionKey = WEETH) -> Decimal:
    """ETH per token at Aave."""
    token = PositionKey(f"aave_v3:atoken:{lst.symbol}")
    return run.chain.reserves[token].price / run.chain.reserves[A_WETH].price


def lam(run: Run, lst: PositionKey = WEETH) -> Decimal:
    """D / C."""
    token = PositionKey(f"aave_v3:atoken:{lst.symbol}")
    return run.holdings[DEBT] / (run.holdings[token] * oracle(run, lst))


def oracle_falls(run: Run, by: str) -> None:
    """At Aave alone, and the DEX with it: the issuer's rate stands."""
    factor = 1 - D(by)
    tick = run.chain.lsts[WEETH]
    assert tick.pool_price is not None
    run.chain = run.chain.reserve(A_WEETH, price=run.chain.reserves[A_WEETH].price * factor)
    run.chain = run.chain.token(WEETH, oracle_price_eth=tick.rate * factor, pool_price=tick.pool_price * factor)


def group(orders: list[Order]) -> list[Order]:
    """The atomic part of a plan."""
    return [order for order in orders if order.group_id is not None]


def equity(run: Run) -> Decimal:
    """ETH, as the assessment counted it."""
    return run.assess().inputs["equity"].value


LSTS = (WEETH, WSTETH)
