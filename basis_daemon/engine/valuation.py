"""Exact valuations in market time: the venues' own balances, the market's prices, and where every cent came from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.decision import Exposure, LiquidationSite, MarginState, capital_of
from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.domain.exposure import prices_in
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.valuation import Posted, Shares, Valuation, attribute, shares_after, unpriced
from basis_daemon.engine.codec import dump, load
from basis_daemon.engine.picture import Survey
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.reconciler import Reconciler, market_floor
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import EPOCH
from basis_daemon.ports import RecordKind
from basis_daemon.rare_paths import Rarely, RarePath, never

ONE = Decimal(1)
BLIND_TIMES_MAX = 5
"""So many valuations in a row without a price of something held are no late first quote any more."""


@dataclass(frozen=True, slots=True)
class MarginRow:
    """One derivatives account at a valuation."""

    account: str
    margin: Decimal
    notional: Decimal
    ratio: Decimal | None
    distance: Decimal | None
    z: Decimal | None
    level: int


@dataclass(frozen=True, slots=True)
class ValuationRow:
    """One strategy's accounts valued in its ``numeraire``, with the split of the change since the valuation before.

    Every amount of money is in that numeraire, the budget's too.

    ``unit_value`` is the share price of ``capital_usdt``, which is the equity up to the budget. ``latched`` says why
    the strategy has to stay out; empty while it may trade. ``undeclared`` are balances that count in none of this.
    """

    strategy: str
    accounts: tuple[str, ...]
    time: datetime
    equity_usdt: Decimal
    capital_usdt: Decimal
    prices: Mapping[str, Decimal]
    marks: Mapping[PositionKey, Decimal]
    holdings: Mapping[PositionKey, Decimal]
    open_notional: Mapping[PositionKey, Decimal]
    net_delta: Mapping[str, Decimal]
    bases: Mapping[PositionKey, str]
    posted: tuple[Posted, ...]
    margins: tuple[MarginRow, ...]
    components: Mapping[str, Decimal]
    units: Decimal
    unit_value: Decimal
    unit_value_high: Decimal
    latched: str = ""
    undeclared: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    numeraire: str = "USDT"
    unit_value_of_day: Decimal | None = None
    contract_values: Mapping[PositionKey, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mandate:
    """What a strategy was given: equity above ``budget_usdt`` is not its to use, and a loss latches it.

    ``drawdown_max`` is a fraction of the highest unit value; ``numeraire`` is what its return is measured in.
    """

    strategy: str
    drawdown_max: Decimal
    budget_usdt: Decimal | None = None
    numeraire: str = "USDT"


class Valuer:
    """Values one strategy's accounts each ``step`` of market time, when nothing moves there and the venues agree.

    Whoever sees market time reach ``next_at`` sets ``due``. The high of the unit value and the latch that a drawdown
    closes live in the valuations themselves, so that a restart changes neither.
    """

    def __init__(
        self,
        *,
        mandate: Mandate,
        recorder: Recorder,
        reconcilers: Sequence[Reconciler],
        survey: Survey,
        alarm: Alarm,
        step: timedelta,
        rarely: Rarely = never,
    ) -> None:
        self._mandate = mandate
        self._recorder = recorder
        self._reconcilers = reconcilers
        self._survey = survey
        self._alarm = alarm
        self._step = step
        self._rarely = rarely
        self.accounts = frozenset(reconciler.account for reconciler in reconcilers)
        self._blind_times = 0
        self._strange: frozenset[PositionKey] = frozenset()
        self._differences: Mapping[PositionKey, Decimal] = {}
        self.due = asyncio.Event()
        self.on_valued: Callable[[MarketSnapshot, Exposure], None] = _nothing_more
        text = recorder.state.last_valuations.get(mandate.strategy)
        self.last = load(ValuationRow, text) if text else None
        self.next_at = market_floor(self.last.time, step) + step if self.last else EPOCH

    @property
    def unit_value(self) -> Decimal:
        """Equity per unit; 1 before the first valuation."""
        return self.last.unit_value if self.last else ONE

    @property
    def unit_value_high(self) -> Decimal:
        """Its highest so far."""
        return self.last.unit_value_high if self.last else ONE

    @property
    def unit_value_of_day(self) -> Decimal | None:
        """What the book brought into its last UTC day; None before the first valuation."""
        return self.last.unit_value_of_day if self.last else None

    @property
    def drawdown(self) -> Decimal:
        """Fraction that the unit value lies below its highest; deposits and withdrawals leave it as it is."""
        return ONE - self.unit_value / self.unit_value_high

    @property
    def latched(self) -> str:
        """Why the strategy has to stay out; empty while it may trade."""
        return self.last.latched if self.last else ""

    def rearm(self, why: str) -> bool:
        """Operator only: take the loss as it is, drawdown counts from here. False when nothing was latched.

        After a loss of everything the money that is there now begins as the first equity of a book does.
        """
        last = self.last
        if last is None or not last.latched:
            return False
        same = dict.fromkeys(last.components, Decimal(0))
        anew = shares_after(None, last.capital_usdt, Decimal(0))
        shares = Shares(last.units, last.unit_value, last.unit_value) if last.unit_value else anew
        at = replace(last, units=shares.units, unit_value=shares.unit_value, unit_value_high=shares.high)
        self._note(replace(at, latched="", components=same))
        self._alarm("strategy rearmed", {"strategy": last.strategy, "was": last.latched, "why": why})
        return True

    async def value_now(self) -> bool:
        """Journal a valuation; False when something moved, a venue was silent, or a price is missing: try again."""
        if self._is_blind():
            return False
        try:
            settled = [await reconciler.check() for reconciler in self._reconcilers]
        except VenueUnreachableError:
            return False
        is_settled = all(settled) and not any(r.has_moved() for r in self._reconcilers)
        if not is_settled or self._rarely(RarePath.VALUATION_OVERTAKEN):
            return False
        market, exposure, sites = self._survey()
        self._tell_undeclared(exposure.undeclared)
        if exposure.unknown or _is_marked_stale(market, exposure):
            return False
        told = {k: q for r in self._reconcilers if r.checked is not None for k, q in r.checked.holdings.items()}
        told |= {
            key: amount for key, amount in exposure.holdings.items() if key.kind is Kind.TRANSIT
        }  # no venue has it
        stated = {key: amount for key, amount in told.items() if key in exposure.holdings}
        if self._is_doubted(stated):
            return False
        self._journal(self._valuation(market, exposure, stated), exposure, sites)
        self.on_valued(market, exposure)
        self.next_at = market_floor(market.time, self._step) + self._step
        self.due.clear()
        return True

    def _valuation(
        self, market: MarketSnapshot, exposure: Exposure, holdings: Mapping[PositionKey, Decimal]
    ) -> Valuation:
        state, accounts = self._recorder.state, self.accounts
        return Valuation(
            time=market.time,
            holdings=holdings,
            open_notional={k: cost for k, cost in state.ledger.open_notionals().items() if k.venue in accounts},
            prices=dict(prices_in(market, self._mandate.numeraire)),
            marks={key: tick.mark for key, tick in market.marks.items()},
            bases={key: i.base for key, i in state.instruments.items() if key.kind is Kind.PERP},
            posted=tuple(
                Posted(cause, account, asset, amount)
                for (cause, account, asset), amount in state.ledger.totals().items()
                if PositionKey(account).venue in accounts and account not in exposure.undeclared
            ),
            numeraire=self._mandate.numeraire,
            contract_values={k: i.contract_value for k, i in state.instruments.items() if i.contract_value is not None},
        )

    def _is_doubted(self, stated: Mapping[PositionKey, Decimal]) -> bool:
        """True for what differs from the book, if only within tolerance, until the venue has said it twice.

        A venue's single wrong number would be a gain of nothing in this valuation and a loss of nothing in the next.
        """
        ledger = self._recorder.state.ledger
        differences = {key: said - ledger.holding(key) for key, said in stated.items() if said != ledger.holding(key)}
        before, self._differences = self._differences, differences
        return bool(differences) and differences != before

    def _is_blind(self) -> bool:
        """True while something held cannot be priced. Told once it lasts: nothing new is traded until somebody acts.

        What was held at the valuation before, or has moved since, is needed too: its change is split by its price.
        """
        market, exposure, _ = self._survey()
        unknown = exposure.unknown
        if not unknown and self.last is not None:
            before = _before(self.last, exposure.undeclared)
            unknown = unpriced(before, self._valuation(market, exposure, exposure.holdings))
        self._blind_times = self._blind_times + 1 if unknown else 0
        if self._blind_times == BLIND_TIMES_MAX:
            facts = {"strategy": self._mandate.strategy, "inputs": ", ".join(unknown)}
            self._alarm("equity unknown: something is held that has no price here", facts)
        return bool(unknown)

    def _tell_undeclared(self, found: Mapping[PositionKey, Decimal]) -> None:
        """Once for each that appears: an airdrop, dust, a coin that somebody sent. Nothing is done about it."""
        there = frozenset(key for key, amount in found.items() if amount)
        for key in sorted(there - self._strange):
            facts = {"strategy": self._mandate.strategy, "holding": key, "quantity": str(found[key])}
            self._alarm("balance under an undeclared key", facts)
        self._strange = there

    def _journal(self, now: Valuation, exposure: Exposure, sites: Sequence[LiquidationSite]) -> None:
        last = self.last
        parts = {} if last is None else _attributed(last, now, exposure.undeclared)
        shares = self._shares(now.equity, parts.get("flows", Decimal(0)))
        row = ValuationRow(
            strategy=self._mandate.strategy,
            accounts=tuple(sorted(self.accounts)),
            time=now.time,
            equity_usdt=now.equity,
            capital_usdt=capital_of(now.equity, self._mandate.budget_usdt),
            prices=now.prices,
            marks=now.marks,
            holdings=now.holdings,
            open_notional=now.open_notional,
            net_delta=now.net_delta(),
            bases=now.bases,
            posted=now.posted,
            margins=tuple(_margin_row(state, sites) for state in exposure.margins),
            components=parts,
            units=shares.units,
            unit_value=shares.unit_value,
            unit_value_high=shares.high,
            latched=self.latched or self._drawdown_fault(shares),
            undeclared={key: amount for key, amount in exposure.undeclared.items() if amount},
            numeraire=self._mandate.numeraire,
            unit_value_of_day=self._of_day(now.time, shares.unit_value),
            contract_values=now.contract_values,
        )
        if row.latched and not self.latched:
            self._alarm("strategy latched", {"strategy": row.strategy, "why": row.latched})
        self._note(row)
        if parts.get("unexplained"):
            facts = {"strategy": row.strategy} | {name: str(amount) for name, amount in parts.items()}
            self._alarm("equity change unexplained", facts)

    def _note(self, row: ValuationRow) -> None:
        self.last = row
        self._recorder.note(RecordKind.VALUATION, dump(row), row.strategy)

    def _shares(self, equity: Decimal, flows: Decimal) -> Shares:
        """Units of the capital at work and their price; all profit and loss is that of this capital.

        What then lies above the budget goes into the reserve, and what is lacking comes out of it, at that price:
        neither hides a loss nor makes a gain.
        """
        last, capital = self.last, capital_of(equity, self._mandate.budget_usdt)
        if last is None:
            return shares_after(None, capital, Decimal(0))
        worth = last.capital_usdt + equity - flows - last.equity_usdt
        return shares_after(Shares(last.units, last.unit_value, last.unit_value_high), capital, capital - worth)

    def _of_day(self, now: datetime, unit_value: Decimal) -> Decimal:
        """At the first valuation of a UTC day the better of the last one before and of its own, else as it was."""
        last = self.last
        if last is not None and last.time.date() == now.date() and last.unit_value_of_day is not None:
            return last.unit_value_of_day
        return max(unit_value, last.unit_value) if last is not None else unit_value

    def _drawdown_fault(self, shares: Shares) -> str:
        drawdown, limit = 1 - shares.unit_value / shares.high, self._mandate.drawdown_max
        if drawdown < limit:
            return ""
        return f"drawdown {drawdown:.6f} reached {limit} of the highest unit value {shares.high:.6f}"


def _nothing_more(_market: MarketSnapshot, _exposure: Exposure) -> None:
    """Nobody else wants to know."""


def book_drawdown(valuers: Iterable[Valuer]) -> Decimal:
    """Fraction that the units of all strategies lie below what they were worth at the high of each; 0 before any.

    Of several share classes the one that has lost most.
    """
    rows = [row for valuer in valuers if (row := valuer.last) is not None]
    return max((_class_drawdown(rows, numeraire) for numeraire in {row.numeraire for row in rows}), default=Decimal(0))


def _class_drawdown(rows: Sequence[ValuationRow], numeraire: str) -> Decimal:
    own = [row for row in rows if row.numeraire == numeraire]
    peak = sum((row.units * row.unit_value_high for row in own), Decimal(0))
    return ONE - sum((row.units * row.unit_value for row in own), Decimal(0)) / peak if peak > 0 else Decimal(0)


def _is_marked_stale(market: MarketSnapshot, exposure: Exposure) -> bool:
    """True when something held is priced by a stream that has fallen behind: no share price is made of that."""
    names = {f"{'mark' if key.kind is Kind.PERP else 'book'}:{key}" for key, held in exposure.holdings.items() if held}
    return any(market.ages[name].is_stale for name in names if name in market.ages)


def _attributed(last: ValuationRow, now: Valuation, undeclared: Container[PositionKey]) -> dict[str, Decimal]:
    """The split of the change since ``last``; what was declared then and is no longer has left the equity as a flow."""
    before = _before(last, undeclared)
    parts = attribute(before, now)
    parts["flows"] -= last.equity_usdt - before.equity
    return parts


def _before(last: ValuationRow, undeclared: Container[PositionKey]) -> Valuation:
    before = _valuation_of(last)
    holdings = {key: amount for key, amount in before.holdings.items() if key not in undeclared}
    posted = tuple(line for line in before.posted if line.account not in undeclared)
    return replace(before, holdings=holdings, posted=posted)


def _valuation_of(row: ValuationRow) -> Valuation:
    kept = row.holdings, row.open_notional, row.prices, row.marks, row.bases, row.posted, row.numeraire
    return Valuation(row.time, *kept, row.contract_values)


def _margin_row(state: MarginState, sites: Sequence[LiquidationSite]) -> MarginRow:
    site = next((s for s in sites if s.site == state.account), None)
    ratio = state.margin / state.notional if state.notional else None
    distance, z, level = (site.distance, site.z, site.level) if site else (None, None, 0)
    return MarginRow(state.account, state.margin, state.notional, ratio, distance, z, level)
