"""Parameters of the directional books: whose word counts, how large a position is, and how it is guarded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from basis_daemon.domain.bracket import Width
from basis_daemon.domain.prediction import Listening
from basis_daemon.strategies.parameters import ONE, D, ExchangeParameters, range_faults, rising_faults

ML_RANGES: Mapping[str, tuple[str, str]] = {
    "ml_conf_enter": ("0.5", "1"),
    "ml_conf_hold": ("0.5", "1"),
    "ml_size": ("0.05", "1"),
    "ml_sl_sd": ("0.5", "6"),
    "ml_tp_sd": ("0.5", "10"),
    "sd_floor_bp": ("1", "50"),
    "sd_cap_bp": ("50", "1000"),
    "ml_max_hold_bars": ("1", "288"),
    "ml_flip_min_bars": ("1", "24"),
    "ml_daily_loss": ("0.005", "0.10"),
    "bar_s": ("60", "3600"),
}
"""Bounds, both included, in the unit of the name."""


class DirectionalParameters(ExchangeParameters):
    """Of ``ml_usdt_directional`` and, counted in coin on an inverse contract, ``ml_btc_directional``.

    ``models`` are the versions that may speak. The word of a bar counts for one bar after it has closed.
    """

    share_class: Literal["USDT", "BTC"] = "USDT"
    models: tuple[str, ...]
    venue_cap: Decimal = ONE
    max_drawdown: Decimal = D("0.20")
    ml_conf_enter: Decimal = D("0.70")
    ml_conf_hold: Decimal = D("0.55")
    ml_size: Decimal = D("0.50")
    ml_sl_sd: Decimal = D(2)
    ml_tp_sd: Decimal = D(3)
    sd_floor_bp: Decimal = D(10)
    sd_cap_bp: Decimal = D(500)
    ml_max_hold_bars: int = 12
    ml_flip_min_bars: int = 2
    ml_daily_loss: Decimal = D("0.03")
    bar_s: int = 300

    @property
    def bar(self) -> timedelta:
        """Length of a bar."""
        return timedelta(seconds=self.bar_s)

    @property
    def is_inverse(self) -> bool:
        """True where the coin is capital and margin at once."""
        return self.share_class != "USDT"

    @property
    def symbol(self) -> str:
        """The contract, as the venue and the model name it."""
        return f"{self.asset}{'USD' if self.is_inverse else 'USDT'}"

    @property
    def listening(self) -> Listening:
        """Whose word counts."""
        return Listening(self.symbol, frozenset(self.models), self.bar)

    @property
    def width(self) -> Width:
        """Of the bracket."""
        return Width(self.ml_sl_sd, self.ml_tp_sd, self.sd_floor_bp, self.sd_cap_bp)

    def _faults(self) -> list[str]:
        rising = {
            "ml_conf_hold < ml_conf_enter": (self.ml_conf_hold, self.ml_conf_enter),
            "sd_floor_bp < sd_cap_bp": (self.sd_floor_bp, self.sd_cap_bp),
        }
        faults = super()._faults() + range_faults(self, ML_RANGES) + rising_faults(rising)
        if not self.models:
            faults.append("models is empty, expected at least one version that may speak")
        return faults
