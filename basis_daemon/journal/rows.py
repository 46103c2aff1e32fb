"""Between records and table rows, and the hash chain that binds each row to all rows before it. Pure.

Instants are stored as integer microseconds since 1970 (UTC). The chain value of a row is

    SHA-256(chain value of the row before + MessagePack([sequence, generation, kind, wall_time, market_time,
            correlation_id, causation_id, SHA-256(payload)]))

and the first row continues the digest of the header, so that a row changed, moved, left out or put in anywhere but at
the very end breaks every value after it. What is cut off at the end is found by the watermark; what retention cuts off
at the beginning, or empties down to the digest of its payload, is sealed by a row of kind ``pruning`` beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
from msgspec import Struct

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.ports import Record, RecordKind, StoredRecord

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_encode = msgspec.msgpack.Encoder().encode
_KINDS = {kind.value: kind for kind in RecordKind}

Value = int | str | bytes
"""What stands in a column of a row that was never emptied."""

Row = tuple[int, int, str, int, int, str, str, str, bytes, bytes | None]
"""A row of the table, columns in order: sequence, generation, the entry's six, chain, digest of an emptied payload."""


class Head(Struct, frozen=True):
    """The newest row: its sequence (0 before the first) and its chain value."""

    sequence: int
    chain: bytes


def micros(instant: datetime) -> int:
    """Microseconds since 1970, exact. Raises ValueError for an instant without a time zone."""
    try:
        return (instant - EPOCH) // _MICROSECOND
    except TypeError as error:
        raise ValueError(f"{instant.isoformat()} has no time zone; the journal takes aware instants only") from error


def instant(microseconds: int) -> datetime:
    """Inverse of ``micros``, in UTC."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return EPOCH + timedelta(0, seconds, rest)


@dataclass(frozen=True, slots=True)
class Seal:
    """What retention may take: rows up to ``through``, the last of which had ``chain``, and older decisions' payloads.

    It stands in a row of the chain before the first row goes, so that what is left can be verified at any moment.
    """

    through: int
    chain: bytes
    decisions_through: int

    def payload(self) -> str:
        """JSON text; ``read_seal`` is its inverse."""
        said = {"through": self.through, "chain": self.chain.hex(), "decisions_through": self.decisions_through}
        return msgspec.json.encode(said).decode()

    def may_be_empty(self, row: Row) -> bool:
        """True for a row whose payload may be gone."""
        return row[2] == RecordKind.DECISION and row[0] <= self.decisions_through


def read_seal(payload: str) -> Seal:
    """Raises ValueError for a text that is none."""
    said = msgspec.json.decode(payload)
    try:
        return Seal(int(said["through"]), bytes.fromhex(said["chain"]), int(said["decisions_through"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"a pruning row says {payload[:80]!r}, expected through, chain, decisions_through") from error


NOTHING_SEALED = Seal(0, b"", 0)


def payload_digest(payload: str) -> bytes:
    """What the chain keeps of a payload. Raises UnicodeEncodeError for text that UTF-8 cannot hold."""
    return sha256(payload.encode()).digest()


def link(chain: bytes, fields: tuple[int | str, ...], digest: bytes | None = None) -> bytes:
    """The chain value of the row with these fields, the payload last; ``digest`` stands for a payload that is gone."""
    return _continued(chain, fields[:-1], digest or payload_digest(str(fields[-1])))


def _continued(chain: bytes, said: tuple[int | str, ...], digest: bytes) -> bytes:
    return sha256(chain + _encode((*said, digest))).digest()


def seal(head: Head, generation: int, wall_us: int, records: Iterable[Record], values: list[Value]) -> Head:
    """The head after these records of one wall time; adds their columns to ``values``, one row after the other.

    Payloads that are no text yet are made text here. Raises ValueError where one cannot be.
    """
    sequence, chain = head.sequence, head.chain
    for record in records:
        sequence += 1
        payload, kind, market_us = record.payload, record.kind._value_, micros(record.market_time)
        said = sequence, generation, kind, wall_us, market_us, record.correlation_id, record.causation_id
        chain = _continued(chain, said, payload_digest(payload))
        values += said
        values += payload, chain
    return Head(sequence, chain)


def stored(row: Row) -> StoredRecord:
    """The record as it was appended; raises ValueError for a kind that this code does not know."""
    sequence, generation, kind_name, wall_us, market_us, correlation_id, causation_id, payload, *_ = row
    kind = _KINDS.get(kind_name)
    if kind is None:
        raise ValueError(f"row {sequence} is of kind {kind_name!r}, which this version does not know")
    record = Record(kind, instant(market_us), correlation_id, causation_id, payload)
    return StoredRecord(sequence, generation, instant(wall_us), record)


def follow(head: Head, rows: Iterable[Row], seal: Seal = NOTHING_SEALED) -> Head:
    """The head after ``rows``. Raises IntegrityError at the first row that does not continue the chain."""
    sequence, chain = head.sequence, head.chain
    for row in rows:
        sequence += 1
        if row[0] != sequence:
            raise IntegrityError(f"row {row[0]} found where row {sequence} was expected")
        if row[9] is not None and not seal.may_be_empty(row):
            raise IntegrityError(f"row {sequence} of kind {row[2]} was emptied, and no pruning allowed it")
        chain = link(chain, row[:8], row[9])
        if chain != row[8]:
            raise IntegrityError(f"row {sequence} was changed after it was written: chain {row[8]!r}, not {chain!r}")
        if sequence == seal.through and chain != seal.chain:
            raise IntegrityError(f"row {sequence} is not the one that the pruning sealed")
    return Head(sequence, chain)


def digest(fields: tuple[str | int, ...]) -> bytes:
    """What the first row continues: SHA-256 of the header's fields."""
    return sha256(_encode(fields)).digest()
