"""How an endpoint is declared, and the parsed call it is given. Handlers are plain functions: call in, JSON out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeVar

from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.instruments import Market
from basis_daemon.sandbox.exchange.listen_keys import ListenKeys
from basis_daemon.sandbox.exchange.orders import OrderRequest
from basis_daemon.sandbox.exchange.rejects import RejectError, illegal, missing
from basis_daemon.sandbox.exchange.venue import Venue
from basis_daemon.sandbox.exchange.world import World

Security = Literal["NONE", "KEY", "SIGNED"]
Row = TypeVar("Row")
NUMBER = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, authenticated as far as its endpoint demands. `real_ms` is wall time, `venue.now_ms` market time.

    `market` is the one whose API was asked; `account` is that of the key in it.
    """

    world: World
    params: Mapping[str, str]
    real_ms: int
    listen_keys: ListenKeys
    known: Account | None = None
    market: Market = "spot"

    @property
    def venue(self) -> Venue:
        return self.world.venue

    @property
    def account(self) -> Account:
        if self.known is None:
            raise RuntimeError("an endpoint without security asked for an account")
        return self.known

    def text(self, name: str) -> str:
        value = self.params.get(name, "")
        if not value:
            raise missing(name)
        return value

    def maybe(self, name: str) -> str | None:
        return self.params.get(name) or None

    def decimal(self, name: str) -> Decimal:
        value = self.maybe_decimal(name)
        if value is None:
            raise missing(name)
        return value

    def maybe_decimal(self, name: str) -> Decimal | None:
        raw = self.params.get(name)
        if not raw:
            return None
        try:
            value = Decimal(raw)
        except InvalidOperation:
            raise illegal(name, NUMBER) from None
        if not value.is_finite() or value < 0:
            raise illegal(name, NUMBER)
        return value

    def maybe_integer(self, name: str) -> int | None:
        raw = self.params.get(name)
        if not raw:
            return None
        if not raw.isdigit():
            raise illegal(name, "^[0-9]{1,20}$")
        return int(raw)

    def limit(self, default: int, most: int) -> int:
        return min(most, max(1, self.maybe_integer("limit") or default))

    def flag(self, name: str) -> bool:
        return self.params.get(name, "").lower() == "true"

    def order_request(self) -> OrderRequest:
        """The order the client asks for; values are parsed, not judged."""
        kind = self.text("type").upper()
        resting = kind not in ("MARKET", "LIMIT_MAKER")
        if kind == "LIMIT" and not self.maybe("timeInForce"):
            raise missing("timeInForce")
        for name in ("price", "timeInForce"):
            if self.maybe(name) and (kind == "MARKET" or (kind == "LIMIT_MAKER" and name == "timeInForce")):
                raise RejectError(-1106, f"Parameter '{name}' sent when not required.")
        return OrderRequest(
            symbol=self.text("symbol"),
            side=self.text("side").upper(),
            kind=kind,
            time_in_force=(self.maybe("timeInForce") or "GTC") if resting else "GTC",
            quantity=self.maybe_decimal("quantity"),
            quote_quantity=self.maybe_decimal("quoteOrderQty"),
            price=self.maybe_decimal("price") if kind != "MARKET" else None,
            reduce_only=self.flag("reduceOnly"),
            position_side=self.maybe("positionSide") or "BOTH",
            client_id=self.params.get("newClientOrderId", ""),
        )

    def order_key(self) -> tuple[int | None, str | None]:
        order_id, client_id = self.maybe_integer("orderId"), self.maybe("origClientOrderId")
        if order_id is None and client_id is None:
            raise RejectError(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        return order_id, client_id

    def window(
        self, rows: Sequence[Row], at: Callable[[Row], int], default: int, most: int, span_ms: int | None = None
    ) -> list[Row]:
        """Rows in [startTime, endTime]: the oldest of them if a start is given, else the newest; market time.

        With `span_ms` no answer covers more: a missing end is that far from the start, a missing start from the end
        (or from now).
        """
        start, end, limit = self.maybe_integer("startTime"), self.maybe_integer("endTime"), self.limit(default, most)
        first, last = start, end
        if span_ms is not None:
            if first is not None and last is not None and last - first > span_ms:
                raise RejectError(-4165, f"Invalid time interval: at most {span_ms // 86_400_000} days.")
            if first is None:
                first = (self.venue.now_ms if last is None else last) - span_ms
            elif last is None:
                last = first + span_ms
        chosen = [row for row in rows if (first or 0) <= at(row) and (last is None or at(row) <= last)]
        return chosen[:limit] if start is not None else chosen[-limit:]


Handler = Callable[[Call], Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the venue's API: what it costs, what it demands, and whether it places an order."""

    method: str
    path: str
    handler: Handler
    weight: int = 1
    security: Security = "SIGNED"
    places: Market | None = None
