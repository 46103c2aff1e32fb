"""Asks a venue what happened and what is held, books what was missed, and compares. Asking never holds the book."""

from __future__ import annotations

from datetime import datetime, timedelta

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.position import AccountReport
from basis_daemon.engine.freshness import Freshness
from basis_daemon.engine.position_update_handler import Alarm, PositionUpdateHandler
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import EPOCH
from basis_daemon.ports import AccountSource, Clock, KillPoint, Probe, pass_by
from basis_daemon.rare_paths import Rarely, RarePath, never

OVERLAP, OVERLAP_AT_START = timedelta(minutes=10), timedelta(days=1)
"""Market time asked for again, for rows that a venue wrote late; their ids keep them from counting twice. The first
time more: the journal's clock went on with the prices even where this account had not answered for a while."""


LAST_LOOKS, LAST_LOOK_PAUSE_S = 3, 1.0


class Reconciler:
    """One account's reconciliation. A failed query leaves everything as it was, and the account grows stale."""

    def __init__(
        self,
        source: AccountSource,
        recorder: Recorder,
        handler: PositionUpdateHandler,
        freshness: Freshness,
        clock: Clock,
        alarm: Alarm,
        probe: Probe = pass_by,
        rarely: Rarely = never,
    ) -> None:
        self._source = source
        self._recorder = recorder
        self._handler = handler
        self._freshness = freshness
        self._clock = clock
        self._alarm = alarm
        self._probe = probe
        self._rarely = rarely
        self._asked_until = recorder.state.answered_until(source.account)
        self._overlap = OVERLAP_AT_START
        self._agreed_at = recorder.state.market_time
        self.failures = 0
        self.last: AccountReport | None = None
        self.is_clean = False
        self._checked_at = -1
        self.checked: AccountReport | None = None

    @property
    def account(self) -> str:
        """The venue part of its position keys."""
        return self._source.account

    @property
    def open_order_ids(self) -> tuple[str, ...]:
        """Client ids of what was open at the venue when it last answered."""
        return self.last.open_order_ids if self.last is not None else ()

    async def adopt(self) -> None:
        """First start: the venue's word becomes the opening book, on disk. Raises VenueUnreachableError."""
        report = await self._source.fetch_report()
        self._handler.adopt(report)
        self._asked_until, self._overlap = report.observed_at, OVERLAP
        self._recorder.asked(self.account, self._asked_until)
        await self._recorder.flush()
        self._agreed_at = report.observed_at
        self._answered(report)

    async def catch_up(self) -> None:
        """Book every fill and flow since the last answer. Raises VenueUnreachableError."""
        since, until = max(self._asked_until - self._overlap, EPOCH), self._recorder.state.market_time
        self._handler.process_cash_flows(await self._source.fetch_cash_flows(since))
        self._handler.process_trades(await self._source.fetch_trades(since))
        self._asked_until, self._overlap = max(self._asked_until, until), OVERLAP
        self._recorder.asked(self.account, self._asked_until)

    async def reconcile(self) -> bool:
        """True when the venue answered and, with nothing moving meanwhile, the book agrees."""
        try:
            await self.catch_up()
            self._probe(KillPoint.IN_RECONCILE)
            before, was_open = self._handler.changes(self.account), self._has_open_orders()
            report = await self._source.fetch_report()
        except VenueUnreachableError as error:
            self.failures += 1
            self.is_clean = False
            self._alarm("reconciliation unanswered", {"account": self.account, "why": str(error)})
            return False
        self.failures = 0
        is_settled = not was_open and self._is_settled(report, before)
        found = self._handler.observe(report, is_settled=is_settled)
        self._answered(report)
        self.is_clean = is_settled and not found and not self._handler.has_breaks(self.account)
        if self.is_clean:
            self._agreed_at = report.observed_at
        elif is_settled and found:
            await self._look_for_transfers()
        return self.is_clean

    async def last_look(self) -> None:
        """The last reconciliation of a life: again while the venue is silent, a few times while it is at odds.

        A row that it writes late, funding above all, is then in the book that the next start begins with. Whoever asks
        sets the limit of time.
        """
        self._source.hurry()
        tries = 0
        while not await self.reconcile():
            tries += 0 if self.failures else 1
            if tries == LAST_LOOKS:
                return
            await self._clock.sleep(LAST_LOOK_PAUSE_S)

    async def _look_for_transfers(self) -> None:
        """Money may have been moved between our own accounts by another hand: asked for only when it is missing.

        Not while a transfer of ours is open: the row may be its own, and it would be booked as nobody's.
        """
        lives = self._recorder.state.open_orders()
        if any(life.order.operation is OrderOperation.TRANSFER and not life.is_travelling for life in lives):
            return
        try:
            moves = await self._source.fetch_transfers(max(self._agreed_at - OVERLAP_AT_START, EPOCH))
        except VenueUnreachableError as error:
            self._alarm("transfers unanswered", {"account": self.account, "why": str(error)})
            return
        self._handler.process_trades(moves)

    async def check(self) -> bool:
        """One report against the book, without asking for history: True when settled and equal. Raises as the port.

        Without history a difference proves nothing: it may be a row that was not asked for yet. What has accrued is
        asked for all the same, for it is different at every instant.
        """
        if self._source.accrues:
            await self.catch_up()
        before = self._handler.changes(self.account)
        report = await self._source.fetch_report()
        is_settled = self._is_settled(report, before)
        found = self._handler.observe(report, is_settled=False)
        if is_settled and not found:
            self._handler.observe(report, is_settled=True)
        self._answered(report)
        self._checked_at, self.checked = before, report
        is_early = self._handler.is_early(self.account)
        self.is_clean = is_settled and not found and not is_early and not self._handler.has_breaks(self.account)
        return self.is_clean

    def has_moved(self) -> bool:
        """True when something was booked, or an order left, since the last ``check``."""
        return self._has_open_orders() or self._handler.changes(self.account) != self._checked_at

    def _is_settled(self, report: AccountReport, changes_before: int) -> bool:
        """True when the report can be compared: nothing is open, nothing was booked since, and it is not older."""
        is_quiet = not self._has_open_orders() and changes_before == self._handler.changes(self.account)
        return is_quiet and not self._handler.is_outdated(report) and not self._rarely(RarePath.SEEN_MOVING)

    def _has_open_orders(self) -> bool:
        """True while something may move here: not a stop that rests, nor what has left for another venue."""
        lives = self._recorder.state.open_orders()
        return any(life.order.venue == self.account and not (life.rests or life.is_travelling) for life in lives)

    def _answered(self, report: AccountReport) -> None:
        self.last = report
        self._freshness.answered(self.account, self._clock.monotonic_ns())


def market_floor(moment: datetime, step: timedelta) -> datetime:
    """The last multiple of ``step`` since the epoch that is not after ``moment``."""
    return moment - (moment - EPOCH) % step
