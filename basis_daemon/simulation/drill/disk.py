"""The journal on a disk that may fail and lose what was not flushed; whoever was killed writes no more."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from basis_daemon.domain.errors import JournalError
from basis_daemon.engine.codec import LoadedOnce
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import Clock, Record, RecordKind, StoredRecord
from basis_daemon.simulation.drill.chance import Chance, Fault

FLUSH_S = 0.0004
SLOW_S = (0.01, 1.5)
"""What a flush takes where the disk has other work; nothing is acknowledged before."""


class KilledError(BaseException):
    """The process of this life is dead: whatever of it still runs ends at the next thing that it does outside."""


class DrillDisk:
    """Honours ``ports.Journal`` for one life.

    ``durable_intents`` are what no crash can take back: ids of orders, hashes of transactions, and transfers;
    ``inherited`` are those of earlier lives. What looks at its rows more than once reads them by ``loaded``; a daemon
    that starts over them does not.
    """

    def __init__(
        self,
        clock: Clock,
        chance: Chance,
        durable_intents: set[str],
        rows: Sequence[StoredRecord] = (),
        loaded: LoadedOnce | None = None,
    ) -> None:
        self._clock, self._chance, self.loaded = clock, chance, loaded or LoadedOnce()
        self._inner = MemoryJournal(clock, rows)
        self._durable = len(self._inner)
        self.is_dead = False
        self._is_poisoned = False
        self.durable_intents = durable_intents
        self.inherited = frozenset(durable_intents)

    @property
    def generation(self) -> int:
        return self._inner.generation

    @property
    def is_sound(self) -> bool:
        """True while it takes rows: what its daemon has in memory stands in it, flushed or not."""
        return not self.is_dead and not self._is_poisoned

    def append(self, record: Record) -> None:
        self._check()
        self._inner.append(record)

    async def append_durable(self, records: Sequence[Record]) -> None:
        self._check()
        for record in records:
            self._inner.append(record)
        await self.flush()

    async def flush(self) -> None:
        self._check()
        until = len(self._inner)
        is_slow = self._chance.strikes(Fault.DISK_SLOW)
        await self._clock.sleep(self._chance.between(*SLOW_S) if is_slow else FLUSH_S)
        self._check()
        if self._chance.strikes(Fault.DISK_FAILS):
            self._is_poisoned = True
            raise JournalError("the disk of the drill is full: nothing more is written, start again with room")
        self._keep(until)

    def read(self, after: int = 0, kinds: frozenset[RecordKind] | None = None) -> Sequence[StoredRecord]:
        return self._inner.read(after, kinds)

    def latest(self, kind: RecordKind) -> StoredRecord | None:
        return self._inner.latest(kind)

    def life(self, order_id: str) -> StoredRecord | None:
        return self._inner.life(order_id)

    def after_crash(self) -> DrillDisk:
        """A new life over what was flushed, and over as much of the rest as the kernel happened to have written."""
        rows = self._inner.read()
        kept = self._durable + self._chance.below(len(rows) - self._durable + 1)
        for row in rows[self._durable : kept]:
            self._note(row)
        return DrillDisk(self._clock, self._chance, self.durable_intents, rows[:kept], self.loaded)

    def _keep(self, until: int) -> None:
        """Everything up to there is safe."""
        for row in self._inner.read(self._durable):
            if row.sequence <= until:
                self._note(row)
        self._durable = max(self._durable, until)

    def _note(self, row: StoredRecord) -> None:
        if row.record.kind is RecordKind.INTENT:
            self.durable_intents.add(_NAMES.decode(row.record.payload).order_id)
        elif row.record.kind is RecordKind.TRANSFER:
            self.durable_intents.add(transfer_name(_NAMES.decode(row.record.payload).order_id))
        elif row.record.kind is RecordKind.TRANSACTION:
            self.durable_intents.add(_HASHES.decode(row.record.payload).hash)

    def _check(self) -> None:
        if self.is_dead:
            raise KilledError
        if self._is_poisoned:
            raise JournalError("the disk of the drill has failed before: nothing more is written")


def transfer_name(order_id: str) -> str:
    """What stands among the durable intents once the first step of this transfer is on disk."""
    return f"transfer of {order_id}"


class _Named(msgspec.Struct):
    order_id: str


_NAMES: msgspec.json.Decoder[_Named] = msgspec.json.Decoder(_Named)


class _Hashed(msgspec.Struct):
    hash: str = ""


_HASHES: msgspec.json.Decoder[_Hashed] = msgspec.json.Decoder(_Hashed)
