"""Binance's inverse futures (`binancecoinm`): contracts of 100 USD, margined, charged and paid in coin.

Its frames are those of the linear futures. Its streams run over one path, so that the number behind it has to tell
books from marks; its user stream bears the listen key there. Position keys leave out the ``_PERP`` of its symbols.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from basis_daemon.domain.instrument import Kind, MarginTier
from basis_daemon.domain.ledger import CashFlow
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.position import MarginReport
from basis_daemon.venues.cex.binance import BINANCE, SPOT, decode, usdm_cash_flow, usdm_delta, usdm_fees, usdm_tier
from basis_daemon.venues.cex.frames import Row, WalletView, exact, instant, maybe_exact
from basis_daemon.venues.cex.quirks import AccountQuirks, Stream

COINM, SUFFIX = "binancecoinm", "_PERP"
LINES = {"multipleOrderbook": "0", "markPrice": "1"}
_STREAMS = {LINES["multipleOrderbook"]: Stream.BOOK, LINES["markPrice"]: Stream.MARK}


def coinm_stream(url: str) -> Stream | None:
    """Which connection of the wallet this is."""
    _, is_one, line = url.partition("/ws/")
    return _STREAMS.get(line, Stream.USER) if is_one and line else None


def forget_listen_key(options: MutableMapping[str, Any]) -> None:
    """Make ccxt ask for a new listen key: it would reuse a dead one for up to 20 minutes."""
    options["inverse"] = {**options.get("inverse", {}), "lastAuthenticatedTime": 0}


def coinm_wallet(balance: Row) -> WalletView:
    """GET account: coins, positions in contracts, and the margin of the one coin that has contracts open.

    Every coin is an account of its own; with contracts of several there is no figure for all of them.
    """
    info = balance["info"]
    held = [row for row in info["positions"] if row["positionSide"] == "BOTH"]
    stamps = [int(row["updateTime"]) for row in (*info["assets"], *held) if int(row.get("updateTime", 0))]
    used = [row for row in info["assets"] if exact(row["maintMargin"])]
    return WalletView(
        balances={row["asset"]: exact(row["walletBalance"]) for row in info["assets"]},
        positions={row["symbol"]: exact(row["positionAmt"]) for row in held},
        time=instant(max(stamps)) if stamps else None,
        margin=_margin(used[0]) if len(used) == 1 else None,
        costs={row["symbol"]: -exact(row["notionalValue"]) - exact(row["unrealizedProfit"]) for row in held},
    )


def _margin(row: Row) -> MarginReport:
    return MarginReport(exact(row["walletBalance"]), exact(row["unrealizedProfit"]), exact(row["maintMargin"]))


def coinm_tier(bracket: Row) -> MarginTier:
    """A leverage bracket; its bounds are coins."""
    return usdm_tier({**bracket, "notionalFloor": bracket["qtyFloor"], "notionalCap": bracket["qtyCap"]})


def coinm_cash_flow(account: str, row: Row) -> CashFlow | None:
    """An income row; None for what trades and transfers book."""
    return usdm_cash_flow(account, {**row, "symbol": row.get("symbol", "").removesuffix(SUFFIX)})


_COINM = AccountQuirks(
    name=COINM,
    ccxt_id="binancecoinm",
    trades=frozenset({OrderOperation.PERP_TRADE}),
    kinds=frozenset({Kind.SPOT, Kind.PERP}),
    wallet_code="inverse",
    listing_call="dapiPublicGetExchangeInfo",
    client_options={"fetchMarkets": {"types": ["inverse"]}, "defaultType": "swap", "defaultSubType": "inverse"},
    markets_params={},
    stream_of=coinm_stream,
    lines=LINES,
    read_delta=usdm_delta,
    decode=decode,
    read_wallet=coinm_wallet,
    forget_login=forget_listen_key,
    read_realised=lambda row: maybe_exact(row.get("realizedPnl")),
    read_tier=coinm_tier,
    fee_call="dapiPrivateGetCommissionRate",
    read_fees=usdm_fees,
    cash_flow_call="dapiPrivateGetIncome",
    trigger_params={"workingType": "MARK_PRICE"},
    read_triggered=lambda row: row.get("actualOrderId") or None,
    keep_login_call="dapiPrivatePutListenKey",
    read_cash_flow=coinm_cash_flow,
    countdown_call="dapiPrivatePostCountdownCancelAll",
    countdown_params=lambda symbol_id, milliseconds: {"symbol": symbol_id, "countdownTime": milliseconds},
    page_window=timedelta(days=7),
    is_up_when_connected=True,
    is_inverse=True,
    contract_suffix=SUFFIX,
)
BINANCE_COINM = replace(
    BINANCE,
    accounts=(BINANCE.account(SPOT), _COINM),
    public_sections=frozenset({"public", "dapiPublic"}),
    public_urls=(
        "https://api.binance.com/api/v3/",
        "https://dapi.binance.com/dapi/v1/",
        "wss://stream.binance.com:9443/ws",
        *(f"wss://dstream.binance.com/ws/{line}" for line in LINES.values()),
    ),
)
