"""What we hold: one immutable, versioned book, published whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from basis_daemon.domain.position import AccountReport, PositionBook
from basis_daemon.engine.state import EPOCH, BookState


class PositionMonitor:
    """Holds the current book. Readers keep the snapshot they took; the handler alone replaces it."""

    def __init__(self) -> None:
        self._book = PositionBook(0, EPOCH, {}, {})

    @property
    def book(self) -> PositionBook:
        """The newest book."""
        return self._book

    def update_state(self, state: BookState, reports: Mapping[str, AccountReport]) -> PositionBook:
        """Publish what the state holds now, under the next version."""
        self._book = PositionBook(
            version=self._book.version + 1,
            time=state.market_time,
            holdings=MappingProxyType(state.ledger.holdings()),
            open_notional=MappingProxyType(state.ledger.open_notionals()),
            reports=MappingProxyType({name: _as_it_stands(report, state) for name, report in reports.items()}),
            in_doubt=state.in_doubt(),
            breaks=tuple(state.breaks.values()),
        )
        return self._book


def _as_it_stands(report: AccountReport, state: BookState) -> AccountReport:
    """A lender's figures from before our last transaction there are of another position: nobody knows them now."""
    if report.lending is None or report.observed_at >= state.last_trade_time.get(report.account, EPOCH):
        return report
    return replace(report, lending=None)
