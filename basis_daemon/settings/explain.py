"""From a validator's complaint to a fault that says what to do, with bounds and units taken from the schema."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from basis_daemon.domain.settings_faults import Fault
from basis_daemon.settings.environment import SECRET_NAMES
from basis_daemon.telemetry import MASK

Node = Mapping[str, Any]
Where = Callable[[str], str]

SECTION = "a section"
_KINDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "object": SECTION}
_FOUND_MAX = 60


def explain(error: ValidationError, schema: Node, where: Where, prefix: tuple[str, ...] = ()) -> list[Fault]:
    """One fault per complaint; ``prefix`` is where the validated part stands in the whole."""
    faults = []
    for complaint in error.errors(include_url=False):
        path = tuple(str(part) for part in complaint["loc"] if part != "[key]")
        key = ".".join(prefix + path)
        if complaint["type"] == "extra_forbidden":
            faults.append(unknown_key(key, names_in(node_at(schema, path[:-1])), where(key), schema))
        elif complaint["type"] == "missing":
            expected = expectation(node_at(schema, path))
            faults.append(Fault(key, "nothing", expected, "add it: it has no default", where(key)))
        else:
            node = node_at(schema, path)
            found, expected = found_text(complaint["input"]), expectation(node)
            if path[-1] in SECRET_NAMES or (expected == SECTION and isinstance(complaint["input"], str)):
                found = MASK  # text where a section belongs may be a secret that was quoted wrongly
            faults.append(Fault(key, found, expected, _remedy(complaint["type"], node), where(key)))
    return faults


def unknown_key(key: str, known: Iterable[str], where: str, schema: Node | None = None) -> Fault:
    """The fault of a key that nobody knows, with the nearest key that somebody does."""
    name, names = key.rpartition(".")[2], sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    elsewhere = [path for path, _ in key_nodes(schema or {}) if path.rpartition(".")[2] == name]
    if near:
        remedy = f"did you mean {near[0]}?"
    elif elsewhere:
        remedy = f"did you mean {elsewhere[0]}?"
    else:
        remedy = "remove it; `basis-daemon config schema` lists every key"
    return Fault(key, "a key that does not exist", f"one of {', '.join(names)}", remedy, where)


def node_at(schema: Node, path: Iterable[str]) -> Node:
    """The schema of one key; empty where the schema says nothing."""
    node = _resolve(schema, schema)
    for name in path:
        node = _resolve(node.get("properties", {}).get(name) or _any_name(node), schema)
    return node


def names_in(node: Node) -> list[str]:
    """Keys of a section."""
    return list(node.get("properties", {}))


def expectation(node: Node) -> str:
    """What a key takes, in words: kind, range and unit."""
    if "expects" in node:
        return str(node["expects"])
    options = node.get("enum") or ([node["const"]] if "const" in node else [])
    if options:
        return f"one of {', '.join(map(str, options))}" if len(options) > 1 else str(options[0])
    shape = next((part for part in node.get("anyOf", [node]) if part.get("type") != "null"), node)
    kind = _KINDS.get(shape.get("type", ""), "a path" if shape.get("format") == "path" else "text")
    low, high = (bound_of(node, bound) for bound in ("minimum", "maximum"))
    unit = f" {node['unit']}" if "unit" in node else ""
    if low and high:
        return f"{kind} from {low} to {high}{unit}"
    if "exclusiveMinimum" in shape:
        return f"{kind} above {plain(shape['exclusiveMinimum'])}{unit}"
    if "minLength" in shape:
        return f"{kind} of at least {shape['minLength']} characters"
    return "a lower_case name" if "pattern" in shape and kind == "text" else f"{kind}{unit}"


def bound_of(node: Node, bound: str) -> str:
    """``minimum`` or ``maximum`` of a key as text; empty where it has none."""
    found = [part[bound] for part in node.get("anyOf", [node]) if bound in part]
    return plain(found[0]) if found else ""


def found_text(value: object) -> str:
    """What stood there, short enough for a line."""
    if isinstance(value, Mapping):
        return SECTION
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        value = repr(value)
    text = {"True": "true", "False": "false", "None": "nothing"}.get(str(value), str(value))
    return text if len(text) <= _FOUND_MAX else text[:_FOUND_MAX] + "..."


def plain(number: object) -> str:
    """A number without exponent or trailing zeros."""
    return f"{Decimal(str(number)).normalize():f}"


def _remedy(complaint: str, node: Node) -> str:
    if complaint == "quoted_number":
        return "remove the quotes"
    if complaint in {"greater_than_equal", "less_than_equal", "greater_than"}:
        unit = node.get("unit")
        return f"the unit is {unit}: choose a value within the range" if unit else "choose a value within the range"
    if complaint == "too_short":
        return "add at least one"
    return "write it like that"


def _resolve(node: Node, schema: Node) -> Node:
    """The node with its reference followed, that of an optional section too; what stands beside the reference wins."""
    if sections := [part for part in node.get("anyOf", ()) if "$ref" in part]:
        node = {**sections[0], **{name: value for name, value in node.items() if name != "anyOf"}}
    if "$ref" in node:
        definition = schema.get("$defs", {}).get(str(node["$ref"]).rpartition("/")[2], {})
        return {**definition, **{name: value for name, value in node.items() if name != "$ref"}}
    return node


def _any_name(node: Node) -> Node:
    """The schema of the values of a section whose keys the file chooses, or of a list's items; else empty."""
    patterns = list(node.get("patternProperties", {}).values())
    named = node.get("additionalProperties") or (patterns[0] if patterns else node.get("items"))
    return named if isinstance(named, dict) else {}


def key_nodes(schema: Node, node: Node | None = None, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Every key below ``node`` that takes a value, with its schema; ``<name>`` stands for a name of the file's own."""
    node = _resolve(schema if node is None else node, schema)
    inner = dict(node.get("properties", {}))
    if named := _any_name(node):
        inner["<name>"] = named
    for name, child in inner.items():
        yield from key_nodes(schema, child, f"{prefix}.{name}" if prefix else name)
    if not inner and prefix:
        yield prefix, node
