"""Tokens, the stand-ins of Lido and ether.fi at mature exchange rates, and the price feeds."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from web3 import Web3
from web3.contract import AsyncContract

from basis_daemon.sandbox.chain.compiler import Artefacts
from basis_daemon.sandbox.chain.node import Deployer

ETH = 10**18
ETH_USD = 2500
STETH_STAKED, STETH_RATE = 2_500_000, (12, 10)
EETH_STAKED, EETH_RATE = 1_000_000, (10668, 10000)
EETH_IN_POOL = 50_000
DAILY_STAKE_LIMIT, STAKE_LIMIT_PER_BLOCK = 150_000, 23
USDT_SUPPLY, EIGEN_SUPPLY = 4_000_000_000, 100_000_000
EIGEN_PRICE_WETH = Decimal("0.00053")


@dataclass(frozen=True, slots=True)
class Staking:
    """Everything that has a balance, and what prices it."""

    weth: AsyncContract
    usdt: AsyncContract
    eigen: AsyncContract
    steth: AsyncContract
    wsteth: AsyncContract
    queue: AsyncContract
    pool: AsyncContract
    eeth: AsyncContract
    weeth: AsyncContract
    request_nft: AsyncContract
    deposit_adapter: AsyncContract
    withdraw_adapter: AsyncContract
    feeds: dict[str, AsyncContract]

    @property
    def tokens(self) -> dict[str, AsyncContract]:
        return {
            "USDT": self.usdt, "WETH": self.weth, "stETH": self.steth, "wstETH": self.wsteth, "eETH": self.eeth,
            "weETH": self.weeth, "EIGEN": self.eigen,
        }  # fmt: skip


async def _lido(chain: Deployer, own: Artefacts) -> tuple[AsyncContract, AsyncContract, AsyncContract]:
    steth = await chain.deploy(own["StEth"])
    wsteth = await chain.deploy(own["WstEth"], steth.address)
    queue = await chain.deploy(own["WithdrawalQueue"], wsteth.address)
    await chain.send(steth.functions.setQueue(queue.address))
    await chain.send(steth.functions.submit(chain.owner), value=STETH_STAKED * ETH)
    numerator, denominator = STETH_RATE
    await chain.send(steth.functions.report(STETH_STAKED * ETH * numerator // denominator, 86400))
    await chain.send(steth.functions.setStakingLimit(DAILY_STAKE_LIMIT * ETH, STAKE_LIMIT_PER_BLOCK * ETH))
    half = STETH_STAKED * ETH * numerator // denominator * 6 // 10
    await chain.send(steth.functions.approve(wsteth.address, half))
    await chain.send(wsteth.functions.wrap(half))
    return steth, wsteth, queue


async def _ether_fi(
    chain: Deployer, own: Artefacts
) -> tuple[AsyncContract, AsyncContract, AsyncContract, AsyncContract]:
    pool = await chain.deploy(own["LiquidityPool"])
    eeth = chain.at(await pool.functions.eETH().call(), own["EEth"].abi)
    nft = chain.at(await pool.functions.withdrawRequestNFT().call(), own["WithdrawRequestNFT"].abi)
    weeth = await chain.deploy(own["WeEth"], pool.address)
    deposit = pool.get_function_by_signature("deposit()")
    await chain.send(deposit(), value=EETH_STAKED * ETH)
    await chain.send(pool.functions.stake((EETH_STAKED - EETH_IN_POOL) * ETH))
    numerator, denominator = EETH_RATE
    await chain.send(pool.functions.rebase(EETH_STAKED * ETH * numerator // denominator - EETH_STAKED * ETH))
    most = EETH_STAKED * ETH * 9 // 10
    await chain.send(eeth.functions.approve(weeth.address, most))
    await chain.send(weeth.functions.wrap(most))
    return pool, eeth, weeth, nft


async def build_staking(chain: Deployer, own: Artefacts, aave: Artefacts) -> Staking:
    """All of it, owned by the deployer, who also holds the first tokens."""
    weth = await chain.deploy(aave["WETH9"])
    usdt = await chain.deploy(own["Usdt"])
    await chain.send(usdt.functions.issue(chain.owner, USDT_SUPPLY * 10**6))
    eigen = await chain.deploy(own["MintableToken"], "Eigen", "EIGEN")
    await chain.send(eigen.functions.mint(chain.owner, EIGEN_SUPPLY * ETH))
    steth, wsteth, queue = await _lido(chain, own)
    pool, eeth, weeth, nft = await _ether_fi(chain, own)
    eth_usd = await chain.deploy(own["PriceFeed"], "ETH / USD", ETH_USD * 10**8)
    feeds = {
        "WETH": eth_usd,
        "USDT": await chain.deploy(own["PriceFeed"], "USDT / USD", 10**8),
        "wstETH": await _ratio_feed(chain, own, "wstETH / USD", eth_usd, wsteth, "stEthPerToken()"),
        "weETH": await _ratio_feed(chain, own, "weETH / USD", eth_usd, weeth, "getRate()"),
    }
    into, out_of = [await chain.deploy(own[name], weeth.address) for name in ("DepositAdapter", "WeETHWithdrawAdapter")]
    return Staking(weth, usdt, eigen, steth, wsteth, queue, pool, eeth, weeth, nft, into, out_of, feeds)


async def _ratio_feed(
    chain: Deployer, own: Artefacts, name: str, base: AsyncContract, issuer: AsyncContract, rate: str
) -> AsyncContract:
    return await chain.deploy(own["RatioFeed"], name, base.address, issuer.address, Web3.keccak(text=rate)[:4])
