"""Position keys, and what a venue's filters allow for one tradable instrument."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum
from functools import lru_cache

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_KEY = re.compile(r"^[a-z0-9_]{1,32}:[a-z]{1,8}:[A-Za-z0-9._*-]{1,80}$")

KEYS_REMEMBERED = 16_384

WORTH_GRAIN = Decimal("1e-18")
"""Coins to which what an inverse contract stands for is cut: times any number of contracts it is then exact."""

CLAIMED = "ETH"
"""What every claim is counted in: the ETH that its issuer has fixed for it."""


class Kind(StrEnum):
    """What a position key holds."""

    TOKEN = "token"  # noqa: S105  an asset on a chain, not a credential
    SPOT = "spot"
    PERP = "perp"
    ATOKEN = "atoken"
    VDEBT = "vdebt"
    LST = "lst"
    SHARE = "share"
    CLAIM = "claim"
    TRANSIT = "transit"


_KINDS = frozenset(kind.value for kind in Kind)


class PositionKey(str):
    """``venue:kind:symbol``: lower-case venue and kind, exact symbol case.

    ``venue`` is the account: ``binanceusdm`` and ``binance`` are two wallets. ``symbol`` is an asset, or a venue's
    contract symbol, or the id of a claim; ``asset`` is what one unit is of, and ``sign`` is -1 for what the book owes.
    A book has few keys and looks at them all the time, so each is parsed once and then remembered.
    """

    __slots__ = ("asset", "kind", "sign", "symbol", "venue")

    venue: str
    kind: Kind
    symbol: str
    asset: str
    sign: int

    def __new__(cls, value: str) -> PositionKey:  # noqa: PYI034 - the one key of a text, whoever asks for it
        """The one key of this text; raises ValueError naming the value and the expected form."""
        return value if isinstance(value, PositionKey) else _key_of(value)

    def __getnewargs__(self) -> tuple[str]:
        """Copies and pickles come back through the check."""
        return (str(self),)

    @classmethod
    def of(cls, venue: str, kind: Kind, symbol: str) -> PositionKey:
        """``PositionKey.of("binance", Kind.SPOT, "BTC")`` is ``binance:spot:BTC``."""
        return _key_of_parts(venue, kind, symbol)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Pydantic reads it as a string and validates the form."""
        return core_schema.no_info_after_validator_function(_key_of, core_schema.str_schema())


@lru_cache(maxsize=KEYS_REMEMBERED)
def _key_of(value: str) -> PositionKey:
    if not _KEY.fullmatch(value):
        msg = f"position key {value!r}: expected venue:kind:symbol with lower-case venue and kind"
        raise ValueError(msg)
    venue, kind, symbol = value.split(":")
    if kind not in _KINDS:
        msg = f"position key {value!r}: kind {kind!r} is none of {', '.join(Kind)}"
        raise ValueError(msg)
    key = str.__new__(PositionKey, value)
    key.venue, key.kind, key.symbol = venue, Kind(kind), symbol
    key.asset = CLAIMED if key.kind is Kind.CLAIM else symbol
    key.sign = -1 if key.kind is Kind.VDEBT else 1
    return key


@lru_cache(maxsize=KEYS_REMEMBERED)
def _key_of_parts(venue: str, kind: Kind, symbol: str) -> PositionKey:
    return _key_of(f"{venue}:{kind}:{symbol}")


def round_down(quantity: Decimal, step: Decimal) -> Decimal:
    """Largest multiple of ``step`` not above ``quantity`` (towards minus infinity): for what is sold or withdrawn."""
    return (quantity / step).to_integral_value(ROUND_FLOOR) * step


def round_up(quantity: Decimal, step: Decimal) -> Decimal:
    """Smallest multiple of ``step`` not below ``quantity``: for repayments and short buy-backs."""
    return (quantity / step).to_integral_value(ROUND_CEILING) * step


@dataclass(frozen=True, slots=True)
class MarginTier:
    """Maintenance rate of one notional bracket: requirement = notional x rate - deduction (quote units)."""

    notional_floor: Decimal
    notional_cap: Decimal
    maintenance_rate: Decimal
    maintenance_deduction: Decimal
    leverage_max: Decimal


def unit_worth(price: Decimal, contract_value: Decimal | None) -> Decimal:
    """What a position of one unit at ``price`` counts for in the coin that it settles in: cost, or worth at a mark.

    A linear perp's unit counts for its price. An inverse contract is dollars sold against coin: whoever holds it owes
    ``contract_value / price`` coins, so it counts for minus that, and P&L is worth less cost here as well.
    """
    return price if contract_value is None else -(contract_value / price).quantize(WORTH_GRAIN)


@dataclass(frozen=True, slots=True)
class Instrument:
    """A spot pair or perp as its venue describes it.

    ``key`` is what the feed and the orders name: ``binance:spot:BTC`` trades the pair base/quote of that wallet,
    ``binanceusdm:perp:BTCUSDT`` the contract. Steps and minima are in base units, prices in quote per base.
    ``funding_interval_h`` is None where the venue does not state it; ``is_halted``: it takes no orders for it now.
    ``contract_value`` is what one contract of an inverse perp is worth in quote units, None for everything else.
    """

    key: PositionKey
    base: str
    quote: str
    quantity_step: Decimal
    price_tick: Decimal
    quantity_min: Decimal
    quantity_max: Decimal
    notional_min: Decimal
    taker_fee: Decimal
    maker_fee: Decimal
    tiers: tuple[MarginTier, ...] = ()
    funding_interval_h: int | None = None
    is_halted: bool = False
    contract_value: Decimal | None = None

    @property
    def settle(self) -> str:
        """The coin that cost, margin, fees and P&L are counted in: the quote, of an inverse perp the base."""
        return self.quote if self.contract_value is None else self.base

    @property
    def quote_key(self) -> PositionKey:
        """Where the quote or margin coin of a trade is held: the same account's spot balance."""
        return PositionKey.of(self.key.venue, Kind.SPOT, self.settle)

    def unit_worth(self, price: Decimal) -> Decimal:
        """What one unit counts for at ``price``, in ``settle`` (see ``unit_worth``)."""
        return unit_worth(price, self.contract_value)

    def price_of(self, worth: Decimal) -> Decimal:
        """The price at which one unit counts for ``worth``."""
        return worth if self.contract_value is None else -self.contract_value / worth

    def notional(self, quantity: Decimal, price: Decimal) -> Decimal:
        """What a quantity stands for, in quote units."""
        return quantity * (price if self.contract_value is None else self.contract_value)

    def tier(self, notional: Decimal) -> MarginTier:
        """The bracket that holds ``notional`` (quote units, >= 0); raises ValueError above the last cap."""
        for tier in self.tiers:
            if notional <= tier.notional_cap:
                return tier
        msg = f"{self.key}: notional {notional} is above the venue's last margin tier {self.tiers[-1:]}"
        raise ValueError(msg)
