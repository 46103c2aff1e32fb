"""What a tear sheet says of each share class of a book: performance, sources, costs, exposure, each strategy's part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.engine.attribution import (
    Asked,
    By,
    Course,
    Interval,
    Point,
    chosen,
    courses_of,
    floor,
    summed,
    together,
)
from basis_daemon.engine.book_view import QUOTE, ZERO, BookView, Json, plain
from basis_daemon.research.performance import Figures, Prices, figures, monthly_returns
from basis_daemon.research.performance import daily_returns as daily

ONE = Decimal(1)
COSTS = ("fees", "slippage", "gas", "flash_fee", "transfer")
SHORT = timedelta(days=4)
"""Up to here bars stand for hours, beyond for days."""


@dataclass(frozen=True, slots=True)
class Exposed:
    """At one valuation, as shares of equity: what prices move, all perps by their size, debt; ``z`` is the nearest."""

    time: datetime
    net: Decimal | None
    perps: Decimal | None
    owed: Decimal | None
    z: Decimal | None


@dataclass(frozen=True, slots=True)
class Traded:
    """Executions at a price: ``volume`` in the quote coin, ``made`` the part of it that rested in the book first."""

    fills: int = 0
    volume: Decimal = ZERO
    made: Decimal = ZERO

    def with_one(self, notional: Decimal, *, is_maker: bool) -> Traded:
        """One execution more."""
        return Traded(self.fills + 1, self.volume + notional, self.made + (notional if is_maker else ZERO))


@dataclass(frozen=True, slots=True)
class Part:
    """One strategy within what was asked for, or all of a share class together."""

    name: str
    numeraire: str
    points: Sequence[Point]
    steps: Sequence[Interval]
    traded: Traded = Traded()

    @property
    def sources(self) -> dict[str, Decimal]:
        """Over all intervals."""
        return summed(self.steps)

    @property
    def earned(self) -> Decimal:
        """The change of equity without what came in or went out."""
        sources = self.sources
        return sum(sources.values(), ZERO) - sources["flows"]

    @property
    def costs(self) -> Decimal:
        """What trading cost, negative where it was paid."""
        sources = self.sources
        return sum((sources[cost] for cost in COSTS), ZERO)

    @property
    def prices(self) -> Prices:
        """Of one share, for statistics."""
        return [(point.time, float(point.shares.unit_value)) for point in self.points]

    @property
    def figures(self) -> Figures:
        """Of the share price."""
        return figures(self.prices)

    def buckets(self) -> dict[datetime, dict[str, Decimal]]:
        """Sources by day, or by hour of a short book, oldest first; an interval counts where it ends."""
        by = By.HOUR if self.points[-1].time - self.points[0].time <= SHORT else By.DAY
        found: dict[datetime, list[Interval]] = {}
        for step in sorted(self.steps, key=lambda step: step.closing.time):
            found.setdefault(floor(step.closing.time, by), []).append(step)
        return {begin: summed(own) for begin, own in found.items()}


@dataclass(frozen=True, slots=True)
class Sheet:
    """One share class: the whole, its strategies, and how exposed it was."""

    whole: Part
    strategies: Sequence[Part]
    exposed: Mapping[str, Sequence[Exposed]]


def sheets(view: BookView, asked: Asked) -> list[Sheet]:
    """One for each share class that has an interval in the part asked for."""
    rows = [valued.row for valued in view.history.valuations]
    courses = {name: own for name, own in courses_of(rows).items() if asked.strategy in {None, name}}
    found = []
    for numeraire in sorted({own.points[0].numeraire for own in courses.values()}):
        own = {name: course for name, course in courses.items() if course.points[0].numeraire == numeraire}
        parts = [part for name, course in own.items() if (part := _part(view, name, course, asked)).steps]
        if not parts:
            continue
        steps = [step for part in parts for step in part.steps]
        points = within(together(list(own.values())), steps)
        exposed = {part.name: _within(rows, part) for part in parts}
        found.append(Sheet(Part("", numeraire, points, steps, _added(parts)), parts, exposed))
    return found


def _within(rows: Iterable[Json], part: Part) -> list[Exposed]:
    first, last = part.points[0].time, part.points[-1].time
    seen = [_exposed(row) for row in rows if row["strategy"] == part.name]
    return [one for one in seen if first <= one.time <= last]


def _part(view: BookView, name: str, course: Course, asked: Asked) -> Part:
    steps = chosen(course, asked)
    points = within(course.points, steps)
    return Part(name, course.points[0].numeraire, points, steps, _traded(view, name, points))


def _traded(view: BookView, strategy: str, points: Sequence[Point]) -> Traded:
    """At exchanges: what a transaction turned into another coin is no execution there."""
    found, lives = Traded(), view.history.lives
    for trade in (seen.row.trade for seen in view.history.trades.values() if seen.row.trade.tx is None):
        life = lives.get(trade.order_id)
        is_own = life is not None and life.order.strategy == strategy
        if is_own and trade.price is not None and points and points[0].time <= trade.venue_time <= points[-1].time:
            found = found.with_one(trade.qty_base * trade.price, is_maker=trade.liquidity == "maker")
    return found


def _added(parts: Iterable[Part]) -> Traded:
    every = [part.traded for part in parts]
    volume, made = (sum(amounts, ZERO) for amounts in ((t.volume for t in every), (t.made for t in every)))
    return Traded(sum(traded.fills for traded in every), volume, made)


def within(points: Iterable[Point], steps: Sequence[Interval]) -> list[Point]:
    """The points from the opening of the first interval to the close of the last; none without an interval."""
    if not steps:
        return []
    begin, end = min(step.opening.time for step in steps), max(step.closing.time for step in steps)
    return [point for point in points if begin <= point.time <= end]


def _exposed(row: Json) -> Exposed:
    equity, prices = Decimal(row["equity_usdt"]), {asset: Decimal(price) for asset, price in row["prices"].items()}
    dollar = prices.get(QUOTE, ONE)
    held = [(PositionKey(key), Decimal(quantity)) for key, quantity in row["holdings"].items() if Decimal(quantity)]
    net = [Decimal(quantity) * prices[asset] for asset, quantity in row["net_delta"].items() if asset in prices]
    perps = [abs(q) * Decimal(row["marks"][key]) * dollar for key, q in held if key.kind is Kind.PERP]
    owed = [q * prices[key.asset] for key, q in held if key.kind is Kind.VDEBT]
    distances = [Decimal(margin["z"]) for margin in row["margins"] if margin["z"] is not None]

    def share(amounts: Sequence[Decimal]) -> Decimal | None:
        return sum(amounts, ZERO) / equity if equity > 0 else None

    at = datetime.fromisoformat(row["time"])
    return Exposed(at, share(net), share(perps), share(owed), min(distances, default=None))


def document(found: Sequence[Sheet]) -> Json:
    """The figures of the page for programs: money and prices as decimal text, statistics as numbers."""
    return {
        "classes": {
            sheet.whole.numeraire: _said(sheet.whole)
            | {
                "months": {f"{year}-{month:02d}": gained for (year, month), gained in _months(sheet.whole).items()},
                "strategies": {part.name: _said(part) for part in sheet.strategies},
            }
            for sheet in found
        }
    }


def _months(part: Part) -> Mapping[tuple[int, int], float]:
    return monthly_returns(daily(part.prices))


def _said(part: Part) -> dict[str, Any]:
    points = part.points
    return {
        "from": points[0].time.isoformat(),
        "to": points[-1].time.isoformat(),
        "equity_start": plain(points[0].equity),
        "equity_end": plain(points[-1].equity),
        "earned": plain(part.earned),
        "flows": plain(part.sources["flows"]),
        "costs": plain(part.costs),
        "fills": part.traded.fills,
        "volume": plain(part.traded.volume),
        "share_price_start": plain(points[0].shares.unit_value),
        "share_price_end": plain(points[-1].shares.unit_value),
        "by_cause": {source: plain(amount) for source, amount in part.sources.items()},
        **asdict(part.figures),
    }
