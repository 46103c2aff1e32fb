"""Three market days through sandbox, ccxt and daemon, each in its own process: the whole contract of the demo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

pytestmark = [pytest.mark.journey, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], Path]:
    folder = tmp_path_factory.mktemp("demo")
    words = ["demo", "--strategy", "btc_basis", "--seed", "7", "--days", "3", "--json"]
    words += ["--report", str(folder / "report.html"), "--keep", str(folder / "run")]
    run = subprocess.run(
        [sys.executable, "-m", "basis_daemon", *words], capture_output=True, text=True, check=False, timeout=400
    )
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert isinstance(document, dict)
    return document, folder


@pytest.mark.feature("Y07", part="daemon")
def test_the_venue_confirms_every_order_and_every_position(played: tuple[dict[str, object], Path]) -> None:
    said, _ = played
    assert (said["duplicate_orders"], said["in_doubt"], said["breaks"]) == (0, 0, 0)
    assert said["orders_sent"] == said["venue_orders"]
    assert said["positions"] == said["venue_positions"]
    assert Decimal(str(said["unexplained"])) == 0


@pytest.mark.feature("S01", part="demo")
def test_the_book_trades_earns_and_stays_hedged(played: tuple[dict[str, object], Path]) -> None:
    said, _ = played
    assert isinstance(said["trades"], int)
    assert said["trades"] > 0
    assert Decimal(str(said["funding"])) != 0
    assert Decimal(str(said["max_abs_delta_frac"])) <= Decimal("0.03")
    assert Decimal(str(said["equity_start"])) == 100_000


@pytest.mark.feature("P03", part="demo")
def test_the_causes_sum_to_the_change_of_equity_to_the_last_digit(played: tuple[dict[str, object], Path]) -> None:
    said, _ = played
    assert isinstance(said["pnl"], dict)
    change = Decimal(str(said["equity_end"])) - Decimal(str(said["equity_start"]))
    assert sum(Decimal(amount) for amount in said["pnl"].values()) == change


def test_the_report_stands_alone_and_holds_the_trades(played: tuple[dict[str, object], Path]) -> None:
    said, folder = played
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert said["report"] == str(folder / "report.html")
    assert "default-src 'none'" in page
    assert "checks hold" in page


@pytest.mark.feature("S13", part="demo")
def test_the_journal_that_was_kept_answers_why(played: tuple[dict[str, object], Path]) -> None:
    _, folder = played
    journal = str(folder / "run" / "book" / "journal.sqlite")
    words = ["why", "btc_basis", "--journal", journal, "--json"]
    run = subprocess.run(
        [sys.executable, "-m", "basis_daemon", *words], capture_output=True, text=True, check=True, timeout=100
    )
    assert json.loads(run.stdout)["decision"]["inputs"]


@pytest.mark.feature("B05", part="demo")
def test_its_decisions_are_the_same_when_they_are_taken_again(
    played: tuple[dict[str, object], Path], tmp_path: Path
) -> None:
    _, folder = played
    words = ["journal", "replay", str(folder / "run" / "book" / "journal.sqlite"), "--json"]
    for seed in ("1", "2"):
        run = again(words, seed)
        assert run.returncode == 0, run.stdout + run.stderr
        said = json.loads(run.stdout)
        assert (said["result"], said["without_sight"]) == ("identical", 0)
        assert said["decisions"] > 4_000
    configured = (folder / "run" / "daemon.yaml").read_text(encoding="utf-8")
    other = tmp_path / "other.yaml"
    other.write_text(configured.replace("m_star: 0.40 ", "m_star: 0.45 "), encoding="utf-8")
    run = again([*words, "--config", str(other)], "1")
    assert run.returncode == 1, run.stdout + run.stderr
    first = json.loads(run.stdout)["first_divergence"]
    assert first["then"]["reason"] == first["now"]["reason"] == "ENTRY"
    assert first["then"]["orders"] != first["now"]["orders"]
    assert first["why"]["thresholds"]["m_star:binance"] == ["0.40", "0.45"]


def again(words: list[str], seed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "basis_daemon", *words],
        capture_output=True, text=True, check=False, timeout=200, env={**os.environ, "PYTHONHASHSEED": seed},
    )  # fmt: skip
