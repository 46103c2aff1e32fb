"""Every file of the project as the house rules read it: its text, its tree, and the full names in it."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

Place = tuple[int, str]
Rule = Callable[[ast.Module], Iterable[Place]]


@cache
def tracked() -> tuple[str, ...]:
    """Every file that git tracks or would track, so that the rules also hold before the first commit."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(sorted(name for name in set(listed.split("\0")) if name and (ROOT / name).is_file()))


@cache
def text_of(name: str) -> str:
    """The file's text, or nothing for a binary one."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(text_of(name), filename=name)


@cache
def nodes_of(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Every node of a file, walked once for all rules."""
    return tuple(ast.walk(tree))


def python_files(*folders: str) -> list[str]:
    return [name for name in tracked() if name.endswith(".py") and name.startswith(tuple(f"{f}/" for f in folders))]


def places(rule: Rule, names: Iterable[str]) -> list[str]:
    return [f"{name}:{line}: {what}" for name in names for line, what in sorted(rule(tree_of(name)))]


def lines_matching(pattern: re.Pattern[str], names: Iterable[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name in names
        for number, line in enumerate(text_of(name).splitlines(), 1)
        if pattern.search(line)
    ]


def dotted_names(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Every imported thing where it is used or imported, under its full name, whatever the import calls it."""
    real: dict[str, str] = {}
    for node in nodes_of(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                real[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                real[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield node, f"{node.module}.{alias.name}"
    for node in nodes_of(tree):
        head, *rest = _path(node)
        if head in real and (rest or real[head] != head):
            yield node, ".".join((real[head], *rest))


def _path(node: ast.AST) -> list[str]:
    """``a.b.c`` as its words; one empty word for what is no name."""
    words: list[str] = []
    while isinstance(node, ast.Attribute):
        words.append(node.attr)
        node = node.value
    return [node.id, *reversed(words)] if isinstance(node, ast.Name) else [""]
