"""The public endpoints of fapi.binance.com: what is listed, books, marks and funding."""

from __future__ import annotations

from typing import Any

from basis_daemon.sandbox.exchange import render_usdm as render
from basis_daemon.sandbox.exchange.endpoint import Call, Endpoint
from basis_daemon.sandbox.exchange.klines import klines
from basis_daemon.sandbox.exchange.money import from_e8, plain, text8
from basis_daemon.sandbox.exchange.path import Rate

Json = dict[str, Any]
WEIGHT_LIMIT_1M = 2400
RATE_LIMITS = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": WEIGHT_LIMIT_1M},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
]


def ping(_: Call) -> Json:
    return {}


def server_time(call: Call) -> Json:
    return {"serverTime": call.real_ms}


def exchange_info(call: Call) -> Json:
    return {
        "timezone": "UTC",
        "serverTime": call.real_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": RATE_LIMITS,
        "exchangeFilters": [],
        "assets": [
            {"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"},
            {"asset": "BNB", "marginAvailable": True, "autoAssetExchange": "-10"},
        ],
        "symbols": [render.symbol_info(call.venue.instrument(call.market, s)) for s in call.venue.symbols(call.market)],
    }


def symbol_of(call: Call) -> str:
    return call.venue.instrument(call.market, call.text("symbol")).symbol


def symbols_of(call: Call) -> list[str]:
    return [symbol_of(call)] if call.maybe("symbol") else call.venue.symbols(call.market)


def depth(call: Call) -> Json:
    book = call.venue.books[call.market, symbol_of(call)]
    if not book.followed:
        book.publish()
    bids, asks = book.snapshot(call.limit(500, 1000))
    return {"lastUpdateId": book.update_id, "E": call.venue.now_ms, "T": book.stamp_ms, "bids": bids, "asks": asks}


def book_ticker(call: Call) -> Json | list[Json]:
    rows = []
    for symbol in symbols_of(call):
        book = call.venue.books[call.market, symbol]
        bid, bid_quantity, ask, ask_quantity = book.best()
        rows.append(
            {
                "symbol": symbol,
                "bidPrice": book.price_text(bid),
                "bidQty": book.quantity_text(bid_quantity),
                "askPrice": book.price_text(ask),
                "askQty": book.quantity_text(ask_quantity),
                "lastUpdateId": book.update_id,
                "time": book.stamp_ms,
            }
        )
    return rows[0] if call.maybe("symbol") else rows


def price_ticker(call: Call) -> Json | list[Json]:
    rows = [
        {"symbol": s, "price": plain(call.venue.last_price[call.market, s]), "time": call.venue.now_ms}
        for s in symbols_of(call)
    ]
    return rows[0] if call.maybe("symbol") else rows


def premium_index(call: Call) -> Json | list[Json]:
    venue = call.venue
    rows = [
        {
            "symbol": symbol,
            "markPrice": text8(venue.marks[symbol]),
            "indexPrice": text8(venue.index_price(symbol)),
            "estimatedSettlePrice": text8(venue.index_price(symbol)),
            "lastFundingRate": text8(venue.funding[symbol].predicted),
            "interestRate": "0.00010000",
            "nextFundingTime": venue.funding[symbol].next_ms,
            "time": venue.now_ms,
        }
        for symbol in symbols_of(call)
    ]
    return rows[0] if call.maybe("symbol") else rows


def funding_rate(call: Call) -> list[Json]:
    rows: list[tuple[Rate, str]] = [(r, symbol) for symbol in symbols_of(call) for r in call.world.settled(symbol)]
    rows.sort(key=lambda row: row[0].at_ms)
    return [
        {
            "symbol": symbol,
            "fundingRate": text8(rate.rate),
            "fundingTime": rate.at_ms,
            "markPrice": _mark_at(call, symbol, rate.at_ms),
        }
        for rate, symbol in call.window(rows, lambda row: row[0].at_ms, 100, 1000)
    ]


def _mark_at(call: Call, symbol: str, at_ms: int) -> str:
    """The mark of a past settlement; empty where the path does not reach back, as on the venue's oldest rows."""
    price = call.world.path.price_e8((call.market, symbol), at_ms)
    return "" if price is None else text8(from_e8(price))


def funding_info(call: Call) -> list[Json]:
    return [
        {
            "symbol": symbol,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": call.venue.funding[symbol].interval_hours,
            "disclaimer": False,
        }
        for symbol in call.venue.symbols(call.market)
    ]


ENDPOINTS = (
    Endpoint("GET", "/fapi/v1/ping", ping, 1, "NONE"),
    Endpoint("GET", "/fapi/v1/time", server_time, 1, "NONE"),
    Endpoint("GET", "/fapi/v1/exchangeInfo", exchange_info, 1, "NONE"),
    Endpoint("GET", "/fapi/v1/depth", depth, 10, "NONE"),
    Endpoint("GET", "/fapi/v1/ticker/bookTicker", book_ticker, 2, "NONE"),
    Endpoint("GET", "/fapi/v1/ticker/price", price_ticker, 1, "NONE"),
    Endpoint("GET", "/fapi/v2/ticker/price", price_ticker, 1, "NONE"),
    Endpoint("GET", "/fapi/v1/premiumIndex", premium_index, 1, "NONE"),
    Endpoint("GET", "/fapi/v1/klines", klines("usdm", 1500), 5, "NONE"),
    Endpoint("GET", "/fapi/v1/fundingRate", funding_rate, 1, "NONE"),
    Endpoint("GET", "/fapi/v1/fundingInfo", funding_info, 1, "NONE"),
)
