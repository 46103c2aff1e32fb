"""What a book earned, from what, and what a share of it is worth: the view behind ``basis-daemon pnl``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from basis_daemon.engine.attribution import (
    Asked,
    By,
    Course,
    Interval,
    Point,
    chosen,
    courses_of,
    first_and_last,
    periods,
    refuse_nothing,
    summed,
    together,
)
from basis_daemon.engine.book_view import ZERO, BookView, Json, plain

GRAIN = Decimal("1e-10")
"""What ratios and share prices are cut to; money is never cut."""

NOTHING_ASKED = Asked()


def pnl(view: BookView, asked: Asked = NOTHING_ASKED) -> Json:
    """Change of equity by cause and share price: in all, by strategy, and by period where one is asked for.

    ``residual`` is what no cause explains. Share classes are never added: of a book with several, ``classes`` holds
    each of them and the figures of the whole are empty. Raises NothingValuedError when nothing lies in the part asked
    for.
    """
    rows = [valued.row for valued in view.history.valuations]
    if not rows:
        return {"from": None, "to": None, "equity_start": None, "equity_end": None, "by_cause": {}, "strategies": {},
                "valuations": []}  # fmt: skip
    known = courses_of(rows)
    if asked != NOTHING_ASKED:
        refuse_nothing(known, asked)
    courses = {name: own for name, own in known.items() if asked.strategy in {None, name}}
    classes = sorted({own.points[0].numeraire for own in courses.values()})
    whole = {name: _class(courses.values(), name, asked) for name in classes}
    found = whole[classes[0]] if len(classes) == 1 else _apart(whole)
    found |= {"strategies": {name: _change(own.points, chosen(own, asked)) for name, own in courses.items()}}
    if asked.by is None:
        return found | {"valuations": [_valuation(point, step) for point, step in _steps(courses.values(), asked)]}
    return found | {"by": asked.by.value, "periods": _periods(courses, classes, asked)}


def _class(courses: Iterable[Course], numeraire: str, asked: Asked) -> Json:
    own = [course for course in courses if course.points[0].numeraire == numeraire]
    steps = [step for course in own for step in chosen(course, asked)]
    return _change(together(own), steps, own)


def _apart(whole: Mapping[str, Json]) -> Json:
    """Of several share classes there is no sum."""
    blank: Json = dict.fromkeys(("equity_start", "equity_end", "change", "residual", "return", "share_price"))
    times = {"from": min(part["from"] for part in whole.values()), "to": max(part["to"] for part in whole.values())}
    worst = max((part["drawdown_max"] for part in whole.values()), key=Decimal)
    return {
        **times,
        "numeraire": "+".join(whole),
        **blank,
        "by_cause": {},
        "drawdown_max": worst,
        "classes": dict(whole),
    }


def _change(points: Sequence[Point], steps: Sequence[Interval], courses: Iterable[Course] = ()) -> Json:
    """From the opening of the first interval to the close of the last; ``points`` are those of the share price.

    Of ``courses`` without an interval here the equity stands still.
    """
    times = [at for step in steps for at in (step.opening.time, step.closing.time)] or [points[-1].time]
    begin, close, sources = min(times), max(times), summed(steps)
    moved = {step.closing.strategy for step in steps}
    still = sum((own.equity_at(close) for own in courses if own.points[0].strategy not in moved), ZERO)
    start, end = (part + still for part in first_and_last(steps)) if moved or still else (points[-1].equity,) * 2
    within = [point for point in points if begin <= point.time <= close] or [points[-1]]
    return {
        "from": begin.isoformat(),
        "to": close.isoformat(),
        "numeraire": points[0].numeraire,
        "equity_start": plain(start),
        "equity_end": plain(end),
        "change": plain(end - start),
        "by_cause": {source: plain(amount) for source, amount in sources.items()},
        "residual": plain(end - start - sum(sources.values(), ZERO)),
        **_returns(within),
    }


def _returns(points: Sequence[Point]) -> Json:
    """What a share gained between these points; None after a loss of everything, of which no share is left."""
    first, last = points[0].shares, points[-1].shares
    gained = (last.unit_value / first.unit_value - 1).quantize(GRAIN) if first.unit_value else None
    return {
        "return": plain(gained) if gained is not None else None,
        "drawdown_max": plain(max(point.drawdown for point in points).quantize(GRAIN)),
        "share_price": {
            "start": plain(first.unit_value.quantize(GRAIN)),
            "end": plain(last.unit_value.quantize(GRAIN)),
            "high": plain(last.high.quantize(GRAIN)),
            "shares": plain(last.units.quantize(GRAIN)),
        },
    }


def _periods(courses: Mapping[str, Course], classes: Sequence[str], asked: Asked) -> list[Json]:
    if asked.by is By.STRATEGY:
        each = ((name, own.points, chosen(own, asked)) for name, own in courses.items())
        return [{"strategy": name, **_change(points, steps)} for name, points, steps in each if steps]
    of_class = {name: [c for c in courses.values() if c.points[0].numeraire == name] for name in classes}
    prices = {name: together(own) for name, own in of_class.items()}
    steps = [step for own in courses.values() for step in chosen(own, asked)]
    return [
        {"period": begin.isoformat(), **_change(prices[name], own, of_class[name])}
        for (begin, name), own in periods(steps, By.DAY if asked.by is By.DAY else By.HOUR).items()
    ]


def _steps(courses: Iterable[Course], asked: Asked) -> list[tuple[Point, Interval | None]]:
    """Every valuation with the interval that it ends; the first of a strategy ends none."""
    found: list[tuple[Point, Interval | None]] = []
    for course in courses:
        steps = chosen(course, asked)
        found += [(steps[0].opening if steps else course.points[-1], None)]
        found += [(step.closing, step) for step in steps]
    return sorted(found, key=lambda item: item[0].time)


def _valuation(point: Point, step: Interval | None) -> Json:
    sources = step.sources if step is not None else {}
    return {
        "time": point.time.isoformat(),
        "strategy": point.strategy,
        "equity_usdt": plain(point.equity),
        "share_price": plain(point.shares.unit_value.quantize(GRAIN)),
        "components": {source: plain(amount) for source, amount in sources.items()},
    }
