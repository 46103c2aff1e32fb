"""Staking books before and after their entry."""

from __future__ import annotations

from typing import Any

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.strategies.onchain_calls import Lst
from basis_daemon.strategies.onchain_parameters import StakingParameters
from basis_daemon.strategies.staking import EthStakingOnly
from tests.builders import D
from tests.strategies.chain_scenes import ETH, WEETH, WETH, K, Run, calm

EIGEN, KING, ETHFI = K("wallet:token:EIGEN"), K("wallet:token:KING"), K("wallet:token:ETHFI")
EETH, STETH, SHARE = K("wallet:token:eETH"), K("wallet:token:stETH"), K("eigenlayer:share:stETH")
SLEEVE: dict[str, Any] = {"eigenlayer_weight": D("0.2"), "operators": ("0x00000000000000000000000000000000000000aa",)}
Y = D("0.03")
"""What the token earns a year."""


def staker(eth: str = "100", tokens: str = "0", lst: PositionKey = WEETH, weth: str = "0", **changes: object) -> Run:
    parameters = StakingParameters.model_validate({"lst": Lst(lst.symbol), "reserve_eth": D("0.1"), **changes})
    held = {ETH: D(eth), WETH: D(weth), lst: D(tokens)}
    return Run(EthStakingOnly(parameters), {key: amount for key, amount in held.items() if amount}, calm(lst))


def holder(tokens: str = "93.640726") -> Run:
    """All in the token for nine days of growth."""
    run = staker("0.1", tokens)
    run.grow(WEETH, Y, days=9, decides=False)
    return run
