"""The endpoints of api.binance.com: spot market data, orders and account, and the wallet calls under /sapi."""

from __future__ import annotations

from typing import Any

from basis_daemon.sandbox.exchange import render_spot as render
from basis_daemon.sandbox.exchange.endpoint import Call, Endpoint
from basis_daemon.sandbox.exchange.klines import klines
from basis_daemon.sandbox.exchange.money import text8
from basis_daemon.sandbox.exchange.orders import Fill, Order
from basis_daemon.sandbox.exchange.path import DAY_MS
from basis_daemon.sandbox.exchange.rejects import RejectError, invalid_symbol, unknown_order
from basis_daemon.sandbox.exchange.settlement import ROUTES

Json = dict[str, Any]
WEIGHT_LIMIT_1M = 6000
RATE_LIMITS = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": WEIGHT_LIMIT_1M},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000},
]


def ping(_: Call) -> Json:
    return {}


def server_time(call: Call) -> Json:
    return {"serverTime": call.real_ms}


def exchange_info(call: Call) -> Json:
    wanted, symbols = call.maybe("symbol"), call.venue.symbols("spot")
    if wanted is not None:
        if wanted not in symbols:
            raise invalid_symbol()
        symbols = [wanted]
    return {
        "timezone": "UTC",
        "serverTime": call.real_ms,
        "rateLimits": RATE_LIMITS,
        "exchangeFilters": [],
        "symbols": [render.symbol_info(call.venue.instrument("spot", symbol)) for symbol in symbols],
    }


def depth(call: Call) -> Json:
    book = call.venue.books[call.venue.instrument("spot", call.text("symbol")).key]
    if not book.followed:
        book.publish()
    bids, asks = book.snapshot(call.limit(100, 5000))
    return {"lastUpdateId": book.update_id, "bids": bids, "asks": asks}


def book_ticker(call: Call) -> Json | list[Json]:
    symbol = call.maybe("symbol")
    rows = [_ticker(call, name) for name in ([symbol] if symbol else call.venue.symbols("spot"))]
    return rows[0] if symbol else rows


def _ticker(call: Call, symbol: str) -> Json:
    book = call.venue.books[call.venue.instrument("spot", symbol).key]
    bid, bid_quantity, ask, ask_quantity = book.best()
    return {
        "symbol": symbol,
        "bidPrice": book.price_text(bid),
        "bidQty": book.quantity_text(bid_quantity),
        "askPrice": book.price_text(ask),
        "askQty": book.quantity_text(ask_quantity),
    }


def price_ticker(call: Call) -> Json | list[Json]:
    symbol = call.maybe("symbol")
    names = [call.venue.instrument("spot", symbol).symbol] if symbol else call.venue.symbols("spot")
    rows = [{"symbol": name, "price": text8(call.venue.last_price["spot", name])} for name in names]
    return rows[0] if symbol else rows


def account(call: Call) -> Json:
    return render.account_info(call.account, call.venue, omit_zero=call.flag("omitZeroBalances"))


def commission(call: Call) -> Json:
    return render.commission(call.account, call.venue, call.venue.instrument("spot", call.text("symbol")).symbol)


def place(call: Call) -> Json:
    for name in ("reduceOnly", "positionSide"):
        if call.maybe(name):
            raise RejectError(-1104, f"Not all sent parameters were read; '{name}' means nothing on spot.")
    order = call.world.spot.place(call.account, call.order_request())
    default = "FULL" if order.request.kind in ("MARKET", "LIMIT") else "ACK"
    return render.placed(order, call.maybe("newOrderRespType") or default)


def _find(call: Call) -> Order | None:
    symbol = call.venue.instrument("spot", call.text("symbol")).symbol
    return call.account.store("spot").find(symbol, *call.order_key())


def query(call: Call) -> Json:
    order = _find(call)
    if order is None:
        raise unknown_order()
    return render.order_row(order)


def cancel(call: Call) -> Json:
    order = call.world.spot.cancel(call.account, _find(call))
    return render.canceled(order, call.maybe("newClientOrderId") or f"cancel{order.order_id}")


def open_orders(call: Call) -> list[Json]:
    return [render.order_row(order) for order in call.account.store("spot").resting(call.maybe("symbol"))]


def cancel_open_orders(call: Call) -> list[Json]:
    resting = list(call.account.store("spot").resting(call.text("symbol")))
    if not resting:
        raise RejectError(-2011, "Unknown order sent.")
    return [render.canceled(call.world.spot.cancel(call.account, order), order.client_id) for order in resting]


def _require_a_day(call: Call) -> None:
    start, end = call.maybe_integer("startTime"), call.maybe_integer("endTime")
    if start is not None and end is not None and end - start > DAY_MS:
        raise RejectError(-1127, "More than 24 hours between startTime and endTime.")


def all_orders(call: Call) -> list[Json]:
    _require_a_day(call)
    symbol, first = call.text("symbol"), call.maybe_integer("orderId") or 0
    rows = [o for o in call.account.store("spot").orders.values() if o.symbol == symbol and o.order_id >= first]
    return [render.order_row(o) for o in call.window(rows, lambda o: o.created_ms, 500, 1000)]


def my_trades(call: Call) -> list[Json]:
    _require_a_day(call)
    symbol, order_id, first = call.text("symbol"), call.maybe_integer("orderId"), call.maybe_integer("fromId")
    rows: list[Fill] = [
        fill
        for fill in call.account.store("spot").fills
        if fill.symbol == symbol and order_id in (None, fill.order_id) and fill.trade_id >= (first or 0)
    ]
    if first is not None:
        return [render.trade_row(fill) for fill in rows[: call.limit(500, 1000)]]
    return [render.trade_row(fill) for fill in call.window(rows, lambda f: f.at_ms, 500, 1000)]


def transfer(call: Call) -> Json:
    row = call.world.settlement.transfer(call.account, call.text("type"), call.text("asset"), call.decimal("amount"))
    return {"tranId": row.tran_id}


def transfer_history(call: Call) -> Json:
    kind = call.text("type")
    if kind not in ROUTES:
        raise RejectError(-1100, f"Transfer type {kind} is not modelled by the sandbox exchange.")
    start, end = call.maybe_integer("startTime") or 0, call.maybe_integer("endTime") or 2**62
    rows = [row for row in reversed(call.account.transfers) if row.kind == kind and start <= row.at_ms <= end]
    size, page = min(100, call.maybe_integer("size") or 10), max(1, call.maybe_integer("current") or 1)
    return {
        "total": len(rows),
        "rows": [
            {
                "asset": row.asset,
                "amount": text8(row.amount),
                "type": row.kind,
                "status": "CONFIRMED",
                "tranId": row.tran_id,
                "timestamp": row.at_ms,
            }
            for row in rows[(page - 1) * size : page * size]
        ],
    }


def trade_fee(call: Call) -> list[Json]:
    fees, wanted = call.venue.fees, call.maybe("symbol")
    return [
        {"symbol": symbol, "makerCommission": str(fees.spot_maker), "takerCommission": str(fees.spot_taker)}
        for symbol in call.venue.symbols("spot")
        if wanted in (None, symbol)
    ]


def restrictions(call: Call) -> Json:
    return {"createTime": call.account.opened_ms, **call.account.rights}


def bnb_burn(call: Call) -> Json:
    return {"spotBNBBurn": call.account.pays_fees_in_bnb, "interestBNBBurn": False}


def set_bnb_burn(call: Call) -> Json:
    if call.maybe("spotBNBBurn") is not None:
        call.account.pays_fees_in_bnb = call.flag("spotBNBBurn")
    return bnb_burn(call)


def coins(call: Call) -> list[Json]:
    """All coins without withdrawal networks: the sandbox exchange has no chain."""
    names = sorted({n for key, i in call.venue.instruments.items() if key[0] == "spot" for n in (i.base, i.quote)})
    return [
        {
            "coin": name,
            "name": name,
            "depositAllEnable": False,
            "withdrawAllEnable": False,
            "trading": True,
            "isLegalMoney": False,
            "free": text8(call.account.holding(name).free),
            "locked": text8(call.account.holding(name).locked),
            "networkList": [],
        }
        for name in names
    ]


def no_margin_pairs(_: Call) -> list[Json]:
    return []


ENDPOINTS = (
    Endpoint("GET", "/api/v3/ping", ping, 1, "NONE"),
    Endpoint("GET", "/api/v3/time", server_time, 1, "NONE"),
    Endpoint("GET", "/api/v3/exchangeInfo", exchange_info, 20, "NONE"),
    Endpoint("GET", "/api/v3/depth", depth, 5, "NONE"),
    Endpoint("GET", "/api/v3/ticker/bookTicker", book_ticker, 2, "NONE"),
    Endpoint("GET", "/api/v3/klines", klines("spot", 1000), 2, "NONE"),
    Endpoint("GET", "/api/v3/ticker/price", price_ticker, 2, "NONE"),
    Endpoint("GET", "/api/v3/account", account, 20),
    Endpoint("GET", "/api/v3/account/commission", commission, 20),
    Endpoint("POST", "/api/v3/order", place, 1, places="spot"),
    Endpoint("GET", "/api/v3/order", query, 4),
    Endpoint("DELETE", "/api/v3/order", cancel, 1),
    Endpoint("GET", "/api/v3/openOrders", open_orders, 6),
    Endpoint("DELETE", "/api/v3/openOrders", cancel_open_orders, 1),
    Endpoint("GET", "/api/v3/allOrders", all_orders, 20),
    Endpoint("GET", "/api/v3/myTrades", my_trades, 20),
    Endpoint("POST", "/sapi/v1/asset/transfer", transfer, 1),
    Endpoint("GET", "/sapi/v1/asset/transfer", transfer_history, 1),
    Endpoint("GET", "/sapi/v1/asset/tradeFee", trade_fee, 1),
    Endpoint("GET", "/sapi/v1/account/apiRestrictions", restrictions, 1),
    Endpoint("GET", "/sapi/v1/bnbBurn", bnb_burn, 1),
    Endpoint("POST", "/sapi/v1/bnbBurn", set_bnb_burn, 1),
    Endpoint("GET", "/sapi/v1/capital/config/getall", coins, 10),
    Endpoint("GET", "/sapi/v1/margin/allPairs", no_margin_pairs, 1, "KEY"),
    Endpoint("GET", "/sapi/v1/margin/isolated/allPairs", no_margin_pairs, 10, "KEY"),
)
