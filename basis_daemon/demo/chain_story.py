"""What happens on the sandbox chain while a strategy lives there: one story per kind of strategy, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from basis_daemon.domain.errors import ConfigError

D = Decimal


@dataclass(frozen=True, slots=True)
class Scene:
    """At ``at`` of the days, 0 to 1, ``action`` of a sandbox's control port is asked for with ``body``."""

    at: Decimal
    action: str
    body: Mapping[str, Any]
    says: str
    house: str = "chain"


@dataclass(frozen=True, slots=True)
class Story:
    """What the user begins with, whole tokens by symbol, and what then happens, in order.

    ``daily`` are actions of every market day that nobody mentions; ``setup`` are commands that run before the daemon
    starts. In fewer than ``days_min`` days the strategy would not get to its part. ``at_exchange`` are balances there
    that are not what the sandbox begins with. ``step`` is the market time between two looks while nothing happens; a
    carry that is confirmed hour by hour needs them hourly.
    """

    funds: Mapping[str, str]
    scenes: tuple[Scene, ...]
    days: int = 10
    days_min: int = 1
    daily: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    setup: tuple[tuple[str, ...], ...] = ()
    at_exchange: Mapping[str, str] = field(default_factory=dict)
    step: timedelta = timedelta(hours=1)


_RUSH = {"asset": "USDT", "borrow_apr": "0.30"}
_CALM = {"asset": "USDT", "borrow_apr": "0.062"}

LENDING = Story(
    funds={"USDT": "1000000", "ETH": "1"},
    scenes=(
        Scene(D("0.20"), "rates", _RUSH, "borrowers pay 30 % a year for USDT"),
        Scene(D("0.30"), "rates", _CALM, "the rush for USDT is over"),
        Scene(D("0.40"), "price", {"token": "weETH", "factor": "0.96"}, "the oracle marks weETH 4 % down: no matter"),
        Scene(D("0.50"), "price", {"token": "weETH", "factor": "1"}, "weETH is at par again"),
        Scene(D("0.60"), "rebase", {"protocol": "lido", "factor": "0.99"}, "a slashing takes 1 % of stETH: no matter"),
        Scene(D("0.80"), "price", {"token": "USDT", "usd": "0.98"}, "the oracle has USDT at 0.98 USD, below the floor"),
    ),
)
"""Rates and the peg of USDT are its affair; what happens to staking tokens is not."""

_PAR, _NEAR_PAR = {"pool": "weETH/WETH", "factor": "1"}, {"pool": "weETH/WETH", "factor": "1.006"}
"""The pool's liquidity lies within 2 % of where it began."""
_REWARDS = (("rebase", {"protocol": "etherfi", "factor": "1.00012"}), ("pool_price", _PAR))
"""4.5 % a year, as the issuer's oracle reports it, and a pool that knows."""
_WETH_RUSH, _WETH_CALM = {"asset": "WETH", "borrow_apr": "0.30"}, {"asset": "WETH", "borrow_apr": "0.026"}
_MARKED_DOWN, _AT_PAR = {"token": "weETH", "factor": "0.96"}, {"token": "weETH", "factor": "1"}
_SLASHED = {"protocol": "etherfi", "factor": "0.99"}

STAKING = Story(
    funds={"ETH": "400"},
    daily=_REWARDS,
    scenes=(
        Scene(D("0.20"), "rates", _WETH_RUSH, "borrowers pay 30 % a year for WETH: no matter without debt"),
        Scene(D("0.30"), "rates", _WETH_CALM, "the rush for WETH is over"),
        Scene(D("0.35"), "price", _MARKED_DOWN, "the oracle marks weETH 4 % down: no loss, it is worth its rate"),
        Scene(D("0.40"), "price", _AT_PAR, "weETH is at par again"),
        Scene(D("0.50"), "rebase", _SLASHED, "a slashing takes 1 %: a human decides"),
        Scene(D("0.50"), "pool_price", _PAR, "the pool follows"),
        Scene(D("0.65"), "rebase", {"protocol": "etherfi", "factor": "0.985"}, "another 1.5 %: it leaves"),
        Scene(D("0.65"), "pool_price", _NEAR_PAR, "the pool follows"),
        Scene(D("0.85"), "finalize", {"protocol": "etherfi"}, "the issuer pays what was handed back"),
    ),
)
"""Only the token's own rate is its affair: what the oracle and the lender say is not."""

_LEVERAGED_DAYS = 17


def _on(day: str) -> Decimal:
    return D(day) / _LEVERAGED_DAYS


LEVERAGED = Story(
    funds={"ETH": "15"},
    days=_LEVERAGED_DAYS,
    days_min=_LEVERAGED_DAYS,
    daily=_REWARDS,
    setup=(("wallet", "deploy", "--config", "daemon.yaml"),),
    scenes=(
        Scene(_on("9.5"), "rates", _WETH_RUSH, "borrowers pay 30 % a year for WETH: leverage is left within hours"),
        Scene(_on("9.6"), "rates", _WETH_CALM, "the rush for WETH is over"),
        Scene(_on("14"), "price", _MARKED_DOWN, "the oracle marks weETH 4 % down: debt is repaid"),
        Scene(_on("14.5"), "price", _AT_PAR, "weETH is at par again"),
        Scene(_on("15.2"), "rebase", _SLASHED, "a slashing takes 1 %: nothing is added, a human decides"),
        Scene(_on("15.2"), "pool_price", _PAR, "the pool follows"),
        Scene(_on("15.6"), "rebase", {"protocol": "etherfi", "factor": "0.993"}, "another 0.7 %: beyond its drawdown"),
        Scene(_on("15.6"), "pool_price", _PAR, "the pool follows"),
    ),
)
"""A week until the token's yield is known and two days until the carry is; then it levers up, leaves, comes back."""

_HEDGE_DAYS = 15


def _squeeze(day: str, rise: str, says: str) -> Scene:
    """Ether trades so much above its script."""
    shifts = {"spot:ETHUSDT": rise, "usdm:ETHUSDT": rise}
    return Scene(D(day) / _HEDGE_DAYS, "conditions", {"price_shift": shifts}, says, house="exchange")


HEDGE = Story(
    step=timedelta(hours=2),
    funds={"ETH": "0.2"},
    days=_HEDGE_DAYS,
    days_min=_HEDGE_DAYS,
    daily=_REWARDS,
    scenes=(
        _squeeze("6", "0.10", "ether jumps by 10 %: margin is released out of the token"),
        _squeeze("8.5", "0.23", "and further: what lies in the wallet goes to the margin"),
        _squeeze("10", "0", "the jump is over"),
    ),
)
"""Three days until the token's yield is known, one until the carry is; when funding turns it leaves."""

LEVERED_HEDGE = replace(HEDGE, setup=LEVERAGED.setup)
"""Two days more until leverage pays."""

OVERLAY = Story(
    step=timedelta(hours=2),
    funds={"ETH": "40"},
    days=_HEDGE_DAYS,
    days_min=_HEDGE_DAYS,
    scenes=(
        _squeeze("3", "-0.32", "ether falls by a third: idle margin repays, the pair stays"),
        _squeeze("4", "-0.25", "a part of it comes back"),
        _squeeze("5", "-0.18", "and more of it: margin is borrowed"),
        _squeeze("6", "-0.10", "and more of it"),
        _squeeze("7", "0", "ether is back"),
    ),
    at_exchange={"USDT": "0"},
)
"""Ether in the wallet and nothing at the exchange: what is there is borrowed."""

STORIES: Mapping[str, Story] = {
    "pure_lending": LENDING,
    "eth_staking_only": STAKING,
    "eth_leveraged": LEVERAGED,
    "usdt_market_neutral_no_leverage": HEDGE,
    "usdt_market_neutral": LEVERED_HEDGE,
    "eth_basis": OVERLAY,
}
"""By kind."""


def story_of(kind: str) -> Story:
    """Raises ConfigError for a kind that nobody has written one for."""
    if kind not in STORIES:
        raise ConfigError(f"no demo of kind {kind}: stories are written for {', '.join(STORIES)}")
    return STORIES[kind]
