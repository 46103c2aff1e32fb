"""A run as one self-contained HTML page: facts, checks, charts and reasons. It asks no other host for anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any

import orjson

from basis_daemon import __version__
from basis_daemon.demo.charts import shown_causes, waterfall
from basis_daemon.demo.units import digits_of
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.book_view import QUOTE, ZERO, BookView, Json
from basis_daemon.engine.judgement import Outcome
from basis_daemon.engine.profit import pnl
from basis_daemon.engine.views import status
from basis_daemon.ports import StoredRecord

Tile = tuple[str, str, str]
"""Its name, its figure, and a word on it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a report shows that depends on where the run was played. ``lead`` and ``sections`` are HTML already.

    ``figures`` are Plotly's, by the id of their place in the page; ``venue`` is whose word the book is held against.
    """

    venue: str
    figures: Callable[[BookView, Sequence[StoredRecord], Json], dict[str, Json]]
    market: Callable[[Json], str]
    lead: Callable[[Json, BookView], str]
    tiles: Callable[[Json, BookView], Iterable[Tile]]
    sections: Callable[[Json, BookView], str]
    hint: str
    footer: Callable[[Json], Sequence[str]]


PAGE, STYLE, SCRIPT = (Path(__file__).with_name(name) for name in ("report_page.html", "page.css", "page.js"))
PLANS_MAX = 200
_SLOT = re.compile(r"\{\{([a-z_]+)\}\}")
_DONE = frozenset({OrderState.FILLED, OrderState.SETTLED})
MINUS = "\u2212"


def write_report(file: Path, outcome: Outcome, view: BookView, rows: Iterable[StoredRecord], look: Look) -> None:
    """Writes the page. Raises ConfigError when the research extra is missing or the file cannot be written."""
    write_page(file, render(outcome, view, list(rows), look, plotly_script()), "--report")


def write_page(file: Path, text: str, option: str) -> None:
    """Raises ConfigError naming the option when the file cannot be written."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"report {file}: {error.strerror}; name another file with {option}") from error


def plotly_script() -> str:
    """The drawing library's own text, to stand inside the page."""
    try:
        from plotly.offline import get_plotlyjs  # noqa: PLC0415 - it lives in the research extra
    except ImportError as error:
        raise ConfigError("a report needs plotly: install basis-daemon[research], or leave --report away") from error
    return str(get_plotlyjs()).replace("</script", "<\\/script")


def render(outcome: Outcome, view: BookView, rows: Sequence[StoredRecord], look: Look, script: str) -> str:
    """The page's text. Everything from outside is escaped; figures are JSON that cannot end a script element."""
    said = outcome.document
    figures = look.figures(view, rows, said) | {"waterfall": waterfall(view)}
    parts = {
        "title": escape(f"{said['strategy']} {said['market_start'][:10]}"),
        "heading": escape(_heading(said)),
        "facts": escape(_facts(said, look)),
        "verdict_class": "good" if outcome.is_good else "bad",
        "verdict": _verdict(outcome),
        "lead": look.lead(said, view) if said["trades"] else _idle(said),
        "tiles": "".join(tile(*one) for one in look.tiles(said, view)),
        "chapters": "".join(_chapter(name, said, look) for name in said["strategies"]),
        "venue": look.venue,
        "unit": escape(said["numeraire"]),
        "checks": _checks(outcome),
        "decisions": _decisions(view, said),
        "positions": _positions(said, look),
        "sections": look.sections(said, view),
        "plans": _plans(view),
        "footer": escape(_footer(said, view, look)),
    }
    return filled(PAGE, parts, figures, script)


def filled(page: Path, parts: Mapping[str, str], figures: Mapping[str, Json], script: str) -> str:
    """The page with its slots filled: style, theme and drawing are those of every report."""
    drawn = {
        "style": STYLE.read_text(encoding="utf-8"),
        "script": SCRIPT.read_text(encoding="utf-8"),
        "figures": orjson.dumps(figures).decode().replace("<", "\\u003c"),
        "plotly": script,
    }
    return _SLOT.sub(lambda slot: {**parts, **drawn}[slot[1]], page.read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------------------------- words
def money(amount: Decimal | str, unit: str = QUOTE, *, signed: bool = False) -> str:
    """The unit's digits, thousands apart, a real minus sign."""
    value, digits = Decimal(amount), digits_of(unit)
    text = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
    return text.replace("-", MINUS)


def _heading(said: Json) -> str:
    days = f"{said['days']} market days" if said["days"] != 1 else "one market day"
    return f"{' and '.join(said['strategies'])} over {days}"


def _facts(said: Json, look: Look) -> str:
    when = f"{said['market_start'][:10]} to {said['market_end'][:16].replace('T', ' ')} UTC"
    speed = f"{float(said['effective_speed']):,.0f} market seconds per second"
    return f"{when}  ·  {look.market(said)}  ·  {speed}"


def _verdict(outcome: Outcome) -> str:
    total, failed = len(outcome.checks), len(outcome.failed)
    return f"all {total} checks hold" if not failed else f"{failed} of {total} checks failed"


def _idle(said: Json) -> str:
    return f"Nothing was traded. The reason given most often: <b>{escape(str(said['why']))}</b>."


def earned(said: Json, view: BookView) -> str:
    """What a book earned, cause by cause."""
    change = Decimal(said["equity_end"] or 0) - Decimal(said["equity_start"] or 0)
    unit = said["numeraire"]
    parts = (f"{escape(cause)} {money(amount, unit, signed=True)}" for cause, amount in shown_causes(view).items())
    verb = "earned" if change >= 0 else "lost"
    return f"The book {verb} <b>{money(abs(change), unit)} {unit}</b>: {', '.join(parts)}."


def growth_tiles(said: Json) -> Iterable[Tile]:
    """Equity, and what it grew by in a year at this pace."""
    start, end = Decimal(said["equity_start"] or 0), Decimal(said["equity_end"] or 0)
    rate, days = (end - start) / start if start else ZERO, Decimal(max(said["days"], 1))
    unit = said["numeraire"]
    since = f"{money(end - start, unit, signed=True)} {unit} since {money(start, unit)}"
    yield "Equity at the end", money(end, unit), since
    yield "Return", f"{rate:+.3%}".replace("-", MINUS), f"{rate * 365 / days:+.1%} a year".replace("-", MINUS)


def drawdown_tile(view: BookView) -> Tile:
    """The largest."""
    worst = Decimal(pnl(view).get("drawdown_max") or 0)
    return "Drawdown", f"{worst:.3%}", "of the highest unit value"


def unexplained_tile(said: Json) -> Tile:
    """What no cause explains."""
    return "Unexplained", said["unexplained"], f"{said['numeraire']} of the change of equity"


def tile(name: str, value: str, more: str) -> str:
    """One figure with its name and a word on it."""
    return (
        f'<div class="tile"><div class="name">{escape(name)}</div><div class="value">{escape(value)}</div>'
        f'<div class="more">{escape(more)}</div></div>'
    )


# ------------------------------------------------------------------------------------------------------------ tables
def table(columns: Sequence[str], rows: Iterable[Sequence[str]], classes: Sequence[str] = ()) -> str:
    """Cells are HTML already; ``classes`` are those of the first columns."""
    kinds = (*classes, *([""] * (len(columns) - len(classes))))
    head = "".join(f'<th class="{kind}">{escape(column)}</th>' for column, kind in zip(columns, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def pill(*, is_good: bool, good: str = "holds", bad: str = "failed") -> str:
    """A word on green or on red."""
    return f'<span class="pill {"good" if is_good else "bad"}">{escape(good if is_good else bad)}</span>'


def _chapter(name: str, said: Json, look: Look) -> str:
    """The room of one strategy's charts, under its own figures where there are several."""
    head, part = "", said["strategies"][name]
    if len(said["strategies"]) > 1:
        change = money(Decimal(part["equity_end"] or 0) - Decimal(part["equity_start"] or 0), signed=True)
        words = (
            f"{change} {part['numeraire']}, funding {money(part['funding'], signed=True)}, fees {money(part['fees'])}, "
            f"{part['trades']} fills, z {part['min_z'] or '-'} at its nearest, unexplained {part['unexplained']}"
        )
        head = f'<h2>{escape(name)} <span class="soft">{escape(words)}</span></h2>'
    return f'<section>{head}<div id="timeline-{escape(name)}"></div><p class="hint">{look.hint}</p></section>'


def _checks(outcome: Outcome) -> str:
    rows = []
    for check in outcome.checks:
        found = escape(check.found)
        if not check.is_good:
            found += f'<br><span class="soft">expected {escape(check.expected)}</span>'
        rows.append((pill(is_good=check.is_good), f"{escape(check.means)}", found))
    return table(("", "what must hold", "found"), rows, ("keep", "", ""))


def _decisions(view: BookView, said: Json) -> str:
    rows = []
    reasons = [(name, *item) for name, part in said["strategies"].items() for item in part["decisions"].items()]
    for name, reason, count in reasons:
        idle = view.history.idle.get((name, reason))
        acted = [s for s in view.history.acted.values() if s.row.strategy == name and s.row.assessment.reason == reason]
        newest = acted[-1] if acted else idle
        note = newest.row.assessment.note if newest else ""
        label = f"<b>{escape(reason)}</b>" + (f" {escape(name)}" if len(said["strategies"]) > 1 else "")
        rows.append((label, f"{count:,}", f"{len(acted):,}", escape(note)))
    return table(("reason", "decisions", "with orders", "said last"), rows, ("keep", "num", "num"))


def _positions(said: Json, look: Look) -> str:
    ours, theirs = said["positions"], said["venue_positions"]
    rows = []
    for key in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(key, "0"), theirs.get(key, "0")
        rows.append(
            (
                f"<code>{escape(key)}</code>",
                escape(one),
                escape(other),
                pill(is_good=one == other, good="equal", bad="off"),
            )
        )
    return table(("key", "book", look.venue.removeprefix("the "), ""), rows, ("keep", "num", "num", "num"))


def _plans(view: BookView) -> str:
    seen = list(view.history.acted.items())
    rows = [_plan_cells(view, plan_id) for plan_id, _ in seen[-PLANS_MAX:]]
    drawn = table(
        ("plan", "market time", "reason", "why", "orders", "done", "longest unhedged", "end"), rows,
        ("keep", "keep", "keep", "", "num", "num", "num", "keep"),
    )  # fmt: skip
    left_out = len(seen) - len(rows)
    return drawn + (f'<p class="soft">and {left_out} earlier ones</p>' if left_out else "")


def _plan_cells(view: BookView, plan_id: str) -> tuple[str, ...]:
    history, said = view.history, view.history.acted[plan_id].row
    steps = history.plan_steps.get(plan_id, [])
    children = [o for o, plan in history.plan_of_order.items() if plan == plan_id and o in view.history.lives]
    done = sum(1 for order_id in children if view.history.lives[order_id].state in _DONE)
    naked = [g.row.naked_s_max for g in history.groups if g.at.record.correlation_id == plan_id]
    end = steps[-1].row.state.value if steps else "DENIED"
    why = "; ".join(said.denied) or (steps[-1].row.why if steps else "")
    return (
        f"<code>{escape(plan_id)}</code>",
        escape(said.assessment.time.strftime("%e %b %H:%M").strip()),
        f"<b>{escape(said.assessment.reason.value)}</b>",
        escape(said.assessment.note) + (f'<br><span class="soft">{escape(why)}</span>' if why else ""),
        str(len(children)),
        str(done),
        f"{max(naked):.2f} s" if naked else "",
        pill(is_good=end == "DONE", good="DONE", bad=end),
    )


def _footer(said: Json, view: BookView, look: Look) -> str:
    run: dict[str, Any] = status(view)
    words = [f"basis-daemon {__version__}", f"journal generation {run['generation']}, {run['sequence']:,} rows"]
    if run["config_hash"]:
        words.append(f"configuration {run['config_hash'][:16]}")
    return "  ·  ".join([*words, *look.footer(said)])
