"""What a difference between book and venue most likely is, and what is done about each kind: a table, a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from basis_daemon.domain.decision import Exposure
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.position import AccountReport, Break, BreakKind

ZERO = Decimal(0)
FEE_SHARE_MAX = Decimal("0.002")
"""Of what was traded: no taker fee of a venue we know is higher."""
FUNDING_SHARE_MAX = Decimal("0.03")
"""Of the open notional: the widest cap of one settlement."""
HOUR = timedelta(hours=1)


class Policy(StrEnum):
    """What is done about a break by itself."""

    WAIT = "wait"
    BOOK = "book as flow"
    ADOPT = "adopt"
    HALT = "halt"


@dataclass(frozen=True, slots=True)
class Treatment:
    """A kind's policy; ``patience_s`` is process time for which such a difference may last before it is a break."""

    policy: Policy
    patience_s: int
    means: str


TREATMENTS: Mapping[BreakKind, Treatment] = {
    BreakKind.LAG: Treatment(
        Policy.WAIT, 2, "something moved between question and answer: asked again, never a break by itself"
    ),
    BreakKind.FEE: Treatment(
        Policy.WAIT, 60, "no more than the fees of what was traded, the fill's row may tell late: the row is booked"
    ),
    BreakKind.FUNDING: Treatment(
        Policy.BOOK, 60, "no more than a settlement that has just fallen due: its income row is booked as a flow"
    ),
    BreakKind.ROUNDING: Treatment(Policy.BOOK, 2, "a fill's last digit: inside the tolerance, booked as `rounding`"),
    BreakKind.REBASE: Treatment(Policy.BOOK, 60, "a balance that grows by itself: no venue of today holds one"),
    BreakKind.EXTERNAL: Treatment(
        Policy.ADOPT,
        2,
        "another hand: its fills and transfers are booked with their owner from the venue's own rows, and halt the "
        "daemon where `reconcile.foreign` says so; without such rows no new risk until `basis-daemon repair`",
    ),
    BreakKind.UNKNOWN: Treatment(
        Policy.HALT, 2, "nothing explains it: no new risk until it is gone or `basis-daemon repair` has booked it"
    ),
}
assert TREATMENTS.keys() == set(BreakKind), "every kind of break needs its treatment"  # noqa: S101  a table that lags its enum must stop the import


@dataclass(frozen=True, slots=True)
class Clues:
    """What happened at an account since book and venue last agreed.

    ``traded`` is what moved under each key in its own units (quote units for the coin that perps are counted in),
    ``fee_assets`` what fees were paid in, ``differences`` the balances of other accounts that are off now.
    """

    agreed_at: datetime | None = None
    traded: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    fee_assets: frozenset[str] = frozenset()
    differences: Mapping[PositionKey, Decimal] = field(default_factory=dict)


def classify(item: Break, report: AccountReport, clues: Clues) -> BreakKind:
    """The likeliest kind of an unexplained difference."""
    if item.kind is BreakKind.LAG:
        return BreakKind.LAG
    key, off = item.key, item.difference
    if key.kind is Kind.PERP or _mirrors(key, off, clues):
        return BreakKind.EXTERNAL
    is_fee = key.symbol in clues.fee_assets or clues.traded.get(key, ZERO) > 0
    if off < 0 and is_fee and -off <= max(clues.traded.get(key, ZERO) * FEE_SHARE_MAX, _fee_alone(key, clues, off)):
        return BreakKind.FEE
    notional = sum((abs(cost) for cost in report.open_notional.values()), ZERO)
    if notional and _crossed_an_hour(report, clues) and abs(off) <= notional * FUNDING_SHARE_MAX:
        return BreakKind.FUNDING
    return BreakKind.UNKNOWN


def _mirrors(key: PositionKey, off: Decimal, clues: Clues) -> bool:
    """True when another account is off by the opposite: money moved between the two."""
    return any(other.symbol == key.symbol and amount == -off for other, amount in clues.differences.items())


def _fee_alone(key: PositionKey, clues: Clues, off: Decimal) -> Decimal:
    """A coin that only pays fees has no turnover of its own to compare with."""
    return -off if key.symbol in clues.fee_assets and key not in clues.traded else ZERO


def _crossed_an_hour(report: AccountReport, clues: Clues) -> bool:
    """True when a settlement may have fallen between the last agreement and this report: they fall on full hours."""
    if clues.agreed_at is None:
        return False
    hour = report.observed_at.replace(minute=0, second=0, microsecond=0)
    return clues.agreed_at - timedelta(minutes=1) <= hour <= report.observed_at


def breaks_markdown() -> str:
    """The page of docs/ that lists every kind of break with its policy."""
    rows = [f"| `{kind}` | {t.policy} | {t.patience_s} s | {t.means} |" for kind, t in TREATMENTS.items()]
    head = ["# What is done about a break", "", "Generated from `basis_daemon/domain/breaks.py`; do not edit.", ""]
    table = ["| kind | policy | patience | what it is, and what is done |", "|---|---|---|---|"]
    return "\n".join([*head, *table, *rows, ""])


def agreed(exposure: Exposure, breaks: Sequence[Break]) -> Exposure:
    """The holdings that book and venue both know of: what is closed by them is there for sure.

    Of what is in dispute the smaller part counts, and nothing where the two differ in sign.
    """
    held = exposure.holdings
    sure = {item.key: _common(held[item.key], item.difference) for item in breaks if item.key in held}
    if not sure:
        return exposure
    margins = tuple(replace(m, quantity=sure.get(m.instrument, m.quantity)) for m in exposure.margins)
    return replace(exposure, holdings={**held, **sure}, margins=margins)


def _common(ours: Decimal, difference: Decimal) -> Decimal:
    theirs = ours + difference
    return min(ours, theirs, key=abs) if ours * theirs > 0 else ZERO
