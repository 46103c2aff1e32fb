"""Transfers between an exchange and the wallet: the steps that one goes through, and where money may go at all.

A step is on disk before the next call leaves, so whoever comes after a crash knows what may have happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NoReturn

from basis_daemon.domain.errors import ErrorClass, IllegalTransitionError, OrderRejectedError
from basis_daemon.domain.order import Order

DAY = timedelta(days=1)
KEPT = timedelta(days=60)
"""How long an ended transfer is remembered: venues tell of it again, and a route that was tested stays so."""
WALLET = "wallet"
"""What orders call the wallet on the chain."""
UNAPPROVED = "unapproved"
"""The code of a refusal that one word of a person would lift."""


class TransferStep(StrEnum):
    """How far a transfer has come. What is planned and not yet SUBMITTING is its order's intent.

    UNKNOWN: it may have left, only asking tells. MANUAL: it takes too long, a person has to look; nothing is repeated.
    """

    SUBMITTING = "SUBMITTING"
    UNKNOWN = "UNKNOWN"
    SUBMITTED = "SUBMITTED"
    APPROVED = "APPROVED"
    ONCHAIN = "ONCHAIN"
    CONFIRMED = "CONFIRMED"
    CREDITED = "CREDITED"
    DONE = "DONE"
    FAILED = "FAILED"
    RETURNED = "RETURNED"
    MANUAL = "MANUAL"


T = TransferStep
_ROAD = (T.SUBMITTING, T.UNKNOWN, T.SUBMITTED, T.APPROVED, T.ONCHAIN, T.CONFIRMED, T.CREDITED, T.DONE)
ENDS = frozenset({T.DONE, T.FAILED, T.RETURNED})
NEXT: dict[TransferStep, frozenset[TransferStep]] = {
    **{step: frozenset(_ROAD[place + 1 :]) | ENDS | {T.MANUAL} for place, step in enumerate(_ROAD)},
    T.MANUAL: ENDS,
    **{end: frozenset[TransferStep]() for end in ENDS},
}
"""Steps may be skipped, because who was away saw none of them; none is taken back."""


@dataclass(frozen=True, slots=True)
class TransferRow:
    """One transfer as far as it has come; amounts in units of ``coin``, ``at`` when it was submitted (wall clock).

    ``amount`` is what leaves ``source``, ``fee`` of it stays on the way. ``held_source`` and ``held_target`` were there
    before it left. ``venue_id`` is the exchange's own number, ``approval`` the id of the one that it needed.
    """

    order_id: str
    source: str
    target: str
    coin: str
    network: str
    address: str
    amount: Decimal
    fee: Decimal
    held_source: Decimal
    held_target: Decimal
    at: datetime
    step: TransferStep = TransferStep.SUBMITTING
    venue_id: str = ""
    tx_id: str = ""
    why: str = ""
    approval: str = ""

    @property
    def is_open(self) -> bool:
        """True until it has ended."""
        return self.step not in ENDS

    def is_kept(self, now: datetime) -> bool:
        """False for one that ended so long ago that nobody asks about it."""
        return self.is_open or self.at > now - KEPT

    def check_next(self, step: TransferStep) -> None:
        """Raises IllegalTransitionError for a step that cannot follow."""
        if step is not self.step and step not in NEXT[self.step]:
            raise IllegalTransitionError(
                f"transfer {self.order_id}: {self.step} -> {step}, expected one of {sorted(NEXT[self.step])}"
            )


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """A person's word that one transfer of at most ``up_to`` units of ``coin`` may take a route, until then (wall)."""

    approval_id: str
    source: str
    target: str
    coin: str
    up_to: Decimal
    at: datetime
    until: datetime
    why: str

    def is_kept(self, now: datetime) -> bool:
        """False for one that ran out so long ago that no transfer of it is remembered."""
        return self.until > now - KEPT


@dataclass(frozen=True, slots=True)
class Route:
    """Where one coin may go: from account to account at this address, so much at once and within 24 hours.

    Until one transfer has arrived on it, an order is cut to ``first_max``: the test of a new route. More than
    ``approve_above`` needs a second person's word each time.
    """

    source: str
    target: str
    coin: str
    address: str
    once_max: Decimal
    day_max: Decimal
    first_max: Decimal
    approve_above: Decimal


@dataclass(frozen=True, slots=True)
class Admission:
    """What of an order may leave, where, and by whose word; ``approval`` is empty where none is needed."""

    route: Route
    amount: Decimal
    approval: str = ""


@dataclass(frozen=True, slots=True)
class RouteBook:
    """Every way that money may take over ``network``; whatever is not in it is refused."""

    network: str
    routes: tuple[Route, ...]

    def admitted(
        self, order: Order, rows: Sequence[TransferRow], approvals: Iterable[ApprovalRow], now: datetime
    ) -> Admission:
        """What of an order may leave now, ``rows`` and ``approvals`` being all that are known.

        Raises OrderRejectedError for a stranger, a bound, another one under way with the same coin at the same
        exchange, one that a person has to look at, or one that nobody has approved.
        """
        route = self._route(order)
        for row in rows:
            if row.step is T.MANUAL:
                _refuse(order, f"{row.order_id} takes too long and needs a person; nothing new leaves", "manual")
            if row.is_open and row.coin == route.coin and {row.source, row.target} == {route.source, route.target}:
                _refuse(order, f"{row.order_id} is under way with {row.coin}, expected none", "under_way")
        on_it = [row for row in rows if (row.source, row.target, row.coin, row.address) == _name(route)]
        if order.quantity > route.once_max:
            _refuse(order, f"{order.quantity} {route.coin}, expected at most {route.once_max} at once", "once_max")
        is_new = not any(row.step is T.DONE for row in on_it)
        amount = min(order.quantity, route.first_max) if is_new else order.quantity
        sent = sum((row.amount for row in on_it if row.at > now - DAY and row.step is not T.FAILED), Decimal(0))
        if sent + amount > route.day_max:
            why = f"{amount} {route.coin} after {sent} within 24 hours, expected at most {route.day_max}"
            _refuse(order, why, "day_max")
        if amount <= route.approve_above:
            return Admission(route, amount)
        spent = {row.approval for row in rows if row.step is not T.FAILED}
        fitting = [one for one in approvals if one.approval_id not in spent and _covers(one, route, amount, now)]
        if not fitting:
            command = f"basis-daemon transfers approve {route.source} {route.target} {route.coin} {amount}"
            why = f"{amount} {route.coin} is more than {route.approve_above}, expected an approval: `{command}`"
            _refuse(order, why, UNAPPROVED)
        return Admission(route, amount, min(fitting, key=lambda one: (one.up_to, one.until)).approval_id)

    def _route(self, order: Order) -> Route:
        coin = order.token_in.symbol if order.token_in is not None else "nothing"
        if order.network != self.network:
            _refuse(order, f"network {order.network}, expected {self.network}", "network", ErrorClass.BAD_PARAMS)
        wanted = order.venue, order.recipient, coin
        found = next((route for route in self.routes if (route.source, route.target, route.coin) == wanted), None)
        if found is None:
            known = ", ".join(f"{route.coin} {route.source} to {route.target}" for route in self.routes) or "none"
            why = f"{coin} {order.venue} to {order.recipient}, expected one of the address book: {known}"
            _refuse(order, why, "recipient", ErrorClass.AUTH)
        return found


def _covers(one: ApprovalRow, route: Route, amount: Decimal, now: datetime) -> bool:
    named = (one.source, one.target, one.coin) == (route.source, route.target, route.coin)
    return named and amount <= one.up_to and one.at <= now < one.until


def _name(route: Route) -> tuple[str, str, str, str]:
    return route.source, route.target, route.coin, route.address


def _refuse(order: Order, why: str, code: str, error_class: ErrorClass = ErrorClass.RETRYABLE) -> NoReturn:
    raise OrderRejectedError(f"transfer {order.order_id}: {why}", error_class, code)
