"""Pictures for the books of the chain: cash before its entry, the book after it, and a chain unread.

The question is asked of a book that has lived: its memory was folded from the readings before.
"""

from __future__ import annotations

from collections.abc import Callable

from basis_daemon.ports import Strategy
from tests.quality_gates.pictures import Picture, Question
from tests.strategies.chain_scenes import Run


def chain_pictures(cash: Callable[[], Run], entered: Callable[[], Run]) -> Callable[[Strategy], list[Picture]]:
    """``cash`` is a book that would enter, ``entered`` one that holds."""

    def pictures(strategy: Strategy) -> list[Picture]:
        before, after, unread = _read(cash()), _read(entered()), _read(cash())
        unread.stale = frozenset(before.market.ages)
        return [
            Picture("enter", _question(strategy, before), has_orders=True),
            Picture("hold", _question(strategy, after), has_orders=False),
            Picture("stale", _question(strategy, unread), has_orders=False),
        ]

    return pictures


def _read(run: Run) -> Run:
    run.remember()
    return run


def _question(strategy: Strategy, run: Run) -> Question:
    assert run.strategy.name == strategy.name, "a picture of another strategy"
    market = run.market
    return market.time, "market", market, run.exposure, run.risk
