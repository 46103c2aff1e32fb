"""What a group's compiler must know of the chain, read at one block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.venues.chain.abi import function
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.atomic import MULTICALL, Scene
from basis_daemon.venues.chain.atomic_flash import Lender, LenderName
from basis_daemon.venues.chain.atomic_legs import wei
from basis_daemon.venues.chain.atomic_receiver import WETH
from basis_daemon.venues.chain.dex import quotes
from basis_daemon.venues.chain.erc20 import ALLOWANCE, BALANCE_OF, Allowance
from basis_daemon.venues.chain.prepared import Situation
from basis_daemon.venues.chain.seams import PinnedReader, Questions
from basis_daemon.venues.chain.tokens import WRAPPED_STAKE

GET_USER_EMODE = function("getUserEMode(address) -> (uint256)")
FLASH_FEE = function("FLASHLOAN_PREMIUM_TOTAL() -> (uint128)")
IDLE = function("getVirtualUnderlyingBalance(address) -> (uint128)")


@dataclass(frozen=True, slots=True)
class SceneReader:
    """Reads for one owner; ``morpho`` is the second lender, None where the network has none."""

    reader: PinnedReader
    book: AddressBook
    owner: str
    morpho: str | None = None

    async def read(self, block: BlockRef, orders: Sequence[Order]) -> Scene:
        """The scene of a group. Raises VenueUnreachableError for any answer that is missing."""
        pool, weth = self.book.aave.pool, self.book.token(WETH).address
        asked = Questions()
        emode = asked.ask(GET_USER_EMODE, pool, self.owner)
        several = asked.ask(MULTICALL, pool, [])
        fee, idle = asked.ask(FLASH_FEE, pool), asked.ask(IDLE, pool, weth)
        deep = asked.ask(BALANCE_OF, weth, self.morpho) if self.morpho is not None else None
        held = {
            symbol: asked.ask(BALANCE_OF, self.book.reserve(symbol).atoken, self.owner) for symbol in _tokens(orders)
        }
        await asked.put(self.reader, block)
        lenders = [Lender(LenderName.AAVE, fee.value, idle.value)]
        if deep is not None:
            lenders.append(Lender(LenderName.MORPHO, 0, deep.value))
        return Scene(
            emode=emode.value,
            has_multicall=several.is_answered,
            lenders=tuple(lenders),
            collateral={symbol: slot.value for symbol, slot in held.items()},
            pool_fee=await self._best_pool(block, orders),
        )

    async def _best_pool(self, block: BlockRef, orders: Sequence[Order]) -> int | None:
        """Of the group's swap, where it has one; a route names the pool by its fee."""
        wanted = next((order for order in orders if order.operation is OrderOperation.SWAP), None)
        if wanted is None or wanted.token_in is None or wanted.token_out is None:
            return None
        at = Situation(self.book, self.owner, self.reader, block)
        found = await quotes(at, wanted.token_in.symbol, wanted.token_out.symbol, wei(wanted))
        return next((quote.fee for quote in found if not wanted.route or (str(quote.fee),) == wanted.route), None)

    async def missing(self, block: BlockRef, needs: Sequence[Allowance]) -> tuple[tuple[Allowance, int], ...]:
        """Allowances that do not stand exactly as needed, and what stands. Raises VenueUnreachableError."""
        asked = Questions()
        slots = [(need, asked.ask(ALLOWANCE, need.token, self.owner, need.spender)) for need in needs]
        await asked.put(self.reader, block)
        return tuple((need, slot.value) for need, slot in slots if slot.value != need.units)


def _tokens(orders: Sequence[Order]) -> frozenset[str]:
    named = {key.symbol for order in orders for key in (order.token_in, order.token_out) if key is not None}
    return frozenset(named & WRAPPED_STAKE)
