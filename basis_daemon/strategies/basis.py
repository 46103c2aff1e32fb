"""Basis books: long spot, short perp of one asset, USDT class. The rules in their order; the first that acts wins.

A family is an asset with its shock: ``BtcBasis`` and ``EthBasis`` are the same rules over other parameters.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import ClassVar

from basis_daemon.domain.decision import Exposure, InputUsed, RiskView
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.margin import ZERO
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.strategies import memory as remembered
from basis_daemon.strategies.charter import Charter
from basis_daemon.strategies.defence import defended, drawdown, nearest_liquidation
from basis_daemon.strategies.entry import enter, scale
from basis_daemon.strategies.memory import BasisMemory
from basis_daemon.strategies.pairs import (
    pair_charter,
    pair_declared,
    pair_inputs,
    pair_memory,
    pair_teaching,
    pair_thresholds,
    rate_thresholds,
)
from basis_daemon.strategies.parameters import BasisParameters
from basis_daemon.strategies.rebalance import carry_exit, dust, leg_drift, margin_excess, withdrawal
from basis_daemon.strategies.rotation import rotate
from basis_daemon.strategies.ruled import RuledStrategy
from basis_daemon.strategies.rules import Frame, Rule
from basis_daemon.strategies.view import BookView, look

RULES: tuple[Rule[BookView], ...] = (
    *defended(nearest_liquidation, drawdown),
    withdrawal,
    dust,
    carry_exit,
    leg_drift,
    scale,
    margin_excess,
    rotate,
    enter,
)
"""Of what grows a pair that stands comes before a new one."""


class BasisStrategy(RuledStrategy[BasisParameters, BasisMemory, BookView]):
    """One book of one asset: both legs at every venue."""

    asset: ClassVar[str]

    def __init__(self, parameters: BasisParameters, name: str = "") -> None:
        asset = parameters.asset
        if asset != self.asset:
            msg = f"{type(self).__name__}: parameters are of {asset}, expected {self.asset}"
            raise ConfigError(msg)
        self._teaching = pair_teaching(parameters)
        super().__init__(name or f"{asset.lower()}_basis", parameters, pair_declared(parameters), RULES, BasisMemory)

    @cached_property
    def charter(self) -> Charter:
        """Limits and needs of a book with both legs at every venue."""
        return pair_charter(self.parameters)

    @property
    def decision_interval_s(self) -> Decimal:
        """Market seconds between decisions at least."""
        return self._parameters.decision_interval_s

    def initial_memory(self) -> BasisMemory:
        """No settlement seen, weights as configured and capped."""
        return pair_memory(self._parameters)

    def fold(self, memory: object, event: object) -> BasisMemory:
        """Memory after an event; the same object when the event teaches nothing."""
        return remembered.fold(self._own(memory), event, self._teaching)

    @property
    def _leg_budget_s(self) -> Decimal:
        return self._parameters.unhedged_max_s

    def _look(self, timestamp: datetime, market: MarketSnapshot, exposure: Exposure, risk: RiskView) -> BookView:
        price = exposure.prices.get(self._parameters.asset, ZERO)
        return look(Frame(self._parameters, timestamp, market, exposure, risk, self._own(market.memory), price))

    def _inputs(self, view: BookView) -> dict[str, InputUsed]:
        return pair_inputs(view)

    def _thresholds(self, view: BookView) -> dict[str, Decimal]:
        return pair_thresholds(view) | rate_thresholds(view)


class BtcBasis(BasisStrategy):
    """BTC spot against BTCUSDT perps."""

    asset: ClassVar[str] = "BTC"


class EthBasis(BasisStrategy):
    """ETH spot against ETHUSDT perps, USDT class."""

    asset: ClassVar[str] = "ETH"
