"""Invariants that are cheap to look at while the daemon trades: what cannot be so halts it, latched, with its numbers.

Most of them are asserted where they could break: an entry that does not sum to zero, a step of an order that its table
does not know, a nonce with two intents and an intent that is sent twice all raise. What is looked at here could break
by a memory that drifts from the journal, which no single step shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.guard import Guard
from basis_daemon.engine.recorder import Recorder

EVERY = 10
"""Looks (process seconds) between two audits: together they take less than a millisecond."""


class Audit:
    """Owns no task: upkeep calls ``look``. ``rows`` is how many rows the journal was given, over all lives."""

    def __init__(self, recorder: Recorder, guard: Guard, rows: Callable[[], int] | None = None) -> None:
        self._recorder = recorder
        self._guard = guard
        self._rows = rows
        self._looks = 0

    def look(self) -> None:
        """Every tenth time: halts the guard for the first thing that cannot be so."""
        self._looks += 1
        if self._looks % EVERY == 0 and (fault := next(self.faults(), None)) is not None:
            self._guard.tighten(GuardState.HALTED, f"invariant broken: {fault}; stop it, then `journal verify`")

    def faults(self) -> Iterator[str]:
        """I18, I7, I2, each with what was found and what was expected."""
        state = self._recorder.state
        for asset, total in state.ledger.sums().items():
            if total:
                yield f"all accounts of the ledger together hold {total} {asset}, expected nothing"
        if self._rows is not None and (rows := self._rows()) != state.sequence:
            yield f"the book counts {state.sequence} rows, the journal was given {rows}"
        for life in state.open_orders():
            if state.orders.get(life.order.order_id) is not life:
                yield f"order {life.order.order_id} lives and is not the book's own, expected one life of each"
