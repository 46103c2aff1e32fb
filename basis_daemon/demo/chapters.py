"""A journal told strategy by strategy: the rows that are one strategy's own, folded by themselves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from basis_daemon.demo.tape import Tape, record
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import opening_id
from basis_daemon.engine.book_view import BookView
from basis_daemon.ports import RecordKind, StoredRecord

_NAMED = frozenset({
    RecordKind.DECISION, RecordKind.MEMORY, RecordKind.PLAN, RecordKind.GROUP, RecordKind.VALUATION, RecordKind.INTENT,
    RecordKind.WITHDRAWAL, RecordKind.RISK,
})  # fmt: skip
_SHARED = frozenset({RecordKind.GENERATION, RecordKind.GUARD, RecordKind.OPERATOR})


@dataclass(frozen=True, slots=True)
class Chapter:
    """One strategy's part of a run: its own book, and its own time series."""

    view: BookView
    tape: Tape


def chapters(view: BookView, rows: Iterable[StoredRecord], strategies: Iterable[str]) -> dict[str, Chapter]:
    """A chapter for each strategy; with one strategy it is the whole journal."""
    rows, names = list(rows), tuple(strategies)
    if len(names) == 1:
        return {names[0]: Chapter(view, record(rows))}
    accounts = {name: frozenset(view.latest_of.get(name, {}).get("accounts", ())) for name in names}
    own = {name: list(rows_of(rows, name, accounts[name])) for name in names}
    return {name: Chapter(BookView().fold(part), record(part)) for name, part in own.items()}


def rows_of(rows: Iterable[StoredRecord], strategy: str, accounts: Collection[str]) -> Iterator[StoredRecord]:
    """What the strategy decided and did, what happened at its accounts, and what concerns everybody."""
    orders: set[str] = set()
    for row in rows:
        kind = row.record.kind
        if kind in _SHARED:
            yield row
        elif kind in _NAMED or kind in _PLACE or kind is RecordKind.ORDER_STATE:
            said = orjson.loads(row.record.payload)
            if kind is RecordKind.INTENT and said["strategy"] == strategy:
                orders.add(said["order_id"])
            is_own = said["strategy"] == strategy if kind in _NAMED else _is_at(kind, said, orders, accounts)
            if is_own:
                yield row


_PLACE: Mapping[RecordKind, Callable[[Mapping[str, Any]], str]] = {
    RecordKind.TRADE: lambda said: str(said["trade"]["account"]),
    RecordKind.CASH_FLOW: lambda said: PositionKey(said["key"]).venue,
    RecordKind.OPENING: lambda said: str(said["event_id"]).removeprefix(opening_id("")),
    RecordKind.BREAK: lambda said: PositionKey(said["found"]["key"]).venue,
    RecordKind.HALT: lambda said: PositionKey(said["instrument"]).venue,
    RecordKind.FOREIGN_ORDER: lambda said: str(said["account"]),
    RecordKind.ASKED: lambda said: str(said["account"]),
}
"""The account at which a row of each kind happened."""


def _is_at(kind: RecordKind, said: Mapping[str, Any], orders: Collection[str], accounts: Collection[str]) -> bool:
    """True for a row of one of these orders, or of one of these accounts."""
    return said["order_id"] in orders if kind is RecordKind.ORDER_STATE else _PLACE[kind](said) in accounts
