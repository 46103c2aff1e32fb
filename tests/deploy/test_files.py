"""The deployments against each other and against the settings: what one file promises, the other keeps."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from basis_daemon.cli.health import PROGRESS_MAX_S
from basis_daemon.settings import Settings, load_settings
from basis_daemon.supervisor import CLOSE_S
from tests.source_tree import ROOT

LIVE = ROOT / "config" / "live.yaml"
UNIT, COMPOSE, DOCKERFILE = (
    ROOT / "deploy" / "basis-daemon.service",
    ROOT / "deploy" / "compose.yaml",
    ROOT / "Dockerfile",
)
SECRETS = {"binance_key", "binance_secret"}
EXPOSURE_MAX = 20
"""Tenths, as systemd-analyze counts: 100 is everything open."""


def live() -> Settings:
    return load_settings(LIVE, {}, with_secrets=False).settings


class Unit(dict[str, list[str]]):
    """Every assignment of the [Service] section, in order; a key may stand several times."""

    def __init__(self, text: str) -> None:
        super().__init__()
        section = ""
        for line in text.splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif section == "Service" and "=" in line and not line.startswith("#"):
                key, _, value = line.partition("=")
                self.setdefault(key, []).append(value)

    def one(self, key: str) -> str:
        (value,) = self[key]
        return value


@pytest.fixture
def unit() -> Unit:
    return Unit(UNIT.read_text(encoding="utf-8"))


@pytest.fixture
def daemon() -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["daemon"]
    return service


def instructions() -> Iterator[tuple[str, str]]:
    """(instruction, rest) of every line of the Dockerfile, continuations joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8")))
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.partition(" ")
        yield word, rest.strip()


def of_last_stage() -> list[tuple[str, str]]:
    found = list(instructions())
    return found[max(number for number, (word, _) in enumerate(found) if word == "FROM") :]


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


# ------------------------------------------------------------------------------------------------------------ the unit
@pytest.mark.feature("E03")
def test_the_unit_gives_the_drain_its_time_and_the_loop_its_rounds(unit: Unit) -> None:
    settings = live()
    assert unit.one("Type") == "notify"
    assert int(unit.one("TimeoutStopSec")) > settings.shutdown.drain_s + int(2 * CLOSE_S)
    assert int(unit.one("WatchdogSec")) == PROGRESS_MAX_S > 3 * settings.reconcile.interval_s
    assert unit.one("Restart") == "on-failure"
    assert unit.one("RestartPreventExitStatus") == "2 3"


@pytest.mark.feature("E03")
def test_the_unit_hands_over_the_secrets_that_the_file_names(unit: Unit) -> None:
    venue = live().venues["binance"]
    assert {line.partition(":")[0] for line in unit["LoadCredential"]} == {venue.key_file, venue.secret_file} == SECRETS


@pytest.mark.feature("E03")
def test_the_unit_keeps_the_book_where_the_file_says_and_starts_disarmed(unit: Unit) -> None:
    assert Path("/var/lib") / unit.one("StateDirectory") == live().data_dir
    assert unit.one("ExecStart").endswith("run --config /etc/basis-daemon/live.yaml $ARM")
    assert unit.one("Environment") == "ARM="


@pytest.mark.feature("E03")
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
def test_systemd_finds_nothing_wrong_and_little_exposed(tmp_path: Path) -> None:
    daemon = shutil.which("true")
    text = UNIT.read_text(encoding="utf-8").replace("/opt/basis-daemon/bin/basis-daemon", str(daemon))
    file = tmp_path / UNIT.name
    file.write_text(re.sub(r"(?m)^Documentation=.*\n", "", text), encoding="utf-8")
    verify = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    assert (verify.returncode, verify.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", str(file)]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout[-500:] + judged.stderr


# --------------------------------------------------------------------------------------------------------- the compose
@pytest.mark.feature("E02")
def test_the_container_has_limits_secrets_and_no_rights(daemon: dict[str, Any]) -> None:
    whole = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    assert daemon["read_only"]
    assert daemon["init"]
    assert daemon["cap_drop"] == ["ALL"]
    assert "cap_add" not in daemon
    assert not daemon.get("privileged", False)
    assert daemon["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "cpus", "pids_limit", "logging"} <= set(daemon)
    assert set(daemon["secrets"]) == set(whole["secrets"]) == SECRETS
    assert all(set(secret) == {"file"} for secret in whole["secrets"].values())
    assert "environment" not in daemon  # where a secret would be readable to whoever lists containers


@pytest.mark.feature("E02")
def test_what_is_published_is_published_on_loopback(daemon: dict[str, Any]) -> None:
    assert [port for port in daemon.get("ports", []) if not str(port).startswith("127.0.0.1:")] == []
    assert daemon.get("network_mode") != "host"


@pytest.mark.feature("E02")
def test_the_container_writes_to_its_volume_alone_and_drains_in_time(daemon: dict[str, Any]) -> None:
    settings = live()
    writable = [volume.split(":")[1] for volume in daemon["volumes"] if not volume.endswith(":ro")]
    assert writable == [str(settings.data_dir)]
    assert all("noexec" in place for place in daemon["tmpfs"])
    assert seconds(daemon["stop_grace_period"]) > settings.shutdown.drain_s + int(2 * CLOSE_S)
    assert "--arm" not in daemon["command"]


# ----------------------------------------------------------------------------------------------------------- the image
@pytest.mark.feature("E01")
def test_the_image_is_built_in_two_stages_from_one_exact_base() -> None:
    (base,) = [rest for word, rest in instructions() if word == "ARG"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", base)
    assert [rest.split()[0] for word, rest in instructions() if word == "FROM"] == ["${PYTHON_IMAGE}"] * 2


@pytest.mark.feature("E01")
def test_the_image_installs_nothing_that_is_not_hashed_in_the_lock() -> None:
    installs = [rest for word, rest in instructions() if word == "RUN" and "install" in rest and "pip" in rest]
    (install,) = installs
    assert "--require-hashes" in install
    assert "-r /src/requirements-runtime.lock" in install
    assert not re.search(r"\b(apt|apt-get|curl|wget)\b", DOCKERFILE.read_text(encoding="utf-8"))
    lock = (ROOT / "requirements-runtime.lock").read_text(encoding="utf-8")
    pins = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
    assert all(re.match(r"[a-z0-9-]+==", pin) for pin in pins)
    assert lock.count("--hash=sha256:") >= len(pins)


@pytest.mark.feature("E01")
def test_the_image_runs_as_nobody_in_particular_and_says_how_it_is() -> None:
    stage = dict(of_last_stage())
    assert stage["USER"] == "10001:10001"
    assert stage["HEALTHCHECK"].endswith('CMD ["basis-daemon", "status", "--healthy"]')
    assert stage["ENTRYPOINT"] == '["basis-daemon"]'
    assert stage["CMD"] == '["run"]'
    assert stage["VOLUME"] == str(live().data_dir)
    assert "BASIS_DAEMON_CONFIG=/etc/basis-daemon/live.yaml" in stage["ENV"]
    assert [rest for word, rest in of_last_stage() if word == "COPY"] == [
        "--from=build /opt/basis-daemon /opt/basis-daemon",
        "config /etc/basis-daemon",
    ]


@pytest.mark.feature("E01")
def test_the_build_sees_only_what_it_copies() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    seen = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {rest.split()[0] for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")}
    assert rules[0] == "*"
    assert seen == copied
