"""Hourly bars tell four prices and not their order: what may wait is asked at bar opens, defence at every point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.decision import Assessment, Exposure, ReasonCode, RiskView
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.order import Order
from basis_daemon.strategies.charter import BookStrategy, Charter

WAITS = frozenset(
    {
        ReasonCode.ENTRY, ReasonCode.SCALE, ReasonCode.ROTATE, ReasonCode.LEG_DRIFT, ReasonCode.LTV_BAND,
        ReasonCode.MARGIN_EXCESS, ReasonCode.CARRY_EXIT, ReasonCode.DUST,
    }
)  # fmt: skip
"""Rules that would trade on a path which was assumed, not recorded."""


class AtBarOpen:
    """A strategy as it is, whose ordinary rules are heard at bar opens only. Honours ``charter.BookStrategy``."""

    def __init__(self, inner: BookStrategy) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def instruments(self) -> frozenset[PositionKey]:
        return self._inner.instruments

    @property
    def declared_keys(self) -> frozenset[PositionKey]:
        return self._inner.declared_keys

    @property
    def decision_interval_s(self) -> Decimal:
        return self._inner.decision_interval_s

    @property
    def charter(self) -> Charter:
        return self._inner.charter

    def initial_memory(self) -> object:
        return self._inner.initial_memory()

    def dump_memory(self, memory: object) -> str:
        return self._inner.dump_memory(memory)

    def load_memory(self, text: str) -> object:
        return self._inner.load_memory(text)

    def fold(self, memory: object, event: object) -> object:
        return self._inner.fold(memory, event)

    def assess(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> Assessment:
        """As the strategy says; between bar opens a wish that may wait is a HOLD that names it."""
        found = self._inner.assess(timestamp, trigger, market, exposure, risk)
        if found.reason not in WAITS or _is_open(timestamp):
            return found
        nothing: Mapping[str, Decimal] = {}
        note = f"{found.reason.value} waits for the next bar: {found.note}"
        return replace(found, reason=ReasonCode.HOLD, note=note, targets=(), urgency=0, page=False, weights=nothing)

    def make_strategy_decision(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> list[Order]:
        """As the strategy says; the engine asks only for what was not held."""
        return self._inner.make_strategy_decision(timestamp, trigger, market, exposure, risk)


def _is_open(timestamp: datetime) -> bool:
    """Within the first minute: where a stream is silent the others' heartbeat comes seconds later."""
    return timestamp.minute == 0
