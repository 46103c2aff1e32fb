"""Parameters of the books on the chain: strategies.md 1.4, one default each, every value checked against its range."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from pydantic import model_validator

from basis_daemon.domain.lending import HealthLadder
from basis_daemon.strategies.onchain_calls import Lst
from basis_daemon.strategies.parameters import BP, CheckedParameters, D, range_faults, rising_faults

ETH_DRAWDOWN, USDT_DRAWDOWN = D("0.10"), D("0.05")

RANGES: Mapping[str, tuple[str, str]] = {
    "decision_interval_s": ("1", "60"),
    "min_chain_move_usdt": ("500", "50000"),
    "max_gas_share": ("0.01", "0.50"),
    "gas_cap_gwei": ("5", "300"),
    "emergency_gas_cap_gwei": ("50", "2000"),
    "slip_dex_bp": ("5", "100"),
    "slip_emergency_bp": ("50", "300"),
    "reserve_eth": ("0.02", "2"),
    "max_drawdown": ("0.01", "0.50"),
}
LENDING_RANGES: Mapping[str, tuple[str, str]] = {
    "lend_buffer": ("0", "0.2"),
    "lend_min_apr": ("0", "0.1"),
    "lend_liq_share": ("0.01", "0.5"),
    "usdt_floor": ("0.95", "0.995"),
    "borrow_halflife_h": ("6", "336"),
}
STAKING_RANGES: Mapping[str, tuple[str, str]] = {
    "s_lst": ("0.005", "0.10"),
    "y_window_days": ("3", "30"),
    "reward_haircut": ("0", "1"),
    "c_exit_plan": ("0.0002", "0.02"),
    "dust_min": ("0.0005", "0.01"),
    "dust_gas_multiple": ("5", "100"),
    "eigenlayer_weight": ("0", "0.25"),
}
LEVERAGED_RANGES: Mapping[str, tuple[str, str]] = {
    "lambda_target": ("0", "0.88"),
    "lambda_up": ("0.005", "0.05"),
    "lambda_down": ("0.01", "0.10"),
    "ltv_buffer": ("0.01", "0.10"),
    "hf_min_target": ("1.05", "2"),
    "borrow_halflife_h": ("6", "336"),
    "carry_confirm_h": ("6", "336"),
    "spike_horizon_days": ("1", "14"),
    "carry_min_pickup": ("0", "0.05"),
    "hold_days_carry": ("30", "365"),
    "shock_lst": ("0.005", "0.10"),
}
"""Bounds, both included, in the unit of the name; a name without one is a fraction, of E or a year."""


class OnchainParameters(CheckedParameters):
    """What every book on the chain has."""

    decision_interval_s: Decimal = D(15)
    min_chain_move_usdt: Decimal = D(5000)
    max_gas_share: Decimal = D("0.20")
    gas_cap_gwei: Decimal = D(60)
    emergency_gas_cap_gwei: Decimal = D(400)
    slip_dex_bp: Decimal = D(30)
    slip_emergency_bp: Decimal = D(100)
    reserve_eth: Decimal = D("0.05")
    max_drawdown: Decimal = ETH_DRAWDOWN

    def _faults(self) -> list[str]:
        rising = {
            "gas_cap_gwei < emergency_gas_cap_gwei": (self.gas_cap_gwei, self.emergency_gas_cap_gwei),
            "slip_dex_bp < slip_emergency_bp": (self.slip_dex_bp, self.slip_emergency_bp),
        }
        return super()._faults() + range_faults(self, RANGES) + rising_faults(rising)

    @property
    def health_ladder(self) -> HealthLadder:
        """Of a debt; the default where there is none."""
        return HealthLadder()

    @property
    def shocks(self) -> Mapping[str, Decimal]:
        """The adverse move of every driver of a debt."""
        return {}

    @property
    def debt_target(self) -> Decimal | None:
        """Lambda that a debt is repaid to; None where there is none."""
        return None

    @property
    def exit_cost(self) -> Decimal:
        """Fraction of what is sold that a debt is repaid with."""
        return D(0)

    @property
    def slip_dex(self) -> Decimal:
        """Fraction of the rate that an ordinary sale may cost."""
        return self.slip_dex_bp * BP

    @property
    def slip_emergency(self) -> Decimal:
        """Fraction that defence may cost."""
        return self.slip_emergency_bp * BP


class LendingParameters(OnchainParameters):
    """Of ``pure_lending``; ``asset`` is also the class that the return is measured in."""

    asset: Literal["USDT", "ETH"] = "USDT"
    lend_buffer: Decimal = D("0.02")
    lend_min_apr: Decimal = D("0.010")
    lend_liq_share: Decimal = D("0.10")
    usdt_floor: Decimal = D("0.985")
    borrow_halflife_h: Decimal = D(72)

    @model_validator(mode="before")
    @classmethod
    def _with_the_drawdown_of_its_class(cls, given: dict[str, object]) -> dict[str, object]:
        return {"max_drawdown": ETH_DRAWDOWN if given.get("asset") == "ETH" else USDT_DRAWDOWN, **given}

    def _faults(self) -> list[str]:
        return super()._faults() + range_faults(self, LENDING_RANGES)


class StakingParameters(OnchainParameters):
    """Of ``eth_staking_only``; ``operators`` is the restaking sleeve's allow-list, its first entry the one used."""

    lst: Lst = Lst.WEETH
    s_lst: Decimal = D("0.022")
    y_window_days: int = 7
    reward_haircut: Decimal = D("0.50")
    c_exit_plan: Decimal = D("0.0012")
    dust_min: Decimal = D("0.002")
    dust_gas_multiple: Decimal = D(20)
    eigenlayer_weight: Decimal = D(0)
    operators: tuple[str, ...] = ()

    @property
    def y_window(self) -> timedelta:
        """Over which the rate's growth is measured."""
        return timedelta(days=self.y_window_days)

    def _faults(self) -> list[str]:
        faults = super()._faults() + range_faults(self, STAKING_RANGES)
        if self.eigenlayer_weight and not self.operators:
            faults.append(f"eigenlayer_weight {self.eigenlayer_weight} without operators, expected at least one")
        return faults


class LeveragedParameters(StakingParameters):
    """Of ``eth_leveraged``; the sleeve is never levered, so it has none."""

    reserve_eth: Decimal = D("0.40")
    eigenlayer_weight: Decimal = D(0)
    lambda_target: Decimal = D("0.85")
    lambda_up: Decimal = D("0.015")
    lambda_down: Decimal = D("0.030")
    ltv_buffer: Decimal = D("0.03")
    hf_min_target: Decimal = D("1.08")
    hf_warn: Decimal = D("1.09")
    hf_reduce: Decimal = D("1.07")
    hf_emergency: Decimal = D("1.04")
    borrow_halflife_h: Decimal = D(72)
    carry_confirm_h: int = 48
    spike_horizon_days: Decimal = D(3)
    carry_min_pickup: Decimal = D("0.010")
    hold_days_carry: Decimal = D(180)
    shock_lst: Decimal = D("0.025")

    def _faults(self) -> list[str]:
        rising = {"1 < hf_emergency < hf_reduce < hf_warn": (D(1), self.hf_emergency, self.hf_reduce, self.hf_warn)}
        faults = super()._faults() + range_faults(self, LEVERAGED_RANGES) + rising_faults(rising)
        if self.eigenlayer_weight:
            faults.append(f"eigenlayer_weight {self.eigenlayer_weight}, expected 0 in a levered book")
        return faults

    @property
    def health_ladder(self) -> HealthLadder:
        """By health factor."""
        return HealthLadder(self.hf_warn, self.hf_reduce, self.hf_emergency)

    @property
    def shocks(self) -> Mapping[str, Decimal]:
        """Of the token against ETH; a debt in ether knows no other driver."""
        return {self.lst.value: self.shock_lst}

    @property
    def debt_target(self) -> Decimal:
        """As configured; the protocol's limits may ask for less."""
        return self.lambda_target

    @property
    def exit_cost(self) -> Decimal:
        """As planned; a live quote may be dearer."""
        return self.c_exit_plan
