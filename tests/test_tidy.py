"""House rules that no linter knows. A rule is a function from a parsed file to the places where it is broken.

Every test names each place as file:line. `test_every_rule_finds_what_it_forbids` plants one violation per rule, so that
a rule which has gone blind is noticed.
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import tokenize
from collections.abc import Iterator

import pytest

from tests.source_tree import (
    Place,
    Rule,
    dotted_names,
    lines_matching,
    nodes_of,
    places,
    python_files,
    text_of,
    tracked,
    tree_of,
)

pytestmark = pytest.mark.slow

TOP_LEVEL = {
    *("pyproject.toml", "basis_daemon", "config", "tests", "deploy", "Dockerfile", "README.md"),  # the owner's
    *("LICENSE", "CHANGELOG.md", "Makefile", "docs", "requirements.lock", "requirements-runtime.lock"),
}
FILE_LINES_MAX, FILE_LINES_MEDIAN_MAX = 400, 150
FUNCTION_LINES_MAX, FUNCTION_LINES_MEDIAN_MAX = 60, 10
MARKDOWN_PER_CODE_MAX, MARKDOWN_COUNTS_FROM_CODE_LINES = 0.15, 5000

BROAD_HANDLERS = {"the tap's frame guard": r"frame", "the outcome classifier": r"classif|outcome"}
"""The only two places that may catch everything: what each is, and how the name of its function reads."""
BROAD_HANDLERS_HOME = "basis_daemon/venues/cex/"

AMBIENT = re.compile(
    r"datetime\.datetime\.(now|utcnow|today)|datetime\.date\.today|time\.(time|monotonic|perf_counter)(_ns)?"
    r"|random\..+|secrets\..+|uuid\.uuid[14]|os\.urandom"
)
"""Time and chance that no simulation could repeat. A seeded `random.Random(seed)` is repeatable and allowed."""
AMBIENT_HOMES = ("basis_daemon/clock.py", "basis_daemon/sandbox/")

REGISTRY_HOST = re.compile(
    r"\b(pypi|pythonhosted|npmjs|yarnpkg)\.(org|com)\b|^\s*(--(extra-)?index-url|--find-links)\b"
)
RESOLVED_HOST = re.compile(r'"resolved":\s*"https?:')
MACHINE_PATH = re.compile(r"(?<![\w.~$})/-])/(?:work|root|home)(?=[/\s\"'`:)]|$)")
DIRECTIVE = re.compile(r"#\s*(?:(?:ruff:\s*)?noqa:\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*|type:\s*ignore\[[\w, -]+\])")
DIRECTIVE_WORD = re.compile(r"#\s*((ruff:\s*|flake8:\s*)?noqa|type:\s*ignore|mypy:)", re.IGNORECASE)


def none_of(found: list[str], rule: str) -> None:
    if found:
        pytest.fail("\n".join([f"{rule} ({len(found)} found)", *found]), pytrace=False)


# ----------------------------------------------------------------------------------------------------- the rules
def uses_of(pattern: str) -> Rule:
    """Rule: nothing whose full dotted name matches is imported or used."""
    compiled = re.compile(pattern)

    def rule(tree: ast.Module) -> Iterator[Place]:
        found = {(getattr(node, "lineno", 0), name) for node, name in dotted_names(tree) if compiled.fullmatch(name)}
        yield from found

    return rule


def ambient_uses(tree: ast.Module) -> Iterator[Place]:
    seeded = {
        id(node.func)
        for node in nodes_of(tree)
        if isinstance(node, ast.Call) and (node.args or node.keywords) and ast.unparse(node.func).endswith("Random")
    }
    annotations = {id(part) for node in nodes_of(tree) for part in _annotation_parts(node)}
    for node, name in dotted_names(tree):
        harmless = name == "random.Random" and (
            isinstance(node, ast.ImportFrom) or id(node) in seeded or id(node) in annotations
        )
        if AMBIENT.fullmatch(name) and not harmless:
            yield getattr(node, "lineno", 0), name


def _annotation_parts(node: ast.AST) -> Iterator[ast.AST]:
    for field in ("annotation", "returns"):
        if isinstance(annotation := getattr(node, field, None), ast.AST):
            yield from ast.walk(annotation)


def floats(tree: ast.Module) -> Iterator[Place]:
    for node in nodes_of(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield node.lineno, f"literal {node.value}"
        elif isinstance(node, ast.Name) and node.id == "float":
            yield node.lineno, "float"


def task_starts(tree: ast.Module) -> Iterator[Place]:
    for node in nodes_of(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"create_task", "ensure_future"}:
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Name) and node.id in {"create_task", "ensure_future"}:
            yield node.lineno, node.id


def patches(tree: ast.Module) -> Iterator[Place]:
    yield from uses_of(r"(unittest\.)?mock(\..+)?|pytest_mock(\..+)?|pytest\.MonkeyPatch|_pytest\.monkeypatch.*")(tree)
    for node in nodes_of(tree):
        if isinstance(node, ast.arg) and node.arg in {"monkeypatch", "mocker"}:
            yield node.lineno, f"fixture {node.arg}"


def second_order_models(tree: ast.Module) -> Iterator[Place]:
    layer = re.compile(r"Strategy(Action|Instruction)|.*Instructions?|Order(Request|Model|Intent|Spec|DTO|Command)")
    for node in nodes_of(tree):
        if isinstance(node, ast.ClassDef) and layer.fullmatch(node.name):
            yield node.lineno, f"class {node.name}"


def broad_handlers(tree: ast.Module) -> Iterator[Place]:
    """(line, name of the function) of every handler or `suppress` that catches everything."""
    broad = re.compile(r"\b(Exception|BaseException|BaseExceptionGroup|ExceptionGroup)\b")

    def walk(node: ast.AST, function: str) -> Iterator[Place]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.ExceptHandler) and (node.type is None or broad.search(ast.unparse(node.type))):
            yield node.lineno, function
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("suppress")
            and broad.search(ast.unparse(node))
        ):
            yield node.lineno, function
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function)

    yield from walk(tree, "<module>")


def rare_ways(tree: ast.Module) -> Iterator[Place]:
    """Whatever decides that a rare path is gone, where it is only to be passed on, asked, or ``never``."""
    passed_on = re.compile(r"(\w+\.)*_?rarely|never")
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword | ast.AnnAssign) and node.value is not None:
            name = node.arg if isinstance(node, ast.keyword) else ast.unparse(node.target)
            if name == "rarely" and not passed_on.fullmatch(ast.unparse(node.value)):
                yield node.value.lineno, ast.unparse(node.value)
        elif isinstance(node, ast.arg) and node.annotation is not None:
            if ast.unparse(node.annotation).endswith("RarePath"):
                yield node.lineno, f"a function of {ast.unparse(node)}"
        elif isinstance(node, ast.Lambda) and "rare" in ast.unparse(node).lower():
            yield node.lineno, ast.unparse(node)


def function_lengths(tree: ast.Module) -> Iterator[tuple[int, str, int]]:
    for node in nodes_of(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def unexplained_exemptions(source: str) -> Iterator[Place]:
    """Comments that silence a tool without naming the code, or without saying why in at least two words."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline) if DIRECTIVE_WORD.search(source) else ():
        if token.type == tokenize.COMMENT and DIRECTIVE_WORD.search(token.string):
            reason = DIRECTIVE.sub("", token.string)
            if DIRECTIVE_WORD.search(reason) or len(re.findall(r"[A-Za-z]{2,}", reason)) < 2:
                yield token.start[0], token.string


# ----------------------------------------------------------------------------------------------------- the tests
def test_there_is_one_model_of_an_order() -> None:
    names = python_files("basis_daemon")
    ours = [name for name in names if not name.startswith("basis_daemon/sandbox/")]  # the counterparty has its own
    found = lines_matching(re.compile("StrategyAction|strategy_action"), names) + places(second_order_models, ours)
    found += [name for name in names if re.search(r"/instructions?(\.py|/)", name)]
    orders = [f"{name}:{node.lineno}: class Order" for name in ours for node in nodes_of(tree_of(name))
              if isinstance(node, ast.ClassDef) and node.name == "Order"]  # fmt: skip
    none_of(found + (orders if len(orders) > 1 else []), "A strategy returns Orders, and nothing stands beside Order")


def test_files_are_short() -> None:
    lengths = {name: len(text_of(name).splitlines()) for name in python_files("basis_daemon", "tests")}
    found = [f"{name}:{length}: {length} lines" for name, length in lengths.items() if length > FILE_LINES_MAX]
    none_of(found, f"A file has at most {FILE_LINES_MAX} lines")
    median = statistics.median([n for name, n in lengths.items() if n and name.startswith("basis_daemon/")])
    assert median <= FILE_LINES_MEDIAN_MAX, (
        f"median file of basis_daemon: {median} lines, at most {FILE_LINES_MEDIAN_MAX}"
    )


def test_functions_are_short() -> None:
    lengths = {n: list(function_lengths(tree_of(n))) for n in python_files("basis_daemon", "tests")}
    found = [
        f"{name}:{line}: {function} has {length} lines"
        for name, functions in lengths.items()
        for line, function, length in functions
        if length > FUNCTION_LINES_MAX
    ]
    none_of(found, f"A function has at most {FUNCTION_LINES_MAX} lines")
    median = statistics.median([f[2] for n, fs in lengths.items() if n.startswith("basis_daemon/") for f in fs] or [0])
    assert median <= FUNCTION_LINES_MEDIAN_MAX, f"median function: {median} lines, at most {FUNCTION_LINES_MEDIAN_MAX}"


def test_only_the_two_named_places_catch_everything() -> None:
    found, taken = [], set()
    for name in python_files("basis_daemon"):
        for line, function in broad_handlers(tree_of(name)):
            who = next((who for who, how in BROAD_HANDLERS.items() if re.search(how, function)), None)
            if who is None or who in taken or not name.startswith(BROAD_HANDLERS_HOME):
                found.append(f"{name}:{line}: in {function}")
            taken.add(who)
    none_of(found, f"Only {' and '.join(BROAD_HANDLERS)} in {BROAD_HANDLERS_HOME} catch everything, once each")


def test_tasks_are_started_in_one_file() -> None:
    found = places(task_starts, python_files("basis_daemon"))
    several = len({place.split(":")[0] for place in found}) > 1
    futures = [place for place in found if "ensure_future" in place]
    none_of(found if several else futures, "Every task has a parent: create_task lives in one file")


def test_nothing_gathers() -> None:
    found = places(uses_of(r"asyncio\.(gather|ensure_future|tasks\..+)"), python_files("basis_daemon", "tests"))
    none_of(found, "asyncio.gather leaves orphans when one fails; use a task group")


def test_doubles_are_real_classes() -> None:
    none_of(places(patches, python_files("tests")), "A double is a small real class; nothing is mocked or patched")


def test_nothing_sleeps() -> None:
    found = places(uses_of(r"time\.sleep"), python_files("basis_daemon", "tests"))
    found += places(uses_of(r"asyncio\.(tasks\.)?sleep"), python_files("tests"))
    none_of(found, "The daemon never blocks, and no test sleeps: wait for the event, or move the clock")


def test_the_domain_knows_no_float() -> None:
    none_of(places(floats, python_files("basis_daemon/domain")), "The domain is exact: Decimal or int, never float")


def test_time_and_chance_come_from_their_port() -> None:
    names = [name for name in python_files("basis_daemon") if not name.startswith(AMBIENT_HOMES)]
    none_of(
        places(ambient_uses, names), "Clocks, chance and ids come from clock.py or a seed, or no run can be repeated"
    )


def test_only_a_drill_goes_rare_ways() -> None:
    homes = ("basis_daemon/rare_paths.py", "basis_daemon/simulation/")
    names = [name for name in python_files("basis_daemon") if not name.startswith(homes)]
    machines = [
        name for name in names if name.startswith(("basis_daemon/wiring", "basis_daemon/cli", "basis_daemon/demo"))
    ]
    makers = [
        name for name in machines if not name.endswith(("wiring_book.py", "wiring_venues.py"))
    ]  # these pass it on
    found = places(rare_ways, names) + lines_matching(re.compile(r"\brarely\b"), makers)
    none_of(found, "A daemon of this machine has no word of rare paths: what nobody gives is `never`")


def test_markdown_stays_in_proportion() -> None:
    def count(*endings: str) -> int:
        return sum(len(text_of(name).splitlines()) for name in tracked() if name.endswith(endings))

    code, markdown = count(".py", ".sol"), count(".md")
    limit = MARKDOWN_PER_CODE_MAX * code
    small = code <= MARKDOWN_COUNTS_FROM_CODE_LINES
    assert small or markdown <= limit, f"{markdown} lines of Markdown for {code} of code, at most {limit:.0f}"


def test_the_top_level_holds_only_what_the_owner_named() -> None:
    found = {name.split("/")[0] for name in tracked()}
    strangers = sorted(name for name in found - TOP_LEVEL if not name.startswith("."))
    none_of([f"{name}:1: not in TOP_LEVEL" for name in strangers], "The top level is the owner's")


def test_no_file_names_a_registry() -> None:
    names = [name for name in tracked() if name != "tests/test_tidy.py"]
    found = lines_matching(REGISTRY_HOST, names)
    found += lines_matching(RESOLVED_HOST, [name for name in names if name.endswith(("lock.json", ".lock"))])
    none_of(found, "Where packages come from is the machine's affair")


def test_no_file_names_a_path_of_one_machine() -> None:
    none_of(lines_matching(MACHINE_PATH, tracked()), "A path of one machine means nothing on another")


def test_every_exemption_names_its_code_and_its_reason() -> None:
    names = python_files("basis_daemon", "tests")
    found = [f"{name}:{line}: {what}" for name in names for line, what in unexplained_exemptions(text_of(name))]
    none_of(found, "Write `# noqa: CODE - why` or `# type: ignore[code]  # why`")


@pytest.mark.parametrize(
    ("rule", "planted", "count"),
    [
        (uses_of(r"time\.sleep"), "import time as t\nt.sleep(1)", 1),
        (uses_of(r"time\.sleep"), "from time import sleep as nap\nnap(1)", 2),
        (uses_of(r"asyncio\.gather"), "import asyncio\nasyncio.gather()\nother.gather()", 1),
        (patches, "from unittest.mock import Mock\ndef test(monkeypatch): ...", 2),
        (patches, "import unittest.mock", 1),
        (task_starts, "group.create_task(x)\nensure_future(y)", 2),
        (rare_ways, "def often(point: RarePath): ...\nGround(rarely=dice.throw)\nrarely: Rarely = often", 3),
        (rare_ways, "Ground(rarely=rarely)\nrarely: Rarely = never\nself._rarely(RarePath.A)", 0),
        (floats, "a: float = 1.5\nb = 15", 2),
        (second_order_models, "class OrderRequest: ...\nclass Order: ...", 1),
        (broad_handlers, "try: ...\nexcept (ValueError, Exception): ...\ntry: ...\nexcept: ...", 2),
        (broad_handlers, "try: ...\nexcept ValueError: ...\nwith contextlib.suppress(Exception): ...", 1),
        (ambient_uses, "from datetime import datetime\ndatetime.now()\nimport time\ntime.monotonic_ns()", 2),
        (ambient_uses, "import random\nrandom.random()\nrandom.Random()\nrandom.Random(7)", 2),
        (ambient_uses, "from uuid import uuid4, UUID\nimport os\nos.urandom(1)", 2),
    ],
)
def test_every_rule_finds_what_it_forbids(rule: Rule, planted: str, count: int) -> None:
    assert len(list(rule(ast.parse(planted)))) == count


@pytest.mark.parametrize(
    ("comment", "explained"),
    [
        ("# noqa", False),
        ("# noqa: BLE001", False),
        ("# noqa: BLE001 - what the wire brings is unknown", True),
        ("# type: ignore", False),
        ("# type: ignore[misc]  # ccxt has no types", True),
        ("# type: ignore[misc]  # noqa: E501 - ccxt has no types", True),
        ("# type: ignore[misc]  # noqa - ccxt has no types", False),
        ("# mypy: ignore-errors because of all that", False),
    ],
)
def test_an_exemption_is_explained_by_words_and_not_by_its_code(comment: str, explained: bool) -> None:
    assert (list(unexplained_exemptions(f"x = 1  {comment}\n")) == []) is explained
