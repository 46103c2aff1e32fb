"""Binance: the spot wallet (`binance`) and the linear futures wallet (`binanceusdm`).

Frames: spot user events come over the websocket API, wrapped as ``{"subscriptionId", "event"}``; futures events over a
connection whose URL holds the listen key. Trade and order numbers repeat between symbols.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from basis_daemon.domain.instrument import Kind, MarginTier, PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.domain.order import OrderOperation, Side
from basis_daemon.domain.position import MarginReport
from basis_daemon.domain.trade import OrderState
from basis_daemon.venues.cex.binance_capital import CAPITAL_CALLS
from basis_daemon.venues.cex.binance_codes import verdicts
from basis_daemon.venues.cex.binance_custody import CUSTODY
from basis_daemon.venues.cex.binance_forced import origin_of
from basis_daemon.venues.cex.frames import (
    AccountMoved,
    BookDelta,
    BookMoved,
    Fill,
    FillSeen,
    FrameEvent,
    LoggedIn,
    LoginLost,
    MarkMoved,
    OrderEnded,
    OrderLinked,
    OrderView,
    Row,
    WalletMoved,
    WalletView,
    exact,
    instant,
    maybe_exact,
    positive,
)
from basis_daemon.venues.cex.options import Fees
from basis_daemon.venues.cex.quirks import AccountQuirks, Pool, Stream, VenueQuirks

SPOT, USDM = "binance", "binanceusdm"
ZERO = exact(0)
ENDED = {
    "CANCELED": OrderState.CANCELLED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
    "REJECTED": OrderState.REJECTED,
}
TRIGGERED = frozenset({"TRIGGERED", "FINISHED"})
RESTING = frozenset({"GTC", "GTX", "GTD"})
FILLING = frozenset({"TRADE", "CALCULATED"})
"""Execution types that move money; CALCULATED is a liquidation."""
BOOKED_ELSEWHERE = frozenset({"REALIZED_PNL", "COMMISSION", "TRANSFER", "INTERNAL_TRANSFER"})
CAUSES = {"FUNDING_FEE": Cause.FUNDING, "INSURANCE_CLEAR": Cause.LIQUIDATION, "COMMISSION_REBATE": Cause.REWARD,
          "API_REBATE": Cause.REWARD, "REFERRAL_KICKBACK": Cause.REWARD}  # fmt: skip

_LIVE = "api dapi eapi fapi papi stream fstream dstream nbstream ws-api ws-fapi ws-dapi"
LIVE_HOSTS = frozenset(f"{name}.binance.com" for name in _LIVE.split())
PLAY_HOSTS = frozenset(
    {f"demo-{name}.binance.com" for name in ("api", "fapi", "dapi", "stream", "ws-api")}
    | {f"{name}.binancefuture.com" for name in ("fstream", "dstream", "testnet")}
    | {f"{prefix}testnet.binance.vision" for prefix in ("", "stream.", "ws-api.")}
)
"""Demo trading, and the spot testnet; the futures' play money streams under a domain of its own."""


# ------------------------------------------------------------------------------------------------- private frames
def _fill(row: Row) -> Fill:
    """A fill out of an executionReport or the ``o`` of an ORDER_TRADE_UPDATE: both use these letters."""
    return Fill(
        symbol_id=row["s"],
        trade_no=str(row["t"]),
        order_no=str(row["i"]),
        client_id=_client_id(row),
        side=Side(row["S"]),
        price=positive(row["L"]),
        quantity=positive(row["l"]),
        quote_quantity=maybe_exact(row.get("Y")),
        fee_asset=row.get("N") or "",
        fee=exact(row.get("n") or 0),
        realised=maybe_exact(row.get("rp")),
        is_maker=bool(row["m"]),
        time=instant(row["T"]),
        ordered=exact(row["q"]),
        cum_filled=exact(row["z"]),
    )


def _client_id(row: Row) -> str:
    """After a cancel ``c`` is the id of the cancel request and ``C`` that of the order."""
    return str(row.get("C") or row["c"])


def _order_events(row: Row, time: datetime) -> Iterator[FrameEvent]:
    if row["x"] in FILLING and exact(row["l"]) > 0:
        yield FillSeen(time, _fill(row))
    elif row["X"] in ENDED and row["f"] in RESTING:
        yield OrderEnded(
            time,
            OrderView(
                symbol_id=row["s"],
                order_no=str(row["i"]),
                client_id=_client_id(row),
                state=ENDED[row["X"]],
                ordered=exact(row["q"]),
                executed=exact(row["z"]),
                time=instant(row["T"]),
            ),
        )


def _usdm_wallet(frame: Row, time: datetime) -> Iterator[FrameEvent]:
    update = frame["a"]
    yield WalletMoved(
        time,
        {row["a"]: exact(row["wb"]) for row in update.get("B", ())},
        {row["s"]: exact(row["pa"]) for row in update.get("P", ()) if row["ps"] == "BOTH"},
    )
    if update["m"] != "ORDER":
        yield AccountMoved(time, str(update["m"]).lower())


def _spot_wallet(frame: Row, time: datetime) -> Iterator[FrameEvent]:
    yield WalletMoved(time, {row["a"]: exact(row["f"]) + exact(row["l"]) for row in frame["B"]}, {})


def _mark(frame: Row, time: datetime) -> Iterator[FrameEvent]:
    if frame["T"]:  # zero on contracts without funding
        yield MarkMoved(
            time, frame["s"], positive(frame["p"]), positive(frame["i"]), exact(frame["r"]), instant(frame["T"])
        )


def _conditional(frame: Row, time: datetime) -> Iterator[FrameEvent]:
    row = frame["o"]
    if row["X"] in TRIGGERED and row.get("ai"):
        yield OrderLinked(time, row["s"], str(row["ai"]), row["caid"])
    elif row["X"] in ENDED:
        number, ordered = str(row["aid"]), exact(row["q"])
        yield OrderEnded(time, OrderView(row["s"], number, row["caid"], ENDED[row["X"]], ordered, ZERO, time))


_READERS = {
    "markPriceUpdate": _mark,
    "executionReport": _order_events,
    "outboundAccountPosition": _spot_wallet,
    "ORDER_TRADE_UPDATE": lambda frame, time: _order_events(frame["o"], time),
    "ALGO_UPDATE": _conditional,
    "ACCOUNT_UPDATE": _usdm_wallet,
}
_MOVES = {
    "balanceUpdate": "balance_update",
    "ACCOUNT_CONFIG_UPDATE": "account_config_update",
    "MARGIN_CALL": "margin_call",
}
_ENDS = {
    "listenKeyExpired": "listen key expired",
    "eventStreamTerminated": "event stream terminated",
    "serverShutdown": "server shuts down",
}


def decode(frame: Row) -> Sequence[FrameEvent]:
    """The events of one frame; none for acknowledgements and for what nobody asked about."""
    if frame.get("e") == "depthUpdate":
        return (BookMoved(instant(frame["E"]), frame["s"]),)
    body = frame.get("event") or frame
    if isinstance(result := body.get("result"), dict) and "subscriptionId" in result:
        return (LoggedIn(),)
    name = body.get("e", "")
    if name in _ENDS:
        return (LoginLost(_ENDS[name]),)
    if name in _MOVES:
        return (AccountMoved(instant(body["E"]), _MOVES[name]),)
    return tuple(_READERS[name](body, instant(body["E"]))) if name in _READERS else ()


def spot_delta(frame: Row) -> BookDelta | None:
    """The changes of a depth frame: its first number is the one after the book's."""
    if frame.get("e") != "depthUpdate":
        return None
    return BookDelta(frame["s"], frame["U"] - 1, frame["u"], frame["E"], frame["b"], frame["a"])


def usdm_delta(frame: Row) -> BookDelta | None:
    """The changes of a depth frame, which names the number of the frame before it."""
    if frame.get("e") != "depthUpdate":
        return None
    return BookDelta(frame["s"], frame["pu"], frame["u"], frame["E"], frame["b"], frame["a"])


def spot_stream(url: str) -> Stream | None:
    """Which connection of the spot wallet this is."""
    return Stream.USER if "/ws-api/" in url else Stream.BOOK if "/ws" in url else None


def usdm_stream(url: str) -> Stream | None:
    """Which connection of the futures wallet this is."""
    paths = {"/public/ws": Stream.BOOK, "/market/ws": Stream.MARK, "/private/ws": Stream.USER}
    return next((stream for path, stream in paths.items() if path in url), None)


def forget_listen_key(options: MutableMapping[str, Any]) -> None:
    """Make ccxt ask for a new listen key: it would reuse a dead one for up to 20 minutes."""
    options["linear"] = {**options.get("linear", {}), "lastAuthenticatedTime": 0}


# ----------------------------------------------------------------------------------------------------------- REST
def spot_wallet(balance: Row) -> WalletView:
    """GET account: free and locked coins."""
    info = balance["info"]
    coins = {row["asset"]: exact(row["free"]) + exact(row["locked"]) for row in info["balances"]}
    return WalletView(coins, {}, instant(info["updateTime"]) if info.get("updateTime") else None)


def usdm_wallet(balance: Row) -> WalletView:
    """GET v3 account: wallet balances, positions and the margin of the whole account, all of one moment."""
    info = balance["info"]
    stamps = [int(row["updateTime"]) for row in (*info["assets"], *info["positions"]) if int(row.get("updateTime", 0))]
    margin = MarginReport(
        exact(info["totalWalletBalance"]),
        exact(info["totalUnrealizedProfit"]),
        exact(info["totalMaintMargin"]),
        exact(info["maxWithdrawAmount"]),
    )
    positions = [row for row in info["positions"] if row["positionSide"] == "BOTH"]
    return WalletView(
        balances={row["asset"]: exact(row["walletBalance"]) for row in info["assets"]},
        positions={row["symbol"]: exact(row["positionAmt"]) for row in positions},
        time=instant(max(stamps)) if stamps else None,
        margin=margin,
        costs={row["symbol"]: exact(row["notional"]) - exact(row["unrealizedProfit"]) for row in positions},
    )


def usdm_tier(bracket: Row) -> MarginTier:
    """A leverage bracket; the venue writes its rates as JSON numbers, which ``str`` gives back as written."""
    return MarginTier(
        notional_floor=exact(bracket["notionalFloor"]),
        notional_cap=exact(bracket["notionalCap"]),
        maintenance_rate=exact(bracket["maintMarginRatio"]),
        maintenance_deduction=exact(bracket["cum"]),
        leverage_max=exact(bracket["initialLeverage"]),
    )


def spot_fees(row: Row) -> Fees:
    """Standard, special and tax together; the discount for paying in BNB is left out, for BNB may run out."""
    parts = [row[name] for name in ("standardCommission", "specialCommission", "taxCommission") if name in row]
    return Fees(
        sum((exact(part["taker"]) for part in parts), ZERO), sum((exact(part["maker"]) for part in parts), ZERO)
    )


def usdm_fees(row: Row) -> Fees:
    """GET commissionRate."""
    return Fees(exact(row["takerCommissionRate"]), exact(row["makerCommissionRate"]))


def usdm_cash_flow(account: str, row: Row) -> CashFlow | None:
    """An income row; None for what trades and transfers book. The venue's tranId is unique per income type only."""
    kind = row["incomeType"]
    if kind in BOOKED_ELSEWHERE:
        return None
    return CashFlow(
        flow_id=f"{account}:income:{kind}:{row['tranId']}",
        key=PositionKey.of(account, Kind.SPOT, row["asset"]),
        amount=exact(row["income"]),
        cause=CAUSES.get(kind, Cause.EXTERNAL),
        venue_time=instant(row["time"]),
        instrument=PositionKey.of(account, Kind.PERP, row["symbol"]) if row.get("symbol") else None,
        memo=kind,
    )


_SPOT = AccountQuirks(
    name=SPOT,
    ccxt_id="binance",
    trades=frozenset({OrderOperation.SPOT_TRADE}),
    kinds=frozenset({Kind.SPOT}),
    wallet_code="spot",
    listing_call="publicGetExchangeInfo",
    lists_one_symbol=True,  # all of them are 19 MB
    client_options={"fetchMarkets": {"types": ["spot"]}, "defaultType": "spot"},
    markets_params={"showPermissionSets": "false"},
    stream_of=spot_stream,
    read_delta=spot_delta,
    decode=decode,
    read_wallet=spot_wallet,
    balance_params={"omitZeroBalances": "true"},
    capital_calls=CAPITAL_CALLS,
    custody=CUSTODY,
    fee_call="privateGetAccountCommission",
    read_fees=spot_fees,
)
_USDM = AccountQuirks(
    name=USDM,
    ccxt_id="binanceusdm",
    trades=frozenset({OrderOperation.PERP_TRADE}),
    kinds=frozenset({Kind.SPOT, Kind.PERP}),
    wallet_code="swap",
    listing_call="fapiPublicGetExchangeInfo",
    client_options={"fetchMarkets": {"types": ["linear"]}, "defaultType": "swap"},
    markets_params={},
    stream_of=usdm_stream,
    read_delta=usdm_delta,
    decode=decode,
    read_wallet=usdm_wallet,
    forget_login=forget_listen_key,
    read_realised=lambda row: maybe_exact(row.get("realizedPnl")),
    read_tier=usdm_tier,
    fee_call="fapiPrivateGetCommissionRate",
    read_fees=usdm_fees,
    cash_flow_call="fapiPrivateGetIncome",
    trigger_params={"workingType": "MARK_PRICE"},
    read_triggered=lambda row: row.get("actualOrderId") or None,
    keep_login_call="fapiPrivatePutListenKey",
    read_cash_flow=usdm_cash_flow,
    settings=(("fapiPrivateGetMultiAssetsMargin", "multiAssetsMargin", False),),
    countdown_call="fapiPrivatePostCountdownCancelAll",
    countdown_params=lambda symbol_id, milliseconds: {"symbol": symbol_id, "countdownTime": milliseconds},
    page_window=timedelta(days=7),
    is_up_when_connected=True,
)
BINANCE = VenueQuirks(
    name="binance",
    accounts=(_SPOT, _USDM),
    idempotency="open_only",
    receive_window_ms=5_000,
    id_params=("clientOrderId", "clientOrderId", "clientOrderId"),
    pools=(
        Pool("api", ("public", "private", "v1"), 6_000, "x-mbx-used-weight-1m", weight_per_cost=5.0),
        Pool("sapi", ("sapi",), 12_000, "x-sapi-used-ip-weight-1m", weight_per_cost=10.0),
        Pool("fapi", ("fapi",), 2_400, "x-mbx-used-weight-1m"),
        Pool("dapi", ("dapi",), 2_400, "x-mbx-used-weight-1m"),
    ),
    verdicts=verdicts(),
    live_hosts=LIVE_HOSTS,
    play_hosts=PLAY_HOSTS,
    transfer_account=SPOT,
    public_sections=frozenset({"public", "fapiPublic"}),
    public_urls=(
        "https://api.binance.com/api/v3/",
        "https://fapi.binance.com/fapi/v1/",
        "wss://stream.binance.com:9443/ws",
        "wss://fstream.binance.com/public/ws",
        "wss://fstream.binance.com/market/ws",
    ),
    terms_paths=frozenset({"account/commission", "commissionRate", "leverageBracket"}),
    rights_call="sapiGetAccountApiRestrictions",
    rights={
        "enableReading": "read",
        "enableSpotAndMarginTrading": "trade",
        "enableFutures": "trade",
        "permitsUniversalTransfer": "transfer",
        "enableWithdrawals": "withdraw",
        "enableInternalTransfer": "internal_transfer",
        "enableMargin": "margin_loans",
        "enableVanillaOptions": "options",
        "enablePortfolioMarginTrading": "portfolio_margin",
    },
    ip_flag="ipRestrict",
    origin_of=origin_of,
)
