"""A tear sheet as one self-contained HTML page. It asks no other host for anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from html import escape
from pathlib import Path

from basis_daemon import __version__
from basis_daemon.demo.report import MINUS, Tile, filled, money, table, tile
from basis_daemon.engine.book_view import ZERO, Json
from basis_daemon.research.performance import Fall, Returns, daily_returns, falls, monthly_returns
from basis_daemon.tearsheet.charts import course, histogram, shown_sources, waterfall
from basis_daemon.tearsheet.content import Part, Sheet

PAGE = Path(__file__).with_name("sheet_page.html")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FALLS_SHOWN_MAX = 5
DASH = "\u2013"
FULL_TINT = 0.05
"""A month's return from which on its cell is as dark as it gets."""

YEAR = Decimal(365)


@dataclass(frozen=True, slots=True)
class Source:
    """What the page was made of: a journal, whose book it is, and in which mode."""

    journal: str
    book: str
    mode: str


def render(found: Sequence[Sheet], source: Source, script: str) -> str:
    """The page's text; ``script`` is the drawing library. Everything from outside is escaped."""
    first = min(sheet.whole.points[0].time for sheet in found)
    last = max(sheet.whole.points[-1].time for sheet in found)
    lost = {sheet.whole.numeraire: _unexplained(sheet.whole) for sheet in found}
    open_ends = ", ".join(f"{amount} {unit}" for unit, amount in lost.items() if amount)
    parts = {
        "title": escape(f"{source.book} {first:%Y-%m-%d} to {last:%Y-%m-%d}"),
        "heading": escape(source.book),
        "facts": escape(f"{_time(first)} to {_time(last)} UTC  ·  mode {source.mode}  ·  {_valuations(found)}"),
        "verdict_class": "bad" if open_ends else "good",
        "verdict": escape(f"unexplained: {open_ends}" if open_ends else "every digit explained"),
        "classes": "".join(_class(sheet) for sheet in found),
        "footer": escape(f"basis-daemon {__version__}  ·  {source.journal}  ·  {_NOTE}"),
    }
    figures: dict[str, Json] = {}
    for sheet in found:
        unit = sheet.whole.numeraire
        figures |= {f"course-{unit}": course(sheet), f"waterfall-{unit}": waterfall(sheet.whole)}
        figures |= {f"histogram-{unit}": histogram(sheet.whole)}
    return filled(PAGE, parts, figures, script)


_NOTE = "all times UTC; a year has 365 days; the rate that risk is compared with is zero; daily returns of a share"


def _valuations(found: Sequence[Sheet]) -> str:
    return f"{sum(len(part.steps) + 1 for sheet in found for part in sheet.strategies):,} valuations"


def _unexplained(part: Part) -> Decimal:
    """What single intervals left open, whichever way: it must not cancel out."""
    return sum((abs(step.sources["unexplained"]) for step in part.steps), ZERO)


def _class(sheet: Sheet) -> str:
    part, unit = sheet.whole, escape(sheet.whole.numeraire)
    return (
        f'<h2>Share class {unit}</h2><div class="tiles">{"".join(tile(*one) for one in _tiles(part))}</div>'
        f'<section><div id="course-{unit}"></div></section>'
        f'<section class="months"><h2>Returns by month, %</h2><div class="scroll">{_months(part)}</div></section>'
        f'<div class="pair"><section><h2>Earned by source, {unit}</h2><div id="waterfall-{unit}"></div></section>'
        f'<section><h2>Daily returns</h2><div id="histogram-{unit}"></div></section></div>'
        f'<div class="pair"><section><h2>Sources</h2>{_sources(part)}</section>'
        f"<section><h2>Deepest drawdowns</h2>{_falls(part)}</section></div>"
        f'<section><h2>Strategies</h2><div class="scroll">{_strategies(sheet)}</div></section>'
    )


# ------------------------------------------------------------------------------------------------------------- tiles
def _tiles(part: Part) -> Iterable[Tile]:
    told, unit, sources = part.figures, part.numeraire, part.sources
    start, end = part.points[0], part.points[-1]
    flows = f"{money(sources['flows'], unit, signed=True)} came in" if sources["flows"] else "nothing came in or went"
    yield f"Equity, {unit}", money(end.equity, unit), f"from {money(start.equity, unit)}; {flows}"
    yield "Share price", f"{end.shares.unit_value:.6f}", f"from {start.shares.unit_value:.6f}"
    yield "Return", percent(told.total, signed=True), f"{percent(told.annual, signed=True)} a year, compounded"
    yield "Largest drawdown", percent(told.drawdown), f"Calmar {ratio(told.calmar)}"
    yield "Sharpe", ratio(told.sharpe), f"Sortino {ratio(told.sortino)}"
    days = f"{percent(told.days_up, 0)} of days up, {percent(told.worst_day, signed=True)} to "
    yield "Volatility", percent(told.volatility), f"a year; {days}{percent(told.best_day, signed=True)}"
    source = "funding" if sources["funding"] else max(sources, key=lambda one: abs(sources[one]) * (one != "flows"))
    a_year = f"{percent(_a_year(part, sources[source]), signed=True)} of equity a year"
    yield _named(source).capitalize(), money(sources[source], unit, signed=True), a_year
    yield "Costs", money(part.costs, unit, signed=True), _volume(part)


def _volume(part: Part) -> str:
    traded = part.traded
    if not traded.volume:
        return "nothing was traded at a price"
    return (
        f"{traded.fills:,} fills, {money(traded.volume)} traded, {percent(float(traded.made / traded.volume), 0)} maker"
    )


def _a_year(part: Part, amount: Decimal) -> float | None:
    """Over mean equity, simple."""
    points = part.points
    mean = sum((point.equity for point in points), ZERO) / len(points)
    years = Decimal((points[-1].time - points[0].time) // timedelta(seconds=1)) / 86_400 / YEAR
    return float(amount / mean / years) if mean > 0 and years else None


def percent(value: float | None, places: int = 2, *, signed: bool = False) -> str:
    """A fraction as percent; a dash for what is not known."""
    if value is None:
        return DASH
    return (f"{value:+.{places}%}" if signed else f"{value:.{places}%}").replace("-", MINUS)


def ratio(value: float | None) -> str:
    """Two places; a dash for what is not known."""
    return DASH if value is None else f"{value:.2f}".replace("-", MINUS)


# ------------------------------------------------------------------------------------------------------------ tables
def _months(part: Part) -> str:
    returns = daily_returns(part.prices)
    months = monthly_returns(returns)
    rows = []
    for year in sorted({year for year, _ in months}):
        cells = [_tinted(months.get((year, month))) for month in range(1, 13)]
        rows.append((str(year), *cells, _tinted(_of_year(returns, year))))
    return table(("", *MONTHS, "year"), rows)


def _of_year(returns: Returns, year: int) -> float:
    whole = 1.0
    for day, gained in returns:
        whole *= 1 + gained if day.year == year else 1
    return whole - 1


def _tinted(gained: float | None) -> str:
    """A figure on green or red, the darker the larger."""
    if gained is None:
        return ""
    strength = min(abs(gained) / FULL_TINT, 1) * 0.45 + 0.05
    colour = f"rgba(16,185,129,{strength:.2f})" if gained >= 0 else f"rgba(239,68,68,{strength:.2f})"
    text = f"{100 * gained:+.2f}".replace("-", MINUS)
    return f'<span style="background:{colour};padding:2px 7px;border-radius:6px">{text}</span>'


def _sources(part: Part) -> str:
    sources, unit, earned = part.sources, part.numeraire, part.earned
    mean = sum((point.equity for point in part.points), ZERO) / len(part.points)
    shown = sorted(shown_sources(part), key=lambda source: -abs(sources[source]))
    rows = [(_named(s), *_amount(sources[s], unit, earned, mean)) for s in shown]
    rows += [("<b>earned</b>", *_amount(earned, unit, earned, mean))]
    rows += [("came in or went out", money(sources["flows"], unit, signed=True), "", "")] if sources["flows"] else []
    rows += [("unexplained", str(_unexplained(part).normalize()), "", "")]
    return table(("source", unit, "of what was earned", "bp of mean equity"), rows, ("keep", "num", "num", "num"))


def _named(source: str) -> str:
    return escape(source.replace("_", " "))


def _amount(amount: Decimal, unit: str, earned: Decimal, mean: Decimal) -> tuple[str, str, str]:
    share = percent(float(amount / earned), 1) if earned else DASH
    return (
        money(amount, unit, signed=True),
        share,
        f"{amount / mean * 10_000:+.1f}".replace("-", MINUS) if mean else DASH,
    )


def _falls(part: Part) -> str:
    deepest = sorted(falls(part.prices), key=lambda fall: -fall.depth)[:FALLS_SHOWN_MAX]
    rows = [(percent(-fall.depth), _time(fall.begun), _time(fall.deepest), _recovered(fall)) for fall in deepest]
    if not rows:
        return '<p class="soft">The share price never fell.</p>'
    return table(("depth", "from", "deepest", "recovered"), rows, ("num keep", "keep", "keep", ""))


def _recovered(fall: Fall) -> str:
    return _time(fall.recovered) if fall.recovered is not None else "not yet"


def _strategies(sheet: Sheet) -> str:
    columns = ("strategy", "equity", "earned", "return", "a year", "drawdown", "volatility", "Sharpe", "Sortino",
               "funding", "costs", "share price", "unexplained")  # fmt: skip
    parts = [*sheet.strategies, sheet.whole] if len(sheet.strategies) > 1 else sheet.strategies
    return table(columns, [_line(part) for part in parts], ("keep", *["num"] * 12))


def _line(part: Part) -> tuple[str, ...]:
    told, unit, last = part.figures, part.numeraire, part.points[-1]
    return (
        escape(part.name) or "<b>all of them</b>", money(last.equity, unit), money(part.earned, unit, signed=True),
        percent(told.total, signed=True), percent(told.annual, signed=True), percent(told.drawdown),
        percent(told.volatility), ratio(told.sharpe), ratio(told.sortino),
        money(part.sources["funding"], unit, signed=True), money(part.costs, unit, signed=True),
        f"{last.shares.unit_value:.6f}", str(_unexplained(part).normalize()),
    )  # fmt: skip


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"
