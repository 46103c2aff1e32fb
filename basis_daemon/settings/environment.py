"""Overrides from the environment: ``BASIS_DAEMON__A__B`` stands for the key ``a.b`` and wins over the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from basis_daemon.domain.settings_faults import Fault
from basis_daemon.settings.document import Tree, leaves, read_value

PREFIX = "BASIS_DAEMON__"
FILE = "file"
DEFAULT = "default"

SECRET_NAMES = frozenset({"key", "secret"})
"""The last part of every dotted key whose value is a secret."""


@dataclass(frozen=True, slots=True)
class Override:
    """One variable of the environment, read."""

    variable: str
    path: tuple[str, ...]
    value: object


def variable_of(key: str) -> str:
    """The variable that overrides a dotted key."""
    return PREFIX + key.upper().replace(".", "__")


def overrides(environ: Mapping[str, str]) -> list[Override]:
    """The variables that override something, outer keys before inner ones. A secret stays text, whatever it is."""
    found = []
    for variable in sorted(environ):
        if variable.startswith(PREFIX):
            path = tuple(variable.removeprefix(PREFIX).lower().split("__"))
            text = environ[variable]
            found.append(Override(variable, path, text if path[-1] in SECRET_NAMES else read_value(text)))
    return sorted(found, key=lambda override: (len(override.path), override.variable))


def apply_overrides(tree: Tree, sources: dict[str, str], changes: Iterable[Override]) -> list[Fault]:
    """Writes the overrides into ``tree`` and their variables into ``sources``; returns the ones that fit nowhere."""
    faults = []
    for change in changes:
        section = _section(tree, change.path[:-1]) if all(change.path) else None
        key = ".".join(change.path)
        if section is None:
            remedy = "unset the variable, or give the section keys of its own"
            faults.append(Fault(key, "a path that leads nowhere", "a key of a section", remedy, change.variable))
            continue
        section[change.path[-1]] = change.value
        for old in [known for known in sources if known == key or known.startswith(f"{key}.")]:
            del sources[old]
        sources.update({leaf: change.variable for leaf, _ in leaves(change.value, key)})
    return faults


def _section(tree: Tree, path: tuple[str, ...]) -> Tree | None:
    section: object = tree
    for name in path:
        if not isinstance(section, dict):
            return None
        if section.get(name) is None:
            section[name] = {}
        section = section[name]
    return section if isinstance(section, dict) else None
