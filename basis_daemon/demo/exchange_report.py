"""The report of a run at the sandbox exchange: trades, funding, delta, and the distance to liquidation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape

from basis_daemon.demo.chapters import chapters
from basis_daemon.demo.charts import timeline
from basis_daemon.demo.report import Look, Tile, drawdown_tile, earned, growth_tiles, money, unexplained_tile
from basis_daemon.engine.book_view import BookView, Json
from basis_daemon.ports import StoredRecord


def _figures(view: BookView, rows: Sequence[StoredRecord], said: Json) -> dict[str, Json]:
    told = chapters(view, rows, said["strategies"])
    return {f"timeline-{name}": timeline(part.view, part.tape) for name, part in told.items()}


def _market(said: Json) -> str:
    if said["seed"] is None:
        return f"recorded market {said['window'] or ''}".strip()
    return f"generated market, seed {said['seed']}"


def _lead(said: Json, view: BookView) -> str:
    """What happened, in two sentences."""
    return (
        f"{earned(said, view)} It sent {said['orders_sent']} orders, the venue "
        f"knows {said['venue_orders']}; {said['duplicate_orders'] or 'none'} arrived twice, "
        f"{said['in_doubt'] or 'none'} are in doubt, and {escape(said['unexplained'])} USDT are unexplained."
    )


def _tiles(said: Json, view: BookView) -> Iterable[Tile]:
    yield from growth_tiles(said)
    yield "Funding received", money(said["funding"], signed=True), f"fees paid {money(said['fees'])}"
    yield "Nearest liquidation", f"z {said['min_z'] or '-'}", "shocks away at its nearest"
    yield "Largest net delta", f"{Decimal(said['max_abs_delta_frac']):.4%}", "of equity, outside clips"
    yield drawdown_tile(view)
    naked = f"unhedged {Decimal(said['max_naked_seconds']):.2f} s at most"
    yield "Fills", str(said["trades"]), f"{said['orders_sent']} orders, {naked}"
    yield unexplained_tile(said)


def _nothing_more(said: Json, view: BookView) -> str:
    del said, view
    return ""


def _footer(said: Json) -> list[str]:
    last = "all times UTC; money in USDT, perps at mark, spot at the mid of its book"
    if said["seed"] is not None:
        return [last]
    return [
        (
            "one reference spot series per asset (Bybit spot) feeds the venue's spot book; the perp is the venue's "
            "own; holes in the record are left open"
        ),
        last,
    ]


EXCHANGE = Look(
    venue="the venue",
    figures=_figures,
    market=_market,
    lead=_lead,
    tiles=_tiles,
    sections=_nothing_more,
    hint="Drag to zoom in time, double-click to see all of it. Hover over a fill for its order, price, fee and reason.",
    footer=_footer,
)
