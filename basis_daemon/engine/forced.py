"""A leg that its venue reduced by itself: how long the book stands unhedged until the repair, and what is left to say.

The clock begins when the fill was booked and ends when net delta is back within what the strategy leaves alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from basis_daemon.domain.decision import Assessment, Exposure
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.codec import GroupRow

SOFT = "delta_soft"
"""The threshold, a fraction of equity, that an assessment compares net delta with."""
REPAIRED = "repaired"
_NS = Decimal(1_000_000_000)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Gap:
    """A forced reduction that is not repaired yet; notional in quote units, worst so far."""

    trade: Trade
    base: str
    since_ns: int
    notional: Decimal
    is_told: bool = False


class ForcedWatch:
    """Holds the open gap of one strategy. Pure but for its own state; the caller hands in the monotonic clock."""

    def __init__(self, strategy: str, unhedged_max_s: Decimal) -> None:
        self._strategy = strategy
        self._limit_s = unhedged_max_s
        self._gap: Gap | None = None

    def open(self, trade: Trade, base: str, now_ns: int) -> None:
        """A forced fill was booked; several fills of one reduction are one gap."""
        worst = trade.qty_quote
        if self._gap is None:
            self._gap = Gap(trade, base, now_ns, worst)
        else:
            self._gap = replace(self._gap, notional=self._gap.notional + worst)

    def close(self, exposure: Exposure, assessment: Assessment, now_ns: int) -> GroupRow | None:
        """The leg risk that was run, once net delta is within the strategy's bound again; None before."""
        gap, equity = self._gap, exposure.equity_usdt
        if gap is None or equity is None or equity <= 0 or gap.base not in exposure.prices:
            return None
        share = abs(exposure.net_delta.get(gap.base, ZERO)) * exposure.prices[gap.base] / equity
        if share > assessment.thresholds.get(SOFT, ZERO):
            return None
        self._gap = None
        how = f"{gap.trade.origin} {REPAIRED}"
        stood_s = self._age_s(gap, now_ns)
        return GroupRow(gap.trade.trade_id, self._strategy, gap.notional, stood_s, how, gap.notional * stood_s)

    def overdue(self, now_ns: int) -> dict[str, str] | None:
        """What to tell, once, about a gap that stands longer than the leg budget allows."""
        gap = self._gap
        if gap is None or gap.is_told or self._age_s(gap, now_ns) <= self._limit_s:
            return None
        self._gap = replace(gap, is_told=True)
        return {
            "strategy": self._strategy,
            "cause": gap.trade.origin,
            "instrument": gap.trade.instrument,
            "unhedged_s": str(self._age_s(gap, now_ns)),
            "max": str(self._limit_s),
        }

    @staticmethod
    def _age_s(gap: Gap, now_ns: int) -> Decimal:
        return (now_ns - gap.since_ns) / _NS
