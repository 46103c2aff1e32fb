"""Orders at the protocols: lending, staking, wrapping, restaking. One interface per venue, one way to the chain."""

from __future__ import annotations

from collections.abc import Mapping

from basis_daemon.domain.order import OrderOperation
from basis_daemon.venues.chain import aave_orders, staking_orders, wallet_orders
from basis_daemon.venues.chain.chain_execution import ChainDesk, ChainExecution
from basis_daemon.venues.chain.prepared import Preparation
from basis_daemon.venues.chain.restaking_orders import RewardClaims, restaking_orders
from basis_daemon.venues.chain.tokens import AAVE, WALLET

PREPARATIONS: Mapping[str, Mapping[OrderOperation, Preparation]] = {
    AAVE: aave_orders.AAVE_ORDERS,
    WALLET: wallet_orders.WALLET_ORDERS,
    "lido": staking_orders.LIDO,
    "etherfi": staking_orders.ETHERFI,
}

VENUES = frozenset({*PREPARATIONS, "eigenlayer"})


class OnChainExecutionInterface(ChainExecution):
    """Lending, staking, restaking, claims, wrapping and allowances at one venue."""

    def __init__(self, venue: str, desk: ChainDesk, claims: RewardClaims | None = None) -> None:
        """``claims`` hands out EigenLayer's rewards. Raises KeyError for a venue that is none of ``VENUES``."""
        restaking = {"eigenlayer": restaking_orders(claims)}
        super().__init__(venue, {**PREPARATIONS, **restaking}[venue], desk)
