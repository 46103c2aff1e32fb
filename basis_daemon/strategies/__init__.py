"""Strategies by the name that configuration uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from basis_daemon.strategies.basis import BtcBasis, EthBasis
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.strategies.directional import MlBtcDirectional, MlUsdtDirectional
from basis_daemon.strategies.lending import PureLending
from basis_daemon.strategies.leveraged import EthLeveraged
from basis_daemon.strategies.staking import EthStakingOnly

STRATEGIES: Mapping[str, Callable[[Any, str], BookStrategy]] = {
    "btc_basis": BtcBasis,
    "eth_basis": EthBasis,
    "ml_btc_directional": MlBtcDirectional,
    "ml_usdt_directional": MlUsdtDirectional,
    "pure_lending": PureLending,
    "eth_staking_only": EthStakingOnly,
    "eth_leveraged": EthLeveraged,
}
"""What makes an instance out of the parameters of its kind and a name."""
