"""The figures of a report: what happened over market time, and where the change of equity came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from basis_daemon.demo.outcome import DELTA_HARD
from basis_daemon.demo.panels import (
    AMBER,
    BLUE,
    GREEN,
    RED,
    SLATE,
    VIOLET,
    Points,
    Stack,
    coloured,
    numbers,
    stamp,
)
from basis_daemon.demo.tape import HUNDRED, Sample, Tape
from basis_daemon.demo.units import axis_format, digits_of, hover, least_shown, unit_of
from basis_daemon.domain.margin import Ladder
from basis_daemon.domain.pnl import by_source
from basis_daemon.engine.book_view import ZERO, BookView, Json, plain
from basis_daemon.engine.views import totals_by_cause, trade_row

CAUSE_COLOURS = {
    "funding": GREEN, "fees": RED, "basis": VIOLET, "price": AMBER, "slippage": SLATE, "total": BLUE,
    "liquidation": RED, "flows": SLATE, "lending": GREEN, "borrow": RED, "staking": VIOLET, "gas": RED,
}  # fmt: skip
ROOM_OF_MARKERS = Decimal("0.03")
"""Of the reach of the line: buys stand below it, sells above."""

ROOM_OF_A_REASON = 0.09
"""Share of the time axis that the name of a plan's reason takes."""
LADDER = Ladder()
Z_SHOWN_MAX = Decimal(4)
_LANES = {"spot_trade": "spot", "perp_trade": "perp"}


def timeline(view: BookView, tape: Tape) -> Json:
    """Everything that has a time, panel below panel."""
    asset = next(iter(view.latest.get("net_delta", {})), None) or _first_asset(view)
    stack = Stack([
        (f"<b>Equity</b>  USDT, every fill marked  {coloured('▲ buy', GREEN)}  {coloured('▼ sell', RED)}", 270),
        ("<b>Trades</b>  area is notional", 110),
        (f"<b>Price</b>  {asset}, USDT  {coloured('basis of the perp, bp (right)', VIOLET)}", 190),
        (f"<b>Funding</b>  USDT per settlement  {coloured('cumulative (right)', AMBER)}", 170),
        (f"<b>Forecast</b>  funding EWMA, % a year  {coloured('entry', GREEN)}  {coloured('exit', RED)}", 170),
        ("<b>Delta</b>  net, % of equity", 130),
        (f"<b>Distance to liquidation</b>  z, in shocks  {coloured('margin ratio m (right)', SLATE)}", 210),
        (f"<b>Profit and loss by cause</b>  USDT, cumulative  {legend(view)}", 230),
    ])  # fmt: skip
    if tape.samples:
        stack.span(tape.samples[0].time, tape.samples[-1].time)
    _equity(stack, view, tape)
    _trades(stack, view)
    _price(stack, tape, asset)
    _funding(stack, tape)
    _forecast(stack, tape)
    _delta(stack, tape)
    _margin(stack, tape)
    causes_panel(stack, view)
    plans(stack, view, tape)
    return stack.figure()


def plans(stack: Stack, view: BookView, tape: Tape) -> None:
    """Where plans began; reasons that would overlap go unnamed."""
    if not tape.samples:
        return
    room = (tape.samples[-1].time - tape.samples[0].time) * ROOM_OF_A_REASON
    free_from = tape.samples[0].time
    for seen in view.history.acted.values():
        said = seen.row.assessment
        is_named = said.time >= free_from
        stack.moment(said.time, said.reason.value if is_named else "")
        free_from = said.time + room if is_named else free_from


def _first_asset(view: BookView) -> str:
    return next((asset for asset in view.latest.get("prices", {}) if asset != "USDT"), "")


def _rows(view: BookView) -> list[Json]:
    return [valued.row for valued in view.history.valuations]


def _times(samples: Sequence[Sample]) -> list[datetime]:
    return [sample.time for sample in samples]


def equity_line(stack: Stack, view: BookView, tape: Tape) -> None:
    """Equity over time, in a panel of its own."""
    stack.panel(tickformat=axis_format(unit_of(view)))
    known = [sample for sample in tape.samples if sample.equity is not None]
    stack.line(_times(known), [s.equity for s in known], BLUE, f"%{{x|%e %b %H:%M}}<br>equity {hover(unit_of(view))}")


def _equity(stack: Stack, view: BookView, tape: Tape) -> None:
    equity_line(stack, view, tape)
    known = [sample for sample in tape.samples if sample.equity is not None]
    rows = [row for row in map(partial(trade_row, view), view.history.trades.values()) if row["price"]]
    at = [tape.equity_at(datetime.fromisoformat(row["time"])) for row in rows]
    room = reach([sample.equity for sample in known]) * ROOM_OF_MARKERS
    beside = [y - room if row["side"] == "BUY" else y + room for row, y in zip(rows, at, strict=True) if y is not None]
    markers(stack, rows, numbers(beside), [10.0] * len(rows))


def reach(values: Points) -> Decimal:
    known = [value for value in values if value is not None]
    return max(known, default=ZERO) - min(known, default=ZERO)


def markers(stack: Stack, rows: list[Json], y: Sequence[float | str | None], sizes: list[float]) -> None:
    """Trades, each with its words where the pointer is."""
    stack.add(
        type="scatter",
        mode="markers",
        x=[stamp(datetime.fromisoformat(row["time"])) for row in rows],
        y=list(y),
        text=[trade_words(row) for row in rows],
        hovertemplate="%{text}<extra></extra>",
        marker={
            "size": sizes,
            "symbol": [{"BUY": "triangle-up", "SELL": "triangle-down"}.get(row["side"], "diamond") for row in rows],
            "color": [{"BUY": GREEN, "SELL": RED}.get(row["side"], SLATE) for row in rows],
            "opacity": 0.8,
            "line": {"width": 0.5, "color": "rgba(127,127,127,.6)"},
        },
    )


def trade_words(row: Json) -> str:
    """A trade in the words of its hover box."""
    moved = "<br>".join(f"{key} {amount}" for key, amount in row["deltas"].items())
    head = (
        f"<b>{row['side']} {row['quantity']} {row['instrument']}</b>" if row["side"] else f"<b>{row['operation']}</b>"
    )
    fees = ", ".join(f"{amount} {asset}" for asset, amount in row["fees"].items()) or "none"
    price = f"<br>price {Decimal(row['price']):,} USDT" if row["price"] else f"<br>{moved}"
    return (
        f"{head}{price}<br>fee {fees}<br>reason {row['reason'] or 'not ours'}<br>"
        f"{row['time'][:19].replace('T', ' ')} UTC<br>order {row['order_id']}<br>plan {row['plan_id'] or '-'}"
    )


def _trades(stack: Stack, view: BookView) -> None:
    rows = [trade_row(view, seen) for seen in view.history.trades.values()]
    lanes = [_LANES.get(row["operation"] or "", "transfer") for row in rows]
    stack.panel(type="category", categoryorder="array", categoryarray=["transfer", "perp", "spot"], range=[-0.6, 2.6])
    notional = [_notional(row) for row in rows]
    largest = max(notional, default=1.0) or 1.0
    markers(stack, rows, lanes, [8 + 14 * (size / largest) ** 0.5 for size in notional])


def _notional(row: Json) -> float:
    if row["price"]:
        return float(Decimal(row["quantity"]) * Decimal(row["price"]))
    return max((float(abs(Decimal(amount))) for amount in row["deltas"].values()), default=0.0)


def _price(stack: Stack, tape: Tape, asset: str) -> None:
    known = [sample for sample in tape.samples if sample.price is not None]
    stack.panel(tickformat=",.0f", nticks=5)
    stack.line(_times(known), [s.price for s in known], SLATE, f"%{{x|%e %b %H:%M}}<br>{asset} %{{y:,.2f}}")
    stack.right_axis(ticksuffix=" bp", nticks=5)
    basis = [sample.basis_bp for sample in known]
    stack.line(_times(known), basis, VIOLET, "%{x|%e %b %H:%M}<br>basis %{y:.1f} bp", width=1.2)


def _funding(stack: Stack, tape: Tape) -> None:
    times, paid = [time for time, _ in tape.funding], [amount for _, amount in tape.funding]
    stack.panel(tickformat=",.0f", zeroline=True, nticks=5)
    stack.add(
        type="bar",
        x=[stamp(time) for time in times],
        y=numbers(paid),
        width=3 * 3_600_000,
        marker={"color": [GREEN if amount >= 0 else RED for amount in paid], "opacity": 0.75},
        hovertemplate="%{x|%e %b %H:%M}<br>funding %{y:,.2f} USDT<extra></extra>",
    )
    stack.right_axis(tickformat=",.0f", nticks=5)
    total = [sum(paid[: n + 1], ZERO) for n in range(len(paid))]
    stack.line(times, total, AMBER, "%{x|%e %b %H:%M}<br>funding so far %{y:,.2f} USDT", shape="hv")


def _forecast(stack: Stack, tape: Tape) -> None:
    stack.panel(ticksuffix=" %")
    for venue, signal in tape.signals.items():
        stack.line(signal.times, signal.forecast, BLUE, f"%{{x|%e %b %H:%M}}<br>{venue} forecast %{{y:.2f}} % a year")
        stack.line(signal.times, signal.entry, GREEN, "enter above %{y:.2f} % a year", dash="dash", width=1.2)
        stack.line(signal.times, signal.exit, RED, "leave below %{y:.2f} % a year", dash="dash", width=1.2)


def _delta(stack: Stack, tape: Tape) -> None:
    known = [sample for sample in tape.samples if sample.delta is not None]
    soft, hard = tape.bounds.get("delta_soft", Decimal("0.01")) * HUNDRED, DELTA_HARD * HUNDRED
    reach = max([float(hard) * 1.2, *(abs(float(s.delta or 0)) * 1.1 for s in known)])
    stack.panel(ticksuffix=" %", range=[-reach, reach], nticks=5)
    for bound, colour, name in ((soft, AMBER, "soft"), (hard, RED, "hard")):
        stack.level(bound, colour, f"{name} {plain(bound)} %")
        stack.level(-bound, colour, "")
    stack.line(_times(known), [s.delta for s in known], BLUE, "%{x|%e %b %H:%M}<br>net delta %{y:.4f} % of equity")


def _margin(stack: Stack, tape: Tape) -> None:
    """Distance z with its ladder; m on a right scale that is the same line, as both are linear in each other."""
    known = [sample for sample in tape.samples if sample.z is not None]
    z = [sample.z if sample.m is not None else None for sample in tape.samples]
    top = max([s.z for s in known if s.z is not None], default=ZERO) * Decimal("1.1")
    top = min(max(top, LADDER.z_open * Decimal("1.15")), Z_SHOWN_MAX)
    stack.panel(range=[0, float(top)])
    for at, colour, name in (
        (LADDER.z_open, GREEN, "open"), (LADDER.z_topup, AMBER, "top-up"),
        (LADDER.z_reduce, "#f97316", "reduce"), (LADDER.z_emergency, RED, "emergency"),
    ):  # fmt: skip
        stack.level(at, colour, f"{name} {plain(at)}")
    stack.line(_times(tape.samples), z, BLUE, "%{x|%e %b %H:%M}<br>z %{y:.2f} shocks to liquidation")
    if (scale := _m_of_z(known)) is not None:
        base, per_z = scale
        stack.right_axis(range=[float(base), float(base + per_z * top)], tickformat=".0%", nticks=5)
        ratio = [sample.m for sample in tape.samples]
        stack.line(_times(tape.samples), ratio, SLATE, "%{x|%e %b %H:%M}<br>margin ratio %{y:.2%}", width=0.8)


def _m_of_z(known: Sequence[Sample]) -> tuple[Decimal, Decimal] | None:
    """(m at z 0, m per z): the straight line through the nearest and the farthest sample."""
    points = sorted((s.z, s.m) for s in known if s.z is not None and s.m is not None)
    if not points or points[0][0] == points[-1][0]:
        return None
    (z0, m0), (z1, m1) = points[0], points[-1]
    per_z = (m1 - m0) / (z1 - z0)
    return m0 - per_z * z0, per_z


def shown_causes(view: BookView) -> dict[str, Decimal]:
    """Causes that moved what is written as more than nothing, largest first; the sum is of all of them."""
    causes, least = totals_by_cause(_rows(view)), least_shown(unit_of(view))
    return dict(sorted(((c, a) for c, a in causes.items() if abs(a) >= least), key=lambda item: -abs(item[1])))


def _colour(cause: str) -> str:
    return CAUSE_COLOURS.get(cause, SLATE)


def legend(view: BookView) -> str:
    """The causes in the colours of their lines."""
    return "  ".join(coloured(cause, _colour(cause)) for cause in (*shown_causes(view), "total"))


def causes_panel(stack: Stack, view: BookView) -> None:
    """Profit and loss by cause, cumulative, in a panel of its own."""
    times = [datetime.fromisoformat(row["time"]) for row in _rows(view)]
    rows = [by_source({name: Decimal(a) for name, a in row["components"].items()}) for row in _rows(view)]
    unit = unit_of(view)
    stack.panel(tickformat=axis_format(unit))
    stack.level(ZERO, SLATE, "")
    total = [ZERO] * len(rows)
    for cause in shown_causes(view):
        amounts, so_far = [], ZERO
        for number, row in enumerate(rows):
            so_far += row[cause] if number else ZERO
            amounts.append(so_far)
        total = [one + other for one, other in zip(total, amounts, strict=True)]
        stack.line(times, amounts, _colour(cause), f"%{{x|%e %b %H:%M}}<br>{cause} {hover(unit)}", width=1.5)
    stack.line(times, total, BLUE, f"%{{x|%e %b %H:%M}}<br>change of equity {hover(unit)}", width=2.5)


def waterfall(view: BookView) -> Json:
    """The change of equity by cause; the last bar is the sum."""
    return waterfall_of(shown_causes(view), unit_of(view), "change")


def waterfall_of(amounts: Mapping[str, Decimal], unit: str, last: str, height: int = 430) -> Json:
    """Amounts one upon the other; the last bar bears this name and is their sum."""
    every = [*amounts.values(), sum(amounts.values(), ZERO)]
    trace: dict[str, Any] = {
        "type": "waterfall", "orientation": "v", "x": [*amounts, last], "y": numbers(every),
        "measure": ["relative"] * len(amounts) + ["total"], "cliponaxis": False, "textposition": "outside",
        "text": [f"{amount:+,.{digits_of(unit)}f}" for amount in every],
        "hovertemplate": f"%{{x}} %{{text}} {unit}<extra></extra>", "connector": {"line": {"color": SLATE, "width": 1}},
        "increasing": {"marker": {"color": GREEN}}, "decreasing": {"marker": {"color": RED}},
        "totals": {"marker": {"color": BLUE}},
    }  # fmt: skip
    layout = {
        "height": height, "margin": {"l": 72, "r": 24, "t": 24, "b": 40}, "showlegend": False,
        "yaxis": {"tickformat": axis_format(unit), "zeroline": True}, "xaxis": {"type": "category", "showgrid": False},
    }  # fmt: skip
    return {"data": [trace], "layout": layout}
