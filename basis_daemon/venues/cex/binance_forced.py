"""Whose order a client id of Binance tells of: the venue trades at an account under ids of its own."""

from __future__ import annotations

from basis_daemon.domain.trade import Origin

FORCED_IDS = {
    "autoclose-": Origin.LIQUIDATION,
    "adl_autoclose": Origin.ADL,
    "settlement_autoclose-": Origin.SETTLEMENT,
}
"""How the client ids begin under which the venue itself trades at an account."""


def origin_of(client_id: str) -> Origin:
    """Who is behind an order with this client id: the venue itself, or a hand."""
    found = (origin for begin, origin in FORCED_IDS.items() if client_id.startswith(begin))
    return next(found, Origin.ORDER)
