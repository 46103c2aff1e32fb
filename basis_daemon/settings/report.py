"""The configuration as people and machines read it: effective values with their sources, a digest, a schema."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from basis_daemon.settings.document import leaves
from basis_daemon.settings.environment import DEFAULT, PREFIX, SECRET_NAMES
from basis_daemon.settings.explain import expectation, key_nodes
from basis_daemon.settings.families import FAMILIES, all_parameters, parameters_schema
from basis_daemon.settings.load import LoadedSettings
from basis_daemon.settings.model import Settings
from basis_daemon.telemetry import MASK


@dataclass(frozen=True, slots=True)
class Row:
    """One key with the value that counts; ``source`` is default, file, env and the variable, or a secret file."""

    key: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One key of the schema in words; ``<name>`` stands for a name that the file chooses."""

    key: str
    takes: str
    default: str
    why: str


def effective(loaded: LoadedSettings) -> list[Row]:
    """Every key with what it is set to and by whom; secrets masked, strategy parameters with their defaults."""
    rows = []
    for key, value in leaves(_values(loaded.settings)):
        said = loaded.sources.get(key) or _outer_source(key, loaded.sources)
        source = f"env {said}" if said.startswith(PREFIX) else said
        rows.append(Row(key, MASK if value is not None and _holds_secret(key) else _text(value), source))
    return rows


def config_hash(settings: Settings) -> str:
    """SHA-256 (hex) of all values except secrets. Comments, order, notation and who said what do not count."""
    values = {key: _canonical(value) for key, value in leaves(_values(settings)) if not _holds_secret(key)}
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def json_schema() -> dict[str, Any]:
    """The JSON schema of the file, for editors: ranges, units, defaults and a sentence for every key."""
    schema = Settings.model_json_schema()
    strategy = schema["$defs"]["StrategySettings"]["properties"]
    strategy["kind"]["enum"] = sorted(FAMILIES)
    strategy["params"] = {**strategy["params"], **parameters_schema()}
    for secret in SECRET_NAMES:
        schema["$defs"]["VenueSettings"]["properties"].pop(secret)
    plain: dict[str, Any] = json.loads(json.dumps(schema, default=_number))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **plain}


def known_keys() -> list[KnownKey]:
    """Every key of the file in the order of the schema."""
    schema = json_schema()
    return [
        KnownKey(
            key, expectation(node), _text(node["default"]) if "default" in node else "", node.get("description", "")
        )
        for key, node in key_nodes(schema)
    ]


def _values(settings: Settings) -> dict[str, Any]:
    values = settings.model_dump()
    for name in settings.strategies:
        values["strategies"][name]["params"] = all_parameters(settings, name)
    return values


def _holds_secret(key: str) -> bool:
    return key.rpartition(".")[2] in SECRET_NAMES


def _outer_source(key: str, sources: Mapping[str, str]) -> str:
    """A key inside a value that was given whole, or nobody's."""
    while key:
        key = key.rpartition(".")[0]
        if key in sources:
            return sources[key]
    return DEFAULT


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _canonical(value: object) -> str | int | bool | None:
    if value is None or isinstance(value, bool):
        return value
    return f"{Decimal(value).normalize():f}" if isinstance(value, int | Decimal) else str(value)


def _number(value: object) -> int | float:
    if not isinstance(value, Decimal):
        message = f"{value!r} of type {type(value).__name__}, expected a Decimal"
        raise TypeError(message)
    return int(value) if value == value.to_integral_value() else float(value)
