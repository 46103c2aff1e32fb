"""How the margin of an exchange is reached: its two wallets, and the route to it from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.instrument import PositionKey


@dataclass(frozen=True, slots=True)
class Way:
    """USDT reaches ``margin_key`` from ``cash_key`` within ``internal_eta_h``, from elsewhere within ``route_eta_h``.

    ``fee_usdt`` leaves on top of what comes from elsewhere; unless it ``is_connected``, nothing does.
    """

    cash_key: PositionKey
    margin_key: PositionKey
    is_connected: bool
    fee_usdt: Decimal
    route_eta_h: Decimal
    internal_eta_h: Decimal

    @property
    def is_unified(self) -> bool:
        """True where both are one balance."""
        return self.cash_key == self.margin_key
