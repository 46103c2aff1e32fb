"""The lending market of the sandbox chain: what borrowing costs, what is paused, frozen or capped."""

from __future__ import annotations

from decimal import Decimal

from web3.contract import AsyncContract

from basis_daemon.sandbox.chain.build_lending import curve_bytes
from basis_daemon.sandbox.chain.crowd import BORROWER, VARIABLE_RATE
from basis_daemon.sandbox.chain.steering import RAY, Steering

BPS = 10_000
BORROW_RATE = 6
"""Its place in the data provider's answer about a reserve."""


class LendingControls(Steering):
    """Rates, pauses, freezes, caps."""

    async def rates(self, asset: str, borrow_apr: Decimal) -> Decimal:
        """Bend the reserve's curve so that borrowing costs ``borrow_apr`` a year at today's utilisation.

        Returns what it costs then: the curve knows whole basis points only.
        """
        token = self.contracts.token(self._priced(asset))
        strategy = self.contracts.at("DefaultReserveInterestRateStrategyV2", "aave_v3", "rate_strategy").functions
        kink, _, slope1, slope2 = await strategy.getInterestRateDataBps(token.address).call()
        debt, idle = await self._debt_and_idle(token)
        below = min(Decimal(debt) / (debt + idle) * BPS / kink, Decimal(1))
        slope1 = int((borrow_apr * BPS / below).to_integral_value()) if below else slope1
        configurator = self.contracts.at("PoolConfiguratorInstance", "aave_v3", "configurator").functions
        curve = curve_bytes(kink, slope1, max(slope1, slope2))
        await self.act(configurator.setReserveInterestRateData(token.address, curve))
        return await self._borrow_rate(token)

    async def utilisation(self, asset: str, share: Decimal) -> Decimal:
        """The crowd borrows or repays until ``share`` of the reserve is lent; what borrowing costs then.

        Close to one nothing is left to withdraw, and the curve's steep part is what everybody pays.
        """
        token, pool = self.contracts.token(self._priced(asset)), self.contracts.at("PoolInstance", "aave_v3", "pool")
        if not 0 <= share < 1:
            raise ValueError(f"utilisation of {asset}: from 0 to less than 1, found {share}")
        debt, idle = await self._debt_and_idle(token)
        wanted = int(share * (debt + idle)) - debt
        crowd = (await self.client.eth.accounts)[BORROWER]
        if wanted > 0:
            await self.act(pool.functions.borrow(token.address, wanted, VARIABLE_RATE, 0, crowd), sender=crowd)
        elif wanted < 0:
            await self.act(token.functions.approve(pool.address, -wanted), sender=crowd)
            await self.act(pool.functions.repay(token.address, -wanted, VARIABLE_RATE, crowd), sender=crowd)
        return await self._borrow_rate(token)

    async def _debt_and_idle(self, token: AsyncContract) -> tuple[int, int]:
        data = self.contracts.at("AaveProtocolDataProvider", "aave_v3", "data_provider").functions
        held, _, _ = await data.getReserveTokensAddresses(token.address).call()
        debt, idle = await data.getTotalDebt(token.address).call(), await token.functions.balanceOf(held).call()
        return int(debt), int(idle)

    async def _borrow_rate(self, token: AsyncContract) -> Decimal:
        data = self.contracts.at("AaveProtocolDataProvider", "aave_v3", "data_provider").functions
        return Decimal((await data.getReserveData(token.address).call())[BORROW_RATE]) / RAY

    async def pause_reserve(self, asset: str, *, on: bool) -> None:
        """Nothing goes in or out of the reserve."""
        configurator = self.contracts.at("PoolConfiguratorInstance", "aave_v3", "configurator")
        pause = configurator.get_function_by_signature("setReservePause(address,bool)")
        await self.act(pause(self.contracts.token(self._priced(asset)).address, on))

    async def freeze(self, asset: str, *, on: bool) -> None:
        """No new supply or borrowing; the way out stays open."""
        configurator = self.contracts.at("PoolConfiguratorInstance", "aave_v3", "configurator").functions
        await self.act(configurator.setReserveFreeze(self.contracts.token(self._priced(asset)).address, on))

    async def caps(self, asset: str, *, supply: int | None = None, borrow: int | None = None) -> None:
        """Whole tokens; 0 for no cap."""
        configurator = self.contracts.at("PoolConfiguratorInstance", "aave_v3", "configurator").functions
        address = self.contracts.token(self._priced(asset)).address
        if supply is not None:
            await self.act(configurator.setSupplyCap(address, supply))
        if borrow is not None:
            await self.act(configurator.setBorrowCap(address, borrow))
