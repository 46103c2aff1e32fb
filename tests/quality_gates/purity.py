"""Strategies are pencil only: nothing in their files can wait, read a clock, touch the outside or keep state."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.quality_gates.gate import Found
from tests.quality_gates.tree import Tree

HOME = "basis_daemon/strategies"
FORBIDDEN_MODULES = frozenset(
    {"aiohttp", "asyncio", "ccxt", "concurrent", "http", "httpx", "io", "logging", "multiprocessing", "os", "pathlib"}
    | {"queue", "random", "requests", "secrets", "shutil", "signal", "socket", "sqlite3", "ssl", "structlog"}
    | {"subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid", "web3", "websockets"}
)
FORBIDDEN_ROOMS = frozenset(
    {"engine", "venues", "journal", "clock", "tasks", "settings", "sandbox", "supervisor", "telemetry", "wiring", "web"}
    | {"wiring_limits", "wiring_venues"}
)
FORBIDDEN_CALLS = frozenset({"open", "input", "print", "exec", "eval", "__import__", "breakpoint"})
NOW = frozenset({"now", "utcnow", "today"})


def strategies_are_pencil_only(tree: Tree) -> Found:
    """Every file below basis_daemon/strategies; names of modules count wherever they are imported."""
    names = tree.python(HOME)
    faults = [f"{name}:{line}: {what}" for name in names for line, what in _impurities(tree.parsed(name))]
    if not names:
        faults.append(f"{HOME}: no file, expected the strategies")
    return Found(f"{len(names)} files", tuple(faults))


def _impurities(module: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module):
        match node:
            case ast.AsyncFunctionDef(name=name):
                yield node.lineno, f"async def {name}"
            case ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield node.lineno, "await"
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                yield node.lineno, f"rebinds {', '.join(names)} outside its function"
            case ast.Import(names=names):
                yield from ((node.lineno, f"import {a.name}") for a in names if _is_forbidden(a.name))
            case ast.ImportFrom(module=str(source)) if _is_forbidden(source):
                yield node.lineno, f"from {source} import"
            case ast.ImportFrom(module="basis_daemon", names=names):
                yield from ((node.lineno, f"from basis_daemon import {a.name}") for a in names if _is_room(a.name))
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                yield node.lineno, f"{name}()"
            case ast.Call(func=ast.Attribute(attr=name)) if name in NOW:
                yield node.lineno, f"reads a clock: {ast.unparse(node.func)}()"


def _is_forbidden(module: str) -> bool:
    head, _, rest = module.partition(".")
    return head in FORBIDDEN_MODULES or (head == "basis_daemon" and _is_room(rest.partition(".")[0]))


def _is_room(name: str) -> bool:
    return name in FORBIDDEN_ROOMS
