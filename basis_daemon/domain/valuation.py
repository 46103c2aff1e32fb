"""What a book is worth at one instant, and the exact split of its change between two.

The split: opening quantities times price moves, plus everything posted in between at its closing value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.instrument import Kind, PositionKey, unit_worth
from basis_daemon.domain.ledger import Cause

ZERO, ONE = Decimal(0), Decimal(1)

COMPONENTS: Mapping[Cause, str] = {
    Cause.TRADE: "trading",
    Cause.REALISED: "trading",
    Cause.SLIPPAGE: "slippage",
    Cause.FEE: "fees",
    Cause.FUNDING: "funding",
    Cause.ROUNDING: "rounding",
    Cause.TRANSFER: "transfer_fee",
    Cause.TRANSFER_FEE: "transfer_fee",
    Cause.GAS: "gas",
    Cause.FLASH_FEE: "flash_fee",
    Cause.INTEREST: "lending",
    Cause.REBASE: "staking",
    Cause.REWARD: "rewards",
    Cause.OPENING: "flows",
    Cause.EXTERNAL: "flows",
    Cause.LIQUIDATION: "liquidation",
    Cause.CORRECTION: "correction",
}
"""Where the postings of each cause show; a transfer nets to zero once both ends are booked, and interest on a debt is
``borrow``."""

BORROW = "borrow"
STAKED = frozenset({"weETH", "wstETH"})
"""Staking tokens whose quantity stays and whose rate in ether grows: that is what staking earned."""
QUOTE, ETHER = "USDT", "ETH"
GRAIN = Decimal("1e-18")
"""A quotient without an end is cut here: the split stays exact, because what is cut goes to the other part."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What an account received (+) or paid (-) of an asset for one cause, since the ledger began."""

    cause: Cause
    account: str
    asset: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Valuation:
    """A book by the venues' own balances at one instant, in ``numeraire``; ``bases`` names each perp's underlying.

    ``contract_values`` are those of inverse perps, which settle in the numeraire.
    """

    time: datetime
    holdings: Mapping[PositionKey, Decimal]
    open_notional: Mapping[PositionKey, Decimal]
    prices: Mapping[str, Decimal]
    marks: Mapping[PositionKey, Decimal]
    bases: Mapping[PositionKey, str]
    posted: tuple[Posted, ...]
    numeraire: str = "USDT"
    contract_values: Mapping[PositionKey, Decimal] = field(default_factory=dict)

    @property
    def equity(self) -> Decimal:
        """Assets at their price, perps at mark less cost. Raises KeyError naming what is held without a price."""
        worth = sum((key.sign * q * self._price(key) for key, q in self.holdings.items() if q), ZERO)
        return worth - sum((cost * self.rate(key) for key, cost in self.open_notional.items() if cost), ZERO)

    def _price(self, key: PositionKey) -> Decimal:
        return self.worth(key) if key.kind is Kind.PERP else self.prices[key.asset]

    @property
    def quote(self) -> Decimal:
        """What one USDT is worth, in which linear perps are marked and cost. Raises KeyError where nobody knows."""
        return ONE if self.numeraire == QUOTE else self.prices[QUOTE]

    def rate(self, key: PositionKey) -> Decimal:
        """What a unit of the coin is worth in which a perp settles; that of an inverse one is the numeraire."""
        return ONE if key in self.contract_values else self.quote

    def worth(self, key: PositionKey) -> Decimal:
        """What one unit of a perp counts for at its mark, in the numeraire."""
        return unit_worth(self.marks[key], self.contract_values.get(key)) * self.rate(key)

    def knows(self, key: PositionKey) -> bool:
        """True where a unit of this can be valued."""
        if key.kind is not Kind.PERP:
            return key.asset in self.prices
        base = self.bases.get(key)
        return key in self.marks and (base in self.prices or any(self.bases.get(k) == base for k in self.marks))

    def base_price(self, base: str) -> Decimal:
        """Of a coin; of one that only perps are traded on, their mark: then nothing of their move is basis."""
        found = self.prices.get(base)
        return found if found is not None else next(self.worth(key) for key in self.marks if self.bases[key] == base)

    def net_delta(self) -> dict[str, Decimal]:
        """Base units per underlying, the numeraire left out."""
        found: dict[str, Decimal] = {}
        for key, quantity in self.holdings.items():
            base = self.bases[key] if key.kind is Kind.PERP else key.asset
            if base != self.numeraire and quantity:
                found[base] = found.get(base, ZERO) + key.sign * quantity
        return found

    def value_of(self, account: str, asset: str) -> Decimal:
        """Closing value of one unit that was posted: cost counts against the book."""
        key = PositionKey(account)
        if asset.startswith("cost:"):
            return -self.rate(key)
        return self.worth(key) if asset.startswith("perp:") else key.sign * self.prices[asset]


@dataclass(frozen=True, slots=True)
class Shares:
    """Units of the book and what one of them is worth in USDT; ``high`` is its highest so far."""

    units: Decimal
    unit_value: Decimal
    high: Decimal


def shares_after(before: Shares | None, equity: Decimal, flows: Decimal) -> Shares:
    """Shares once the book stands at ``equity``, ``flows`` (deposits +, withdrawals -) of it since ``before``.

    What came or went changes the units at the value that a unit has without it, so that neither moves the share price.
    The first equity makes units of 1 USDT. A book that had lost everything before money came is worth nothing a unit:
    the money is no gain that could hide the loss.
    """
    if before is None:
        return Shares(equity, ONE, ONE)
    own = equity - flows
    if not before.units:
        return Shares(equity / before.unit_value, before.unit_value, before.high)
    if own <= 0:
        return Shares(before.units, ZERO, before.high)
    unit_value = own / before.units
    units = equity / unit_value if flows else before.units
    return Shares(units, unit_value, max(before.high, unit_value))


def unpriced(opening: Valuation, closing: Valuation) -> tuple[str, ...]:
    """What was held at the opening, or was posted since, and has no price or mark at the closing: names, sorted."""
    known = {(p.cause, p.account, p.asset): p.amount for p in opening.posted}
    moved = [p for p in closing.posted if p.amount != known.get((p.cause, p.account, p.asset), ZERO)]
    needed = [key for key, quantity in opening.holdings.items() if quantity]
    needed += [PositionKey(p.account) for p in moved if not p.asset.startswith("cost:")]
    return tuple(sorted({str(key) for key in needed if not closing.knows(key)}))


def attribute(opening: Valuation, closing: Valuation) -> dict[str, Decimal]:
    """Components of the change of equity, ``unexplained`` among them: the part that no posting and no price explains.

    The components without ``unexplained`` sum to the change that the ledger explains; with it they sum to the change
    of the venues' own figures. Any ``unexplained`` but exactly 0 is a break.
    """
    parts = dict.fromkeys(("delta", "basis", BORROW, *COMPONENTS.values()), ZERO)
    for base, quantity in opening.net_delta().items():
        change = quantity * (closing.base_price(base) - opening.base_price(base))
        exposed = quantity * _of_ether(base, opening, closing) if base in STAKED else change
        parts["delta"] += exposed
        parts["staking"] += change - exposed
    owed = sum((cost for key, cost in opening.open_notional.items() if key not in opening.contract_values), ZERO)
    parts["delta"] -= owed * _dollar(opening, closing)
    for key, quantity in opening.holdings.items():
        if key in opening.contract_values and quantity:
            parts["delta"] += quantity * (closing.worth(key) - opening.worth(key))
        elif key.kind is Kind.PERP and quantity:
            base = opening.bases[key]
            now, before = closing.worth(key) - closing.base_price(base), opening.worth(key) - opening.base_price(base)
            exposed = quantity * _of_dollars(key, opening, closing)
            parts["delta"] += exposed
            parts["basis"] += quantity * (now - before) - exposed
    known = {(p.cause, p.account, p.asset): p.amount for p in opening.posted}
    for p in closing.posted:
        moved = p.amount - known.get((p.cause, p.account, p.asset), ZERO)
        if moved:
            is_owed = p.cause is Cause.INTEREST and PositionKey(p.account).kind is Kind.VDEBT
            parts[BORROW if is_owed else COMPONENTS[p.cause]] += moved * closing.value_of(p.account, p.asset)
    parts["unexplained"] = closing.equity - opening.equity - sum(parts.values(), ZERO)
    return parts


def _of_ether(token: str, opening: Valuation, closing: Valuation) -> Decimal:
    """What a staking token changed by because ether did, at the rate that it had; the rest is what it earned."""
    before = opening.base_price(ETHER)
    rate = (opening.prices[token] / before).quantize(GRAIN) if before else ZERO
    return rate * (closing.base_price(ETHER) - before)


def _of_dollars(key: PositionKey, opening: Valuation, closing: Valuation) -> Decimal:
    """What a perp's distance from its coin changed by because dollars did; nothing in a class of dollars.

    The opening distance is exposure like any other money: ``basis`` is what the distance itself changed by.
    """
    if not (change := _dollar(opening, closing)):
        return ZERO
    price = (opening.base_price(opening.bases[key]) / opening.quote).quantize(GRAIN)
    return (opening.marks[key] - price) * change


def _dollar(opening: Valuation, closing: Valuation) -> Decimal:
    """What a USDT became dearer by in the numeraire; what perps cost is owed in it."""
    return ZERO if opening.numeraire == QUOTE or QUOTE not in opening.prices else closing.quote - opening.quote
