"""What restricts one strategy: the risk it is shown before it decides, and the gate that its orders must pass after."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from basis_daemon.domain.decision import Assessment, Exposure, RiskView
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.margin import Ladder, liquidation_sites
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.position import PositionBook
from basis_daemon.domain.risk import GateInput, Refused, RiskLimits
from basis_daemon.domain.risk_checks import review
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.guard import Guard
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.picture import Picture
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.valuation import Valuer
from basis_daemon.ports import Clock

ONE = Decimal(1)
STOP = OrderOperation.STOP
_NOTHING: Mapping[Any, Any] = MappingProxyType({})
_MINUTE_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Permissions:
    """What this process may do at all: which operations each account executes, and what the strategy declared."""

    operations: Mapping[str, frozenset[OrderOperation]]
    declared_keys: frozenset[PositionKey]
    is_armed: Callable[[], bool]


class RiskDesk:
    """Shows risk and reviews plans for one strategy, by the same limits and the same book."""

    def __init__(
        self,
        *,
        limits: RiskLimits,
        ladder: Ladder,
        permissions: Permissions,
        recorder: Recorder,
        guard: Guard,
        clock: Clock,
    ) -> None:
        self._limits = limits
        self._ladder = ladder
        self._permissions = permissions
        self._recorder = recorder
        self._guard = guard
        self._clock = clock
        self._accounts = frozenset(key.venue for key in permissions.declared_keys)
        self._approved_ns: deque[int] = deque(maxlen=limits.orders_per_minute_max + 1)
        self.valuer: Valuer | None = None
        self.peers: Callable[[], Sequence[Exposure]] = tuple

    def is_armed(self) -> bool:
        """True while orders may leave."""
        return self._permissions.is_armed()

    def view(self, exposure: Exposure, book: PositionBook, running: Sequence[Assessment]) -> RiskView:
        """Sites, share price, and everything that blocks: plans in flight, open orders, doubt, breaks, the guard.

        ``book`` holds the strategy's own accounts; orders at others, in doubt or not, block somebody else.
        """
        valuer, state, accounts = self.valuer, self._recorder.state, self._accounts
        living = state.open_orders()
        if living:
            living = [life for life in living if life.order.venue in accounts]
        stops = [life.order for life in living if life.order.operation is STOP and not life.is_in_doubt]
        living = [life for life in living if not life.rests] if living else living
        return RiskView(
            sites=liquidation_sites(exposure.margins, self._limits.shocks, self._ladder) if exposure.margins else (),
            unit_value=valuer.unit_value if valuer else ONE,
            unit_value_high=valuer.unit_value_high if valuer else ONE,
            plan_in_flight=bool(running) and any(plan.urgency == 0 for plan in running),
            defence_in_flight=_defended(running) if running else _NOTHING,
            legs_with_open_orders=frozenset([life.order.instrument for life in living]) if living else frozenset(),
            guarded=frozenset([stop.instrument for stop in stops]) if stops else frozenset(),
            in_doubt=_doubts(living, running) if living else (),
            breaks=book.breaks,
            is_killed=self._guard.state is not GuardState.ACTIVE,
            halted_instruments=_at(accounts, state.halts) if state.halts else _NOTHING,
            withdrawal_pending_usdt=state.pending_withdrawal(self._permissions.declared_keys),
            latched=valuer.latched if valuer else "",
            flatten=self._guard.flattens,
            unit_value_of_day=valuer.unit_value_of_day if valuer else None,
        )

    def gate(self, orders: Sequence[Order], picture: Picture, assessment: Assessment) -> tuple[str, ...]:
        """Denials in words, empty when the whole list may go."""
        now_ns, guard = self._clock.monotonic_ns(), self._guard.state
        while self._approved_ns and now_ns - self._approved_ns[0] > _MINUTE_NS:
            self._approved_ns.popleft()
        seen = GateInput(
            market=picture.market,
            exposure=picture.exposure,
            risk=picture.risk,
            declared_keys=self._permissions.declared_keys,
            operations=self._permissions.operations,
            is_armed=self._permissions.is_armed(),
            is_reducing=guard is GuardState.REDUCING,
            is_halted=guard is GuardState.HALTED,
            caution=self._guard.caution,
            level=assessment.urgency,
            known_ids=self._recorder.state.orders,
            sent_last_minute=len(self._approved_ns),
            peers=self.peers() if self._limits.caps.shares else (),
        )
        verdict = review(orders, self._limits, seen)
        if isinstance(verdict, Refused):
            return tuple(str(denial) for denial in verdict.denials)
        self._approved_ns.extend([now_ns] * len(orders))
        return ()


def _doubts(living: Sequence[OrderLife], running: Sequence[Assessment]) -> tuple[str, ...]:
    """Orders in doubt; one of a strategy whose own plan is running is that plan's business, and no doubt."""
    busy = {plan.strategy for plan in running}
    return tuple([life.order.order_id for life in living if life.is_in_doubt and life.order.strategy not in busy])


def _defended(running: Sequence[Assessment]) -> Mapping[str, int]:
    """Accounts where defence is under way, each with its level."""
    kinds = {Kind.PERP, Kind.SPOT, Kind.ATOKEN, Kind.VDEBT}
    defence = [(target.key, plan.urgency) for plan in running if plan.urgency for target in plan.targets]
    return MappingProxyType({key.venue: urgency for key, urgency in defence if key.kind in kinds})


def _at(accounts: frozenset[str], halts: Mapping[PositionKey, str]) -> Mapping[PositionKey, str]:
    return MappingProxyType({key: why for key, why in halts.items() if key.venue in accounts})
