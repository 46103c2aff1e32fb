"""A seeded schedule of everything that one exchange and other hands can do to a book, played while its market runs.

Faults are armed and events happen at shares of the market time that is played; in its last tenth everything is healed,
and the demo ends only when the book is whole again. Trades of another hand and overfills are real money: the venue
tells of them, the daemon books them (fills of an order that is not ours, postings like any other), and the strategy
trades the difference back. An overfill halts its instrument until the operator, here the demo, rearms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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


def schedule(level: FaultLevel, seed: int, symbol: str, size: str) -> tuple[Injection, ...]:
    """Equal seeds, equal schedules; ``size`` is what another hand trades at a time, in base units."""
    random = Random(f"{level}:{seed}")  # noqa: S311 - a schedule is no secret
    found = [*_on_the_wire(level), *_streams(level, random)]
    if level is FaultLevel.HEAVY:
        found += [*_accounts(random), *_venue(random, symbol), *_other_hands(random, symbol, size)]
    return tuple(sorted(found, key=lambda injection: injection.share))


def _on_the_wire(level: FaultLevel) -> Iterator[Injection]:
    """Armed before the first order, each used by the first request that fits: the entry meets most of them."""

    def on(kind: str, path: str, method: str = "POST", **fields: object) -> Injection:
        return Injection(0.0, FAULTS, {"kind": kind, "method": method, "path": path, **fields})

    yield on("accept_then_drop", SPOT)
    yield on("unavailable", PERP, code=OVERLOADED, message="Server is currently overloaded")
    yield on("reject", SPOT_ACCOUNT, "GET", code=-1003, status=429, retry_after_s=1, message="Too many requests")
    yield Injection(0.0, FAULTS, {"kind": "duplicate_fill", "path": "user", "count": 2})
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


def _streams(level: FaultLevel, random: Random) -> Iterator[Injection]:
    def on(kind: str, path: str, **fields: object) -> Injection:
        return Injection(random.uniform(0.05, HEALED_AT), FAULTS, {"kind": kind, "path": path, **fields})

    yield on("close_ws", "user-usdm")
    yield on("gap_ws", "usdm", count=2)
    yield Injection(random.uniform(0.0, 0.3), FAULTS, {"kind": "drop_fill", "path": "user"})
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


def _accounts(random: Random) -> Iterator[Injection]:
    """Lags and lies; and positions that cannot be had at all for a while."""
    for path, asset in ((SPOT_ACCOUNT, "USDT"), (PERP_ACCOUNT, "USDT"), (PERP_ACCOUNT, "BTCUSDT")):
        lie = {"kind": "lie_account", "path": path, "asset": asset, "amount": str(random.choice((-700, 250, 1)))}
        yield Injection(random.uniform(0.1, HEALED_AT), FAULTS, lie)
        yield Injection(random.uniform(0.1, HEALED_AT), FAULTS, {"kind": "stale_account", "path": path, "count": 2})
    silent = {"kind": "unavailable", "method": "GET", "path": PERP_ACCOUNT, "count": 6}
    yield Injection(random.uniform(0.1, HEALED_AT), FAULTS, silent)
    unsettled = {"kind": "unavailable", "method": "GET", "path": "/fapi/v1/fundingRate", "count": 2}
    yield Injection(random.uniform(0.1, 0.6), FAULTS, unsettled)


def _venue(random: Random, symbol: str) -> Iterator[Injection]:
    """Terms change, markets close and open again, a clock goes wrong and right."""

    def on(share: float, kind: str, market: str, **fields: object) -> Injection:
        return Injection(share, MARKET, {"kind": kind, "market": market, "symbol": symbol, **fields})

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
    at = random.uniform(0.2, 0.8)
    yield Injection(at, CLOCK, {"skew_ms": random.choice((-4_000, 9_000))})
    yield Injection(at + 0.05, CLOCK, {"skew_ms": 0})


def _other_hands(random: Random, symbol: str, size: str) -> Iterator[Injection]:
    def on(share: float, kind: str, market: str = "usdm", **fields: object) -> Injection:
        return Injection(share, MARKET, {"kind": kind, "market": market, "symbol": symbol, **fields})

    yield on(random.uniform(0.25, 0.4), "trade", side="BUY", quantity=size, client_id="web_buy")
    yield on(random.uniform(0.45, 0.6), "trade", "spot", side="BUY", quantity=size, client_id="ios_buy")
    yield on(random.uniform(0.62, 0.7), "trade", side="SELL", quantity=size, client_id="web_sell")
    at = random.uniform(0.3, 0.6)
    yield on(at, "order", side="BUY", quantity=size, price="20000", client_id="web_resting")
    yield on(at + 0.1, "cancel", client_id="web_resting")
    yield on(0.8, "overfill", quantity=size)
    yield Injection(0.85, REARM, {"reason": "looked at: the overfill is booked, the position is what the venue says"})


class FaultPlayer:
    """Plays a schedule through the control ports. What cannot happen (nothing to overfill yet) does not."""

    def __init__(self, injections: tuple[Injection, ...], exchange: LocalClient, operator: LocalClient) -> None:
        self._left = list(injections)
        self._exchange, self._operator = exchange, operator
        self.refused: list[str] = []

    async def play(self, share: float) -> None:
        """Whatever is due once ``share`` of the market is over; at the end of it what was armed is taken back."""
        while self._left and self._left[0].share <= share:
            injection = self._left.pop(0)
            client = self._operator if injection.path == REARM else self._exchange
            try:
                await client.post(injection.path, injection.body)
            except ControlRefusedError as refusal:
                self.refused.append(f"{injection.path} {dict(injection.body)}: {refusal}")
        if share >= HEALED_AT and not self._left:
            await self._exchange.delete(FAULTS)
