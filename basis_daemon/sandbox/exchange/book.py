"""Synthetic depth around the path's price: drawn from seed and stamp, eaten by fills, restored by the next step.

Prices are integers of the tick and quantities integers of the step, so walking the book is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.sandbox.exchange.instruments import Instrument
from basis_daemon.sandbox.exchange.money import E8, places_of

MASK = (1 << 64) - 1
NOISE_BITS = 6
MOST_LEVELS = 64 // NOISE_BITS
Levels = dict[int, int]


@dataclass(frozen=True, slots=True)
class DepthProfile:
    """Distance of each level from the mid (hundredths of a bp) and its size (USDT); sizes vary by +-30 % per stamp."""

    offsets: tuple[int, ...] = (20, 70, 150, 300, 500, 800, 1300, 2000, 3200, 5000)
    sizes: tuple[int, ...] = (
        30_000, 45_000, 60_000, 90_000, 140_000, 200_000, 300_000, 400_000, 500_000, 600_000,
    )  # fmt: skip

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.sizes) or not 1 <= len(self.offsets) <= MOST_LEVELS:
            raise ValueError(f"a depth profile has 1 to {MOST_LEVELS} levels with one size each, found {self}")


def _mix(value: int) -> int:
    """64 well-mixed bits of `value` (splitmix64)."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


class Book:
    """The bids and asks of one instrument, as price-ticks -> quantity-steps in order from the best.

    A refreshed book is built when it is first looked at: most steps of most markets have no onlooker.
    `followed` counts the stream subscribers; the published depth of a followed book changes only together with a
    difference on the stream.
    """

    def __init__(self, instrument: Instrument, profile: DepthProfile, seed: int) -> None:
        self.update_id = 1_000_000
        self.stamp_ms = 0
        self.followed = 0
        self.touched = False
        self.open = False
        self._bids: Levels = {}
        self._asks: Levels = {}
        self._due: int | None = None
        self._profile = profile
        self._salt = _mix(seed ^ int.from_bytes(f"{instrument.market}{instrument.symbol}".encode()[-8:]))
        self._published: tuple[Levels, Levels] = ({}, {})
        self._previous: tuple[Levels, Levels] = ({}, {})
        self._outdated: tuple[list[str], list[str]] = ([], [])
        self._measure(instrument)

    def _measure(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._tick_e8 = int(instrument.tick * E8)
        self._step_e8 = int(instrument.step * E8)
        self._contract = int(instrument.contract_size or 0)
        self._price_form = _form(instrument, instrument.tick)
        self._quantity_form = _form(instrument, instrument.step)

    def relist(self, instrument: Instrument) -> None:
        """The same market under other filters: empty until the next `refresh`; followers drop what they hold."""
        (bids, asks), (old_bids, old_asks) = self._published, self._outdated
        self._outdated = (
            old_bids + [self.price_text(p) for p in bids],
            old_asks + [self.price_text(p) for p in asks],
        )
        self._measure(instrument)
        self._published = self._previous = ({}, {})
        self.close()

    @property
    def bids(self) -> Levels:
        if self._due is not None:
            self._build(self._due)
        return self._bids

    @property
    def asks(self) -> Levels:
        if self._due is not None:
            self._build(self._due)
        return self._asks

    def close(self) -> None:
        """The market falls silent: no levels, no trades, until the next `refresh`."""
        self.open, self._due = False, None
        self._bids, self._asks = {}, {}

    def refresh(self, mid_e8: int, stamp_ms: int) -> None:
        """Full depth around `mid_e8` (1e-8 of the quote asset)."""
        self.stamp_ms, self._due, self.open = stamp_ms, mid_e8, True

    def _build(self, mid_e8: int) -> None:
        self._due = None
        noise = _mix(self._salt ^ self.stamp_ms)
        bids: Levels = {}
        asks: Levels = {}
        bid_noise, ask_noise = _mix(noise), noise
        tick, scale = self._tick_e8, E8 * E8 // self._step_e8
        bid_limit = (mid_e8 - 1) // tick + 1
        ask_limit = bid_limit - 1
        for offset, size in zip(self._profile.offsets, self._profile.sizes, strict=True):
            away = mid_e8 * offset // 1_000_000
            bid_limit = min(bid_limit - 1, (mid_e8 - away) // tick)
            ask_limit = max(ask_limit + 1, -((-mid_e8 - away) // tick))
            if ask_limit <= bid_limit:
                ask_limit = bid_limit + 1
            lots = size // self._contract if self._contract else size * scale // mid_e8
            bids[bid_limit] = lots * (700 + 600 * (bid_noise & 63) // 63) // 1000 or 1
            asks[ask_limit] = lots * (700 + 600 * (ask_noise & 63) // 63) // 1000 or 1
            bid_noise, ask_noise = bid_noise >> NOISE_BITS, ask_noise >> NOISE_BITS
        self._bids, self._asks = bids, asks

    def available(self, limit: int | None, most: int, *, buy: bool) -> list[tuple[int, int]]:
        """(ticks, steps) a taker of `most` steps would get, best first, at `limit` ticks or better."""
        taken: list[tuple[int, int]] = []
        for price, quantity in (self.asks if buy else self.bids).items():
            if most <= 0 or (limit is not None and (price > limit if buy else price < limit)):
                break
            part = min(quantity, most)
            taken.append((price, part))
            most -= part
        return taken

    def eat(self, taken: list[tuple[int, int]], *, buy: bool) -> None:
        levels = self.asks if buy else self.bids
        self.touched = self.touched or bool(taken)
        for price, quantity in taken:
            left = levels[price] - quantity
            if left:
                levels[price] = left
            else:
                del levels[price]

    def best(self) -> tuple[int, int, int, int]:
        """(bid ticks, bid steps, ask ticks, ask steps); a side that was eaten whole shows zeros."""
        bid, bid_quantity = next(iter(self.bids.items()), (0, 0))
        ask, ask_quantity = next(iter(self.asks.items()), (0, 0))
        return bid, bid_quantity, ask, ask_quantity

    def price_text(self, ticks: int) -> str:
        return _text(ticks, self._price_form)

    def quantity_text(self, steps: int) -> str:
        return _text(steps, self._quantity_form)

    def snapshot(self, limit: int) -> tuple[list[list[str]], list[list[str]]]:
        """Bids and asks as of `update_id`: what was published, so that a snapshot and the stream always agree."""
        bids, asks = self._published
        return self._texts(bids, limit), self._texts(asks, limit)

    def publish(self, *, force: bool = False) -> bool:
        """Make the current depth the published one; true, with a new update id, if anything changed (or by `force`)."""
        before = self._published
        self.touched = False
        if not force and before == (self.bids, self.asks):
            return False
        self._previous = before
        self._published = (self.bids.copy(), self.asks.copy())
        self.update_id += 1
        return True

    def difference(self) -> tuple[list[list[str]], list[list[str]]]:
        """What the last `publish` changed."""
        (bids, asks), (bids_now, asks_now) = self._previous, self._published
        zero, (old_bids, old_asks) = _text(0, self._quantity_form), self._outdated
        self._outdated = ([], [])
        dropped = [[price, zero] for price in old_bids], [[price, zero] for price in old_asks]
        return dropped[0] + self._changes(bids, bids_now), dropped[1] + self._changes(asks, asks_now)

    def _texts(self, levels: Levels, limit: int) -> list[list[str]]:
        return [[self.price_text(p), self.quantity_text(q)] for p, q in list(levels.items())[:limit]]

    def _changes(self, before: Levels, after: Levels) -> list[list[str]]:
        price, quantity = self._price_form, self._quantity_form
        zero = _text(0, quantity)
        gone = [[_text(p, price), zero] for p in before if p not in after]
        return gone + [[_text(p, price), _text(q, quantity)] for p, q in after.items() if before.get(p) != q]


Form = tuple[int, int, str]


def _form(instrument: Instrument, unit: Decimal) -> Form:
    """How counts of `unit` print: factor to the last decimal place of the unit, its places, and padding zeros.

    Spot prints eight places, futures as many as the unit has.
    """
    places = places_of(unit)
    return int(unit.scaleb(places)), places, "0" * (8 - places) if instrument.market == "spot" else ""


def _text(count: int, form: Form) -> str:
    factor, places, padding = form
    digits = str(count * factor)
    if not places:
        return f"{digits}.{padding}" if padding else digits
    if len(digits) <= places:
        digits = digits.zfill(places + 1)
    return f"{digits[:-places]}.{digits[-places:]}{padding}"
