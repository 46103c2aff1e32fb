"""The charts of a tear sheet, panel below panel over one time axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from operator import attrgetter

from basis_daemon.demo.charts import waterfall_of
from basis_daemon.demo.panels import AMBER, BLUE, GREEN, RED, SLATE, VIOLET, Stack, coloured, numbers, stamp
from basis_daemon.demo.units import axis_format, digits_of, hover, least_shown
from basis_daemon.domain.pnl import SOURCES
from basis_daemon.engine.book_view import ZERO, Json
from basis_daemon.research.performance import daily_returns, underwater
from basis_daemon.tearsheet.content import COSTS, Part, Sheet

HUNDRED = Decimal(100)
COLOURS = {
    "funding": GREEN, "basis": VIOLET, "staking": "#14b8a6", "lending": "#84cc16", "borrow": "#f97316",
    "rewards": "#eab308", "price": AMBER, "fees": RED, "slippage": "#fb7185", "gas": "#b45309",
    "flash_fee": "#9f1239", "transfer": "#64748b", "rounding": SLATE, "liquidation": "#7f1d1d", "correction": SLATE,
    "unexplained": "#d946ef",
}  # fmt: skip
"""Each source the same everywhere on the page."""

_WHEN = "%{x|%e %b %Y %H:%M}<br>"
Buckets = dict[datetime, dict[str, Decimal]]


Draw = Callable[[Stack], None]
Panel = tuple[str, int, Draw]
"""Its title, its height in pixels, and what draws it."""


def course(sheet: Sheet) -> Json:
    """Everything that has a time; what a book never had has no panel."""
    panels = [*_performance(sheet.whole), *_by_source(sheet.whole), *_exposure(sheet)]
    stack = Stack([(title, height) for title, height, _ in panels])
    stack.span(sheet.whole.points[0].time, sheet.whole.points[-1].time)
    for _, _, draw in panels:
        draw(stack)
    figure = stack.figure()
    figure["layout"]["barmode"] = "relative"
    return figure


def _performance(part: Part) -> Iterator[Panel]:
    came = coloured("◆ money that came in or went out", SLATE)
    yield f"<b>Equity</b>  {part.numeraire}  {came}", 210, partial(_equity, part)
    yield "<b>Share price</b>  deposits and withdrawals do not move it", 190, partial(_share, part)
    yield "<b>Drawdown</b>  % below the highest share price", 120, partial(_drawdown, part)
    yield "<b>Daily returns</b>  %, UTC days", 140, partial(_returns, part)


def _by_source(part: Part) -> Iterator[Panel]:
    buckets, shown, unit = part.buckets(), shown_sources(part), part.numeraire
    step = "hour" if _step(buckets) < timedelta(days=1) else "day"
    yield f"<b>Sources by {step}</b>  {unit}  {_legend(shown)}", 230, partial(_bars, part, buckets, shown)
    earned = coloured("earned", BLUE)
    yield f"<b>Sources, cumulative</b>  {unit}  {earned}", 230, partial(_cumulative, part, buckets, shown)
    if "funding" in shown:
        so_far = coloured("cumulative (right)", AMBER)
        yield f"<b>Funding</b>  {unit} a {step}  {so_far}", 150, partial(_funding, part, buckets)
    if costs := [cost for cost in COSTS if cost in shown]:
        yield f"<b>Costs, cumulative</b>  {unit}  {_legend(costs)}", 140, partial(_costs, part, buckets, costs)


def _legend(sources: Sequence[str]) -> str:
    return "  ".join(coloured(source, COLOURS[source]) for source in sources)


def shown_sources(part: Part) -> list[str]:
    """Those that moved what is written as more than nothing, flows left out; unexplained by any amount."""
    sums, least = part.sources, least_shown(part.numeraire)
    return [s for s in SOURCES if s != "flows" and (abs(sums[s]) >= least or (s == "unexplained" and sums[s]))]


def _step(buckets: Buckets) -> timedelta:
    return timedelta(hours=1) if any(begin.hour for begin in buckets) else timedelta(days=1)


def _equity(part: Part, stack: Stack) -> None:
    unit = part.numeraire
    stack.panel(tickformat=axis_format(unit))
    stack.line(_times(part), [p.equity for p in part.points], BLUE, f"{_WHEN}equity {hover(unit)}")
    flows = [(step.closing, step.sources["flows"]) for step in part.steps if step.sources["flows"]]
    equity = {point.time: point.equity for point in part.points}
    stack.add(
        type="scatter", mode="markers", x=[stamp(point.time) for point, _ in flows],
        y=numbers([equity.get(point.time) for point, _ in flows]),
        text=[f"{amount:+,.{digits_of(unit)}f} {unit}" for _, amount in flows],
        hovertemplate=_WHEN + "%{text}<extra></extra>", marker={"symbol": "diamond", "size": 9, "color": SLATE},
    )  # fmt: skip


def _share(part: Part, stack: Stack) -> None:
    stack.panel(tickformat=".4f")
    prices = [point.shares.unit_value for point in part.points]
    stack.line(_times(part), prices, BLUE, f"{_WHEN}share price %{{y:.6f}}")


def _drawdown(part: Part, stack: Stack) -> None:
    stack.panel(ticksuffix=" %", nticks=4)
    stack.add(
        type="scatter", mode="lines", x=[stamp(time) for time in _times(part)],
        y=[100 * fall for fall in underwater(part.prices)], fill="tozeroy", line={"color": RED, "width": 1},
        hovertemplate=_WHEN + "%{y:.3f} % below the high<extra></extra>",
    )  # fmt: skip


def _returns(part: Part, stack: Stack) -> None:
    returns = daily_returns(part.prices)
    stack.panel(ticksuffix=" %", zeroline=True, nticks=4)
    stack.add(
        type="bar", x=[f"{day.isoformat()} 12:00:00" for day, _ in returns], y=[100 * gained for _, gained in returns],
        width=0.8 * 86_400_000, marker={"color": [GREEN if gained >= 0 else RED for _, gained in returns]},
        hovertemplate="%{x|%e %b %Y}<br>%{y:+.3f} %<extra></extra>",
    )  # fmt: skip


def _bars(part: Part, buckets: Buckets, shown: Sequence[str], stack: Stack) -> None:
    unit = part.numeraire
    stack.panel(tickformat=axis_format(unit), zeroline=True)
    for source in shown:
        _bar(stack, buckets, [sums[source] for sums in buckets.values()], COLOURS[source], f"{source} {hover(unit)}")


def _bar(stack: Stack, buckets: Buckets, amounts: Sequence[Decimal], colour: str, words: str) -> None:
    step = _step(buckets)
    stack.add(
        type="bar", x=[stamp(begin + step / 2) for begin in buckets], y=numbers(amounts), marker={"color": colour},
        width=0.8 * step / timedelta(milliseconds=1), hovertemplate=f"{_WHEN}{words}<extra></extra>",
    )  # fmt: skip


def _cumulative(part: Part, buckets: Buckets, shown: Sequence[str], stack: Stack) -> None:
    unit = part.numeraire
    stack.panel(tickformat=axis_format(unit), zeroline=True)
    times, total = _ends(buckets), [ZERO] * (len(buckets) + 1)
    for source in shown:
        line = _so_far([sums[source] for sums in buckets.values()])
        total = [one + other for one, other in zip(total, line, strict=True)]
        stack.line(times, line, COLOURS[source], f"{_WHEN}{source} {hover(unit)}", width=1.4)
    stack.line(times, total, BLUE, f"{_WHEN}earned {hover(unit)}", width=2.5)


def _funding(part: Part, buckets: Buckets, stack: Stack) -> None:
    unit, paid = part.numeraire, [sums["funding"] for sums in buckets.values()]
    stack.panel(tickformat=axis_format(unit), zeroline=True, nticks=4)
    _bar(stack, buckets, paid, GREEN, f"funding {hover(unit)}")
    stack.right_axis(tickformat=axis_format(unit), nticks=4)
    stack.line(_ends(buckets), _so_far(paid), AMBER, f"{_WHEN}funding so far {hover(unit)}")


def _costs(part: Part, buckets: Buckets, costs: Sequence[str], stack: Stack) -> None:
    unit = part.numeraire
    stack.panel(tickformat=axis_format(unit), nticks=4)
    for cost in costs:
        line = _so_far([sums[cost] for sums in buckets.values()])
        stack.line(_ends(buckets), line, COLOURS[cost], f"{_WHEN}{cost} {hover(unit)}", shape="hv")


def _exposure(sheet: Sheet) -> Iterator[Panel]:
    seen = [one for own in sheet.exposed.values() for one in own]
    sized = [
        (name, colour) for name, colour in (("perps", BLUE), ("owed", "#f97316")) if any(map(attrgetter(name), seen))
    ]
    if sized or any(one.net for one in seen):
        words = "  ".join(coloured(name, colour) for name, colour in sized)
        title = f"<b>Exposure</b>  % of equity  {words}  {coloured('net delta (right)', VIOLET)}"
        yield title, 160, partial(_exposed, sheet, sized)
    if any(one.z is not None for one in seen):
        yield "<b>Distance to liquidation</b>  z, in shocks, the nearest account", 140, partial(_distance, sheet)


def _exposed(sheet: Sheet, sized: Sequence[tuple[str, str]], stack: Stack) -> None:
    """A line for each strategy, as a share of its own equity."""
    stack.panel(ticksuffix=" %", nticks=4)
    for name, colour in sized:
        _shares(stack, sheet, name, colour, f"{name} %{{y:.1f}} % of equity")
    stack.right_axis(ticksuffix=" %", nticks=4, tickformat=".4~f")
    _shares(stack, sheet, "net", VIOLET, "net delta %{y:.4f} % of equity")


def _shares(stack: Stack, sheet: Sheet, what: str, colour: str, words: str) -> None:
    for name, seen in sheet.exposed.items():
        shares: list[Decimal | None] = [getattr(one, what) for one in seen]
        drawn = [share * HUNDRED if share is not None else None for share in shares]
        stack.line([one.time for one in seen], drawn, colour, f"{_WHEN}{name} {words}", width=1.4, shape="hv")


def _distance(sheet: Sheet, stack: Stack) -> None:
    stack.panel(nticks=4)
    for name, seen in sheet.exposed.items():
        stack.line([one.time for one in seen], [one.z for one in seen], BLUE, f"{_WHEN}{name} z %{{y:.2f}} shocks")


def _times(part: Part) -> list[datetime]:
    return [point.time for point in part.points]


def _ends(buckets: Buckets) -> list[datetime]:
    """The beginning of the first bucket and the end of each."""
    step = _step(buckets)
    return [next(iter(buckets)), *(begin + step for begin in buckets)]


def _so_far(amounts: Sequence[Decimal]) -> list[Decimal]:
    found = [ZERO]
    for amount in amounts:
        found.append(found[-1] + amount)
    return found


def waterfall(part: Part) -> Json:
    """What was earned, by source; the last bar is the sum."""
    sources = part.sources
    amounts = {source: sources[source] for source in shown_sources(part)}
    largest = dict(sorted(amounts.items(), key=lambda item: -abs(item[1])))
    return waterfall_of(largest, part.numeraire, "earned", height=360)


def histogram(part: Part) -> Json:
    """How often a day gained how much."""
    returns = [100 * gained for _, gained in daily_returns(part.prices)]
    trace: Json = {
        "type": "histogram", "x": returns, "nbinsx": 30, "marker": {"color": BLUE, "opacity": 0.8},
        "hovertemplate": "%{x} %<br>%{y} days<extra></extra>",
    }  # fmt: skip
    layout = {
        "height": 360, "margin": {"l": 48, "r": 24, "t": 24, "b": 40}, "showlegend": False, "bargap": 0.05,
        "xaxis": {"ticksuffix": " %", "zeroline": True}, "yaxis": {"nticks": 6},
    }  # fmt: skip
    return {"data": [trace], "layout": layout}
