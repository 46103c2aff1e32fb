"""An incident replayed: every decision of a journal against what the code of today says to the same sight."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.order import Order
from basis_daemon.engine.book_view import plain
from basis_daemon.engine.codec import DecisionRow, dump
from basis_daemon.engine.hindsight import Answer, Blank, Forgotten, Hindsight, Retaken, Subject
from basis_daemon.engine.sight import decision_text, stream_line
from basis_daemon.ports import StoredRecord
from basis_daemon.settings import Settings, read_kept
from basis_daemon.simulation.hold import instance_of
from basis_daemon.simulation.run import as_played

Json = dict[str, Any]
Subjects = Callable[[str], Mapping[str, Subject]]

DEEDS = frozenset({"reason", "urgency", "targets", "weights", "orders", "error"})
"""What a decision does; the rest is what it says about it."""

TOLD_MAX = 10
IDENTICAL, WORDS, DIVERGED, NOTHING = "identical", "same deeds, other words", "diverged", "nothing to take again"


def by_terms(config: Settings | None, where: str) -> Subjects:
    """Strategies as each process of the journal was configured, or all of them as ``config`` says."""
    made: dict[str, Mapping[str, Subject]] = {}

    def subjects(terms: str) -> Mapping[str, Subject]:
        if terms not in made:
            kept = read_kept(terms, where) if terms else None
            made[terms] = _subjects(config or _needed(kept, where), kept)
        return made[terms]

    return subjects


def _needed(kept: Settings | None, where: str) -> Settings:
    if kept is None:
        raise ConfigError(f"{where}: found no configuration in it; name that of its strategies with --config FILE")
    return kept


def _subjects(settings: Settings, kept: Settings | None) -> Mapping[str, Subject]:
    """``kept`` tells whether it was a replay, whose conventions are part of what was decided."""
    found: dict[str, Subject] = {}
    for name, instance in settings.strategies.items():
        strategy = instance_of(settings, name)
        if kept is not None and kept.replay is not None:
            strategy = as_played(strategy, settings.replay or kept.replay)
        charter = strategy.charter
        found[name] = Subject(strategy, charter.shocks, charter.ladder, instance.budget_usdt)
    return found


@dataclass(slots=True)
class Incident:
    """What came of taking every decision again. ``first`` is the first other deed, ``words`` the first other word."""

    decisions: int = 0
    blanks: Counter[Blank] = field(default_factory=Counter)
    started: StoredRecord | None = None
    ended: StoredRecord | None = None
    first: Json | None = None
    words: Json | None = None
    differing: int = 0
    diverging: int = 0
    turns: Counter[str] = field(default_factory=Counter)
    then: Any = field(default_factory=hashlib.sha256)
    now: Any = field(default_factory=hashlib.sha256)
    _forgotten: dict[str, Json] = field(default_factory=dict)

    def see(self, item: Retaken | tuple[StoredRecord, Blank]) -> None:
        """One decision more."""
        if isinstance(item, tuple):
            self.blanks[item[1]] += 1
            return
        self.decisions += 1
        self.started, self.ended = self.started or item.at, item.at
        row, at = item.row, item.at.record
        if item.forgotten is not None:
            self._forgotten.setdefault(row.strategy, _forgotten(item.forgotten))
        then, now = decision_text(at.payload), _words_now(item)
        self.then.update(stream_line(at.market_time, then))
        self.now.update(stream_line(at.market_time, now))
        if (then != now or item.orders != item.now.orders) and (found := differences(item)):
            self._differ(item, found)

    def _differ(self, item: Retaken, found: Json) -> None:
        told = _told(item, found, self._forgotten.get(item.row.strategy))
        self.differing += 1
        self.words = self.words or told
        if found.keys() & DEEDS:
            self.diverging += 1
            self.first = self.first or told
            self.turns[f"{told['then']['reason']} -> {told['now']['reason']}"] += 1

    @property
    def result(self) -> str:
        """In a word."""
        if not self.decisions:
            return NOTHING
        return DIVERGED if self.first else WORDS if self.words else IDENTICAL

    def document(self) -> Json:
        """As JSON."""
        first, last = self.started, self.ended
        return {
            "result": self.result,
            "decisions": self.decisions,
            "from": _place(first) if first else None,
            "to": _place(last) if last else None,
            "without_sight": self.blanks[Blank.NO_SIGHT],
            "without_strategy": self.blanks[Blank.NO_STRATEGY],
            "differing": self.differing,
            "diverging": self.diverging,
            "turns": dict(self.turns.most_common()),
            "first_divergence": self.first,
            "first_difference": self.words,
            "decision_stream_sha256": {"journal": self.then.hexdigest(), "now": self.now.hexdigest()},
        }


def replay_incident(
    rows: Iterable[StoredRecord], subjects: Subjects, on_decision: Callable[[int], None] = lambda _: None
) -> Incident:
    """Takes every decision of these rows again; raises JournalError for a row that is not readable."""
    incident = Incident()
    for item in Hindsight(subjects).take(rows):
        incident.see(item)
        on_decision(item.at.sequence if isinstance(item, Retaken) else item[0].sequence)
    return incident


def _words_now(item: Retaken) -> str:
    row, now = item.row, item.now
    if now.assessment is None:
        return now.error
    ids = tuple(order.order_id for order in now.orders)
    return dump(DecisionRow(row.strategy, row.decision, now.assessment, ids, row.denied))


# --------------------------------------------------------------------------------------------------------- differences
def differences(item: Retaken) -> Json:
    """What is another one now, by name: ``[then, now]``; empty for the same decision."""
    if item.now.assessment is None:
        return {"error": [None, item.now.error]}
    then, now = (orjson.loads(dump(said)) for said in (item.row.assessment, item.now.assessment))
    then["orders"], now["orders"] = ([_order(order) for order in one] for one in (item.orders, item.now.orders))
    return {name: _apart(then[name], now[name]) for name in then if then[name] != now[name]}


def _apart(then: object, now: object) -> Any:  # noqa: ANN401 - a value of JSON may be of any kind
    """``[then, now]``; of two mappings only the names under which they differ."""
    if isinstance(then, dict) and isinstance(now, dict):
        names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        return {name: [then.get(name), now.get(name)] for name in names}
    return [then, now]


def _order(order: Order) -> Json:
    told: Json = orjson.loads(order.model_dump_json(exclude_defaults=True))
    return told


# -------------------------------------------------------------------------------------------------------------- telling
def _place(at: StoredRecord) -> Json:
    return {"sequence": at.sequence, "market_time": at.record.market_time.isoformat(), "plan": at.record.correlation_id}


def _told(item: Retaken, found: Json, forgotten: Json | None) -> Json:
    """A decision that is another one now, and why."""
    row = item.row
    said = row.assessment
    return {
        **_place(item.at),
        "strategy": row.strategy,
        "decision": row.decision,
        "trigger": said.trigger,
        "then": {**_answer(Answer(said, item.orders)), "denied": list(row.denied)},
        "now": _answer(item.now),
        "why": found,
        "memory": forgotten,
    }


def _answer(answer: Answer) -> Json:
    said = answer.assessment
    if said is None:
        return {"reason": "ERROR", "note": answer.error, "urgency": 0, "orders": []}
    return {
        "reason": said.reason.value,
        "note": said.note,
        "urgency": said.urgency,
        "orders": [_brief(order) for order in answer.orders],
    }


def _brief(order: Order) -> str:
    side = f" {order.side.value}" if order.side is not None else ""
    amount = order.amount if isinstance(order.amount, str) else plain(order.amount)
    price = f" at {plain(order.price)}" if order.price is not None else ""
    return f"{order.operation.value}{side} {amount} {order.instrument}{price}"


def _forgotten(found: Forgotten) -> Json:
    """Where a memory parted from what was journalled: the first names that say something else."""
    then, now = (dict(_leaves(orjson.loads(text))) for text in (found.then, found.now))
    other = {name: [then.get(name), now.get(name)] for name in {**then, **now} if then.get(name) != now.get(name)}
    return {"sequence": found.sequence, "teacher": found.teacher, "differs": dict(list(other.items())[:TOLD_MAX])}


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if not items:
        yield name, value
        return
    for key, own in items:
        yield from _leaves(own, f"{name}.{key}" if name else str(key))
