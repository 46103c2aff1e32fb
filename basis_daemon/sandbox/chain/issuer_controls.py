"""Lido and ether.fi on the sandbox chain: what their oracles report, what their queues pay."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial

from web3.contract import AsyncContract
from web3.contract.async_contract import AsyncContractFunction

from basis_daemon.sandbox.chain.node import rpc
from basis_daemon.sandbox.chain.steering import RAY, Steering

PAUSABLE = ("lido", "lido_staking", "lido_queue", "etherfi")
PAUSE_S = 86_400
Call = Callable[[], AsyncContractFunction]


class IssuerControls(Steering):
    """Rebases, finalisations, pauses of the issuers."""

    async def rebase(self, protocol: str, factor: Decimal) -> None:
        """The issuer's oracle reports: every share stands for ``factor`` times what it did, below one for a loss."""
        if protocol == "lido":
            steth = self.contracts.at("StEth", "lido", "steth")
            total = await steth.functions.getTotalPooledEther().call()
            await self.act(steth.functions.report(int(total * factor), 86400))
            return
        pool = self._ether_fi(protocol)
        total = await pool.functions.getTotalPooledEther().call()
        await self.act(pool.functions.rebase(int(total * factor) - total))

    async def finalize(self, protocol: str, discount: Decimal = Decimal(0)) -> int:
        """All open withdrawal requests become claimable; returns the last id.

        Lido pays at most today's rate less ``discount``; ether.fi knows no discount, a rebase below one has its effect.
        """
        if protocol == "lido":
            return await self._finalize_lido(discount)
        pool = self._ether_fi(protocol)
        if discount:
            raise ValueError("finalize etherfi: no discount; a rebase below 1 makes its claims worth less")
        nft = self.contracts.at("WithdrawRequestNFT", "etherfi", "withdraw_request_nft")
        last = await nft.functions.nextRequestId().call() - 1
        wanted = await self.contracts.token("eETH").functions.balanceOf(nft.address).call()
        home = {"from": self._operator.owner, "to": pool.address, "value": hex(wanted)}
        if wanted:
            await rpc(self.client, "eth_sendTransaction", home)
            await rpc(self.client, "evm_mine")
        await self.act(pool.functions.finalizeRequests(last))
        return int(last)

    async def _finalize_lido(self, discount: Decimal) -> int:
        queue = self.contracts.at("WithdrawalQueue", "lido", "withdrawal_queue")
        steth = self.contracts.at("StEth", "lido", "steth")
        last = await queue.functions.getLastRequestId().call()
        if last == await queue.functions.getLastFinalizedRequestId().call():
            return int(last)
        await self.act(steth.functions.receiveWithdrawals(), value=await queue.functions.unfinalizedStETH().call())
        pooled, shares = [
            await f.call() for f in (steth.functions.getTotalPooledEther(), steth.functions.getTotalShares())
        ]
        rate = int(Decimal(pooled * RAY // shares) * (1 - discount))
        await self.act(steth.functions.finalizeWithdrawals(last, rate))
        return int(last)

    def _ether_fi(self, protocol: str) -> AsyncContract:
        if protocol != "etherfi":
            raise ValueError(f"protocol: lido or etherfi, found {protocol!r}")
        return self.contracts.at("LiquidityPool", "etherfi", "liquidity_pool")

    async def pause_issuer(self, target: str, *, on: bool) -> None:
        """Pause `lido` (all of stETH), `lido_staking`, `lido_queue` or `etherfi`, or let it run again."""
        steth = self.contracts.at("StEth", "lido", "steth").functions
        queue = self.contracts.at("WithdrawalQueue", "lido", "withdrawal_queue").functions
        pool = self._ether_fi("etherfi").functions
        paused: dict[str, Call] = {
            "lido": steth.stop,
            "lido_staking": steth.pauseStaking,
            "lido_queue": partial(queue.pauseFor, PAUSE_S),
            "etherfi": pool.pauseContract,
        }
        running: dict[str, Call] = {
            "lido": steth.resume,
            "lido_staking": steth.resumeStaking,
            "lido_queue": queue.resume,
            "etherfi": pool.unPauseContract,
        }
        await self.act((paused if on else running)[target]())
