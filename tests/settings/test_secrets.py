"""Secrets come from files or the environment, are checked before the first order, and are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.settings.files import SMALL, edited, fault, faults, load

pytestmark = pytest.mark.feature("G04", part="sources")

KEY, SECRET = "canary-key-0001", "canary-secret-0002"
WITH_FILES = edited(("mode: paper", "mode: testnet"), ("enabled: true", "key_file: bn_key\n    secret_file: bn_secret"))


def put(folder: Path, name: str, text: str, mode: int = 0o600) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return file


def shown(folder: Path, text: str, environ: dict[str, str] | None = None) -> str:
    return "\n".join(str(told) for told in faults(folder, text, environ))


def test_systemd_credentials_come_before_docker_secrets(tmp_path: Path) -> None:
    put(tmp_path / "systemd", "bn_key", f"{KEY}\n")
    put(tmp_path / "docker", "bn_key", "not this one")
    put(tmp_path / "docker", "bn_secret", SECRET, 0o444)
    loaded = load(tmp_path, WITH_FILES, {"CREDENTIALS_DIRECTORY": str(tmp_path / "systemd")})
    assert [secret.get_secret_value() for secret in loaded.settings.secrets] == [KEY, SECRET]
    assert loaded.sources["venues.binance.key"] == f"secret file {tmp_path}/systemd/bn_key"
    assert loaded.sources["venues.binance.secret"] == f"secret file {tmp_path}/docker/bn_secret"
    assert KEY not in repr(loaded)
    assert SECRET not in repr(loaded)


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    key, secret = put(tmp_path, "k", KEY), put(tmp_path, "s", SECRET)
    text = WITH_FILES.replace("bn_key", str(key)).replace("bn_secret", str(secret))
    assert [s.get_secret_value() for s in load(tmp_path, text).settings.secrets] == [KEY, SECRET]


def test_the_environment_wins_over_the_file_and_a_secret_of_digits_stays_text(tmp_path: Path) -> None:
    put(tmp_path / "docker", "bn_secret", SECRET)
    put(tmp_path / "docker", "bn_key", KEY)
    loaded = load(tmp_path, WITH_FILES, {"BASIS_DAEMON__VENUES__BINANCE__KEY": "0012345678"})
    assert [secret.get_secret_value() for secret in loaded.settings.secrets] == ["0012345678", SECRET]


def test_missing_files_are_reported_with_where_they_were_looked_for_and_how_to_create_them(tmp_path: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "systemd")}
    key, secret = faults(tmp_path, WITH_FILES, environ)
    assert (key.key, key.where) == ("venues.binance.key_file", "daemon.yaml:5")
    assert key.found == f"no file {tmp_path}/systemd/bn_key or {tmp_path}/docker/bn_key"
    assert "LoadCredential=bn_key:" in key.remedy
    assert (secret.key, secret.where) == ("venues.binance.secret_file", "daemon.yaml:6")
    absolute = WITH_FILES.replace("bn_key", f"{tmp_path}/k").replace("bn_secret", f"{tmp_path}/s")
    assert faults(tmp_path, absolute)[0].remedy == f"create it: install -m 600 /dev/stdin {tmp_path}/k"


def test_a_mode_that_sends_orders_needs_keys(tmp_path: Path) -> None:
    key, secret = faults(tmp_path, edited(("mode: paper", "mode: live")))
    assert (key.key, key.found) == ("venues.binance.key", "nothing")
    assert key.remedy == "set venues.binance.key_file, or the variable BASIS_DAEMON__VENUES__BINANCE__KEY"
    assert secret.key == "venues.binance.secret"


def test_the_sandbox_has_keys_of_its_own_and_reads_none(tmp_path: Path) -> None:
    assert load(tmp_path, WITH_FILES.replace("testnet", "sandbox")).settings.secrets == ()


def test_paper_needs_no_key_and_reads_one_that_is_named(tmp_path: Path) -> None:
    assert load(tmp_path).settings.secrets == ()
    on_paper = WITH_FILES.replace("testnet", "paper")
    assert [told.key for told in faults(tmp_path, on_paper)] == [
        "venues.binance.key_file",
        "venues.binance.secret_file",
    ]
    put(tmp_path / "docker", "bn_key", KEY)
    put(tmp_path / "docker", "bn_secret", SECRET)
    assert [secret.get_secret_value() for secret in load(tmp_path, on_paper).settings.secrets] == [KEY, SECRET]


def test_a_venue_that_is_not_enabled_needs_no_keys(tmp_path: Path) -> None:
    put(tmp_path / "docker", "bn_secret", SECRET)
    put(tmp_path / "docker", "bn_key", KEY)
    text = WITH_FILES.replace("venues:\n", "venues:\n  spare: {enabled: false}\n")
    assert len(load(tmp_path, text).settings.secrets) == 2


def test_a_configuration_can_be_read_on_a_machine_that_holds_no_secret(tmp_path: Path) -> None:
    assert load(tmp_path, WITH_FILES, with_secrets=False).settings.secrets == ()


def test_a_secret_in_the_configuration_file_is_refused_and_not_shown(tmp_path: Path) -> None:
    text = edited(("enabled: true", f"key: {KEY}\n    secret: {SECRET}"))
    key, secret = faults(tmp_path, text)
    assert (key.key, key.found, key.where) == ("venues.binance.key", "[redacted]", "daemon.yaml:5")
    assert "change the key at the exchange" in secret.remedy
    assert KEY not in shown(tmp_path, text)
    assert SECRET not in shown(tmp_path, text)


def test_a_file_that_everyone_can_read_is_refused(tmp_path: Path) -> None:
    key, secret = put(tmp_path, "k", KEY, 0o644), put(tmp_path, "s", SECRET)
    text = WITH_FILES.replace("bn_key", str(key)).replace("bn_secret", str(secret))
    told = fault(tmp_path, text)
    assert told.found == f"{key} readable by everyone (mode 0644)"
    assert told.remedy == f"chmod 600 {key}"
    assert KEY not in shown(tmp_path, text)


@pytest.mark.parametrize("content", ["", "\n", "short"])
def test_a_truncated_file_is_noticed_before_the_first_order(tmp_path: Path, content: str) -> None:
    put(tmp_path / "docker", "bn_secret", SECRET)
    file = put(tmp_path / "docker", "bn_key", content)
    assert fault(tmp_path, WITH_FILES).found == f"{len(content.strip())} characters in {file}"


def test_a_truncated_variable_is_noticed_too(tmp_path: Path) -> None:
    told = fault(tmp_path, SMALL, {"BASIS_DAEMON__VENUES__BINANCE__KEY": "tiny"})
    assert (told.found, told.expected) == ("[redacted]", "text of at least 8 characters")


def test_a_file_that_is_no_text_is_reported_without_its_content(tmp_path: Path) -> None:
    put(tmp_path / "docker", "bn_secret", SECRET)
    (tmp_path / "docker" / "bn_key").write_bytes(b"\xff\xfe canary")
    told = fault(tmp_path, WITH_FILES)
    assert told.found.endswith("bn_key, which cannot be read: UnicodeDecodeError")
    assert "canary" not in str(told)


@pytest.mark.parametrize("value", ["{key: [%s]}", "{key: {%s: 1}}", "{key: '%s}", "%s"])
def test_a_secret_of_the_wrong_shape_is_not_shown(tmp_path: Path, value: str) -> None:
    text = shown(tmp_path, SMALL, {"BASIS_DAEMON__VENUES__BINANCE": value % KEY})
    assert "venues.binance" in text
    assert KEY not in text


def test_the_token_of_a_signal_service_comes_from_a_file_and_never_stands_in_the_configuration(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("a-token-of-a-service\n", encoding="utf-8")
    secret.chmod(0o600)
    voice = f"signals: {{btc: {{source: http, url: 'https://models.example/word', token_file: {secret}}}}}\n"
    settings = load(tmp_path, SMALL + voice).settings
    token = settings.signals["btc"].token
    assert token is not None
    assert token.get_secret_value() == "a-token-of-a-service"
    assert token in settings.secrets
    told = fault(tmp_path, SMALL + "signals: {btc: {source: http, token: a-token-of-a-service}}\n")
    assert (told.key, told.found) == ("signals.btc.token", "[redacted]")
