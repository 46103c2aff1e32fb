"""A file of an older schema is backed up, rebuilt beside itself and put in its own place whole, or left as it was."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from basis_daemon.domain.errors import ConfigError, IntegrityError, JournalError, ModeMismatchError
from basis_daemon.engine.codec import load
from basis_daemon.engine.state import BookState
from basis_daemon.engine.valuation import ValuationRow
from basis_daemon.journal.files import write_watermark
from basis_daemon.journal.migrations import ROWS_PER_COMMIT, migrate
from basis_daemon.journal.reader import JournalReader
from basis_daemon.journal.rows import Head, micros
from basis_daemon.journal.schema import Mode
from basis_daemon.journal.watermark import load_watermark
from basis_daemon.ports import RecordKind
from tests.journal.builders import IDENTITY, NOON, StandingClock, open_journal

SCHEMA_1 = """
    PRAGMA application_id = 1111771724;
    PRAGMA journal_mode = WAL;
    CREATE TABLE header (
        id INTEGER PRIMARY KEY CHECK (id = 1), schema_version INTEGER NOT NULL, book TEXT NOT NULL, mode TEXT NOT NULL,
        fingerprint TEXT NOT NULL, config_hash TEXT NOT NULL, created INTEGER NOT NULL) STRICT;
    CREATE TABLE record (
        sequence INTEGER PRIMARY KEY, generation INTEGER NOT NULL, kind TEXT NOT NULL, wall_time INTEGER NOT NULL,
        market_time INTEGER NOT NULL, correlation_id TEXT NOT NULL, causation_id TEXT NOT NULL, payload TEXT NOT NULL,
        chain BLOB NOT NULL) STRICT;
    CREATE INDEX record_kind ON record (kind)
        WHERE kind NOT IN ('decision', 'intent', 'order_state', 'plan', 'trade');
    CREATE TRIGGER header_no_update BEFORE UPDATE ON header
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
    CREATE TRIGGER header_no_delete BEFORE DELETE ON header
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
    CREATE TRIGGER record_no_update BEFORE UPDATE ON record
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
    CREATE TRIGGER record_no_delete BEFORE DELETE ON record
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
    INSERT INTO header VALUES (1, 1, 'btc_basis', 'sandbox', 'acc0', 'c0ffee', 1778328000000000);
"""
"""Word for word what the first version laid out."""

SNAPSHOT = json.dumps({"sequence": 3, "ledger": {"balances": [], "totals": [], "seen": ["a", "b"]}})


VALUATION = json.dumps({
    "time": "2026-05-09T12:00:00Z", "equity_usdt": "99.5", "prices": {}, "marks": {"binanceusdm:perp:X": "2"},
    "holdings": {"binance:spot:USDT": "99.5"}, "open_notional": {}, "net_delta": {}, "bases": {}, "posted": [],
    "margins": [], "components": {}, "units": "100", "unit_value": "0.995", "unit_value_high": "1",
})  # fmt: skip
WHOLE_SNAPSHOT = json.dumps({
    "sequence": 3, "market_time": "2026-05-09T12:00:00Z", "ledger": {"balances": [], "totals": [], "seen": ["a"]},
    "orders": [], "plans": [], "memories": {"btc_basis": "{}"}, "decisions": {"btc_basis": 1}, "last_decision": {},
    "breaks": [], "breaks_opened": 0, "foreign_orders": {}, "guard": {"state": "ACTIVE", "why": ""}, "trade_count": 0,
    "last_trade_time": {}, "last_valuation": VALUATION, "openings": {"binance": "2026-05-09T12:00:00Z"},
})  # fmt: skip
"""As the first version wrote them, when one strategy had the whole book."""


def chained(chain: bytes, fields: tuple[int | str, ...]) -> bytes:
    """The chain of schema 1: over the payload itself."""
    return sha256(chain + msgspec.msgpack.encode(fields)).digest()


def of_schema_1(path: Path, rows: int = 10) -> None:
    """A file as the first version left it: a generation, rows, a snapshot at the end, and its watermark."""
    trades = [("trade", f'{{"n":{n}}}') for n in range(rows - 2)]
    written_by_schema_1(path, [("generation", "{}"), *trades, ("snapshot", SNAPSHOT)])


def written_by_schema_1(path: Path, contents: list[tuple[str, str]]) -> None:
    now, rows = micros(NOON), len(contents)
    chain = sha256(msgspec.msgpack.encode((1, "btc_basis", "sandbox", "acc0", "c0ffee", 1778328000000000))).digest()
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.executescript(SCHEMA_1)
        shell.execute("BEGIN")
        for sequence, (kind, payload) in enumerate(contents, 1):
            fields = (sequence, 4, kind, now, now, "intent-1", "cause-1", payload)
            chain = chained(chain, fields)
            shell.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*fields, chain))
        shell.execute("COMMIT")
    write_watermark(path, Head(rows, chain))


def reopened(path: Path) -> tuple[str, ...]:
    journal = open_journal(path)
    asyncio.run(journal.close())
    return journal.notes


@pytest.mark.feature("H06", part="migration")
def test_a_file_of_the_first_schema_is_backed_up_and_migrated_at_the_next_start(path: Path) -> None:
    of_schema_1(path)
    before = path.read_bytes()
    (note,) = reopened(path)
    assert "migrated from schema 1 to 2; journal.db.schema1-10 is the file as it was" in note
    with JournalReader.open(path) as reader:
        reader.verify()
        rows = reader.read()
    assert [row.sequence for row in rows] == list(range(1, 13))
    assert [row.record.kind.value for row in rows[-3:]] == ["snapshot", "migration", "generation"]
    assert rows[-1].generation == 5
    assert rows[4].record.payload == '{"n":3}'
    at = NOON.isoformat()
    assert json.loads(rows[9].record.payload)["ledger"]["seen"] == [["a", at, []], ["b", at, []]]
    backup = path.with_name("journal.db.schema1-10")
    assert load_watermark(backup) is not None
    with closing(sqlite3.connect(backup)) as old, closing(sqlite3.connect(":memory:")) as was:
        was.deserialize(before[:18] + b"\1\1" + before[20:])  # a picture in memory keeps no log
        query = "SELECT * FROM record"
        assert old.execute(query).fetchall() == was.execute(query).fetchall()
    assert reopened(path) == ()


@pytest.mark.feature("H06", part="migration")
def test_a_book_of_the_first_schema_goes_on_with_its_share_price(path: Path) -> None:
    """Whoever upgrades holds positions: the state must be read back, and the drawdown count from the same high."""
    decision = ("decision", '{"strategy":"my_basis"}')
    written_by_schema_1(path, [decision, ("valuation", VALUATION), ("snapshot", WHOLE_SNAPSHOT)])
    reopened(path)
    with JournalReader.open(path) as reader:
        rows = reader.read()
    state = BookState.restore(rows[2].record.payload)
    last = load(ValuationRow, state.last_valuations["my_basis"])
    assert (last.unit_value, last.unit_value_high, last.capital_usdt) == (Decimal("0.995"), Decimal(1), Decimal("99.5"))
    assert last.accounts == ("binance", "binanceusdm")
    assert rows[1].record.correlation_id == "my_basis"  # where a fold of what came after the snapshot looks for it
    assert load(ValuationRow, rows[1].record.payload) == last
    assert state.openings.keys() == {"binance"}


class Died(Exception):  # noqa: N818 - not an error: the process is gone
    """The process ended here."""


@pytest.mark.feature("H06", part="migration")
@pytest.mark.fault("F48")
def test_a_migration_that_died_half_way_is_taken_up_where_it_stood(path: Path) -> None:
    of_schema_1(path, 3 * ROWS_PER_COMMIT)
    seen: list[int] = []

    def dies(sequence: int) -> None:
        seen.append(sequence)
        if len(seen) == 2:
            raise Died

    with pytest.raises(Died):
        migrate(path, IDENTITY, StandingClock(), dies)
    with pytest.raises(ConfigError, match=r"has schema 1, this version .* reads 2"):
        JournalReader.open(path)  # the old file is still the journal
    again: list[int] = []
    migrate(path, IDENTITY, StandingClock(), again.append)
    assert (seen, again) == ([ROWS_PER_COMMIT, 2 * ROWS_PER_COMMIT], [3 * ROWS_PER_COMMIT])
    assert reopened(path) == ()
    assert [file.name for file in path.parent.glob("*.migrating*")] == []


@pytest.mark.feature("H06", part="migration")
@pytest.mark.fault("F48")
def test_a_death_between_the_new_file_and_its_watermark_is_no_damage(path: Path) -> None:
    of_schema_1(path)
    old_mark = load_watermark(path)
    assert old_mark is not None
    migrate(path, IDENTITY, StandingClock())
    write_watermark(path, old_mark)
    with JournalReader.open(path) as reader:
        reader.verify()
    assert reopened(path) == ()


def test_what_a_stranger_left_half_migrated_is_not_taken_up(path: Path) -> None:
    of_schema_1(path, 10)
    other = path.with_name("other.db")
    of_schema_1(other, 30)
    migrate(other, IDENTITY, StandingClock())
    other.rename(path.with_name("journal.db.migrating"))
    migrate(path, IDENTITY, StandingClock())
    with JournalReader.open(path) as reader:
        assert reader.verify().sequence == 11


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE record SET payload = '{}' WHERE sequence = 5", "row 5 of schema 1 does not continue its chain"),
        ("DELETE FROM record WHERE sequence = 5", r"row 6 of schema 1 .*row 5 was expected"),
        ("DELETE FROM record WHERE sequence > 8", r"row 10 was committed and is gone.*ends with row 8"),
    ],
)
def test_a_damaged_file_is_not_migrated(path: Path, statement: str, finding: str) -> None:
    of_schema_1(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("DROP TRIGGER record_no_update")
        shell.execute("DROP TRIGGER record_no_delete")
        shell.execute(statement)
    for _ in range(2):
        with pytest.raises(IntegrityError, match=finding):
            open_journal(path)


def test_a_file_of_another_book_or_one_that_is_open_elsewhere_is_not_touched(path: Path) -> None:
    of_schema_1(path)
    with pytest.raises(ModeMismatchError, match="mode 'sandbox'"):
        open_journal(path, replace(IDENTITY, mode=Mode.LIVE))
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM record").fetchone()
        with pytest.raises(JournalError, match="migrating failed, the old file is as it was"):
            open_journal(path)
    assert reopened(path) != ()


@pytest.mark.feature("H06", part="migration")
def test_a_newer_schema_is_refused_naming_both_numbers(path: Path) -> None:
    of_schema_1(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("DROP TRIGGER header_no_update")
        shell.execute("UPDATE header SET schema_version = 7")
    for attempt in (open_journal, JournalReader.open):
        with pytest.raises(ConfigError, match="has schema 7, this version of basis_daemon knows up to 2"):
            attempt(path)


def test_the_end_of_a_migration_is_told_in_the_journal(path: Path) -> None:
    of_schema_1(path)
    migrate(path, IDENTITY, StandingClock())
    with JournalReader.open(path) as reader:
        row = reader.latest(RecordKind.MIGRATION)
    assert row is not None
    said = json.loads(row.record.payload)
    assert (said["was_schema"], said["schema"], said["was_rows"]) == (1, 2, 10)
    assert said["backup"] == "journal.db.schema1-10"
