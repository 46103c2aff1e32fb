"""A seeded schedule of everything that one exchange and other hands can do to a book, played while its market runs.

Faults are armed and events happen at shares of the market time that is played; in its last tenth everything is healed,
and the demo ends only when the book is whole again. Trades of another hand and overfills are real money: the venue
tells of them, the daemon books them (fills of an order that is not ours, postings like any other), and the strategy
trades the difference back. An overfill halts its instrument until the operator, here the demo, rearms. Every book
that is played has a schedule of its own: its own accounts, symbol and sizes, and its own moments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from random import Random
from typing import Any

from basis_daemon.web.client import ControlRefusedError, LocalClient

Json = dict[str, Any]
HEALED_AT = 0.9
"""Share of the market after which nothing new goes wrong."""
SPOT, PERP, TRANSFER = "/api/v3/order", "/fapi/v1/order", "/sapi/v1/asset/transfer"
SPOT_ACCOUNT, PERP_ACCOUNT = "/api/v3/account", "/fapi/v3/account"
FAULTS, MARKET, CLOCK, REARM = "/faults", "/market", "/clock", "/rearm"
OVERLOADED, BANNED = -1008, 418
FOREIGN_NOTIONAL, FOREIGN_STEP = Decimal(1_500), Decimal("0.01")
"""What another hand trades at a time, in USDT and in steps of base units: enough for the strategy to trade it back,
little against the book."""


class FaultLevel(StrEnum):
    """How much goes wrong."""

    LIGHT = "light"
    HEAVY = "heavy"


@dataclass(frozen=True, slots=True)
class Injection:
    """One command to a control port once ``share`` of the market time has passed."""

    share: float
    path: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """One book at the venue: the key of its account there, what it trades, and how another hand would trade it.

    ``quantity`` is in base units; a bid at ``price_far`` rests and is never reached.
    """

    account: str
    symbol: str
    quantity: str
    price_far: str

    @classmethod
    def at_price(cls, account: str, symbol: str, price: Decimal) -> Target:
        """Sizes that suit this price."""
        quantity = max(FOREIGN_NOTIONAL / price, FOREIGN_STEP).quantize(FOREIGN_STEP)
        return cls(account, symbol, str(quantity), str((price / 3).quantize(Decimal(1))))


def schedule(level: FaultLevel, seed: int, targets: Sequence[Target]) -> tuple[Injection, ...]:
    """Equal seeds, equal schedules, whoever else is played: a book's moments depend on its own symbol."""
    found = [injection for target in targets for injection in _against(target, level, seed)]
    if level is FaultLevel.HEAVY:
        found += _clock(_random(level, seed, "clock"))
    return tuple(sorted(found, key=lambda injection: injection.share))


def _against(target: Target, level: FaultLevel, seed: int) -> Iterator[Injection]:
    random = _random(level, seed, target.symbol)
    yield from _on_the_wire(target, level)
    yield from _streams(target, level, random)
    if level is FaultLevel.HEAVY:
        yield from _accounts(target, random)
        yield from _venue(target, random)
        yield from _other_hands(target, random)


def _random(level: FaultLevel, seed: int, what: str) -> Random:
    return Random(f"{level}:{seed}:{what}")  # noqa: S311 - a schedule is no secret


def _on_the_wire(target: Target, level: FaultLevel) -> Iterator[Injection]:
    """Armed before the first order, each used by the first request that fits: the entry meets most of them."""

    def on(kind: str, path: str, method: str = "POST", **fields: object) -> Injection:
        body = {"kind": kind, "method": method, "path": path, "account": target.account, **fields}
        return Injection(0.0, FAULTS, body)

    yield on("accept_then_drop", SPOT)
    yield on("unavailable", PERP, code=OVERLOADED, message="Server is currently overloaded")
    yield on("reject", SPOT_ACCOUNT, "GET", code=-1003, status=429, retry_after_s=1, message="Too many requests")
    yield on("duplicate_fill", "user", "", count=2)
    if level is FaultLevel.LIGHT:
        return
    yield on("accept_then_drop", TRANSFER)
    yield on("executed_unknown", SPOT)
    yield on("reject", SPOT, code=-1021, message="Timestamp for this request is outside of the recvWindow.")
    yield on("delay_response_s", SPOT, seconds=4)
    yield on("garbage", PERP, form="truncated")
    yield on("late_request", PERP, seconds=4)
    yield on("bad_gateway", PERP)
    yield on("garbage", SPOT, form="html")
    yield on("reject", SPOT_ACCOUNT, "GET", code=-1003, status=BANNED, retry_after_s=2, message="Way too many requests")


def _streams(target: Target, level: FaultLevel, random: Random) -> Iterator[Injection]:
    def on(kind: str, path: str, **fields: object) -> Injection:
        whose = {"account": target.account} if path.startswith("user") else {"symbol": target.symbol}
        body = {"kind": kind, "path": path, **whose, **fields}
        return Injection(random.uniform(0.05, HEALED_AT), FAULTS, body)

    yield on("close_ws", "user-usdm")
    yield on("gap_ws", "usdm", count=2)
    drop = {"kind": "drop_fill", "path": "user", "account": target.account}
    yield Injection(random.uniform(0.0, 0.3), FAULTS, drop)
    yield on("expire_listen_key", "user")
    if level is FaultLevel.LIGHT:
        return
    for stream in ("spot", "usdm", "user-spot"):
        yield on("close_ws", stream)
    yield on("stall_ws", "usdm")
    yield on("gap_ws", "spot", count=2)
    for stream in ("spot", "usdm", "user-spot", "user-usdm"):
        yield on("poison_ws", stream, text=random.choice(('{"e":"ACCOUNT_UPDATE"}', "[[[[[[", "\\u0000{", "[]")))
    yield on("poison_ws", "usdm", text="[", repeat=200_000)
    for stream in ("spot", "usdm", "user"):
        yield on("duplicate_ws", stream)
        yield on("reorder_ws", stream)
    for word in ("nan", "zero", "negative", "leap"):
        yield on("price_ws", "mark", text=word)
    for market in ("spot", "usdm"):
        yield on("price_ws", market, text="crossed")


def _accounts(target: Target, random: Random) -> Iterator[Injection]:
    """Lags and lies; and positions that cannot be had at all for a while."""

    def on(share: float, kind: str, path: str, **fields: object) -> Injection:
        return Injection(share, FAULTS, {"kind": kind, "path": path, **fields})

    whose = {"account": target.account}
    for path, asset in ((SPOT_ACCOUNT, "USDT"), (PERP_ACCOUNT, "USDT"), (PERP_ACCOUNT, target.symbol)):
        amount = str(random.choice((-700, 250, 1)))
        yield on(random.uniform(0.1, HEALED_AT), "lie_account", path, asset=asset, amount=amount, **whose)
        yield on(random.uniform(0.1, HEALED_AT), "stale_account", path, count=2, **whose)
    yield on(random.uniform(0.1, HEALED_AT), "unavailable", PERP_ACCOUNT, method="GET", count=6, **whose)
    rates = {"method": "GET", "count": 2, "symbol": target.symbol}
    yield on(random.uniform(0.1, 0.6), "unavailable", "/fapi/v1/fundingRate", **rates)


def _venue(target: Target, random: Random) -> Iterator[Injection]:
    """Terms change, markets close and open again."""

    def on(share: float, kind: str, market: str, **fields: object) -> Injection:
        return Injection(share, MARKET, {"kind": kind, "market": market, "symbol": target.symbol, **fields})

    def and_back(first: str, market: str, start: float) -> Iterator[Injection]:
        at = random.uniform(start, start + 0.1)
        yield on(at, first, market)
        yield on(at + 0.03, "resume", market)

    yield on(random.uniform(0.2, 0.4), "filters", "usdm", step="0.01", min_notional="150")
    yield on(random.uniform(0.2, 0.4), "filters", "spot", step="0.001")
    yield on(random.uniform(0.3, 0.6), "tiers", "usdm", tiers=[[600_000, 100, "0.005"], [12_000_000, 50, "0.012"]])
    yield on(random.uniform(0.3, 0.6), "funding_interval", "usdm", hours=4)
    yield from and_back("halt", "spot", 0.4)
    yield from and_back("halt", "usdm", 0.55)
    yield from and_back("delist", "spot", 0.7)


def _clock(random: Random) -> Iterator[Injection]:
    """The venue's clock goes wrong and right."""
    at = random.uniform(0.2, 0.8)
    yield Injection(at, CLOCK, {"skew_ms": random.choice((-4_000, 9_000))})
    yield Injection(at + 0.05, CLOCK, {"skew_ms": 0})


def _other_hands(target: Target, random: Random) -> Iterator[Injection]:
    def on(share: float, kind: str, market: str = "usdm", **fields: object) -> Injection:
        body = {"kind": kind, "market": market, "symbol": target.symbol, "account": target.account, **fields}
        return Injection(share, MARKET, body)

    size = target.quantity
    # sides take turns: two of one side while the book is in the dark are a delta that no strategy could prevent
    yield on(random.uniform(0.25, 0.4), "trade", side="SELL", quantity=size, client_id="web_sell")
    yield on(random.uniform(0.45, 0.6), "trade", side="BUY", quantity=size, client_id="web_buy")
    yield on(random.uniform(0.62, 0.7), "trade", "spot", side="SELL", quantity=size, client_id="ios_sell")
    at = random.uniform(0.3, 0.6)
    yield on(at, "order", side="BUY", quantity=size, price=target.price_far, client_id="web_resting")
    yield on(at + 0.1, "cancel", client_id="web_resting")
    yield on(0.8, "overfill", quantity=size)
    yield Injection(0.85, REARM, {"reason": "looked at: the overfill is booked, the position is what the venue says"})


class FaultPlayer:
    """Plays a schedule through the control ports. What cannot happen (nothing to overfill yet) does not.

    The operator alone insists: a rearm is refused while anything is in doubt, and is asked for again.
    """

    def __init__(self, injections: tuple[Injection, ...], exchange: LocalClient, operator: LocalClient) -> None:
        self._left = list(injections)
        self._exchange, self._operator = exchange, operator

    async def play(self, share: float) -> None:
        """Whatever is due once ``share`` of the market is over; at the end of it what was armed is taken back."""
        for injection in [injection for injection in self._left if injection.share <= share]:
            if await self._is_done(injection) or injection.path != REARM:
                self._left.remove(injection)
        if share >= HEALED_AT:
            await self._exchange.delete(FAULTS)

    async def _is_done(self, injection: Injection) -> bool:
        client = self._operator if injection.path == REARM else self._exchange
        try:
            await client.post(injection.path, injection.body)
        except ControlRefusedError:
            return False
        return True
