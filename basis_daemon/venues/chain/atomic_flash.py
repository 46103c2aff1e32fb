"""Where a group's loan comes from: the cheapest lender that has enough, and that the plan pays enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from basis_daemon.domain.errors import PlanRefusedError

WHOLE_BP = 10_000


class LenderName(StrEnum):
    """Whose callback the receiver answers."""

    AAVE = "aave_v3"
    MORPHO = "morpho"


@dataclass(frozen=True, slots=True)
class Lender:
    """What one lender offers at one block: fee in basis points of the loan, wei of WETH that it can lend."""

    name: LenderName
    fee_bp: int
    available: int

    def fee(self, loan: int) -> int:
        """Wei on top of the loan, rounded up as the lender does."""
        return -(-loan * self.fee_bp // WHOLE_BP)


def choose_lender(group: str, loan: int, repaid: int, lenders: Sequence[Lender]) -> Lender:
    """The cheapest lender of ``loan`` wei, the deepest of equals; the plan repays ``repaid`` wei at most.

    Raises PlanRefusedError that tells what each lender would have needed.
    """
    fit = [lender for lender in lenders if lender.available >= loan and loan + lender.fee(loan) <= repaid]
    if not fit:
        offers = "; ".join(
            f"{lender.name} has {lender.available} and takes {loan + lender.fee(loan)}" for lender in lenders
        )
        raise PlanRefusedError(
            f"group {group}: nobody lends {loan} wei of WETH for {repaid} back: {offers or 'there is no lender'}"
        )
    return min(fit, key=lambda lender: (lender.fee(loan), -lender.available))
