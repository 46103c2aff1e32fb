"""The report of a run at an exchange and on a chain: fills and funding, transactions, and what went between the two."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from html import escape

from basis_daemon.demo.chain_report import CHAIN
from basis_daemon.demo.exchange_report import EXCHANGE
from basis_daemon.demo.report import (
    Look,
    Tile,
    drawdown_tile,
    earned,
    growth_tiles,
    money,
    pill,
    table,
    unexplained_tile,
)
from basis_daemon.engine.book_view import BookView, Json

_ARRIVED = "DONE"


def _market(said: Json) -> str:
    return f"{EXCHANGE.market(said)}, {CHAIN.market(said)}"


def _lead(said: Json, view: BookView) -> str:
    """What happened, in three sentences."""
    return (
        f"{earned(said, view)} It sent {said['orders_sent']} orders to the exchange and the chain, which know "
        f"{said['venue_orders']}; {said['duplicate_orders'] or 'none'} arrived twice and {said['in_doubt'] or 'none'} "
        f"are in doubt. {len(said['transfers'])} transfers went between the two, gas was {escape(said['gas_eth'])} "
        f"ETH, and {escape(said['unexplained'])} {said['numeraire']} are unexplained."
    )


def _tiles(said: Json, view: BookView) -> Iterable[Tile]:
    unit, pnl = said["numeraire"], said["pnl"]
    yield from growth_tiles(said)
    yield "Funding received", money(said["funding"], unit, signed=True), f"fees paid {money(said['fees'], unit)}"
    gained = sum((Decimal(pnl.get(name, 0)) for name in ("lending", "staking", "rewards")), Decimal(0))
    owed = f"paid on debt {money(-Decimal(pnl.get('borrow', 0)), unit)}"
    yield "Interest and staking", money(gained, unit, signed=True), owed
    yield "Nearest liquidation", f"z {said['min_z'] or '-'}", "shocks away at its nearest"
    yield "Largest net delta", f"{Decimal(said['max_abs_delta_frac']):.4%}", "of equity, outside clips"
    least = said["min_health_factor"]
    yield "Least health factor", f"{Decimal(least):.4f}" if least else "-", "at any block" if least else "no debt"
    yield "Transactions", str(said["transactions"]), f"gas {money(pnl.get('gas', 0), unit, signed=True)}"
    yield drawdown_tile(view)
    yield unexplained_tile(said)


def _sections(said: Json, view: BookView) -> str:
    rows = [
        (
            escape(row["from"]),
            escape(row["to"]),
            f"{escape(row['amount'])} {escape(row['coin'])}",
            escape(row["fee"]),
            pill(is_good=row["step"] == _ARRIVED, good="arrived", bad=row["step"]),
        )
        for row in said["transfers"]
    ]
    moved = table(("from", "to", "amount", "fee", ""), rows, ("keep", "keep", "num", "num", "keep"))
    between = f'<section><h2>Between the exchange and the wallet</h2><div class="scroll">{moved}</div></section>'
    return between + CHAIN.sections(said, view)


LINKED = Look(
    venue="exchange and chain",
    figures=EXCHANGE.figures,
    market=_market,
    lead=_lead,
    tiles=_tiles,
    sections=_sections,
    hint=EXCHANGE.hint,
    footer=lambda said: [*CHAIN.footer(said), "perps at mark, ether at the mid of its book"],
)
