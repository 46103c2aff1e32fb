"""What the row that ends a migration says of the file that was migrated."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from basis_daemon.journal.rows import Head


@dataclass(frozen=True, slots=True)
class MigrationNote:
    """From which schema to which, the head of the chain as it was, and the file that keeps it so."""

    was_schema: int
    schema: int
    was_head: Head
    backup: str

    def payload(self) -> str:
        """JSON text; ``of`` is its inverse."""
        said = {
            "was_schema": self.was_schema,
            "schema": self.schema,
            "was_rows": self.was_head.sequence,
            "was_chain": self.was_head.chain.hex(),
            "backup": self.backup,
        }
        return msgspec.json.encode(said).decode()

    @classmethod
    def of(cls, payload: str) -> MigrationNote:
        """Raises ValueError for a text that is none."""
        said = msgspec.json.decode(payload)
        try:
            head = Head(int(said["was_rows"]), bytes.fromhex(said["was_chain"]))
            return cls(int(said["was_schema"]), int(said["schema"]), head, str(said["backup"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"a migration row says {payload[:80]!r}, expected schemas, rows, chain, backup") from error
