"""The venue's shared state: books, marks, accounts, ids and market time. Engines change it, the wire reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import count

from basis_daemon.sandbox.exchange.accounts import Account, AccountSpec, FeeSchedule, open_account
from basis_daemon.sandbox.exchange.book import Book, DepthProfile
from basis_daemon.sandbox.exchange.instruments import CONTRACTS, FUTURES, LISTED, TIERS, Instrument, Key, Market, Tiers
from basis_daemon.sandbox.exchange.money import ZERO
from basis_daemon.sandbox.exchange.orders import AlgoOrder, Fill, Order
from basis_daemon.sandbox.exchange.rejects import RejectError, invalid_symbol


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """An order changed: `execution` is the venue's word (NEW, TRADE, CANCELED, EXPIRED, AMENDMENT)."""

    order: Order
    execution: str
    fill: Fill | None = None


@dataclass(frozen=True, slots=True)
class SpotBalanceEvent:
    """Spot balances after a change; `delta` is set when it was not an order that moved them."""

    assets: tuple[str, ...]
    delta: Decimal | None = None


@dataclass(frozen=True, slots=True)
class WalletEvent:
    """A futures wallet or a position changed, with the venue's reason word (ORDER, FUNDING_FEE, DEPOSIT, WITHDRAW)."""

    reason: str
    assets: tuple[str, ...]
    symbols: tuple[str, ...]
    change: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class AlgoEvent:
    """A conditional order changed its state."""

    algo: AlgoOrder


Event = OrderEvent | SpotBalanceEvent | WalletEvent | AlgoEvent
Sink = Callable[[Account, Event], None]


@dataclass(slots=True)
class FundingState:
    """What a perp's next settlement looks like now."""

    predicted: Decimal
    next_ms: int
    interval_hours: int


def _nowhere(account: Account, event: Event) -> None:
    pass


class Venue:
    """Market time, prices and accounts of one exchange. Plain synchronous state without I/O."""

    def __init__(
        self,
        listed: Iterable[Key],
        accounts: Iterable[AccountSpec],
        start_ms: int,
        seed: int = 0,
        depth: DepthProfile | None = None,
        fees: FeeSchedule | None = None,
    ) -> None:
        wanted = set(listed)
        self.now_ms = start_ms
        self.fees = fees or FeeSchedule()
        self.instruments: dict[Key, Instrument] = {i.key: i for i in LISTED if i.key in wanted}
        unknown = wanted - set(self.instruments)
        if unknown:
            raise ValueError(
                f"the sandbox exchange does not list {sorted(unknown)}; it knows {[i.key for i in LISTED]}"
            )
        self.tiers: dict[str, Tiers] = {symbol: TIERS[symbol] for market, symbol in wanted if market in FUTURES}
        profile = depth or DepthProfile()
        self.books = {key: Book(instrument, profile, seed) for key, instrument in self.instruments.items()}
        self.marks: dict[str, Decimal] = {}
        self.index: dict[str, Decimal] = {}
        self.last_price: dict[Key, Decimal] = {}
        self.funding: dict[str, FundingState] = {}
        self.accounts: dict[str, Account] = {}
        for number, spec in enumerate(accounts, start=1):
            if spec.api_key in self.accounts:
                raise ValueError(f"two sandbox accounts share the API key {spec.api_key!r}")
            self.accounts[spec.api_key] = open_account(number, spec, start_ms, self.tiers)
        self.price_shift: dict[Key, Decimal] = {}
        self.sink: Sink = _nowhere
        self._order_ids = count(8_000_000_001)
        self._trade_ids = count(5_000_000_001)
        self._transaction_ids = count(900_000_001)

    def instrument(self, market: Market, symbol: str) -> Instrument:
        found = self.instruments.get((market, symbol))
        if found is None:
            raise invalid_symbol()
        return found

    def relist(self, instrument: Instrument) -> None:
        """Other filters or another status for a listed market, for its book and for what rests in it."""
        self.instruments[instrument.key] = instrument
        self.books[instrument.key].relist(instrument)
        for account in self.accounts.values():
            for order in account.of_market(instrument.market).store(instrument.market).resting(instrument.symbol):
                order.instrument = instrument

    def futures_accounts(self) -> Iterator[Account]:
        """Every account of every key; the main one of a key trades spot too."""
        for account in self.accounts.values():
            yield from account.futures

    def known(self, market: Market) -> list[str]:
        """What is listed, or was."""
        return [symbol for kind, symbol in self.instruments if kind == market]

    def symbols(self, market: Market) -> list[str]:
        """What is listed now."""
        return [symbol for (kind, symbol), row in self.instruments.items() if kind == market and row.listed]

    def open_book(self, instrument: Instrument, closed: Callable[[], RejectError]) -> Book:
        book = self.books[instrument.key]
        if not book.open:
            raise closed()
        return book

    def index_price(self, symbol: str) -> Decimal:
        """Of a perp: its coin's spot price, or the mark where no spot is listed."""
        return self.index.get(f"{CONTRACTS[symbol].base}USDT", self.marks[symbol])

    def next_order_id(self) -> int:
        return next(self._order_ids)

    def next_trade_id(self) -> int:
        return next(self._trade_ids)

    def next_transaction_id(self) -> int:
        return next(self._transaction_ids)
