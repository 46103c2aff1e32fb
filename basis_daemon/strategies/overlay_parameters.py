"""Parameters of ``eth_basis`` counted in ETH: a lender's core and the pair that is borrowed against it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from pydantic import model_validator

from basis_daemon.strategies.onchain_parameters import ETH_DRAWDOWN, LendingParameters
from basis_daemon.strategies.parameters import SHOCKS, D, range_faults, rising_faults
from basis_daemon.strategies.twofold import TwofoldParameters

OVERLAY_RANGES: Mapping[str, tuple[str, str]] = {
    "lambda_b": ("0.10", "0.45"),
    "lambda_b_max": ("0.15", "0.50"),
    "overlay_entry_apr": ("0", "0.20"),
    "overlay_exit_apr": ("0", "0.20"),
}
LOW = D("0.8")
"""Part of ``lambda_b`` below which more may be borrowed: at the default .28."""


class OverlayParameters(TwofoldParameters, LendingParameters):
    """The core is lent by the rules of a lender, also while nothing is borrowed against it."""

    asset: Literal["ETH"] = "ETH"
    share_class: Literal["ETH"] = "ETH"  # type: ignore[assignment]  # the other class of the same book
    shock: Decimal = SHOCKS["ETH"]
    max_drawdown: Decimal = ETH_DRAWDOWN
    lambda_b: Decimal = D("0.35")
    lambda_b_max: Decimal = D("0.45")
    overlay_entry_apr: Decimal = D("0.020")
    overlay_exit_apr: Decimal = D(0)

    @model_validator(mode="before")
    @classmethod
    def _with_the_drawdown_of_its_class(cls, given: dict[str, object]) -> dict[str, object]:
        return {"max_drawdown": ETH_DRAWDOWN, **given}

    @property
    def debt_target(self) -> Decimal:
        """What is borrowed against the core."""
        return self.lambda_b

    @property
    def lambda_low(self) -> Decimal:
        """Below it the overlay has room to grow."""
        return LOW * self.lambda_b

    def _faults(self) -> list[str]:
        rising = {
            "lambda_b < lambda_b_max": (self.lambda_b, self.lambda_b_max),
            "overlay_exit_apr < overlay_entry_apr": (self.overlay_exit_apr, self.overlay_entry_apr),
        }
        return super()._faults() + range_faults(self, OVERLAY_RANGES) + rising_faults(rising)
