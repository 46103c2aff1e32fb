"""Rule 5: reward tokens become ETH when that is worth its gas. A leg asset is never dust: only listed symbols are."""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.domain.chain import RewardTick
from basis_daemon.domain.decision import ReasonCode, Rejected
from basis_daemon.domain.gas import planned_units
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import OrderOperation as O
from basis_daemon.strategies.onchain_calls import WETH, ceiling, floor, swap
from basis_daemon.strategies.onchain_orders import Operation
from basis_daemon.strategies.onchain_parameters import StakingParameters
from basis_daemon.strategies.onchain_view import REWARD_KEYS
from basis_daemon.strategies.rules import Act, Verdict, brief
from basis_daemon.strategies.staking_view import StakeView

PAYERS = {"EIGEN": "eigenlayer", "ETHFI": "etherfi", "KING": "etherfi"}
"""Who hands a reward out."""


def dust(view: StakeView[StakingParameters]) -> Verdict:
    """The first reward that is worth it: collected, unwrapped into its basket, or sold, one step at a time."""
    looked = []
    for key in REWARD_KEYS:
        tick = view.frame.market.rewards.get(key)
        amount = view.held(key)
        if tick is None or not (amount or tick.claimable):
            continue
        step = _step(tick, amount, view.p.slip_dex)
        worth = (amount or tick.claimable) * tick.price_eth
        fault = _fault(view, key, worth, step)
        if fault is None:
            what = step.operation.replace("_", " ")
            return Act(ReasonCode.DUST, f"{what} {key.symbol} worth {brief(worth)} ETH", (step,))
        looked.append(f"{key.symbol}: {fault}")
    return Rejected(ReasonCode.DUST, "; ".join(looked) or "no reward is held or waits to be collected")


def _fault(view: StakeView[StakingParameters], key: PositionKey, worth: Decimal, step: Operation) -> str | None:
    gas = view.gas_of(planned_units([step.operation]))
    if stale := view.frame.market.stale(f"reward:{key}"):
        return f"stale: {', '.join(stale)}"
    if worth <= view.p.dust_min * view.equity:
        return f"worth {brief(worth)} ETH <= dust_min {view.p.dust_min} of E"
    if worth <= view.p.dust_gas_multiple * gas:
        return f"worth {brief(worth)} ETH <= {view.p.dust_gas_multiple} x gas {brief(gas)}"
    return view.gas_fault()


def _step(tick: RewardTick, amount: Decimal, slip: Decimal) -> Operation:
    """What is held comes before what can be collected; a sale may cost what any sale at the DEX may."""
    key, payer = tick.instrument, PAYERS[tick.instrument.symbol]
    if not amount:
        gain = tick.claimable
        return Operation(O.CLAIM_REWARD, payer, key, gain, {key: gain}, token_out=key, reduces=True)
    if tick.basket:
        parts = {part: floor(part, share * amount) for part, share in tick.basket.items()}
        return Operation(O.UNWRAP_REWARD, payer, key, amount, {key: -amount, **parts}, token_in=key, reduces=True)
    return swap(key, WETH, amount, ceiling(WETH, amount * tick.price_eth * (1 - slip)))
