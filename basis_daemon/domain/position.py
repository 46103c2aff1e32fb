"""What we hold, what the venues say we hold, and the typed differences between the two."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from basis_daemon.domain.chain import ClaimReport, LendingReport
from basis_daemon.domain.instrument import Kind, PositionKey


@dataclass(frozen=True, slots=True)
class MarginReport:
    """A derivatives account in the venue's own figures, in its margin coin.

    ``withdrawable`` is what of it may leave now, None where the venue does not say.
    """

    wallet: Decimal
    unrealised: Decimal
    maintenance: Decimal
    withdrawable: Decimal | None = None

    @property
    def equity(self) -> Decimal:
        """Margin balance."""
        return self.wallet + self.unrealised


@dataclass(frozen=True, slots=True)
class AccountReport:
    """A venue's word on one account at one instant.

    A key missing from ``holdings`` is zero at the venue, unless the report ``is_partial`` (a stream's word on what has
    just changed). ``open_notional`` is the signed cost of its perps, negative for a short. ``observed_at`` is market
    time, ``received_ns`` monotonic; ``covers`` names the kinds it speaks for.
    """

    account: str
    observed_at: datetime
    received_ns: int
    holdings: Mapping[PositionKey, Decimal]
    covers: frozenset[Kind]
    margin: MarginReport | None = None
    open_notional: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    open_order_ids: tuple[str, ...] = ()
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class AccountFigures:
    """What a protocol says of an account beside its balances, read at every head: its loan, and what is owed to it.

    ``observed_at`` is market time.
    """

    account: str
    observed_at: datetime
    lending: LendingReport | None = None
    claims: Mapping[PositionKey, ClaimReport] = field(default_factory=dict)


class BreakKind(StrEnum):
    """What a difference between book and venue most likely is; each kind has its policy."""

    LAG = "lag"
    FEE = "fee"
    FUNDING = "funding"
    ROUNDING = "rounding"
    REBASE = "rebase"
    EXTERNAL = "external"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Break:
    """Book against venue under one key: ``actual`` - ``expected`` exceeds ``tolerance``, all in the key's own units."""

    key: PositionKey
    expected: Decimal
    actual: Decimal
    tolerance: Decimal
    kind: BreakKind

    @property
    def difference(self) -> Decimal:
        """Positive when the venue holds more than the book."""
        return self.actual - self.expected


_ABSOLUTE = {"USDT": Decimal(1), "USDC": Decimal(1), "BTC": Decimal("1e-5"), "ETH": Decimal("1e-4")}
_FALLBACK = Decimal("1e-4")
_RELATIVE = Decimal("1e-6")


def tolerance(key: PositionKey, expected: Decimal, step: Decimal = Decimal(0)) -> Decimal:
    """``max(abs, 1e-6 of the position, one step)`` in the key's own units (strategies.md section 4)."""
    absolute = step if key.kind is Kind.PERP else _ABSOLUTE.get(key.symbol, _FALLBACK)
    return max(absolute, abs(expected) * _RELATIVE, step)


def find_breaks(
    expected: Mapping[PositionKey, Decimal],
    report: AccountReport,
    steps: Mapping[PositionKey, Decimal],
    explained: Mapping[PositionKey, BreakKind],
) -> tuple[Break, ...]:
    """Differences over the union of both sides' keys of this account, so that a vanished holding is seen.

    ``explained`` names, per key, why a difference is being waited for (a fill or funding row under way); an
    unexplained quantity change of a perp is EXTERNAL, of a balance UNKNOWN.
    """
    silent_means_zero = frozenset[Kind]() if report.is_partial else report.covers
    ours = {key for key in expected if key.venue == report.account and key.kind in silent_means_zero}
    found = []
    for key in sorted(ours | set(report.holdings)):
        have, say = expected.get(key, Decimal(0)), report.holdings.get(key, Decimal(0))
        bound = tolerance(key, have, steps.get(key, Decimal(0)))
        is_off = abs(say - have) >= bound if key.kind is Kind.PERP else abs(say - have) > bound
        if is_off:
            kind = explained.get(key, BreakKind.EXTERNAL if key.kind is Kind.PERP else BreakKind.UNKNOWN)
            found.append(Break(key, have, say, bound, kind))
    return tuple(found)


_COINS = frozenset({Kind.SPOT, Kind.TOKEN})


@dataclass(frozen=True, slots=True)
class PositionBook:
    """Immutable, versioned snapshot of all holdings; written by the handler alone, read by all."""

    version: int
    time: datetime
    holdings: Mapping[PositionKey, Decimal]
    open_notional: Mapping[PositionKey, Decimal]
    reports: Mapping[str, AccountReport] = field(default_factory=dict)
    figures: Mapping[str, AccountFigures] = field(default_factory=dict)
    in_doubt: tuple[str, ...] = ()
    breaks: tuple[Break, ...] = ()

    def part(
        self,
        accounts: Container[str],
        held: Mapping[PositionKey, Decimal] | None = None,
        costs: Mapping[PositionKey, Decimal] | None = None,
    ) -> PositionBook:
        """What lies at these accounts, ``held`` at ``costs`` if known; ``in_doubt`` stays that of the whole book."""
        if held is None or costs is None:
            held = MappingProxyType({k: amount for k, amount in self.holdings.items() if k.venue in accounts})
            costs = MappingProxyType({k: cost for k, cost in self.open_notional.items() if k.venue in accounts})
        return PositionBook(
            version=self.version,
            time=self.time,
            holdings=held,
            open_notional=costs,
            reports=MappingProxyType({name: report for name, report in self.reports.items() if name in accounts}),
            figures=MappingProxyType({name: told for name, told in self.figures.items() if name in accounts}),
            in_doubt=self.in_doubt,
            breaks=tuple([found for found in self.breaks if found.key.venue in accounts]),
        )

    def undeclared(self, keys: Container[PositionKey], assets: Container[str]) -> Mapping[PositionKey, Decimal]:
        """Balances, zeros too, neither under ``keys`` nor of ``assets``; a position or a debt is never one of them."""
        return {
            key: amount
            for key, amount in self.holdings.items()
            if key.kind in _COINS and key not in keys and key.symbol not in assets
        }

    def without(self, keys: Container[PositionKey]) -> PositionBook:
        """The same book, blind to what lies under these keys."""
        left = {key: amount for key, amount in self.holdings.items() if key not in keys}
        return replace(self, holdings=MappingProxyType(left))

    def quantity(self, key: PositionKey) -> Decimal:
        """Zero when the key was never posted to."""
        return self.holdings.get(key, Decimal(0))
