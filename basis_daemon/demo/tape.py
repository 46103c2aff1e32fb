"""Time series of a run for its charts, in one pass over the journal: valuations, and what decisions saw in between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import orjson

from basis_daemon.domain.decision import Assessment, ReasonCode
from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.engine.book_view import ZERO, Json
from basis_daemon.engine.codec import DecisionRow, load
from basis_daemon.ports import RecordKind, StoredRecord

YEAR_OF_8H = Decimal(1095)
BP = Decimal(10_000)
HUNDRED = Decimal(100)
POINTS = 900
"""About so many samples per line: what a screen can show."""

_WANTED = frozenset({RecordKind.DECISION, RecordKind.CASH_FLOW, RecordKind.VALUATION})


@dataclass(frozen=True, slots=True)
class Sample:
    """The book at one instant; what was not known is None. ``delta`` is net, in percent of equity."""

    time: datetime
    equity: Decimal | None = None
    price: Decimal | None = None
    mark: Decimal | None = None
    delta: Decimal | None = None
    z: Decimal | None = None
    m: Decimal | None = None

    @property
    def basis_bp(self) -> Decimal | None:
        """Perp over spot less 1."""
        return (self.mark / self.price - 1) * BP if self.mark and self.price else None


@dataclass(slots=True)
class Signal:
    """Funding forecast of one venue against its thresholds, in percent per year of notional."""

    times: list[datetime] = field(default_factory=list)
    forecast: list[Decimal] = field(default_factory=list)
    entry: list[Decimal | None] = field(default_factory=list)
    exit: list[Decimal | None] = field(default_factory=list)


@dataclass(slots=True)
class Tape:
    """What happened, in order. ``bounds`` are the thresholds of the last decision."""

    samples: list[Sample] = field(default_factory=list)
    funding: list[tuple[datetime, Decimal]] = field(default_factory=list)
    signals: dict[str, Signal] = field(default_factory=dict)
    bounds: Mapping[str, Decimal] = field(default_factory=dict)

    def equity_at(self, moment: datetime) -> Decimal | None:
        """Equity on the straight line between the samples around ``moment``; None without any."""
        points = [(sample.time, sample.equity) for sample in self.samples if sample.equity is not None]
        before = [point for point in points if point[0] <= moment]
        after = points[len(before) :]
        if not before or not after:
            return points[-1 if before else 0][1] if points else None
        (t0, e0), (t1, e1) = before[-1], after[0]
        second = timedelta(seconds=1)
        return e0 + (e1 - e0) * Decimal((moment - t0) // second) / Decimal(max((t1 - t0) // second, 1))


def record(rows: Iterable[StoredRecord]) -> Tape:
    """The tape of a journal: every valuation and settlement, and decisions about as dense as a screen."""
    wanted = [row for row in rows if row.record.kind in _WANTED]
    tape, next_at = Tape(), datetime.min.replace(tzinfo=wanted[0].record.market_time.tzinfo) if wanted else None
    step = _step(wanted)
    for row in wanted:
        kind, at = row.record.kind, row.record.market_time
        if kind is RecordKind.CASH_FLOW:
            flow = load(CashFlow, row.record.payload)
            if flow.cause is Cause.FUNDING:
                tape.funding.append((flow.venue_time, flow.amount))
        elif kind is RecordKind.VALUATION:
            tape.samples.append(valued(orjson.loads(row.record.payload)))
        elif next_at is not None and at >= next_at:
            next_at = at + step
            said = load(DecisionRow, row.record.payload).assessment
            tape.samples.append(seen(said))
            tape.bounds = said.thresholds or tape.bounds
            _forecasts(tape.signals, said)
    tape.samples.sort(key=lambda sample: sample.time)
    return tape


def thinned(saw: Sequence[Assessment]) -> Iterable[Assessment]:
    """About as many as a screen can show, the last one among them."""
    step = max(len(saw) // POINTS, 1)
    yield from (said for number, said in enumerate(saw) if number % step == 0 or number == len(saw) - 1)


def _step(rows: Sequence[StoredRecord]) -> timedelta:
    if not rows:
        return timedelta(0)
    return (rows[-1].record.market_time - rows[0].record.market_time) / POINTS


def seen(said: Assessment) -> Sample:
    """What a decision saw, as far as it names its inputs; prices that it called stale are not drawn."""
    if said.reason is ReasonCode.STALE and ("book:" in said.note or "mark:" in said.note):
        return Sample(said.time)

    def first(kind: str, part: str = "") -> Decimal | None:
        names = (name for name in said.inputs if name.startswith(kind) and part in name)
        name = next(names, None)
        return said.inputs[name].value if name is not None else None

    equity, net, price = first("equity_usdt"), first("net_delta"), first("book:", ":spot:")
    known = equity is not None and net is not None and price is not None and equity > 0
    delta = net * price / equity * HUNDRED if known and net is not None and price and equity else None
    return Sample(said.time, equity, price, first("mark:"), delta, first("z:"), first("m:"))


def valued(row: Json) -> Sample:
    """A valuation of the book by the venues' own balances."""
    equity = Decimal(row["equity_usdt"])
    shares = {
        asset: Decimal(quantity) * Decimal(row["prices"][asset]) / equity
        for asset, quantity in row["net_delta"].items()
        if asset in row["prices"] and equity > 0
    }
    perp, mark = next(iter(row["marks"].items()), (None, None))
    price = row["prices"].get(row["bases"].get(perp)) if perp is not None else None
    site = next((m for m in row["margins"] if m["z"] is not None), None)
    return Sample(
        time=datetime.fromisoformat(row["time"]),
        equity=equity,
        price=Decimal(price) if price is not None else None,
        mark=Decimal(mark) if mark is not None else None,
        delta=max(shares.values(), key=abs, default=ZERO) * HUNDRED,
        z=Decimal(site["z"]) if site else None,
        m=Decimal(site["ratio"]) if site else None,
    )


def _forecasts(signals: dict[str, Signal], said: Assessment) -> None:
    for name, used in said.inputs.items():
        kind, _, venue = name.partition(":")
        if kind == "f_hat":
            signal = signals.setdefault(venue, Signal())
            signal.times.append(said.time)
            signal.forecast.append(used.value * YEAR_OF_8H * HUNDRED)
            for bound, into in (("f_entry", signal.entry), ("f_exit", signal.exit)):
                value = said.thresholds.get(f"{bound}:{venue}")
                into.append(value * YEAR_OF_8H * HUNDRED if value is not None else None)
