"""The book in money and in risk: equity, net delta per underlying, one margin state per derivatives account.

Rule of ignorance: an asset that is held and has no price, or a perp that is held and has no mark, makes the equity
unknown (None) and is named in ``Exposure.unknown``. It is never counted as zero. What is not held needs no price.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from statistics import median
from types import MappingProxyType
from typing import TypeGuard

from basis_daemon.domain.decision import Exposure, MarginState
from basis_daemon.domain.directional import inverse_coins
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.margin import maintenance_of, maintenance_rate
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.position import PositionBook

NUMERAIRE = "USDT"
ZERO, ONE = Decimal(0), Decimal(1)
_BALANCES = frozenset(Kind) - {Kind.PERP}
ETHER = "ETH"
PRICE_GRAIN = Decimal("1e-18")
"""A quotient without an end is cut here: a price times any quantity is then exact, and equity has no rest."""
_ALIKE = (ETHER, "WETH", "stETH", "eETH")  # in an order: prices made of a set would stand in the journal in any
AS_ETHER = frozenset(_ALIKE)
"""What is one ether by contract: wrapped, or a share of staked ether whose quantity grows."""


def build_exposure(book: PositionBook, market: MarketSnapshot, budget_usdt: Decimal | None = None) -> Exposure:
    """Exposure of a book at the snapshot's mids and marks and at what was read of its chain, USDT at 1.

    Age is not judged here: the snapshot's ``ages`` tell whether a price is stale. ``holdings`` are the book's own.
    """
    prices = asset_prices(market)
    equity, delta, unknown = ZERO, dict[str, Decimal](), list[str]()
    for key, quantity in book.holdings.items():
        if quantity == 0:
            continue
        if key.kind in _BALANCES and key.asset in prices:
            equity += key.sign * quantity * prices[key.asset]
            if key.asset != NUMERAIRE:
                delta[key.asset] = delta.get(key.asset, ZERO) + key.sign * quantity
        elif (perp := _perp(market, key)) is not None and perp.settle in prices:
            mark = market.marks[key].mark
            gain = quantity * perp.unit_worth(mark) - book.open_notional.get(key, ZERO)
            equity += gain * prices[perp.settle]
            delta[perp.base] = delta.get(perp.base, ZERO) + _delta_of(perp, quantity, mark, gain)
        else:
            unknown.append(_input_of(key))
    margins, unmargined = margin_states(book, market)
    unknown.extend(unmargined)
    return Exposure(
        time=market.time,
        equity_usdt=None if unknown else equity,
        holdings=book.holdings,
        prices=MappingProxyType(prices),
        net_delta=MappingProxyType(delta),
        margins=margins,
        unknown=tuple(sorted(set(unknown))) if unknown else (),
        budget_usdt=budget_usdt,
        lendings={name: told.lending for name, told in book.figures.items() if told.lending is not None},
        claims={key: claim for told in book.figures.values() for key, claim in told.claims.items()},
    )


def _perp(market: MarketSnapshot, key: PositionKey) -> Instrument | None:
    """The perp of this key, once it is described and marked."""
    instrument = market.instruments.get(key)
    return instrument if _is_counted(instrument) and key in market.marks else None


def _delta_of(perp: Instrument, quantity: Decimal, mark: Decimal, gain: Decimal) -> Decimal:
    """Base units: of an inverse perp what it stands for, and its P&L, which is coin."""
    return quantity if perp.contract_value is None else gain + inverse_coins(quantity, mark, perp.contract_value)


def prices_in(market: MarketSnapshot, numeraire: str) -> Mapping[str, Decimal]:
    """Units of a share class per unit of everything that a book can hold, as far as it is known.

    In a class of ether what is ether by contract is exactly 1 and a staking token exactly its rate, whatever the
    dollar does; in any class its own coin is.
    """
    prices = asset_prices(market)
    if numeraire == NUMERAIRE:
        return prices
    if numeraire != ETHER:
        own = prices.get(numeraire)
        others = {} if own is None else {asset: _cut(price / own) for asset, price in prices.items()}
        return others | {numeraire: ONE}
    ether = prices.get(ETHER)
    exact = {key.asset: tick.rate for key, tick in market.lsts.items()} | dict.fromkeys(_ALIKE, ONE)
    return exact if ether is None else {asset: _cut(price / ether) for asset, price in prices.items()} | exact


def asset_prices(market: MarketSnapshot) -> Mapping[str, Decimal]:
    """USDT per unit of everything that a book on chain or off it can hold, as far as it is known.

    A spot book is believed before a lending market's oracle, which counts in dollars: its price is taken against that
    of USDT at the same oracle. A staking token is worth its rate at the issuer in ether, whatever a pool pays for it.
    """
    prices = _index_prices(market) | dict(spot_prices(market))
    if not market.reserves and not market.lsts:
        return prices
    told = {key.asset: reserve.price for key, reserve in market.reserves.items()}
    dollars = told.get(NUMERAIRE)
    found = {asset: _cut(price / dollars) for asset, price in told.items()} if dollars else {}
    found |= prices
    ether = prices.get(ETHER) or found.get("WETH")
    if ether is not None:
        found |= dict.fromkeys(_ALIKE, ether)
        found |= {key.asset: _cut(tick.rate * ether) for key, tick in market.lsts.items()}
    return found


def _index_prices(market: MarketSnapshot) -> dict[str, Decimal]:
    """USDT per coin that margins an inverse perp, by the perp's own index, the dollar at 1."""
    seen = ((market.instruments.get(key), tick.index) for key, tick in market.marks.items())
    return {perp.base: index for perp, index in seen if perp is not None and perp.contract_value is not None}


def _cut(price: Decimal) -> Decimal:
    return price.quantize(PRICE_GRAIN)


def spot_prices(market: MarketSnapshot) -> Mapping[str, Decimal]:
    """USDT per unit of every asset with a spot book: one P for all venues, the median of the mids that are fresh.

    Where no mid is fresh, the last ones stand and the ages say so.
    """
    fresh: dict[str, list[Decimal]] = {}
    last: dict[str, list[Decimal]] = {}
    for key, tick in market.books.items():
        instrument = market.instruments.get(key)
        is_priced = bool(tick.bids and tick.asks)
        if key.kind is Kind.SPOT and instrument is not None and instrument.quote == NUMERAIRE and is_priced:
            age = market.ages.get(f"book:{key}")
            into = last if age is None or age.is_stale else fresh
            into.setdefault(instrument.base, []).append(tick.mid)
    prices = {NUMERAIRE: ONE}
    for asset, mids in (last | fresh).items():
        prices[asset] = mids[0] if len(mids) == 1 else median(mids)
    return prices


def margin_states(book: PositionBook, market: MarketSnapshot) -> tuple[tuple[MarginState, ...], list[str]]:
    """One state per declared perp, flat ones too, and the names of the inputs that were missing for a held one.

    The margin is the ledger's: coin balance plus unrealised P&L at the snapshot's marks, no credit for spot. Where an
    account holds several perps, each state is charged with the maintenance of the others and gets no netting benefit.
    """
    by_account: dict[str, list[Instrument]] = {}
    missing: list[str] = []
    for key, instrument in market.instruments.items():
        if key.kind is Kind.PERP and _is_counted(instrument):
            is_known = key in market.marks and bool(instrument.tiers)
            if is_known:
                by_account.setdefault(key.venue, []).append(instrument)
            elif book.quantity(key) != 0:
                missing.append(f"mark:{key}" if key not in market.marks else f"tiers:{key}")
    states: list[MarginState] = []
    for perps in by_account.values():
        states += _account_states(book, market, perps)
    return tuple(states), missing


def _account_states(book: PositionBook, market: MarketSnapshot, perps: list[Instrument]) -> list[MarginState]:
    margin = book.quantity(perps[0].quote_key)
    required: dict[PositionKey, Decimal] = {}
    for perp in perps:
        worth = book.quantity(perp.key) * perp.unit_worth(market.marks[perp.key].mark)
        margin += worth - book.open_notional.get(perp.key, ZERO)
        required[perp.key] = maintenance_of(perp, abs(worth))
    whole = sum(required.values(), ZERO)
    usage = _usage(book, perps[0].key.venue, whole, margin)
    return [
        MarginState(
            account=perp.key.venue,
            instrument=perp.key,
            underlying=perp.base,
            quantity=book.quantity(perp.key),
            mark=market.marks[perp.key].mark,
            margin=margin - (whole - required[perp.key]),
            maintenance_rate=maintenance_rate(
                perp, abs(book.quantity(perp.key) * perp.unit_worth(market.marks[perp.key].mark))
            ),
            usage=usage,
            contract_value=perp.contract_value,
            withdrawable=_withdrawable(book, perp.key.venue),
        )
        for perp in perps
    ]


def _withdrawable(book: PositionBook, account: str) -> Decimal | None:
    report = book.reports.get(account)
    return None if report is None or report.margin is None else report.margin.withdrawable


def _usage(book: PositionBook, account: str, required: Decimal, margin: Decimal) -> Decimal:
    """Maintenance over equity: the venue's own figures where it reported them, else ours; 1 when nothing is left."""
    report = book.reports.get(account)
    if report is not None and report.margin is not None:
        required, margin = report.margin.maintenance, report.margin.equity
    if required == 0:
        return ZERO
    return min(required / margin, ONE) if margin > 0 else ONE


def _is_counted(instrument: Instrument | None) -> TypeGuard[Instrument]:
    """True for a perp whose coin is known here: USDT, or the coin itself of an inverse one."""
    if instrument is None or instrument.key.kind is not Kind.PERP:
        return False
    return instrument.contract_value is not None or instrument.quote == NUMERAIRE


def _input_of(key: PositionKey) -> str:
    """Name of the input that would value a holding."""
    return f"mark:{key}" if key.kind is Kind.PERP else f"price:{key.asset}"
