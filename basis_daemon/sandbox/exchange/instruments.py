"""What is listed, with the filters and margin tiers of Binance's exchangeInfo and leverageBracket."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from basis_daemon.sandbox.exchange.money import places_of

Market = Literal["spot", "usdm", "coinm"]
Key = tuple[Market, str]
FUTURES: tuple[Market, ...] = ("usdm", "coinm")
"""Linear contracts margined in USDT, and inverse ones margined in their coin."""
TRADING, DELISTED = "TRADING", "DELISTED"
HALTED: dict[Market, str] = {"spot": "BREAK", "usdm": "SETTLING", "coinm": "SETTLING"}
"""The venue's words for a listed market in which nobody may trade."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """One listed market. Prices move in `tick`, quantities in `step`; `min_notional` is in the quote asset.

    `contract_size` is what one contract of an inverse perp stands for, in the quote asset; else a quantity is of coin.
    """

    market: Market
    symbol: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    max_qty: Decimal
    market_max_qty: Decimal
    min_notional: Decimal
    price_up: Decimal
    price_down: Decimal
    status: str = TRADING
    contract_size: Decimal | None = None

    @property
    def margin_asset(self) -> str:
        """What values, profits and fees of a perp are counted in."""
        return self.quote if self.contract_size is None else self.base

    def value(self, quantity: Decimal, price: Decimal) -> Decimal:
        """What a signed quantity stands for at `price`, in the margin asset."""
        return quantity * price if self.contract_size is None else quantity * self.contract_size / price

    def profit(self, value: Decimal, cost: Decimal) -> Decimal:
        """Of a position of `value` that cost `cost`; an inverse one stands for less coin the more the coin is worth."""
        return value - cost if self.contract_size is None else cost - value

    def price_of(self, quantity: Decimal, value: Decimal) -> Decimal:
        """The price at which a quantity stands for `value`."""
        return value / quantity if self.contract_size is None else quantity * self.contract_size / value

    @property
    def trading(self) -> bool:
        return self.status == TRADING

    @property
    def listed(self) -> bool:
        return self.status != DELISTED

    @property
    def key(self) -> Key:
        return self.market, self.symbol

    @property
    def price_places(self) -> int:
        return places_of(self.tick)

    @property
    def quantity_places(self) -> int:
        return places_of(self.step)


@dataclass(frozen=True, slots=True)
class Tier:
    """Maintenance for notionals up to `cap`: `notional * rate - amount`; at most `leverage` times."""

    number: int
    floor: Decimal
    cap: Decimal
    leverage: int
    rate: Decimal
    amount: Decimal


Tiers = tuple[Tier, ...]


def _spot(symbol: str, base: str, tick: str, step: str, most: str) -> Instrument:
    return Instrument(
        market="spot",
        symbol=symbol,
        base=base,
        quote="USDT",
        tick=Decimal(tick),
        step=Decimal(step),
        max_qty=Decimal(most),
        market_max_qty=Decimal(most) / 50,
        min_notional=Decimal(5),
        price_up=Decimal(5),
        price_down=Decimal("0.2"),
    )


def _perp(symbol: str, base: str, tick: str, step: str, most: str, market_most: str, least: str) -> Instrument:
    return Instrument(
        market="usdm",
        symbol=symbol,
        base=base,
        quote="USDT",
        tick=Decimal(tick),
        step=Decimal(step),
        max_qty=Decimal(most),
        market_max_qty=Decimal(market_most),
        min_notional=Decimal(least),
        price_up=Decimal("1.05"),
        price_down=Decimal("0.95"),
    )


def _inverse(symbol: str, base: str, tick: str, size: int, most: str, market_most: str) -> Instrument:
    return Instrument(
        market="coinm",
        symbol=symbol,
        base=base,
        quote="USD",
        tick=Decimal(tick),
        step=Decimal(1),
        max_qty=Decimal(most),
        market_max_qty=Decimal(market_most),
        min_notional=Decimal(0),
        price_up=Decimal("1.05"),
        price_down=Decimal("0.95"),
        contract_size=Decimal(size),
    )


LISTED: tuple[Instrument, ...] = (
    _spot("BTCUSDT", "BTC", "0.01", "0.00001", "9000"),
    _spot("ETHUSDT", "ETH", "0.01", "0.0001", "9000"),
    _spot("BNBUSDT", "BNB", "0.01", "0.001", "900000"),
    _perp("BTCUSDT", "BTC", "0.10", "0.001", "1000", "120", "100"),
    _perp("ETHUSDT", "ETH", "0.01", "0.001", "10000", "2000", "20"),
    _inverse("BTCUSD_PERP", "BTC", "0.1", 100, "1000000", "60000"),
)
CONTRACTS: dict[str, Instrument] = {row.symbol: row for row in LISTED if row.market in FUTURES}
"""Perps by symbol: what a contract stands for never changes, whatever its filters become."""


def ladder(*rows: tuple[int, int, str]) -> Tiers:
    """Rows of (cap, leverage, rate); the deductible follows from continuity of the maintenance at each cap."""
    tiers: list[Tier] = []
    for number, (cap, leverage, rate) in enumerate(rows, start=1):
        floor, amount = Decimal(0), Decimal(0)
        if tiers:
            floor = tiers[-1].cap
            amount = tiers[-1].amount + floor * (Decimal(rate) - tiers[-1].rate)
        tiers.append(Tier(number, floor, Decimal(cap), leverage, Decimal(rate), amount))
    return tuple(tiers)


TIERS: dict[str, Tiers] = {
    "BTCUSDT": ladder(
        (50_000, 125, "0.004"),
        (600_000, 100, "0.005"),
        (3_000_000, 75, "0.0065"),
        (12_000_000, 50, "0.01"),
        (70_000_000, 25, "0.02"),
        (100_000_000, 20, "0.025"),
        (230_000_000, 10, "0.05"),
        (480_000_000, 5, "0.1"),
        (600_000_000, 4, "0.125"),
        (800_000_000, 3, "0.15"),
        (1_200_000_000, 2, "0.25"),
        (1_800_000_000, 1, "0.5"),
    ),
    "ETHUSDT": ladder(
        (50_000, 100, "0.005"),
        (600_000, 75, "0.0065"),
        (3_000_000, 50, "0.01"),
        (12_000_000, 25, "0.02"),
        (50_000_000, 20, "0.025"),
        (65_000_000, 10, "0.05"),
        (150_000_000, 5, "0.1"),
        (320_000_000, 4, "0.125"),
        (400_000_000, 3, "0.15"),
        (530_000_000, 2, "0.25"),
        (800_000_000, 1, "0.5"),
    ),
    "BTCUSD_PERP": ladder(
        (5, 125, "0.004"),
        (10, 100, "0.005"),
        (20, 50, "0.01"),
        (50, 20, "0.025"),
        (100, 10, "0.05"),
        (200, 5, "0.1"),
        (400, 4, "0.125"),
        (1_000, 3, "0.15"),
        (1_500, 2, "0.25"),
        (3_000, 1, "0.5"),
    ),
}
"""Caps are in the margin asset: USDT, and coin of inverse contracts."""

LIQUIDATION_FEE = Decimal("0.0125")
MAX_OPEN_ORDERS = 200


def tier_of(tiers: Tiers, notional: Decimal) -> Tier:
    for tier in tiers:
        if notional <= tier.cap:
            return tier
    return tiers[-1]


def most_notional(tiers: Tiers, leverage: int) -> Decimal:
    """The largest position notional the venue allows at `leverage`."""
    return max((tier.cap for tier in tiers if tier.leverage >= leverage), default=Decimal(0))
