"""Retention: what may go is sealed in a row of the chain first, and then goes in small transactions between others.

Everything since the last few snapshots stays whatever its age, and a cut is made only in front of a snapshot, so that
what is left is a book again. Decisions are the bulk of a journal: of old ones only the digest of the payload stays.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from basis_daemon.journal.reader import JournalReader
from basis_daemon.journal.rows import NOTHING_SEALED, Seal, micros, payload_digest, read_seal
from basis_daemon.journal.schema import INDEXED
from basis_daemon.ports import KillPoint, Probe

ROWS_PER_STEP = 100
"""Looked at in one transaction: about a millisecond, and nobody waits longer for the writer."""

_NEWEST_SEAL = f"SELECT payload FROM record WHERE kind = 'pruning' AND {INDEXED} ORDER BY sequence DESC LIMIT 1"  # noqa: S608 - a constant of the schema
_DELETE = "DELETE FROM record WHERE sequence <= ?"
_FIRST = "SELECT coalesce(min(sequence), 0) FROM record"
_OLD_DECISIONS = (
    "SELECT sequence, payload FROM record WHERE sequence > ? AND sequence <= ? AND kind = 'decision' AND digest IS NULL"
)
_EMPTY = "UPDATE record SET payload = '', digest = ? WHERE sequence = ?"


@dataclass(frozen=True, slots=True)
class Retention:
    """Wall time for which rows, and the payloads of decisions, are kept; and so many snapshots in any case."""

    keep: timedelta
    keep_decisions: timedelta
    snapshots: int

    def seal(self, reader: JournalReader, now: datetime) -> Seal | None:
        """What may go now, or None when that is no more than before. Raises JournalError."""
        was, newest = reader.seal, reader.snapshot_from_end(self.snapshots)
        cut = reader.snapshot_before(micros(now - self.keep), newest)
        thin = max(cut, reader.snapshot_before(micros(now - self.keep_decisions), newest))
        through, decisions_through = max(cut - 1, was.through), max(thin - 1, was.decisions_through)
        if (through, decisions_through) == (was.through, was.decisions_through):
            return None
        chain = reader.chain_of(through) if through > was.through else was.chain
        return Seal(through, chain, decisions_through)


class Pruner:
    """Takes what is sealed, a little at each ``step``. Belongs to the writer's thread and uses its connection."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._done_through = 0
        self.is_busy = True
        """Also at the beginning: the life before may have been ended in the middle of it."""

    def step(self, connection: sqlite3.Connection) -> bool:
        """One small transaction at most; True when it wrote. Raises sqlite3.Error."""
        row = connection.execute(_NEWEST_SEAL).fetchone()
        seal = read_seal(row[0]) if row else NOTHING_SEALED
        (first,) = connection.execute(_FIRST).fetchone()
        if 0 < first <= seal.through:
            self._write(connection, [(_DELETE, (min(first + ROWS_PER_STEP - 1, seal.through),))])
            return True
        after = max(self._done_through, seal.through)
        if after >= seal.decisions_through:
            self.is_busy = False
            return False
        until = min(after + ROWS_PER_STEP, seal.decisions_through)
        old = connection.execute(_OLD_DECISIONS, (after, until)).fetchall()
        if old:
            self._write(connection, [(_EMPTY, (payload_digest(text), sequence)) for sequence, text in old])
        self._done_through = until
        return bool(old)

    def _write(self, connection: sqlite3.Connection, work: list[tuple[str, tuple[bytes | int, ...]]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for statement, values in work:
            connection.execute(statement, values)
        self._probe(KillPoint.DURING_PRUNING)
        connection.execute("COMMIT")
