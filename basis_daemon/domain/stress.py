"""The book under shocks that come together, with nobody acting: what is left, who survives, and who falls first.

A cell moves every coin by ``price``, every perp by ``basis`` more, every staking token's rate against ETH by ``peg``,
at exchange and oracle alike; over the horizon shorts earn ``funding`` per 8 hours (negative: they pay) and debts cost
``borrow`` a year beyond today's rates. ``outage`` names somebody who fails: what stands with them is lost. A liquidated
exchange account loses its margin, a liquidated loan the bonus on what is repaid (half of the debt, all of it below a
health factor of .95); a lender can take no more than the collateral. Shocks grow in step from nothing to the cell's
own, which is what "first" means.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import product

from basis_daemon.domain.caps import Dimension, names_behind
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.lending import DAYS_PER_YEAR
from basis_daemon.domain.risk_book import DOLLARS, LoanItem, LoanRisk, RiskBook
from basis_daemon.domain.stressed_margin import MarginAccount, accounts_of
from basis_daemon.domain.threats import loan_threat

ZERO, ONE = Decimal(0), Decimal(1)
SETTLEMENTS_PER_DAY = Decimal(3)
CLOSE_FACTOR, HEALTH_OF_WHOLE_CLOSE = Decimal("0.5"), Decimal("0.95")
STEPS, HALVINGS = 16, 8
EMERGENCY = 3


@dataclass(frozen=True, slots=True)
class Scenario:
    """One cell's shocks: fractions, ``borrow`` a year, ``funding`` per 8 hours; ``outage`` empty for none."""

    price: Decimal = ZERO
    basis: Decimal = ZERO
    peg: Decimal = ZERO
    borrow: Decimal = ZERO
    funding: Decimal = ZERO
    outage: str = ""
    days: Decimal = ZERO

    def part(self, share: Decimal) -> Scenario:
        """The same shocks on their way; an outage is there from the beginning."""
        price, basis, peg = share * self.price, share * self.basis, share * self.peg
        return Scenario(price, basis, peg, share * self.borrow, share * self.funding, self.outage, self.days)

    @property
    def mark_factor(self) -> Decimal:
        """Of every mark."""
        return (ONE + self.price) * (ONE + self.basis)

    @property
    def funding_share(self) -> Decimal:
        """Of the notional, that shorts earn over the horizon; negative: pay."""
        return self.funding * SETTLEMENTS_PER_DAY * self.days

    @property
    def interest_share(self) -> Decimal:
        """Of a debt, that it grows by beyond today's rates."""
        return self.borrow * self.days / DAYS_PER_YEAR

    def factor_of(self, symbol: str, staked: Collection[str]) -> Decimal:
        """Of the worth of one unit in dollars."""
        if symbol in DOLLARS:
            return ONE
        return (ONE + self.price) * (ONE + self.peg if symbol in staked else ONE)


@dataclass(frozen=True, slots=True)
class Grid:
    """What is crossed with what; ``outages`` None are all exchanges. ``days`` is the horizon of both rates."""

    price: tuple[Decimal, ...] = (ZERO,)
    basis: tuple[Decimal, ...] = (ZERO,)
    peg: tuple[Decimal, ...] = (ZERO,)
    borrow: tuple[Decimal, ...] = (ZERO,)
    funding: tuple[Decimal, ...] = (ZERO,)
    outages: tuple[str, ...] | None = ()
    days: Decimal = field(default=Decimal(3))

    def scenarios(self, exchanges: Iterable[str]) -> Iterator[Scenario]:
        """Every cell, in the order of the axes."""
        named = tuple(exchanges) if self.outages is None else self.outages
        shocks = product(self.price, self.basis, self.peg, self.borrow, self.funding)
        for (price, basis, peg, borrow, funding), outage in product(shocks, ("", *named)):
            yield Scenario(price, basis, peg, borrow, funding, outage, self.days)


@dataclass(frozen=True, slots=True)
class Casualty:
    """A position that falls: liquidated, at level 3 of its ladder, or lost with whoever failed; ``at`` 0 to 1."""

    strategy: str
    site: str
    position: str
    how: str
    at: Decimal


@dataclass(frozen=True, slots=True)
class Cell:
    """What a scenario leaves. ``equity_usdt`` is None while something held has no price."""

    scenario: Scenario
    equity_usdt: Decimal | None
    casualties: tuple[Casualty, ...]
    survivors: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def first(self) -> Casualty | None:
        """Whoever falls first."""
        return self.casualties[0] if self.casualties else None


def stress(books: Sequence[RiskBook], grid: Grid) -> tuple[Cell, ...]:
    """Every cell of the grid over all strategies together."""
    exchanges = sorted({name for book in books for name in _exchanges(book)})
    return tuple(_cell(books, scenario) for scenario in grid.scenarios(exchanges))


def _exchanges(book: RiskBook) -> Iterator[str]:
    caps = book.terms.caps
    for key in book.holdings:
        if key.venue in caps.exchange_of:
            venue = caps.exchange_of[key.venue]
            yield caps.operator_of.get(venue, venue)


# --------------------------------------------------------------------------------------------------------------- sites
@dataclass(frozen=True, slots=True)
class _Site:
    """Something that can be liquidated, with the account that it is."""

    book: RiskBook
    of: MarginAccount | LoanRisk

    @property
    def account(self) -> str:
        return self.of.account

    @property
    def position(self) -> str:
        if isinstance(self.of, MarginAccount):
            return "+".join(perp.instrument for perp in self.of.perps)
        return f"{'+'.join(i.symbol for i in self.of.collateral)} against {'+'.join(i.symbol for i in self.of.debt)}"

    @property
    def is_unknown(self) -> bool:
        """True where an input of it is missing; a shock that was never set is one."""
        if isinstance(self.of, MarginAccount):
            shocks = self.book.terms.shocks
            return bool(self.of.missing) or any(perp.underlying not in shocks for perp in self.of.perps)
        return loan_threat(self.book, self.of).level is None

    def state(self, scenario: Scenario) -> str:
        """``liquidated``, ``EMERGENCY`` or empty."""
        of, terms = self.of, self.book.terms
        if isinstance(of, MarginAccount):
            z = of.z(scenario.mark_factor, scenario.funding_share, terms.shocks)
            level, is_liquidated = terms.ladder.level(z), z <= 0
        else:
            threat = loan_threat(self.book, shocked(of, scenario))
            level, is_liquidated = threat.level or 0, threat.figure is None or threat.figure < 1
        return "liquidated" if is_liquidated else "EMERGENCY" if level == EMERGENCY else ""


def shocked(loan: LoanRisk, scenario: Scenario) -> LoanRisk:
    """The loan after the shocks; where the protocol's own figure was the worse one, it stays so."""
    own = sum((item.weighted for item in loan.collateral), ZERO)
    share = loan.weighted / own if own else ZERO
    collateral = tuple(replace(item, price=item.price * _factor(item, scenario)) for item in loan.collateral)
    grown = ONE + scenario.interest_share
    debt = tuple(replace(i, price=i.price * _factor(i, scenario), amount=i.amount * grown) for i in loan.debt)
    weighted = sum((item.weighted for item in collateral), ZERO) * share
    told = weighted / sum((item.value for item in debt), ZERO)
    return replace(loan, collateral=collateral, debt=debt, told=told if share < 1 else None)


def _factor(item: LoanItem, scenario: Scenario) -> Decimal:
    return scenario.factor_of(item.symbol, (item.symbol,) if item.is_staked else ())


def _sites(book: RiskBook) -> list[_Site]:
    accounts = [_Site(book, account) for account in accounts_of(book.perps)]
    return [*accounts, *(_Site(book, loan) for loan in book.loans)]


def _is_lost(key: PositionKey, book: RiskBook, outage: str) -> bool:
    return bool(outage) and (Dimension.COUNTERPARTY, outage) in set(names_behind(key, book.terms.caps))


# --------------------------------------------------------------------------------------------------------------- cells
def _cell(books: Sequence[RiskBook], scenario: Scenario) -> Cell:
    casualties: list[Casualty] = []
    survivors: list[str] = []
    unknown: list[str] = []
    equity: Decimal | None = ZERO
    for book in books:
        fallen: dict[str, str] = {}
        for site in _sites(book):
            name = f"{site.account} {site.position}"
            if site.is_unknown:
                unknown.append(name)
            elif (found := _casualty(site, scenario)) is None:
                survivors.append(name)
            else:
                fallen[site.account] = found.how
                casualties.append(found)
                if found.how == "EMERGENCY":
                    survivors.append(name)
        left = _equity(book, scenario, fallen)
        equity = None if equity is None or left is None else equity + left
    casualties.sort(key=lambda each: each.at)
    return Cell(scenario, equity, tuple(casualties), tuple(survivors), tuple(unknown))


def _casualty(site: _Site, scenario: Scenario) -> Casualty | None:
    keys = [k for k in site.book.holdings if k.venue == site.account and k.kind is not Kind.VDEBT]
    if any(_is_lost(key, site.book, scenario.outage) for key in keys):
        return Casualty(site.book.strategy, site.account, site.position, "lost", ZERO)
    how = site.state(scenario)
    if not how:
        return None
    return Casualty(site.book.strategy, site.account, site.position, how, _when(site, scenario, how))


def _when(site: _Site, scenario: Scenario, how: str) -> Decimal:
    """How far the shocks have come when the site falls in this way, in 1/4096 of them; the end itself is a fall."""
    ways = {how, "liquidated"}
    after = next(n for n in range(STEPS + 1) if site.state(scenario.part(Decimal(n) / STEPS)) in ways)
    if after == 0:
        return ZERO
    low, high = Decimal(after - 1) / STEPS, Decimal(after) / STEPS
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if site.state(scenario.part(middle)) in ways else (middle, high)
    return high


def _equity(book: RiskBook, scenario: Scenario, fallen: Mapping[str, str]) -> Decimal | None:
    """USDT that the shocks leave of one strategy."""
    if book.equity_usdt is None or any(perp.mark is None for perp in book.perps):
        return None
    lending = {key.venue for key in book.holdings if key.kind is Kind.VDEBT}
    change = ZERO
    for key, amount in book.holdings.items():
        if key.kind is Kind.PERP or key.venue in lending:
            continue
        value = amount * book.prices[key.asset]
        after = ZERO if _is_lost(key, book, scenario.outage) else value * scenario.factor_of(key.asset, book.staked)
        change += after - value
    for account in accounts_of(book.perps):
        change += _change_of_account(book, account, scenario, fallen.get(account.account, ""))
    for loan in book.loans:
        change += _change_of_loan(book, loan, scenario, fallen.get(loan.account, ""))
    return book.equity_usdt + change


def _change_of_account(book: RiskBook, account: MarginAccount, scenario: Scenario, how: str) -> Decimal:
    """Beside the coin, which is a holding: profit and loss, and what a liquidation takes of both."""
    coin = PositionKey.of(account.account, Kind.SPOT, "USDT")
    gain = account.margin - book.holdings.get(coin, ZERO)
    if how == "lost":
        return -gain
    if how == "liquidated":
        return -account.margin
    return account.profit(scenario.mark_factor, scenario.funding_share)


def _change_of_loan(book: RiskBook, loan: LoanRisk, scenario: Scenario, how: str) -> Decimal:
    """Of collateral less debt; below nothing the lender has the loss."""
    before, after, owed = ZERO, ZERO, ZERO
    for key, amount in book.holdings.items():
        if key.venue != loan.account or not amount:
            continue
        value = amount * book.prices[key.asset]
        then = value * scenario.factor_of(key.asset, book.staked)
        before += key.sign * value
        if key.kind is Kind.VDEBT:
            owed += then * (ONE + scenario.interest_share)
        elif not _is_lost(key, book, scenario.outage):
            after += then
    if how == "liquidated":
        fallen = shocked(loan, scenario)
        is_whole = fallen.weighted < HEALTH_OF_WHOLE_CLOSE * fallen.owed
        after -= loan.bonus * owed * (ONE if is_whole else CLOSE_FACTOR)
    return max(after - owed, ZERO) - before
