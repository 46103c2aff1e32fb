"""Basis in ETH: the core is lent and never hedged, USDT borrowed against it carries a pair of spot and perp.

Raising the debt is the fastest source of margin, and repaying idle margin the way back when ETH falls: lambda and
margin restore each other while the pair stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from basis_daemon.domain.decision import InputUsed, ReasonCode, Rejected
from basis_daemon.domain.margin import TOP_UP, ZERO
from basis_daemon.domain.order import OrderOperation as O
from basis_daemon.strategies import defence, entry, lending
from basis_daemon.strategies.defence import defended, worse_first
from basis_daemon.strategies.lending import LendView
from basis_daemon.strategies.onchain_calls import (
    AAVE,
    ETH,
    WETH,
    WETH_RESERVE,
    borrow,
    ceiling,
    floor,
    repay,
    swap,
    withdraw,
)
from basis_daemon.strategies.onchain_memory import OnchainMemory, Teaching
from basis_daemon.strategies.onchain_orders import Operation
from basis_daemon.strategies.onchain_strategy import declared
from basis_daemon.strategies.onchain_view import GAS
from basis_daemon.strategies.orders import CENT, Move, Step, cents_down
from basis_daemon.strategies.overlay_parameters import OverlayParameters
from basis_daemon.strategies.overlay_view import USDT_DEBT, USDT_RESERVE, OverlayView
from basis_daemon.strategies.pairs import pair_inputs, pair_thresholds, rate_thresholds
from basis_daemon.strategies.rebalance import carry_exit, leg_drift, shrunk
from basis_daemon.strategies.rotation import rotate
from basis_daemon.strategies.rules import Act, Frame, Rule, Verdict, brief, drawdown_stop
from basis_daemon.strategies.sizing import internal, leave
from basis_daemon.strategies.twofold import ChainHalf, Rates, TwofoldStrategy
from basis_daemon.strategies.view import WALLET_CASH, BookView, VenueView


def of_core(rule: Callable[[LendView], Verdict]) -> Rule[OverlayView]:
    """A lender's rule, asked about the core."""
    return lambda view: rule(view.core)


# ------------------------------------------------------------------------------------------------------- money moves
def financed(view: OverlayView, found: Verdict) -> Verdict:
    """What a plan takes out of the wallet beyond what lies there is borrowed first."""
    if isinstance(found, Rejected):
        return found
    taken = sum((s.amount for s in found.steps if isinstance(s, Move) and s.source == WALLET_CASH), ZERO)
    lacking = ceiling(WALLET_CASH, taken - view.held_usdt)
    return found if lacking <= 0 else replace(found, steps=(borrow(lacking, USDT_DEBT, WALLET_CASH), *found.steps))


def _sent_home(venue: VenueView, margin: Decimal) -> list[Step]:
    """So much margin, and the spot account's cash with it, to the wallet; less than a transfer is worth stays."""
    network, margin = venue.venue.network, cents_down(margin)
    margin = margin if margin >= venue.frame.parameters.min_order_usdt else ZERO
    amount = margin if venue.venue.is_unified else cents_down(venue.cash) + margin
    if network is None or amount < venue.frame.parameters.min_chain_move_usdt:
        return []
    return [
        *internal(venue.venue.margin_key, venue.venue.cash_key, margin),
        Move(venue.venue.cash_key, WALLET_CASH, amount, network),
    ]


def _arriving(view: OverlayView, steps: list[Step]) -> Decimal:
    """USDT that lie in the wallet once the steps are done."""
    fees = {venue.venue.cash_key: venue.venue.withdrawal_fee_usdt for venue in view.venues}
    home = [step for step in steps if isinstance(step, Move) and step.target == WALLET_CASH]
    return view.held_usdt + sum((step.amount - fees[step.source] for step in home), ZERO)


def _repaid(view: OverlayView, money: Decimal) -> list[Step]:
    """As much of the debt as ``money`` pays, all of it by MAX."""
    if not view.debt or money < CENT:
        return []
    if money > view.debt:
        return [repay("MAX", view.debt, USDT_DEBT, WALLET_CASH)]
    return [repay(floor(WALLET_CASH, money), view.debt, USDT_DEBT, WALLET_CASH)]


def way_home(view: OverlayView) -> tuple[Step, ...]:
    """What serves no pair goes home and repays; what is then still owed without a pair is paid out of the core."""
    moves = [step for venue in view.fresh for step in _sent_home(venue, ZERO if venue.is_held else view.idle(venue))]
    money = _arriving(view, moves)
    is_worth_it = money >= min(view.p.min_chain_move_usdt, view.debt)
    if moves or (view.debt and is_worth_it):
        return (*moves, *_repaid(view, money))
    is_flat = not any(venue.is_exposed for venue in view.venues)
    return _out_of_core(view) if is_flat and view.debt >= view.p.min_order_usdt else ()


def _out_of_core(view: OverlayView) -> tuple[Step, ...]:
    """A little of the collateral is sold for what the overlay lost."""
    owed = view.debt - view.held_usdt
    weth = ceiling(WETH, owed / view.frame.price / (1 - view.p.slip_dex) * (1 + CENT))
    least = ceiling(WALLET_CASH, weth * view.frame.price * (1 - view.p.slip_dex))
    taken = withdraw(view.core.atoken, WETH, weth)
    return (taken, swap(WETH, WALLET_CASH, weth, least), repay("MAX", view.debt, USDT_DEBT, WALLET_CASH))


# ---------------------------------------------------------------------------------------------------------- defence
def nearest_liquidation(view: OverlayView) -> Verdict:
    """Rule 2: accounts at exchanges, whose margin may be borrowed, and the core; the worse level, then the nearer."""
    at_exchange, at_aave = financed(view, defence.nearest_liquidation(view)), _core_at_risk(view)
    return worse_first(view, at_exchange, at_aave, lambda: view.z_of_core or ZERO)


def _core_at_risk(view: OverlayView) -> Verdict:
    """A core within a shock of liquidation is repaid out of idle margin; where there is none, pairs are left."""
    if not view.debt or view.core.stale or view.z_of_core is None:
        return Rejected(ReasonCode.LIQ_TOPUP, "no debt, or the core cannot be seen")
    level = view.p.ladder.level(view.z_of_core)
    if level < TOP_UP or view.frame.risk.defence_in_flight.get(AAVE, 0) >= level:
        return Rejected(ReasonCode.LIQ_TOPUP, f"core: z {brief(view.z_of_core)}, or its repair is under way")
    steps = _idle_repaid(view) or tuple(step for venue in view.fresh for step in leave(venue)) or way_home(view)
    note = f"core: lambda {brief(view.lam)}, z {brief(view.z_of_core)}, level {level}"
    return Act(defence.REASONS[level], note, steps, level, page=level > TOP_UP or not steps)


def _idle_repaid(view: OverlayView) -> tuple[Step, ...]:
    """Margin beyond its target repays, at most down to lambda_b; the pair stays as it is."""
    wanted = view.debt - view.p.lambda_b * view.worth_of_core
    moves: list[Step] = []
    for venue in view.fresh:
        moves += _sent_home(venue, min(view.idle(venue), max(wanted - _arriving(view, moves), ZERO)))
    return (*moves, *_repaid(view, min(_arriving(view, moves), wanted))) if moves else ()


def drawdown(view: OverlayView) -> Verdict:
    """The stop by unit value: the overlay is left; the core without debt is what is safe."""
    return drawdown_stop(view, view.p.max_drawdown, lambda: _closed(view) if view.frame.risk.flatten else _left(view))


def _left(view: OverlayView) -> tuple[Step, ...]:
    return tuple(step for venue in view.fresh for step in leave(venue)) or way_home(view)


def _closed(view: OverlayView) -> tuple[Step, ...] | str:
    """Pairs, then the debt, then the core itself; or what cannot be closed now."""
    pairs = defence.left_at_venues(view)
    if pairs and not isinstance(pairs, str):
        return pairs
    if fault := view.core.stuck:
        return fault
    return way_home(view) or pairs or (_indebted(view) if view.debt else lending.taken_home(view.core))


def _indebted(view: OverlayView) -> str:
    return f"{brief(view.debt)} USDT are owed, and no USDT worth a transfer is at hand"


def ltv_band(view: OverlayView) -> Verdict:
    """Above the maximum at once, whatever day or gate: idle margin repays, which restores lambda_b."""
    if view.lam <= view.p.lambda_b_max:
        return Rejected(ReasonCode.LTV_BAND, f"lambda {brief(view.lam)} <= {view.p.lambda_b_max}")
    steps = view.core.gas_fault(is_defence=True) or _idle_repaid(view)
    note = f"lambda {brief(view.lam)} > {view.p.lambda_b_max}"
    if isinstance(steps, str) or not steps:
        return Rejected(ReasonCode.LTV_BAND, f"{note}, but {steps or 'no margin is idle'}")
    return Act(ReasonCode.LTV_BAND, f"{note}: idle margin repays", steps)


# ------------------------------------------------------------------------------------------------------------- rules
def withdrawal(view: OverlayView) -> Verdict:
    """Rule 4: out of the core as any lender; where that strains the debt, the overlay shrinks by the same share."""
    found = lending.withdrawal(view.core)
    if isinstance(found, Rejected) or not view.debt:
        return found
    out = (step.deltas.get(view.core.atoken, ZERO) for step in found.steps if isinstance(step, Operation))
    taken = -sum(out, ZERO)
    rho = taken / view.core.position
    if rho < 1 and view.lam / (1 - rho) <= view.p.lambda_b_max:
        return found
    steps = way_home(view) or tuple(step for venue in view.fresh for step in shrunk(venue, rho))
    note = f"the overlay shrinks by {brief(rho)} before {brief(taken)} ETH leave the core"
    return Act(found.reason, note, steps) if steps else Rejected(found.reason, f"{note}, but nothing can shrink")


def core_trouble(view: OverlayView) -> Verdict:
    """A core that must leave its reserve is freed of its debt first."""
    found = lending.leave(view.core)
    if isinstance(found, Rejected) or not view.debt:
        return found
    steps = _left(view)
    if not steps:
        return Rejected(found.reason, f"{found.note}, but the debt cannot be repaid now")
    return Act(found.reason, f"the overlay is left first: {found.note}", steps, page=found.page)


def repay_idle(view: OverlayView) -> Verdict:
    """USDT that serves no pair costs interest."""
    steps = way_home(view)
    if not steps:
        return Rejected(ReasonCode.LEG_DRIFT, f"no idle USDT worth a transfer, debt {brief(view.debt)}")
    if fault := view.core.gas_fault():
        return Rejected(ReasonCode.LEG_DRIFT, fault)
    return Act(ReasonCode.LEG_DRIFT, "idle USDT goes home and repays", steps)


def enter(view: OverlayView) -> Verdict:
    """Borrow, send, then a pair of its share of B at every venue where none stands and the gate holds."""
    return financed(view, entry.enter(view))


def borrow_more(view: OverlayView) -> Verdict:
    """Back to lambda_b below the band, into pairs that stand, where the gate holds."""
    standing = [venue for venue in view.fresh if venue.is_held]
    whole = sum((venue.weight for venue in standing), ZERO)
    if view.lam >= view.p.lambda_low or not whole:
        return Rejected(ReasonCode.SCALE, f"lambda {brief(view.lam)} >= {view.p.lambda_low}, or no pair stands")
    budget = view.room(view.p.lambda_b)
    purse = entry.Purse(budget, budget)
    grown = entry.grow(view, ReasonCode.SCALE, standing, purse, lambda venue: venue.weight / whole * budget)
    return financed(view, grown)


RULES: tuple[Rule[OverlayView], ...] = (
    *defended(nearest_liquidation, drawdown),
    ltv_band,
    withdrawal,
    core_trouble,
    carry_exit,
    of_core(lending.refill),
    of_core(lending.lend),
    leg_drift,
    borrow_more,
    rotate,
    enter,
    repay_idle,
)
"""Those of a basis book over those of a lender; the band of lambda takes the place of the margin's excess."""


def _view(
    book: BookView, frame: Frame[OverlayParameters, OnchainMemory], needed: tuple[str, ...], rates: Rates
) -> OverlayView:
    return OverlayView(book.frame, book.venues, book.missing, frame.parameters, LendView(frame, needed), rates)


def _borrow_rate(memory: OnchainMemory) -> Decimal | None:
    return None if memory.borrow.rate is None else memory.borrow.rate.average


class EthBasisInEth(TwofoldStrategy[OverlayParameters, OverlayView]):
    """``eth_basis`` of the ETH class."""

    def __init__(self, parameters: OverlayParameters, name: str = "eth_basis") -> None:
        p = parameters
        keys = {ETH, WETH, WETH_RESERVE, USDT_DEBT, WALLET_CASH}
        accounts = ("account:wallet", f"account:{AAVE}")
        chain = ChainHalf(
            declared=declared({WETH_RESERVE, USDT_RESERVE, ETH}, keys),
            routes=lending.ROUTES | lending.WRAPPING | {(O.BORROW, AAVE), (O.REPAY, AAVE)},
            needed=(f"reserve:{WETH_RESERVE}", f"reserve:{USDT_RESERVE}", *accounts, GAS),
            teaching=Teaching(
                lend=WETH_RESERVE,
                borrow=USDT_RESERVE,
                halflife_h=p.borrow_halflife_h,
                hurdle=p.lend_min_apr,
                debt=USDT_DEBT,
            ),
            view=_view,
            rules=RULES,
            rate=_borrow_rate,
            numeraire=p.asset,
            cash=ETH,
        )
        super().__init__(name, p, chain)

    def _inputs(self, view: OverlayView) -> dict[str, InputUsed]:
        rows = [("debt", view.debt), ("position", view.core.position), ("b_smoothed", view.borrow_rate)]
        if not view.core.stale:
            rows += [("lambda", view.lam), ("health_factor", view.health), ("worth_of_core", view.worth_of_core)]
        return view.core.used(rows) | pair_inputs(view)

    def _thresholds(self, view: OverlayView) -> dict[str, Decimal]:
        p = view.p
        bounds = {"lambda_b": p.lambda_b, "lambda_b_max": p.lambda_b_max, "lend_min_apr": p.lend_min_apr}
        return pair_thresholds(view) | rate_thresholds(view) | bounds
