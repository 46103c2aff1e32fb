"""Everything that may be made to happen to the sandbox chain."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from eth_typing import ChecksumAddress

from basis_daemon.sandbox.chain.issuer_controls import PAUSABLE, IssuerControls
from basis_daemon.sandbox.chain.lending_controls import LendingControls
from basis_daemon.sandbox.chain.market_controls import MarketControls
from basis_daemon.sandbox.chain.node import Web3, rpc
from basis_daemon.sandbox.chain.restaking_controls import RestakingControls
from basis_daemon.sandbox.chain.steering import base_units
from basis_daemon.sandbox.chain.world import BASE_FEE_WEI, Prepared

BLOCKS_PER_CALL = 100


class ChainControls(LendingControls, IssuerControls, MarketControls, RestakingControls):
    """The protocols' controls, and those of the chain itself: blocks, time, reorganisations, fees, funds."""

    def __init__(self, client: Web3, prepared: Prepared, owner: ChecksumAddress) -> None:
        super().__init__(client, prepared, owner)
        self._base_fee_wei, self._fees = BASE_FEE_WEI, asyncio.Lock()

    @classmethod
    async def of(cls, client: Web3, prepared: Prepared) -> ChainControls:
        """Controls by the node's first account, which built and owns the world."""
        return cls(client, prepared, (await client.eth.accounts)[0])

    async def pause(self, target: str, *, on: bool) -> None:
        """A reserve by its symbol, or an issuer: `lido` (all of stETH), `lido_staking`, `lido_queue`, `etherfi`."""
        await (self.pause_issuer if target in PAUSABLE else self.pause_reserve)(target, on=on)

    async def mine(self, blocks: int = 1) -> int:
        """Empty or not, so many blocks; returns the head's number. In small calls: large ones take a node down.

        The first has the base fee that `gas` said last. Were it left to fall through many blocks, it would leap when
        next it is held, as no chain's does.
        """
        await self.hold_base_fee()
        while blocks > 0:
            await rpc(self.client, "anvil_mine", hex(min(blocks, BLOCKS_PER_CALL)))
            blocks -= BLOCKS_PER_CALL
        return await self.client.eth.block_number

    async def advance(self, seconds: int) -> int:
        """Chain time moves on, in one block; returns its number."""
        await rpc(self.client, "evm_increaseTime", seconds)
        return await self.mine()

    async def reach(self, at_s: int) -> int:
        """Chain time is at least ``at_s`` (Unix seconds), by one block where it was not; the head's number."""
        head = await self.client.eth.get_block("latest")
        if head["timestamp"] >= at_s:
            return head["number"]
        await rpc(self.client, "evm_setNextBlockTimestamp", at_s)
        return await self.mine()

    async def reorg(self, depth: int) -> str:
        """The last ``depth`` blocks are replaced by empty ones of the same numbers; the new head's hash."""
        hidden = (await self.client.eth.get_block("latest"))["hash"]
        await rpc(self.client, "anvil_setCoinbase", hidden[:20].to_0x_hex())  # or an empty block would be mined again
        await rpc(self.client, "anvil_reorg", depth, [])
        return (await self.client.eth.get_block("latest"))["hash"].to_0x_hex()

    async def gas(self, base_fee_gwei: Decimal) -> None:
        """The base fee of a block mined now, and of those that are mined here after it."""
        self._base_fee_wei = base_units(base_fee_gwei, 9)
        await self.mine()

    async def hold_base_fee(self) -> None:
        """The next block has the base fee that `gas` said last."""
        async with self._fees:  # one at a time, or an older word could reach the node after a newer one
            await rpc(self.client, "anvil_setNextBlockBaseFeePerGas", hex(self._base_fee_wei))

    async def fund(self, account: str, **amounts: Decimal | int) -> None:
        """Give whole tokens (``USDT=1000``), and ``ETH`` on top of what is there."""
        tokens = self.world["tokens"]
        if unknown := amounts.keys() - tokens.keys() - {"ETH"}:
            raise ValueError(f"fund: ETH or one of {', '.join(tokens)}, found {', '.join(sorted(unknown))}")
        address = self.client.to_checksum_address(account)
        for symbol, amount in amounts.items():
            if symbol == "ETH":
                held = await self.client.eth.get_balance(address)
                await rpc(self.client, "anvil_setBalance", address, hex(held + base_units(amount, 18)))
                continue
            units = base_units(amount, self.world["tokens"][symbol]["decimals"])
            await self.act(self.contracts.token(symbol).functions.transfer(address, units))
