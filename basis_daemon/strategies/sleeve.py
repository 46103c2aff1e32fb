"""The staked ETH of a hedged book as money: WETH out of the sleeve, USDT out of WETH, each inside a limit of cost.

So much is sold that even the worst fill brings what is counted on; what it brings beyond stays loose and hedged.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.gas import DELEVER_UNITS, planned_units
from basis_daemon.domain.lending import ZERO
from basis_daemon.domain.levered import cash_out
from basis_daemon.domain.order import OrderOperation
from basis_daemon.strategies.levered_bundles import cash_out_bundle, towards
from basis_daemon.strategies.levered_view import LeverView
from basis_daemon.strategies.onchain_calls import ETH, WETH, ceiling, floor, swap, unwrap, withdraw, wrap
from basis_daemon.strategies.onchain_orders import Atomic, Operation
from basis_daemon.strategies.onchain_parameters import StakingParameters
from basis_daemon.strategies.orders import Step
from basis_daemon.strategies.rules import brief
from basis_daemon.strategies.staking_view import StakeView
from basis_daemon.strategies.view import WALLET_CASH

ONE = Decimal(1)
Stake = StakeView[StakingParameters]
_TO_USDT = (OrderOperation.UNWRAP, OrderOperation.SWAP)
"""What may follow once WETH is in the wallet."""


@dataclass(frozen=True, slots=True)
class Freed:
    """Steps, and the amount of the token they are for that lies in the wallet for sure after them."""

    steps: tuple[Step, ...]
    amount: Decimal


def freed_weth(view: Stake, eth: Decimal, limit: Decimal) -> Freed | str:
    """Up to so much ETH as WETH at once: what is loose first, then tokens; a levered sleeve keeps its lambda."""
    own = floor(WETH, min(eth, view.loose_eth))
    wrapping: tuple[Step, ...] = (wrap(own - view.held(WETH)),) if own > view.held(WETH) else ()
    rest = floor(WETH, eth - own)
    if rest <= 0:
        return Freed(wrapping, own)
    sold = _sold(view, rest, limit)
    if isinstance(sold, str):
        return Freed(wrapping, own) if own > 0 else sold
    return Freed((*wrapping, *sold.steps), own + sold.amount)


def _sold(view: Stake, eth: Decimal, limit: Decimal) -> Freed | str:
    if view.tokens * view.rate >= min(eth, view.placed) or not isinstance(view, LeverView):
        return _swapped(view, min(eth, view.tokens * view.rate), limit)
    return _out_of_debt(view, eth, limit) if view.debt else _out_of_collateral(view, eth, limit)


def _swapped(view: Stake, eth: Decimal, limit: Decimal, supplied: Decimal = ZERO) -> Freed | str:
    """Tokens of the wallet, and ``supplied`` ones that come into it right before."""
    cost = view.sale_cost
    if cost is None or cost > limit:
        return f"a sale of {view.lst} costs {'nobody knows what' if cost is None else brief(cost)}, limit {limit}"
    most = min(view.tokens + supplied, view.tick.quoted_size)
    sold = floor(view.lst.key, min(eth / (view.rate * (ONE - limit)), most))
    if sold <= 0:
        return f"no {view.lst} is left to sell"
    least = ceiling(WETH, sold * view.rate * (ONE - limit))
    return Freed((swap(view.lst.key, WETH, sold, least),), least)


def _out_of_collateral(view: LeverView, eth: Decimal, limit: Decimal) -> Freed | str:
    """What is supplied without debt comes back first, all of it: the next plan finds it in the wallet."""
    sold = _swapped(view, eth, limit, view.supplied)
    if isinstance(sold, str):
        return sold
    back = withdraw(view.lst.reserve, view.lst.key, view.supplied, held=view.supplied)
    return Freed((back, *sold.steps), sold.amount)


def _out_of_debt(view: LeverView, eth: Decimal, limit: Decimal) -> Freed | str:
    """At constant lambda; where that is more than there is, out of debt: then the next plan sells what is left."""
    if view.cost is None or view.cost > limit:
        return f"a sale of {view.lst} costs {'nobody knows what' if view.cost is None else brief(view.cost)}"
    found = cash_out(eth, view.lam, view.cost, view.phi)
    if isinstance(found, str):
        return found
    if found.withdrawn <= min(view.collateral, view.sale_max):
        return Freed((cash_out_bundle(view, found, eth),), eth)
    steps = towards(view, ZERO, limit)
    return steps if isinstance(steps, str) else Freed(steps, ZERO)


def refuelled(view: Stake, freed: Freed) -> Freed:
    """What of it may be sold: once gas will have used up half of the reserve, the first of it fills that again.

    The reserve pays one release at the highest price of gas that is still paid; a way out is many, and would end at
    the one that nobody can pay, with all the ether of the book beside it.
    """
    units = sum(map(_units, freed.steps)) + planned_units(_TO_USDT)
    lacking = view.p.reserve_eth - max(view.held(ETH) - view.gas_of(units), ZERO)
    kept = floor(WETH, min(lacking, freed.amount))
    if 2 * lacking <= view.p.reserve_eth or kept <= 0:
        return freed
    return Freed((*freed.steps, unwrap(kept)), freed.amount - kept)


def _units(step: Step) -> int:
    if isinstance(step, Atomic):
        return DELEVER_UNITS
    return planned_units((step.operation,)) if isinstance(step, Operation) else 0


def sold_for_usdt(weth: Decimal, price: Decimal, limit: Decimal) -> tuple[Operation, Decimal]:
    """The swap of so much WETH, and the USDT that it brings at least."""
    least = ceiling(WALLET_CASH, weth * price * (ONE - limit))
    return swap(WETH, WALLET_CASH, weth, least), least


def levered_value(view: Stake) -> Decimal:
    """ETH of equity that could be freed at once, as far as the quote goes; a sleeve with debt sells more than it frees.

    At lambda 0 tokens sell for what they are worth; at ``lam`` each unit freed sells 1 / (1 - lam) of collateral.
    """
    if not isinstance(view, LeverView) or not view.debt:
        return view.loose_eth + min(view.placed, view.tick.quoted_size * view.rate)
    net = view.collateral - view.debt
    return view.loose_eth + min(net, view.sale_max * (ONE - view.lam))
