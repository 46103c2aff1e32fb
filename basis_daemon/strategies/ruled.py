"""A strategy as an ordered list of rules over a picture; the first that acts wins. Holds no state of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic

from pydantic import TypeAdapter

from basis_daemon.domain.breaks import agreed
from basis_daemon.domain.decision import Assessment, Exposure, InputUsed, ReasonCode, Rejected, RiskView
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.order import Order
from basis_daemon.strategies.orders import Desk, orders_of, targets_of
from basis_daemon.strategies.rules import Act, M, P, Rule, V


@dataclass(frozen=True, slots=True)
class Declared:
    """What a strategy is woken by and what it may hold."""

    instruments: frozenset[PositionKey]
    keys: frozenset[PositionKey]


_TEXTS: dict[type, TypeAdapter[Any]] = {}


def text_of(memory: type[M]) -> TypeAdapter[M]:
    """How a kind of memory is written and read; made once, for making it takes longer than a day of decisions."""
    if memory not in _TEXTS:
        _TEXTS[memory] = TypeAdapter(memory)
    return _TEXTS[memory]


class RuledStrategy(ABC, Generic[P, M, V]):
    """One book. Holds its parameters and what follows from them; everything else is handed in.

    A family adds its picture (``_look``), its numbers (``_inputs``, ``_thresholds``) and its ``fold``.
    """

    def __init__(self, name: str, parameters: P, declared: Declared, rules: Sequence[Rule[V]], memory: type[M]) -> None:
        self._name, self._parameters, self._declared = name, parameters, declared
        self._rules, self._memory, self._text = tuple(rules), memory, text_of(memory)

    @property
    def name(self) -> str:
        """Instance name, unique in the process."""
        return self._name

    @property
    def parameters(self) -> P:
        """As configured and checked."""
        return self._parameters

    @property
    def instruments(self) -> frozenset[PositionKey]:
        """What its decisions are woken by."""
        return self._declared.instruments

    @property
    def declared_keys(self) -> frozenset[PositionKey]:
        """Every position key it may hold."""
        return self._declared.keys

    def dump_memory(self, memory: object) -> str:
        """JSON text of a memory; equal memories give equal text."""
        return self._text.dump_json(self._own(memory)).decode()

    def load_memory(self, text: str) -> object:
        """Inverse of ``dump_memory``; raises ValueError on text that is not one."""
        return self._text.validate_json(text)

    def assess(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> Assessment:
        """The reasons of this decision, HOLD too. Missing or stale inputs hold with STALE."""
        exposure = _closable(exposure, risk)
        view = self._look(timestamp, market, exposure, risk)
        act, rejected = self._decide(view)
        return Assessment(
            time=timestamp,
            strategy=self._name,
            trigger=trigger,
            reason=act.reason,
            note=act.note,
            inputs=self._inputs(view),
            thresholds=self._thresholds(view),
            rejected=rejected,
            targets=targets_of(act.steps, exposure.holdings, market),
            urgency=act.urgency,
            page=act.page,
            weights=act.weights or {},
        )

    def make_strategy_decision(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> list[Order]:
        """Orders of the same decision; empty to hold."""
        del trigger
        exposure = _closable(exposure, risk)
        act, _ = self._decide(self._look(timestamp, market, exposure, risk))
        return orders_of(act.steps, Desk(self._name, act.reason, timestamp, market, exposure, self._leg_budget_s))

    @property
    def _leg_budget_s(self) -> Decimal:
        """Process seconds that a clip may stand unhedged."""
        return Decimal(0)

    def _decide(self, view: V) -> tuple[Act, tuple[Rejected, ...]]:
        rejected: list[Rejected] = []
        for rule in self._rules:
            verdict = rule(view)
            if isinstance(verdict, Act):
                return verdict, tuple(rejected)
            rejected.append(verdict)
        return Act(ReasonCode.HOLD, "no rule asks for anything"), tuple(rejected)

    def _own(self, memory: object) -> M:
        if isinstance(memory, self._memory):
            return memory
        msg = f"memory is a {type(memory).__name__}, expected {self._memory.__name__}"
        raise TypeError(msg)

    @abstractmethod
    def _look(self, timestamp: datetime, market: MarketSnapshot, exposure: Exposure, risk: RiskView) -> V: ...

    @abstractmethod
    def _inputs(self, view: V) -> dict[str, InputUsed]: ...

    @abstractmethod
    def _thresholds(self, view: V) -> Mapping[str, Decimal]: ...


def _closable(exposure: Exposure, risk: RiskView) -> Exposure:
    """As it is; of a book that is flattened what is in no dispute."""
    return agreed(exposure, risk.breaks) if risk.flatten and risk.breaks else exposure
