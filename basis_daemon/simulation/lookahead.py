"""Does a decision know what comes later? History is cut at several instants; what was decided before must not change.

The other question is how far back a decision remembers: the same days are played on half of what came before them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any, TypeVar

import orjson

from basis_daemon.engine.sight import decision_text
from basis_daemon.ports import RecordKind, StoredRecord
from basis_daemon.settings import Settings
from basis_daemon.simulation.history import History
from basis_daemon.simulation.run import Played, Recorded, Span, play

Json = dict[str, Any]
T = TypeVar("T")
CUTS = 4
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision of a stream."""

    at: datetime
    words: str

    def told(self) -> Json:
        said = orjson.loads(self.words)["assessment"]
        return {"market_time": self.at.isoformat(), "reason": said["reason"], "note": said["note"]}

    @property
    def deed(self) -> tuple[object, object]:
        """What it does, without what it says about it."""
        said = orjson.loads(self.words)["assessment"]
        return said["reason"], said["targets"]


def check(settings: Settings, recorded: Recorded, played: Played, on_run: Callable[[str], None]) -> Json:
    """``is_clean`` when no cut changed what was decided before it; ``memory`` tells of the shorter lead-in."""
    whole = stream(played.rows)
    cuts = []
    for cut in _instants(played.span):
        on_run(f"cut at {cut:%Y-%m-%d %H:%M}")
        part = play(settings, until(recorded, cut), Span(played.span.start, cut), _unseen)
        cuts.append({"cut": cut.isoformat(), **compared([one for one in whole if one.at < cut], stream(part.rows))})
    return {
        "is_clean": all(cut["first_difference"] is None for cut in cuts),
        "cuts": cuts,
        "memory": _memory(settings, recorded, played, whole, on_run),
    }


def stream(rows: Iterable[StoredRecord]) -> list[Decided]:
    """The decisions of a journal."""
    kept = (row.record for row in rows if row.record.kind is RecordKind.DECISION)
    return [Decided(record.market_time, decision_text(record.payload)) for record in kept]


def compared(whole: Sequence[Decided], part: Sequence[Decided]) -> Json:
    """How many were compared, and the first that is another one or not there."""
    for number, (full, cut) in enumerate(zip_longest(whole, part), 1):
        if full is None or cut is None or full != cut:
            said = {"number": number, "whole": full.told() if full else None, "cut": cut.told() if cut else None}
            return {"decisions": len(whole), "first_difference": said}
    return {"decisions": len(whole), "first_difference": None}


def until(recorded: Recorded, cut: datetime) -> Recorded:
    """What could be known at that instant: bars that had closed, and rows from before it."""
    history, chain = recorded.history, recorded.chain
    bars = {name: [bar for bar in rows if bar.opened + HOUR <= cut] for name, rows in history.bars.items()}
    settled = {name: [row for row in rows if row.at < cut] for name, rows in history.settled.items()}
    cropped = History(history.directory, _filled(bars), _filled(settled))
    if chain is None:
        return Recorded(cropped)

    def before(rows: Sequence[Any]) -> Sequence[Any]:
        return [row for row in rows if row.at < cut]

    return Recorded(
        cropped,
        replace(
            chain,
            reserves={name: before(rows) for name, rows in chain.reserves.items()},
            tokens={name: before(rows) for name, rows in chain.tokens.items()},
            gas=before(chain.gas),
            rewards={name: before(rows) for name, rows in chain.rewards.items()},
            weeks=before(chain.weeks),
        ),
    )


def _filled(series: Mapping[Any, Sequence[T]]) -> Mapping[Any, Sequence[T]]:
    return {name: rows for name, rows in series.items() if rows}


def _instants(span: Span) -> Iterator[datetime]:
    """Whole hours that divide the span."""
    hours = (span.end - span.start) // HOUR
    for number in range(1, CUTS + 1):
        if 0 < (at := hours * number // (CUTS + 1)) < hours:
            yield span.start + at * HOUR


def _memory(
    settings: Settings, recorded: Recorded, played: Played, whole: Sequence[Decided], on_run: Callable[[str], None]
) -> Json | None:
    """None where nothing came before the first day."""
    history, start = recorded.history, played.span.start
    stamps = history.stamps
    if stamps is None or stamps[0] >= start:
        return None
    since = start - (start - stamps[0]) / 2
    on_run(f"on what came after {since:%Y-%m-%d %H:%M}")
    bars = {name: [bar for bar in rows if bar.opened >= since] for name, rows in history.bars.items()}
    settled = {name: [row for row in rows if row.at >= since] for name, rows in history.settled.items()}
    shorter = replace(recorded, history=History(history.directory, _filled(bars), _filled(settled)))
    part = stream(play(settings, shorter, played.span, _unseen).rows)
    turned = [(full, cut) for full, cut in zip(whole, part, strict=False) if full.deed != cut.deed]
    first = {"long": turned[0][0].told(), "short": turned[0][1].told()} if turned else None
    return {"since": since.isoformat(), "decisions": len(whole), "other_deeds": len(turned), "first": first}


def _unseen(_point: object, _daemon: object) -> None: ...
