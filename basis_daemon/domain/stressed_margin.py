"""A derivatives account whose marks all move together: margin, maintenance by tier, distance in shocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.risk_book import PerpRisk

ZERO, ONE = Decimal(0), Decimal(1)


@dataclass(frozen=True, slots=True)
class MarginAccount:
    """All perps of one account over one margin, which is coin and unrealised profit in quote units."""

    account: str
    perps: tuple[PerpRisk, ...]
    margin: Decimal
    missing: tuple[str, ...]

    def profit(self, mark_factor: Decimal, funding_share: Decimal) -> Decimal:
        """Of all perps once their marks have moved by ``mark_factor`` and shorts have earned ``funding_share``."""
        notionals = [perp.quantity * (perp.mark or ZERO) for perp in self.perps]
        return sum((n * (mark_factor - ONE) - n * funding_share for n in notionals), ZERO)

    def z(self, mark_factor: Decimal, funding_share: Decimal, shocks: Mapping[str, Decimal]) -> Decimal:
        """Shocks to liquidation after that, each mark against its position. Raises KeyError without a shock."""
        spare, taken = self.margin + self.profit(mark_factor, funding_share), ZERO
        for perp in self.perps:
            notional = abs(perp.quantity) * (perp.mark or ZERO) * mark_factor
            rate, deduction = tier_at(perp, notional)
            spare -= notional * rate - deduction
            taken += notional * (ONE + rate if perp.quantity < 0 else ONE - rate) * shocks[perp.underlying]
        return spare / taken


def tier_at(perp: PerpRisk, notional: Decimal) -> tuple[Decimal, Decimal]:
    """Maintenance rate and deduction of the bracket that holds ``notional``; of the last one above its cap."""
    if not perp.tiers:
        return perp.maintenance_rate, ZERO
    tier = next((tier for tier in perp.tiers if notional <= tier.notional_cap), perp.tiers[-1])
    return tier.maintenance_rate, tier.maintenance_deduction


def accounts_of(perps: Sequence[PerpRisk]) -> tuple[MarginAccount, ...]:
    """The accounts that these perps stand at; each perp's margin was told less what the others must keep."""
    found = []
    for account in dict.fromkeys(perp.account for perp in perps):
        own = tuple(perp for perp in perps if perp.account == account)
        kept = [_maintenance(perp) for perp in own]
        margin = own[0].margin + sum(kept[1:], ZERO)
        missing = tuple(name for perp in own for name in perp.missing)
        found.append(MarginAccount(account, own, margin, missing))
    return tuple(found)


def _maintenance(perp: PerpRisk) -> Decimal:
    notional = abs(perp.quantity) * (perp.mark or ZERO)
    rate, deduction = tier_at(perp, notional)
    return notional * rate - deduction
