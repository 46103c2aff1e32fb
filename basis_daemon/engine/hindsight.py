"""The decisions of a journal taken again by the code of today, on what they were taken on then.

Memories are folded anew from what taught them; exposure and liquidation sites are worked out anew from the books and
margins of the sights. Taken from the journal as it stands are the market, the book, the share price, what restricted,
what the risk gate said, and of a memory what a history before the first decision has taught.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum, auto
from types import MappingProxyType

import orjson

from basis_daemon.domain.chain import ChainEvent
from basis_daemon.domain.decision import Assessment, Exposure, RiskView
from basis_daemon.domain.exposure import build_exposure
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.margin import Ladder, liquidation_sites
from basis_daemon.domain.market import Age, BookTick, DecisionIds, MarketSnapshot, MarkTick
from basis_daemon.domain.order import Order
from basis_daemon.domain.position import AccountReport, PositionBook
from basis_daemon.engine.codec import DecisionRow, MemoryRow, load
from basis_daemon.engine.picture import events_of, with_reads
from basis_daemon.engine.sight import HeldRow, SightRow, sight_of
from basis_daemon.engine.strategy_engine import IDLE, PICTURE, STRATEGY_FAULTS
from basis_daemon.ports import RecordKind, StoredRecord, Strategy


@dataclass(frozen=True, slots=True)
class Subject:
    """A strategy as it decides today; ``shocks`` and ``ladder`` make its sites, ``budget_usdt`` its capital."""

    strategy: Strategy
    shocks: Mapping[str, Decimal]
    ladder: Ladder
    budget_usdt: Decimal | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a decision says: its reasons and its orders, or the error that it ended with."""

    assessment: Assessment | None
    orders: tuple[Order, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A memory that is another one than was journalled: after which row, and what it says, then and now."""

    sequence: int
    teacher: str
    then: str
    now: str


@dataclass(frozen=True, slots=True)
class Retaken:
    """One decision: as it stands in the journal, the orders it asked for, and what the same sight gives today."""

    at: StoredRecord
    row: DecisionRow
    orders: tuple[Order, ...]
    now: Answer
    forgotten: Forgotten | None = None


class Blank(Enum):
    """Why a decision cannot be taken again."""

    NO_SIGHT = auto()
    NO_STRATEGY = auto()


class _Restart(Enum):
    """A process ended, and the next one remembers what was journalled."""

    RESTART = auto()


@dataclass(slots=True)
class _Scene:
    """What sights add up to."""

    ids: DecisionIds = field(default_factory=lambda: DecisionIds("", 0, 0))
    instruments: dict[PositionKey, Instrument] = field(default_factory=dict)
    books: dict[PositionKey, BookTick] = field(default_factory=dict)
    marks: dict[PositionKey, MarkTick] = field(default_factory=dict)
    reads: dict[str, ChainEvent] = field(default_factory=dict)
    ages: dict[str, Age] = field(default_factory=dict)
    held: HeldRow = field(default_factory=HeldRow)

    def add(self, sight: SightRow, decision: int) -> None:
        self.ids = DecisionIds(sight.book, sight.epoch, decision)
        self.instruments = {**sight.instruments} or self.instruments
        for key, (at, bids, asks) in sight.books.items():
            self.books[key] = BookTick(key, at, 0, bids, asks)
        self.marks |= {tick.instrument: tick for tick in sight.marks}
        self.reads |= {read.name: read for read in sight.reads}
        self.ages |= {name: Age(*age) for name, age in sight.ages.items()}
        self.held = sight.held or self.held

    def market(self, row: Assessment) -> MarketSnapshot:
        """As a picture shows it, without a memory."""
        market = MarketSnapshot(
            time=row.time,
            ids=self.ids,
            instruments=MappingProxyType(self.instruments),
            books=MappingProxyType(self.books),
            marks=MappingProxyType(self.marks),
            ages=MappingProxyType(self.ages),
            memory=None,
        )
        return with_reads(market, [*self.reads.values()]) if self.reads else market

    def exposure(self, market: MarketSnapshot, sight: SightRow, subject: Subject) -> Exposure:
        """The book in money, by the arithmetic of today."""
        held = self.held
        reports = {
            name: AccountReport(name, market.time, 0, {}, frozenset(), margin) for name, margin in held.margins.items()
        }
        book = PositionBook(0, market.time, held.holdings, held.costs, reports, held.figures, breaks=sight.risk.breaks)
        exposure = build_exposure(book, market, subject.budget_usdt)
        return replace(exposure, undeclared=sight.strange) if sight.strange else exposure


@dataclass(slots=True)
class _Mind:
    """One strategy while its journal goes by; ``kept`` is its memory when it was last journalled, ``text`` that row's.

    ``is_known`` while everything that it has learned went by; ``is_told``: its memory holds the next picture already.
    """

    is_known: bool
    is_told: bool = False
    text: str | None = None
    scene: _Scene | None = None
    subject: Subject | None = None
    memory: object = None
    kept: object = None
    waiting: list[tuple[StoredRecord, MemoryRow] | _Restart] = field(default_factory=list)

    def hear(self, at: StoredRecord, row: MemoryRow) -> None:
        self.text = row.text
        self.waiting.append((at, row))


class Hindsight:
    """Takes rows in order and gives the decisions among them, taken again."""

    def __init__(self, subjects_of: Callable[[str], Mapping[str, Subject]]) -> None:
        """``subjects_of`` makes strategies by name out of the terms that a sight names."""
        self._subjects_of = subjects_of
        self._minds: dict[str, _Mind] = {}
        self._first = 0

    def take(self, rows: Iterable[StoredRecord]) -> Iterable[Retaken | tuple[StoredRecord, Blank]]:
        """One item for each decision. Raises JournalError for a row that is not readable."""
        for row in rows:
            self._first = self._first or row.sequence
            kind, payload = row.record.kind, row.record.payload
            if kind is RecordKind.GENERATION:
                for mind in self._minds.values():
                    mind.waiting.append(_Restart.RESTART)
            elif kind is RecordKind.MEMORY:
                taught = load(MemoryRow, payload)
                self._mind(taught.strategy).hear(row, taught)
            elif kind is RecordKind.SNAPSHOT and row.sequence == self._first:
                for name, text in orjson.loads(payload)["memories"].items():
                    self._mind(name).text = text
            elif kind is RecordKind.DECISION:
                yield self._decide(row, load(DecisionRow, payload), sight_of(payload))

    def _mind(self, name: str) -> _Mind:
        return self._minds.setdefault(name, _Mind(is_known=self._first == 1))

    def _decide(
        self, at: StoredRecord, row: DecisionRow, sight: SightRow | None
    ) -> Retaken | tuple[StoredRecord, Blank]:
        mind = self._mind(row.strategy)
        if sight is None or not (sight.is_whole or mind.scene):
            mind.is_known, mind.scene = False, None
            return at, Blank.NO_SIGHT
        if sight.is_whole or mind.scene is None:
            mind.scene = _Scene()
            _hand_over(mind, self._subjects_of(sight.terms).get(row.strategy), sight.memory)
        mind.scene.add(sight, row.decision)
        if mind.subject is None:
            mind.is_known = False
            return at, Blank.NO_STRATEGY
        return _retaken(at, row, sight, mind.scene, mind, mind.subject)


def _hand_over(mind: _Mind, subject: Subject | None, text: str | None) -> None:
    """Another process, or a snapshot: the strategy may be another one, which reads the memory of the one before.

    Where something went by unseen, it begins with the memory that was decided with.
    """
    was, mind.subject = mind.subject, subject
    if subject is None:
        return
    strategy = subject.strategy
    if not mind.is_known:
        mind.waiting.clear()
        mind.memory = strategy.initial_memory() if text is None else strategy.load_memory(text)
        mind.kept = mind.memory if mind.text is None else strategy.load_memory(mind.text)
        mind.is_known = mind.is_told = True
    elif was is None:
        mind.memory = mind.kept = strategy.initial_memory()
    elif was is not subject:
        mind.memory, mind.kept = (strategy.load_memory(was.strategy.dump_memory(m)) for m in (mind.memory, mind.kept))


def _retaken(
    at: StoredRecord, row: DecisionRow, sight: SightRow, scene: _Scene, mind: _Mind, subject: Subject
) -> Retaken:
    said, strategy = row.assessment, subject.strategy
    market = scene.market(said)
    forgotten: Forgotten | None = None
    try:
        forgotten = _remember(mind, market, strategy)
        exposure = scene.exposure(market, sight, subject)
        picture = replace(market, memory=mind.memory)
        question = (said.time, said.trigger, picture, exposure, _risk(sight, exposure, subject))
        assessment = strategy.assess(*question)
        orders = () if assessment.reason in IDLE else tuple(strategy.make_strategy_decision(*question))
        now = Answer(assessment, orders)
    except STRATEGY_FAULTS as error:
        now = Answer(None, error=f"{type(error).__name__}: {error}")
    return Retaken(at, row, sight.orders, now, forgotten)


def _remember(mind: _Mind, market: MarketSnapshot, strategy: Strategy) -> Forgotten | None:
    """Fold what was heard since the last decision, and then the picture; the first memory that is another one."""
    found: Forgotten | None = None
    last = mind.waiting[-1] if mind.waiting else None
    for item in mind.waiting:
        if isinstance(item, _Restart):
            mind.memory = mind.kept
            continue
        at, row = item
        if row.heard is not None:
            mind.memory = strategy.fold(mind.memory, row.heard)
            found = found or _compare(at, row, strategy.dump_memory(mind.memory))
        elif item is not last or at.record.causation_id != PICTURE:  # of a history, or of a decision never taken
            mind.memory = strategy.load_memory(row.text)
        mind.kept = mind.memory
    mind.waiting.clear()
    for event in () if mind.is_told else events_of(market):
        mind.memory = strategy.fold(mind.memory, event)
    mind.is_told = False
    if last is not None and not isinstance(last, _Restart) and last[0].record.causation_id == PICTURE:
        found = found or _compare(*last, strategy.dump_memory(mind.memory))
        mind.kept = mind.memory
    return found


def _compare(at: StoredRecord, row: MemoryRow, now: str) -> Forgotten | None:
    return None if row.text == now else Forgotten(at.sequence, at.record.causation_id, row.text, now)


def _risk(sight: SightRow, exposure: Exposure, subject: Subject) -> RiskView:
    """What restricted then; where the nearest liquidations are, as they are counted today."""
    margins = exposure.margins
    return replace(sight.risk, sites=liquidation_sites(margins, subject.shocks, subject.ladder) if margins else ())
