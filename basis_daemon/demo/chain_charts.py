"""The figures of a report from the chain: what decisions saw there over market time, and what happened meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.demo.charts import causes_panel, equity_line, legend, markers, plans
from basis_daemon.demo.panels import AMBER, BLUE, GREEN, RED, SLATE, VIOLET, Stack, coloured, numbers
from basis_daemon.demo.tape import HUNDRED, Tape, record, thinned
from basis_daemon.demo.units import unit_of
from basis_daemon.domain.decision import Assessment
from basis_daemon.engine.book_view import BookView, Json
from basis_daemon.engine.codec import DecisionRow, load
from basis_daemon.engine.views import trade_row
from basis_daemon.ports import RecordKind, StoredRecord

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Curve:
    """One input of decisions, by what its name begins with."""

    begins: str
    colour: str
    says: str


@dataclass(frozen=True, slots=True)
class Panel:
    """Inputs and the thresholds that they are compared with, on one scale; ``factor`` turns them into ``unit``.

    What lies below ``least`` is not shown: a yield after a slashing would hide all others.
    """

    title: str
    curves: tuple[Curve, ...]
    levels: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    factor: Decimal = ONE
    least: Decimal | None = None
    px: int = 170


PANELS = (
    Panel("Position at the lender", (Curve("position:", BLUE, "supplied"),)),
    Panel("Collateral and debt", (Curve("collateral", BLUE, "collateral"), Curve("debt", RED, "debt")), unit=" ETH"),
    Panel(
        "Rates, a year",
        (
            Curve("reserve:", BLUE, "now"), Curve("rate_smoothed", AMBER, "smoothed"),
            Curve("b_smoothed", AMBER, "borrowing, smoothed"), Curve("y_eff", GREEN, "staking"),
        ),
        {"lend_min_apr": "hurdle"}, " %", HUNDRED, Decimal(-3),
    ),
    Panel("Loan to value", (Curve("lambda", BLUE, "lambda"),), {"lambda_target": "target"}, " %", HUNDRED),
    Panel(
        "Health factor", (Curve("health_factor", BLUE, "health factor"),),
        {"hf_warn": "warn", "hf_reduce": "reduce", "hf_emergency": "emergency"},
    ),
    Panel(
        "Staking token, ETH",
        (Curve("lst:", BLUE, "issuer"), Curve("oracle", VIOLET, "oracle"), Curve("pool_price", AMBER, "pool")),
    ),
    Panel("USDT at the oracle", (Curve("price_usd", BLUE, "USD"),), {"usdt_floor": "floor"}, " USD"),
    Panel("Utilisation of the reserve", (Curve("utilisation", BLUE, "used"),), {"utilisation_max": "no entry"}, " %",
          HUNDRED),
)  # fmt: skip
"""From the top; one that no decision had an input for is left out."""

ROOM_OF_A_NUMBER = 0.012
"""Share of the time axis."""
LEVEL_COLOURS = (GREEN, AMBER, RED)


def timeline(view: BookView, rows: Sequence[StoredRecord], story: Iterable[Json]) -> Json:
    """Everything that has a time, panel below panel."""
    unit = unit_of(view)
    tape, saw = record(rows), list(thinned(decisions(rows)))
    drawn = [(panel, curves) for panel in PANELS if (curves := _seen(panel, saw))]
    stack = Stack([
        (f"<b>Equity</b>  {unit}, every transaction marked  {coloured('| what happened', AMBER)}", 230),
        *((f"<b>{panel.title}</b>  {_legend(curves)}", panel.px) for panel, curves in drawn),
        (f"<b>Profit and loss by cause</b>  {unit}, cumulative  {legend(view)}", 230),
    ])  # fmt: skip
    if tape.samples:
        stack.span(tape.samples[0].time, tape.samples[-1].time)
    _equity(stack, view, tape)
    for panel, curves in drawn:
        _panel(stack, panel, curves, saw)
    causes_panel(stack, view)
    plans(stack, view, tape)
    _scenes(stack, tape, story)
    return stack.figure()


def _scenes(stack: Stack, tape: Tape, story: Iterable[Json]) -> None:
    """When each thing happened, by its number in the table; numbers that would overlap are left out."""
    times = [datetime.fromisoformat(scene["time"]) for scene in story]
    room = (tape.samples[-1].time - tape.samples[0].time) * ROOM_OF_A_NUMBER if tape.samples else timedelta(0)
    last: datetime | None = None
    for number, at in enumerate(times, 1):
        is_named = last is None or at - last >= room
        stack.moment(at, f"<b>{number}</b>" if is_named else "", AMBER, line=1)
        last = at if is_named else last


def decisions(rows: Iterable[StoredRecord]) -> list[Assessment]:
    """All of them, oldest first."""
    kind = RecordKind.DECISION
    return [load(DecisionRow, row.record.payload).assessment for row in rows if row.record.kind is kind]


def _equity(stack: Stack, view: BookView, tape: Tape) -> None:
    equity_line(stack, view, tape)
    rows = [trade_row(view, seen) for seen in view.history.trades.values() if seen.row.trade.tx is not None]
    at = [tape.equity_at(datetime.fromisoformat(row["time"])) for row in rows]
    markers(stack, rows, numbers(at), [10.0] * len(rows))


Seen = Sequence[tuple[Curve, str]]
"""Each curve with the input that it is drawn from."""


def _seen(panel: Panel, saw: Sequence[Assessment]) -> Seen:
    names = dict.fromkeys(name for said in saw for name in said.inputs)
    found = [(curve, next((name for name in names if name.startswith(curve.begins)), "")) for curve in panel.curves]
    return [(curve, name) for curve, name in found if name]


def _legend(curves: Seen) -> str:
    return "  ".join(coloured(curve.says, curve.colour) for curve, _ in curves)


def _panel(stack: Stack, panel: Panel, curves: Seen, saw: Sequence[Assessment]) -> None:
    known = {
        curve: [(said.time, said.inputs[name].value * panel.factor) for said in saw if name in said.inputs]
        for curve, name in curves
    }
    stack.panel(ticksuffix=panel.unit, nticks=5, **_scale(panel, [v for points in known.values() for _, v in points]))
    for curve, points in known.items():
        hover = f"%{{x|%e %b %H:%M}}<br>{curve.says} %{{y:,.6~g}}{panel.unit}"
        stack.line([time for time, _ in points], [value for _, value in points], curve.colour, hover, shape="hv")
    bounds = next((said.thresholds for said in reversed(saw) if said.thresholds), {})
    for (name, says), colour in zip(panel.levels.items(), LEVEL_COLOURS, strict=False):
        if name in bounds:
            value = bounds[name] * panel.factor
            stack.level(value, SLATE if len(panel.levels) == 1 else colour, f"{says} {value.normalize():f}{panel.unit}")


def _scale(panel: Panel, values: Sequence[Decimal]) -> dict[str, list[float]]:
    """The range of a panel whose values fall below what it shows; its own otherwise."""
    if panel.least is None or min(values) >= panel.least:
        return {}
    return {"range": [float(panel.least), float(max(values)) * 1.08]}
