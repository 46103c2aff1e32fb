"""Everybody else at the lending market: one large supplier, one large borrower against staking tokens."""

from __future__ import annotations

from dataclasses import dataclass

from eth_typing import ChecksumAddress

from basis_daemon.sandbox.chain.build_lending import Lending
from basis_daemon.sandbox.chain.build_staking import ETH, Staking
from basis_daemon.sandbox.chain.node import Deployer

WETH_SUPPLIED, WETH_BORROWED = 600_000, 520_000
USDT_SUPPLIED, USDT_BORROWED = 500_000_000, 450_000_000
WSTETH_COLLATERAL, WEETH_COLLATERAL = 900_000, 100_000
VARIABLE_RATE = 2
BORROWER = 2
"""Its place among the node's accounts."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who supplies and who borrows; both accounts belong to the node."""

    chain: Deployer
    staking: Staking
    lending: Lending

    async def arrive(self, supplier: ChecksumAddress, borrower: ChecksumAddress) -> None:
        """Bring WETH to 2.6 % a year for borrowers and USDT to 5 % for suppliers."""
        await self._supply("WETH", WETH_SUPPLIED * ETH, supplier)
        await self._supply("USDT", USDT_SUPPLIED * 10**6, supplier)
        await self._supply("wstETH", WSTETH_COLLATERAL * ETH, borrower)
        await self._supply("weETH", WEETH_COLLATERAL * ETH, borrower)
        await self._borrow("WETH", WETH_BORROWED * ETH, borrower)
        await self._borrow("USDT", USDT_BORROWED * 10**6, borrower)

    async def _supply(self, symbol: str, amount: int, account: ChecksumAddress) -> None:
        token, pool = self.staking.tokens[symbol], self.lending.pool
        await self.chain.send(token.functions.approve(pool.address, amount))
        await self.chain.send(pool.functions.supply(token.address, amount, account, 0))

    async def _borrow(self, symbol: str, amount: int, account: ChecksumAddress) -> None:
        token = self.staking.tokens[symbol]
        borrow = self.lending.pool.functions.borrow(token.address, amount, VARIABLE_RATE, 0, account)
        await self.chain.send(borrow, sender=account)
