"""Aave 3.6 with four reserves and two e-modes, whose rates the crowd brings to life."""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode
from eth_typing import ChecksumAddress
from web3.contract import AsyncContract

from basis_daemon.sandbox.chain.compiler import Artefacts
from basis_daemon.sandbox.chain.node import Deployer

ZERO = "0x" + "00" * 20
FLASH_PREMIUM_BPS = 5
EMODES = {1: "wstETH", 2: "weETH"}
EMODE_LTV, EMODE_THRESHOLD, EMODE_BONUS = 9300, 9500, 10100
ON = True


def curve_bytes(kink: int, slope1: int, slope2: int) -> bytes:
    """An interest rate curve without a base rate as the configurator takes it, basis points."""
    return encode(["uint16", "uint32", "uint32", "uint32"], [kink, 0, slope1, slope2])


@dataclass(frozen=True, slots=True)
class Reserve:
    """Parameters in basis points (the bonus as 10000 + bonus), caps in whole tokens."""

    symbol: str
    ltv: int
    threshold: int
    bonus: int
    reserve_factor: int
    kink: int
    slope1: int
    slope2: int
    supply_cap: int
    borrow_cap: int
    is_borrowable: bool

    @property
    def curve(self) -> bytes:
        return curve_bytes(self.kink, self.slope1, self.slope2)


RESERVES = (
    Reserve("USDT", 7500, 7800, 10450, 1000, 9200, 630, 4000, 2_000_000_000, 1_800_000_000, is_borrowable=True),
    Reserve("WETH", 8050, 8300, 10500, 1500, 9000, 270, 4000, 2_800_000, 2_500_000, is_borrowable=True),
    Reserve("wstETH", 7850, 8100, 10600, 500, 4500, 700, 30000, 1_300_000, 1, is_borrowable=False),
    Reserve("weETH", 7750, 8000, 10700, 4500, 4500, 700, 30000, 1_200_000, 1, is_borrowable=False),
)


@dataclass(frozen=True, slots=True)
class Lending:
    """The contracts of the market that others speak to."""

    pool: AsyncContract
    provider: AsyncContract
    oracle: AsyncContract
    data: AsyncContract
    configurator: AsyncContract
    acl: AsyncContract
    strategy: AsyncContract


async def _libraries(chain: Deployer, code: Artefacts) -> dict[str, str]:
    made: dict[str, str] = {}
    names = ("BorrowLogic", "FlashLoanLogic", "LiquidationLogic", "PoolLogic", "SupplyLogic", "ConfiguratorLogic")
    for name in names:  # FlashLoanLogic links BorrowLogic
        made[name] = (await chain.deploy(code[name], libraries=made)).address
    return made


async def build_lending(
    chain: Deployer, code: Artefacts, tokens: dict[str, ChecksumAddress], feeds: dict[str, ChecksumAddress]
) -> Lending:
    """Deploys the market in the order that its constructors insist on."""
    libraries = await _libraries(chain, code)
    provider = await chain.deploy(code["PoolAddressesProvider"], "Sandbox Market", chain.owner)
    strategy = await chain.deploy(code["DefaultReserveInterestRateStrategyV2"], provider.address)
    await chain.send(provider.functions.setACLAdmin(chain.owner))
    acl = await chain.deploy(code["ACLManager"], provider.address)
    await chain.send(provider.functions.setACLManager(acl.address))
    for role in ("addPoolAdmin", "addEmergencyAdmin", "addRiskAdmin"):
        await chain.send(acl.functions[role](chain.owner))
    pool_code = await chain.deploy(code["PoolInstance"], provider.address, strategy.address, libraries=libraries)
    await chain.send(provider.functions.setPoolImpl(pool_code.address))
    pool = chain.at(await provider.functions.getPool().call(), code["PoolInstance"].abi)
    setup = await chain.deploy(code["PoolConfiguratorInstance"], libraries=libraries)
    await chain.send(provider.functions.setPoolConfiguratorImpl(setup.address))
    configurator = chain.at(await provider.functions.getPoolConfigurator().call(), code["PoolConfiguratorInstance"].abi)
    assets = [tokens[reserve.symbol] for reserve in RESERVES]
    sources = [feeds[reserve.symbol] for reserve in RESERVES]
    oracle = await chain.deploy(code["AaveOracle"], provider.address, assets, sources, ZERO, ZERO, 10**8)
    await chain.send(provider.functions.setPriceOracle(oracle.address))
    data = await chain.deploy(code["AaveProtocolDataProvider"], provider.address)
    await chain.send(provider.functions.setPoolDataProvider(data.address))
    lending = Lending(pool, provider, oracle, data, configurator, acl, strategy)
    await _list_reserves(chain, code, lending, tokens)
    await _list_emodes(chain, lending, tokens)
    await chain.send(configurator.functions.updateFlashloanPremium(FLASH_PREMIUM_BPS))
    return lending


async def _list_reserves(
    chain: Deployer, code: Artefacts, lending: Lending, tokens: dict[str, ChecksumAddress]
) -> None:
    supply = await chain.deploy(code["ATokenInstance"], lending.pool.address, ZERO, chain.owner)
    debt = await chain.deploy(code["VariableDebtTokenInstance"], lending.pool.address, ZERO)
    rows = [
        (
            supply.address, debt.address, tokens[r.symbol], f"Aave Sandbox {r.symbol}", f"a{r.symbol}",
            f"Aave Sandbox Variable Debt {r.symbol}", f"variableDebt{r.symbol}", b"", r.curve,
        )
        for r in RESERVES
    ]  # fmt: skip
    do = lending.configurator.functions
    await chain.send(do.initReserves(rows))
    for reserve in RESERVES:
        asset = tokens[reserve.symbol]
        await chain.send(do.configureReserveAsCollateral(asset, reserve.ltv, reserve.threshold, reserve.bonus))
        await chain.send(do.setReserveBorrowing(asset, reserve.is_borrowable))
        await chain.send(do.setReserveFlashLoaning(asset, ON))
        await chain.send(do.setReserveFactor(asset, reserve.reserve_factor))
        await chain.send(do.setSupplyCap(asset, reserve.supply_cap))
        await chain.send(do.setBorrowCap(asset, reserve.borrow_cap))


async def _list_emodes(chain: Deployer, lending: Lending, tokens: dict[str, ChecksumAddress]) -> None:
    do = lending.configurator.functions
    for category, symbol in EMODES.items():
        label = f"{symbol}/WETH"
        await chain.send(do.setEModeCategory(category, EMODE_LTV, EMODE_THRESHOLD, EMODE_BONUS, label))
        await chain.send(do.setAssetCollateralInEMode(tokens[symbol], category, ON))
        await chain.send(do.setAssetBorrowableInEMode(tokens["WETH"], category, ON))
