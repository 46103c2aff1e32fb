"""Strategies by the name that configuration uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from basis_daemon.strategies.basis import BtcBasis, EthBasis
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.strategies.directional import MlBtcDirectional, MlUsdtDirectional
from basis_daemon.strategies.hedge import UsdtMarketNeutralNoLeverage
from basis_daemon.strategies.hedge_levered import UsdtMarketNeutral
from basis_daemon.strategies.lending import PureLending
from basis_daemon.strategies.leveraged import EthLeveraged
from basis_daemon.strategies.overlay import EthBasisInEth
from basis_daemon.strategies.overlay_parameters import OverlayParameters
from basis_daemon.strategies.parameters import BasisParameters
from basis_daemon.strategies.staking import EthStakingOnly


def eth_basis(parameters: BasisParameters | OverlayParameters, name: str) -> BookStrategy:
    """The class in which the return is counted makes two books of this kind."""
    if isinstance(parameters, OverlayParameters):
        return EthBasisInEth(parameters, name)
    return EthBasis(parameters, name)


STRATEGIES: Mapping[str, Callable[[Any, str], BookStrategy]] = {
    "btc_basis": BtcBasis,
    "eth_basis": eth_basis,
    "ml_btc_directional": MlBtcDirectional,
    "ml_usdt_directional": MlUsdtDirectional,
    "pure_lending": PureLending,
    "eth_staking_only": EthStakingOnly,
    "eth_leveraged": EthLeveraged,
    "usdt_market_neutral_no_leverage": UsdtMarketNeutralNoLeverage,
    "usdt_market_neutral": UsdtMarketNeutral,
}
"""What makes an instance out of the parameters of its kind and a name."""
