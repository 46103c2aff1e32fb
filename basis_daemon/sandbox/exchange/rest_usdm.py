"""The private endpoints of fapi.binance.com: orders, positions, account settings, income and listen keys."""

from __future__ import annotations

from typing import Any

from basis_daemon.sandbox.exchange import render_margin
from basis_daemon.sandbox.exchange import render_usdm as render
from basis_daemon.sandbox.exchange.endpoint import Call, Endpoint
from basis_daemon.sandbox.exchange.instruments import most_notional
from basis_daemon.sandbox.exchange.margin import margin_of
from basis_daemon.sandbox.exchange.money import plain
from basis_daemon.sandbox.exchange.orders import Fill, Order
from basis_daemon.sandbox.exchange.path import DAY_MS
from basis_daemon.sandbox.exchange.rejects import RejectError, missing, unknown_order
from basis_daemon.sandbox.exchange.rest_usdm_market import symbol_of, symbols_of

Json = dict[str, Any]
WEEK_MS = 7 * DAY_MS
DONE: Json = {"code": 200, "msg": "success"}


def place(call: Call) -> Json:
    order = call.world.futures.place(call.account, call.order_request())
    return render.placed(order, call.maybe("newOrderRespType") or "ACK")


def _find(call: Call) -> Order | None:
    return call.account.store(call.market).find(symbol_of(call), *call.order_key())


def query(call: Call) -> Json:
    order = _find(call)
    if order is None:
        raise unknown_order()
    return render.order_row(order)


def query_open(call: Call) -> Json:
    order = _find(call)
    if order is None or not order.live:
        raise unknown_order()
    return render.order_row(order)


def amend(call: Call) -> Json:
    order = call.world.futures.amend(call.account, _find(call), call.decimal("quantity"), call.decimal("price"))
    return render.placed(order, "RESULT")


def cancel(call: Call) -> Json:
    order = call.world.futures.cancel(call.account, _find(call))
    return render.placed(order, "RESULT")


def open_orders(call: Call) -> list[Json]:
    return [render.order_row(order) for order in call.account.store(call.market).resting(call.maybe("symbol"))]


def cancel_all(call: Call) -> Json:
    call.world.futures.cancel_all(call.account, symbol_of(call))
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def countdown_cancel_all(call: Call) -> Json:
    """Arm, renew or (0) disarm the dead man's switch; the countdown is real time."""
    symbol, countdown = symbol_of(call), call.maybe_integer("countdownTime")
    if countdown is None:
        raise missing("countdownTime")
    if countdown:
        call.account.cancel_at_real[symbol] = (call.real_ms + countdown) / 1000
    else:
        call.account.cancel_at_real.pop(symbol, None)
    return {"symbol": symbol, "countdownTime": str(countdown)}


def all_orders(call: Call) -> list[Json]:
    symbol, first = symbol_of(call), call.maybe_integer("orderId") or 0
    rows = [o for o in call.account.store(call.market).orders.values() if o.symbol == symbol and o.order_id >= first]
    return [render.order_row(o) for o in call.window(rows, lambda o: o.created_ms, 500, 1000, WEEK_MS)]


def user_trades(call: Call) -> list[Json]:
    symbol, order_id, first = symbol_of(call), call.maybe_integer("orderId"), call.maybe_integer("fromId")
    instrument = call.venue.instrument(call.market, symbol)
    rows: list[Fill] = [
        fill
        for fill in call.account.store(call.market).fills
        if fill.symbol == symbol and order_id in (None, fill.order_id) and fill.trade_id >= (first or 0)
    ]
    if first is not None:
        return [render.trade_row(fill, instrument) for fill in rows[: call.limit(500, 1000)]]
    return [render.trade_row(f, instrument) for f in call.window(rows, lambda f: f.at_ms, 500, 1000, WEEK_MS)]


def account_v2(call: Call) -> Json:
    return render_margin.account_v2(call.account, call.venue)


def account_v3(call: Call) -> Json:
    return render_margin.account_v3(call.account, call.venue)


def balance(call: Call) -> list[Json]:
    return render_margin.balances(call.account, call.venue)


def _held_in(call: Call) -> list[str]:
    """Where a position may be: what is not listed any more can still be held."""
    return [symbol_of(call)] if call.maybe("symbol") else call.venue.known(call.market)


def position_risk_v2(call: Call) -> list[Json]:
    state = margin_of(call.account, call.venue.marks)
    return [render_margin.position_v2(call.account, call.venue, symbol, state) for symbol in _held_in(call)]


def position_risk_v3(call: Call) -> list[Json]:
    """Only symbols with a position or an open order, as the venue does since v3."""
    state, orders = margin_of(call.account, call.venue.marks), call.account.store(call.market)
    return [
        render_margin.position_v3(call.account, call.venue, symbol, state)
        for symbol in _held_in(call)
        if call.account.position(symbol).quantity or any(orders.resting(symbol))
    ]


def leverage_bracket(call: Call) -> list[Json]:
    venue, most = call.venue, call.account.leverage_max
    return [render.brackets(symbol, venue.tiers[symbol], most) for symbol in symbols_of(call)]


def set_leverage(call: Call) -> Json:
    symbol, leverage = symbol_of(call), call.maybe_integer("leverage")
    if leverage is None:
        raise missing("leverage")
    most = call.venue.tiers[symbol][0].leverage
    if not 1 <= leverage <= min(most, call.account.leverage_max or most):
        raise RejectError(-4028, f"Leverage {leverage} is not valid")
    position = call.account.position(symbol)
    held = abs(position.contract.value(position.quantity, call.venue.marks[symbol]))
    if held > most_notional(position.tiers, leverage):
        raise RejectError(-2027, "Exceeded the maximum allowable position at current leverage.")
    before, position.leverage = position.leverage, leverage
    state = margin_of(call.account, call.venue.marks)
    if leverage < before and state.margin_balance < state.position_initial + state.order_initial:
        position.leverage = before
        raise RejectError(-2019, "Margin is insufficient.")
    return {"symbol": symbol, "leverage": leverage, "maxNotionalValue": plain(most_notional(position.tiers, leverage))}


def set_margin_type(call: Call) -> Json:
    symbol, wanted = symbol_of(call), call.text("marginType").upper()
    if wanted not in ("CROSSED", "ISOLATED"):
        raise RejectError(-1130, "Data sent for parameter 'marginType' is not valid.")
    position = call.account.position(symbol)
    if position.margin_type == wanted:
        raise RejectError(-4046, "No need to change margin type.")
    if any(call.account.store(call.market).resting(symbol)):
        raise RejectError(-4047, "Margin type cannot be changed if there exists open orders.")
    if position.quantity:
        raise RejectError(-4048, "Margin type cannot be changed if there exists position.")
    position.margin_type = wanted
    return DONE


def position_mode(call: Call) -> Json:
    return {"dualSidePosition": call.account.hedge_mode}


def set_position_mode(call: Call) -> Json:
    wanted = call.text("dualSidePosition").lower() == "true"
    if wanted == call.account.hedge_mode:
        raise RejectError(-4059, "No need to change position side.")
    if any(call.account.store(call.market).resting()):
        raise RejectError(-4067, "Position side cannot be changed if there exists open orders.")
    if any(position.quantity for position in call.account.positions.values()):
        raise RejectError(-4068, "Position side cannot be changed if there exists position.")
    call.account.hedge_mode = wanted
    return DONE


def multi_assets(call: Call) -> Json:
    return {"multiAssetsMargin": call.account.multi_assets}


def set_multi_assets(call: Call) -> Json:
    if call.text("multiAssetsMargin").lower() == str(call.account.multi_assets).lower():
        raise RejectError(-4171, "No need to change multi-assets mode.")
    if call.account.multi_assets:
        call.account.multi_assets = False
        return DONE
    raise RejectError(-4167, "The sandbox exchange models single-asset margin only.")


def symbol_config(call: Call) -> list[Json]:
    return [render.symbol_config(call.account.position(symbol)) for symbol in symbols_of(call)]


def account_config(call: Call) -> Json:
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "dualSidePosition": call.account.hedge_mode,
        "updateTime": 0,
        "multiAssetsMargin": call.account.multi_assets,
        "tradeGroupId": -1,
    }


def commission_rate(call: Call) -> Json:
    fees = call.venue.fees
    return {
        "symbol": symbol_of(call),
        "makerCommissionRate": plain(fees.of_futures(call.market, maker=True)),
        "takerCommissionRate": plain(fees.of_futures(call.market, maker=False)),
    }


def income(call: Call) -> list[Json]:
    symbol, kind = call.maybe("symbol"), call.maybe("incomeType")
    rows = [r for r in call.account.income if symbol in (None, r.symbol) and kind in (None, r.kind)]
    if call.maybe_integer("startTime") is None and call.maybe_integer("endTime") is None:
        rows = [row for row in rows if row.at_ms >= call.venue.now_ms - WEEK_MS]
    page, limit = call.maybe_integer("page") or 1, call.limit(100, 1000)
    if page > 1:
        rows = rows[(page - 1) * limit :]
    return [render.income_row(row) for row in call.window(rows, lambda r: r.at_ms, 100, 1000)]


def new_listen_key(call: Call) -> Json:
    return {"listenKey": call.listen_keys.issue(call.account, call.real_ms)}


def keep_listen_key(call: Call) -> Json:
    text = call.listen_keys.extend(call.account, call.real_ms)
    if text is None:
        raise RejectError(-1125, "This listenKey does not exist.")
    return {"listenKey": text}


def close_listen_key(call: Call) -> Json:
    call.listen_keys.revoke(call.account)
    return {}


ENDPOINTS = (
    Endpoint("POST", "/fapi/v1/order", place, 1, places="usdm"),
    Endpoint("GET", "/fapi/v1/order", query, 1),
    Endpoint("PUT", "/fapi/v1/order", amend, 1),
    Endpoint("DELETE", "/fapi/v1/order", cancel, 1),
    Endpoint("GET", "/fapi/v1/openOrder", query_open, 1),
    Endpoint("GET", "/fapi/v1/openOrders", open_orders, 1),
    Endpoint("DELETE", "/fapi/v1/allOpenOrders", cancel_all, 1),
    Endpoint("POST", "/fapi/v1/countdownCancelAll", countdown_cancel_all, 10),
    Endpoint("GET", "/fapi/v1/allOrders", all_orders, 5),
    Endpoint("GET", "/fapi/v1/userTrades", user_trades, 5),
    Endpoint("GET", "/fapi/v2/account", account_v2, 5),
    Endpoint("GET", "/fapi/v3/account", account_v3, 5),
    Endpoint("GET", "/fapi/v2/balance", balance, 5),
    Endpoint("GET", "/fapi/v3/balance", balance, 5),
    Endpoint("GET", "/fapi/v2/positionRisk", position_risk_v2, 5),
    Endpoint("GET", "/fapi/v3/positionRisk", position_risk_v3, 5),
    Endpoint("GET", "/fapi/v1/leverageBracket", leverage_bracket, 1),
    Endpoint("POST", "/fapi/v1/leverage", set_leverage, 1),
    Endpoint("POST", "/fapi/v1/marginType", set_margin_type, 1),
    Endpoint("GET", "/fapi/v1/positionSide/dual", position_mode, 30),
    Endpoint("POST", "/fapi/v1/positionSide/dual", set_position_mode, 1),
    Endpoint("GET", "/fapi/v1/multiAssetsMargin", multi_assets, 30),
    Endpoint("POST", "/fapi/v1/multiAssetsMargin", set_multi_assets, 1),
    Endpoint("GET", "/fapi/v1/symbolConfig", symbol_config, 5),
    Endpoint("GET", "/fapi/v1/accountConfig", account_config, 5),
    Endpoint("GET", "/fapi/v1/commissionRate", commission_rate, 20),
    Endpoint("GET", "/fapi/v1/income", income, 30),
    Endpoint("POST", "/fapi/v1/listenKey", new_listen_key, 1, "KEY"),
    Endpoint("PUT", "/fapi/v1/listenKey", keep_listen_key, 1, "KEY"),
    Endpoint("DELETE", "/fapi/v1/listenKey", close_listen_key, 1, "KEY"),
)
