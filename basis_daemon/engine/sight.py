"""What a decision was taken on, kept beside it in the journal, so that any decision can be taken again.

A sight tells what differs from that of the strategy's decision before it; the first one of a process, and the first
behind each snapshot, is whole, so that a journal that was cut or pruned still begins with one. Drawing one compares
references; the journal's thread makes text of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from basis_daemon.domain.chain import ChainEvent
from basis_daemon.domain.decision import RiskView
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import Age, BookTick, DecisionIds, Level, MarketSnapshot, MarkTick
from basis_daemon.domain.order import Order
from basis_daemon.domain.position import AccountFigures, MarginReport, PositionBook
from basis_daemon.engine.codec import DecisionRow, dump, load
from basis_daemon.engine.picture import Picture, reads_of
from basis_daemon.ports import RecordKind, StoredRecord

T = TypeVar("T", BookTick, MarkTick)
Json = dict[str, Any]

_FIELD = ',"sight":'
"""Between a decision and its sight. Within a text of JSON a quote is escaped, and no row has a field of this name."""


class Sight(Struct, frozen=True):
    """What is new in a picture; ``book`` is None while it is the one before. ``orders`` are those asked for.

    A whole one names the ``terms`` of the process, its configuration as text, and the memory that was decided with.
    """

    is_whole: bool
    terms: str
    memory: Callable[[], str] | None
    ids: DecisionIds
    instruments: Mapping[PositionKey, Instrument]
    books: Sequence[BookTick]
    marks: Sequence[MarkTick]
    reads: Sequence[ChainEvent]
    ages: Mapping[str, Age]
    book: PositionBook | None
    strange: Mapping[PositionKey, Decimal]
    risk: RiskView
    orders: Sequence[Order] = ()


class Sketcher:
    """Draws one strategy's sights; remembers the picture that it drew last."""

    def __init__(self, terms: str, text_of: Callable[[object], str]) -> None:
        """``text_of`` makes text of a memory."""
        self._terms = terms
        self._text_of = text_of
        self._last: Picture | None = None
        self._instruments: Mapping[PositionKey, Instrument] = {}
        self._snapshots = -1

    def draw(self, picture: Picture, orders: Sequence[Order], snapshots: int) -> Sight:
        """What differs from the picture before; all of it behind a snapshot, or when something is missing from it."""
        market, last = picture.market, self._last
        is_new = last is None or snapshots != self._snapshots or not _goes_on(market, last.market)
        was = last.market if last is not None and not is_new else None
        instruments: Mapping[PositionKey, Instrument] = {}
        if is_new or self._instruments != market.instruments:
            instruments = self._instruments = dict(market.instruments)  # the state's own changes
        is_same_book = not is_new and last is not None and last.book is picture.book
        self._last, self._snapshots = picture, snapshots
        return Sight(
            is_whole=is_new,
            terms=self._terms if is_new else "",
            memory=partial(self._text_of, market.memory) if is_new else None,
            ids=market.ids,
            instruments=instruments,
            books=_news(market.books, was.books if was else {}),
            marks=_news(market.marks, was.marks if was else {}),
            reads=_unread(market, was),
            ages=_other(market.ages, was.ages if was else {}),
            book=None if is_same_book else picture.book,
            strange=picture.exposure.undeclared,
            risk=picture.risk,
            orders=orders,
        )


def _goes_on(now: MarketSnapshot, was: MarketSnapshot) -> bool:
    """True when nothing that was seen before is missing now."""
    return (
        was.books.keys() <= now.books.keys()
        and was.marks.keys() <= now.marks.keys()
        and was.ages.keys() <= now.ages.keys()
        and {read.name for read in reads_of(was)} <= {read.name for read in reads_of(now)}
    )


def _news(now: Mapping[PositionKey, T], was: Mapping[PositionKey, T]) -> Sequence[T]:
    return [tick for key, tick in now.items() if was.get(key) is not tick]


def _unread(now: MarketSnapshot, was: MarketSnapshot | None) -> Sequence[ChainEvent]:
    known = {read.name: read for read in reads_of(was)} if was is not None else {}
    return [read for read in reads_of(now) if known.get(read.name) is not read]


def _other(now: Mapping[str, Age], was: Mapping[str, Age]) -> Mapping[str, Age]:
    return {name: age for name, age in now.items() if was.get(name) != age}


# ------------------------------------------------------------------------------------------------------------ as text
def decided(row: DecisionRow, sight: Sight) -> Callable[[], str]:
    """The text of a decision with what it was taken on, made where it is asked for."""
    return partial(_decided, row, sight)


def stream_digest(rows: Iterable[StoredRecord]) -> str:
    """SHA-256 over every decision in order: its market time and all that it says, not what it saw."""
    found = hashlib.sha256()
    for row in rows:
        if row.record.kind is RecordKind.DECISION:
            found.update(stream_line(row.record.market_time, decision_text(row.record.payload)))
    return found.hexdigest()


def stream_line(market_time: datetime, words: str) -> bytes:
    """What one decision adds to the digest."""
    return f"{market_time.isoformat()}\n{words}\n".encode()


def decision_text(payload: str) -> str:
    """A decision's own words: the payload of its row without the sight."""
    words, between, _ = payload.partition(_FIELD)
    return f"{words}}}" if between else payload


def _decided(row: DecisionRow, sight: Sight) -> str:
    return f"{dump(row)[:-1]}{_FIELD}{_encode(_said(sight)).decode()}}}"


def _said(sight: Sight) -> Json:
    """Plain values; what is empty is left out."""
    said: Json = {
        "is_whole": sight.is_whole,
        "terms": sight.terms,
        "memory": sight.memory() if sight.memory is not None else None,
        "book": sight.ids.book,
        "epoch": sight.ids.epoch,
        "instruments": sight.instruments,
        "books": {tick.instrument: (tick.venue_time, tuple(tick.bids), tuple(tick.asks)) for tick in sight.books},
        "marks": sight.marks,
        "reads": sight.reads,
        "ages": {name: (age.venue_lag_s, age.arrival_age_s, age.is_stale) for name, age in sight.ages.items()},
        "held": _held(sight.book) if sight.book is not None else None,
        "strange": sight.strange,
        "risk": _risk(sight.risk),
        "orders": [msgspec.Raw(order.model_dump_json().encode()) for order in sight.orders],
    }
    return {name: value for name, value in said.items() if value}


def _held(book: PositionBook) -> Json:
    return {
        "holdings": book.holdings,
        "costs": book.open_notional,
        "margins": {name: said.margin for name, said in book.reports.items() if said.margin is not None},
        "figures": book.figures,
    }


def _risk(risk: RiskView) -> Json:
    """Everything but the sites, which follow from the margins; what restricts nothing is left out."""
    said = {name: getattr(risk, name) for name in _RISK}
    always: Json = {"sites": (), "unit_value": risk.unit_value, "unit_value_high": risk.unit_value_high}
    return always | {name: found for name, found in said.items() if found}


def _plain(value: object) -> object:
    """What the encoder does not know by itself."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} in a sight, expected values of the domain")


_encode = msgspec.json.Encoder(enc_hook=_plain, order="deterministic").encode
_RISK = tuple(name for name in RiskView.__dataclass_fields__ if name != "sites")


@dataclass(frozen=True, slots=True)
class HeldRow:
    """A book in a sight; ``margins`` are the venues' own words."""

    holdings: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    costs: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    margins: Mapping[str, MarginReport] = field(default_factory=dict)
    figures: Mapping[str, AccountFigures] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SightRow:
    """A sight as it is read back."""

    book: str
    epoch: int
    risk: RiskView
    is_whole: bool = False
    terms: str = ""
    memory: str | None = None
    instruments: Mapping[PositionKey, Instrument] = field(default_factory=dict)
    books: Mapping[PositionKey, tuple[datetime, tuple[Level, ...], tuple[Level, ...]]] = field(default_factory=dict)
    marks: tuple[MarkTick, ...] = ()
    reads: tuple[ChainEvent, ...] = ()
    ages: Mapping[str, tuple[Decimal, Decimal, bool]] = field(default_factory=dict)
    held: HeldRow | None = None
    strange: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    orders: tuple[Order, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sighted:
    """The part of a decision's row that holds its sight; rows from before there were any have none."""

    sight: SightRow | None = None


def sight_of(payload: str) -> SightRow | None:
    """What the decision of this row was taken on; None for one that nobody kept. Raises JournalError."""
    return load(_Sighted, payload).sight if _FIELD in payload else None
