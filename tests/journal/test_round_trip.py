"""Whatever text and time a record holds, the row gives it back, and its chain value depends on all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from basis_daemon.journal.rows import instant, link, micros
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.ports import Record, RecordKind
from tests.journal.builders import open_journal

pytestmark = pytest.mark.slow

ZONES = st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))
INSTANTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001 - hypothesis adds zones
TEXTS = st.text(st.characters(codec="utf-8"))
KINDS = sorted(set(RecordKind) - {RecordKind.PRUNING})  # the journal itself reads that one
RECORDS = st.builds(Record, st.sampled_from(KINDS), INSTANTS, TEXTS, TEXTS, TEXTS)


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    journal = open_journal(path)
    yield journal
    asyncio.run(journal.close())


@given(records=st.lists(RECORDS, min_size=1, max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_come_back_as_they_were(journal: SqliteJournal, records: list[Record]) -> None:
    before = journal.read()[-1].sequence
    asyncio.run(journal.append_durable(records))
    assert [row.record for row in journal.read(before)] == records


@given(records=st.lists(RECORDS, min_size=1, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_whose_text_is_made_later_are_the_same_rows(journal: SqliteJournal, records: list[Record]) -> None:
    before = journal.read()[-1].sequence
    later = [Record(r.kind, r.market_time, r.correlation_id, r.causation_id, partial(str, r.payload)) for r in records]
    asyncio.run(journal.append_durable(later))
    assert [row.record for row in journal.read(before)] == records == later
    assert {hash(record) for record in later} == {hash(record) for record in records}


@given(INSTANTS)
def test_an_instant_keeps_its_microseconds(moment: datetime) -> None:
    assert instant(micros(moment)) == moment


@given(st.tuples(TEXTS, TEXTS, TEXTS), st.tuples(TEXTS, TEXTS, TEXTS))
def test_rows_of_other_content_have_another_chain_value(one: tuple[str, ...], two: tuple[str, ...]) -> None:
    chain = bytes(32)
    assert (link(chain, one) == link(chain, two)) is (one == two)
