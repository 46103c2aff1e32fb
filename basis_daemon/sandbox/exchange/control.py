"""The control port: plain HTTP on loopback for whoever drives the sandbox. It is not part of the venue."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

import orjson
from aiohttp import web

from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.clock import MODES, MarketClock, Mode
from basis_daemon.sandbox.exchange.conditions import apply_conditions
from basis_daemon.sandbox.exchange.faults import REST_KINDS, STREAM_KINDS, FaultBoard, parse_fault
from basis_daemon.sandbox.exchange.instruments import FUTURES, Market
from basis_daemon.sandbox.exchange.margin import margin_of
from basis_daemon.sandbox.exchange.market_events import EVENT_KINDS
from basis_daemon.sandbox.exchange.money import ZERO, plain, text8
from basis_daemon.sandbox.exchange.orders import AlgoOrder, Fill, Order, OrderStore, Refused
from basis_daemon.sandbox.exchange.rejects import RejectError
from basis_daemon.sandbox.exchange.venue import Venue
from basis_daemon.sandbox.exchange.world import World

Json = dict[str, Any]
CLOCK_COMMANDS = ("hold", "resume", "advance_s", "mode", "speed", "skew_ms")
MARKETS: tuple[Market, ...] = ("spot", *FUTURES)


class Driven(Protocol):
    """What the control port may ask of the running exchange."""

    clock: MarketClock
    venue: Venue
    world: World
    faults: FaultBoard

    def status(self) -> Json: ...
    def hold(self) -> None: ...
    def resume(self) -> None: ...
    def set_mode(self, mode: Mode, speed: float | None) -> None: ...
    async def advance(self, seconds: float) -> None: ...
    def set_skew(self, skew_ms: int) -> None: ...
    def tell(self) -> None: ...
    def expire_listen_keys(self) -> int: ...
    def happen(self, body: Json) -> Json: ...
    def ask_to_stop(self) -> None: ...


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def control_app(exchange: Driven) -> web.Application:
    """The application behind the control port."""
    handler = _Control(exchange)
    app = web.Application()
    app.router.add_get("/status", handler.status)
    app.router.add_get("/books", handler.books)
    app.router.add_post("/clock", handler.clock)
    app.router.add_get("/faults", handler.known)
    app.router.add_post("/conditions", handler.conditions)
    app.router.add_post("/faults", handler.faults)
    app.router.add_post("/market", handler.market)
    app.router.add_delete("/faults", handler.clear_faults)
    app.router.add_post("/capital", handler.capital)
    app.router.add_post("/custody", handler.custody)
    app.router.add_post("/shutdown", handler.shutdown)
    return app


class _Control:
    """The handlers, over one exchange."""

    def __init__(self, exchange: Driven) -> None:
        self._exchange = exchange

    async def status(self, request: web.Request) -> web.Response:
        return _json(self._exchange.status())

    async def books(self, request: web.Request) -> web.Response:
        venue = self._exchange.venue
        return _json({"accounts": {key: account_book(account, venue) for key, account in venue.accounts.items()}})

    async def clock(self, request: web.Request) -> web.Response:
        """One or more of CLOCK_COMMANDS; answers with the status when they are carried out."""
        body = await _body(request)
        if not body or not set(body) <= set(CLOCK_COMMANDS):
            return _json({"error": f"expected some of {', '.join(CLOCK_COMMANDS)}, found {sorted(body)}"}, 400)
        mode = body.get("mode", self._exchange.clock.mode)
        if mode not in MODES:
            return _json({"error": f"mode is one of {', '.join(MODES)}, found {mode!r}"}, 400)
        if "mode" in body or "speed" in body:
            self._exchange.set_mode(mode, float(body["speed"]) if "speed" in body else None)
        if "skew_ms" in body:
            self._exchange.set_skew(int(body["skew_ms"]))
        if body.get("hold"):
            self._exchange.hold()
        if body.get("resume"):
            self._exchange.resume()
        if "advance_s" in body:
            await self._exchange.advance(float(body["advance_s"]))
        return _json(self._exchange.status())

    async def known(self, request: web.Request) -> web.Response:
        """What can be armed with POST /faults and made to happen with POST /market, in words."""
        events = {kind: {"means": means, "fields": fields} for kind, (means, fields) in EVENT_KINDS.items()}
        return _json({"faults": REST_KINDS | STREAM_KINDS, "market": events})

    async def market(self, request: web.Request) -> web.Response:
        body = await _body(request)
        try:
            return _json(self._exchange.happen(body))
        except ValueError as error:
            return _json({"error": str(error)}, 400)

    async def conditions(self, request: web.Request) -> web.Response:
        """Change how an account and its markets stand; told to whoever listens."""
        body = await _body(request)
        try:
            apply_conditions(self._exchange.venue, body)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        self._exchange.tell()
        return _json({"set": sorted(body)})

    async def faults(self, request: web.Request) -> web.Response:
        body = await _body(request)
        try:
            fault = parse_fault(body)
        except (ValueError, TypeError) as error:
            return _json({"error": str(error)}, 400)
        if fault.kind == "expire_listen_key":
            self._exchange.faults.injected[fault.kind] += 1
            return _json({"expired": self._exchange.expire_listen_keys()})
        self._exchange.faults.arm(fault)
        return _json({"armed": [armed.kind for armed in self._exchange.faults.armed]})

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._exchange.faults.clear()
        return _json({"armed": []})

    async def capital(self, request: web.Request) -> web.Response:
        """A deposit or withdrawal by the owner of an account: kind, asset, amount and, if any, fee and account."""
        body, venue = await _body(request), self._exchange.venue
        account = venue.accounts.get(str(body.get("account", next(iter(venue.accounts)))))
        if account is None or not {"kind", "asset", "amount"} <= set(body):
            return _json({"error": f"expected kind, asset, amount of one of {', '.join(venue.accounts)}"}, 400)
        amount, fee = Decimal(str(body["amount"])), Decimal(str(body.get("fee", 0)))
        try:
            row = self._exchange.world.settlement.capital(account, str(body["kind"]), str(body["asset"]), amount, fee)
        except RejectError as error:
            return _json({"error": str(error)}, 400)
        return _json({"id": row.number, "time": iso(row.at_ms)})

    async def custody(self, request: web.Request) -> web.Response:
        """What the venue's people do with coin that comes and goes over a chain: hold, reject, closed, whitelist."""
        try:
            self._exchange.world.custody.steer(await _body(request))
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        return _json({"set": True})

    async def shutdown(self, request: web.Request) -> web.Response:
        self._exchange.ask_to_stop()
        return _json({"stopping": True})


def account_book(account: Account, venue: Venue) -> Json:
    """Everything the venue holds for one account, quantities as text; positions, margin and income are of USD-M.

    Those of inverse contracts, in coin, stand under `coinm`.
    """
    everywhere = {market: account.of_market(market) for market in MARKETS}
    stores = {market: own.store(market) for market, own in everywhere.items()}
    return _of_futures(account, venue) | {
        "coinm": _of_futures(everywhere["coinm"], venue),
        "conditional": [_conditional(algo) for own in account.futures for algo in own.algos.values()],
        "orders": {market: _orders(store) for market, store in stores.items()},
        "fills": {market: [_fill(fill) for fill in store.fills] for market, store in stores.items()},
        "balances": {
            "spot": {a: text8(h.free + h.locked) for a, h in account.spot.items() if h.free or h.locked},
            **{own.market: {a: text8(amount) for a, amount in own.wallet.items() if amount} for own in account.futures},
        },
        "transfers": [
            {"type": t.kind, "asset": t.asset, "amount": text8(t.amount), "time": iso(t.at_ms), "tran_id": t.tran_id}
            for t in account.transfers
        ],
        "capital": [
            {
                "kind": c.kind,
                "asset": c.asset,
                "amount": text8(c.amount),
                "fee": text8(c.fee),
                "time": iso(c.at_ms),
                "status": c.status,
                "tx_id": c.tx_id,
                "client_id": c.client_id,
            }
            for c in account.capital
        ],
        "marks": {symbol: text8(mark) for symbol, mark in venue.marks.items()},
        "spot_prices": {symbol: text8(price) for symbol, price in venue.index.items()},
    }


def _of_futures(account: Account, venue: Venue) -> Json:
    """What one futures wallet carries, in its margin asset."""
    state, totals = margin_of(account, venue.marks), dict[str, Decimal]()
    for row in account.income:
        totals[row.kind] = totals.get(row.kind, ZERO) + row.amount
    return {
        "positions": {s: plain(p.quantity) for s, p in account.positions.items() if p.quantity},
        "margin": {
            "wallet": text8(state.wallet),
            "unrealised": text8(state.unrealised),
            "margin_balance": text8(state.margin_balance),
            "maintenance": text8(state.maintenance),
            "available": text8(state.available),
        },
        "income": {kind: text8(amount) for kind, amount in totals.items()},
    }


def _orders(store: OrderStore) -> list[Json]:
    return [_order(order) for order in store.orders.values()] + [_refused(refused) for refused in store.refused]


def _conditional(algo: AlgoOrder) -> Json:
    return {
        "clientOrderId": algo.client_id,
        "symbol": algo.request.symbol,
        "side": algo.request.side,
        "type": algo.request.kind,
        "status": algo.status,
        "quantity": None if algo.request.quantity is None else plain(algo.request.quantity),
        "trigger": plain(algo.trigger),
        "time": iso(algo.created_ms),
    }


def _order(order: Order) -> Json:
    return {
        "clientOrderId": order.client_id,
        "orderId": order.order_id,
        "symbol": order.symbol,
        "side": order.request.side,
        "type": order.request.kind,
        "status": order.status,
        "quantity": plain(order.quantity),
        "filled": plain(order.filled),
        "average": text8(order.average),
        "foreign": order.request.foreign,
        "time": iso(order.created_ms),
    }


def _refused(refused: Refused) -> Json:
    return {
        "clientOrderId": refused.client_id,
        "orderId": None,
        "symbol": refused.symbol,
        "side": refused.side,
        "status": "REJECTED",
        "filled": "0",
        "code": refused.code,
        "message": refused.message,
        "time": iso(refused.at_ms),
    }


def _fill(fill: Fill) -> Json:
    return {
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "symbol": fill.symbol,
        "side": "BUY" if fill.buy else "SELL",
        "price": plain(fill.price),
        "quantity": plain(fill.quantity),
        "fee": text8(fill.fee),
        "fee_asset": fill.fee_asset,
        "realised": text8(fill.realised),
        "maker": fill.maker,
        "time": iso(fill.at_ms),
    }


async def _body(request: web.Request) -> Json:
    raw = await request.read()
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body is not a JSON object")
    return body


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
