"""One file, the environment over it, secrets from their places: frozen settings, or every fault at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from basis_daemon.domain.settings_faults import Fault, LiveTradingRefusedError, SettingsError
from basis_daemon.settings.contradictions import contradictions
from basis_daemon.settings.document import Document, leaves, read_document
from basis_daemon.settings.environment import FILE, PREFIX, apply_overrides, overrides
from basis_daemon.settings.explain import explain
from basis_daemon.settings.families import family_faults
from basis_daemon.settings.model import Mode, Settings
from basis_daemon.settings.secrets import DOCKER_SECRETS, SecretPlaces, fill_in_secrets, refuse_secrets_in_file


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings, and for every key that is not a default who said so: ``file``, a variable, or a secret file."""

    settings: Settings
    sources: Mapping[str, str]
    file: Path


def load_settings(
    path: Path, environ: Mapping[str, str], *, docker_secrets: Path = DOCKER_SECRETS, with_secrets: bool = True
) -> LoadedSettings:
    """The settings of this file under this environment. Raises SettingsError with every fault.

    ``with_secrets`` False leaves secrets unread, to look at a configuration on a machine that does not hold them.
    """
    document = _read(path)
    sources = dict.fromkeys((key for key, _ in leaves(document.tree)), FILE)
    faults = document.faults + apply_overrides(document.tree, sources, overrides(environ))

    def where(key: str) -> str:
        source = sources.get(key, FILE)
        return source if source.startswith(PREFIX) else document.where(key)

    faults += refuse_secrets_in_file(document.tree, sources, where)
    if with_secrets and (mode := _mode(document)) is not None and mode.takes_keys:
        places = SecretPlaces.of(environ, docker_secrets)
        faults += fill_in_secrets(document.tree, sources, places, where, are_needed=mode.needs_keys)
    faults += family_faults(document.tree, where)
    try:
        settings = Settings.model_validate(document.tree)
    except ValidationError as error:
        faults += explain(error, Settings.model_json_schema(), where)
        raise SettingsError(_in_order(faults, document)) from None  # the validator's own text could show a secret
    faults = faults or contradictions(settings, where)
    if faults:
        raise SettingsError(_in_order(faults, document))
    return LoadedSettings(settings, sources, path)


def may_arm(settings: Settings, *, arm: bool) -> bool:
    """Whether the daemon may start armed: always where no money is real, in live mode only with every switch.

    Live without ``arm`` watches, disarmed. Raises LiveTradingRefusedError for ``arm`` without the acknowledgement.
    """
    if settings.mode is not Mode.LIVE:
        return True
    if arm and not settings.live_trading_acknowledged:
        raise LiveTradingRefusedError(
            "live_trading_acknowledged: found false; expected true, because mode is live and --arm was given; "
            "set it in the file once you have read what the book may do with real money"
        )
    return arm


def _read(path: Path) -> Document:
    try:
        return read_document(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        remedy = "name one with --config; config/ holds one complete example per mode"
        found = f"{path}, which cannot be read: {type(error).__name__}"
        raise SettingsError([Fault("", found, "a configuration file", remedy)]) from error


def _mode(document: Document) -> Mode | None:
    """None for a word that is no mode: of that the model speaks."""
    said = document.tree.get("mode", Settings.model_fields["mode"].default)
    return Mode(said) if isinstance(said, str) and said in set(Mode) else None


def _in_order(faults: list[Fault], document: Document) -> list[Fault]:
    """As one reads the file; what comes from elsewhere follows."""

    def place(fault: Fault) -> tuple[bool, int, str]:
        line = document.lines.get(fault.key, 0)
        return fault.where.startswith(PREFIX), line, fault.key

    return sorted(dict.fromkeys(faults), key=place)
