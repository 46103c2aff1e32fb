"""The adapter in front of a running sandbox exchange."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.venues.rig import Rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """Nothing started yet."""
    async with Rig(tmp_path) as one:
        yield one


@pytest.fixture
async def listening(rig: Rig) -> Rig:
    """Streams up."""
    return await rig.listen()
