"""COIN-M objects where Binance prints them otherwise than USD-M ones; quantities are contracts."""

from __future__ import annotations

from typing import Any

from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.instruments import Instrument, Tiers
from basis_daemon.sandbox.exchange.margin import margin_of
from basis_daemon.sandbox.exchange.money import text8
from basis_daemon.sandbox.exchange.render_margin import account_positions, asset_rows
from basis_daemon.sandbox.exchange.render_usdm import bracket_row, contract_row
from basis_daemon.sandbox.exchange.venue import Venue

Json = dict[str, Any]


def symbol_info(instrument: Instrument) -> Json:
    row = contract_row(instrument)
    status = row.pop("status")
    filters = [own for own in row["filters"] if own["filterType"] != "MIN_NOTIONAL"]
    return row | {
        "pair": instrument.base + instrument.quote,
        "contractStatus": status,
        "contractSize": int(instrument.contract_size or 0),
        "equalQtyPrecision": 4,
        "filters": filters,
    }


def account_v1(account: Account, venue: Venue) -> Json:
    """Every asset with the margin of its own contracts, and every listed symbol."""
    rows = account_positions(account, venue)
    for row in rows:
        row["notionalValue"] = row.pop("notional")
        del row["maxNotional"]
        row["maxQty"] = text8(venue.tiers[row["symbol"]][-1].cap)
    return {
        "assets": asset_rows(account, venue, margin_of(account, venue.marks)),
        "positions": rows,
        "canDeposit": True,
        "canTrade": True,
        "canWithdraw": True,
        "feeTier": 0,
        "updateTime": 0,
    }


def brackets(symbol: str, tiers: Tiers, leverage_max: int | None) -> Json:
    """The tiers of a symbol in coin; an account that is held to less sees less."""
    rows = []
    for tier in tiers:
        row = bracket_row(tier, leverage_max)
        rows.append({"qtyCap": int(tier.cap), "qtyFloor": int(tier.floor), **row})
    return {"symbol": symbol, "notionalCoef": 1.0, "brackets": rows}
