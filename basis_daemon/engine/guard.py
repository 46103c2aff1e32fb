"""The backstop over all strategies: latched ACTIVE, REDUCING, HALTED. It only tightens; an operator rearms it."""

from __future__ import annotations

from basis_daemon.domain.errors import BasisError
from basis_daemon.domain.order import Order
from basis_daemon.engine.codec import GuardRow, GuardState, HaltRow
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.recorder import Recorder

_ORDER = (GuardState.ACTIVE, GuardState.REDUCING, GuardState.HALTED)


class GuardLatchedError(BasisError):
    """The guard can be loosened only by an explicit rearm."""


class Guard:
    """Holds the latch in the journal, so that a restart cannot loosen it.

    ``caution`` is no latch: a reason to add no risk for as long as it is seen, empty when there is none.
    """

    def __init__(self, recorder: Recorder, alarm: Alarm) -> None:
        self._recorder = recorder
        self._alarm = alarm
        self.caution = ""

    @property
    def state(self) -> GuardState:
        """Where the latch stands."""
        return self._recorder.state.guard.state

    @property
    def why(self) -> str:
        """What moved it there."""
        return self._recorder.state.guard.why

    @property
    def flattens(self) -> str:
        """Why an operator closes the whole book; empty while nobody does."""
        row = self._recorder.state.guard
        return row.why if row.is_flattening else ""

    def tighten(self, state: GuardState, why: str) -> None:
        """Move towards HALTED and page; asking for a looser state, or for the same again, changes nothing."""
        if _ORDER.index(state) > _ORDER.index(self.state):
            self._move(GuardRow(state, why))

    def halt(self, why: str) -> None:
        """Operator only: HALTED, and a flattening that is under way stops where it is."""
        if self.flattens or self.state is not GuardState.HALTED:
            self._move(GuardRow(GuardState.HALTED, why))

    def flatten(self, why: str) -> None:
        """Operator only: HALTED for everything but the way to flat, until every book is and an operator rearms."""
        if not self.flattens:
            self._move(GuardRow(GuardState.HALTED, why, is_flattening=True))

    def _move(self, row: GuardRow) -> None:
        self._recorder.record(row, "guard")
        state = "FLATTENING" if row.is_flattening else row.state.value
        self._alarm("page", {"guard": state, "why": row.why})

    def rearm(self, why: str) -> None:
        """Operator only: back to ACTIVE, and no instrument halted any more.

        Raises GuardLatchedError while orders are in doubt or breaks are open.
        """
        state = self._recorder.state
        if state.in_doubt() or state.breaks:
            doubt, broken = len(state.in_doubt()), len(state.breaks)
            raise GuardLatchedError(f"rearm refused: {doubt} orders in doubt, {broken} breaks open, expected none")
        self._recorder.record(GuardRow(GuardState.ACTIVE, why), "guard")
        for instrument in tuple(state.halts):
            self._recorder.record(HaltRow(instrument, why, is_on=False), instrument)

    def forbids(self, order: Order) -> bool:
        """True when this order must not leave: anything under HALTED, whatever adds risk under REDUCING."""
        return self.state is not GuardState.ACTIVE and not order.is_risk_reducing
