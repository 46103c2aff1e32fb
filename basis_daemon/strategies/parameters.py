"""Parameters of a basis book: strategies.md 1.4, one default each, every value checked against its range."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.margin import Ladder, capped_weights
from basis_daemon.domain.ways import Way

D = Decimal
BP = D("1e-4")
HOUR_S = D(3600)
QUOTE = "USDT"
ONE = D(1)
SHOCKS = {"BTC": D("0.20"), "ETH": D("0.25")}
"""The adverse move that distances are counted in, by asset."""

EXCHANGE_RANGES: dict[str, tuple[str, str]] = {
    "decision_interval_s": ("1", "60"),
    "delta_soft": ("0.002", "0.03"),
    "delta_rest": ("0", "0.01"),
    "delta_hard": ("0.01", "0.10"),
    "min_order_usdt": ("10", "1000"),
    "clip_usdt": ("1000", "250000"),
    "unhedged_max_s": ("2", "120"),
    "slip_cex_bp": ("1", "50"),
    "slip_emergency_bp": ("50", "300"),
    "venue_cap": ("0.1", "1"),
    "shock": ("0.1", "0.5"),
    "z_open": ("1", "5"),
    "z_topup": ("0.5", "3"),
    "z_reduce": ("0.2", "2"),
    "z_emergency": ("0.1", "1"),
    "max_drawdown": ("0.01", "0.50"),
}
PAIR_RANGES: dict[str, tuple[str, str]] = {
    "leg_drift": ("0.005", "0.05"),
    "min_chain_move_usdt": ("500", "50000"),
    "m_star": ("0.25", "1"),
    "funding_halflife_h": ("24", "336"),
    "k_confirm": ("1", "9"),
    "slip_rt_bp": ("2", "40"),
    "hold_days_funding": ("7", "90"),
    "entry_net_apr": ("0", "0.20"),
    "exit_net_apr": ("0", "0.20"),
    "min_basis_bp": ("-30", "10"),
}
RANGES = EXCHANGE_RANGES | PAIR_RANGES
"""Bounds, both included, in the unit of the name."""


class BasisVenue(BaseModel):
    """One exchange: its spot and derivatives account (equal where unified) and its share of the book.

    ``network`` and ``withdrawal_fee_usdt`` describe the route between this exchange and the wallet or another one;
    without a network its money never leaves. ``route_eta_h`` is how long that takes, in market hours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    spot_account: str
    perp_account: str
    weight: Decimal = Field(default=ONE, ge=0, le=1)
    network: str | None = None
    withdrawal_fee_usdt: Decimal = Field(default=D(0), ge=0)
    route_eta_h: Decimal = Field(default=ONE, gt=0)
    internal_eta_s: Decimal = Field(default=D(0), ge=0)

    @property
    def is_unified(self) -> bool:
        """True when spot and perp share one account and one balance of USDT."""
        return self.spot_account == self.perp_account

    @property
    def cash_key(self) -> PositionKey:
        """USDT that pays for spot."""
        return PositionKey.of(self.spot_account, Kind.SPOT, QUOTE)

    @property
    def margin_key(self) -> PositionKey:
        """USDT that carries the short."""
        return PositionKey.of(self.perp_account, Kind.SPOT, QUOTE)

    @property
    def way(self) -> Way:
        """How its margin is reached."""
        return Way(
            cash_key=self.cash_key,
            margin_key=self.margin_key,
            is_connected=self.network is not None,
            fee_usdt=self.withdrawal_fee_usdt,
            route_eta_h=self.route_eta_h,
            internal_eta_h=self.internal_eta_s / HOUR_S,
        )

    def spot_key(self, asset: str) -> PositionKey:
        """The long leg, also the name of its pair."""
        return PositionKey.of(self.spot_account, Kind.SPOT, asset)

    def perp_key(self, asset: str) -> PositionKey:
        """The short leg."""
        return PositionKey.of(self.perp_account, Kind.PERP, f"{asset}{QUOTE}")


class CheckedParameters(BaseModel):
    """A frozen parameter set. Raises ConfigError naming key, value and range."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="after")
    def _is_within_ranges(self) -> Self:
        refuse(f"parameters of {type(self).__name__}", self._faults())
        return self

    def _faults(self) -> list[str]:
        return []


class ExchangeParameters(CheckedParameters):
    """Of every book at exchanges; ``shock`` is by default that of the asset."""

    asset: str = "BTC"
    venues: tuple[BasisVenue, ...]
    decision_interval_s: Decimal = D(15)
    delta_soft: Decimal = D("0.010")
    delta_rest: Decimal = D("0.002")
    delta_hard: Decimal = D("0.030")
    min_order_usdt: Decimal = D(50)
    clip_usdt: Decimal = D(25_000)
    unhedged_max_s: Decimal = D(20)
    slip_cex_bp: Decimal = D(10)
    slip_emergency_bp: Decimal = D(100)
    venue_cap: Decimal = D("0.50")
    shock: Decimal = SHOCKS["BTC"]
    z_open: Decimal = D("1.5")
    z_topup: Decimal = ONE
    z_reduce: Decimal = D("0.5")
    z_emergency: Decimal = D("0.25")
    max_drawdown: Decimal = D("0.05")

    @model_validator(mode="before")
    @classmethod
    def _with_the_shock_of_its_asset(cls, given: dict[str, object]) -> dict[str, object]:
        asset = given.get("asset")
        return {"shock": SHOCKS[asset], **given} if isinstance(asset, str) else given

    def _faults(self) -> list[str]:
        return super()._faults() + range_faults(self, EXCHANGE_RANGES) + _order_faults(self) + _venue_faults(self)

    @property
    def ladder(self) -> Ladder:
        """The margin ladder; a buy-back ends a tenth of a shock above the top-up level."""
        return Ladder(self.z_open, self.z_topup + D("0.1"), self.z_topup, self.z_reduce, self.z_emergency)

    @property
    def initial_weights(self) -> dict[str, Decimal]:
        """``w'`` of a book that has seen nothing."""
        return capped_weights({venue.name: venue.weight for venue in self.venues}, self.venue_cap)


class BasisParameters(ExchangeParameters):
    """Of a book with pairs at exchanges; a family is another set of defaults.

    ``share_class`` is what the return is measured in. ``uses_prediction`` is off where no predicted funding was
    recorded (replay).
    """

    share_class: Literal["USDT"] = "USDT"
    leg_drift: Decimal = D("0.020")
    min_chain_move_usdt: Decimal = D(5000)
    m_star: Decimal = D("0.40")
    funding_halflife_h: Decimal = D(72)
    k_confirm: int = 3
    slip_rt_bp: Decimal = D(6)
    hold_days_funding: Decimal = D(30)
    entry_net_apr: Decimal = D("0.040")
    exit_net_apr: Decimal = D("0.005")
    min_basis_bp: Decimal = D(-10)
    uses_prediction: bool = True

    def _faults(self) -> list[str]:
        rising = {"exit_net_apr < entry_net_apr": (self.exit_net_apr, self.entry_net_apr)}
        return super()._faults() + range_faults(self, PAIR_RANGES) + rising_faults(rising)


def refuse(whose: str, faults: list[str]) -> None:
    """Raises ConfigError naming every fault; none is fine."""
    if faults:
        msg = f"{whose}: {'; '.join(faults)}"
        raise ConfigError(msg)


def range_faults(parameters: BaseModel, ranges: Mapping[str, tuple[str, str]]) -> list[str]:
    """Values outside their bounds, both included."""
    return [
        f"{key} {getattr(parameters, key)}, expected {low} to {high}"
        for key, (low, high) in ranges.items()
        if not D(low) <= getattr(parameters, key) <= D(high)
    ]


def rising_faults(rising: Mapping[str, tuple[Decimal, ...]]) -> list[str]:
    """Rules whose values do not rise strictly."""
    return [
        f"{rule} is broken: {', '.join(map(str, values))}"
        for rule, values in rising.items()
        if any(low >= high for low, high in pairwise(values))
    ]


def _order_faults(p: ExchangeParameters) -> list[str]:
    return rising_faults(
        {
            "z_emergency < z_reduce < z_topup < z_open": (p.z_emergency, p.z_reduce, p.z_topup, p.z_open),
            "delta_rest < delta_soft < delta_hard": (p.delta_rest, p.delta_soft, p.delta_hard),
            "slip_cex_bp < slip_emergency_bp": (p.slip_cex_bp, p.slip_emergency_bp),
        }
    )


def _venue_faults(p: ExchangeParameters) -> list[str]:
    names = [venue.name for venue in p.venues]
    faults = [] if len(set(names)) == len(names) else [f"venues {names}, expected every name once"]
    if sum((venue.weight for venue in p.venues), D(0)) <= 0:
        faults.append(f"venues {names}, expected at least one with a weight above 0")
    return faults
