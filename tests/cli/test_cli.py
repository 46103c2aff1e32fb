"""One command line: it teaches, answers people and machines, and ends with codes that a script may rely on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner, Result

from basis_daemon import __version__
from basis_daemon.cli import app
from basis_daemon.cli.answers import ExitCode, complain, exit_code_of
from basis_daemon.domain.errors import (
    BasisError,
    ConfigError,
    JournalError,
    ModeMismatchError,
    OutcomeUnknownError,
    PlanRefusedError,
)
from basis_daemon.settings import LiveTradingRefusedError, load_settings
from basis_daemon.telemetry import get_logger
from basis_daemon.wiring_logs import logged
from tests.settings.files import CONFIG, SMALL, edited

Command = TyperCommand | TyperGroup
CANARY = "canary-key-0001"


def run(*words: str, environ: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, words, env=environ)


def written(folder: Path, text: str = SMALL) -> str:
    file = folder / "daemon.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def commands(node: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    assert isinstance(node, Command)
    yield path, node
    group: Any = node  # what it asks for, a context, is private to typer, and no group of ours looks at it
    for name in group.list_commands(None) if isinstance(node, TyperGroup) else ():
        yield from commands(group.get_command(None, name), (*path, name))


EVERY_COMMAND = dict(commands(typer.main.get_command(app)))


@pytest.mark.feature("U01")
@pytest.mark.parametrize("path", EVERY_COMMAND, ids=" ".join)
def test_every_command_explains_itself_and_leaves_with_ok(path: tuple[str, ...]) -> None:
    result = run(*path, "--help")
    assert result.exit_code == ExitCode.OK
    assert (EVERY_COMMAND[path].help or "").split(".")[0].split()[0] in result.stdout


@pytest.mark.feature("U01")
def test_the_root_help_teaches_with_examples_and_lists_the_exit_codes() -> None:
    words = " ".join(run("--help").stdout.split())
    assert "basis-daemon config check --config config/paper.yaml" in words
    assert "0 ok, 1 failed check, 2 usage, 3 refused, 4 unknown outcome, 5 stalled, 130 interrupted" in words


@pytest.mark.feature("U01")
def test_every_command_that_does_something_takes_json() -> None:
    without = [
        path
        for path, command in EVERY_COMMAND.items()
        if not hasattr(command, "commands") and "--json" not in {o for p in command.params for o in p.opts}
    ]
    assert without == []


@pytest.mark.feature("G04", part="sources")
def test_no_option_takes_a_secret() -> None:
    options = {option for command in EVERY_COMMAND.values() for p in command.params for option in p.opts}
    assert not [o for o in options if any(word in o for word in ("key", "secret", "token", "password", "phrase"))]


@pytest.mark.feature("U01")
def test_check_says_that_a_file_is_usable(tmp_path: Path) -> None:
    result = run("config", "check", "--config", written(tmp_path))
    assert result.exit_code == ExitCode.OK
    assert "is usable: mode paper, book carry, hash " in result.stdout
    told = json.loads(run("config", "check", "--json", environ={"BASIS_DAEMON_CONFIG": written(tmp_path)}).stdout)
    assert (told["ok"], told["mode"], told["book"], len(told["config_hash"])) == (True, "paper", "carry", 64)


@pytest.mark.feature("U01")
@pytest.mark.feature("G01")
def test_check_lists_every_fault_in_one_panel_and_as_json(tmp_path: Path) -> None:
    file = written(tmp_path, edited(("price_band_bp: 150", "price_bant_bp: 150"), ("mode: paper", "mode: dry")))
    panel = run("config", "check", "-c", file)
    assert panel.exit_code == ExitCode.FAILED_CHECK
    assert panel.stdout == ""
    for words in ("2 to repair", "risk.price_bant_bp", "did you mean price_band_bp?", "one of sandbox, paper"):
        assert words in " ".join(panel.stderr.replace("│", " ").split())  # a line that is too long goes on below
    assert "Traceback" not in panel.output
    document = run("config", "check", "-c", file, "--json")
    assert document.exit_code == ExitCode.FAILED_CHECK
    error = json.loads(document.stdout)["error"]
    assert (error["kind"], error["exit_code"]) == ("SettingsError", 1)
    assert [told["key"] for told in error["faults"]] == ["mode", "risk.price_bant_bp"]


@pytest.mark.feature("G02")
@pytest.mark.feature("G04", part="redaction")
def test_show_prints_values_with_their_sources_and_no_secret(tmp_path: Path) -> None:
    environ = {f"BASIS_DAEMON__VENUES__BINANCE__{half}": CANARY for half in ("KEY", "SECRET")}
    environ["BASIS_DAEMON__RISK__ORDERS_PER_MINUTE_MAX"] = "40"
    for extra in ([], ["--json"]):
        result = run("config", "show", "-c", written(tmp_path), *extra, environ=environ)
        assert result.exit_code == ExitCode.OK
        assert "env BASIS_DAEMON__RISK__ORDERS_PER_MINUTE_MAX" in result.stdout
        assert CANARY not in result.output
    document = json.loads(result.stdout)
    assert {
        "key": "risk.orders_per_minute_max",
        "value": "40",
        "source": "env BASIS_DAEMON__RISK__ORDERS_PER_MINUTE_MAX",
    } in document["settings"]


@pytest.mark.feature("U01")
@pytest.mark.slow
def test_schema_explains_every_key_and_gives_editors_a_json_schema() -> None:
    assert "a number from 5 to 1000 bp" in run("config", "schema").stdout
    assert json.loads(run("config", "schema", "--json").stdout)["$schema"].endswith("schema")


@pytest.mark.feature("U01")
def test_version_is_told() -> None:
    assert run("version").stdout.startswith(f"basis-daemon {__version__} ")
    assert json.loads(run("version", "--json").stdout)["basis_daemon"] == __version__


@pytest.mark.feature("U01")
@pytest.mark.parametrize(
    "words",
    [
        ("config", "check"),
        ("config", "chekc"),
        ("nonsense",),
        ("sandbox", "exchange", "--port", "99999"),
        ("sandbox", "exchange", "--speed", "0"),
        ("sandbox", "exchange", "--window", "2024-03"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_a_usage_error(words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == ExitCode.USAGE


@pytest.mark.feature("U01")
def test_a_sandbox_that_cannot_start_says_why_without_a_traceback(tmp_path: Path) -> None:
    words = ("sandbox", "exchange", "--directory", str(tmp_path / "x"), "--data", str(tmp_path), "--window", "none")
    result = run(*words)
    assert result.exit_code == ExitCode.FAILED_CHECK
    assert "sandbox exchange: " in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.feature("U01")
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BasisError("x"), 1),
        (ConfigError("x"), 1),
        (JournalError("x"), 1),
        (PlanRefusedError("x"), 3),
        (ModeMismatchError("x"), 3),
        (LiveTradingRefusedError("x"), 3),
        (OutcomeUnknownError("x"), 4),
    ],
)
def test_the_exit_code_tells_a_script_what_to_do_next(error: BasisError, code: int) -> None:
    assert exit_code_of(error) == code
    assert complain(error, as_json=True) == code


@pytest.mark.feature("U01")
def test_an_interruption_has_its_own_code() -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    interrupted = typer.Typer(cls=type(root))

    @interrupted.callback()
    def group() -> None:
        pass

    @interrupted.command()
    def wait() -> None:
        raise KeyboardInterrupt

    assert CliRunner().invoke(interrupted, ["wait"]).exit_code == ExitCode.INTERRUPTED


@pytest.mark.feature("U01")
@pytest.mark.feature("Y01")
@pytest.mark.slow
def test_the_real_command_checks_the_shipped_files() -> None:
    command = [sys.executable, "-m", "basis_daemon", "config", "check", "--json", "--config"]
    paper = subprocess.run([*command, str(CONFIG / "paper.yaml")], capture_output=True, text=True, check=False)
    assert (paper.returncode, json.loads(paper.stdout)["mode"], paper.stderr) == (0, "paper", "")
    live = subprocess.run([*command, str(CONFIG / "live.yaml")], capture_output=True, text=True, check=False)
    assert live.returncode == 1
    assert {told["key"] for told in json.loads(live.stdout)["error"]["faults"]} == {
        "venues.binance.key_file",
        "venues.binance.secret_file",
    }


def test_what_is_logged_leaves_the_answer_on_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with logged(load_settings(CONFIG / "sandbox.yaml", {}).settings):
        get_logger("venue").warning("answer late", symbol="BTCUSDT")
    told = capsys.readouterr()
    assert told.out == ""
    assert json.loads(told.err)["event"] == "answer late"


def test_a_command_that_only_asks_loads_no_client_of_any_venue() -> None:
    """A health check runs every minute for months; ccxt and web3 take a second and a hundred megabytes each."""
    looks = "import basis_daemon.cli, sys; print(sorted({'ccxt', 'web3'} & sys.modules.keys()))"
    said = subprocess.run([sys.executable, "-c", looks], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.strip() == "[]"
