"""Parameters of the staked hedges: those of an ETH basis book and of its sleeve, in one flat set."""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.strategies.onchain_parameters import USDT_DRAWDOWN, LeveragedParameters, StakingParameters
from basis_daemon.strategies.parameters import SHOCKS, D
from basis_daemon.strategies.twofold import TwofoldParameters

LAMBDA_MAX = D("0.80")


class HedgeParameters(TwofoldParameters, StakingParameters):
    """Of ``usdt_market_neutral_no_leverage``. Margin cannot be refilled in seconds, so its target is higher."""

    asset: str = "ETH"
    shock: Decimal = SHOCKS["ETH"]
    m_star: Decimal = D("0.50")
    reserve_eth: Decimal = D("0.15")
    max_drawdown: Decimal = USDT_DRAWDOWN
    eigenlayer_weight: Decimal = D(0)

    def _faults(self) -> list[str]:
        faults = super()._faults()
        if self.asset != "ETH":
            faults.append(f"asset {self.asset}, expected ETH: its sleeve is staked ETH")
        if self.eigenlayer_weight:
            faults.append(f"eigenlayer_weight {self.eigenlayer_weight}, expected 0: margin must come out of the sleeve")
        return faults


class LeveredHedgeParameters(HedgeParameters, LeveragedParameters):
    """Of ``usdt_market_neutral``. The band is wider: margin is freed often, and freed ETH costs 1/(1 - lambda)."""

    lambda_target: Decimal = D("0.65")
    lambda_up: Decimal = D("0.03")
    lambda_down: Decimal = D("0.05")

    def _faults(self) -> list[str]:
        faults = super()._faults()
        if self.lambda_target > LAMBDA_MAX:
            faults.append(f"lambda_target {self.lambda_target}, expected 0 to {LAMBDA_MAX} in a hedged book")
        return faults
