"""Small markets with prices a test can multiply in its head, and clients to trade them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from basis_daemon.sandbox.exchange.accounts import Account, AccountSpec
from basis_daemon.sandbox.exchange.book import DepthProfile
from basis_daemon.sandbox.exchange.instruments import Key
from basis_daemon.sandbox.exchange.money import E8
from basis_daemon.sandbox.exchange.orders import Order, OrderRequest
from basis_daemon.sandbox.exchange.path import DAY_MS, HOUR_MS, Rate
from basis_daemon.sandbox.exchange.rejects import RejectError
from basis_daemon.sandbox.exchange.venue import Venue
from basis_daemon.sandbox.exchange.world import World

START_MS = 1_767_571_200_000
SPOT: Key = ("spot", "BTCUSDT")
PERP: Key = ("usdm", "BTCUSDT")
ZERO = Decimal(0)
KEYS: tuple[Key, ...] = (("spot", "BTCUSDT"), ("spot", "ETHUSDT"), ("spot", "BNBUSDT"), ("usdm", "BTCUSDT"),
                         ("usdm", "ETHUSDT"))  # fmt: skip
OPENING = {"BTCUSDT": 60_000, "ETHUSDT": 2_500, "BNBUSDT": 600, "BTCUSD_PERP": 60_000}
ONE_DEEP_LEVEL = DepthProfile(offsets=(0,), sizes=(500_000_000,))


def D(value: str | int) -> Decimal:  # noqa: N802 - short, because every number of an example wears it
    return Decimal(value)


@dataclass(slots=True)
class ScriptedPath:
    """Prices stand still until the test moves them; None closes a market."""

    start_ms: int = START_MS
    end_ms: int = START_MS + 10 * DAY_MS
    keys: tuple[Key, ...] = KEYS
    prices: dict[Key, int | Decimal | None] = field(default_factory=dict)
    funding: Sequence[Rate] = ()

    def price_e8(self, key: Key, at_ms: int) -> int | None:
        del at_ms
        price = self.prices.get(key, OPENING[key[1]])
        return None if price is None else int(price * E8)

    def rates(self, symbol: str) -> Sequence[Rate]:
        del symbol
        return self.funding or [Rate(START_MS + n * 8 * HOUR_MS, D("0.0001"), 8) for n in range(-45, 31)]


class Desk:
    """One account in front of one scripted world: the test's hands."""

    def __init__(
        self,
        spot: dict[str, str] | None = None,
        usdm: str = "0",
        depth: DepthProfile = ONE_DEEP_LEVEL,
        path: ScriptedPath | None = None,
    ) -> None:
        self.path = path or ScriptedPath()
        spec = AccountSpec(
            spot=tuple((a, D(v)) for a, v in (spot or {"USDT": "100000"}).items()), usdm=(("USDT", D(usdm)),)
        )
        self.venue = Venue(self.path.keys, [spec], self.path.start_ms, depth=depth)
        self.world = World(self.venue, self.path)
        self.account: Account = self.venue.accounts[spec.api_key]
        self.events: list[Any] = []
        self.venue.sink = lambda _, event: self.events.append(event)

    def spot(self, side: str, quantity: str | None, price: str | None = None, **more: object) -> Order:
        return self.world.spot.place(self.account, request(side, quantity, price, **more))

    def perp(self, side: str, quantity: str | None, price: str | None = None, **more: object) -> Order:
        return self.world.futures.place(self.account, request(side, quantity, price, **more))

    def free(self, asset: str) -> Decimal:
        return self.account.holding(asset).free

    def locked(self, asset: str) -> Decimal:
        return self.account.holding(asset).locked

    @property
    def wallet(self) -> Decimal:
        return self.account.wallet["USDT"]

    def income(self, kind: str) -> list[Decimal]:
        return [row.amount for row in self.account.income if row.kind == kind]

    def move(self, prices: dict[Key, int | Decimal | None], seconds: int = 60) -> None:
        """The market takes new prices and one step."""
        self.path.prices.update(prices)
        self.world.advance(self.venue.now_ms + seconds * 1000)


def request(side: str, quantity: str | None, price: str | None = None, **more: object) -> OrderRequest:
    """A limit order if it has a price, else a market order; `more` are fields of the request."""
    fields: dict[str, Any] = {"symbol": "BTCUSDT", "kind": "LIMIT" if price else "MARKET"} | more
    if "quote_quantity" in fields:
        fields["quote_quantity"] = D(fields["quote_quantity"])
    return OrderRequest(
        side=side, quantity=D(quantity) if quantity else None, price=D(price) if price else None, **fields
    )


def code_of(place: Callable[[], Order]) -> int:
    """The venue's code for a refused order; 0 when it was accepted."""
    try:
        place()
    except RejectError as reject:
        return reject.code
    return 0
