"""A staking token is worth its rate at the issuer; whether the market and the lender's oracle think so too."""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.domain.chain import LstTick
from basis_daemon.domain.staking import discount

PEG_BAND = Decimal("0.02")
"""Fraction of the rate: a price that far from it, either way, is no longer that of the same thing."""


def is_pegged(tick: LstTick) -> bool:
    """True while the DEX pays within the band around the rate; without a quote nobody knows."""
    return tick.pool_price is not None and not _are_apart(tick.pool_price, tick.rate)


def divergence(tick: LstTick) -> str | None:
    """Which of rate, market and oracle are a band apart, in words; None while all agree.

    A market that is silent says nothing for the peg; an oracle is absent where no lender lists the token.
    """
    pool, oracle, rate = tick.pool_price, tick.oracle_price_eth, tick.rate
    found = []
    if pool is None:
        found.append("no pool quotes it")
    elif _are_apart(pool, rate):
        found.append(f"the market pays {pool:.6f}, the issuer {rate:.6f}")
    if oracle is not None and _are_apart(oracle, rate):
        found.append(f"the oracle says {oracle:.6f}, the issuer {rate:.6f}")
    if oracle is not None and pool is not None and _are_apart(pool, oracle):
        found.append(f"the market pays {pool:.6f}, the oracle says {oracle:.6f}")
    return "; ".join(found) or None


def _are_apart(price: Decimal, other: Decimal) -> bool:
    return not other or abs(discount(price, other)) >= PEG_BAND
