"""Secrets from where they are kept: systemd credentials, Docker secrets, private files, or the environment."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from basis_daemon.domain.settings_faults import Fault
from basis_daemon.settings.document import Tree
from basis_daemon.settings.environment import PREFIX, variable_of
from basis_daemon.settings.explain import Where
from basis_daemon.settings.model import SECRET_LENGTH_MIN
from basis_daemon.telemetry import MASK

DOCKER_SECRETS = Path("/run/secrets")
SYSTEMD_VARIABLE = "CREDENTIALS_DIRECTORY"
_SECRETS_OF_A_VENUE = ("key", "secret")
_SECRETS_OF_A_SIGNAL = ("token",)
_SECRETS_OF_A_CHAIN = ("key", "password", "relay", "rpc", "rpc_second")


@dataclass(frozen=True, slots=True)
class SecretPlaces:
    """Directories in which a secret is looked up by name, in order."""

    directories: tuple[Path, ...]

    @classmethod
    def of(cls, environ: Mapping[str, str], docker_secrets: Path = DOCKER_SECRETS) -> SecretPlaces:
        """The service's own credentials first, then the container's."""
        own = environ.get(SYSTEMD_VARIABLE)
        return cls((*([Path(own)] if own else []), docker_secrets))

    def candidates(self, name: str) -> list[Path]:
        """Where this secret may lie; an absolute path lies nowhere else."""
        path = Path(name)
        return [path] if path.is_absolute() else [directory / name for directory in self.directories]


def fill_in_secrets(
    tree: Tree, sources: dict[str, str], places: SecretPlaces, where: Where, *, are_needed: bool
) -> list[Fault]:
    """Reads the secrets of every enabled venue into ``tree``; returns what is missing or badly kept.

    Where they are not needed, only those that the file names are read.
    """
    faults: list[Fault] = []
    for name, holder, secrets in _holders(tree):
        for secret in secrets:
            is_asked = holder.get(f"{secret}_file") is not None
            if is_asked or (are_needed and _is_needed(holder, secret)):
                faults += _fill_in(holder, secret, f"{name}.{secret}", sources, places, where)
    return faults


def _holders(tree: Tree) -> Iterator[tuple[str, Tree, tuple[str, ...]]]:
    """Every section that has secrets: its place, itself, and their names."""
    venues, chain = tree.get("venues"), tree.get("chain")
    for name, venue in venues.items() if isinstance(venues, dict) else ():
        if isinstance(venue, dict):
            yield f"venues.{name}", venue, _SECRETS_OF_A_VENUE
    signals = tree.get("signals")
    for name, signal in signals.items() if isinstance(signals, dict) else ():
        if isinstance(signal, dict):
            yield f"signals.{name}", signal, _SECRETS_OF_A_SIGNAL
    if isinstance(chain, dict):
        yield "chain", chain, _SECRETS_OF_A_CHAIN


def _is_needed(holder: Tree, secret: str) -> bool:
    """Whether a section cannot do without it: of a chain one endpoint, and the key unless a keystore holds it."""
    is_chain = "keystore_file" in holder or "rpc_file" in holder or "rpc" in holder
    needed = {"rpc"} | ({"password"} if holder.get("keystore_file") is not None else {"key"})
    return secret in (needed if is_chain else _SECRETS_OF_A_VENUE)


def refuse_secrets_in_file(tree: Tree, sources: Mapping[str, str], where: Where) -> list[Fault]:
    """Takes secrets that stand in the file out of ``tree`` and returns a fault for each."""
    faults = []
    for name, holder, secrets in _holders(tree):
        for secret in secrets:
            key = f"{name}.{secret}"
            if holder.get(secret) is not None and not sources.get(key, "").startswith(PREFIX):
                del holder[secret]
                remedy = f"move it there, set {secret}_file, and change the key at the exchange: this one was readable"
                faults.append(Fault(key, MASK, "a secret in a file of its own", remedy, where(key)))
    return faults


def _fill_in(
    venue: Tree, secret: str, key: str, sources: dict[str, str], places: SecretPlaces, where: Where
) -> list[Fault]:
    if venue.get("enabled") is False or venue.get(secret) is not None:
        return []
    name = venue.get(f"{secret}_file")
    if name is None:
        remedy = f"set {key}_file, or the variable {variable_of(key)}"
        return [Fault(key, "nothing", "an API key with the right to trade in this mode", remedy, where(key))]
    if not isinstance(name, str) or not name:
        return []  # the model says what is wrong with it
    candidates = places.candidates(name)
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        tried = " or ".join(map(str, candidates))
        return [
            Fault(
                f"{key}_file",
                f"no file {tried}",
                "a file that holds the secret",
                _how_to_create(name),
                where(f"{key}_file"),
            )
        ]
    return _read(path, venue, secret, key, sources, where)


def _read(path: Path, venue: Tree, secret: str, key: str, sources: dict[str, str], where: Where) -> list[Fault]:
    key_file = f"{key}_file"
    try:
        text = path.read_text(encoding="utf-8").strip()
        permissions = stat.S_IMODE(path.stat().st_mode)
    except (OSError, UnicodeDecodeError) as error:
        found = f"{path}, which cannot be read: {type(error).__name__}"
        return [
            Fault(key_file, found, "a text file readable by this user", "check its owner and content", where(key_file))
        ]
    if len(text) < SECRET_LENGTH_MIN:
        found = f"{len(text)} characters in {path}"
        return [
            Fault(
                key_file,
                found,
                f"at least {SECRET_LENGTH_MIN}",
                "write the whole secret into the file",
                where(key_file),
            )
        ]
    if permissions & stat.S_IROTH and Path(str(venue[f"{secret}_file"])).is_absolute():
        found = f"{path} readable by everyone (mode {permissions:04o})"
        return [Fault(key_file, found, "a file for this user only", f"chmod 600 {path}", where(key_file))]
    venue[secret] = text
    sources[key] = f"secret file {path}"
    return []


def _how_to_create(name: str) -> str:
    if Path(name).is_absolute():
        return f"create it: install -m 600 /dev/stdin {name}"
    return (
        f"create it: systemd `LoadCredential={name}:<path>`, Docker `secrets: [{name}]`, "
        "or give an absolute path to a file of mode 600"
    )
