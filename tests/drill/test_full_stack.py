"""The whole stack in virtual time: ccxt and aiohttp as they come, the sandbox exchange, and no socket between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from basis_daemon.rare_paths import RarePath

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def drilled(hash_seed: str) -> dict[str, object]:
    done = subprocess.run(
        (sys.executable, "-m", "basis_daemon", "simulate", "--tier", "full-stack", "--profile", "pair", "--seeds", "3",
         "--chaos-s", "15", "--jobs", "1", "--json"),
        env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, check=True, timeout=240,
    )  # fmt: skip
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.feature("B04", part="fullstack")
def test_the_exchange_client_survives_network_and_exchange_and_does_so_alike_in_every_process() -> None:
    found = drilled("0")
    assert (found["violations"], found["failures"]) == (0, [])
    assert int(str(found["orders"])) > 10
    assert int(str(found["fills"])) > 10
    assert len(found["faults"]) >= 3  # type: ignore[arg-type]  # an object of counts
    assert found["rare_paths"][RarePath.PAGE_ENDS_EARLY] > 0  # type: ignore[index]  # the same
    assert drilled("1")["trace"] == found["trace"]
