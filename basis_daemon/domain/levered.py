"""Leveraged staking in numbers: one-shot sizing, de-levering, cash at constant lambda, and what the carry must pay.

``C`` collateral, ``D`` debt and every amount are ETH values at the Aave oracle; ``lam`` is D/C, ``k`` the oracle value
per ETH spent on the token, ``phi`` the flash loan's fee (0 in debt mode), ``c`` the whole cost of selling the token.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.lending import DAYS_PER_YEAR, ONE, ZERO

EXIT_PAD = Decimal("0.0005")
"""A full exit borrows so much more than the debt was when it was read; what is left over goes back to the lender."""


def lambda_target(
    configured: Decimal, ltv_max: Decimal, ltv_buffer: Decimal, threshold: Decimal, fall: Decimal, health_min: Decimal
) -> Decimal:
    """``lambda*``: as configured, but below the protocol's limit and healthy after the token ``fall``s."""
    return min(configured, ltv_max - ltv_buffer, threshold * (ONE - fall) / health_min)


# ----------------------------------------------------------------------------------------------------------- entry
@dataclass(frozen=True, slots=True)
class Lever:
    """A flash loan and the position after it."""

    flash: Decimal
    collateral: Decimal
    debt: Decimal

    @property
    def ltv(self) -> Decimal:
        """``lambda`` afterwards."""
        return self.debt / self.collateral


def lever(
    new: Decimal, collateral: Decimal, debt: Decimal, lam: Decimal, k: Decimal = ONE, phi: Decimal = ZERO
) -> Lever:
    """Adds ``new`` ETH to a position and lands it at ``lam`` exactly; a ``flash`` of 0 adds it without a loan.

    Gains from ``k`` above 1 are not counted on. Raises ValueError where no loan could reach ``lam``.
    """
    k = min(k, ONE)
    if ONE + phi <= lam * k:
        msg = f"lambda {lam} at k {k}, phi {phi}: every flash loan falls short of its own repayment"
        raise ValueError(msg)
    flash = max((lam * (collateral + k * new) - debt) / (ONE + phi - lam * k), ZERO)
    return lever_by(flash, new, collateral, debt, k, phi)


def lever_by(flash: Decimal, new: Decimal, collateral: Decimal, debt: Decimal, k: Decimal, phi: Decimal) -> Lever:
    """The position after a given flash loan, wherever lambda then lands."""
    return Lever(flash, collateral + k * (new + flash), debt + flash * (ONE + phi))


def loop_multiplier(lam: Decimal, borrows: int | None) -> Decimal:
    """Collateral per unit of equity after so many sequential borrows; None for the limit, which one shot reaches."""
    limit = ONE / (ONE - lam)
    return limit if borrows is None else limit * (ONE - lam ** (borrows + 1))


# -------------------------------------------------------------------------------------------------------- de-lever
@dataclass(frozen=True, slots=True)
class Delever:
    """``repaid`` by a flash loan, ``sold`` of the collateral to pay it back."""

    repaid: Decimal
    sold: Decimal

    @property
    def cost(self) -> Decimal:
        """What it takes out of equity."""
        return self.sold - self.repaid


def delever(collateral: Decimal, debt: Decimal, to: Decimal, c: Decimal, phi: Decimal = ZERO) -> Delever | str:
    """Repays until lambda is ``to`` exactly; or why no sale of the collateral could pay even for that.

    A position at or below ``to`` already asks for nothing. Where ``c >= 1 - to (1 + phi)`` the collateral above ``to``
    pays for less than it releases, and then all of it would not pay for all debt either: that is one refusal.
    """
    if debt <= to * collateral:
        return Delever(ZERO, ZERO)
    per_repaid = (ONE + phi) / (ONE - c)
    if debt * per_repaid > collateral:
        return f"repaying {debt} at cost {c} needs {debt * per_repaid} of collateral, found {collateral}"
    repaid = (debt - to * collateral) / (ONE - to * per_repaid)
    return Delever(repaid, repaid * per_repaid)


def delever_within(wanted: Delever, sale_max: Decimal, c: Decimal, phi: Decimal = ZERO) -> Delever:
    """As much of it as a sale of ``sale_max`` pays for."""
    if wanted.sold <= sale_max:
        return wanted
    return Delever(sale_max * (ONE - c) / (ONE + phi), sale_max)


@dataclass(frozen=True, slots=True)
class CashOut:
    """``repaid`` and ``withdrawn`` keep lambda; ``sold`` pays the flash loan, what is ``left`` is sold for the cash."""

    repaid: Decimal
    withdrawn: Decimal
    sold: Decimal

    @property
    def left(self) -> Decimal:
        """Collateral that is sold for the cash."""
        return self.withdrawn - self.sold


def cash_out(cash: Decimal, lam: Decimal, c: Decimal, phi: Decimal = ZERO) -> CashOut | str:
    """Frees ``cash`` at constant lambda, which lies above 0; or why no sale could."""
    per_repaid = (ONE - c) / lam - (ONE + phi)
    if per_repaid <= 0:
        return f"at lambda {lam} a sale at cost {c} frees nothing"
    repaid = cash / per_repaid
    return CashOut(repaid, repaid / lam, repaid * (ONE + phi) / (ONE - c))


@dataclass(frozen=True, slots=True)
class FullExit:
    """``flash`` borrowed to repay all debt, ``min_out`` that the sale must bring."""

    flash: Decimal
    min_out: Decimal


def full_exit(debt: Decimal, phi: Decimal = ZERO) -> FullExit:
    """The loan covers what accrues until inclusion; the pad itself goes back unspent."""
    flash = debt * (ONE + EXIT_PAD)
    return FullExit(flash, debt + phi * flash)


# ----------------------------------------------------------------------------------------------------------- carry
def levered_apr(y: Decimal, b: Decimal, lam: Decimal) -> Decimal:
    """Yield on equity of a token that earns ``y``, ``lam`` of it borrowed at ``b``."""
    return (y - lam * b) / (ONE - lam)


def round_trip(c_exit: Decimal, k: Decimal, phi_in: Decimal, phi_out: Decimal) -> Decimal:
    """``c_rt``: fraction of the debt that entering and leaving cost."""
    return c_exit + (ONE - min(k, ONE)) + phi_in + phi_out


def pickup(y_eff: Decimal, b: Decimal, lam: Decimal, cost: Decimal, hold_days: Decimal) -> Decimal:
    """What leverage adds to the yield on equity a year, its round trip spread over the holding period."""
    return lam / (ONE - lam) * (y_eff - b - cost * DAYS_PER_YEAR / hold_days)


def spread_that_pays(c_exit: Decimal, days: Decimal) -> Decimal:
    """The b - y above which leaving at ``c_exit`` is cheaper than staying so many days."""
    return c_exit * DAYS_PER_YEAR / days


def held_return(growth_token: Decimal, growth_debt: Decimal, lam: Decimal) -> Decimal:
    """Return on equity of a position left alone while token and debt grow by these factors."""
    return (growth_token - lam * growth_debt) / (ONE - lam) - ONE
