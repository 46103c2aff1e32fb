"""Futures objects as Binance prints them: pure functions from venue state to JSON-ready dictionaries."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from basis_daemon.sandbox.exchange.accounts import Account, IncomeRow, Position
from basis_daemon.sandbox.exchange.instruments import LIQUIDATION_FEE, Instrument, Tier, Tiers, most_notional
from basis_daemon.sandbox.exchange.money import ZERO, places_of, plain, text8
from basis_daemon.sandbox.exchange.orders import AlgoOrder, Fill, Order
from basis_daemon.sandbox.exchange.render_margin import entry_text
from basis_daemon.sandbox.exchange.venue import OrderEvent, Venue, WalletEvent

Json = dict[str, Any]
PERPETUAL_DELIVERY_MS = 4_133_404_800_000
ONBOARD_MS = 1_569_398_400_000
STP = "EXPIRE_MAKER"


def symbol_info(instrument: Instrument) -> Json:
    return contract_row(instrument) | {"liquidationFee": f"{LIQUIDATION_FEE:.6f}", "marketTakeBound": "0.05"}


def contract_row(instrument: Instrument) -> Json:
    """What both kinds of futures say of a contract."""
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": PERPETUAL_DELIVERY_MS,
        "onboardDate": ONBOARD_MS,
        "status": instrument.status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.margin_asset,
        "pricePrecision": instrument.price_places,
        "quantityPrecision": instrument.quantity_places,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "filters": _filters(instrument),
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _filters(instrument: Instrument) -> list[Json]:
    tick, step = _price(instrument, instrument.tick), plain(instrument.step)
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": plain(instrument.max_qty), "stepSize": step},
        {"filterType": "MARKET_LOT_SIZE", "minQty": step, "maxQty": plain(instrument.market_max_qty), "stepSize": step},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
        {"filterType": "MIN_NOTIONAL", "notional": plain(instrument.min_notional)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": f"{instrument.price_up:.4f}",
            "multiplierDown": f"{instrument.price_down:.4f}",
            "multiplierDecimal": "4",
        },
    ]


def order_row(order: Order) -> Json:
    instrument = order.instrument
    kind = order.request.kind
    return {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": _price(instrument, order.price),
        "avgPrice": f"{order.average:.5f}",
        "origQty": _quantity(instrument, order.quantity),
        "executedQty": _quantity(instrument, order.filled),
        **_turnover(order.instrument, order.quote_filled),
        "timeInForce": order.request.time_in_force,
        "type": kind,
        "reduceOnly": order.request.reduce_only,
        "closePosition": False,
        "side": order.request.side,
        "positionSide": "BOTH",
        "stopPrice": _price(instrument, ZERO),
        "workingType": "CONTRACT_PRICE",
        "priceMatch": "NONE",
        "selfTradePreventionMode": STP,
        "goodTillDate": 0,
        "priceProtect": False,
        "origType": kind,
        "time": order.created_ms,
        "updateTime": order.updated_ms,
    }


def placed(order: Order, kind: str) -> Json:
    """The answer to a new order. ACK tells only that it was taken, whatever it has filled since."""
    row = order_row(order) | {"cumQty": _quantity(order.instrument, order.filled)}
    del row["time"]
    if kind == "RESULT":
        return row
    zero = _quantity(order.instrument, ZERO)
    return row | {
        "status": "NEW",
        "avgPrice": "0.00",
        "executedQty": zero,
        "cumQty": zero,
        **_turnover(order.instrument, ZERO),
    }


def _turnover(instrument: Instrument, value: Decimal) -> Json:
    """What was filled, in the margin asset; an inverse contract is named by its pair too."""
    return {"cumQuote" if instrument.market == "usdm" else "cumBase": text8(value)} | _pair(instrument)


def _pair(instrument: Instrument) -> Json:
    return {} if instrument.market == "usdm" else {"pair": instrument.base + instrument.quote}


def trade_row(fill: Fill, instrument: Instrument) -> Json:
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "side": "BUY" if fill.buy else "SELL",
        "price": _price(instrument, fill.price),
        "qty": _quantity(instrument, fill.quantity),
        "realizedPnl": text8(fill.realised),
        "quoteQty" if instrument.market == "usdm" else "baseQty": text8(fill.quote),
        "commission": text8(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.at_ms,
        "positionSide": "BOTH",
        "buyer": fill.buy,
        "maker": fill.maker,
        "marginAsset": instrument.margin_asset,
    } | _pair(instrument)


def brackets(symbol: str, tiers: Tiers, leverage_max: int | None) -> Json:
    """The tiers of a symbol; an account that is held to less sees less."""
    return {
        "symbol": symbol,
        "notionalCoef": 1.0,
        "brackets": [
            {"notionalCap": int(tier.cap), "notionalFloor": int(tier.floor), **bracket_row(tier, leverage_max)}
            for tier in tiers
        ],
    }


def bracket_row(tier: Tier, leverage_max: int | None) -> Json:
    """What both kinds of futures say of a tier."""
    return {
        "bracket": tier.number,
        "initialLeverage": min(tier.leverage, leverage_max or tier.leverage),
        "maintMarginRatio": float(tier.rate),
        "cum": float(tier.amount),
    }


def income_row(row: IncomeRow) -> Json:
    return {
        "symbol": row.symbol,
        "incomeType": row.kind,
        "income": text8(row.amount),
        "asset": row.asset,
        "info": row.kind if row.kind != "TRANSFER" else ("TRANSFER_IN" if row.amount > ZERO else "TRANSFER_OUT"),
        "time": row.at_ms,
        "tranId": row.tran_id,
        "tradeId": row.trade_id,
    }


def symbol_config(position: Position) -> Json:
    return {
        "symbol": position.symbol,
        "marginType": position.margin_type,
        "isAutoAddMargin": False,
        "leverage": position.leverage,
        "maxNotionalValue": plain(most_notional(position.tiers, position.leverage)),
    }


def order_update(event: OrderEvent, now_ms: int) -> Json:
    order, fill, instrument = event.order, event.fill, event.order.instrument
    body: Json = {
        "s": order.symbol,
        "c": order.client_id,
        "S": order.request.side,
        "o": order.request.kind,
        "f": order.request.time_in_force,
        "q": _quantity(instrument, order.quantity),
        "p": _price(instrument, order.price),
        "ap": plain(order.average),
        "sp": "0",
        "x": event.execution,
        "X": order.status,
        "i": order.order_id,
        "l": _quantity(instrument, fill.quantity if fill else ZERO),
        "z": _quantity(instrument, order.filled),
        "L": _price(instrument, fill.price if fill else ZERO),
        "T": order.updated_ms,
        "t": fill.trade_id if fill else 0,
        "b": "0",
        "a": "0",
        "m": fill.maker if fill else False,
        "R": order.request.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": order.request.kind,
        "ps": "BOTH",
        "cp": False,
        "rp": text8(fill.realised if fill else ZERO),
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": STP,
        "pm": "NONE",
        "gtd": 0,
    }
    if fill:
        body |= {"n": text8(fill.fee), "N": fill.fee_asset}
    return {"e": "ORDER_TRADE_UPDATE", "T": order.updated_ms, "E": now_ms, "o": body}


def algo_row(algo: AlgoOrder) -> Json:
    request, instrument = algo.request, algo.instrument
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_id,
        "algoType": "CONDITIONAL",
        "orderType": request.kind,
        "symbol": request.symbol,
        "side": request.side,
        "positionSide": "BOTH",
        "timeInForce": request.time_in_force,
        "quantity": _quantity(instrument, request.quantity or ZERO),
        "algoStatus": algo.status,
        "triggerPrice": _price(instrument, algo.trigger),
        "price": _price(instrument, request.price or ZERO),
        "icebergQuantity": None,
        "selfTradePreventionMode": STP,
        "workingType": "MARK_PRICE",
        "priceMatch": "NONE",
        "closePosition": request.close_position,
        "priceProtect": False,
        "reduceOnly": request.reduce_only,
        "createTime": algo.created_ms,
        "updateTime": algo.updated_ms,
        "triggerTime": algo.triggered_ms,
        "goodTillDate": 0,
        "actualOrderId": "" if algo.order_id is None else str(algo.order_id),
    }


def algo_update(algo: AlgoOrder, now_ms: int) -> Json:
    request, instrument = algo.request, algo.instrument
    body = {
        "caid": algo.client_id,
        "aid": algo.algo_id,
        "at": "CONDITIONAL",
        "o": request.kind,
        "s": request.symbol,
        "S": request.side,
        "ps": "BOTH",
        "f": request.time_in_force,
        "q": _quantity(instrument, request.quantity or ZERO),
        "X": algo.status,
        "ai": "" if algo.order_id is None else str(algo.order_id),
        "tp": _price(instrument, algo.trigger),
        "p": _price(instrument, request.price or ZERO),
        "V": STP,
        "wt": "MARK_PRICE",
        "pm": "NONE",
        "cp": request.close_position,
        "pP": False,
        "R": request.reduce_only,
        "tt": algo.triggered_ms,
        "gtd": 0,
        "rm": algo.reason,
    }
    return {"e": "ALGO_UPDATE", "T": algo.updated_ms, "E": now_ms, "o": body}


def account_update(account: Account, event: WalletEvent, venue: Venue) -> Json:
    positions = []
    for symbol in event.symbols:
        position = account.position(symbol)
        positions.append(
            {
                "s": symbol,
                "pa": _quantity(venue.instrument(account.market, symbol), position.quantity),
                "ep": entry_text(position),
                "bep": entry_text(position),
                "cr": text8(position.realised),
                "up": text8(position.unrealised(venue.marks[symbol])),
                "mt": "cross",
                "iw": "0",
                "ps": "BOTH",
                "ma": account.margin_asset,
            }
        )
    wallets = [
        {"a": asset, "wb": text8(account.wallet[asset]), "cw": text8(account.wallet[asset]), "bc": text8(event.change)}
        for asset in event.assets
    ]
    return {
        "e": "ACCOUNT_UPDATE",
        "T": venue.now_ms,
        "E": venue.now_ms,
        "a": {"B": wallets, "P": positions, "m": event.reason},
    }


def _price(instrument: Instrument, price: Decimal) -> str:
    return f"{price:.{instrument.price_places}f}"


def _quantity(instrument: Instrument, quantity: Decimal) -> str:
    """With the places of the step, and with more where it was of a finer one: what was traded is never cut."""
    return f"{quantity:.{max(instrument.quantity_places, places_of(quantity))}f}"
