"""What one owner sees of its chain: everything at one block, read once for all who ask.

Balances, figures and market of a block belong together: whoever is shown two of them is shown one state of the chain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from basis_daemon.domain.chain import BlockRef, ChainEvent, ClaimReport, GasTick
from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.position import AccountFigures
from basis_daemon.ports import Clock
from basis_daemon.venues.chain.aave_reads import read_account, read_emode, read_reserves
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.endpoint import Header, newest_header
from basis_daemon.venues.chain.gas import GasDesk
from basis_daemon.venues.chain.heads import Head
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.staking_reads import read_lst
from basis_daemon.venues.chain.tokens import AAVE, ETH, WALLET
from basis_daemon.venues.chain.wallet_reads import (
    read_etherfi_claims,
    read_lido_claims,
    read_payable,
    read_restaked,
    read_wallet,
)

LIDO, ETHERFI, EIGENLAYER = "lido", "etherfi", "eigenlayer"


@dataclass(frozen=True, slots=True)
class Watch:
    """What is looked at: symbols of reserves, for each collateral the e-mode it is read in, and staking tokens.

    ``staked`` names for each how many tokens the pools are asked about.
    """

    reserves: tuple[str, ...] = ()
    emodes: Mapping[str, int] = field(default_factory=dict)
    staked: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sight:
    """What the owner holds at one block, in whole units by key, zeros too; ``asked`` are the claims asked about."""

    block: BlockRef
    held: Mapping[PositionKey, Decimal]
    asked: tuple[int, ...] = ()


class ChainEye:
    """Reads for one owner. ``held`` is what the book knows of its accounts: some claims cannot be listed by owner."""

    def __init__(
        self,
        rpc: RpcPool,
        book: AddressBook,
        owner: str,
        watch: Watch,
        gas: GasDesk,
        clock: Clock,
        held: Callable[[], Mapping[PositionKey, Decimal]],
    ) -> None:
        self.book, self.owner = book, owner
        self._rpc, self._watch, self._gas, self._clock, self._held = rpc, watch, gas, clock, held
        self._head: Header | None = None
        self._sight: Sight | None = None
        self._lock = asyncio.Lock()

    def on_head(self, head: Head) -> None:
        """A ``HeadSink``."""
        self._head = head.header

    async def newest(self) -> Header:
        """The newest block that was told of. Raises VenueUnreachableError before any was."""
        if self._head is None:
            self._head = await self._rpc.ask("newest block", newest_header)
        return self._head

    async def look(self, block: BlockRef) -> Sight:
        """The owner at this block; read once, and confirmed by a second endpoint where there is one.

        Read again when the book knows of other claims: who looked before a request was booked has not seen it. Raises
        VenueUnreachableError: a part of the picture is no picture.
        """
        async with self._lock:
            asked = tuple(self._claims_at(ETHERFI))
            if self._sight is None or (self._sight.block.hash, self._sight.asked) != (block.hash, asked):
                self._sight = await self._read(block, asked)
            return self._sight

    async def market(self) -> tuple[ChainEvent, ...]:
        """Everything that is watched, at the newest block. Raises VenueUnreachableError."""
        header, now_ns = await self.newest(), self._clock.monotonic_ns()
        block, book = header.block, self.book
        events: list[ChainEvent] = []
        if self._watch.reserves:
            events += await read_reserves(self._rpc, block, book, self._watch.reserves, now_ns)
        for symbol, size in self._watch.staked.items():
            events.append(await read_lst(self._rpc, block, book, symbol, size, now_ns))
        for collateral, category in self._watch.emodes.items():
            events.append(await read_emode(self._rpc, block, book, category, collateral, now_ns))
        fees = await self._gas.fresh(header)
        events.append(GasTick(ETH, block, now_ns, header.base_fee_wei, fees.tip_wei))
        return tuple(events)

    async def figures(self, accounts: Iterable[str]) -> tuple[AccountFigures, ...]:
        """What the protocols say of these accounts at the newest block, by one endpoint's word, as prices are.

        A second endpoint is often a block behind: waiting for it, no head would be read in time. What is booked is
        confirmed. Raises VenueUnreachableError.
        """
        block, book = (await self.newest()).block, self.book
        owed = await self._owed(block)
        payable = await read_payable(self._rpc, block, book, owed)
        claims = {key: ClaimReport(key, block, amount, key in payable) for key, amount in owed.items()}
        told = []
        for name in accounts:
            lending = (await read_account(self._rpc, block, book, self.owner)).report if name == AAVE else None
            own = {key: claim for key, claim in claims.items() if key.venue == name}
            told.append(AccountFigures(name, block.time, lending, own))
        return tuple(told)

    async def _owed(self, block: BlockRef) -> Mapping[PositionKey, Decimal]:
        """The requests that the book knows of, at what their issuers owe for them now."""
        issuers = {key.venue for key, held in self._held().items() if held and key.kind is Kind.CLAIM}
        found: dict[PositionKey, Decimal] = {}
        if LIDO in issuers:
            found |= await read_lido_claims(self._rpc, block, self.book, self.owner)
        if ETHERFI in issuers:
            numbers = self._claims_at(ETHERFI)
            found |= await read_etherfi_claims(self._rpc, block, self.book, self.owner, numbers)
        if EIGENLAYER in issuers:
            found |= await read_restaked(self._rpc, block, self.book, self.owner)
        return {key: amount for key, amount in found.items() if key.kind is Kind.CLAIM and amount}

    async def _read(self, block: BlockRef, asked: tuple[int, ...]) -> Sight:
        reader = _Confirmed(self._rpc)
        held = dict(await read_wallet(reader, block, self.book, self.owner))
        if self.book.aave_v3 is not None:
            held |= (await read_account(reader, block, self.book, self.owner)).balances
        if self.book.lido is not None:
            held |= await read_lido_claims(reader, block, self.book, self.owner)
        if self.book.etherfi is not None:
            held |= await read_etherfi_claims(reader, block, self.book, self.owner, asked)
        if self.book.eigenlayer is not None:
            held |= await read_restaked(reader, block, self.book, self.owner)
        return Sight(block, held, asked)

    def _claims_at(self, venue: str) -> list[int]:
        keys = self._held()
        return [int(key.symbol) for key in keys if key.venue == venue and key.kind is Kind.CLAIM]


class _Confirmed:
    """A reader whose every answer two endpoints gave alike, where two are configured."""

    def __init__(self, rpc: RpcPool) -> None:
        self._rpc = rpc
        self.call_at = rpc.confirmed_read


COVERED: Mapping[str, frozenset[Kind]] = {
    WALLET: frozenset({Kind.TOKEN, Kind.LST}),
    AAVE: frozenset({Kind.ATOKEN, Kind.VDEBT}),
    LIDO: frozenset({Kind.CLAIM}),
    ETHERFI: frozenset({Kind.CLAIM}),
    EIGENLAYER: frozenset({Kind.SHARE, Kind.CLAIM}),
}
"""What a report of each account speaks for."""


def part_of(sight: Sight, account: str) -> Mapping[PositionKey, Decimal]:
    """What of it lies at one account; raises VenueUnreachableError for an account that is not read."""
    if account not in COVERED:
        raise VenueUnreachableError(f"account {account}: nothing is read of it, expected one of {', '.join(COVERED)}")
    return {key: amount for key, amount in sight.held.items() if key.venue == account}
