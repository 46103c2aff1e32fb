"""The optional sleeve at EigenLayer: stETH, never levered, excluded from anything that is needed within three weeks.

It grows by stake, deposit and, once, a delegation to the first operator of the allow-list; it shrinks by a withdrawal
that waits two weeks there and then again in the issuer's queue.
"""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.domain.decision import ReasonCode, Rejected
from basis_daemon.domain.gas import planned_units
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.lending import ZERO
from basis_daemon.domain.order import OrderOperation as O
from basis_daemon.domain.order import Side
from basis_daemon.strategies.legs import DAY
from basis_daemon.strategies.onchain_calls import ETH, SHARE_ROUNDING, WALLET, WETH, floor, requested, unwrap
from basis_daemon.strategies.onchain_orders import Operation
from basis_daemon.strategies.onchain_parameters import StakingParameters
from basis_daemon.strategies.onchain_view import SPECK
from basis_daemon.strategies.rules import Act, Verdict, brief
from basis_daemon.strategies.staking_view import StakeView

EIGENLAYER, LIDO = "eigenlayer", "lido"
STETH = PositionKey.of(WALLET, Kind.TOKEN, "stETH")
SHARE = PositionKey.of(EIGENLAYER, Kind.SHARE, "stETH")
ANY_CLAIM = PositionKey.of(EIGENLAYER, Kind.CLAIM, "*")
LIDO_CLAIM = PositionKey.of(LIDO, Kind.CLAIM, "*")


def pay_out_token(key: PositionKey) -> PositionKey:
    """What a claim pays: the restaked token, or ETH."""
    return STETH if key.venue == EIGENLAYER else ETH


def restake(view: StakeView[StakingParameters]) -> Verdict:
    """What the sleeve lacks goes in; what came out of it goes back to the issuer."""
    weight = view.p.eigenlayer_weight
    target = weight * (view.investable + view.p.reserve_eth)
    lacking = target - view.held(SHARE) - view.held(STETH)
    if not weight and not view.held(STETH) and not view.held(SHARE):
        return Rejected(ReasonCode.SCALE, "no sleeve")
    if fault := view.gas_fault():
        return Rejected(ReasonCode.SCALE, fault)
    if lacking < 0 and view.is_worth_moving(-lacking):
        steps = _handed_back(view.held(STETH)) or freed_shares(view, -lacking)
        return Act(ReasonCode.LEG_DRIFT, f"the sleeve is {brief(-lacking)} ETH above its weight", steps)
    return _grown(view, min(lacking, view.loose_eth - view.owed))


def _grown(view: StakeView[StakingParameters], lacking: Decimal) -> Verdict:
    staked = floor(ETH, lacking) if view.is_worth_moving(lacking) else ZERO
    if staked and (fault := view.health_fault):
        return Rejected(ReasonCode.SCALE, fault)
    if staked and view.moved(SHARE, Side.SELL, DAY):
        return Rejected(ReasonCode.SCALE, "the sleeve was reduced within 24 h")
    steps: list[Operation] = []
    if staked > 0:
        weth = min(view.held(WETH), max(staked - max(view.held(ETH) - view.p.reserve_eth, ZERO), ZERO))
        steps += [unwrap(weth)] if weth > 0 else []
        least = staked - SHARE_ROUNDING
        deltas = {ETH: -staked, STETH: least}
        steps.append(Operation(O.STAKE, LIDO, STETH, staked, deltas, token_in=ETH, token_out=STETH, min_out=least))
    loose = floor(STETH, view.held(STETH) + (staked - SHARE_ROUNDING if staked else ZERO))
    if loose > SPECK:
        steps.append(
            Operation(O.DEPOSIT_STRATEGY, EIGENLAYER, SHARE, loose, {STETH: -loose, SHARE: loose}, token_in=STETH)
        )
    if not view.memory.is_delegated and (steps or view.held(SHARE)):
        steps.append(Operation(O.DELEGATE, EIGENLAYER, SHARE, Decimal(1), {}, recipient=view.p.operators[0]))
    if not steps:
        return Rejected(ReasonCode.SCALE, f"the sleeve lacks {brief(max(lacking, ZERO))} ETH, below min_chain_move")
    units = planned_units(step.operation for step in steps)
    return Act(ReasonCode.SCALE, f"{brief(loose)} stETH into the sleeve, {units} units of gas", tuple(steps))


def freed_shares(view: StakeView[StakingParameters], wanted: Decimal) -> tuple[Operation, ...]:
    """A withdrawal from the sleeve; what was asked for already is on its way and not asked for again."""
    shares = floor(STETH, min(wanted, view.held(SHARE)))
    if shares <= 0:
        return ()
    deltas = {SHARE: -shares, ANY_CLAIM: shares}
    return (Operation(O.QUEUE_WITHDRAWAL, EIGENLAYER, SHARE, shares, deltas, token_in=SHARE, reduces=True),)


def _handed_back(amount: Decimal) -> tuple[Operation, ...]:
    """StETH to the issuer's queue, at par."""
    amount = floor(STETH, amount)
    return (requested(STETH, LIDO_CLAIM, amount, amount),) if amount > SPECK else ()
