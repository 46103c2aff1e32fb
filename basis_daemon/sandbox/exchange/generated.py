"""A seeded market: BTC, ETH and BNB spot paths by the minute, perps around them, and funding from the same regimes.

The inverse perp leans and pays as the linear one does, by dice of its own.

A run is a sequence of regimes. A regime has a drift, a volatility and a funding level; which story is told, how
long its parts are and how strong they come is drawn from `random.Random(seed)`. Regime lengths are fractions of the
run, so that three days tell the same kind of story as thirty. Fourteen days of settled funding precede the start, so
that a client's moving averages have something to look at.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from basis_daemon.sandbox.exchange.instruments import Key
from basis_daemon.sandbox.exchange.money import E8
from basis_daemon.sandbox.exchange.path import DAY_MS, HOUR_MS, Rate

MINUTE_MS = 60_000
INTERVAL_H = 8
HISTORY_DAYS = 15
OPENING = {"BTC": 60_000, "ETH": 2_500, "BNB": 580}
BETA = {"BTC": 1.0, "ETH": 1.15, "BNB": 0.6}
OWN_SIGMA = {"BTC": 0.0, "ETH": 0.012, "BNB": 0.01}
PERPS = ("BTC", "ETH")
INVERSE = {"BTC": "BTCUSD_PERP"}
HALF_DAY_PULL = math.log(2) / 720
MARKETS_KEPT = 4


@dataclass(frozen=True, slots=True)
class Regime:
    """`rise`: log return over the whole regime; `sigma`: per square-root day; `funding`: per interval of 8 h."""

    name: str
    share: tuple[float, float]
    rise: tuple[float, float]
    sigma: float
    funding: tuple[float, float]


BOOM = Regime("boom", (0.40, 0.48), (0.20, 0.23), 0.012, (3.6e-4, 5.4e-4))
RALLY = Regime("rally", (0.30, 0.45), (0.08, 0.14), 0.016, (1.5e-4, 3.0e-4))
CALM = Regime("calm", (0.25, 0.45), (-0.02, 0.03), 0.010, (0.8e-4, 1.4e-4))
FADE = Regime("fade", (0.25, 0.40), (-0.04, 0.01), 0.014, (-1.0e-4, -0.4e-4))
FLIP = Regime("flip", (0.50, 0.60), (-0.06, -0.01), 0.014, (-2.0e-4, -1.2e-4))
SLUMP = Regime("slump", (0.30, 0.50), (-0.16, -0.08), 0.022, (-2.4e-4, -1.0e-4))
STORIES: tuple[tuple[float, tuple[Regime, ...]], ...] = (
    (0.45, (BOOM, FLIP)),
    (0.20, (RALLY, CALM, FADE)),
    (0.15, (CALM, BOOM, SLUMP)),
    (0.10, (CALM, RALLY, CALM)),
    (0.10, (RALLY, SLUMP, CALM)),
)
HISTORY_FUNDING = (2.4e-4, 3.4e-4)
FUNDING_NOISE = 0.10


@dataclass(frozen=True, slots=True)
class _Act:
    """One regime as drawn: minutes, log drift per minute, volatility per minute, funding level."""

    minutes: int
    drift: float
    sigma: float
    funding: float


class GeneratedPath:
    """A `PricePath` of `days` days from `start_ms`; equal arguments give an equal market."""

    def __init__(self, start_ms: int, days: int, seed: int) -> None:
        if days < 1:
            raise ValueError(f"a generated market lasts at least one day, found {days}")
        if start_ms % DAY_MS:
            raise ValueError(f"a generated market starts at midnight UTC, found {start_ms} ms")
        self.start_ms, self.end_ms = start_ms, start_ms + days * DAY_MS
        dice = random.Random(seed)
        acts = _acts(dice, days * 1440)
        self._minutes: dict[Key, list[int]] = {}
        driver = _log_path(dice, acts)
        for coin, opening in OPENING.items():
            own = _reverting(dice, len(driver), OWN_SIGMA[coin] / math.sqrt(1440))
            spot = [opening * math.exp(BETA[coin] * x + e) for x, e in zip(driver, own, strict=True)]
            self._minutes["spot", coin + "USDT"] = [_round_e8(price) for price in spot]
            if coin in PERPS:
                basis = _basis(dice, acts)
                perp = [price * (1 + b) for price, b in zip(spot, basis, strict=True)]
                self._minutes["usdm", coin + "USDT"] = [_round_e8(price) for price in perp]
            if coin in INVERSE:
                basis = _basis(random.Random(f"{seed} {INVERSE[coin]} basis"), acts)
                inverse = [price * (1 + b) for price, b in zip(spot, basis, strict=True)]
                self._minutes["coinm", INVERSE[coin]] = [_round_e8(price) for price in inverse]
        self._rates = {coin + "USDT": self._funding(dice, acts) for coin in PERPS}
        self._rates |= {name: self._funding(random.Random(f"{seed} {name} funding"), acts) for name in INVERSE.values()}

    @property
    def keys(self) -> tuple[Key, ...]:
        return tuple(self._minutes)

    def price_e8(self, key: Key, at_ms: int) -> int | None:
        if not self.start_ms <= at_ms <= self.end_ms:
            return None
        minute, part = divmod(at_ms - self.start_ms, MINUTE_MS)
        series = self._minutes[key]
        here = series[minute]
        return here if not part else here + (series[minute + 1] - here) * part // MINUTE_MS

    def rates(self, symbol: str) -> Sequence[Rate]:
        return self._rates[symbol]

    def _funding(self, dice: random.Random, acts: Sequence[_Act]) -> list[Rate]:
        rates: list[Rate] = []
        before = dice.uniform(*HISTORY_FUNDING)
        first = self.start_ms - HISTORY_DAYS * DAY_MS
        for at_ms in range(first, self.end_ms + 1, INTERVAL_H * HOUR_MS):
            minute = (at_ms - self.start_ms) // MINUTE_MS
            level = before if minute <= 0 else _level(acts, minute)
            value = level * (1 + dice.gauss(0, FUNDING_NOISE))
            rates.append(Rate(at_ms, Decimal(f"{value:.8f}"), INTERVAL_H))
        return rates


@lru_cache(maxsize=MARKETS_KEPT)
def generated(start_ms: int, days: int, seed: int) -> GeneratedPath:
    """The market of these arguments, drawn once: it takes a tenth of a second, and nobody changes it."""
    return GeneratedPath(start_ms, days, seed)


def _acts(dice: random.Random, minutes: int) -> list[_Act]:
    story = dice.choices([regimes for _, regimes in STORIES], [weight for weight, _ in STORIES])[0]
    shares = [dice.uniform(*regime.share) for regime in story]
    acts: list[_Act] = []
    for place, (regime, share) in enumerate(zip(story, shares, strict=True)):
        used = sum(act.minutes for act in acts)
        length = minutes - used if place == len(story) - 1 else round(minutes * share / sum(shares))
        acts.append(
            _Act(
                minutes=length,
                drift=dice.uniform(*regime.rise) / length,
                sigma=regime.sigma / math.sqrt(1440),
                funding=dice.uniform(*regime.funding),
            )
        )
    return acts


def _log_path(dice: random.Random, acts: Sequence[_Act]) -> list[float]:
    """Log of price over opening price, one value a minute; noise is pulled back to the drift, half in half a day."""
    path, trend, noise = [0.0], 0.0, 0.0
    for act in acts:
        for _ in range(act.minutes):
            trend += act.drift
            noise += dice.gauss(0, act.sigma) - HALF_DAY_PULL * noise
            path.append(trend + noise)
    return path


def _reverting(dice: random.Random, length: int, sigma: float) -> list[float]:
    values, value = [0.0], 0.0
    for _ in range(length - 1):
        value += dice.gauss(0, sigma) - HALF_DAY_PULL * value
        values.append(value)
    return values


def _basis(dice: random.Random, acts: Sequence[_Act]) -> list[float]:
    """Perp over spot minus one: it leans the way funding pays, by 1.5 intervals' worth, plus a few bp of noise."""
    values, lean, wobble = [0.0], 0.0, 0.0
    for act in acts:
        for _ in range(act.minutes):
            lean += (1.5 * act.funding - lean) / 240
            wobble += dice.gauss(0, 0.00002) - wobble / 60
            values.append(lean + wobble)
    return values


def _level(acts: Sequence[_Act], minute: int) -> float:
    for act in acts:
        if minute <= act.minutes:
            return act.funding
        minute -= act.minutes
    return acts[-1].funding


def _round_e8(price: float) -> int:
    return round(price * 100) * (E8 // 100)
