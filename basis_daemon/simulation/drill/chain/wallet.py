"""The daemon's own wallet on a drilled chain: its nonces, rebroadcasts, bookings and feed; only the codec is left out.

An order is its own calldata. Everything between the signature and the booking, and its undoing, is what a living daemon
runs: pool of endpoints, transaction log, tracker, heads, reports and accruals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from pydantic import SecretStr

from basis_daemon.domain.market import MarketEvent
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Clock, ExecutionInterface, Feed, Journal, Probe, TaskScope, TradeSink
from basis_daemon.simulation.chain.operations import TABLE
from basis_daemon.simulation.drill.chain.bookings import DrillBookings, DrillEye
from basis_daemon.simulation.drill.chain.endpoint import address_book, pool_of
from basis_daemon.simulation.drill.chain.node import ChainNode
from basis_daemon.simulation.drill.chance import Chance
from basis_daemon.simulation.drill.hedge.ends import DrillWalletEnd
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.venues.chain.abi import Call
from basis_daemon.venues.chain.account import AccountPolicy, ChainAccount, TxHandle
from basis_daemon.venues.chain.atomic_execution import AtomicExecutionInterface
from basis_daemon.venues.chain.chain_execution import ChainDesk, ChainExecution
from basis_daemon.venues.chain.feed import ChainFeed
from basis_daemon.venues.chain.notes import Note
from basis_daemon.venues.chain.own_moves import OwnMoves
from basis_daemon.venues.chain.prepared import Prepared, Situation
from basis_daemon.venues.chain.signers import KeySigner
from basis_daemon.venues.chain.source import ChainAccountSource, accounts_in
from basis_daemon.venues.chain.tokens import WALLET
from basis_daemon.venues.chain.tracker import TrackPolicy
from basis_daemon.wiring_book import Routes, Venue
from basis_daemon.wiring_transactions import BookedTrades, TransactionJournal

CONFIRMATIONS = 4
"""One block more than are ever taken back."""
TARGET = "0x" + "c0" * 20
NETWORK = "drilled"


@cache
def signer() -> KeySigner:
    """Of play money, the same in every seed."""
    return KeySigner(SecretStr("0x" + sha256(b"a drill").hexdigest()))


@dataclass(frozen=True, slots=True)
class Post:
    """One life's way to the chain."""

    node: ChainNode
    chance: Chance
    is_dead: Callable[[], bool]
    clock: Clock
    scope: TaskScope
    note: Note
    probe: Probe
    past: Sequence[MarketEvent]


class _Groups(AtomicExecutionInterface):
    """Atomic groups: one calldata names all orders."""

    def __init__(self, desk: ChainDesk, bookings: DrillBookings, node: ChainNode) -> None:
        ChainExecution.__init__(self, "atomic", {}, desk)
        self._bookings, self._node = bookings, node

    async def _begin(self, orders: Sequence[Order]) -> TxHandle:
        return await self._submit(orders[0], orders[0].order_id, _call(self._node, orders))


class _Feed(ChainFeed):
    """The daemon's own, with a past: a strategy of the drill has seen what it needs."""

    past: Sequence[MarketEvent] = ()

    async def history(self) -> Sequence[MarketEvent]:
        return self.past


def chain_venue(post: Post, strategies: Sequence[BookStrategy], recorder: Recorder, journal: Journal) -> Venue:
    """The wallet as the engine needs it."""
    node, clock = post.node, post.clock
    rpc = pool_of(node, post.chance, post.is_dead, clock, post.scope, post.note)
    feeds: list[ChainFeed] = []
    sinks: list[TradeSink] = []

    def tell(trade: Trade) -> None:
        for sink in sinks:
            sink(trade)
        for feed in feeds:
            feed.look_again()

    transactions = TransactionJournal(recorder, journal)
    bookings = DrillBookings(node, address_book(), clock, tell, BookedTrades(journal))
    policy = AccountPolicy(track=TrackPolicy(confirmations=CONFIRMATIONS, rarely=post.chance.rarely))
    account = ChainAccount(signer(), rpc, transactions, clock, bookings, policy, post.probe, post.note)
    ledger = recorder.state.ledger
    eye = DrillEye(rpc, address_book(), node.address, clock, ledger.holdings)
    accounts = accounts_in(key for strategy in strategies for key in strategy.declared_keys)
    own = OwnMoves(bookings, account.is_busy, ledger.has)
    desk = ChainDesk(address_book(), account, rpc, bookings)

    def routes(on_trade: TradeSink) -> Routes:
        sinks.append(on_trade)
        return [(interface.account, interface) for interface in _interfaces(desk, node)]

    def feed(_: TaskScope) -> Feed:
        made = _Feed(accounts, rpc, eye, account, post.scope, clock, post.note)
        made.past = post.past
        feeds.append(made)
        return made

    return Venue(
        sources=[ChainAccountSource(name, eye, clock, ledger.holdings, own) for name in accounts],
        routes=routes,
        feed=feed,
        dead_men=dict,
        groups=_Groups(desk, bookings, node),
        chain=NETWORK,
        wallet=DrillWalletEnd(rpc, address_book(), node.address, account.signed_for),
        needed_from=transactions.needed_from,
    )


def _interfaces(desk: ChainDesk, node: ChainNode) -> list[ExecutionInterface]:
    async def prepare(order: Order, at: Situation) -> Prepared:
        del at
        return Prepared(_call(node, [order]))

    doors = [ChainExecution(venue, dict.fromkeys(table, prepare), desk) for venue, table in TABLE.items()]
    return [*doors, ChainExecution(WALLET, {OrderOperation.TRANSFER: prepare}, desk)]


def _call(node: ChainNode, orders: Sequence[Order]) -> Call:
    data = orders[0].order_id.encode()
    node.orders.setdefault(data, tuple(orders))
    return Call(TARGET, data)
