"""Leveraged staking: the token as collateral in its e-mode, WETH as debt, as long as the carry pays its round trip.

While it does not, the book holds the token unlevered: leverage on y = b earns nothing and adds risk.
"""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.domain.decision import InputUsed, ReasonCode, Rejected
from basis_daemon.domain.gas import ENTRY_UNITS
from basis_daemon.domain.lending import ZERO, interest
from basis_daemon.domain.levered import Lever, lever, lever_by
from basis_daemon.domain.order import OrderOperation as O
from basis_daemon.domain.order import Side
from basis_daemon.strategies.legs import DAY
from basis_daemon.strategies.levered_bundles import entry_bundle
from basis_daemon.strategies.levered_defence import (
    calm_fault,
    carry_exit,
    drawdown,
    issuer,
    ltv_band,
    nearest_liquidation,
    spike_exit,
    withdrawal,
)
from basis_daemon.strategies.levered_view import LeverView, kink_room
from basis_daemon.strategies.onchain_calls import (
    AAVE,
    DEBT,
    ETH,
    WETH,
    WETH_RESERVE,
    floor,
    set_collateral,
    set_emode,
    supply,
    wrap,
)
from basis_daemon.strategies.onchain_memory import Teaching
from basis_daemon.strategies.onchain_parameters import LeveragedParameters
from basis_daemon.strategies.onchain_strategy import Family, OnchainStrategy, declared
from basis_daemon.strategies.orders import Step
from basis_daemon.strategies.rewards import dust
from basis_daemon.strategies.ruled import Declared
from basis_daemon.strategies.rules import Act, Rule, Verdict, brief, in_flight, stale_gate
from basis_daemon.strategies.staking import (
    BENEFIT_DAYS,
    acquire_fault,
    collect,
    idle_eth,
    needed_by,
    overdue,
    put_in,
    staking_inputs,
    staking_keys,
    staking_readings,
    staking_routes,
    staking_thresholds,
)


def lever_up(view: LeverView) -> Verdict:
    """Loose ETH, tokens and what lambda lacks, in one plan that lands at lambda*; own tokens are supplied before."""
    reason = ReasonCode.SCALE if view.debt else ReasonCode.ENTRY
    own = floor(WETH, idle_eth(view))
    own = own if view.is_worth_moving(own) else ZERO
    position = sized(view, own)
    if fault := _size_fault(view, own, position) or _entry_fault(view, own, position) or gate_fault(view, position):
        return Rejected(reason, fault)
    note = f"flash {brief(position.flash)} WETH beside {brief(own)} own: lambda {brief(position.ltv)}"
    return Act(reason, note, _steps(view, own, position))


def sized(view: LeverView, own: Decimal) -> Lever:
    """The position at lambda*, or at what the room for debt, collateral and new tokens leaves of it."""
    tokens = floor(view.lst.key, view.tokens) * view.oracle
    start = view.collateral + tokens
    wanted = lever(own, start, view.debt, view.lam_target, view.k)
    reserve, room = view.collateral_reserve, view.tick.deposit_room
    rooms = [kink_room(view.weth)]
    if reserve.supply_cap:
        rooms.append((reserve.supply_cap - reserve.supplied) * view.oracle - tokens - own)
    if room is not None:
        rooms.append(room - own)
    flash = floor(WETH, max(min(wanted.flash, *rooms), ZERO))
    return wanted if flash == wanted.flash else lever_by(flash, own, start, view.debt, min(view.k, Decimal(1)), ZERO)


def _size_fault(view: LeverView, own: Decimal, position: Lever) -> str | None:
    """Why there is nothing to do: inside the band only new money moves anything, and a small loan is not worth it."""
    is_low = view.lam < view.lam_target - view.p.lambda_down
    is_new = bool(own) or view.is_worth_moving(view.tokens * view.rate)
    if not is_low and not is_new:
        return f"lambda {brief(view.lam)} is inside its band, and nothing new is there"
    if not view.is_worth_moving(position.flash):
        return f"a loan of {brief(position.flash)} WETH is below min_chain_move"
    return None


def _entry_fault(view: LeverView, own: Decimal, position: Lever) -> str | None:
    if fault := _terms_fault(view):
        return fault
    if view.health is not None and view.health < view.p.hf_warn:
        return f"HF {brief(view.health)} < warn {view.p.hf_warn}"
    if view.moved(DEBT, Side.SELL, DAY):
        return "debt was repaid within 24 h"
    return calm_fault(view) or _halt(view) or acquire_fault(view, own + position.flash)


def _terms_fault(view: LeverView) -> str | None:
    """Why the protocol does not take such a position now."""
    emode, weth = view.emode, view.weth
    if view.lst.value not in emode.collaterals or "WETH" not in emode.borrowables:
        return f"e-mode {emode.category} does not take {view.lst} against WETH"
    for tick in (view.collateral_reserve, weth):
        if tick.is_paused or tick.is_frozen or not tick.is_active:
            return f"the reserve of {tick.instrument.symbol} takes nothing new"
    if not (weth.is_borrowable and weth.is_flashable):
        return "WETH cannot be borrowed"
    if view.health_at_target <= view.p.hf_warn:
        return f"HF at the top of the band {brief(view.health_at_target)} <= warn {view.p.hf_warn}"
    return None


def _halt(view: LeverView) -> str | None:
    halts = view.frame.risk.halted_instruments
    return halts.get(view.lst.reserve) or halts.get(WETH_RESERVE) or halts.get(DEBT)


def gate_fault(view: LeverView, position: Lever) -> str | None:
    """The carry gate, at every hour of carry_confirm, and what a month of it pays."""
    spreads, p = view.memory.borrow.spreads, view.p
    if len(spreads) <= p.carry_confirm_h:
        return f"{len(spreads)} hours of carry known in a row, {p.carry_confirm_h} needed"
    least, now = (view.pickup(spread, position.flash) for spread in (min(spreads), spreads[-1]))
    if least is None or now is None or least < p.carry_min_pickup:
        told = "unknown" if least is None or now is None else f"{brief(now)} now, {brief(least)} at worst"
        return f"pickup {told} of {p.carry_confirm_h} h, {p.carry_min_pickup} needed"
    gain = interest(position.collateral - position.debt, least, BENEFIT_DAYS)
    return view.unpaid_gas(gain, ENTRY_UNITS)


def _steps(view: LeverView, own: Decimal, position: Lever) -> tuple[Step, ...]:
    steps: list[Step] = []
    tokens = floor(view.lst.key, view.tokens)
    if not view.is_in_emode:
        steps.append(set_emode(view.lst, view.emode.category))
    if tokens > 0:
        steps.append(supply(view.lst.reserve, view.lst.key, tokens))
    is_counted = view.report is not None and view.report.collateral > 0
    if (tokens > 0 or view.supplied) and not is_counted:
        steps.append(set_collateral(view.lst))
    if own > view.held(WETH):
        steps.append(wrap(own - view.held(WETH)))
    return (*steps, entry_bundle(view, own, position))


RULES: tuple[Rule[LeverView], ...] = (
    nearest_liquidation,
    drawdown,
    stale_gate,
    in_flight,
    collect,
    withdrawal,
    dust,
    spike_exit,
    carry_exit,
    ltv_band,
    issuer,
    lever_up,
    put_in,
    overdue,
)
"""Delta is that of the class at every lambda: rule 3 has nothing to look at."""


def levered_declared(p: LeveragedParameters) -> Declared:
    """What a staking book reads and holds, and its position at Aave."""
    return declared(staking_readings(p) | {p.lst.reserve}, staking_keys(p) | {p.lst.reserve, DEBT})


def levered_routes(p: LeveragedParameters) -> frozenset[tuple[O, str]]:
    """What it asks for, each with the venue that takes it."""
    return staking_routes(p) | {(operation, AAVE) for operation in (O.SUPPLY, O.WITHDRAW, O.SET_EMODE)}


def levered_needs(p: LeveragedParameters) -> tuple[str, ...]:
    """Inputs without which nothing new is risked."""
    return (*needed_by(p), f"reserve:{p.lst.reserve}", f"emode:{p.lst.reserve}", f"account:{AAVE}")


def levered_teaching(p: LeveragedParameters) -> Teaching:
    """What the memory of token and debt needs beside events."""
    return Teaching(
        borrow=WETH_RESERVE,
        lst=p.lst.key,
        collateral=p.lst.reserve,
        halflife_h=p.borrow_halflife_h,
        confirm_h=p.carry_confirm_h,
        y_window=p.y_window,
        reward_haircut=p.reward_haircut,
        c_exit_plan=p.c_exit_plan,
        spike_horizon_days=p.spike_horizon_days,
        debt=DEBT,
    )


def levered_inputs(view: LeverView) -> dict[str, InputUsed]:
    """The numbers of the debt; none while it cannot be seen."""
    if view.blind is not None:
        return {}
    memory = view.memory.borrow
    rows = [
        ("collateral", view.collateral),
        ("debt", view.debt),
        ("lambda", view.lam),
        ("health_factor", view.health),
        ("oracle", view.oracle),
        (f"reserve:{WETH_RESERVE}", view.weth.borrow_rate),
        ("b_smoothed", memory.rate.average if memory.rate else None),
        ("spread_least", min(memory.spreads, default=None)),
        ("c_exit", view.cost),
    ]
    return view.used(rows)


def levered_thresholds(view: LeverView) -> dict[str, Decimal]:
    """What they were compared with."""
    p = view.p
    bounds = {
        "hf_warn": p.hf_warn,
        "hf_reduce": p.hf_reduce,
        "hf_emergency": p.hf_emergency,
        "carry_min_pickup": p.carry_min_pickup,
    }
    return bounds if view.blind is not None else bounds | {"lambda_target": view.lam_target}


class EthLeveraged(OnchainStrategy[LeveragedParameters, LeverView]):
    """A staking token against WETH."""

    def __init__(self, parameters: LeveragedParameters, name: str = "eth_leveraged") -> None:
        p = parameters
        family = Family(
            declared=levered_declared(p),
            routes=levered_routes(p),
            cash=ETH,
            needed=levered_needs(p),
            teaching=levered_teaching(p),
            view=LeverView,
            rules=RULES,
        )
        super().__init__(name, parameters, family)

    def _inputs(self, view: LeverView) -> dict[str, InputUsed]:
        return staking_inputs(view) | levered_inputs(view)

    def _thresholds(self, view: LeverView) -> dict[str, Decimal]:
        return staking_thresholds(view) | levered_thresholds(view)
