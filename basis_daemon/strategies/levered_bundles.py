"""Atomic groups of a levered book: one transaction each, with what must hold at its end.

Every group pays for itself: what a flash loan brings goes back out of it, or becomes debt. Sales are sized at the cost
that was read and bounded by what the loan needs, so that a worse market reverts them and costs gas alone.
"""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.domain.lending import ZERO
from basis_daemon.domain.levered import CashOut, Delever, Lever, delever, delever_within, full_exit
from basis_daemon.domain.order import PostCondition, PostConditionKind
from basis_daemon.strategies.levered_view import LeverView
from basis_daemon.strategies.onchain_calls import (
    AAVE,
    DEBT,
    WETH,
    borrow_in_debt_mode,
    ceiling,
    flash_borrow,
    flash_repay,
    floor,
    minted,
    repay,
    supply,
    swap,
    unwrap,
    withdraw,
)
from basis_daemon.strategies.onchain_orders import Atomic, Operation
from basis_daemon.strategies.rules import brief

HEALTH_SLACK, LTV_SLACK = Decimal("0.005"), Decimal("0.002")


def _lands_at(view: LeverView, lam: Decimal) -> tuple[PostCondition, ...]:
    """Health and LTV as planned, but for what a block may change."""
    health = view.emode.liquidation_threshold / lam - HEALTH_SLACK
    return (
        PostCondition(kind=PostConditionKind.HEALTH_FACTOR_MIN, subject=AAVE, bound=health),
        PostCondition(kind=PostConditionKind.LTV_MAX, subject=AAVE, bound=lam + LTV_SLACK),
    )


def _brings(token: str, least: Decimal) -> tuple[PostCondition, ...]:
    """At least so much, and nothing left on the way."""
    return (
        PostCondition(kind=PostConditionKind.OUT_MIN, subject=token, bound=least),
        PostCondition(kind=PostConditionKind.RESIDUE_NONE, subject=token, bound=ZERO),
    )


# ----------------------------------------------------------------------------------------------------------- entry
def entry_bundle(view: LeverView, own: Decimal, position: Lever) -> Atomic:
    """``own`` WETH and the loan into collateral, the loan stays as debt. Lands at the position's lambda."""
    loan = floor(WETH, position.flash)
    spent = loan + own
    bought = _cheaper(view, spent) or (unwrap(spent), minted(view.lst, spent, view.rate))
    last = bought[-1]
    least, expected = last.min_out or ZERO, last.deltas[view.lst.key]
    conditions = (*_lands_at(view, position.ltv), *_brings(view.lst.key, least))
    supplied = supply(view.lst.reserve, view.lst.key, least, expected)
    return Atomic((flash_borrow(loan), *bought, supplied, borrow_in_debt_mode(loan)), conditions)


def _cheaper(view: LeverView, spent: Decimal) -> tuple[Operation, ...]:
    """A purchase that brings at least what staking would; nothing where the DEX asks more, or for less than needed."""
    ask = view.tick.pool_price_buy
    if ask is None or ask >= view.rate or spent / ask > view.tick.quoted_size:
        return ()
    return (swap(WETH, view.lst.key, spent, ceiling(view.lst.key, spent / view.rate), reduces=False),)


# ------------------------------------------------------------------------------------------------------------ exit
def towards(view: LeverView, to: Decimal, limit: Decimal) -> tuple[Atomic, ...] | str:
    """The way to lambda ``to``, as far as the quote goes; or why there is none inside ``limit``."""
    if view.cost is None:
        return f"no quote for {view.lst}"
    if view.cost > limit:
        return f"a sale costs {brief(view.cost)} > {brief(limit)}"
    found = delever(view.collateral, view.debt, to, view.cost, view.phi)
    if isinstance(found, str):
        return found
    part = delever_within(found, view.sale_max, view.cost, view.phi)
    if floor(WETH, part.repaid) <= 0:
        return f"lambda {brief(view.lam)} is at {brief(to)} already, or nothing can be sold"
    if part.repaid > view.weth.idle or not view.weth.is_flashable:
        return f"no flash loan of {brief(part.repaid)} WETH: idle {brief(view.weth.idle)}"
    return (_whole_exit(view, view.cost) if part.repaid == view.debt else _delever(view, part),)


def _delever(view: LeverView, part: Delever) -> Atomic:
    lam = (view.debt - part.repaid) / (view.collateral - part.sold)
    return _sale(view, part.repaid, part.sold, ZERO, lam)


def cash_out_bundle(view: LeverView, freed: CashOut, cash: Decimal) -> Atomic:
    """Lambda stays; what the loan does not need comes home as WETH."""
    return _sale(view, freed.repaid, freed.withdrawn, cash, view.lam)


def _sale(view: LeverView, repaid: Decimal, withdrawn: Decimal, cash: Decimal, lam: Decimal) -> Atomic:
    """Debt is repaid by a loan, collateral comes back, all of it is sold, the loan is paid back."""
    loan, tokens = floor(WETH, repaid), floor(view.lst.key, withdrawn / view.oracle)
    owed = ceiling(WETH, loan * (1 + view.phi))
    least = ceiling(WETH, owed + cash)
    steps = (
        flash_borrow(loan, reduces=True),
        repay(loan, view.debt),
        withdraw(view.lst.reserve, view.lst.key, tokens),
        swap(view.lst.key, WETH, tokens, least),
        flash_repay(owed),
    )
    return Atomic(steps, (*_lands_at(view, lam), *_brings(WETH, least)))


def _whole_exit(view: LeverView, cost: Decimal) -> Atomic:
    """All debt, with what accrues until inclusion; the tokens that the loan does not need stay in the wallet."""
    wanted = full_exit(view.debt, view.phi)
    loan = ceiling(WETH, wanted.flash)
    least = ceiling(WETH, view.debt + view.phi * loan)
    sold = min(ceiling(view.lst.key, least / (view.oracle * (1 - cost))), view.supplied)
    steps = (
        flash_borrow(loan, reduces=True),
        repay("MAX", view.debt),
        withdraw(view.lst.reserve, view.lst.key, view.supplied, held=view.supplied),
        swap(view.lst.key, WETH, sold, least),
        flash_repay(ceiling(WETH, loan * (1 + view.phi))),
    )
    gone = PostCondition(kind=PostConditionKind.DEBT_MAX, subject=DEBT, bound=ZERO)
    return Atomic(steps, (gone, *_brings(WETH, least)))
