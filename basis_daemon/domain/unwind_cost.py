"""What it would cost to close every leg now, off the books as they are: walked depth, fees, DEX impact, flash fee, gas.

An exchange leg walks its own book against its fair price (mark of a perp, middle of a spot pair); what the book that is
seen does not hold is taken at the emergency bound. A staking token is sold at the DEX: what the quote loses beyond the
pool's fee is its impact, taken to grow in proportion to the size. A debt is repaid by a flash loan. What has no quote
has no cost that anybody knows: then the whole is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.chain import LstTick, ReserveTick
from basis_daemon.domain.decision import Exposure
from basis_daemon.domain.depth import impact
from basis_daemon.domain.exposure import AS_ETHER, ETHER, NUMERAIRE
from basis_daemon.domain.gas import DELEVER_UNITS, HEADROOM, UNITS, gas_cost
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.market import BookTick, Level, MarketSnapshot
from basis_daemon.domain.order import OrderOperation

ZERO, ONE, BP = Decimal(0), Decimal(1), Decimal("1e-4")


@dataclass(frozen=True, slots=True)
class UnwindLeg:
    """One leg closed: its value and its cost in USDT, None where ``missing`` says why nobody knows.

    ``beyond`` is the value that the quotes seen do not hold, which is costed by the assumption.
    """

    what: str
    value: Decimal
    cost: Decimal | None
    beyond: Decimal = ZERO
    missing: str = ""


def unwind_legs(
    market: MarketSnapshot, exposure: Exposure, numeraire: str, slip_emergency_bp: Decimal
) -> tuple[UnwindLeg, ...]:
    """Every leg of a book, claims and dollars excepted: they are waited for, or there already."""
    slip = slip_emergency_bp * BP
    found = [*_at_exchanges(market, exposure, slip), *_tokens(market, exposure, numeraire, slip)]
    found += _loans(market, exposure)
    units = _gas_units(exposure)
    return (*found, *(_gas(market, exposure, units),)) if units else tuple(found)


# ----------------------------------------------------------------------------------------------------------- exchanges
def _at_exchanges(market: MarketSnapshot, exposure: Exposure, slip: Decimal) -> Iterator[UnwindLeg]:
    for key, quantity in exposure.holdings.items():
        is_leg = key.kind is Kind.PERP or (key.kind is Kind.SPOT and key.asset != NUMERAIRE)
        if not is_leg or not quantity:
            continue
        instrument, book = market.instruments.get(key), market.books.get(key)
        fair = _fair(key, market)
        if instrument is not None and instrument.quote != NUMERAIRE:
            yield UnwindLeg(key, ZERO, None, missing=f"inverse:{key}")
        elif instrument is None or book is None or fair is None or market.stale(f"book:{key}"):
            yield UnwindLeg(key, ZERO, None, missing=f"book:{key}")
        else:
            yield walked(key, quantity, book, instrument, fair, slip)


def _fair(key: PositionKey, market: MarketSnapshot) -> Decimal | None:
    if key.kind is Kind.PERP:
        tick = market.marks.get(key)
        return None if tick is None or market.stale(f"mark:{key}") else tick.mark
    book = market.books.get(key)
    return book.mid if book is not None and book.bids and book.asks else None


def walked(
    what: str, quantity: Decimal, book: BookTick, instrument: Instrument, fair: Decimal, slip: Decimal
) -> UnwindLeg:
    """A holding closed through a book: a long is sold to the bids, a short bought back from the asks."""
    levels: Sequence[Level] = book.bids if quantity > 0 else book.asks
    size, sign = abs(quantity), 1 if quantity > 0 else -1
    value = size * fair
    if not levels:
        return UnwindLeg(what, value, None, missing=f"book:{what}")
    found = impact(levels, size)
    rest = size - found.filled
    bound = found.worst_price * (ONE - sign * slip)
    proceeds = found.filled * found.average_price + rest * bound
    cost = sign * (value - proceeds) + proceeds * instrument.taker_fee
    return UnwindLeg(what, value, cost, beyond=rest * fair)


# --------------------------------------------------------------------------------------------------------------- chain
def _tokens(market: MarketSnapshot, exposure: Exposure, numeraire: str, slip: Decimal) -> Iterator[UnwindLeg]:
    """Staking tokens into ether; where the class is counted in dollars, all ether of the chain into dollars too."""
    ether = exposure.prices.get(ETHER, ZERO)
    lsts = {key.asset: tick for key, tick in market.lsts.items()}
    loose = ZERO
    for key, amount in exposure.holdings.items():
        if key.kind not in {Kind.TOKEN, Kind.LST, Kind.ATOKEN} or not amount:
            continue
        if key.asset in lsts:
            tick = lsts[key.asset]
            loose += amount * tick.rate
            yield _sold(key, amount, tick, ether, is_stale=bool(market.stale(tick.name)))
        elif key.asset in AS_ETHER:
            loose += amount
    owed = sum((q for k, q in exposure.holdings.items() if k.kind is Kind.VDEBT and k.asset in AS_ETHER), ZERO)
    if numeraire == NUMERAIRE and loose > owed:
        yield _into_dollars(market, loose - owed, slip)


def _sold(key: PositionKey, amount: Decimal, tick: LstTick, ether: Decimal, *, is_stale: bool) -> UnwindLeg:
    value = amount * tick.rate * ether
    if tick.pool_price is None or is_stale or not tick.quoted_size or not ether:
        return UnwindLeg(key, value, None, missing=f"quote:{key}")
    lost = ONE - tick.pool_price / tick.rate
    moved = max(lost - tick.pool_fee, ZERO) * max(amount / tick.quoted_size, ONE)
    beyond = max(amount - tick.quoted_size, ZERO) * tick.rate * ether
    return UnwindLeg(key, value, value * min(min(lost, tick.pool_fee) + moved, ONE), beyond=beyond)


def _into_dollars(market: MarketSnapshot, amount: Decimal, slip: Decimal) -> UnwindLeg:
    """Ether of the chain at the deepest book of an exchange; the way there is the transfer's affair."""
    named = ((market.instruments.get(key), book) for key, book in market.books.items() if key.kind is Kind.SPOT)
    books = [
        (instrument, book)
        for instrument, book in named
        if instrument is not None and instrument.base == ETHER and book.bids and book.asks
    ]
    books = [pair for pair in books if not market.stale(f"book:{pair[0].key}")]
    if not books:
        return UnwindLeg("ETH of the chain", ZERO, None, missing="book:ETH")
    instrument, book = max(books, key=lambda pair: sum((size for _, size in pair[1].bids), ZERO))
    return walked("ETH of the chain", amount, book, instrument, book.mid, slip)


def _loans(market: MarketSnapshot, exposure: Exposure) -> Iterator[UnwindLeg]:
    """The fee of the flash loan that repays each debt."""
    for key, amount in exposure.holdings.items():
        if key.kind is not Kind.VDEBT or not amount:
            continue
        reserve: ReserveTick | None = market.reserves.get(PositionKey.of(key.venue, Kind.ATOKEN, key.symbol))
        price = exposure.prices.get(key.asset)
        if reserve is None or price is None or market.stale(reserve.name):
            yield UnwindLeg(key, ZERO, None, missing=f"reserve:{key.venue}:atoken:{key.symbol}")
        else:
            yield UnwindLeg(key, amount * price, amount * price * reserve.flash_fee)


def _gas_units(exposure: Exposure) -> int:
    """A de-lever for every debt, else a withdrawal of what is lent; an allowance and a swap for every staking token."""
    units = ZERO
    held = {key for key, amount in exposure.holdings.items() if amount}
    indebted = {key.venue for key in held if key.kind is Kind.VDEBT}
    for key in held:
        if key.kind is Kind.VDEBT:
            units += DELEVER_UNITS
        elif key.kind is Kind.ATOKEN and key.venue not in indebted:
            units += UNITS[OrderOperation.WITHDRAW]
        elif key.kind is Kind.LST:
            units += UNITS[OrderOperation.APPROVE] + UNITS[OrderOperation.SWAP]
    return int(units)


def _gas(market: MarketSnapshot, exposure: Exposure, units: int) -> UnwindLeg:
    tick, ether = market.gas, exposure.prices.get(ETHER)
    if tick is None or ether is None or market.stale(tick.name):
        return UnwindLeg("gas", ZERO, None, missing="gas")
    return UnwindLeg("gas", ZERO, gas_cost(units, tick.price_eth) * HEADROOM * ether)
