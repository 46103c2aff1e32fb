"""Spot objects as Binance prints them: pure functions from venue state to JSON-ready dictionaries."""

from __future__ import annotations

from typing import Any

from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.instruments import Instrument
from basis_daemon.sandbox.exchange.money import ONE, ZERO, plain, text8
from basis_daemon.sandbox.exchange.orders import Fill, Order
from basis_daemon.sandbox.exchange.venue import OrderEvent, SpotBalanceEvent, Venue

Json = dict[str, Any]
STP = "EXPIRE_MAKER"


def symbol_info(instrument: Instrument) -> Json:
    return {
        "symbol": instrument.symbol,
        "status": instrument.status,
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(instrument),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": STP,
        "allowedSelfTradePreventionModes": [STP],
    }


def _filters(instrument: Instrument) -> list[Json]:
    up, down = plain(instrument.price_up), plain(instrument.price_down)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": text8(instrument.tick),
            "maxPrice": "1000000.00000000",
            "tickSize": text8(instrument.tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": text8(instrument.step),
            "maxQty": text8(instrument.max_qty),
            "stepSize": text8(instrument.step),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": "0.00000000",
            "maxQty": text8(instrument.market_max_qty),
            "stepSize": "0.00000000",
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": up,
            "bidMultiplierDown": down,
            "askMultiplierUp": up,
            "askMultiplierDown": down,
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": text8(instrument.min_notional),
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
    ]


def placed(order: Order, kind: str) -> Json:
    """The answer to a new order: ACK, RESULT or FULL."""
    answer: Json = {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "transactTime": order.updated_ms,
    }
    if kind == "ACK":
        return answer
    answer |= _body(order) | {"workingTime": order.created_ms, "selfTradePreventionMode": STP}
    if kind == "FULL":
        answer["fills"] = [
            {
                "price": text8(fill.price),
                "qty": text8(fill.quantity),
                "commission": text8(fill.fee),
                "commissionAsset": fill.fee_asset,
                "tradeId": fill.trade_id,
            }
            for fill in order.fills
        ]
    return answer


def order_row(order: Order) -> Json:
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        **_body(order),
        "stopPrice": "0.00000000",
        "icebergQty": "0.00000000",
        "time": order.created_ms,
        "updateTime": order.updated_ms,
        "isWorking": True,
        "workingTime": order.created_ms,
        "selfTradePreventionMode": STP,
    }


def canceled(order: Order, new_client_id: str) -> Json:
    return {
        "symbol": order.symbol,
        "origClientOrderId": order.client_id,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": new_client_id,
        "transactTime": order.updated_ms,
        **_body(order),
        "selfTradePreventionMode": STP,
    }


def _body(order: Order) -> Json:
    return {
        "price": text8(order.price),
        "origQty": text8(order.quantity),
        "executedQty": text8(order.filled),
        "origQuoteOrderQty": text8(order.request.quote_quantity or ZERO),
        "cummulativeQuoteQty": text8(order.quote_filled),
        "status": order.status,
        "timeInForce": order.request.time_in_force,
        "type": order.request.kind,
        "side": order.request.side,
    }


def trade_row(fill: Fill) -> Json:
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": -1,
        "price": text8(fill.price),
        "qty": text8(fill.quantity),
        "quoteQty": text8(fill.quote),
        "commission": text8(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.at_ms,
        "isBuyer": fill.buy,
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


def account_info(account: Account, venue: Venue, *, omit_zero: bool) -> Json:
    fees = venue.fees
    return {
        "makerCommission": int(fees.spot_maker * 10_000),
        "takerCommission": int(fees.spot_taker * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": text8(fees.spot_maker),
            "taker": text8(fees.spot_taker),
            "buyer": "0.00000000",
            "seller": "0.00000000",
        },
        "canTrade": True,
        "canWithdraw": True,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": account.spot_updated_ms,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": text8(held.free), "locked": text8(held.locked)}
            for asset, held in sorted(account.spot.items())
            if not omit_zero or held.free or held.locked
        ],
        "permissions": ["SPOT"],
        "uid": account.number,
    }


def commission(account: Account, venue: Venue, symbol: str) -> Json:
    fees = venue.fees
    zero = {"maker": "0.00000000", "taker": "0.00000000", "buyer": "0.00000000", "seller": "0.00000000"}
    return {
        "symbol": symbol,
        "standardCommission": zero | {"maker": text8(fees.spot_maker), "taker": text8(fees.spot_taker)},
        "specialCommission": zero,
        "taxCommission": zero,
        "discount": {
            "enabledForAccount": account.pays_fees_in_bnb,
            "enabledForSymbol": True,
            "discountAsset": "BNB",
            "discount": text8(ONE - fees.bnb_discount),
        },
    }


def execution_report(event: OrderEvent, now_ms: int) -> Json:
    order, fill = event.order, event.fill
    canceled_now = event.execution == "CANCELED"
    return {
        "e": "executionReport",
        "E": now_ms,
        "s": order.symbol,
        "c": order.client_id,
        "S": order.request.side,
        "o": order.request.kind,
        "f": order.request.time_in_force,
        "q": text8(order.quantity),
        "p": text8(order.price),
        "P": "0.00000000",
        "F": "0.00000000",
        "g": -1,
        "C": order.client_id if canceled_now else "",
        "x": event.execution,
        "X": order.status,
        "r": "NONE",
        "i": order.order_id,
        "l": text8(fill.quantity if fill else ZERO),
        "z": text8(order.filled),
        "L": text8(fill.price if fill else ZERO),
        "n": text8(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else None,
        "T": order.updated_ms,
        "t": fill.trade_id if fill else -1,
        "I": order.order_id * 2,
        "w": order.live,
        "m": fill.maker if fill else False,
        "M": fill is not None,
        "O": order.created_ms,
        "Z": text8(order.quote_filled),
        "Y": text8(fill.quote if fill else ZERO),
        "Q": text8(order.request.quote_quantity or ZERO),
        "W": order.created_ms,
        "V": STP,
    }


def balance_events(account: Account, event: SpotBalanceEvent, now_ms: int) -> list[Json]:
    events: list[Json] = []
    if event.delta is not None:
        events.append({"e": "balanceUpdate", "E": now_ms, "a": event.assets[0], "d": text8(event.delta), "T": now_ms})
    events.append(
        {
            "e": "outboundAccountPosition",
            "E": now_ms,
            "u": account.spot_updated_ms,
            "B": [
                {"a": asset, "f": text8(account.holding(asset).free), "l": text8(account.holding(asset).locked)}
                for asset in event.assets
            ],
        }
    )
    return events
