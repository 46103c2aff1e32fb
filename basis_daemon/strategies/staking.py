"""Staking without leverage: one liquid staking token, gas in ETH, optionally a small restaked sleeve.

A discount at the DEX is no loss of equity and never a reason to sell: what is handed back to the issuer comes at the
rate. Only a fall of the rate itself is: a small one waits for a human, a large one leaves by the cheaper path.
"""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.domain.chain import ClaimReport
from basis_daemon.domain.decision import InputUsed, ReasonCode, Rejected
from basis_daemon.domain.gas import UNITS, planned_units
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.lending import ZERO, interest
from basis_daemon.domain.order import OrderOperation as O
from basis_daemon.domain.order import Side
from basis_daemon.domain.staking import DISTRESSED, ORDINARY, PRESSED, buy_limit, stake_target
from basis_daemon.strategies.legs import DAY
from basis_daemon.strategies.onchain_calls import (
    DEX,
    EETH,
    ETH,
    WALLET,
    WETH,
    WETH_RESERVE,
    Lst,
    ceiling,
    claim,
    floor,
    staked,
    swap,
    unwrap,
    wrap,
    wrapped,
)
from basis_daemon.strategies.onchain_memory import Teaching
from basis_daemon.strategies.onchain_orders import Operation
from basis_daemon.strategies.onchain_parameters import StakingParameters
from basis_daemon.strategies.onchain_strategy import Family, OnchainStrategy, declared
from basis_daemon.strategies.onchain_view import GAS, REWARD_KEYS, SPECK
from basis_daemon.strategies.restaking import ANY_CLAIM, LIDO_CLAIM, SHARE, STETH, freed_shares, pay_out_token, restake
from basis_daemon.strategies.rewards import dust
from basis_daemon.strategies.rules import Act, Rule, Verdict, brief, drawdown_stop, in_flight, stale_gate
from basis_daemon.strategies.staking_view import StakeView

BENEFIT_DAYS = Decimal(30)
Stake = StakeView[StakingParameters]


def drawdown(view: Stake) -> Verdict:
    """The stop by unit value: out of the token and the sleeve, then whatever issuers pay."""
    return drawdown_stop(view, view.p.max_drawdown, lambda: view.stuck or leave(view))


def leave(view: Stake) -> tuple[Operation, ...]:
    """Everything that can be left now; once nothing is, what has become payable."""
    return view.out(view.tokens, PRESSED) + freed_shares(view, view.held(SHARE)) or claims_paid(view)


def claims_paid(view: Stake) -> tuple[Operation, ...]:
    """Every claim that its issuer pays now."""
    return tuple(_claimed(view, report.instrument, report.amount) for report in _payable(view))


def collect(view: Stake) -> Verdict:
    """What an issuer has finalised is claimed; a request is a position until then and blocks nothing."""
    payable = _payable(view)
    if not payable:
        return Rejected(ReasonCode.WITHDRAWAL, "no claim is payable")
    if fault := view.gas_fault():
        return Rejected(ReasonCode.WITHDRAWAL, f"{len(payable)} claims are payable, but {fault}")
    steps = claims_paid(view)
    return Act(ReasonCode.WITHDRAWAL, f"collect {', '.join(report.instrument for report in payable)}", steps)


def _payable(view: Stake) -> list[ClaimReport]:
    return [report for key, report in view.frame.exposure.claims.items() if report.is_payable and view.held(key)]


def _claimed(view: Stake, key: PositionKey, amount: Decimal) -> Operation:
    return claim(key, view.held(key), amount, pay_out_token(key))


def withdrawal(view: Stake) -> Verdict:
    """Rule 4: loose ETH pays at once and claims under way count; what is lacking leaves the token, last the sleeve."""
    lacking = view.owed - view.loose_eth - view.claimed
    if lacking <= SPECK:
        return _as_ether(view)
    if fault := view.gas_fault():
        return Rejected(ReasonCode.WITHDRAWAL, f"{brief(lacking)} ETH are lacking, but {fault}")
    steps = view.out_for(lacking, ORDINARY)
    left = lacking - view.tokens * view.rate
    steps += freed_shares(view, left) if left > 0 else ()
    if not steps:
        return Rejected(ReasonCode.WITHDRAWAL, f"{brief(lacking)} ETH are lacking, but nothing is left to leave")
    return Act(ReasonCode.WITHDRAWAL, f"free {brief(lacking)} ETH for a pending {brief(view.owed)}", steps)


def _as_ether(view: Stake) -> Verdict:
    """What is paid out is ETH, not WETH."""
    amount = min(view.owed - max(view.held(ETH) - view.p.reserve_eth, ZERO), view.held(WETH))
    if view.owed <= 0 or amount <= SPECK or view.gas_fault() is not None:
        return Rejected(ReasonCode.WITHDRAWAL, f"ETH and claims cover the pending {brief(view.owed)}")
    return Act(ReasonCode.WITHDRAWAL, f"unwrap {brief(amount)} for a pending withdrawal", (unwrap(amount),))


def issuer(view: Stake) -> Verdict:
    """A fall of the rate: up to ``s_lst`` it is a human's to judge, beyond it the token is left."""
    fall, limit = view.memory.lst.fall, view.p.s_lst
    if not fall:
        return Rejected(ReasonCode.CARRY_EXIT, f"the rate of {view.lst} did not fall")
    steps = view.out(view.tokens, DISTRESSED) if fall > limit else ()
    if steps and view.gas_fault(is_defence=True) is None:
        note = f"the rate of {view.lst} fell by {brief(fall)} > s_lst {limit}: leave"
        return Act(ReasonCode.CARRY_EXIT, note, steps, page=True)
    return Act(ReasonCode.HOLD, f"the rate of {view.lst} fell by {brief(fall)}: a human decides", page=True)


def put_in(view: Stake) -> Verdict:
    """Loose ETH into the token, at the issuer or where it is cheaper."""
    reason = ReasonCode.SCALE if view.tokens else ReasonCode.ENTRY
    if view.bare and view.health_fault is None and view.gas_fault() is None:
        return Act(reason, f"wrap {brief(view.bare)} eETH", (wrapped(view.lst, floor(EETH, view.bare), view.rate),))
    amount = floor(ETH, idle_eth(view))
    if fault := _fault(view, amount):
        return Rejected(reason, fault)
    return Act(reason, f"{brief(amount)} ETH into {view.lst}", acquired(view, amount))


def idle_eth(view: Stake) -> Decimal:
    """ETH that should be in the token and is not: within what is loose and not owed, and what the target lacks."""
    capital = view.investable + view.p.reserve_eth
    target = stake_target(capital, view.p.eigenlayer_weight, view.p.reserve_eth)
    sleeve = max(view.p.eigenlayer_weight * capital - view.held(SHARE) - view.held(STETH), ZERO)
    free = view.loose_eth - view.owed - sleeve
    return max(min(target - view.placed, free), ZERO)


def _fault(view: Stake, amount: Decimal) -> str | None:
    if not view.is_worth_moving(amount) or amount <= 0:
        return f"{brief(amount)} ETH is below min_chain_move"
    if fault := acquire_fault(view, amount):
        return fault
    units = planned_units(step.operation for step in acquired(view, amount))
    if view.y_base is None:
        return None  # what a month brings is not known yet: the smallest move and the cap bound the gas
    return view.unpaid_gas(interest(amount, max(view.y_base, ZERO), BENEFIT_DAYS), units)


def acquire_fault(view: Stake, amount: Decimal) -> str | None:
    """Why nothing goes into the token now: its health, its issuer's room, a reduction of late, an operator, gas."""
    room = view.tick.deposit_room
    if view.health_fault is not None:
        return view.health_fault
    if room is not None and room < amount:
        return f"the issuer has room for {brief(room)} ETH, {brief(amount)} wanted"
    if view.moved(view.lst.key, Side.SELL, DAY):
        return f"{view.lst} was reduced within 24 h"
    return view.frame.risk.halted_instruments.get(view.lst.key) or view.gas_fault()


def acquired(view: Stake, amount: Decimal) -> tuple[Operation, ...]:
    """Steps that turn so much loose ETH and WETH into the token."""
    weth = view.held(WETH)
    if _is_cheaper_to_buy(view, amount):
        least = ceiling(view.lst.key, amount / view.rate)
        bought = swap(WETH, view.lst.key, amount, least, reduces=False)
        return (wrap(amount - weth), bought) if amount > weth else (bought,)
    unwrapping = (unwrap(min(weth, amount)),) if weth > 0 else ()
    return (*unwrapping, *staked(view.lst, amount, view.rate))


def _is_cheaper_to_buy(view: Stake, amount: Decimal) -> bool:
    """True below the issuer's rate less what more gas costs; the price asked contains fee and impact already."""
    ask = view.tick.pool_price_buy
    if ask is None or amount / ask > view.tick.quoted_size:
        return False
    more_gas = view.gas_of(UNITS[O.SWAP] - UNITS[O.STAKE]) / amount
    return ask < buy_limit(view.rate, more_gas)


def overdue(view: Stake) -> Verdict:
    """A claim that is late by as much again as it should have taken is told; it stays counted in full."""
    late = [key for key, found in view.memory.claims.items() if found.is_overdue(view.frame.time)]
    if not late:
        return Rejected(ReasonCode.HOLD, "no claim is overdue")
    return Act(ReasonCode.HOLD, f"overdue: {', '.join(sorted(late))}", page=True)


RULES: tuple[Rule[Stake], ...] = (
    drawdown,
    stale_gate,
    in_flight,
    collect,
    withdrawal,
    issuer,
    dust,
    restake,
    put_in,
    overdue,
)
"""There is nothing to liquidate, and delta is that of the class: rules 2 and 3 have nothing to look at."""


def staking_inputs(view: Stake) -> dict[str, InputUsed]:
    """The numbers that went in."""
    tick = view.frame.market.lsts.get(view.lst.key)
    rows = [
        ("equity", view.worth.value),
        ("claims", view.claimed),
        ("drawdown", view.frame.risk.drawdown),
        ("y_base", view.y_base),
        ("y_eff", view.y_eff),
        ("fall", view.memory.lst.fall),
    ]
    if tick is not None:
        rows += [(f"lst:{view.lst.key}", tick.rate), ("pool_price", tick.pool_price)]
        rows.append(("oracle_price", tick.oracle_price_eth))
    return view.used(rows)


def staking_thresholds(view: Stake) -> dict[str, Decimal]:
    """What they were compared with."""
    p = view.p
    return {"s_lst": p.s_lst, "slip_dex": p.slip_dex, "max_drawdown": p.max_drawdown, "gas_cap_gwei": p.gas_cap_gwei}


def staking_keys(p: StakingParameters) -> set[PositionKey]:
    """Everything that a staking book may hold."""
    lst = p.lst
    keys = {ETH, WETH, lst.key, lst.any_claim, *REWARD_KEYS, *({EETH} if lst is Lst.WEETH else ())}
    return keys | {STETH, SHARE, ANY_CLAIM, LIDO_CLAIM} if p.eigenlayer_weight else keys


def staking_readings(p: StakingParameters) -> set[PositionKey]:
    """What of the chain wakes it: the token, the reserve that prices ETH, gas, rewards."""
    return {p.lst.key, WETH_RESERVE, ETH, *REWARD_KEYS}


def staking_routes(p: StakingParameters) -> frozenset[tuple[O, str]]:
    """What a staking book asks for, each with the venue that takes it."""
    issuer = {(operation, p.lst.issuer) for operation in (O.STAKE, O.UNSTAKE, O.CLAIM)}
    return frozenset(issuer | {(O.SWAP, DEX), (O.WRAP, WALLET), (O.UNWRAP, WALLET)})


def needed_by(p: StakingParameters) -> tuple[str, ...]:
    """Inputs without which nothing new is risked."""
    accounts = (WALLET, p.lst.issuer)
    return (f"lst:{p.lst.key}", f"reserve:{WETH_RESERVE}", *(f"account:{name}" for name in accounts), GAS)


def sleeve_teaching(p: StakingParameters) -> Teaching:
    """What the memory of a token needs beside events."""
    return Teaching(
        lst=p.lst.key,
        y_window=p.y_window,
        reward_haircut=p.reward_haircut,
        c_exit_plan=p.c_exit_plan,
        share=SHARE,
    )


class EthStakingOnly(OnchainStrategy[StakingParameters, Stake]):
    """ETH in one liquid staking token."""

    def __init__(self, parameters: StakingParameters, name: str = "eth_staking_only") -> None:
        family = Family(
            declared=declared(staking_readings(parameters), staking_keys(parameters)),
            routes=staking_routes(parameters),
            cash=ETH,
            needed=needed_by(parameters),
            teaching=sleeve_teaching(parameters),
            view=StakeView,
            rules=RULES,
        )
        super().__init__(name, parameters, family)

    def _inputs(self, view: Stake) -> dict[str, InputUsed]:
        return staking_inputs(view)

    def _thresholds(self, view: Stake) -> dict[str, Decimal]:
        return staking_thresholds(view)
