"""What `basis-daemon risk --stress` answers: every cell of the grid, the worst of them, and who falls first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from basis_daemon.domain.risk_book import RiskBook
from basis_daemon.domain.stress import Casualty, Cell, Grid, stress
from basis_daemon.engine.book_view import BookView, Json, plain
from basis_daemon.engine.risk_views import figure

CENTS = Decimal("0.01")


def journal_stress(view: BookView, grid: Grid) -> Json:
    """Of the newest positions that the journal holds."""
    return stress_view(list(view.risks.values()), grid)


def stress_view(books: Sequence[RiskBook], grid: Grid) -> Json:
    """Every cell, in the order of the axes; nobody acts in any of them."""
    cells = stress(books, grid)
    valued = [cell for cell in cells if cell.equity_usdt is not None]
    worst = min(valued, key=lambda cell: cell.equity_usdt or Decimal(0), default=None)
    fallen = [cell for cell in cells if cell.first is not None]
    mildest = min(fallen, key=_size, default=None)
    known = [book.equity_usdt for book in books if book.equity_usdt is not None]
    return {
        "as_of": min((book.time.isoformat() for book in books), default=None),
        "equity_usdt": plain(sum(known, Decimal(0))) if len(known) == len(books) else None,
        "horizon_days": plain(grid.days),
        "cells": [_cell(cell) for cell in cells],
        "cells_without_casualty": len(cells) - len(fallen),
        "first_casualties": dict(Counter(cell.first.site for cell in fallen if cell.first is not None)),
        "mildest_with_casualty": _cell(mildest) if mildest is not None else None,
        "worst": _cell(worst) if worst is not None else None,
    }


def _size(cell: Cell) -> tuple[bool, Decimal]:
    """How far its shocks go, whichever they are; those where somebody fails come last."""
    s = cell.scenario
    return bool(s.outage), abs(s.price) + abs(s.basis) + abs(s.peg) + abs(s.borrow) + abs(s.funding)


def _cell(cell: Cell) -> Json:
    s, left = cell.scenario, cell.equity_usdt
    shocks = {"price": s.price, "basis": s.basis, "peg": s.peg, "borrow": s.borrow, "funding": s.funding}
    return {
        **{name: plain(shock) for name, shock in shocks.items()},
        "outage": s.outage or None,
        "equity_usdt": plain(left.quantize(CENTS)) if left is not None else None,
        "first_casualty": _casualty(cell.first) if cell.first is not None else None,
        "casualties": [_casualty(each) for each in cell.casualties],
        "survivors": list(cell.survivors),
        "unknown": list(cell.unknown),
    }


def _casualty(each: Casualty) -> Json:
    return {
        "strategy": each.strategy,
        "site": each.site,
        "position": each.position,
        "how": each.how,
        "at": figure(each.at),
    }
