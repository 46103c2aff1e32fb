"""YAML text to plain values with the line of every key. Numbers are exact: nothing is ever a float."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import yaml

from basis_daemon.domain.settings_faults import Fault

Tree = dict[str, Any]
"""Nested mappings of str, int, bool, None, Decimal, list and Tree."""

_KEY = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*|[a-z0-9_]+:[^.\s]+")  # a name, or a position key
_INT = re.compile(r"[-+]?\d[\d_]*")
_DECIMAL = re.compile(r"[-+]?(\d[\d_]*)?\.?\d+([eE][-+]?\d+)?")
_WORDS: Mapping[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass
class Document:
    """What one file says, where it says it, and what is wrong with how it says it."""

    name: str
    tree: Tree = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def where(self, key: str) -> str:
        """The file with the line of this key, or of the nearest section around it."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return f"{self.name}:{self.lines[key]}" if key else self.name


def read_document(text: str, name: str) -> Document:
    """The document, with faults for bad syntax, depth, repeated or badly named keys, anchors and tags."""
    document = Document(name)
    try:
        _read(text, document)
    except yaml.YAMLError as error:
        document.faults.append(_syntax_fault(error, name))
    except RecursionError:
        remedy = "copy one of the files in config/ and change it"
        return Document(name, faults=[Fault("", "text nested too deep", "sections and their keys", remedy, name)])
    return document


def _read(text: str, document: Document) -> None:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    shared = [event for event in yaml.parse(text, Loader=yaml.SafeLoader) if isinstance(event, yaml.AliasEvent)]
    if shared:
        remedy = "write the values out where they are used"
        found = f"the alias *{shared[0].anchor}"
        document.faults.append(Fault("", found, "one complete file in which nothing inherits", remedy, document.name))
    elif isinstance(root, yaml.MappingNode):
        document.tree = _mapping(root, "", document)
    else:
        remedy = "copy one of the files in config/ and change it"
        expected = "sections such as book, venues and strategies"
        document.faults.append(Fault("", "no mapping", expected, remedy, document.name))


def read_value(text: str) -> object:
    """One value as if it stood in the file; text that is no YAML is just text."""
    document = Document("")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = None if node is None else _value(node, "", document)
    except (yaml.YAMLError, RecursionError):
        return text
    return text if document.faults else value


def leaves(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Every dotted key with its value, items of a list by number; an empty mapping or list is a leaf."""
    if isinstance(value, Mapping | list | tuple) and value:
        for name, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from leaves(inner, f"{key}.{name}" if key else str(name))
    elif key:
        yield key, value


def _mapping(node: yaml.MappingNode, key: str, document: Document) -> Tree:
    tree: Tree = {}
    for name_node, value_node in node.value:
        name = str(name_node.value) if isinstance(name_node, yaml.ScalarNode) else "?"
        inner = f"{key}.{name}" if key else name
        place = f"{document.name}:{name_node.start_mark.line + 1}"
        if _KEY.fullmatch(name) is None:
            remedy = "rename it"
            expected = "a name of lower-case letters, digits and single underscores"
            document.faults.append(Fault(inner, f"the name {name!r}", expected, remedy, place))
        elif name in tree:
            remedy = f"keep one of them; the other is on line {document.lines[inner]}"
            document.faults.append(Fault(inner, "the key a second time", "every key once", remedy, place))
        else:
            document.lines[inner] = name_node.start_mark.line + 1
            tree[name] = _value(value_node, inner, document)
    return tree


def _value(node: yaml.Node, key: str, document: Document) -> object:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, key, document)
    if isinstance(node, yaml.SequenceNode):
        return [_item(item, f"{key}.{number}", document) for number, item in enumerate(node.value)]
    text = str(node.value)
    if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.startswith("tag:yaml.org,2002:python"):
        document.faults.append(
            Fault(key, f"the tag {node.tag}", "a plain value", "remove the tag", document.where(key))
        )
    return text if getattr(node, "style", None) else _plain(text)


def _item(node: yaml.Node, key: str, document: Document) -> object:
    document.lines[key] = node.start_mark.line + 1
    return _value(node, key, document)


def _plain(text: str) -> object:
    """An unquoted scalar. Fewer shapes than YAML 1.1 knows: no `yes`, no `1:30`, no octal, and no float."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return int(text) if _INT.fullmatch(text) else Decimal(text) if _DECIMAL.fullmatch(text) else text
    except (ValueError, InvalidOperation):  # underscores or lengths that no number has: of them the model speaks
        return text


def _syntax_fault(error: yaml.YAMLError, name: str) -> Fault:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    place = f"{name}:{mark.line + 1}" if mark else name
    return Fault("", f"text that is not YAML: {problem}", "YAML", "repair the indentation or quotes there", place)
