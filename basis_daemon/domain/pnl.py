"""Components of profit and loss, one function each (strategies.md section 4), and the sources that people read.

Opening quantities earn the price moves, accruals count at the closing price; then the components add up exactly.
``valuation.attribute`` applies this to a whole book between two instants. USDT unless a function says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from basis_daemon.domain.instrument import unit_worth
from basis_daemon.domain.trade import Trade

ZERO, ONE = Decimal(0), Decimal(1)

SOURCES = (
    "funding", "basis", "staking", "lending", "borrow", "rewards", "price", "fees", "slippage", "gas", "flash_fee",
    "transfer", "rounding", "liquidation", "correction", "flows", "unexplained",
)  # fmt: skip
"""Where a change of equity comes from, each signed: negative is paid. ``flows`` came from outside and earn nothing."""

_SOURCE_OF = {"delta": "price", "trading": "price", "transfer_fee": "transfer"}


def by_source(components: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """A valuation's components as sources, with the same sum; every source stands there.

    ``price`` is opening exposure times its move, and what the interval's own trades made from their arrival to its end.
    """
    found = dict.fromkeys(SOURCES, ZERO)
    for name, amount in components.items():
        found[_SOURCE_OF.get(name, name)] += amount
    return found


def slippage_of(trade: Trade, arrival: Decimal | None, contract_value: Decimal | None = None) -> Decimal:
    """What a fill lost against the arrival mid, negative for a loss; zero where the arrival is not known.

    Of an inverse perp, whose contracts are of ``contract_value`` quote units, in coin.
    """
    if arrival is None or trade.price is None or not trade.qty_base:
        return ZERO
    sign = 1 if trade.deltas.get(trade.instrument, ZERO) > 0 else -1
    return sign * trade.qty_base * (unit_worth(arrival, contract_value) - unit_worth(trade.price, contract_value))


def delta_pnl(net_delta: Decimal, price0: Decimal, price1: Decimal) -> Decimal:
    """Opening exposure in base units times the price move."""
    return net_delta * (price1 - price0)


def basis_pnl(quantity: Decimal, mark0: Decimal, price0: Decimal, mark1: Decimal, price1: Decimal) -> Decimal:
    """A signed perp quantity times the move of mark - price."""
    return quantity * ((mark1 - price1) - (mark0 - price0))


def staking_pnl(quantity: Decimal, rate0: Decimal, rate1: Decimal, price1: Decimal = ONE) -> Decimal:
    """Growth of an LST's exchange rate."""
    return quantity * (rate1 - rate0) * price1


def supply_pnl(scaled: Decimal, index0: Decimal, index1: Decimal, price1: Decimal = ONE) -> Decimal:
    """Growth of a lending index on a scaled balance."""
    return scaled * (index1 - index0) * price1


def borrow_pnl(scaled_debt: Decimal, index0: Decimal, index1: Decimal, price1: Decimal = ONE) -> Decimal:
    """Growth of a debt, negative."""
    return -scaled_debt * (index1 - index0) * price1


def funding_pnl(quantity: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
    """A signed perp quantity at the settlement mark; positive is received."""
    return -quantity * mark * rate


def basis(mark: Decimal, price: Decimal) -> Decimal:
    """Perp over spot - 1."""
    return mark / price - ONE


def delta_pnl_own_asset(net_usdt: Decimal, quantity: Decimal, price0: Decimal, price1: Decimal) -> Decimal:
    """Delta of an ETH or BTC class, in its own asset: USDT holdings less the hedged notional, at the move of 1/P."""
    return (net_usdt - quantity * price0) * (ONE / price1 - ONE / price0)


def inverse_pnl(contracts: Decimal, contract_value: Decimal, mark0: Decimal, mark1: Decimal) -> Decimal:
    """Coin earned by a signed number of inverse contracts."""
    return contracts * contract_value * (ONE / mark0 - ONE / mark1)
