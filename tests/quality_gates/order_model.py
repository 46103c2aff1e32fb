"""One order model: nothing between a strategy and `Order`, and nothing beside it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.quality_gates.gate import Found
from tests.quality_gates.tree import Tree

HOME = "basis_daemon/domain/order.py"
COUNTERPARTY = "basis_daemon/sandbox/"
"""The exchange on the other side of the wire may not import ours, so it keeps its own idea of an order."""

LAYER = re.compile(r"Strategy(Action|Instruction|Command|Signal)s?|(Trade|Order|Execution)?Instructions?|ActionType")
SECOND_MODEL = re.compile(r"\w*Order(Request|Model|Intent|Spec|DTO|Command|Instruction|Ticket|Draft|Params)s?")
KIND_OF_ORDER = re.compile(r"\w*Order")
ORDER_FIELDS = frozenset(
    {"side", "amount", "order_type", "tif", "time_in_force", "reduce_only", "operation", "execution_mode"}
    | {"stop_loss", "take_profit", "max_slippage_bp", "group_id", "sequence_in_group", "ref_price"}
)
FIELDS_OF_A_MODEL = 4
"""A class with so many of an order's own fields is an order by another name."""

_NON_PYTHON = (".sol", ".toml", ".yaml", ".yml", ".json", ".sh", ".ts", ".js", ".html")
_LAYER_WORD = re.compile(r"\bStrategy(Action|Instruction)s?\b")


def one_order_model(tree: Tree) -> Found:
    """Looks at every name in Python and every line of what is not Python (prose may say that there is none)."""
    python, others = tree.python(), tree.files(*_NON_PYTHON)
    faults = [f"{name}:{line}: {what}" for name in python for line, what in _named_layers(tree.parsed(name))]
    faults += [
        f"{name}:{number}: {match.group()}"
        for name in others
        for number, text in enumerate(tree.text(name).splitlines(), 1)
        if (match := _LAYER_WORD.search(text))
    ]
    ours = [name for name in tree.python("basis_daemon") if not name.startswith(COUNTERPARTY)]
    models = [f"{name}:{line}: {what}" for name in ours for line, what in _models(name, tree.parsed(name))]
    homes = [name for name in ours if any(cls.name == "Order" for cls in _classes(tree.parsed(name)))]
    if homes != [HOME]:
        faults.append(f"class Order stands in {homes}, expected {HOME} alone")
    return Found(f"{len(python)} Python files, {len(others)} others", (*faults, *models))


def _named_layers(module: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module):
        match node:
            case ast.ClassDef(name=word) | ast.Name(id=word) | ast.Attribute(attr=word) | ast.alias(name=word):
                if LAYER.fullmatch(word.rpartition(".")[2]):
                    yield node.lineno, f"{word}: nothing stands between a strategy and its orders"


def _models(name: str, module: ast.Module) -> Iterator[tuple[int, str]]:
    for cls in _classes(module):
        if name == HOME and cls.name == "Order":
            continue
        fields = _fields(cls)
        shared = sorted(fields & ORDER_FIELDS)
        if len(shared) >= FIELDS_OF_A_MODEL or (shared and KIND_OF_ORDER.fullmatch(cls.name)):
            yield cls.lineno, f"class {cls.name} has an order's fields: {', '.join(shared)}"
        elif SECOND_MODEL.fullmatch(cls.name):
            yield cls.lineno, f"class {cls.name} is a second order model by its name"


def _classes(module: ast.Module) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(module) if isinstance(node, ast.ClassDef))


def _fields(cls: ast.ClassDef) -> set[str]:
    """Annotated fields, also of nested definitions, and what `__init__` hangs on the object under its own name."""
    return {
        node.target.id for node in cls.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    } | {
        node.attr
        for node in ast.walk(cls)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
