"""What every strategy decides with: an act or the comparison that stopped it, and the rules that know no book."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from basis_daemon.domain.decision import Exposure, ReasonCode, Rejected, RiskView
from basis_daemon.domain.instrument import Kind
from basis_daemon.domain.margin import REDUCE
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.strategies.orders import Step

P = TypeVar("P")
M = TypeVar("M")
V = TypeVar("V")
FLATTEN_URGENCY = REDUCE
"""A book that is closed may be so in doubt and with breaks open, and gives way to an emergency."""
P_co = TypeVar("P_co", covariant=True)
M_co = TypeVar("M_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Act:
    """What a rule wants done. Without steps it is a hold with that reason."""

    reason: ReasonCode
    note: str
    steps: tuple[Step, ...] = ()
    urgency: int = 0
    page: bool = False
    weights: Mapping[str, Decimal] | None = None


Verdict = Act | Rejected
Rule = Callable[[V], Verdict]


@dataclass(frozen=True, slots=True)
class Frame(Generic[P_co, M_co]):
    """The inputs of a decision as they were handed in; ``price`` is P of the asset."""

    parameters: P_co
    time: datetime
    market: MarketSnapshot
    exposure: Exposure
    risk: RiskView
    memory: M_co
    price: Decimal


class _Framed(Protocol):
    @property
    def risk(self) -> RiskView: ...
    @property
    def exposure(self) -> Exposure: ...


class View(Protocol):
    """What the rules below must know of a picture."""

    @property
    def frame(self) -> _Framed:
        """The inputs behind it."""
        ...

    @property
    def restriction(self) -> str | None:
        """Why only risk-reducing defence may act; None when everything may (rule 0)."""
        ...


def restriction_of(risk: RiskView, unknown: str, stale: str, equity: Decimal | None) -> str | None:
    """Every reason why only risk-reducing defence may act; ``unknown`` and ``stale`` name inputs, empty for none."""
    reasons = []
    if risk.is_killed:
        reasons.append("kill switch is on")
    if risk.in_doubt:
        reasons.append(f"orders in doubt: {', '.join(risk.in_doubt)}")
    if risk.breaks:
        reasons.append(f"open breaks: {', '.join(item.key for item in risk.breaks)}")
    if unknown:
        reasons.append(f"unknown: {unknown}")
    if stale:
        reasons.append(f"stale: {stale}")
    if equity is not None and equity <= 0:
        reasons.append("equity is not above 0")
    return "; ".join(reasons) or None


def stale_gate(view: View) -> Verdict:
    """Rule 0: past this point everything must be known, fresh and settled."""
    restriction = view.restriction
    if restriction is None:
        return Rejected(ReasonCode.STALE, "every required input is fresh")
    reason = ReasonCode.IN_FLIGHT if view.frame.risk.in_doubt else ReasonCode.STALE
    return Act(reason, restriction)


def in_flight(view: View) -> Verdict:
    """Rule 1: one ordinary plan at a time, and none beside a defence or open orders on its legs."""
    risk = view.frame.risk
    if risk.plan_in_flight:
        return Act(ReasonCode.IN_FLIGHT, "a plan is in flight")
    if risk.defence_in_flight:
        return Act(ReasonCode.IN_FLIGHT, f"defence is in flight at {', '.join(sorted(risk.defence_in_flight))}")
    if risk.legs_with_open_orders:
        return Act(ReasonCode.IN_FLIGHT, f"orders are open on {', '.join(sorted(risk.legs_with_open_orders))}")
    return Rejected(ReasonCode.IN_FLIGHT, "nothing is in flight")


def drawdown_stop(view: View, limit: Decimal, leave: Callable[[], tuple[Step, ...] | str]) -> Verdict:
    """Below the high of the unit value by ``limit``, or latched since it was: leave; an operator lets it in.

    ``leave`` gives the steps, none once the book is flat, or why it cannot be left now.
    """
    risk = view.frame.risk
    if risk.flatten:
        return flattened(view, leave)
    if risk.drawdown < limit and not risk.latched:
        return Rejected(ReasonCode.DRAWDOWN, f"drawdown {brief(risk.drawdown)} < {limit}")
    if view.restriction is not None:
        return Rejected(ReasonCode.DRAWDOWN, f"drawdown {brief(risk.drawdown)}, but {view.restriction}")
    if risk.plan_in_flight:
        return Rejected(ReasonCode.DRAWDOWN, f"drawdown {brief(risk.drawdown)}, the plan in flight comes first")
    found = leave()
    steps, end = ((), found) if isinstance(found, str) else (found, "leave" if found else "flat until rearmed")
    why = risk.latched or f"drawdown {brief(risk.drawdown)} >= {limit}"
    return Act(ReasonCode.DRAWDOWN, f"{why}: {end}", steps, page=bool(steps) or isinstance(found, str))


def flattened(view: View, leave: Callable[[], tuple[Step, ...] | str]) -> Act:
    """The operator's word: leave by the way of the drawdown stop, restricted or not; flat until rearmed."""
    risk = view.frame.risk
    if risk.plan_in_flight or risk.defence_in_flight:
        return Act(ReasonCode.IN_FLIGHT, f"flatten: a plan is in flight ({risk.flatten})")
    found = leave() or ()
    if isinstance(found, str):
        return Act(ReasonCode.FLATTEN, f"flatten waits: {found} ({risk.flatten})")
    if found:
        return Act(ReasonCode.FLATTEN, f"flatten: leave ({risk.flatten})", found, FLATTEN_URGENCY)
    held = view.frame.exposure.holdings.items()
    coming = sorted(key for key, quantity in held if quantity and key.kind in {Kind.CLAIM, Kind.TRANSIT})
    if coming:
        return Act(ReasonCode.FLATTEN, f"flatten waits: {', '.join(coming)} has not come yet ({risk.flatten})")
    return Act(ReasonCode.FLAT, f"flat until rearmed ({risk.flatten})")


def brief(value: Decimal) -> str:
    """Six significant digits, for people."""
    return f"{Decimal(f'{value:.6g}').normalize():f}" if value else "0"
