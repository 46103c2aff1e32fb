"""What the control socket asks of a journal must not cost the daemon that trades its memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from basis_daemon.wiring import rows_of
from tests.journal.builders import a_record, open_journal

pytestmark = pytest.mark.slow

ROWS, ROW_BYTES = 20_000, 1_000


def test_the_first_question_after_months_does_not_hold_all_of_them_at_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def months() -> None:
        journal = open_journal(path)
        for _ in range(ROWS // 1_000):
            await journal.append_durable([a_record("x" * ROW_BYTES)] * 1_000)
        await journal.close()

    asyncio.run(months())
    tracemalloc.start()
    try:
        assert sum(1 for _ in rows_of(path, 0)) == ROWS + 1
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < ROWS * ROW_BYTES / 2
