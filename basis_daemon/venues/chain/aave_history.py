"""What Aave said at instants that have passed: the state after the last block before each, from a node that has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from web3.eth import AsyncEth

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.venues.chain.aave_reads import BASE_DIGITS, RAY_DIGITS, ask_reserve
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.endpoint import header_of, newest_header
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.seams import Questions
from basis_daemon.venues.chain.tokens import amount_of


@dataclass(frozen=True, slots=True)
class ReserveState:
    """One reserve after ``block``: indices, rates a year, all aTokens and all variable debt in tokens, oracle price."""

    asset: str
    block: BlockRef
    liquidity_index: Decimal
    debt_index: Decimal
    supply_rate: Decimal
    borrow_rate: Decimal
    supplied: Decimal
    debt: Decimal
    price: Decimal


class AaveHistory:
    """Reads the past of one market. Raises VenueUnreachableError, also where the node has let an old state go."""

    def __init__(self, rpc: RpcPool, book: AddressBook) -> None:
        self._rpc, self._book = rpc, book
        self._known: dict[int, BlockRef] = {}

    async def newest(self) -> datetime:
        """Time of the newest block: nothing later has happened yet."""
        return (await self._rpc.ask("newest block", newest_header)).block.time

    async def block_at(self, at: datetime) -> BlockRef | None:
        """The last block whose time is not after ``at``; None before the first block."""
        head = (await self._rpc.ask("newest block", newest_header)).block
        if head.time <= at:
            return head
        low, high = await self._block(0), head
        if low.time > at:
            return None
        while high.number - low.number > 1:
            middle = await self._block((low.number + high.number) // 2)
            low, high = (middle, high) if middle.time <= at else (low, middle)
        return low

    async def reserves_at(self, at: datetime, symbols: Sequence[str]) -> Sequence[ReserveState]:
        """These reserves at one block; none before the chain began. Raises ConfigError for an asset not listed."""
        block = await self.block_at(at)
        if block is None:
            return ()
        questions = Questions()
        asked = [ask_reserve(questions, self._book, symbol) for symbol in symbols]
        try:
            await questions.put(self._rpc, block)
        except VenueUnreachableError as error:
            why = f"{error}; a node without the state of block {block.number} cannot tell: name an archive node"
            raise VenueUnreachableError(why) from error
        return [
            ReserveState(
                asset=one.symbol,
                block=block,
                liquidity_index=amount_of(one.income.value, RAY_DIGITS),
                debt_index=amount_of(one.debt_index.value, RAY_DIGITS),
                supply_rate=amount_of(one.data.value[2], RAY_DIGITS),
                borrow_rate=one.borrow_rate,
                supplied=amount_of(one.made.value, one.decimals),
                debt=one.debt,
                price=amount_of(one.price.value, BASE_DIGITS),
            )
            for one in asked
        ]

    async def _block(self, number: int) -> BlockRef:
        if number not in self._known:

            async def ask(eth: AsyncEth) -> BlockRef:
                return header_of(await eth.get_block(number)).block

            self._known[number] = await self._rpc.ask(f"block {number}", ask)
        return self._known[number]
