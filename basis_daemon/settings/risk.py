"""What the gate before every plan lets through, and by what the risk view counts."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from basis_daemon.domain.caps import Dimension
from basis_daemon.settings.section import Number, Section, count, number

Share = Annotated[
    Number,
    Field(
        ge=Decimal(0),
        le=Decimal(2),
        description="of equity, that may stand there",
        json_schema_extra={"expects": "a number from 0 to 2 of equity"},
    ),
]


class CapSettings(Section):
    """How much of the equity of all strategies may be lost with whom; `other` is every name that is not given.

    It is looked through what is held: USDT at an exchange counts with the exchange and with Tether, weETH lent to Aave
    with Aave, ether.fi and EigenLayer, a lending account net of what it owes.
    """

    venue: Mapping[str, Share] = Field(default_factory=dict)
    """By the names under venues: each is a key of its own."""
    counterparty: Mapping[str, Share] = Field(default_factory=dict)
    """An exchange with all its sub-accounts, an issuer (tether, circle, sky), or a protocol."""
    chain: Mapping[str, Share] = Field(default_factory=dict)
    """Everything that is held on it: ethereum."""
    protocol: Mapping[str, Share] = Field(default_factory=dict)
    """aave_v3, lido, etherfi, eigenlayer."""
    stablecoin: Mapping[str, Share] = Field(default_factory=dict)
    """usdt, usdc, dai, usds."""

    def shares(self) -> Mapping[Dimension, Mapping[str, Decimal]]:
        """As the gate reads them; a dimension without a cap is absent."""
        return {each: names for each in Dimension if (names := getattr(self, each.value))}


class RiskSettings(Section):
    """Hard limits of the gate before every plan: all or none, whatever the strategy thinks."""

    order_notional_max_usdt: Number = number("250000", "10", "50000000", "USDT", "one leg of a plan, before clips")
    orders_per_minute_max: int = count(60, 1, 600, "orders", "a runaway loop is stopped within the minute")
    price_band_bp: Number = number("150", "5", "1000", "bp", "limit price against mid; above slip_emergency")
    drift_shocks_per_day: Number = number(
        "1", "0.1", "10", "shocks a day", "the adverse drift that hours to liquidation are counted against"
    )
    caps: CapSettings = CapSettings()
    """What may stand with one venue, counterparty, chain, protocol or stablecoin; nothing: not capped."""
