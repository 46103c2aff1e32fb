"""A run as one self-contained HTML page: facts, checks, charts and reasons. It asks no other host for anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any

import orjson

from basis_daemon import __version__
from basis_daemon.demo.chapters import Chapter, chapters
from basis_daemon.demo.charts import shown_causes, timeline, waterfall
from basis_daemon.demo.outcome import Outcome
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.book_view import ZERO, BookView, Json
from basis_daemon.engine.views import pnl, status
from basis_daemon.ports import StoredRecord

PAGE = Path(__file__).with_name("report_page.html")
PLANS_MAX = 200
_SLOT = re.compile(r"\{\{([a-z_]+)\}\}")
_DONE = frozenset({OrderState.FILLED, OrderState.SETTLED})
_MINUS = "\u2212"


def write_report(file: Path, outcome: Outcome, view: BookView, rows: Iterable[StoredRecord]) -> None:
    """Writes the page. Raises ConfigError when the research extra is missing or the file cannot be written."""
    text = render(outcome, view, chapters(view, rows, outcome.document["strategies"]), plotly_script())
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"report {file}: {error.strerror}; name another file with --report") from error


def plotly_script() -> str:
    """The drawing library's own text, to stand inside the page."""
    try:
        from plotly.offline import get_plotlyjs  # noqa: PLC0415 - it lives in the research extra
    except ImportError as error:
        raise ConfigError("a report needs plotly: install basis-daemon[research], or leave --report away") from error
    return str(get_plotlyjs()).replace("</script", "<\\/script")


def render(outcome: Outcome, view: BookView, told: Mapping[str, Chapter], script: str) -> str:
    """The page's text. Everything from outside is escaped; figures are JSON that cannot end a script element."""
    said = outcome.document
    figures = {f"timeline-{name}": timeline(part.view, part.tape) for name, part in told.items()}
    figures["waterfall"] = waterfall(view)
    parts = {
        "title": escape(f"{said['strategy']} {said['market_start'][:10]}"),
        "heading": escape(_heading(said)),
        "facts": escape(_facts(said)),
        "verdict_class": "good" if outcome.is_good else "bad",
        "verdict": _verdict(outcome),
        "lead": _lead(said, view),
        "tiles": "".join(_tile(*tile) for tile in _tiles(said, view)),
        "chapters": "".join(_chapter(name, said, len(told)) for name in told),
        "checks": _checks(outcome),
        "decisions": _decisions(view, said),
        "positions": _positions(said),
        "plans": _plans(view),
        "footer": escape(_footer(said, view)),
        "figures": orjson.dumps(figures).decode().replace("<", "\\u003c"),
        "plotly": script,
    }
    return _SLOT.sub(lambda slot: parts[slot[1]], PAGE.read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------------------------- words
def money(amount: Decimal | str, *, signed: bool = False) -> str:
    """Two digits, thousands apart, a real minus sign."""
    value = Decimal(amount)
    text = f"{value:+,.2f}" if signed else f"{value:,.2f}"
    return text.replace("-", _MINUS)


def _heading(said: Json) -> str:
    days = f"{said['days']} market days" if said["days"] != 1 else "one market day"
    return f"{' and '.join(said['strategies'])} over {days}"


def _facts(said: Json) -> str:
    market = (
        f"recorded market {said['window'] or ''}" if said["seed"] is None else f"generated market, seed {said['seed']}"
    )
    when = f"{said['market_start'][:10]} to {said['market_end'][:16].replace('T', ' ')} UTC"
    return f"{when}  ·  {market.strip()}  ·  {float(said['effective_speed']):,.0f} market seconds per second"


def _verdict(outcome: Outcome) -> str:
    total, failed = len(outcome.checks), len(outcome.failed)
    return f"all {total} checks hold" if not failed else f"{failed} of {total} checks failed"


def _lead(said: Json, view: BookView) -> str:
    """What happened, in two sentences."""
    if not said["trades"]:
        return f"Nothing was traded. The reason given most often: <b>{escape(str(said['why']))}</b>."
    causes = shown_causes(view)
    change = Decimal(said["equity_end"] or 0) - Decimal(said["equity_start"] or 0)
    parts = ", ".join(f"{escape(cause)} {money(amount, signed=True)}" for cause, amount in causes.items())
    verb = "earned" if change >= 0 else "lost"
    return (
        f"The book {verb} <b>{money(abs(change))} USDT</b>: {parts}. It sent {said['orders_sent']} orders, the venue "
        f"knows {said['venue_orders']}; {said['duplicate_orders'] or 'none'} arrived twice, "
        f"{said['in_doubt'] or 'none'} are in doubt, and {escape(said['unexplained'])} USDT are unexplained."
    )


def _tiles(said: Json, view: BookView) -> Iterable[tuple[str, str, str]]:
    start, end = Decimal(said["equity_start"] or 0), Decimal(said["equity_end"] or 0)
    change, gone = end - start, Decimal(max(said["days"], 1))
    rate = change / start if start else ZERO
    worst = Decimal(pnl(view).get("drawdown_max") or 0)
    yield "Equity at the end", f"{money(end)}", f"{money(change, signed=True)} USDT since {money(start)}"
    yield "Return", f"{rate:+.3%}".replace("-", _MINUS), f"{rate * 365 / gone:+.1%} a year".replace("-", _MINUS)
    yield "Funding received", money(said["funding"], signed=True), f"fees paid {money(said['fees'])}"
    yield "Nearest liquidation", f"z {said['min_z'] or '-'}", "shocks away at its nearest"
    yield "Largest net delta", f"{Decimal(said['max_abs_delta_frac']):.4%}", "of equity, outside clips"
    yield "Drawdown", f"{worst:.3%}", "of the highest unit value"
    naked = f"unhedged {Decimal(said['max_naked_seconds']):.2f} s at most"
    yield "Fills", str(said["trades"]), f"{said['orders_sent']} orders, {naked}"
    yield "Unexplained", said["unexplained"], "USDT of the change of equity"


def _tile(name: str, value: str, more: str) -> str:
    return (
        f'<div class="tile"><div class="name">{escape(name)}</div><div class="value">{escape(value)}</div>'
        f'<div class="more">{escape(more)}</div></div>'
    )


# ------------------------------------------------------------------------------------------------------------ tables
def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], classes: Sequence[str] = ()) -> str:
    """Cells are HTML already."""
    kinds = (*classes, *([""] * (len(columns) - len(classes))))
    head = "".join(f'<th class="{kind}">{escape(column)}</th>' for column, kind in zip(columns, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _pill(*, is_good: bool, good: str = "holds", bad: str = "failed") -> str:
    return f'<span class="pill {"good" if is_good else "bad"}">{escape(good if is_good else bad)}</span>'


def _chapter(name: str, said: Json, count: int) -> str:
    """The room of one strategy's charts, under its own figures where there are several."""
    head, part = "", said["strategies"][name]
    if count > 1:
        change = money(Decimal(part["equity_end"] or 0) - Decimal(part["equity_start"] or 0), signed=True)
        words = (
            f"{change} USDT, funding {money(part['funding'], signed=True)}, fees {money(part['fees'])}, "
            f"{part['trades']} fills, z {part['min_z'] or '-'} at its nearest, unexplained {part['unexplained']}"
        )
        head = f'<h2>{escape(name)} <span class="soft">{escape(words)}</span></h2>'
    hint = (
        "Drag to zoom in time, double-click to see all of it. Hover over a fill for its order, price, fee and reason."
    )
    return f'<section>{head}<div id="timeline-{escape(name)}"></div><p class="hint">{hint}</p></section>'


def _checks(outcome: Outcome) -> str:
    rows = []
    for check in outcome.checks:
        found = escape(check.found)
        if not check.is_good:
            found += f'<br><span class="soft">expected {escape(check.expected)}</span>'
        rows.append((_pill(is_good=check.is_good), f"{escape(check.means)}", found))
    return _table(("", "what must hold", "found"), rows, ("keep", "", ""))


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
    return _table(("reason", "decisions", "with orders", "said last"), rows, ("keep", "num", "num"))


def _positions(said: Json) -> str:
    ours, theirs = said["positions"], said["venue_positions"]
    rows = []
    for key in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(key, "0"), theirs.get(key, "0")
        rows.append(
            (
                f"<code>{escape(key)}</code>",
                escape(one),
                escape(other),
                _pill(is_good=one == other, good="equal", bad="off"),
            )
        )
    return _table(("key", "book", "venue", ""), rows, ("keep", "num", "num", "num"))


def _plans(view: BookView) -> str:
    seen = list(view.history.acted.items())
    rows = [_plan_cells(view, plan_id) for plan_id, _ in seen[-PLANS_MAX:]]
    table = _table(
        ("plan", "market time", "reason", "why", "orders", "done", "longest unhedged", "end"), rows,
        ("keep", "keep", "keep", "", "num", "num", "num", "keep"),
    )  # fmt: skip
    left_out = len(seen) - len(rows)
    return table + (f'<p class="soft">and {left_out} earlier ones</p>' if left_out else "")


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
        _pill(is_good=end == "DONE", good="DONE", bad=end),
    )


def _footer(said: Json, view: BookView) -> str:
    run: dict[str, Any] = status(view)
    words = [f"basis-daemon {__version__}", f"journal generation {run['generation']}, {run['sequence']:,} rows"]
    if run["config_hash"]:
        words.append(f"configuration {run['config_hash'][:16]}")
    if said["seed"] is None:
        words.append(
            "one reference spot series per asset (Bybit spot) feeds the venue's spot book; the perp is the venue's "
            "own; holes in the record are left open"
        )
    words.append("all times UTC; money in USDT, perps at mark, spot at the mid of its book")
    return "  ·  ".join(words)
