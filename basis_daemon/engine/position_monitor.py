"""What we hold: one immutable, versioned book, published whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from basis_daemon.domain.position import AccountFigures, AccountReport, PositionBook
from basis_daemon.engine.state import EPOCH, BookState


class PositionMonitor:
    """Holds the current book. Readers keep the snapshot they took; the handler alone replaces it."""

    def __init__(self) -> None:
        self._book = PositionBook(0, EPOCH, {}, {})
        self._followers: list[Callable[[PositionBook], None]] = []
        self._of: tuple[object, object] = (None, None)

    @property
    def book(self) -> PositionBook:
        """The newest book."""
        return self._book

    def follow(self, on_book: Callable[[PositionBook], None]) -> None:
        """Show it the book now and each newer one when it is published, which is not on the way of an order."""
        self._followers.append(on_book)
        on_book(self._book)

    def update_state(
        self, state: BookState, reports: Mapping[str, AccountReport], figures: Mapping[str, AccountFigures]
    ) -> PositionBook:
        """Publish what the state holds now, under the next version."""
        last, held, costs = self._book, state.ledger.holdings(), state.ledger.open_notionals()
        of, self._of = self._of, (held, costs)
        self._book = PositionBook(
            version=last.version + 1,
            time=state.market_time,
            holdings=last.holdings if held is of[0] else MappingProxyType(held),
            open_notional=last.open_notional if costs is of[1] else MappingProxyType(costs),
            reports=MappingProxyType(dict(reports)),
            figures=MappingProxyType(
                {name: _as_it_stands(told, reports.get(name), state) for name, told in figures.items()}
            ),
            in_doubt=state.in_doubt(),
            breaks=tuple(state.breaks.values()),
        )
        for on_book in self._followers:
            on_book(self._book)
        return self._book


def _as_it_stands(told: AccountFigures, report: AccountReport | None, state: BookState) -> AccountFigures:
    """A lender's figures from before our last transaction there are of another position: nobody knows them now.

    Nor are they known before the account was compared with the book after it: what had accrued until then is not booked
    yet, so that the two would speak of different loans.
    """
    since = state.last_trade_time.get(told.account, EPOCH)
    is_of_now = report is not None and report.observed_at >= since and told.observed_at >= since
    return told if told.lending is None or is_of_now else replace(told, lending=None)
