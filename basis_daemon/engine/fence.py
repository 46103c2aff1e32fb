"""One daemon per account: an order at our account that bears our mark and has no intent of ours proves a second one."""

from __future__ import annotations

from collections.abc import Iterable

from basis_daemon.domain.errors import SecondDaemonError
from basis_daemon.domain.order_ids import journal_digits, origin_of
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.guard import Guard
from basis_daemon.engine.recorder import Recorder


class Fence:
    """Reads client ids of orders without an intent of ours. ``journal`` is the name that our own ids are made of."""

    def __init__(self, recorder: Recorder, guard: Guard, journal: str) -> None:
        self._recorder = recorder
        self._guard = guard
        self._digits = journal_digits(journal)

    def rival(self, client_id: str) -> str | None:
        """Why this id proves another daemon; None for another hand's, and for what an earlier life of ours left."""
        origin, epoch = origin_of(client_id), self._recorder.epoch
        if origin is None or client_id in self._recorder.state.orders or self._recorder.recall(client_id) is not None:
            return None
        if origin.journal != self._digits:
            return f"order {client_id} is of another daemon's journal {origin.journal}, this one's is {self._digits}"
        if origin.epoch >= epoch:
            return (
                f"order {client_id} is of epoch {origin.epoch} of this journal, which in epoch {epoch} does not know "
                "it: a second daemon runs on a copy"
            )
        return None

    def meet(self, client_id: str) -> None:
        """While running: halt, latched, for an order of another daemon."""
        if (why := self.rival(client_id)) is not None:
            self._guard.tighten(GuardState.HALTED, f"{why}; stop one of the two, then rearm")

    def check_start(self, account: str, open_order_ids: Iterable[str]) -> None:
        """Before arming: raises SecondDaemonError for a living order of another daemon."""
        for client_id in open_order_ids:
            if (why := self.rival(client_id)) is not None:
                raise SecondDaemonError(
                    f"account {account}: {why}; stop the other daemon, or cancel the order if it runs no more"
                )
