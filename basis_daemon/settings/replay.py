"""How recorded history is played: what an hourly bar does not say has to be stated, because no file holds it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from basis_daemon.settings.section import Number, Section, count, number


class OrdinaryAt(StrEnum):
    """When the rules that may wait are asked."""

    BAR_OPEN = "bar_open"
    EVERY_POINT = "every_point"


class TokenRates(StrEnum):
    """Whose rate of a staking token is believed."""

    MIDNIGHT = "midnight"
    HOURLY = "hourly"


class ReplaySettings(Section):
    """The conventions of a replay; a daemon never reads them."""

    slippage_bp: Number = number("1.5", "0", "50", "bp", "the best price stands this far from the bar's, on each side")
    depth_usdt: Number = number("10000000", "1000", "1000000000000", "USDT", "what each level of the book holds")
    depth_levels: int = count(5, 1, 20, "levels", "of each side of the book")
    depth_step_bp: Number = number("1", "0.01", "100", "bp", "from one level to the next: what size costs")
    perp_step: Mapping[str, Annotated[Number, Field(gt=0, description="base units, the perp's order step")]] = Field(
        default_factory=lambda: {"btc": Decimal("0.001"), "eth": Decimal("0.01")}
    )
    """By asset in lower case; one that is not named has .001."""
    spot_stand_in: str | None = Field(default=None, pattern=r"^[a-z0-9_]{1,32}$")
    """The venue whose spot rows stand for venues that have none in the history, such as bybit; null: nobody's do."""
    spot_step: Number = number("0.00001", "0.00000001", "1", "base units", "the spot order step")
    ordinary: OrdinaryAt = Field(default=OrdinaryAt.BAR_OPEN, strict=False)
    """Entry, exit and excess at bar opens only, because the path inside a bar is assumed; or at every point of it."""
    is_open: bool = False
    """True begins with the pair at m_star, as if it had always stood, instead of money alone."""
    balances: Mapping[str, Mapping[str, Annotated[Number, Field(ge=0, description="units of the asset")]]] = Field(
        default_factory=dict
    )
    """What one instance begins with, by its name and position key; paper.balances for one that is not named."""
    queue_d: Number = number("7", "0", "60", "d", "until an issuer pays what was handed back; no file holds it")
    restaked_d: Number = number("14", "0", "60", "d", "before that, for what was restaked")
    dex_size: Number = number("1000", "1", "1000000", "tokens", "of a staking token that its market takes at once")
    flash_fee_bp: Number = number("0", "0", "100", "bp", "of a flash loan that is paid back")
    token_rates: TokenRates = Field(default=TokenRates.MIDNIGHT, strict=False)
    """Of the lender's last midnight, which was known; or the record's hourly ones, drawn between two midnights."""
    collateral_earns: bool = True
    """A staking token at Aave earns what its reserve pays, beside the growth of its rate; false leaves that out."""
    transfer_h: Number = number("1", "0", "48", "h", "between the wallet and an exchange, either way")
    stress_factor: Number = number("1", "0.1", "10", "x", "all prices are multiplied by this from stress_from on")
    stress_from: AwareDatetime | None = Field(
        default=None, strict=False, json_schema_extra={"expects": 'an instant with its zone, "2025-05-07T00:00:00Z"'}
    )
    """The first instant of the stress, UTC; null plays the prices as recorded."""
