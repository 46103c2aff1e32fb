"""The algo endpoints of fapi.binance.com: conditional orders, which no longer pass through `/fapi/v1/order`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from basis_daemon.sandbox.exchange import render_usdm as render
from basis_daemon.sandbox.exchange.endpoint import Call, Endpoint
from basis_daemon.sandbox.exchange.orders import AlgoOrder
from basis_daemon.sandbox.exchange.rejects import RejectError, unknown_order
from basis_daemon.sandbox.exchange.rest_usdm_market import symbol_of

Json = dict[str, Any]


def place(call: Call) -> Json:
    request = replace(
        call.order_request(),
        client_id=call.params.get("clientAlgoId", ""),
        close_position=call.flag("closePosition"),
        price=call.maybe_decimal("price"),
    )
    return render.algo_row(call.world.algo.place(call.account, request, call.decimal("triggerPrice")))


def _find(call: Call) -> AlgoOrder | None:
    algo_id, client_id = call.maybe_integer("algoId"), call.maybe("clientAlgoId")
    if algo_id is None and client_id is None:
        raise RejectError(-1102, "Param 'algoId' or 'clientAlgoId' must be sent, but both were empty/null!")
    return call.world.algo.find(call.account, algo_id, client_id)


def query(call: Call) -> Json:
    algo = _find(call)
    if algo is None:
        raise unknown_order()
    return render.algo_row(algo)


def cancel(call: Call) -> Json:
    algo = call.world.algo.cancel(call.account, _find(call))
    return {"algoId": algo.algo_id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success"}


def _of_symbol(call: Call) -> list[AlgoOrder]:
    symbol = call.maybe("symbol")
    return [algo for algo in call.account.algos.values() if symbol in (None, algo.request.symbol)]


def open_algos(call: Call) -> list[Json]:
    return [render.algo_row(algo) for algo in _of_symbol(call) if algo.status == "NEW"]


def all_algos(call: Call) -> list[Json]:
    return [render.algo_row(algo) for algo in _of_symbol(call)][-call.limit(500, 1000) :]


def cancel_all(call: Call) -> Json:
    symbol = symbol_of(call)
    for algo in [algo for algo in call.account.algos.values() if algo.status == "NEW"]:
        if algo.request.symbol == symbol:
            call.world.algo.cancel(call.account, algo)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


ENDPOINTS = (
    Endpoint("POST", "/fapi/v1/algoOrder", place, 1, places="usdm"),
    Endpoint("GET", "/fapi/v1/algoOrder", query, 1),
    Endpoint("DELETE", "/fapi/v1/algoOrder", cancel, 1),
    Endpoint("GET", "/fapi/v1/openAlgoOrders", open_algos, 1),
    Endpoint("GET", "/fapi/v1/allAlgoOrders", all_algos, 5),
    Endpoint("DELETE", "/fapi/v1/algoOpenOrders", cancel_all, 1),
)
