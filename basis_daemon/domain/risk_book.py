"""What one strategy could lose its positions by: perps with their margin, loans with their collateral, as last read.

Taken from a picture of market and book, without opinion. Everything behind it (threats, stress, margin planner) reads
nothing else, so that a journal answers as the daemon did. An input that was never seen, or is past its age limit,
stands in ``missing`` of what depends on it: that position is then unknown, never safe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from basis_daemon.domain.caps import Caps, Held, coin_of, gains_of
from basis_daemon.domain.chain import EModeTick, ReserveTick
from basis_daemon.domain.decision import Exposure, MarginState
from basis_daemon.domain.exposure import AS_ETHER
from basis_daemon.domain.instrument import Kind, MarginTier, PositionKey, unit_worth
from basis_daemon.domain.lending import HealthLadder
from basis_daemon.domain.margin import Ladder
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.unwind_cost import UnwindLeg, unwind_legs
from basis_daemon.domain.ways import Way

ZERO = Decimal(0)
NOTHING_COMING: Mapping[PositionKey, Decimal] = MappingProxyType({})
DOLLARS = frozenset({"USDT", "USDC", "USDS", "DAI"})
"""Debt and collateral that no price of a coin moves."""

SHORTEST_INTERVAL_H = 1
"""Of any venue: one that states no interval is taken to settle as often, which never makes the hours longer."""


@dataclass(frozen=True, slots=True)
class RiskTerms:
    """By what a strategy's positions are judged: its ladders, and the shock of every driver.

    ``shocks`` is the adverse move by underlying (``BTC``) or staking token (``weETH``, against ETH), ``drift`` the
    shocks a day against which the hours are counted, ``caps`` what may stand with whom. At the accounts that are
    ``liable`` something may be liquidated, whether anything was heard of them or not. ``ways`` lead to the margin,
    which is restored to ``m_star``; a debt goes back to ``lambda_target`` at ``exit_cost`` (fractions, None: untold).
    The whole book leaves into ``numeraire``, what no quote holds at ``slip_emergency_bp``.
    """

    ladder: Ladder = field(default_factory=Ladder)
    health: HealthLadder = field(default_factory=HealthLadder)
    shocks: Mapping[str, Decimal] = field(default_factory=dict)
    drift: Decimal = Decimal(1)
    caps: Caps = field(default_factory=Caps)
    liable: tuple[str, ...] = ()
    ways: tuple[Way, ...] = ()
    m_star: Decimal | None = None
    lambda_target: Decimal | None = None
    exit_cost: Decimal = ZERO
    numeraire: str = "USDT"
    slip_emergency_bp: Decimal = Decimal(100)


@dataclass(frozen=True, slots=True)
class PerpRisk:
    """One perp that is held, its account's margin less what its other perps must keep, all in the coin of its margin.

    ``funding_hourly`` is the predicted rate per hour (positive: longs pay), None where it is not known.
    """

    account: str
    instrument: PositionKey
    underlying: str
    quantity: Decimal
    mark: Decimal | None
    margin: Decimal
    maintenance_rate: Decimal
    tiers: tuple[MarginTier, ...] = ()
    funding_hourly: Decimal | None = None
    missing: tuple[str, ...] = ()
    contract_value: Decimal | None = None

    def coins(self, mark: Decimal) -> Decimal:
        """What the quantity stands for at this mark, signed, in the coin that it settles in."""
        worth = abs(self.quantity * unit_worth(mark, self.contract_value))
        return worth if self.quantity > 0 else -worth


@dataclass(frozen=True, slots=True)
class LoanItem:
    """One collateral or debt: units, US dollars each at the protocol's oracle, its rate a year.

    ``threshold`` is the share of a collateral that counts, 1 for a debt; ``is_staked``: its worth is a rate in ETH.
    """

    symbol: str
    amount: Decimal
    price: Decimal
    threshold: Decimal
    rate: Decimal
    is_staked: bool = False

    @property
    def value(self) -> Decimal:
        """US dollars."""
        return self.amount * self.price

    @property
    def weighted(self) -> Decimal:
        """What of it counts against liquidation, US dollars."""
        return self.value * self.threshold

    @property
    def is_ether(self) -> bool:
        """True for what moves with ETH/USD."""
        return self.is_staked or self.symbol in AS_ETHER


@dataclass(frozen=True, slots=True)
class LoanRisk:
    """One lending account that owes. ``told`` is the protocol's own health factor, None where it was not read."""

    account: str
    collateral: tuple[LoanItem, ...]
    debt: tuple[LoanItem, ...]
    told: Decimal | None = None
    emode: int = 0
    bonus: Decimal = ZERO
    missing: tuple[str, ...] = ()

    @property
    def weighted(self) -> Decimal:
        """Collateral that counts, US dollars: scaled down where the protocol's own figure is the worse one."""
        own, owed = sum((item.weighted for item in self.collateral), ZERO), self.owed
        return own if self.told is None else min(own, self.told * owed)

    @property
    def owed(self) -> Decimal:
        """Debt, US dollars."""
        return sum((item.value for item in self.debt), ZERO)


@dataclass(frozen=True, slots=True)
class RiskBook:
    """One strategy's positions, balances and prices at an instant; ``equity_usdt`` is None while it is unknown.

    ``stale_accounts`` were not heard of for too long; ``coming`` is what travels, by where it will be; ``unwind`` is
    what closing every leg at that instant would have cost. It is written down: nothing in it is a set, whose text would
    differ from process to process.
    """

    strategy: str
    terms: RiskTerms
    time: datetime
    equity_usdt: Decimal | None
    unknown: tuple[str, ...]
    perps: tuple[PerpRisk, ...]
    loans: tuple[LoanRisk, ...]
    holdings: Mapping[PositionKey, Decimal]
    prices: Mapping[str, Decimal]
    staked: tuple[str, ...] = ()
    stale_accounts: tuple[str, ...] = ()
    coming: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    unwind: tuple[UnwindLeg, ...] = ()

    @property
    def held(self) -> Held:
        """As caps count it."""
        told = [(perp.instrument, perp.underlying, perp.margin) for perp in self.perps if perp.mark is not None]
        blind = {coin_of(perp.instrument, ""): None for perp in self.perps if perp.mark is None}
        return Held(self.holdings, self.prices, gains_of(self.holdings, self.prices, told) | blind)


def read_risk(
    strategy: str,
    market: MarketSnapshot,
    exposure: Exposure,
    terms: RiskTerms,
    coming: Mapping[PositionKey, Decimal] = NOTHING_COMING,
) -> RiskBook:
    """The book of one strategy out of its picture."""
    known = {key.venue for key in exposure.holdings if key.kind is not Kind.TRANSIT}
    accounts = sorted(known.union(terms.liable))
    silent = {name.removeprefix("account:") for name in market.stale(*(f"account:{name}" for name in accounts))}
    staked = frozenset(key.asset for key in market.lsts)
    held = {key: amount for key, amount in exposure.holdings.items() if amount}
    return RiskBook(
        strategy=strategy,
        terms=terms,
        time=exposure.time,
        equity_usdt=exposure.equity_usdt,
        unknown=exposure.unknown,
        perps=tuple(_perps(market, exposure)),
        loans=tuple(_loans(market, exposure, staked)),
        holdings=held,
        prices={key.asset: exposure.prices[key.asset] for key in held if key.asset in exposure.prices},
        staked=tuple(sorted(staked)),
        stale_accounts=tuple(sorted(silent)),
        coming={key: amount for key, amount in coming.items() if key.venue in accounts},
        unwind=unwind_legs(market, exposure, terms.numeraire, terms.slip_emergency_bp),
    )


# ------------------------------------------------------------------------------------------------------------ perps
def _perps(market: MarketSnapshot, exposure: Exposure) -> Iterator[PerpRisk]:
    """Every perp that is held, also one whose account could not be read: that one is unknown."""
    states = {state.instrument: state for state in exposure.margins}
    for key, quantity in exposure.holdings.items():
        if key.kind is Kind.PERP and quantity:
            state = states.get(key)
            yield _unread(key, quantity) if state is None else _perp(market, state)


def _unread(key: PositionKey, quantity: Decimal) -> PerpRisk:
    missing = (f"mark:{key}",)
    return PerpRisk(key.venue, key, key.symbol.removesuffix("USDT"), quantity, None, ZERO, ZERO, missing=missing)


def _perp(market: MarketSnapshot, state: MarginState) -> PerpRisk:
    key, tick = state.instrument, market.marks.get(state.instrument)
    instrument = market.instruments.get(key)
    stated = instrument.funding_interval_h if instrument is not None else None
    return PerpRisk(
        account=state.account,
        instrument=key,
        underlying=state.underlying,
        quantity=state.quantity,
        mark=state.mark,
        margin=state.margin,
        maintenance_rate=state.maintenance_rate,
        tiers=instrument.tiers if instrument is not None else (),
        funding_hourly=None if tick is None else tick.funding_predicted / (stated or SHORTEST_INTERVAL_H),
        missing=market.stale(f"mark:{key}", f"account:{state.account}"),
        contract_value=state.contract_value,
    )


# ------------------------------------------------------------------------------------------------------------ loans
def _loans(market: MarketSnapshot, exposure: Exposure, staked: frozenset[str]) -> Iterator[LoanRisk]:
    """Every lending account that owes something."""
    for account in sorted({k.venue for k, amount in exposure.holdings.items() if k.kind is Kind.VDEBT and amount}):
        report = exposure.lendings.get(account)
        missing = list(market.stale(f"account:{account}")) if report is not None else [f"lending:{account}"]
        category = report.emode if report is not None else 0
        emode = next((e for k, e in market.emodes.items() if k.venue == account and e.category == category), None)
        if category and emode is None:
            missing.append(f"emode:{account}:{category}")
        elif emode is not None:
            missing += market.stale(emode.name)
        items: dict[Kind, list[LoanItem]] = {Kind.ATOKEN: [], Kind.VDEBT: []}
        bonus = ZERO
        for key, amount in exposure.holdings.items():
            if key.venue != account or key.kind not in items or not amount:
                continue
            reserve = market.reserves.get(PositionKey.of(account, Kind.ATOKEN, key.symbol))
            if reserve is None:
                missing.append(f"reserve:{account}:atoken:{key.symbol}")
                continue
            missing += market.stale(reserve.name)
            if key.symbol not in AS_ETHER | staked | DOLLARS:
                missing.append(f"driver:{key.symbol}")
            items[key.kind].append(_item(key, amount, reserve, emode, staked))
            if key.kind is Kind.ATOKEN:
                bonus = max(bonus, _bonus(key, reserve, emode))
        told = report.health_factor if report is not None else None
        collateral, debt = tuple(items[Kind.ATOKEN]), tuple(items[Kind.VDEBT])
        yield LoanRisk(account, collateral, debt, told, category, bonus, tuple(sorted(set(missing))))


def _item(
    key: PositionKey, amount: Decimal, reserve: ReserveTick, emode: EModeTick | None, staked: frozenset[str]
) -> LoanItem:
    if key.kind is Kind.VDEBT:
        return LoanItem(key.symbol, amount, reserve.price, Decimal(1), reserve.borrow_rate, key.symbol in staked)
    terms = emode if emode is not None and key.symbol in emode.collaterals else reserve
    threshold = terms.liquidation_threshold
    return LoanItem(key.symbol, amount, reserve.price, threshold, reserve.supply_rate, key.symbol in staked)


def _bonus(key: PositionKey, reserve: ReserveTick, emode: EModeTick | None) -> Decimal:
    terms = emode if emode is not None and key.symbol in emode.collaterals else reserve
    return terms.liquidation_bonus
