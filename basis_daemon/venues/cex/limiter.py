"""The request budgets of one IP at one exchange, shared by every client there.

Spent weight is counted over a sliding minute and corrected by what the venue says was used. What reduces risk may use
the whole budget, everything else leaves a reserve. After 429 or 418 nobody asks before the venue's Retry-After is over.
A venue that answers with errors of its own (5xx, a page of HTML) again and again is left alone for a while: then one
request goes ahead, and its answer says whether the others may follow. What reduces risk does not wait for that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.ports import Clock
from basis_daemon.venues.cex.options import Note, ignore_note
from basis_daemon.venues.cex.quirks import Pool

WINDOW_S = 60.0
SECOND_NS = 1_000_000_000
TOO_MANY, BANNED = 429, 418
PAUSE_S = {TOO_MANY: 30.0, BANNED: 120.0}
"""How long to stay away when the venue does not say."""
SHRINK, SHRUNK_S = 0.5, 600.0
"""After a 429 the budget is halved for ten minutes: somebody else on this IP is spending too."""
WAIT_TOLD_S = 1.0
"""A request that waited longer for its turn is told of: whoever wanted its answer was blind meanwhile."""
SERVER_ERROR, HTML = 500, "text/html"
TROUBLES_MAX = 5
"""So many answers in a row that are the venue's own failure open the circuit."""
BREAK_FIRST_S, BREAK_DOUBLINGS_MAX = 1.0, 5
"""How long the circuit stays open at first, and how often that doubles: half a minute in the end."""


@dataclass(frozen=True, slots=True)
class Request:
    """How urgent a request is, and how long it may wait for its turn.

    Urgent is what reduces risk, what ends a doubt, and what a book cannot be watched over without.
    """

    is_urgent: bool = False
    wait_max_s: float = 60.0


DEFAULT = Request()
REQUEST: ContextVar[Request] = ContextVar("request", default=DEFAULT)
SECTION: ContextVar[str] = ContextVar("section", default="")


@dataclass(slots=True)
class _Budget:
    pool: Pool
    spent: deque[tuple[int, float]] = field(default_factory=deque)
    total: float = 0.0
    blocked_until_ns: int = 0
    shrunk_until_ns: int = 0
    troubles: int = 0
    open_until_ns: int = 0

    @property
    def is_broken(self) -> bool:
        """True while the circuit is open or half open."""
        return self.troubles >= TROUBLES_MAX

    def hear(self, *, is_trouble: bool, now_ns: int) -> None:
        """Count an answer that is the venue's own failure; any other one closes the circuit."""
        if not is_trouble:
            self.troubles = 0
            return
        self.troubles += 1
        if self.is_broken:
            self.break_circuit(now_ns)

    def break_circuit(self, now_ns: int) -> None:
        """Keep everybody away who can wait, each time for longer."""
        pause_s = BREAK_FIRST_S * 2 ** min(self.troubles - TROUBLES_MAX, BREAK_DOUBLINGS_MAX)
        self.open_until_ns = now_ns + int(pause_s * SECOND_NS)

    def forget(self, now_ns: int) -> None:
        horizon = now_ns - int(WINDOW_S * SECOND_NS)
        while self.spent and self.spent[0][0] <= horizon:
            self.total -= self.spent.popleft()[1]

    def spend(self, weight: float, now_ns: int) -> None:
        self.spent.append((now_ns, weight))
        self.total += weight

    def cap(self, *, is_urgent: bool, now_ns: int) -> float:
        size = self.pool.weight_max * (SHRINK if now_ns < self.shrunk_until_ns else 1.0)
        return size if is_urgent else size * (1.0 - self.pool.reserve)

    def delay_s(self, weight: float, *, is_urgent: bool, now_ns: int) -> float:
        """Seconds until ``weight`` may be spent; zero when it may be now."""
        if now_ns < self.blocked_until_ns:
            return (self.blocked_until_ns - now_ns) / SECOND_NS
        if self.is_broken and not is_urgent and now_ns < self.open_until_ns:
            return (self.open_until_ns - now_ns) / SECOND_NS
        self.forget(now_ns)
        excess = self.total + weight - self.cap(is_urgent=is_urgent, now_ns=now_ns)
        for spent_ns, spent in self.spent:
            if excess <= 0:
                break
            excess -= spent
            if excess <= 0:
                return max(spent_ns - now_ns + int(WINDOW_S * SECOND_NS), 1) / SECOND_NS
        return 0.0 if excess <= 0 else WINDOW_S


class WeightLimiter:
    """Budgets by pool; one instance per exchange and IP."""

    def __init__(self, pools: Sequence[Pool], clock: Clock, note: Note = ignore_note) -> None:
        self._budgets = tuple(_Budget(pool) for pool in pools)
        self._clock = clock
        self._note = note

    def used(self, section: str) -> float:
        """Weight spent in the last minute by the pool that ``section`` belongs to."""
        budget = self._budget(section)
        budget.forget(self._clock.monotonic_ns())
        return budget.total

    async def acquire(self, section: str, cost: float) -> None:
        """Return when the request may be sent. Raises VenueUnreachableError when its turn is too far away."""
        request, budget = REQUEST.get(), self._budget(section)
        weight = cost * budget.pool.weight_per_cost
        waited = 0.0
        while (delay := budget.delay_s(weight, is_urgent=request.is_urgent, now_ns=self._clock.monotonic_ns())) > 0:
            if waited + delay > request.wait_max_s:
                why = f"{budget.troubles} failures of the venue in a row, " if budget.is_broken else ""
                msg = (
                    f"request budget {budget.pool.name}: {why}{budget.total:.0f} of {budget.pool.weight_max} spent, "
                    f"weight {weight:.0f} would wait {waited + delay:.1f} s, at most {request.wait_max_s} s; nothing "
                    "was sent"
                )
                raise VenueUnreachableError(msg)
            await self._clock.sleep(delay)
            waited += delay
        now_ns = self._clock.monotonic_ns()
        budget.spend(weight, now_ns)
        if budget.is_broken:  # half open: this one goes ahead, the others wait for its answer
            budget.break_circuit(now_ns)
        if waited > WAIT_TOLD_S:
            facts = {"pool": budget.pool.name, "spent": f"{budget.total:.0f}", "waited_s": f"{waited:.1f}"}
            self._note("request_waited", facts)

    def observe(self, section: str, status: int, headers: Mapping[str, str]) -> None:
        """Learn from an answer: the venue's own count, its request to stay away, and whether it works at all."""
        budget, now_ns = self._budget(section), self._clock.monotonic_ns()
        lower = {name.lower(): value for name, value in headers.items()}
        budget.forget(now_ns)
        if (said := lower.get(budget.pool.header, "")).isdigit() and int(said) > budget.total:
            budget.spend(int(said) - budget.total, now_ns)
        was_broken = budget.is_broken
        is_trouble = status >= SERVER_ERROR or HTML in lower.get("content-type", "")
        budget.hear(is_trouble=is_trouble, now_ns=now_ns)
        if budget.is_broken is not was_broken:
            word = "closed" if was_broken else "open_alarm"
            self._note(f"circuit_{word}", {"pool": budget.pool.name, "status": status, "failures": TROUBLES_MAX})
        if status in PAUSE_S:
            said = lower.get("retry-after", "")
            pause_s = float(said) if said.isdigit() else PAUSE_S[status]
            budget.blocked_until_ns = max(budget.blocked_until_ns, now_ns + int(pause_s * SECOND_NS))
            budget.shrunk_until_ns = now_ns + int((pause_s + SHRUNK_S) * SECOND_NS)

    def _budget(self, section: str) -> _Budget:
        for budget in self._budgets:
            if section.startswith(budget.pool.sections):
                return budget
        return self._budgets[0]
