"""Staked hedge: ETH in a liquid staking token, short of the same ETH at exchanges, USDT class.

The legs of a basis book and the sleeve of a staking book under one order of rules. Here stands what neither of them
has: one carry for both, ETH that travels from the exchange into the token, and a way out that takes both down together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from basis_daemon.domain.decision import InputUsed, ReasonCode, Rejected
from basis_daemon.domain.instrument import round_down
from basis_daemon.domain.margin import ZERO
from basis_daemon.domain.staking import ORDINARY, PRESSED
from basis_daemon.strategies import entry, staking
from basis_daemon.strategies.carry import holds
from basis_daemon.strategies.defence import defended, nearest_liquidation
from basis_daemon.strategies.hedge_parameters import HedgeParameters
from basis_daemon.strategies.hedge_view import HedgeView
from basis_daemon.strategies.onchain_calls import ETH
from basis_daemon.strategies.onchain_memory import OnchainMemory
from basis_daemon.strategies.onchain_strategy import declared
from basis_daemon.strategies.orders import Move, Pair, SideBySide, Step
from basis_daemon.strategies.pairs import pair_inputs, pair_thresholds
from basis_daemon.strategies.rebalance import gathered, leg_drift, margin_excess, margin_freed
from basis_daemon.strategies.rewards import dust
from basis_daemon.strategies.rotation import rotate_shorts
from basis_daemon.strategies.rules import Act, Frame, Rule, Verdict, brief, drawdown_stop
from basis_daemon.strategies.sleeve import Stake
from basis_daemon.strategies.staking_view import StakeView
from basis_daemon.strategies.twofold import ChainHalf, Rates, TwofoldStrategy
from basis_daemon.strategies.unwind import unwound
from basis_daemon.strategies.view import BookView

PH = TypeVar("PH", bound=HedgeParameters)
VH = TypeVar("VH", bound=HedgeView)


def of_sleeve(rule: Callable[[Stake], Verdict]) -> Rule[HedgeView]:
    """A staking book's rule, asked about the sleeve."""
    return lambda view: rule(view.sleeve)


def drawdown(view: HedgeView) -> Verdict:
    """The stop by unit value: everything is left, a clip at a time."""
    return drawdown_stop(view, view.p.max_drawdown, lambda: _left(view))


def _left(view: HedgeView) -> tuple[Step, ...] | str:
    """The next clip; where none can be sold now, what issuers have become ready to pay, for it to be sold then."""
    if view.stuck:
        return view.stuck
    found = unwound(view, view.long, PRESSED)
    return staking.claims_paid(view.sleeve) or found if isinstance(found, str) else found


def withdrawal(view: HedgeView) -> Verdict:
    """Rule 4: free cash pays at once; what it lacks is unwound from sleeve, shorts and margin by one share."""
    wanted, lacking = view.frame.risk.withdrawal_pending_usdt, -view.cash
    if wanted <= 0 or lacking <= 0:
        return gathered(view, wanted) if wanted > 0 else Rejected(ReasonCode.WITHDRAWAL, "none is pending")
    eth = min(lacking / _brought_by_each(view), view.long) - view.sleeve.claimed
    steps = unwound(view, eth, ORDINARY) if eth > 0 else "claims on their way cover them"
    if isinstance(steps, str) or not steps:
        return Rejected(ReasonCode.WITHDRAWAL, f"{brief(lacking)} USDT are lacking: {steps or 'nothing is left'}")
    return Act(ReasonCode.WITHDRAWAL, f"unwind {brief(eth)} ETH to free {brief(lacking)} USDT", steps)


def _brought_by_each(view: HedgeView) -> Decimal:
    """USDT that an unwound ETH brings at least: both swaps at their limit, and the margin behind its short."""
    freed = sum((margin_freed(venue, Decimal(1)) for venue in view.venues if venue.short > 0), ZERO)
    margin = freed / view.short if view.short > 0 else ZERO
    worst = 1 - view.p.slip_dex
    return (view.frame.price * worst + margin) * worst


def carry_exit(view: HedgeView) -> Verdict:
    """Leave when yield and funding together lie below the exit hurdle for k_confirm; without a yield nobody knows."""
    hurdle = view.hurdle(view.p.exit_net_apr)
    if hurdle is None or not view.funding or not view.is_hedging:
        return Rejected(ReasonCode.CARRY_EXIT, "no hedge stands, or yield or funding is unknown")
    note = f"funding {brief(view.funding[-1])} a year, hurdle {brief(hurdle)}"
    if not holds(view.funding, view.confirmations, below=hurdle):
        return Rejected(ReasonCode.CARRY_EXIT, note)
    steps = unwound(view, view.long, ORDINARY)
    if isinstance(steps, str) or not steps:
        return Rejected(ReasonCode.CARRY_EXIT, f"{note}, but {steps or 'nothing is left'}")
    return Act(ReasonCode.CARRY_EXIT, note, steps)


def bring_home(view: HedgeView) -> Verdict:
    """ETH that was bought at exchanges goes to the wallet, hedged on its way, once the token takes it."""
    moves: list[Step] = []
    for venue in view.fresh:
        amount = round_down(venue.held, venue.spot.quantity_step)
        network = venue.venue.network
        if network is not None and amount * view.frame.price >= view.p.min_chain_move_usdt:
            moves.append(Move(venue.spot.key, ETH, amount, network))
    if not moves or not view.is_hedging:
        return Rejected(ReasonCode.SCALE, "no hedged ETH worth a transfer lies at an exchange")
    if fault := staking.acquire_fault(view.sleeve, view.spot):
        return Rejected(ReasonCode.SCALE, f"{brief(view.spot)} ETH stay at the exchange: {fault}")
    return Act(ReasonCode.SCALE, f"{brief(view.spot)} ETH to the wallet", tuple(moves))


def put_in(view: HedgeView) -> Verdict:
    """Loose ETH that is hedged earns in the token."""
    if not view.is_hedging:
        return Rejected(ReasonCode.SCALE, "no hedge stands")
    return staking.put_in(view.sleeve)


def enter(view: HedgeView) -> Verdict:
    """Money first, then spot against perp at every venue at once; the ETH follows when it has settled."""
    found = entry.enter(view)
    if isinstance(found, Rejected):
        return found
    pairs = tuple(step for step in found.steps if isinstance(step, Pair))
    moves = tuple(step for step in found.steps if not isinstance(step, Pair))
    return found if len(pairs) == 1 else replace(found, steps=(*moves, SideBySide(pairs)))


GROWTH: tuple[Rule[HedgeView], ...] = (
    put_in,
    entry.scale,
    margin_excess,
    rotate_shorts,
    enter,
    of_sleeve(staking.overdue),
)
"""What is hedged is staked before anything new is bought."""

RULES: tuple[Rule[HedgeView], ...] = (
    *defended(nearest_liquidation, drawdown),
    of_sleeve(staking.collect),
    withdrawal,
    of_sleeve(dust),
    carry_exit,
    of_sleeve(staking.issuer),
    leg_drift,
    bring_home,
    *GROWTH,
)
"""Those of a basis book, and among them what its sleeve asks for."""


def sleeve_frame(frame: Frame[PH, OnchainMemory]) -> Frame[PH, OnchainMemory]:
    """A withdrawal is unwound from the whole book, never from the sleeve alone."""
    return replace(frame, risk=replace(frame.risk, withdrawal_pending_usdt=ZERO))


def hedge_view(
    book: BookView, frame: Frame[HedgeParameters, OnchainMemory], needed: tuple[str, ...], rates: Rates
) -> HedgeView:
    """Both halves of the picture."""
    sleeve = StakeView(sleeve_frame(frame), needed)
    return HedgeView(book.frame, book.venues, book.missing, frame.parameters, sleeve, rates)


def yield_of(p: HedgeParameters) -> Callable[[OnchainMemory], Decimal | None]:
    """What the token yields a year, as far as a memory knows."""
    return lambda memory: memory.lst.y_eff(p.y_window, p.reward_haircut)


class HedgeStrategy(TwofoldStrategy[PH, VH]):
    """What a staked hedge tells, whatever its sleeve."""

    def _inputs(self, view: VH) -> dict[str, InputUsed]:
        """The numbers of both halves; equity and drawdown are the book's."""
        return staking.staking_inputs(view.sleeve) | {"long": InputUsed(view.long)} | pair_inputs(view)

    def _thresholds(self, view: VH) -> dict[str, Decimal]:
        bounds = staking.staking_thresholds(view.sleeve) | pair_thresholds(view)
        if view.restriction is not None:
            return bounds
        hurdles = {"f_exit": view.hurdle(view.p.exit_net_apr), "f_entry": view.hurdle(view.p.entry_net_apr + view.cost)}
        return bounds | {name: value for name, value in hurdles.items() if value is not None}


class UsdtMarketNeutralNoLeverage(HedgeStrategy[HedgeParameters, HedgeView]):
    """Staked ETH against ETHUSDT perps, the sleeve without debt."""

    def __init__(self, parameters: HedgeParameters, name: str = "usdt_market_neutral_no_leverage") -> None:
        p = parameters
        chain = ChainHalf(
            declared=declared(staking.staking_readings(p), staking.staking_keys(p)),
            routes=staking.staking_routes(p),
            needed=staking.needed_by(p),
            teaching=staking.sleeve_teaching(p),
            view=hedge_view,
            rules=RULES,
            rate=yield_of(p),
        )
        super().__init__(name, p, chain)
