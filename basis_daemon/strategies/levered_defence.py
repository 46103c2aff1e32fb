"""What makes a levered book smaller: health, drawdown, withdrawals, costs, terms, its issuer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from basis_daemon.domain.decision import ReasonCode, Rejected
from basis_daemon.domain.lending import ZERO
from basis_daemon.domain.levered import cash_out, spread_that_pays
from basis_daemon.domain.margin import EMERGENCY, REDUCE
from basis_daemon.domain.margin_plan import EMERGENCY_STEP
from basis_daemon.domain.staking import ORDINARY
from basis_daemon.strategies import staking
from basis_daemon.strategies.legs import HOUR
from basis_daemon.strategies.levered_bundles import cash_out_bundle, towards
from basis_daemon.strategies.levered_view import LeverView
from basis_daemon.strategies.onchain_calls import AAVE, withdraw
from basis_daemon.strategies.onchain_view import SPECK
from basis_daemon.strategies.orders import Step
from basis_daemon.strategies.rules import Act, Verdict, brief, drawdown_stop

SPIKE_FOR = HOUR
REASONS: Mapping[int, ReasonCode] = {REDUCE: ReasonCode.LIQ_REDUCE, EMERGENCY: ReasonCode.LIQ_EMERGENCY}


def nearest_liquidation(view: LeverView) -> Verdict:
    """Rule 2 by health factor: to lambda* below ``reduce``, deeper and dearer below ``emergency``."""
    if not view.debt:
        return Rejected(ReasonCode.LIQ_TOPUP, "no debt")
    if view.blind is not None:
        return Rejected(ReasonCode.LIQ_TOPUP, f"the health factor is not known: {view.blind}")
    level, health = view.p.health_ladder.level(view.health), brief(view.health or ZERO)
    if level < REDUCE:
        return Rejected(
            ReasonCode.LIQ_TOPUP, f"HF {health}, level {level}: nothing to repay; below warn nothing is added"
        )
    if view.frame.risk.defence_in_flight.get(AAVE, 0) >= level:
        return Rejected(REASONS[level], f"HF {health}: level {level} is under way")
    to = view.lam_target - (EMERGENCY_STEP if level == EMERGENCY else ZERO)
    limit = view.p.slip_emergency if level == EMERGENCY else view.p.slip_dex
    steps = view.gas_fault(is_defence=True) or towards(view, to, limit)
    note = f"HF {health}, lambda {brief(view.lam)}, level {level}: to {brief(to)}"
    if isinstance(steps, str):
        return Act(REASONS[level], f"{note}: {steps}", urgency=level, page=True)
    return Act(REASONS[level], note, steps, level, page=level == EMERGENCY)


def drawdown(view: LeverView) -> Verdict:
    """The stop by unit value: out of debt first, then out of the token."""
    return drawdown_stop(view, view.p.max_drawdown, lambda: _leave(view))


def _leave(view: LeverView) -> tuple[Step, ...] | str:
    if fault := view.stuck or view.gas_fault(is_defence=True):
        return fault
    return _unlevered(view, view.p.slip_emergency) or staking.leave(view)


def _unlevered(view: LeverView, limit: Decimal) -> tuple[Step, ...] | str:
    """Steps that leave tokens in the wallet and nothing owed; none when it is so already."""
    if view.debt:
        return towards(view, ZERO, limit)
    if not view.supplied:
        return ()
    return (withdraw(view.lst.reserve, view.lst.key, view.supplied, held=view.supplied),)


def withdrawal(view: LeverView) -> Verdict:
    """Rule 4: tokens in the wallet as any staking book; what they lack is freed at constant lambda."""
    lacking = view.owed - view.loose_eth - view.claimed
    if lacking <= max(view.tokens * view.rate, SPECK) or not view.supplied:
        return staking.withdrawal(view)
    if fault := view.gas_fault():
        return Rejected(ReasonCode.WITHDRAWAL, f"{brief(lacking)} ETH are lacking, but {fault}")
    steps = _freed(view, lacking)
    if isinstance(steps, str):
        return Rejected(ReasonCode.WITHDRAWAL, f"{brief(lacking)} ETH are lacking, but {steps}")
    return Act(ReasonCode.WITHDRAWAL, f"free {brief(lacking)} ETH at lambda {brief(view.lam)}", steps)


def _freed(view: LeverView, cash: Decimal) -> tuple[Step, ...] | str:
    if not view.debt:
        return _unlevered(view, view.slip(ORDINARY))
    if view.cost is None or view.cost > view.slip(ORDINARY):
        return f"a sale costs {'nobody knows what' if view.cost is None else brief(view.cost)}"
    freed = cash_out(cash, view.lam, view.cost, view.phi)
    if isinstance(freed, str):
        return freed
    if freed.withdrawn > view.collateral or freed.withdrawn > view.sale_max:
        return _unlevered(view, view.slip(ORDINARY))
    return (cash_out_bundle(view, freed, cash),)


# ------------------------------------------------------------------------------------------------------------ cost
def spike_exit(view: LeverView) -> Verdict:
    """A borrow rate that costs more within days than leaving does, for an hour without a break."""
    since = view.memory.borrow.spike_since
    if not view.debt or since is None:
        return Rejected(ReasonCode.SPIKE_EXIT, f"b {brief(view.weth.borrow_rate)} is no spike, or there is no debt")
    if view.frame.time - since < SPIKE_FOR:
        return Rejected(ReasonCode.SPIKE_EXIT, f"b {brief(view.weth.borrow_rate)} since {since.isoformat()}, under 1 h")
    note = f"b {brief(view.weth.borrow_rate)} for {view.p.spike_horizon_days} d costs more than leaving"
    return _left(view, ReasonCode.SPIKE_EXIT, note)


def carry_exit(view: LeverView) -> Verdict:
    """Leverage that has cost more than leaving for carry_confirm."""
    spreads, cost = view.memory.borrow.spreads, max(view.cost or ZERO, view.p.c_exit_plan)
    limit = spread_that_pays(cost, view.p.hold_days_carry)
    if not view.debt or len(spreads) <= view.p.carry_confirm_h:
        return Rejected(ReasonCode.CARRY_EXIT, f"no debt, or {len(spreads)} hours of carry known")
    if max(spreads) >= -limit:
        return Rejected(ReasonCode.CARRY_EXIT, f"b - y_eff {brief(-max(spreads))} at least, exit above {brief(limit)}")
    return _left(view, ReasonCode.CARRY_EXIT, f"b - y_eff above {brief(limit)} for {view.p.carry_confirm_h} h")


def _left(view: LeverView, reason: ReasonCode, note: str) -> Verdict:
    """A fallen rate says nothing of a yield: then a human decides, not the carry."""
    if view.memory.lst.fall:
        return Rejected(reason, f"{note}, but the rate of {view.lst} fell")
    steps = view.gas_fault() or towards(view, ZERO, view.p.slip_dex)
    return Rejected(reason, f"{note}, but {steps}") if isinstance(steps, str) else Act(reason, note, steps)


# ----------------------------------------------------------------------------------------------------------- terms
def ltv_band(view: LeverView) -> Verdict:
    """Back to lambda* above its band, or at once when the protocol tightened its terms."""
    to, above = view.lam_target, view.lam - view.lam_target
    is_tightened = view.memory.borrow.is_tightened
    if not view.debt or above <= (ZERO if is_tightened else view.p.lambda_up):
        return Rejected(ReasonCode.LTV_BAND, f"lambda {brief(view.lam)}, target {brief(to)} + {view.p.lambda_up}")
    if not view.is_worth_moving(view.debt - to * view.collateral):
        return Rejected(ReasonCode.LTV_BAND, f"{brief(above)} of lambda is below min_chain_move")
    steps = view.gas_fault(is_defence=is_tightened) or towards(view, to, view.p.slip_dex)
    note = f"lambda {brief(view.lam)} to {brief(to)}" + (", terms were tightened" if is_tightened else "")
    if isinstance(steps, str):
        return Rejected(ReasonCode.LTV_BAND, f"{note}, but {steps}")
    return Act(ReasonCode.LTV_BAND, note, steps)


def issuer(view: LeverView) -> Verdict:
    """A fall of the rate beyond ``s_lst`` is left, debt first; a smaller one waits for a human."""
    fall, limit = view.memory.lst.fall, view.p.s_lst
    if fall <= limit or not (view.debt or view.supplied):
        return staking.issuer(view)
    steps = view.gas_fault(is_defence=True) or _unlevered(view, view.p.slip_emergency)
    note = f"the rate of {view.lst} fell by {brief(fall)} > s_lst {limit}: out of debt"
    if isinstance(steps, str):
        return Act(ReasonCode.HOLD, f"{note}, but {steps}", page=True)
    return Act(ReasonCode.CARRY_EXIT, note, steps, page=True)


def calm_fault(view: LeverView) -> str | None:
    """Why lambda must not rise yet after what made it fall."""
    memory, now = view.memory, view.frame.time
    if memory.left_at is not None and now - memory.left_at < timedelta(days=int(view.p.spike_horizon_days)):
        return f"leverage was left at {memory.left_at.isoformat()}"
    if memory.reduced_at is None:
        return None
    since = max(memory.reduced_at, memory.lst.disturbed_at or memory.reduced_at)
    return f"no calm day since {since.isoformat()}" if now - since < timedelta(hours=24) else None
