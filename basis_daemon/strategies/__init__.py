"""Strategies by the name that configuration uses."""

from __future__ import annotations

from collections.abc import Mapping

from basis_daemon.strategies.basis import BasisStrategy, BtcBasis, EthBasis

STRATEGIES: Mapping[str, type[BasisStrategy]] = {"btc_basis": BtcBasis, "eth_basis": EthBasis}
