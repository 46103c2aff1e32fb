"""What others do while a client trades, on command: the venue changes its terms, another hand trades on the account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.instruments import DELISTED, FUTURES, HALTED, TRADING, Instrument, ladder
from basis_daemon.sandbox.exchange.orders import Order, OrderRequest
from basis_daemon.sandbox.exchange.rejects import RejectError
from basis_daemon.sandbox.exchange.world import World

Json = dict[str, Any]
EVENT_KINDS = {
    "halt": ("nobody may trade it until `resume`", ()),
    "resume": ("it trades again", ()),
    "delist": ("it is not listed any more; what is held stays held", ()),
    "filters": ("other filters", ("tick", "step", "max_qty", "min_notional")),
    "tiers": ("other margin tiers, rows of [cap, leverage, rate]", ("tiers",)),
    "funding_interval": ("funding settles every so many hours", ("hours",)),
    "trade": ("another hand trades at the market", ("side", "quantity", "client_id", "account")),
    "order": ("another hand leaves an order", ("side", "quantity", "price", "client_id", "account")),
    "cancel": ("another hand cancels an order", ("client_id", "account")),
    "adl": ("the venue closes part of a position for somebody bankrupt, at the mark", ("quantity", "account")),
    "overfill": ("the newest filled order gets one more fill", ("quantity", "account")),
}
COMMON = ("kind", "market", "symbol")


class MarketEvents:
    """Carries the events out. All raise `ValueError` for what cannot be."""

    def __init__(self, world: World) -> None:
        self._world, self._venue = world, world.venue

    def happen(self, body: Mapping[str, Any]) -> Json:
        """One event from the control port's JSON; answers with what it changed."""
        kind = str(body.get("kind"))
        if kind not in EVENT_KINDS:
            raise ValueError(f"unknown event kind {kind!r}; known: {', '.join(EVENT_KINDS)}")
        fields = (*COMMON, *EVENT_KINDS[kind][1])
        if unknown := sorted(set(body) - set(fields)):
            raise ValueError(f"unknown fields {unknown} of {kind}; known: {', '.join(fields)}")
        handlers: dict[str, Callable[[Instrument, Mapping[str, Any]], Json]] = {
            "halt": self._set_status, "resume": self._set_status, "delist": self._set_status,
            "filters": self._filters, "tiers": self._tiers, "funding_interval": self._interval,
            "trade": self._order, "order": self._order, "cancel": self._cancel, "overfill": self._overfill,
            "adl": self._deleverage,
        }  # fmt: skip
        try:
            return handlers[kind](self._instrument(body), body)
        except RejectError as reject:
            raise ValueError(f"{kind}: the venue refuses it: {reject}") from None

    def _instrument(self, body: Mapping[str, Any]) -> Instrument:
        found = self._venue.instruments.get((body.get("market", ""), str(body.get("symbol"))))
        if found is None:
            known = ", ".join("/".join(key) for key in self._venue.instruments)
            raise ValueError(f"no market {body.get('market')!r}/{body.get('symbol')!r}; known: {known}")
        return found

    def _set_status(self, instrument: Instrument, body: Mapping[str, Any]) -> Json:
        words = {"halt": HALTED[instrument.market], "resume": TRADING, "delist": DELISTED}
        return self._relist(replace(instrument, status=words[body["kind"]]))

    def _filters(self, instrument: Instrument, body: Mapping[str, Any]) -> Json:
        changes: dict[str, Any] = {name: _number(body, name) for name in EVENT_KINDS["filters"][1] if name in body}
        if not changes:
            raise ValueError(f"filters: expected some of {', '.join(EVENT_KINDS['filters'][1])}, found none")
        return self._relist(replace(instrument, **changes))

    def _relist(self, instrument: Instrument) -> Json:
        self._venue.relist(instrument)
        self._world.advance(self._venue.now_ms)
        return {"market": instrument.market, "symbol": instrument.symbol, "status": instrument.status}

    def _tiers(self, instrument: Instrument, body: Mapping[str, Any]) -> Json:
        try:
            tiers = ladder(*((int(cap), int(leverage), str(rate)) for cap, leverage, rate in body.get("tiers", ())))
        except (TypeError, ValueError, InvalidOperation):
            raise ValueError(f"tiers are rows of [cap, leverage, rate], found {body.get('tiers')!r}") from None
        if instrument.market not in FUTURES or not tiers:
            raise ValueError(
                f"tiers: at least one row for a futures market, found {len(tiers)} for {instrument.market}"
            )
        self._venue.tiers[instrument.symbol] = tiers
        return {"symbol": instrument.symbol, "tiers": len(tiers)}

    def _interval(self, instrument: Instrument, body: Mapping[str, Any]) -> Json:
        hours = body.get("hours")
        if hours not in (1, 2, 4, 8) or instrument.market not in FUTURES:
            raise ValueError(f"funding_interval: hours 1, 2, 4 or 8 of a futures market, found {hours!r}")
        self._world.change_interval(instrument.symbol, hours)
        return {"symbol": instrument.symbol, "next_ms": self._venue.funding[instrument.symbol].next_ms}

    def _order(self, instrument: Instrument, body: Mapping[str, Any]) -> Json:
        is_market = body["kind"] == "trade"
        request = OrderRequest(
            symbol=instrument.symbol,
            side=str(body.get("side", "")).upper(),
            kind="MARKET" if is_market else "LIMIT",
            quantity=_number(body, "quantity"),
            price=None if is_market else _number(body, "price"),
            client_id=str(body.get("client_id", f"web_{self._venue.next_transaction_id()}")),
            foreign=True,
        )
        engine = self._world.spot if instrument.market == "spot" else self._world.futures
        return _told(engine.place(self._account(body, instrument), request))

    def _cancel(self, instrument: Instrument, body: Mapping[str, Any]) -> Json:
        account = self._account(body, instrument)
        order = account.store(instrument.market).find(instrument.symbol, None, str(body.get("client_id")))
        engine = self._world.spot if instrument.market == "spot" else self._world.futures
        return _told(engine.cancel(account, order))

    def _overfill(self, instrument: Instrument, body: Mapping[str, Any]) -> Json:
        account, quantity = self._account(body, instrument), _number(body, "quantity")
        orders = account.store(instrument.market).orders.values()
        own = [o for o in orders if o.symbol == instrument.symbol and o.status == "FILLED" and not o.request.foreign]
        if not own or quantity <= 0 or quantity % instrument.step:
            raise ValueError(
                f"overfill: {len(own)} filled orders of {instrument.symbol}, quantity {quantity}; expected at least "
                f"one order and a multiple of {instrument.step}"
            )
        if instrument.market == "spot":
            self._world.spot.overfill(account, own[-1], quantity)
        else:
            self._world.futures.overfill(account, own[-1], quantity)
        return _told(own[-1])

    def _deleverage(self, instrument: Instrument, body: Mapping[str, Any]) -> Json:
        if instrument.market not in FUTURES:
            raise ValueError(f"adl: {instrument.market} knows no positions, expected {' or '.join(FUTURES)}")
        settlement = self._world.settlement
        return _told(
            settlement.deleverage(self._account(body, instrument), instrument.symbol, _number(body, "quantity"))
        )

    def _account(self, body: Mapping[str, Any], instrument: Instrument) -> Account:
        """The one named by its key, else the first."""
        accounts = self._venue.accounts
        key = body.get("account", next(iter(accounts)))
        if key not in accounts:
            raise ValueError(f"no account {key!r}; known: {', '.join(accounts)}")
        return accounts[key].of_market(instrument.market)


def _told(order: Order) -> Json:
    return {"client_id": order.client_id, "status": order.status, "filled": str(order.filled)}


def _number(body: Mapping[str, Any], name: str) -> Decimal:
    try:
        value = Decimal(str(body.get(name)))
    except InvalidOperation:
        raise ValueError(f"{name} is {body.get(name)!r}, expected a number") from None
    if not value.is_finite() or value <= 0:
        raise ValueError(f"{name} is {value}, expected a number above zero")
    return value
