"""The configuration that a demo's daemon runs with: a file of config/ with a few values written over, comments kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from basis_daemon.domain.errors import ConfigError
from basis_daemon.settings.document import read_document

_CONFIGS = Path(__file__).resolve().parents[2] / "config"
SANDBOX_CONFIG, SANDBOX_CHAIN_CONFIG = _CONFIGS / "sandbox.yaml", _CONFIGS / "sandbox_chain.yaml"
SANDBOX_HEDGE_CONFIG = _CONFIGS / "sandbox_hedge.yaml"
"""Of a checkout; an installation without one needs a file named on the command line."""

_LINE = re.compile(r"^(?P<key>\s*[a-z0-9_]+:)(?P<value>\s*[^#]*?)(?P<comment>\s+#.*)?$")


def written_over(file: Path, changes: Mapping[str, str]) -> str:
    """The text of ``file`` with the values of these dotted keys changed. Raises ConfigError for an absent key."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"configuration {file}: {error.strerror}; name one with --config") from error
    places = read_document("\n".join(lines), str(file)).lines
    for key, value in changes.items():
        if key not in places:
            raise ConfigError(f"configuration {file} has no key {key}, which a demo sets to {value!r}; add it")
        found = _LINE.match(lines[places[key] - 1])
        if found is None:
            raise ConfigError(f"configuration {file}:{places[key]}: expected `{key.rpartition('.')[2]}: value`")
        lines[places[key] - 1] = f"{found['key']} {value}{found['comment'] or ''}"
    return "\n".join((*lines, ""))
