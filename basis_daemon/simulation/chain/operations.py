"""What issuers, wrappers, the restaking contract and the DEX do with an order, in base units, rounded against us."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.simulation.chain.books import BARE, SHARE, WAD, WRAPPED, Request, decimals_of
from basis_daemon.simulation.chain.lending import LENDING
from basis_daemon.simulation.chain.scene import Scene, refuse, symbol_in, symbol_out, units_asked
from basis_daemon.venues.chain.tokens import amount_of, units_of

STETH = "stETH"


def wrap(scene: Scene, order: Order) -> None:
    """Ether one to one; of what rebases, its shares."""
    given, taken = symbol_in(order), symbol_out(order)
    units = units_asked(order, given)
    shares = scene.stored(given, units)
    scene.take(order, given, units)
    scene.books.tokens[taken] = scene.books.tokens.get(taken, 0) + shares


def unwrap(scene: Scene, order: Order) -> None:
    """The same backwards: a wrapped token is one share."""
    given, taken = symbol_in(order), symbol_out(order)
    units = units_asked(order, given)
    scene.take(order, given, units)
    scene.books.tokens[taken] = scene.books.tokens.get(taken, 0) + units


def stake(scene: Scene, order: Order) -> None:
    """Ether into shares at the issuer's rate; raises OrderRejectedError below ``min_out``."""
    taken = symbol_out(order)
    units = units_asked(order, "ETH")
    before = scene.books.units(taken, scene.worth)
    scene.take(order, "ETH", units)
    rate = scene.worth.rates[WRAPPED.get(taken, taken)]
    scene.books.tokens[taken] = scene.books.tokens.get(taken, 0) + units * WAD // rate
    _check_out(order, taken, scene.books.units(taken, scene.worth) - before)


def unstake(scene: Scene, order: Order) -> None:
    """The request: what is owed for it is fixed now."""
    given = symbol_in(order)
    units = units_asked(order, given)
    scene.take(order, given, units)
    owed = units * scene.worth.rates[given] // WAD if given in BARE else units
    _requested(scene, order.venue, owed, scene.at + scene.delays.queue)


def claim(scene: Scene, order: Order) -> None:
    """Ether for a request that is payable."""
    scene.give("ETH", _paid(scene, order))


def deposit_strategy(scene: Scene, order: Order) -> None:
    """Into the restaking contract, share for share."""
    units = units_asked(order, STETH)
    shares = scene.stored(STETH, units)
    scene.take(order, STETH, units)
    scene.books.staked += shares


def queue_withdrawal(scene: Scene, order: Order) -> None:
    """Out of it: shares that wait."""
    shares = min(scene.stored(STETH, units_asked(order, STETH)), scene.books.staked)
    scene.books.staked -= shares
    _requested(scene, SHARE.venue, shares * scene.worth.rates["wstETH"] // WAD, scene.at + scene.delays.restaked)


def complete_withdrawal(scene: Scene, order: Order) -> None:
    """What waited is in the wallet again."""
    scene.give(STETH, _paid(scene, order))


def delegate(scene: Scene, order: Order) -> None:
    """Once."""
    if scene.books.is_delegated:
        refuse(order, "delegated already", "delegated")
    scene.books.is_delegated = True


def claim_reward(scene: Scene, order: Order) -> None:
    """All that can be collected of it."""
    symbol = symbol_out(order)
    if not scene.books.rewards.get(symbol):
        refuse(order, f"no {symbol} can be collected", "reward")
    scene.give(symbol, scene.books.rewards.pop(symbol))


def swap(scene: Scene, order: Order) -> None:
    """At the recorded price with the pool's fee; raises OrderRejectedError below ``min_out``, and beyond its depth."""
    given, taken = symbol_in(order), symbol_out(order)
    units = units_asked(order, given)
    amount = amount_of(units, decimals_of(given))
    brought = amount * _sale(scene, order, given) / _purchase(scene, order, taken)
    if max(amount if given in BARE else Decimal(0), brought if taken in BARE else Decimal(0)) > scene.quotes.size:
        refuse(order, f"{amount} {given}, the market takes {scene.quotes.size}", "depth", ErrorClass.RETRYABLE)
    out = units_of(brought, decimals_of(taken))
    _check_out(order, taken, out)
    scene.take(order, given, units)
    scene.give(taken, out)


def _sale(scene: Scene, order: Order, symbol: str) -> Decimal:
    if symbol == "USDT" and scene.quotes.ether:
        return 1 / scene.quotes.ether
    return _known(order, symbol, scene.quotes.sale)


def _purchase(scene: Scene, order: Order, symbol: str) -> Decimal:
    if symbol == "USDT" and scene.quotes.ether:
        return 1 / scene.quotes.ether
    return _known(order, symbol, scene.quotes.purchase)


def _known(order: Order, symbol: str, prices: Mapping[str, Decimal]) -> Decimal:
    if symbol in {"ETH", "WETH"}:
        return Decimal(1)
    found = prices.get(symbol)
    return refuse(order, f"nobody quotes {symbol}", "quote", ErrorClass.RETRYABLE) if found is None else found


def _check_out(order: Order, symbol: str, units: int) -> None:
    found = amount_of(units, decimals_of(symbol))
    if order.min_out is not None and found < order.min_out:
        refuse(order, f"brings {found} {symbol}, expected {order.min_out}", "min_out", ErrorClass.RETRYABLE)


def _requested(scene: Scene, venue: str, units: int, payable_at: datetime) -> None:
    key = PositionKey.of(venue, Kind.CLAIM, str(scene.next_request))
    scene.next_request += 1
    scene.books.requests[key] = Request(units, payable_at)


def _paid(scene: Scene, order: Order) -> int:
    request = scene.books.requests.get(order.instrument)
    if request is None or request.payable_at > scene.at:
        refuse(order, f"{order.instrument} is not payable", "claim", ErrorClass.RETRYABLE)
    del scene.books.requests[order.instrument]
    return request.units


O = OrderOperation  # noqa: E741 - the table below is read by operation
TABLE: Mapping[str, Mapping[OrderOperation, Callable[[Scene, Order], None]]] = {
    "aave_v3": LENDING,
    "wallet": {O.WRAP: wrap, O.UNWRAP: unwrap},
    "lido": {O.STAKE: stake, O.UNSTAKE: unstake, O.CLAIM: claim},
    "etherfi": {O.STAKE: stake, O.UNSTAKE: unstake, O.CLAIM: claim},
    "uniswap_v3": {O.SWAP: swap},
    "eigenlayer": {
        O.DEPOSIT_STRATEGY: deposit_strategy,
        O.DELEGATE: delegate,
        O.QUEUE_WITHDRAWAL: queue_withdrawal,
        O.COMPLETE_WITHDRAWAL: complete_withdrawal,
        O.CLAIM_REWARD: claim_reward,
    },
}
"""What each venue of the chain executes; flash loans are legs of a group only, transfers the wallet's other door."""
