"""What a strategy is shown and what it answers: exposure, risk, and the assessment behind every list of orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from basis_daemon.domain.chain import ClaimReport, LendingReport
from basis_daemon.domain.instrument import PositionKey, unit_worth
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.position import Break


class ReasonCode(StrEnum):
    """Why a plan, or a hold, was decided (strategies.md 1.5)."""

    STALE = "STALE"
    IN_FLIGHT = "IN_FLIGHT"
    LIQ_TOPUP = "LIQ_TOPUP"
    LIQ_REDUCE = "LIQ_REDUCE"
    LIQ_EMERGENCY = "LIQ_EMERGENCY"
    DELTA = "DELTA"
    WITHDRAWAL = "WITHDRAWAL"
    DUST = "DUST"
    LEG_DRIFT = "LEG_DRIFT"
    LTV_BAND = "LTV_BAND"
    MARGIN_EXCESS = "MARGIN_EXCESS"
    ROTATE = "ROTATE"
    CARRY_EXIT = "CARRY_EXIT"
    SPIKE_EXIT = "SPIKE_EXIT"
    DRAWDOWN = "DRAWDOWN"
    ENTRY = "ENTRY"
    SCALE = "SCALE"
    SIGNAL = "SIGNAL"
    BRACKET = "BRACKET"
    FLATTEN = "FLATTEN"
    FLAT = "FLAT"
    HOLD = "HOLD"


@dataclass(frozen=True, slots=True)
class MarginState:
    """One derivatives account with its perp on ``underlying``, in the coin that the perp settles in.

    ``margin`` is wallet plus unrealised P&L without spot credit, ``notional`` what the quantity stands for at the mark,
    ``contract_value`` what one inverse contract does, in quote units; ``maintenance_rate`` is that of the current tier,
    ``usage`` the venue's maintenance over equity, 1 at liquidation. ``withdrawable`` is what the venue lets out of the
    account, None where it does not say.
    """

    account: str
    instrument: PositionKey
    underlying: str
    quantity: Decimal
    mark: Decimal
    margin: Decimal
    maintenance_rate: Decimal
    usage: Decimal
    contract_value: Decimal | None = None
    withdrawable: Decimal | None = None

    @property
    def notional(self) -> Decimal:
        """Absolute notional at mark."""
        return abs(self.quantity * unit_worth(self.mark, self.contract_value))


@dataclass(frozen=True, slots=True)
class Exposure:
    """One strategy's book in money: equity in USDT after accruals and in-transit funds, net delta in base units.

    ``equity_usdt`` is None when something held has no price or mark; ``unknown`` names them. Never zero. Equity above
    ``budget_usdt`` is a reserve that the strategy leaves alone; without a budget there is none. ``undeclared`` are
    balances at its accounts that nobody declared: told, shown, and counted in nothing else here. ``lendings`` are the
    protocols' own figures by account, ``claims`` the issuers' by request.
    """

    time: datetime
    equity_usdt: Decimal | None
    holdings: Mapping[PositionKey, Decimal]
    prices: Mapping[str, Decimal]
    net_delta: Mapping[str, Decimal]
    margins: tuple[MarginState, ...]
    unknown: tuple[str, ...] = ()
    budget_usdt: Decimal | None = None
    undeclared: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    lendings: Mapping[str, LendingReport] = field(default_factory=dict)
    claims: Mapping[PositionKey, ClaimReport] = field(default_factory=dict)

    @property
    def capital_usdt(self) -> Decimal | None:
        """What sizes and shares are counted in: equity up to the budget."""
        return None if self.equity_usdt is None else capital_of(self.equity_usdt, self.budget_usdt)


def capital_of(equity: Decimal, budget: Decimal | None) -> Decimal:
    """Equity up to the budget, all of it without one."""
    return equity if budget is None else min(equity, budget)


@dataclass(frozen=True, slots=True)
class LiquidationSite:
    """What can be liquidated: adverse ``distance`` of its driver (fraction), in shocks ``z``, at its level 0-3."""

    site: str
    driver: str
    distance: Decimal
    z: Decimal
    level: int


@dataclass(frozen=True, slots=True)
class RiskView:
    """What restricts a decision: open orders block repairs of their legs, doubt and breaks block new risk.

    ``halted_instruments`` take no new risk, each for the reason stated, until an operator has looked.
    ``latched`` says why the strategy must be out until an operator rearms it; empty while it may trade. ``flatten`` is
    the operator's reason to close everything now, whatever else restricts the book; empty unless it was said.
    """

    sites: tuple[LiquidationSite, ...]
    unit_value: Decimal
    unit_value_high: Decimal
    plan_in_flight: bool = False
    defence_in_flight: Mapping[str, int] = field(default_factory=dict)
    legs_with_open_orders: frozenset[PositionKey] = frozenset()
    guarded: frozenset[PositionKey] = frozenset()
    in_doubt: tuple[str, ...] = ()
    breaks: tuple[Break, ...] = ()
    is_killed: bool = False
    withdrawal_pending_usdt: Decimal = Decimal(0)
    halted_until: Mapping[str, datetime] = field(default_factory=dict)
    halted_instruments: Mapping[PositionKey, str] = field(default_factory=dict)
    latched: str = ""
    flatten: str = ""
    unit_value_of_day: Decimal | None = None

    @property
    def day_loss(self) -> Decimal | None:
        """Fraction that the unit value lies below that at the start of the UTC day; None while that is unknown."""
        start = self.unit_value_of_day
        return None if not start else max(1 - self.unit_value / start, Decimal(0))

    @property
    def drawdown(self) -> Decimal:
        """Fraction that the unit value lies below its high; 0 at the high."""
        return 1 - self.unit_value / self.unit_value_high if self.unit_value_high > 0 else Decimal(0)


@dataclass(frozen=True, slots=True)
class PlanEnded:
    """A plan of this strategy came to its end: what it was for, and whether all of it was done.

    ``targets`` and ``weights`` are those of the assessment behind the plan.
    """

    strategy: str
    decision: int
    reason: ReasonCode
    state: PlanState
    time: datetime
    targets: tuple[Target, ...] = ()
    weights: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputUsed:
    """A number that went into a decision, with its age on the process clock."""

    value: Decimal
    age_s: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rule that was looked at and did not act, and the comparison that stopped it."""

    rule: ReasonCode
    why: str


@dataclass(frozen=True, slots=True)
class Target:
    """Wanted against held under one key, in the key's own units."""

    key: PositionKey
    wanted: Decimal
    held: Decimal

    @property
    def difference(self) -> Decimal:
        """What an order would have to change."""
        return self.wanted - self.held


@dataclass(frozen=True, slots=True)
class Assessment:
    """The reasons behind one decision, HOLD included; ``make_strategy_decision`` turns ``targets`` into orders.

    ``urgency`` is 0 for ordinary plans and the ladder level for defence; ``note`` is one sentence for people;
    ``weights`` are the effective venue weights once the plan is done, empty where it leaves them.
    """

    time: datetime
    strategy: str
    trigger: str
    reason: ReasonCode
    note: str
    inputs: Mapping[str, InputUsed]
    thresholds: Mapping[str, Decimal]
    rejected: tuple[Rejected, ...] = ()
    targets: tuple[Target, ...] = ()
    urgency: int = 0
    page: bool = False
    weights: Mapping[str, Decimal] = field(default_factory=dict)
