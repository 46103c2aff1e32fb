"""One wallet on one chain, put together: endpoints and address book first, then what speaks for the wallet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import Clock, ExecutionInterface, Probe, TaskScope
from basis_daemon.venues.chain.account import AccountPolicy, ChainAccount
from basis_daemon.venues.chain.address_check import verified
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.atomic_bookings import GroupBookings
from basis_daemon.venues.chain.atomic_deploy import deploy_receiver
from basis_daemon.venues.chain.atomic_execution import AtomicExecutionInterface, GroupSetup
from basis_daemon.venues.chain.bookings import Recall
from basis_daemon.venues.chain.chain_execution import GWEI, ChainDesk, GasCaps
from basis_daemon.venues.chain.chain_transfer import TransferExecutionInterface
from basis_daemon.venues.chain.dex import DEXExecutionInterface
from basis_daemon.venues.chain.endpoint import ChainIdentity, EndpointOptions, newest_header
from basis_daemon.venues.chain.eye import ChainEye, Watch
from basis_daemon.venues.chain.feed import ChainFeed
from basis_daemon.venues.chain.gas import GasDesk
from basis_daemon.venues.chain.notes import Note
from basis_daemon.venues.chain.onchain import VENUES, OnChainExecutionInterface
from basis_daemon.venues.chain.own_moves import OwnMoves
from basis_daemon.venues.chain.rpc import PoolPolicy, RpcPool
from basis_daemon.venues.chain.signers import Signer
from basis_daemon.venues.chain.source import ChainAccountSource, accounts_in
from basis_daemon.venues.chain.transactions import TxJournal


@dataclass(frozen=True, slots=True)
class ChainOptions:
    """Where the chain is asked and by which book it is known; ``policy`` says how the wallet's transactions go."""

    endpoints: Sequence[EndpointOptions]
    book: AddressBook
    genesis_hash: str
    pool: PoolPolicy = field(default_factory=PoolPolicy)
    policy: AccountPolicy = field(default_factory=AccountPolicy)
    gas: GasCaps = field(default_factory=GasCaps)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain that answers and is the one that was meant; its book is confirmed by its own contracts."""

    options: ChainOptions
    rpc: RpcPool
    book: AddressBook

    @classmethod
    async def open(cls, options: ChainOptions, clock: Clock, scope: TaskScope, note: Note) -> Chain:
        """Raises ConfigError for another chain or a wrong address, VenueUnreachableError."""
        identity = ChainIdentity(options.book.chain_id, options.genesis_hash)
        rpc = RpcPool(options.endpoints, identity, clock, scope, options.pool, note)
        await rpc.start()
        newest = await rpc.ask("newest block", newest_header)
        return cls(options, rpc, await verified(rpc, newest.block, options.book))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a wallet needs of the daemon around it; ``booked`` and ``has_booked`` ask the ledger."""

    clock: Clock
    scope: TaskScope
    note: Note
    probe: Probe
    journal: TxJournal
    recall: Recall
    booked: Callable[[], Mapping[PositionKey, Decimal]]
    has_booked: Callable[[str], bool]


class ChainWallet:
    """Everything that speaks for one address: its accounts, the interfaces that take its orders, and its feed."""

    def __init__(self, chain: Chain, signer: Signer, keys: Iterable[PositionKey], around: Surroundings) -> None:
        """``keys`` are those that somebody declared: they say which accounts, reserves and e-modes are looked at."""
        keys = tuple(keys)
        self._chain, self._signer, self._around = chain, signer, around
        self._on_trade: Callable[[Trade], None] | None = None
        self._feed: ChainFeed | None = None
        self.accounts = accounts_in(keys)
        self.bookings = GroupBookings(chain.book, signer.address, around.clock, self._tell, around.recall)
        self.account = ChainAccount(
            signer, chain.rpc, around.journal, around.clock, self.bookings, chain.options.policy, around.probe,
            around.note,
        )  # fmt: skip
        gas = GasDesk(chain.rpc, chain.options.policy.fees)
        self.eye = ChainEye(
            chain.rpc, chain.book, self.account.address, watch_of(keys, chain.book), gas, around.clock, around.booked
        )
        own = OwnMoves(self.bookings, self.account.is_busy, around.has_booked)
        self.sources = [ChainAccountSource(name, self.eye, around.clock, around.booked, own) for name in self.accounts]

    def interfaces(self, on_trade: Callable[[Trade], None]) -> list[ExecutionInterface]:
        """Who executes orders at each venue of the chain; every trade is also told to ``on_trade``."""
        self._on_trade = on_trade
        desk = self._desk()
        found: list[ExecutionInterface] = [OnChainExecutionInterface(venue, desk) for venue in VENUES]
        return [*found, DEXExecutionInterface(desk), TransferExecutionInterface(desk)]

    def groups(self) -> AtomicExecutionInterface | None:
        """Who executes atomic groups; None on a network without a lender of flash loans."""
        if self._chain.book.aave_v3 is None:
            return None
        setup = GroupSetup(morpho=self._chain.book.second_lender, permits=self._signer)
        return AtomicExecutionInterface(self._desk(), self.bookings, setup)

    async def deploy_receiver(self) -> str:
        """The address of the contract that runs atomic groups, deployed if it was not. Raises as ``atomic_deploy``."""
        cap_wei = self._chain.options.gas.ordinary_gwei * GWEI
        book = self._chain.book
        return await deploy_receiver(self.account, self._chain.rpc, book, book.second_lender, cap_wei)

    def _desk(self) -> ChainDesk:
        return ChainDesk(self._chain.book, self.account, self._chain.rpc, self.bookings, self._chain.options.gas)

    def feed(self) -> ChainFeed:
        """Its heads and what they change."""
        around = self._around
        self._feed = ChainFeed(
            self.accounts, self._chain.rpc, self.eye, self.account, around.scope, around.clock, around.note
        )
        return self._feed

    def _tell(self, trade: Trade) -> None:
        if self._on_trade is not None:
            self._on_trade(trade)
        if self._feed is not None:
            self._feed.look_again()


QUOTED = Decimal(100)
"""Tokens that the pools are asked about: what a sale within a cycle may take."""
PRICED = ("USDT", "WETH")
"""Reserves that are always looked at: what is held is valued by the prices of their oracle."""


def watch_of(keys: Iterable[PositionKey], book: AddressBook) -> Watch:
    """What has to be read for whoever declared these keys."""
    if book.aave_v3 is None:
        return Watch()
    declared = {key.symbol for key in keys if key.venue == "aave_v3"}
    reserves = [symbol for symbol in book.aave.reserves if symbol in declared or symbol in PRICED]
    staked = {key.symbol: QUOTED for key in keys if key.kind is Kind.LST}
    emodes = {symbol: book.emode_of(symbol) for symbol in staked if symbol in declared}
    return Watch(tuple(reserves), {symbol: number for symbol, number in emodes.items() if number is not None}, staked)
