"""How much of the equity stands with whom, looking through what is held, and the caps on it.

Counted is what is lost when the name fails, in USDT: a balance counts with its exchange and with the issuer of its
coin, a staking token with its issuer wherever it lies, what is lent with its lender too. A lending account counts net
of what it owes, spread over its collateral: a lender can take no more than that. What moves between two accounts counts
where it came from until it has arrived. A holding without a price makes every name behind it unknown, and unknown is at
the cap: it can be reduced and not added to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from basis_daemon.domain.decision import Exposure
from basis_daemon.domain.instrument import Kind, PositionKey

ZERO = Decimal(0)
CHAIN = "ethereum"
OTHER = "other"
"""The cap of every name that has none of its own."""


class Dimension(StrEnum):
    """Kinds of names that money can stand with."""

    VENUE = "venue"
    COUNTERPARTY = "counterparty"
    CHAIN = "chain"
    PROTOCOL = "protocol"
    STABLECOIN = "stablecoin"


Bucket = tuple[Dimension, str]

PROTOCOLS_OF: Mapping[str, tuple[str, ...]] = {
    "stETH": ("lido",),
    "wstETH": ("lido",),
    "eETH": ("etherfi", "eigenlayer"),
    "weETH": ("etherfi", "eigenlayer"),
    "ETHFI": ("etherfi",),
    "EIGEN": ("eigenlayer",),
    "KING": ("etherfi", "eigenlayer"),
}
"""Whose contracts a token is a claim on; ether.fi restakes what it holds with EigenLayer."""

ISSUER_OF: Mapping[str, str] = {"USDT": "tether", "USDC": "circle", "DAI": "sky", "USDS": "sky"}
"""Who owes the dollar behind a stablecoin."""

PROTOCOLS = frozenset({"aave_v3", *(name for names in PROTOCOLS_OF.values() for name in names)})
"""Every protocol that a book can stand with."""

_AT_EXCHANGE = frozenset({Kind.SPOT, Kind.PERP, Kind.TRANSIT})
UNCOUNTED = frozenset({Kind.PERP, Kind.VDEBT})
"""A perp is worth its profit, which stands in its account's margin; a debt takes from the collateral behind it."""
_LENT = frozenset({Kind.ATOKEN, Kind.VDEBT})


@dataclass(frozen=True, slots=True)
class Caps:
    """Shares of the equity of all strategies, by dimension and name; a dimension that is absent has no caps.

    ``exchange_of`` names the venue behind an account, ``operator_of`` the exchange that runs a venue.
    """

    shares: Mapping[Dimension, Mapping[str, Decimal]] = field(default_factory=dict)
    exchange_of: Mapping[str, str] = field(default_factory=dict)
    operator_of: Mapping[str, str] = field(default_factory=dict)

    def share(self, bucket: Bucket) -> Decimal | None:
        """The cap of a name; None where it has none."""
        names = self.shares.get(bucket[0], {})
        return names.get(bucket[1], names.get(OTHER))


@dataclass(frozen=True, slots=True)
class Held:
    """What one strategy holds: balances and debts, USDT each, unrealised profit by its coin (USDT; None: unknown)."""

    holdings: Mapping[PositionKey, Decimal]
    prices: Mapping[str, Decimal]
    gains: Mapping[PositionKey, Decimal | None]


def held_by(exposure: Exposure) -> Held:
    """Of a picture."""
    stated = {state.instrument: (state.underlying, state.margin) for state in exposure.margins}
    blind = [key for key, q in exposure.holdings.items() if key.kind is Kind.PERP and q and key not in stated]
    told = [(key, coin, margin) for key, (coin, margin) in stated.items()]
    gains = gains_of(exposure.holdings, exposure.prices, told)
    return Held(exposure.holdings, exposure.prices, gains | {coin_of(key, ""): None for key in blind})


def coin_of(perp: PositionKey, underlying: str) -> PositionKey:
    """What a perp's margin is held in: USDT of a linear one, else its own coin."""
    is_linear = perp.symbol.endswith("USDT") or not underlying
    return PositionKey.of(perp.venue, Kind.SPOT, "USDT" if is_linear else underlying)


def gains_of(
    holdings: Mapping[PositionKey, Decimal],
    prices: Mapping[str, Decimal],
    told: Iterable[tuple[PositionKey, str, Decimal]],
) -> dict[PositionKey, Decimal | None]:
    """Unrealised profit by coin: margin (perp, underlying, amount) less balance. Of several perps the largest counts.

    Each was told its margin less what the others must keep.
    """
    margins: dict[PositionKey, Decimal] = {}
    for perp, underlying, margin in told:
        coin = coin_of(perp, underlying)
        margins[coin] = max(margin, margins.get(coin, margin))
    found: dict[PositionKey, Decimal | None] = {}
    for coin, margin in margins.items():
        gain, price = margin - holdings.get(coin, ZERO), prices.get(coin.asset)
        found[coin] = gain if not gain or coin.asset == "USDT" else None if price is None else gain * price
    return found


# ------------------------------------------------------------------------------------------------------- look-through
def exposures(held: Iterable[Held], caps: Caps) -> Mapping[Bucket, Decimal | None]:
    """USDT that stand with each name, None where something with it has no price; never below zero."""
    found: dict[Bucket, Decimal | None] = {}
    for one in held:
        net = _net_shares(one)
        for key, amount in one.holdings.items():
            if not amount or key.kind in UNCOUNTED:
                continue
            price, share = one.prices.get(key.asset), net.get(key.venue, Decimal(1))
            value = None if price is None or share is None else amount * price * share
            _add(found, names_behind(key, caps), value)
        for coin, gain in one.gains.items():
            _add(found, names_behind(coin, caps), gain)
    return {bucket: None if value is None else max(value, ZERO) for bucket, value in found.items()}


def _add(found: dict[Bucket, Decimal | None], buckets: Iterable[Bucket], value: Decimal | None) -> None:
    for bucket in buckets:
        known = found.get(bucket, ZERO)
        found[bucket] = None if known is None or value is None else known + value


def _net_shares(held: Held) -> Mapping[str, Decimal | None]:
    """Of each account that owes: the part of its collateral that is its own; None while either has no price."""
    found: dict[str, Decimal | None] = {}
    for account in {key.venue for key, amount in held.holdings.items() if key.kind is Kind.VDEBT and amount}:
        sides = {Kind.ATOKEN: ZERO, Kind.VDEBT: ZERO}
        is_priced = True
        for key, amount in held.holdings.items():
            if key.venue == account and key.kind in _LENT and amount:
                is_priced = is_priced and key.asset in held.prices
                sides[key.kind] += amount * held.prices.get(key.asset, ZERO)
        whole, owed = sides[Kind.ATOKEN], sides[Kind.VDEBT]
        found[account] = (max(whole - owed, ZERO) / whole if whole else ZERO) if is_priced else None
    return found


def names_behind(key: PositionKey, caps: Caps) -> Iterator[Bucket]:
    """Everybody by whose failure a holding is lost, each once."""
    parties: list[str] = []
    if key.kind in _AT_EXCHANGE and key.venue in caps.exchange_of:
        venue = caps.exchange_of[key.venue]
        yield Dimension.VENUE, venue
        parties.append(caps.operator_of.get(venue, venue))
    else:
        yield Dimension.CHAIN, CHAIN
    protocols = dict.fromkeys(PROTOCOLS_OF.get(key.symbol, ()))
    if key.venue in PROTOCOLS:
        protocols[key.venue] = None
    for protocol in protocols:
        yield Dimension.PROTOCOL, protocol
        parties.append(protocol)
    if key.symbol in ISSUER_OF:
        yield Dimension.STABLECOIN, key.symbol.lower()
        parties.append(ISSUER_OF[key.symbol])
    for party in dict.fromkeys(parties):
        yield Dimension.COUNTERPARTY, party
