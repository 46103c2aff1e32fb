"""The whole stack on a chain in virtual time: web3 and aiohttp as they come, nodes of an oracle, and no socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def drilled(hash_seed: str) -> dict[str, object]:
    done = subprocess.run(
        (sys.executable, "-m", "basis_daemon", "simulate", "--tier", "full-stack", "--profile", "chain", "--seed", "3",
         "--seeds", "2", "--chaos-s", "30", "--jobs", "1", "--as-is", "--json"),
        env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, check=True, timeout=240,
    )  # fmt: skip
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.feature("Q03", part="chain")
def test_the_chain_client_survives_network_nodes_and_chain_and_does_so_alike_in_every_process() -> None:
    found = drilled("0")
    assert (found["violations"], found["failures"]) == (0, [])
    assert int(str(found["orders"])) > 3
    assert int(str(found["fills"])) > 1
    assert len(found["faults"]) >= 5  # type: ignore[arg-type]  # an object of counts
    assert drilled("1")["trace"] == found["trace"]
