"""Prices of the sandbox chain: what the oracle says, and where the pools stand."""

from __future__ import annotations

from decimal import Decimal

from web3.contract import AsyncContract

from basis_daemon.sandbox.chain.build_dex import FOREVER, POOLS, is_token0, sqrt_price_x96
from basis_daemon.sandbox.chain.build_staking import EIGEN_PRICE_WETH
from basis_daemon.sandbox.chain.steering import ISSUERS, WAD, Steering, base_units

EVERYTHING = 2**256 - 1


class MarketControls(Steering):
    """The oracle and the pools."""

    async def price(self, token: str, *, usd: Decimal | None = None, factor: Decimal | None = None) -> None:
        """The oracle's price: US dollars for WETH and USDT, a factor on the issuer's rate for staking tokens."""
        symbol = self._priced(token)
        if symbol in ISSUERS:
            if factor is None or usd is not None:
                raise ValueError(f"price of {symbol}: a factor on its issuer's rate, for example 0.96")
            await self.act(self.contracts.at("RatioFeed", "feeds", symbol).functions.setFactor(base_units(factor, 18)))
            return
        if usd is None or factor is not None:
            raise ValueError(f"price of {symbol}: usd, for example 2500")
        await self.act(self.contracts.at("PriceFeed", "feeds", symbol).functions.setAnswer(base_units(usd, 8)))

    async def fair_price(self, pool: str) -> Decimal:
        """Whole quote tokens per whole token: the feeds' for WETH/USDT, the issuer's rate for staking tokens."""
        base, _, quote = pool.partition("/")
        if base in ISSUERS:
            return Decimal(await self.rate_wad(ISSUERS[base])) / WAD
        if base == "EIGEN":
            return EIGEN_PRICE_WETH
        both = [self.contracts.at("PriceFeed", "feeds", s).functions.latestAnswer() for s in (base, quote)]
        return Decimal(await both[0].call()) / Decimal(await both[1].call())

    async def pool_price(self, pool: str, factor: Decimal) -> None:
        """A whale swaps until the pool stands at ``factor`` times the fair price."""
        found = {f"{plan.token}/{plan.quote}": plan for plan in POOLS}.get(pool)
        if found is None:
            raise ValueError(f"pool_price: one of {', '.join(f'{p.token}/{p.quote}' for p in POOLS)}, found {pool!r}")
        token, quote = self.contracts.token(found.token), self.contracts.token(found.quote)
        decimals = {symbol: row["decimals"] for symbol, row in self.world["tokens"].items()}
        price = await self.fair_price(pool) * factor * Decimal(10) ** (decimals[found.quote] - decimals[found.token])
        is_first = is_token0(token, quote)
        target = sqrt_price_x96(price if is_first else 1 / price)
        address = self._pool_address({found.token, found.quote})
        now = (await self.contracts.named("UniswapV3Pool", address).functions.slot0().call())[0]
        if target != now:
            sold, bought = (token, quote) if (target < now) == is_first else (quote, token)
            await self._swap(sold, bought, found.fee, target)

    async def ether(self, usdt: Decimal) -> None:
        """Ether costs so many USDT: the oracle says so, and the pool stands there."""
        dollars = await self.contracts.at("PriceFeed", "feeds", "USDT").functions.latestAnswer().call()
        await self.price("WETH", usd=usdt * Decimal(dollars).scaleb(-8))
        await self.pool_price("WETH/USDT", Decimal(1))

    def _pool_address(self, pair: set[str]) -> str:
        pools = self.world["uniswap_v3"]["pools"]
        return next(str(row["address"]) for row in pools if {row["token0"], row["token1"]} == pair)

    async def _swap(self, sold: AsyncContract, bought: AsyncContract, fee: int, limit: int) -> None:
        router = self.contracts.at("SwapRouter", "uniswap_v3", "router")
        owner = self._operator.owner
        amount = await sold.functions.balanceOf(owner).call()
        if await sold.functions.allowance(owner, router.address).call() < amount:
            await self.act(sold.functions.approve(router.address, 0))
            await self.act(sold.functions.approve(router.address, EVERYTHING))
        order = (sold.address, bought.address, fee, owner, FOREVER, amount, 0, limit)
        await self.act(router.functions.exactInputSingle(order))
