"""What the gate before every plan lets through, and by what the risk view counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from basis_daemon.domain.caps import Dimension
from basis_daemon.domain.stress import Grid
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


def _shock(low: str, high: str) -> Any:  # noqa: ANN401 - as pydantic's Field
    expects = f"a number from {low} to {high}"
    return Field(
        ge=Decimal(low), le=Decimal(high), description="one step of the axis", json_schema_extra={"expects": expects}
    )


def _axis(*shocks: str, unit: str, why: str) -> Any:  # noqa: ANN401 - as pydantic's Field
    default, said = tuple(Decimal(shock) for shock in shocks), "a list of 1 to 20 numbers"
    return Field(
        default, min_length=1, max_length=20, description=why, json_schema_extra={"unit": unit, "expects": said}
    )


Move = Annotated[Number, _shock("-0.95", "5")]
Gap = Annotated[Number, _shock("-0.5", "0.5")]
Rate = Annotated[Number, _shock("-1", "5")]
Settlement = Annotated[Number, _shock("-0.05", "0.05")]


class StressSettings(Section):
    """What `basis-daemon risk --stress` crosses with what; nobody is assumed to act while it happens."""

    price: Sequence[Move] = _axis("-0.5", "-0.3", "-0.15", "0", "0.15", "0.3", "0.5", unit="move", why="of every coin")
    basis: Sequence[Gap] = _axis("-0.01", "0", "0.01", unit="move", why="of every perp against its coin")
    peg: Sequence[Gap] = _axis("0", "-0.025", "-0.05", unit="move", why="of every staking token's rate against ETH")
    borrow: Sequence[Rate] = _axis("0", "0.2", unit="per year", why="beyond today's rate of every debt")
    funding: Sequence[Settlement] = _axis("0", "-0.0005", unit="per 8 h", why="that shorts earn; negative: pay")
    horizon_days: Number = number("3", "0", "365", "days", "over which both rates hold")
    outages: Sequence[str] | None = Field(
        default=None, max_length=20, description="who fails, one at a time; null: every exchange; []: nobody"
    )

    def grid(self) -> Grid:
        """As it is played."""
        outages = None if self.outages is None else tuple(self.outages)
        return Grid(
            tuple(self.price), tuple(self.basis), tuple(self.peg), tuple(self.borrow), tuple(self.funding),
            outages, self.horizon_days,
        )  # fmt: skip


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
    stress: StressSettings = StressSettings()
    """The grid of shocks that the book is held against."""
