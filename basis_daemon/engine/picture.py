"""Stop 3: the immutable picture that a decision is taken on, or nothing while there is no price to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache, partial
from types import MappingProxyType

from msgspec import Struct

from basis_daemon.domain.chain import ChainEvent, EModeTick, GasTick, LstTick, ReserveTick, RewardTick
from basis_daemon.domain.decision import Assessment, Exposure, LiquidationSite, RiskView
from basis_daemon.domain.exposure import build_exposure
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import DecisionIds, MarketEvent, MarketSnapshot
from basis_daemon.domain.position import PositionBook
from basis_daemon.engine.freshness import Freshness
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.position_monitor import PositionMonitor
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Clock, Strategy

RiskOf = Callable[[Exposure, PositionBook, Sequence[Assessment]], RiskView]
"""Sites, share price, and what restricts: the book's doubts, and the assessments whose plans are running."""

Survey = Callable[[], tuple[MarketSnapshot, Exposure, Sequence[LiquidationSite]]]
"""One strategy's accounts at the market as it is: for valuation."""

_NO_DECISION = DecisionIds("", 0, 0)


def accounts_of(strategy: Strategy) -> frozenset[str]:
    """What a strategy owns: no other strategy trades there, and it sees nothing beyond."""
    return _venues(strategy.declared_keys)


@lru_cache(maxsize=64)
def _venues(keys: frozenset[PositionKey]) -> frozenset[str]:
    return frozenset(key.venue for key in keys)


class Picture(Struct, frozen=True):
    """What a strategy is shown, and the part of the book that its exposure is made of."""

    market: MarketSnapshot
    exposure: Exposure
    risk: RiskView
    book: PositionBook

    @property
    def events(self) -> tuple[MarketEvent, ...]:
        """The latest market events, for the strategy to remember first."""
        return events_of(self.market)

    def with_memory(self, memory: object) -> Picture:
        """The same picture with a newer memory."""
        if memory is self.market.memory:
            return self
        return Picture(replace(self.market, memory=memory), self.exposure, self.risk, self.book)


class _Own(Struct, frozen=True):
    """What of a book is a strategy's, and balances there that nobody declared; ``of`` all holdings ``at`` a cost."""

    book: PositionBook
    strange: Mapping[PositionKey, Decimal]
    of: Mapping[PositionKey, Decimal]
    at: Mapping[PositionKey, Decimal]


class PictureMaker:
    """Takes pictures for strategies; holds no opinion."""

    def __init__(
        self,
        *,
        mailbox: Mailbox,
        monitor: PositionMonitor,
        recorder: Recorder,
        freshness: Freshness,
        clock: Clock,
        grace_ns: int,
        risk_of: RiskOf,
        budget_usdt: Decimal | None = None,
        coins: frozenset[PositionKey] = frozenset(),
    ) -> None:
        """``coins`` are pairs that nobody trades: what pays fees is valued by them, and counts as declared."""
        self._mailbox = mailbox
        self._monitor = monitor
        self._recorder = recorder
        self._freshness = freshness
        self._clock = clock
        self._risk_of = risk_of
        self._budget_usdt = budget_usdt
        self._coins = coins
        self._coin_assets = frozenset(coin.symbol for coin in coins)
        self._own_books: dict[frozenset[PositionKey], _Own] = {}
        self.grace_ns = grace_ns

    def newest(self, strategy: Strategy) -> datetime:
        """The newest stamp that a stream of the strategy has brought."""
        return self._freshness.newest(strategy.instruments)

    def is_lagging(self, strategy: Strategy) -> bool:
        """True while an instrument of the strategy is behind its venue's newest stamp."""
        return self._freshness.is_lagging(strategy.instruments)

    def is_silent(self, strategy: Strategy, now_ns: int) -> bool:
        """True when an instrument was seen and nothing of it arrives any more."""
        ages = self._freshness.ages(strategy.instruments, (), now_ns)
        return any(age.is_stale for age in ages.values())

    def take(self, strategy: Strategy, memory: object, ids: DecisionIds, running: Sequence[Assessment]) -> Picture:
        """The picture now; what was never seen is missing from it, what is old says so."""
        accounts = accounts_of(strategy)
        coins = frozenset(coin for coin in self._coins if coin.venue in accounts) if self._coins else self._coins
        market = self.market(strategy.instruments, accounts, ids, memory, coins)
        book, exposure = self._own(strategy, market)
        return Picture(market, exposure, self._risk_of(exposure, book, running), book)

    def survey(self, strategy: Strategy) -> tuple[MarketSnapshot, Exposure, Sequence[LiquidationSite]]:
        """Everything at the strategy's accounts at the market as it is, for valuation."""
        accounts = accounts_of(strategy)
        listed = frozenset(key for key in self._recorder.state.instruments if key.venue in accounts)
        instruments = listed | strategy.instruments
        market = self.market(instruments, accounts, _NO_DECISION, None)
        book, exposure = self._own(strategy, market)
        return market, exposure, self._risk_of(exposure, book, ()).sites

    def _own(self, strategy: Strategy, market: MarketSnapshot) -> tuple[PositionBook, Exposure]:
        """The strategy's part of the book and what it is worth, without balances that nobody declared."""
        keys = strategy.declared_keys
        if keys not in self._own_books:
            self._monitor.follow(partial(self._cut, keys))
        own = self._own_books[keys]
        exposure = build_exposure(own.book, market, self._budget_usdt)
        return own.book, replace(exposure, undeclared=own.strange) if own.strange else exposure

    def _cut(self, keys: frozenset[PositionKey], book: PositionBook) -> None:
        last = self._own_books.get(keys)
        if last is not None and last.of is book.holdings and last.at is book.open_notional:  # nothing was booked since
            part = book.part(_venues(keys), last.book.holdings, last.book.open_notional)
            self._own_books[keys] = _Own(part, last.strange, last.of, last.at)
            return
        part = book.part(_venues(keys))
        strange = part.undeclared(keys, self._coin_assets)
        own = part.without(strange) if strange else part
        self._own_books[keys] = _Own(own, MappingProxyType(strange), book.holdings, book.open_notional)

    def market(
        self,
        wanted: frozenset[PositionKey],
        accounts: frozenset[str],
        ids: DecisionIds,
        memory: object,
        coins: frozenset[PositionKey] = frozenset(),
    ) -> MarketSnapshot:
        """What can be seen of these instruments, and the books of ``coins``, which make nothing else look old."""
        shown = wanted | coins if coins else wanted
        reads = self._reads(wanted, accounts) if self._mailbox.chain else ()
        newest = self._freshness.newest(wanted, before=self._recorder.state.market_time)
        ages = self._freshness.ages(wanted, accounts, self._clock.monotonic_ns(), newest)
        market = MarketSnapshot(
            time=newest,
            ids=ids,
            instruments=MappingProxyType(self._recorder.state.instruments),
            # in order of first arrival: that of a set is another one in every process, and would stand in the journal
            books=MappingProxyType({key: tick for key, tick in self._mailbox.books.items() if key in shown}),
            marks=MappingProxyType({key: tick for key, tick in self._mailbox.marks.items() if key in wanted}),
            ages=MappingProxyType(ages),
            memory=memory,
        )
        return with_reads(market, reads) if reads else market

    def _reads(self, wanted: frozenset[PositionKey], accounts: frozenset[str]) -> Sequence[ChainEvent]:
        """What was read of the chain, for whoever looks at it at all: the reserves with it, which price everything."""
        reads = self._mailbox.chain.values()
        if not any(read.instrument in wanted for read in reads):
            return ()
        own = (read for read in reads if read.instrument in wanted or read.instrument.venue in accounts)
        return [*own, *(read for read in reads if isinstance(read, ReserveTick))]


def with_reads(market: MarketSnapshot, reads: Sequence[ChainEvent]) -> MarketSnapshot:
    """The picture, with what was read of a chain."""
    return replace(
        market,
        reserves=MappingProxyType({read.instrument: read for read in reads if isinstance(read, ReserveTick)}),
        emodes=MappingProxyType({read.instrument: read for read in reads if isinstance(read, EModeTick)}),
        rewards=MappingProxyType({read.instrument: read for read in reads if isinstance(read, RewardTick)}),
        lsts=MappingProxyType({read.instrument: read for read in reads if isinstance(read, LstTick)}),
        gas=next((read for read in reads if isinstance(read, GasTick)), None),
    )


def events_of(market: MarketSnapshot) -> tuple[MarketEvent, ...]:
    """Everything that a picture shows of the markets, as events."""
    return (*market.books.values(), *market.marks.values(), *reads_of(market))


def reads_of(market: MarketSnapshot) -> Iterable[ChainEvent]:
    """What a picture shows of a chain: what a token yields before what its debt costs."""
    if market.gas is not None:
        yield market.gas
    yield from market.lsts.values()
    yield from market.rewards.values()
    yield from market.emodes.values()
    yield from market.reserves.values()
