"""The file's layout, whose book it is, and the connections to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from basis_daemon.domain.errors import ConfigError, IntegrityError, JournalError, ModeMismatchError
from basis_daemon.journal.rows import Head, digest, instant, micros

SCHEMA_VERSION = 2
_APPLICATION_ID = 0x42444A4C  # "BDJL": tells a journal from any other SQLite file

_BUSY_TIMEOUT_S = 5.0

COLUMNS = "sequence, generation, kind, wall_time, market_time, correlation_id, causation_id, payload, chain"
COLUMN_COUNT = 9
READ_COLUMNS = f"{COLUMNS}, digest"
"""``digest`` is of a payload that retention has emptied, and absent from every other row."""

FREQUENT = ("decision", "intent", "order_state", "plan", "trade")
INDEXED = f"kind NOT IN {FREQUENT}"
"""Rows of these kinds are on the way of an order, where a second page per commit costs a twentieth of the sync. Their
newest row is near the end, where a search from behind soon meets it; the rare kinds are found through the index.
"""

_NEWEST_SEAL = f"FROM record WHERE kind = 'pruning' AND {INDEXED} ORDER BY sequence DESC LIMIT 1"
_THROUGH, _DECISIONS_THROUGH = (
    f"coalesce((SELECT json_extract(payload, '$.{field}') {_NEWEST_SEAL}), 0)"
    for field in ("through", "decisions_through")
)
_UNCHANGED = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in COLUMNS.split(", ") if name != "payload")
_MAY_GO = f"OLD.sequence <= {_THROUGH}"
_MAY_EMPTY = (
    f"OLD.kind = 'decision' AND OLD.sequence <= {_DECISIONS_THROUGH} "
    f"AND NEW.payload = '' AND length(NEW.digest) = 32 AND {_UNCHANGED}"
)
_GUARDS = (
    ("header", "UPDATE", ""),
    ("header", "DELETE", ""),
    ("record", "UPDATE", f"WHEN NOT ({_MAY_EMPTY})"),
    ("record", "DELETE", f"WHEN NOT ({_MAY_GO})"),
)

_TABLES = (
    """CREATE TABLE header (
        id INTEGER PRIMARY KEY CHECK (id = 1), schema_version INTEGER NOT NULL, book TEXT NOT NULL, mode TEXT NOT NULL,
        fingerprint TEXT NOT NULL, config_hash TEXT NOT NULL, created INTEGER NOT NULL) STRICT""",
    """CREATE TABLE record (
        sequence INTEGER PRIMARY KEY, generation INTEGER NOT NULL, kind TEXT NOT NULL, wall_time INTEGER NOT NULL,
        market_time INTEGER NOT NULL, correlation_id TEXT NOT NULL, causation_id TEXT NOT NULL, payload TEXT NOT NULL,
        chain BLOB NOT NULL, digest BLOB) STRICT""",
    f"CREATE INDEX record_kind ON record (kind) WHERE {INDEXED}",
    "CREATE INDEX record_life ON record (causation_id) WHERE kind = 'life'",
    *(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} {unless} "
        f"BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
        for table, verb, unless in _GUARDS
    ),
    f"PRAGMA application_id = {_APPLICATION_ID}",
)

_ADVICE: dict[int | None, str] = {
    sqlite3.SQLITE_FULL: "free space on its disk",
    sqlite3.SQLITE_BUSY: "another program holds the file: end it (a sqlite3 shell? a backup tool?)",
    sqlite3.SQLITE_READONLY: "give the daemon's user write permission to the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "check that the file and its directory are there and may be read and written",
    sqlite3.SQLITE_IOERR: "check the disk",
    sqlite3.SQLITE_CORRUPT: "move the file away, restore a backup and let it be reconciled with the venues",
    sqlite3.SQLITE_NOTADB: "this is not a journal: correct the path",
}
_CORRECT = "correct the path of the journal in the configuration"


class Mode(StrEnum):
    """Whose money a book counts."""

    SANDBOX = "sandbox"
    PAPER = "paper"
    TESTNET = "testnet"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose book a journal is, fixed when the file is made. ``fingerprint`` digests the accounts, keys not included."""

    book: str
    mode: Mode
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Run:
    """What opens a journal for writing; kept in the row of the generation."""

    config_hash: str
    code_version: str


@dataclass(frozen=True, slots=True)
class Header:
    """The file's first page: its identity, its schema, and the configuration it was made under."""

    schema_version: int
    identity: Identity
    config_hash: str
    created: datetime

    def genesis(self) -> Head:
        """What the first row continues."""
        return Head(0, digest(self.fields()))

    def fields(self) -> tuple[str | int, ...]:
        """Columns of the table after ``id``."""
        who = self.identity
        mode = who.mode.value
        return self.schema_version, who.book, mode, who.fingerprint, self.config_hash, micros(self.created)


def insertion(rows: int) -> str:
    """The statement that adds so many rows."""
    one = f"({', '.join('?' * COLUMN_COUNT)})"
    return f"INSERT INTO record ({COLUMNS}) VALUES {', '.join([one] * rows)}"  # noqa: S608 - question marks


def explain(path: Path, did: str, error: BaseException) -> str:
    """What failed, why, and what to do."""
    advice = _ADVICE.get(_primary_code(error), "look into the cause")
    return f"journal {path}: {did}: {error}; {advice}, then start again"


def connect(path: Path, *, busy_timeout_s: float, read_only: bool = False) -> sqlite3.Connection:
    """A connection without implicit transactions, free to move between threads; raises sqlite3.Error."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_timeout_s, check_same_thread=False)


def create(connection: sqlite3.Connection, header: Header) -> None:
    """Lays the file out in one transaction; raises sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute("INSERT INTO header VALUES (1, ?, ?, ?, ?, ?, ?)", header.fields())
    connection.execute("COMMIT")


def is_blank(connection: sqlite3.Connection) -> bool:
    """Whether the file holds nothing yet, not even something of somebody else."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(tables == 0)


def load_version(connection: sqlite3.Connection, path: Path) -> int:
    """Raises ConfigError when the file is no journal or of a newer schema, sqlite3.Error when it cannot be read.

    Raises IntegrityError where its header is not there any more.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id != _APPLICATION_ID:
        raise ConfigError(f"{path} is not a journal of basis_daemon (application id {application_id}); {_CORRECT}")
    (schema_version,) = connection.execute("SELECT schema_version FROM header").fetchone() or (None,)
    if not isinstance(schema_version, int):
        raise IntegrityError(f"journal {path}: its header is damaged: schema {schema_version!r}; restore a backup")
    if schema_version > SCHEMA_VERSION:
        raise ConfigError(
            f"journal {path} has schema {schema_version}, this version of basis_daemon knows up to {SCHEMA_VERSION}; "
            "start the version that wrote it, or a newer one"
        )
    return schema_version


def load_header(connection: sqlite3.Connection, path: Path) -> Header:
    """Raises ConfigError when the file is no journal or of another schema, sqlite3.Error when it cannot be read."""
    schema_version = load_version(connection, path)
    if schema_version < SCHEMA_VERSION:
        raise ConfigError(
            f"journal {path} has schema {schema_version}, this version of basis_daemon reads {SCHEMA_VERSION}; "
            "start the daemon once: it makes a backup beside the file and migrates it"
        )
    config_hash, created = connection.execute("SELECT config_hash, created FROM header").fetchone()
    if not isinstance(created, int):
        raise ValueError(f"made at {created!r}")  # noqa: TRY004 - a damaged file, not a bad call
    return Header(schema_version, load_identity(connection), config_hash, instant(created))


def load_identity(connection: sqlite3.Connection) -> Identity:
    """Whose book this is, in every schema."""
    book, mode, fingerprint = connection.execute("SELECT book, mode, fingerprint FROM header").fetchone()
    return Identity(book, Mode(mode), fingerprint)


def load_owner(path: Path) -> tuple[int, Identity]:
    """Schema and book of a file that may be of an older schema.

    Raises ConfigError when it is no journal or of a newer schema, JournalError when it cannot be read, IntegrityError
    when what it says is nothing that was ever written.
    """
    try:
        with closing(connect(path, busy_timeout_s=_BUSY_TIMEOUT_S, read_only=True)) as connection:
            return load_version(connection, path), load_identity(connection)
    except ValueError as error:
        raise IntegrityError(f"journal {path}: its header is damaged: {error}; restore a backup") from error
    except sqlite3.Error as error:
        raise failed(path, "reading whose book it is failed", error) from error


def refuse_stranger(path: Path, found: Identity, wanted: Identity) -> None:
    """Raises ModeMismatchError unless the journal is this configuration's own."""
    for what in ("mode", "book", "fingerprint"):
        theirs, ours = getattr(found, what), getattr(wanted, what)
        if theirs != ours:
            raise ModeMismatchError(
                f"journal {path} belongs to {what} {str(theirs)!r}, the configuration is of {what} {str(ours)!r}; "
                "give this configuration a journal file of its own, or start the one that the file belongs to"
            )


def check_place(path: Path, *, must_exist: bool) -> None:
    """Raises ConfigError when the directory, or the file where it must exist, is missing."""
    if must_exist and not path.is_file():
        raise ConfigError(f"journal {path} does not exist; {_CORRECT}, or start the daemon once to make it")
    if not path.parent.is_dir():
        raise ConfigError(f"directory {path.parent} of journal {path.name} does not exist; make it, or {_CORRECT}")


def failed(path: Path, did: str, error: BaseException) -> JournalError | ConfigError:
    """ConfigError when the file is something else, JournalError for every other cause."""
    stranger = _primary_code(error) == sqlite3.SQLITE_NOTADB
    return (ConfigError if stranger else JournalError)(explain(path, did, error))


def _primary_code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None
