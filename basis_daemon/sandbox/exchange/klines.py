"""Hourly bars of a market as the venue's history gives them: out of the script's minutes, the running bar included."""

from __future__ import annotations

from collections.abc import Sequence

from basis_daemon.sandbox.exchange.endpoint import Call, Handler
from basis_daemon.sandbox.exchange.instruments import Key, Market
from basis_daemon.sandbox.exchange.money import from_e8, text8
from basis_daemon.sandbox.exchange.path import HOUR_MS
from basis_daemon.sandbox.exchange.rejects import RejectError

MINUTE_MS = 60_000
HOURLY = "1h"
NOTHING = "0.00000000"
Bar = list[int | str]


def klines(market: Market, most: int) -> Handler:
    """Bars of spot or usdm pairs, at most ``most`` in one answer; hours in which the script is silent have none."""

    def handle(call: Call) -> list[Bar]:
        key = call.venue.instrument(market, call.text("symbol")).key
        if call.text("interval") != HOURLY:
            raise RejectError(-1120, "Invalid interval.")
        path, now_ms = call.world.path, call.venue.now_ms
        first = path.start_ms - path.start_ms % HOUR_MS
        opened = [
            at for at in range(first, now_ms + 1, HOUR_MS) if path.price_e8(key, max(at, path.start_ms)) is not None
        ]
        return [_bar(call, key, at, now_ms) for at in call.window(opened, int, 500, most)]

    return handle


def _bar(call: Call, key: Key, opened: int, now_ms: int) -> Bar:
    """Nobody but us trades here, so that there is no volume to tell."""
    prices = _prices(call, key, opened, min(opened + HOUR_MS, now_ms + 1))
    first, high, low, last = (text8(from_e8(e8)) for e8 in (prices[0], max(prices), min(prices), prices[-1]))
    return [
        opened, first, high, low, last, NOTHING, opened + HOUR_MS - 1, NOTHING, 0, NOTHING, NOTHING, "0"
    ]  # fmt: skip


def _prices(call: Call, key: Key, start: int, end: int) -> Sequence[int]:
    path = call.world.path
    found = (path.price_e8(key, max(at, path.start_ms)) for at in range(start, end, MINUTE_MS))
    return [price for price in found if price is not None]
