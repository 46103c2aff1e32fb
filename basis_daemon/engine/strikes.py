"""What the failure of a plan costs the next of its kind: time. What a venue refuses now it refuses again at once.

New risk waits longest. What repairs the book is tried again without a pause, for terms may have been read meanwhile,
and after a second failure in a row soon and often, but never in a storm: a storm uses up the orders of a minute, and
then the repair that would succeed is the one that is not sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.deny import DenyReason
from basis_daemon.domain.order import Order
from basis_daemon.domain.plan import PlanState
from basis_daemon.engine.codec import PlanRow
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.ports import Clock

NEW_RISK = "new risk"
ADDING = frozenset({ReasonCode.ENTRY, ReasonCode.SCALE, ReasonCode.ROTATE, ReasonCode.SIGNAL})
STRIKE_S, STRIKE_MAX_S = Decimal(2), Decimal(3600)
"""Process time without new risk after a plan for more of it that failed, doubled by each further one up to the maximum:
every attempt may cost a round trip."""
FLATTEN_PAUSE_MAX_S = Decimal(30)
"""The same between attempts to close the book that failed: it is tried for as long as it is asked for."""
REPAIR_PAUSE_S, REPAIR_PAUSE_MAX_S = Decimal("0.25"), Decimal(2)
"""The same between attempts at one repair, from the second failure on; at the longest it stays below the order rate."""
DOUBLINGS_MAX = 20
SECOND_NS = 1_000_000_000


class Strikes:
    """The failures in a row of one strategy: of new risk together, of everything else by its reason."""

    def __init__(self, clock: Clock, alarm: Alarm) -> None:
        self._clock, self._alarm = clock, alarm
        self._failures: Counter[str] = Counter()
        self._until_ns: dict[str, int] = {}
        self._retry_ns: int | None = None

    def denial(self, reason: ReasonCode, orders: Sequence[Order]) -> tuple[str, ...]:
        """Why these orders have to wait, empty when they need not; asked of every decision, also one without orders."""
        self._retry_ns = None
        kind = _kind_of(reason)
        until_ns = self._until_ns.get(kind, 0)
        left_s = (until_ns - self._clock.monotonic_ns()) / SECOND_NS
        is_reducing = kind == NEW_RISK and all(order.is_risk_reducing for order in orders)
        if not orders or left_s <= 0 or is_reducing:
            return ()
        what = "no new risk for"
        if kind != NEW_RISK:
            self._retry_ns, what = until_ns, "the next attempt in"
        return (f"{DenyReason.PLAN_FAILURES} {self._failures[kind]} in a row: {what} {left_s:.1f} s",)

    def is_over(self) -> bool:
        """True once, when the pause that something other than new risk was denied for is over: no market need move."""
        is_over = self._retry_ns is not None and self._clock.monotonic_ns() >= self._retry_ns
        self._retry_ns = None if is_over else self._retry_ns
        return is_over

    def count(self, row: PlanRow, state: PlanState) -> None:
        """A plan has ended like this."""
        kind = _kind_of(row.reason)
        if state is PlanState.DONE:
            self._failures.pop(kind, None)
            return
        self._failures[kind] += 1
        failures = self._failures[kind]
        if not (pause_s := _pause_s(kind, failures)):
            return
        self._until_ns[kind] = self._clock.monotonic_ns() + int(pause_s * SECOND_NS)
        if kind in {NEW_RISK, ReasonCode.FLATTEN} or failures.bit_count() == 1:  # a repair's as its row doubles
            facts = {"plan": row.plan_id, "for": kind, "failures": str(failures), "pause_s": str(pause_s)}
            self._alarm("plan failed", facts)


def _kind_of(reason: ReasonCode) -> str:
    return NEW_RISK if reason in ADDING else reason


def _pause_s(kind: str, failures: int) -> Decimal:
    if kind == NEW_RISK:
        return _doubled(STRIKE_S, failures - 1, STRIKE_MAX_S)
    if kind == ReasonCode.FLATTEN:
        return _doubled(STRIKE_S, failures - 1, FLATTEN_PAUSE_MAX_S)
    return _doubled(REPAIR_PAUSE_S, failures - 2, REPAIR_PAUSE_MAX_S) if failures > 1 else Decimal(0)


def _doubled(first_s: Decimal, times: int, most_s: Decimal) -> Decimal:
    return min(first_s * (1 << min(times, DOUBLINGS_MAX)), most_s)
