"""Orders and fills as the venue keeps them, and one store per account and market to find them again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from basis_daemon.sandbox.exchange.instruments import Instrument
from basis_daemon.sandbox.exchange.money import ZERO
from basis_daemon.sandbox.exchange.rejects import RejectError, illegal

CLIENT_ID_PATTERN = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
_CLIENT_ID = re.compile(CLIENT_ID_PATTERN)
LIVE = ("NEW", "PARTIALLY_FILLED")


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a client asked for, parsed but not judged. `price` is absent for market orders.

    `foreign` is what came through the control port: another hand at the account.
    """

    symbol: str
    side: str
    kind: str
    time_in_force: str = "GTC"
    quantity: Decimal | None = None
    quote_quantity: Decimal | None = None
    price: Decimal | None = None
    reduce_only: bool = False
    close_position: bool = False
    position_side: str = "BOTH"
    client_id: str = ""
    foreign: bool = False

    @property
    def buy(self) -> bool:
        return self.side == "BUY"


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of one order. `fee` is what left the account in `fee_asset`; `realised` is zero on spot."""

    trade_id: int
    order_id: int
    symbol: str
    buy: bool
    price: Decimal
    quantity: Decimal
    quote: Decimal
    fee: Decimal
    fee_asset: str
    realised: Decimal
    maker: bool
    at_ms: int


@dataclass(slots=True)
class Order:
    """One accepted order and how far it got; the venue's own record, changed only by its engine."""

    order_id: int
    request: OrderRequest
    instrument: Instrument
    client_id: str
    quantity: Decimal
    created_ms: int
    updated_ms: int
    status: str = "NEW"
    filled: Decimal = ZERO
    quote_filled: Decimal = ZERO
    locked: Decimal = ZERO
    fills: list[Fill] = field(default_factory=list)

    @property
    def symbol(self) -> str:
        return self.request.symbol

    @property
    def buy(self) -> bool:
        return self.request.buy

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled

    @property
    def price(self) -> Decimal:
        return self.request.price if self.request.price is not None else ZERO

    @property
    def average(self) -> Decimal:
        return self.instrument.price_of(self.filled, self.quote_filled) if self.filled else ZERO

    @property
    def limit_ticks(self) -> int | None:
        return None if self.request.price is None else int(self.request.price / self.instrument.tick)

    def add(self, fill: Fill) -> None:
        self.fills.append(fill)
        self.filled += fill.quantity
        self.quote_filled += fill.quote
        self.updated_ms = fill.at_ms
        self.status = "FILLED" if self.remaining <= ZERO else "PARTIALLY_FILLED"


@dataclass(frozen=True, slots=True)
class Refused:
    """An authenticated order POST that the venue refused; kept so that orders can be counted from outside."""

    client_id: str
    symbol: str
    side: str
    code: int
    message: str
    at_ms: int


@dataclass(slots=True)
class AlgoOrder:
    """A conditional order: held by the venue until the mark reaches `trigger`, then placed as an ordinary one."""

    algo_id: int
    client_id: str
    request: OrderRequest
    instrument: Instrument
    trigger: Decimal
    created_ms: int
    updated_ms: int
    status: str = "NEW"
    triggered_ms: int = 0
    order_id: int | None = None
    reason: str = ""

    def reached(self, mark: Decimal) -> bool:
        """Stops wait for the market to run away from the side they trade, take-profits for it to come."""
        upward = self.request.buy == self.request.kind.startswith("STOP")
        return mark >= self.trigger if upward else mark <= self.trigger


class OrderStore:
    """All orders of one account in one market. Client ids are unique among open orders only, as at the venue."""

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.open: dict[int, Order] = {}
        self.refused: list[Refused] = []
        self.fills: list[Fill] = []
        self._by_client: dict[str, list[Order]] = {}

    def add(self, order: Order) -> None:
        self.orders[order.order_id] = order
        self.open[order.order_id] = order
        self._by_client.setdefault(order.client_id, []).append(order)

    def close(self, order: Order, status: str, at_ms: int) -> None:
        order.status, order.updated_ms = status, at_ms
        self.open.pop(order.order_id, None)

    def record(self, order: Order, fill: Fill) -> None:
        order.add(fill)
        self.fills.append(fill)
        if not order.live:
            self.open.pop(order.order_id, None)

    def has_open(self, client_id: str) -> bool:
        return any(order.live for order in self._by_client.get(client_id, ()))

    def find(self, symbol: str, order_id: int | None, client_id: str | None) -> Order | None:
        """The order by id, else the newest one with the client id; only if it is of `symbol`."""
        found: Order | None = None
        if order_id is not None:
            found = self.orders.get(order_id)
        elif client_id:
            found = next(reversed(self._by_client.get(client_id, [])), None)
        return found if found is not None and found.symbol == symbol else None

    def resting(self, symbol: str | None = None) -> Iterator[Order]:
        """Open orders in time priority; safe to close while iterating."""
        return iter([order for order in self.open.values() if symbol in (None, order.symbol)])


def client_id_or(request: OrderRequest, fallback: str) -> str:
    if request.client_id and not _CLIENT_ID.match(request.client_id):
        raise illegal("newClientOrderId", CLIENT_ID_PATTERN)
    return request.client_id or fallback


def is_multiple(value: Decimal, step: Decimal) -> bool:
    return value % step == ZERO


def require_known(request: OrderRequest, kinds: tuple[str, ...]) -> None:
    """Side, type and time in force are words the venue knows; raises `RejectError` with its code."""
    if request.side not in ("BUY", "SELL"):
        raise RejectError(-1117, "Invalid side.")
    if request.kind not in kinds:
        raise RejectError(-1116, f"Invalid orderType. (the sandbox exchange models {', '.join(kinds)})")
    if request.time_in_force not in ("GTC", "IOC", "FOK", "GTX"):
        raise RejectError(-1115, "Invalid timeInForce.")
    if request.quantity is not None and not ZERO < request.quantity < Decimal(10) ** 15:
        raise RejectError(-1013 if request.position_side == "" else -4003, "Quantity less than or equal to zero.")
    if request.price is not None and request.price < ZERO:
        raise RejectError(-4001, "Price less than 0.")


def in_steps(quantity: Decimal, instrument: Instrument) -> int:
    return int(quantity / instrument.step)


def from_steps(steps: int, instrument: Instrument) -> Decimal:
    return steps * instrument.step


def from_ticks(ticks: int, instrument: Instrument) -> Decimal:
    return ticks * instrument.tick
