"""Pictures for the books that listen to a model: a sure word, the position after it, and a market gone quiet."""

from __future__ import annotations

from collections.abc import Callable

from basis_daemon.domain.prediction import Signal
from basis_daemon.ports import Strategy
from tests.quality_gates.pictures import Picture, Question
from tests.strategies.ml_scenes import MlRun, long


def directional_pictures(flat: Callable[[], MlRun]) -> Callable[[Strategy], list[Picture]]:
    """``flat`` is a book without a position that has heard nothing."""

    def pictures(strategy: Strategy) -> list[Picture]:
        told, held, quiet = flat().said(Signal.LONG), long(flat()), flat().said(Signal.LONG)
        quiet.stale = frozenset(quiet.market.ages)
        return [
            Picture("enter", _question(strategy, told), has_orders=True),
            Picture("hold", _question(strategy, held), has_orders=False),
            Picture("stale", _question(strategy, quiet), has_orders=False),
        ]

    return pictures


def _question(strategy: Strategy, run: MlRun) -> Question:
    assert run.strategy.name == strategy.name, "a picture of another strategy"
    return run.time, "market", run.market, run.exposure, run.risk
