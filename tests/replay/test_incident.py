"""Incident replay: a journal's decisions taken again, the same from the same code, and named where they differ."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from basis_daemon.cli.incident import show
from basis_daemon.domain.errors import ConfigError, JournalError
from basis_daemon.engine.hindsight import Subject
from basis_daemon.engine.sight import decision_text, sight_of
from basis_daemon.ports import Record, RecordKind, StoredRecord
from basis_daemon.settings import load_settings, strategy_parameters
from basis_daemon.simulation.convention import AtBarOpen
from basis_daemon.simulation.incident import DIVERGED, IDENTICAL, NOTHING, by_terms, replay_incident
from basis_daemon.simulation.replay import CONFIG, Asked
from basis_daemon.strategies.basis import BtcBasis
from basis_daemon.strategies.parameters import BasisParameters
from tests.replay.support import START, D, answered, commanded, one, written

pytestmark = pytest.mark.slow

Json = dict[str, Any]
DAY = ("--from", "2024-03-01", "--to", "2024-03-01")
SQUEEZE = dict.fromkeys(range(10, 20), 73_000) | dict.fromkeys(range(20, 60), 55_000)
"""Closes by hour: a rise that asks for margin, and a fall that leaves too much of it."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Sequence[StoredRecord]:
    directory = tmp_path_factory.mktemp("incident")
    window = written(directory / "window", changes={k: str(v) for k, v in SQUEEZE.items()})
    funding = window / "funding.csv"
    one_of_them = "2024-03-01T16:00:00Z,bybit,BTCUSDT,0.000"
    settled = funding.read_text(encoding="utf-8").replace(f"{one_of_them}4", f"{one_of_them}6")
    funding.write_text(settled, encoding="utf-8")
    config = directory / "replay.yaml"
    config.write_text(CONFIG.read_text(encoding="utf-8") + "\njournal: {snapshot_rows: 100}\n", encoding="utf-8")
    _, played, view = one(Asked("btc_basis", window, start=START, end=START.replace(day=3), config=config))
    assert {reason for _, reason in view.history.reasons} >= {"ENTRY", "LIQ_TOPUP", "MARGIN_EXCESS", "HOLD"}
    return played.rows


def taken(rows: Iterable[StoredRecord], subjects: Callable[[str], Mapping[str, Subject]] | None = None) -> Json:
    return replay_incident(rows, subjects or by_terms(None, "the test")).document()


def whose_default_is(**changes: object) -> Callable[[str], Mapping[str, Subject]]:
    """The strategy of a replay, if one line of the code were another one."""
    parameters = strategy_parameters(load_settings(CONFIG, {}, with_secrets=False).settings, "btc_basis")
    assert isinstance(parameters, BasisParameters)
    strategy = BtcBasis(parameters.model_copy(update=changes), "btc_basis")
    charter = strategy.charter
    subject = Subject(AtBarOpen(strategy), charter.shocks, charter.ladder, None)
    return lambda _terms: {"btc_basis": subject}


def decisions(rows: Iterable[StoredRecord]) -> list[StoredRecord]:
    return [row for row in rows if row.record.kind is RecordKind.DECISION]


def with_payload(row: StoredRecord, payload: str) -> StoredRecord:
    said = row.record
    record = Record(said.kind, said.market_time, said.correlation_id, said.causation_id, payload)
    return StoredRecord(row.sequence, row.generation, row.wall_time, record)


@pytest.mark.feature("B05", part="same")
def test_the_same_code_decides_the_same_word_for_word(rows: Sequence[StoredRecord]) -> None:
    said = taken(rows)
    assert (said["result"], said["differing"], said["without_sight"]) == (IDENTICAL, 0, 0)
    assert said["decisions"] == len(decisions(rows)) > 190
    assert said["decision_stream_sha256"]["now"] == said["decision_stream_sha256"]["journal"]
    assert taken(rows, whose_default_is())["result"] == IDENTICAL


@pytest.mark.feature("B05", part="divergence")
def test_another_threshold_is_named_with_the_first_decision_that_it_turns(rows: Sequence[StoredRecord]) -> None:
    said = taken(rows, whose_default_is(z_topup=D("0.6")))
    first = said["first_divergence"]
    assert said["result"] == DIVERGED
    assert (first["then"]["reason"], first["now"]["reason"]) == ("LIQ_TOPUP", "HOLD")
    assert first["why"]["thresholds"] == {"z_topup": ["1", "0.6"]}
    assert any("transfer" in order for order in first["then"]["orders"])
    assert first["now"]["orders"] == []
    assert said["first_difference"]["decision"] == 1 < first["decision"]
    assert said["turns"]["LIQ_TOPUP -> HOLD"] >= 1


@pytest.mark.feature("B05", part="memory")
def test_what_is_remembered_otherwise_is_named_with_the_event_that_taught_it(rows: Sequence[StoredRecord]) -> None:
    said = taken(rows, whose_default_is(funding_halflife_h=D(24)))
    first = said["first_difference"]
    assert set(first["why"]["inputs"]) == {"f_hat:bybit"}
    assert first["memory"]["teacher"] == "FundingSettled"
    assert all(name.startswith("venues.bybit.averages") for name in first["memory"]["differs"])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Json, str]:
    """What a replay of a day said, and its journal."""
    directory = tmp_path_factory.mktemp("kept")
    window = written(directory / "window", rate="0.0002")
    words = ("--strategy", "btc_basis", "--history", str(window), *DAY, "--keep", str(directory))
    return answered(*words), str(directory / "window" / "journal.sqlite")


@pytest.mark.feature("B05", part="command")
@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_kept_replay_is_decided_again_under_any_hash_seed(kept: tuple[Json, str], seed: str) -> None:
    played, journal = kept
    said = answered(journal, command=("journal", "replay"), hash_seed=seed)
    assert said["result"] == IDENTICAL
    assert set(said["decision_stream_sha256"].values()) == {played["decision_stream_sha256"]}


@pytest.mark.feature("B05", part="config")
def test_another_file_is_another_threshold_and_the_command_says_which(kept: tuple[Json, str], tmp_path: Path) -> None:
    other, words = tmp_path / "other.yaml", "uses_prediction: false"
    text = CONFIG.read_text(encoding="utf-8").replace(words, f"{words}, entry_net_apr: 0.2")
    other.write_text(text, encoding="utf-8")
    run = commanded(kept[1], "--config", str(other), "--json", command=("journal", "replay"))
    assert run.returncode == 1, run.stderr
    said = json.loads(run.stdout)
    first = said["first_divergence"]
    assert (first["then"]["reason"], first["now"]["reason"]) == ("ENTRY", "HOLD")
    assert set(first["why"]["thresholds"]) == {"f_entry:bybit"}
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(show(said))
    shown = console.export_text()
    assert "first other deed: btc_basis:1:1 at 2024-03-01T00:00:00+00:00" in shown
    assert "threshold f_entry:bybit" in shown


def test_a_journal_that_was_cut_anywhere_is_decided_again_as_far_as_it_goes(rows: Sequence[StoredRecord]) -> None:
    for last in (*range(1, 60), len(rows) // 2):
        said = taken(rows[:last])
        there = decisions(rows[:last])
        assert (said["result"], said["decisions"]) == (IDENTICAL if there else NOTHING, len(there))


def test_a_pruned_journal_is_decided_again_from_its_first_snapshot(rows: Sequence[StoredRecord]) -> None:
    snapshots = [place for place, row in enumerate(rows) if row.record.kind is RecordKind.SNAPSHOT]
    assert len(snapshots) > 2
    for at in snapshots[:-1]:
        said = taken(rows[at:])
        assert (said["result"], said["without_sight"]) == (IDENTICAL, 0), said["first_difference"]
        assert said["decisions"] == len(decisions(rows[at:]))


def test_decisions_whose_sight_nobody_kept_are_counted_and_the_next_whole_one_is_begun_with(
    rows: Sequence[StoredRecord],
) -> None:
    blind = {row.sequence for row in decisions(rows)[:3]}
    said = taken(with_payload(r, decision_text(r.record.payload)) if r.sequence in blind else r for r in rows)
    whole = next(at for at, r in enumerate(rows) if r.record.kind is RecordKind.SNAPSHOT and decisions(rows[:at])[3:])
    assert (said["result"], said["without_sight"]) == (IDENTICAL, len(decisions(rows[:whole])))
    assert said["decisions"] == len(decisions(rows[whole:])) > 0


def test_a_strategy_that_the_file_does_not_know_is_left_out_and_no_file_is_asked_for(
    rows: Sequence[StoredRecord],
) -> None:
    said = taken(rows, lambda _terms: {})
    assert (said["result"], said["without_strategy"]) == (NOTHING, len(decisions(rows)))
    with pytest.raises(ConfigError, match="--config"):
        by_terms(None, "the test")("")
    with pytest.raises(JournalError, match="mode"):
        by_terms(None, "the test")("{'book': {'name': 'x'}, 'mode': 'nonsense', 'strategies': {}}")


def test_a_sight_names_no_secret(rows: Sequence[StoredRecord]) -> None:
    sight = sight_of(decisions(rows)[0].record.payload)
    assert sight is not None
    assert sight.is_whole
    assert "key_file" not in sight.terms
