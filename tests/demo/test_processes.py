"""Processes of a demo: started with their log, waited for with a bound, and ended whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.demo.processes import Child, DemoFailedError
from basis_daemon.demo.run import play
from basis_daemon.demo.stage import DemoOptions
from basis_daemon.domain.errors import ConfigError
from basis_daemon.settings import load_settings

pytestmark = pytest.mark.slow

CLOCK = SystemClock()
GENEROUS_S = 60.0


async def test_a_process_that_dies_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    child = await Child.start("daemon", ("run", "--config", "none.yaml"), tmp_path, CLOCK)

    async def never() -> bool:
        return False

    with pytest.raises(DemoFailedError, match=r"daemon ended with exit code 1(.|\n)*none.yaml"):
        await child.until("armed", never, GENEROUS_S)
    assert await child.stop(GENEROUS_S) == 1


async def test_a_process_is_asked_to_end_and_its_exit_code_is_kept(tmp_path: Path) -> None:
    child = await Child.start("sandbox", ("sandbox", "exchange", "--directory", "exchange"), tmp_path, CLOCK)
    ready = tmp_path / "exchange" / "ready.json"

    async def is_ready() -> bool:
        return ready.is_file()

    await child.until("listening", is_ready, GENEROUS_S)
    assert child.exit_code is None
    assert await child.stop(GENEROUS_S) == 0
    assert not ready.exists()


def test_a_few_values_are_written_over_and_comments_stay(tmp_path: Path) -> None:
    file = tmp_path / "daemon.yaml"
    file.write_text(written_over(SANDBOX_CONFIG, {"data_dir": "book", "control.socket": "c.sock"}), encoding="utf-8")
    settings = load_settings(file, {}).settings
    assert (str(settings.data_dir), str(settings.control_socket)) == ("book", "book/c.sock")
    before, after = (path.read_text(encoding="utf-8").count("#") for path in (SANDBOX_CONFIG, file))
    assert before == after


def test_a_key_that_the_configuration_does_not_have_is_named() -> None:
    with pytest.raises(ConfigError, match=r"has no key sandbox\.nothing"):
        written_over(SANDBOX_CONFIG, {"sandbox.nothing": "1"})


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name one with --config"):
        written_over(tmp_path / "none.yaml", {})


class Silent:
    """Looks away."""

    def say(self, what: str) -> None:
        pass

    def see(self, moment: object) -> None:
        pass


async def test_an_unknown_strategy_fails_before_anything_starts(tmp_path: Path) -> None:
    options = DemoOptions(strategies=("eth_moon",), seed=7, days=1, keep=tmp_path / "kept")
    expected = r"'eth_moon' is not in .*sandbox.yaml: it holds btc_basis.*; nor in .*chain.yaml: .*pure_lending"
    with pytest.raises(ConfigError, match=expected):
        await play(options, Silent())
    assert not (tmp_path / "kept").exists()


async def test_a_directory_of_an_earlier_run_is_not_continued(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").touch()
    with pytest.raises(DemoFailedError, match="--keep an empty directory"):
        await play(DemoOptions(strategies=("btc_basis",), seed=7, days=1, keep=tmp_path), Silent())


async def test_recorded_data_that_is_not_there_is_told_in_the_words_of_the_sandbox(tmp_path: Path) -> None:
    options = DemoOptions(
        strategies=("btc_basis",), seed=7, days=None, history=tmp_path / "none", window="w", keep=tmp_path
    )
    with pytest.raises(DemoFailedError, match=r"windows\.json"):
        await play(options, Silent())
