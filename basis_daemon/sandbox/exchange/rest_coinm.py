"""The endpoints of dapi.binance.com, COIN-M futures: those of USD-M, and where its answers have another shape."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from basis_daemon.sandbox.exchange import (
    render_coinm,
    render_margin,
    rest_algo,
    rest_usdm,
    rest_usdm_market,
)
from basis_daemon.sandbox.exchange.endpoint import Call, Endpoint, Handler
from basis_daemon.sandbox.exchange.margin import margin_of

Json = dict[str, Any]
ALIKE = frozenset(
    {
        "ping", "time", "depth", "fundingRate", "fundingInfo", "order", "openOrder", "openOrders", "allOpenOrders",
        "countdownCancelAll", "allOrders", "userTrades", "leverage", "marginType", "positionSide/dual",
        "commissionRate", "income", "listenKey", "algoOrder", "openAlgoOrders", "allAlgoOrders", "algoOpenOrders",
    }
)  # fmt: skip
"""What answers as its twin under /fapi/v1 does."""
LISTS: dict[str, tuple[Handler, int]] = {
    "ticker/bookTicker": (rest_usdm_market.book_ticker, 2),
    "ticker/price": (rest_usdm_market.price_ticker, 1),
    "premiumIndex": (rest_usdm_market.premium_index, 10),
}
"""What answers with a list even about one symbol."""
V1 = "/fapi/v1/"


def exchange_info(call: Call) -> Json:
    return {
        "timezone": "UTC",
        "serverTime": call.real_ms,
        "rateLimits": rest_usdm_market.RATE_LIMITS,
        "exchangeFilters": [],
        "symbols": [render_coinm.symbol_info(call.venue.instrument("coinm", s)) for s in call.venue.symbols("coinm")],
    }


def account(call: Call) -> Json:
    return render_coinm.account_v1(call.account, call.venue)


def balance(call: Call) -> list[Json]:
    return render_margin.balances(call.account, call.venue)


def position_risk(call: Call) -> list[Json]:
    state = margin_of(call.account, call.venue.marks)
    return [
        render_margin.position_v2(call.account, call.venue, symbol, state) for symbol in call.venue.known(call.market)
    ]


def leverage_bracket(call: Call) -> list[Json]:
    most = call.account.leverage_max
    return [render_coinm.brackets(s, call.venue.tiers[s], most) for s in rest_usdm_market.symbols_of(call)]


def _list(handler: Handler) -> Handler:
    def listed(call: Call) -> list[Json]:
        answer = handler(call)
        return answer if isinstance(answer, list) else [answer]

    return listed


def _alike() -> tuple[Endpoint, ...]:
    everything = rest_usdm_market.ENDPOINTS + rest_usdm.ENDPOINTS + rest_algo.ENDPOINTS
    return tuple(
        replace(row, path=row.path.replace("/fapi/", "/dapi/"), places="coinm" if row.places else None)
        for row in everything
        if row.path.startswith(V1) and row.path.removeprefix(V1) in ALIKE
    )


def _lists() -> tuple[Endpoint, ...]:
    rows = LISTS.items()
    return tuple(
        Endpoint("GET", f"/dapi/v1/{name}", _list(handler), weight, "NONE") for name, (handler, weight) in rows
    )


ENDPOINTS = (
    *_alike(),
    *_lists(),
    Endpoint("GET", "/dapi/v1/exchangeInfo", exchange_info, 1, "NONE"),
    Endpoint("GET", "/dapi/v1/account", account, 5),
    Endpoint("GET", "/dapi/v1/balance", balance, 1),
    Endpoint("GET", "/dapi/v1/positionRisk", position_risk, 1),
    Endpoint("GET", "/dapi/v2/leverageBracket", leverage_bracket, 1),
)
