"""Uniswap V3 from its own artefacts: factory, router, quoter and four pools with deep liquidity at the fair price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext
from pathlib import Path

from web3.contract import AsyncContract

from basis_daemon.sandbox.chain.compiler import Artefacts, shipped
from basis_daemon.sandbox.chain.node import Deployer

FOREVER = 2**63
NOBODY = "0x" + "00" * 20
TICK_MAX = 887_272
TICK_BASE = Decimal("1.0001")
TICK_SPACING = {100: 1, 500: 10, 3000: 60}
LOWEST_FEE = 100


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """A pool of ``token`` against ``quote``; half of ``depth`` (whole quote tokens) lies on either side of the price.

    The band holds nearly all of it within ``band`` of the price; a thin rest covers every price.
    """

    token: str
    quote: str
    fee: int
    depth: int
    band: Decimal


POOLS = (
    PoolPlan("WETH", "USDT", 500, 300_000_000, Decimal("0.75")),
    PoolPlan("wstETH", "WETH", 100, 40_000, Decimal("0.02")),
    PoolPlan("weETH", "WETH", 100, 40_000, Decimal("0.02")),
    PoolPlan("EIGEN", "WETH", 3000, 2_000, Decimal("0.5")),
)
EVERYWHERE_SHARE = Decimal("0.02")


@dataclass(frozen=True, slots=True)
class Dex:
    """The contracts, and each pool's address with its plan."""

    factory: AsyncContract
    router: AsyncContract
    quoter: AsyncContract
    manager: AsyncContract
    pools: tuple[tuple[PoolPlan, AsyncContract], ...]


@dataclass(frozen=True, slots=True)
class Side:
    """A token as a pool sees it."""

    contract: AsyncContract
    decimals: int


def sqrt_price_x96(price: Decimal) -> int:
    """Uniswap's fixed-point square root of a price in base units of token1 per base unit of token0."""
    with localcontext() as exact:
        exact.prec = 60
        return int((price.sqrt() * 2**96).to_integral_value(ROUND_FLOOR))


def tick_at(price: Decimal, spacing: int) -> int:
    """The last usable tick at or below a price."""
    with localcontext() as exact:
        exact.prec = 60
        tick = int((price.ln() / TICK_BASE.ln()).to_integral_value(ROUND_FLOOR))
    return tick // spacing * spacing


def is_token0(token: AsyncContract, other: AsyncContract) -> bool:
    """Whether the pool of both sorts ``token`` first."""
    return int(token.address, 16) < int(other.address, 16)


def raw_price(token: Side, quote: Side, price: Decimal) -> Decimal:
    """Token1 per token0 in base units, from whole quote tokens per whole token."""
    scaled = price * Decimal(10) ** (quote.decimals - token.decimals)
    return scaled if is_token0(token.contract, quote.contract) else 1 / scaled


def dex_artefacts(modules: Path) -> Artefacts:
    """Uniswap's own artefacts: the pool's code must be theirs, or its address is not what the periphery computes."""
    core, periphery = modules / "@uniswap/v3-core/artifacts", modules / "@uniswap/v3-periphery/artifacts"
    places = {
        "UniswapV3Factory": core, "UniswapV3Pool": core, "SwapRouter": periphery, "lens/QuoterV2": periphery,
        "NonfungiblePositionManager": periphery,
    }  # fmt: skip
    paths = [folder / "contracts" / f"{name}.sol" / f"{Path(name).name}.json" for name, folder in places.items()]
    return {path.stem: shipped(path) for path in paths}


async def build_dex(
    chain: Deployer, code: Artefacts, weth: AsyncContract, sides: dict[str, Side], prices: dict[str, Decimal]
) -> Dex:
    """``prices``: whole quote tokens per whole token of every pool of `POOLS`. The owner provides the liquidity."""
    factory = await chain.deploy(code["UniswapV3Factory"])
    await chain.send(factory.functions.enableFeeAmount(LOWEST_FEE, TICK_SPACING[LOWEST_FEE]))
    router = await chain.deploy(code["SwapRouter"], factory.address, weth.address)
    quoter = await chain.deploy(code["QuoterV2"], factory.address, weth.address)
    manager = await chain.deploy(code["NonfungiblePositionManager"], factory.address, weth.address, NOBODY)
    pools = []
    for plan in POOLS:
        token, quote = sides[plan.token], sides[plan.quote]
        price = prices[f"{plan.token}/{plan.quote}"]
        pair = sorted((token.contract.address, quote.contract.address), key=lambda address: int(address, 16))
        start = sqrt_price_x96(raw_price(token, quote, price))
        await chain.send(manager.functions.createAndInitializePoolIfNecessary(*pair, plan.fee, start))
        address = await factory.functions.getPool(*pair, plan.fee).call()
        pools.append((plan, chain.at(address, code["UniswapV3Pool"].abi)))
        await _provide(chain, manager, plan, token, quote, price)
    return Dex(factory, router, quoter, manager, tuple(pools))


async def _provide(
    chain: Deployer, manager: AsyncContract, plan: PoolPlan, token: Side, quote: Side, price: Decimal
) -> None:
    spacing = TICK_SPACING[plan.fee]
    at = raw_price(token, quote, price)
    widest = TICK_MAX // spacing * spacing
    band = (tick_at(at * (1 - plan.band), spacing), tick_at(at * (1 + plan.band), spacing) + spacing)
    half = Decimal(plan.depth) / 2
    for (low, high), share in ((band, 1 - EVERYWHERE_SHARE), ((-widest, widest), EVERYWHERE_SHARE)):
        amounts = {
            token.contract.address: int(half * share / price * 10**token.decimals),
            quote.contract.address: int(half * share * 10**quote.decimals),
        }
        for side in (token, quote):
            await chain.send(side.contract.functions.approve(manager.address, amounts[side.contract.address]))
        first, second = sorted(amounts, key=lambda address: int(address, 16))
        order = (first, second, plan.fee, low, high, amounts[first], amounts[second], 0, 0, chain.owner, FOREVER)
        await chain.send(manager.functions.mint(order))
        for side in (
            token,
            quote,
        ):  # the price decides how much is taken; USDT insists on zero before the next approval
            await chain.send(side.contract.functions.approve(manager.address, 0))
