"""An atomic group becomes one transaction. Pure: orders and what the chain says in, the call and its needs out.

Amounts that the chain knows better are resolved there: all that was received is supplied, all debt is repaid. What this
cannot express is refused with the order's name; nothing is ever approximated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.order import Order, OrderOperation, PostConditionKind
from basis_daemon.venues.chain import aave
from basis_daemon.venues.chain.abi import MAX, Call, function
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.atomic_flash import Lender, LenderName, choose_lender
from basis_daemon.venues.chain.atomic_legs import (
    DEBT,
    EntryLegs,
    ExitLegs,
    legs_of,
    refuse,
    wei,
    wei_owed,
    withdrawn_at_most,
)
from basis_daemon.venues.chain.atomic_receiver import (
    WETH,
    Bounds,
    Entry,
    Exit,
    Permit,
    Route,
    enter_call,
    exit_call,
    exit_call_morpho,
)
from basis_daemon.venues.chain.erc20 import Allowance
from basis_daemon.venues.chain.tokens import ETHER_DECIMALS, units_of, units_owed

MULTICALL = function("multicall(bytes[]) -> (bytes[])")
AAVE = "aave_v3"
STAKERS: Mapping[str, tuple[str, Route]] = {"wstETH": ("lido", Route.LIDO), "weETH": ("etherfi", Route.ETHERFI)}
"""Which venue makes the token, and what the receiver calls that way."""
ACCRUAL_SHARE = 10_000
"""A balance that is wholly withdrawn may have grown until inclusion: one basis point more is allowed."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the compiler must know of the chain at one block. ``collateral`` is the owner's aTokens in wei by symbol.

    ``pool_fee`` names the pool that pays most for the group's swap (hundredths of a basis point), None without one.
    ``permit`` stands in for the aToken's allowance, where the owner can sign one.
    """

    emode: int
    has_multicall: bool
    lenders: tuple[Lender, ...]
    collateral: Mapping[str, int] = field(default_factory=dict)
    pool_fee: int | None = None
    permit: Permit | None = None


@dataclass(frozen=True, slots=True)
class GroupCall:
    """One transaction, and what must stand before it: ``before`` are calls of the owner, ``allowances`` exact.

    ``loan`` and ``fee`` in wei of WETH; ``fee`` is 0 where the loan becomes debt.
    """

    call: Call
    legs: EntryLegs | ExitLegs
    orders: tuple[Order, ...]
    lst: str
    loan: int
    fee: int
    lender: LenderName
    deadline: datetime
    allowances: tuple[Allowance, ...]
    before: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupCompiler:
    """Knows the contracts: ``receiver`` is ours, ``owner`` holds the position and sends the call."""

    book: AddressBook
    receiver: str
    owner: str

    def compile(self, orders: Sequence[Order], scene: Scene) -> GroupCall:
        """The transaction of one atomic group. Raises PlanRefusedError naming the order that it cannot express."""
        legs = legs_of(orders)
        for order in orders:
            if order.on_behalf_of not in {None, self.owner}:
                refuse(order, f"on behalf of {order.on_behalf_of}, expected {self.owner}")
        if isinstance(legs, EntryLegs):
            return self._entry(tuple(orders), legs, scene)
        return self._exit(tuple(orders), legs, scene)

    def _entry(self, orders: tuple[Order, ...], legs: EntryLegs, scene: Scene) -> GroupCall:
        loan, deadline = wei(legs.loan), _deadline(orders)
        lst = (legs.acquire.token_out or DEBT).symbol
        bounds = _bounds(orders, deadline, needs_health=True)
        plan = Entry(
            self.book.token(lst).address,
            _route(legs.acquire, lst),
            _pool_fee(legs.acquire, scene) if legs.acquire.operation is OrderOperation.SWAP else 0,
            wei(legs.acquire) - loan,
            _out_min(legs.acquire, orders),
            bounds,
        )
        call = enter_call(self.book, self.receiver, self.owner, loan, plan)
        emode = _emode_call(self.book, legs.emode, scene.emode)
        before = (emode,) if emode is not None and not scene.has_multicall else ()
        if emode is not None and scene.has_multicall:
            call = MULTICALL(call.to, [emode.data, call.data])
        own = (Allowance(WETH, self.book.token(WETH).address, self.receiver, plan.own),) if plan.own else ()
        return GroupCall(call, legs, orders, lst, loan, 0, LenderName.AAVE, deadline, own, before)

    def _exit(self, orders: tuple[Order, ...], legs: ExitLegs, scene: Scene) -> GroupCall:
        loan, deadline = wei(legs.loan), _deadline(orders)
        lender = choose_lender(str(orders[0].group_id), loan, wei_owed(legs.flash_repay), scene.lenders)
        lst = (legs.withdraw.token_out or DEBT).symbol
        is_full = legs.repay.amount == "MAX"
        plan = Exit(
            self.book.token(lst).address,
            _pool_fee(legs.sale, scene),
            MAX if is_full else wei(legs.repay),
            MAX if legs.withdraw.amount == "MAX" else wei(legs.withdraw),
            MAX if legs.sale.quantity == withdrawn_at_most(legs) else wei(legs.sale),
            _out_min(legs.sale, orders),
            _bounds(orders, deadline, needs_health=not is_full),
            scene.permit or Permit(),
        )
        call = exit_call(self.book, self.receiver, loan, plan)
        if lender.name is LenderName.MORPHO:
            call = exit_call_morpho(self.receiver, loan, plan)
        allowances = () if scene.permit else (self._collateral_allowance(lst, plan.withdraw, scene),)
        return GroupCall(call, legs, orders, lst, loan, lender.fee(loan), lender.name, deadline, allowances)

    def _collateral_allowance(self, lst: str, withdraw: int, scene: Scene) -> Allowance:
        held = scene.collateral.get(lst, 0)
        units = held + held // ACCRUAL_SHARE + 1 if withdraw == MAX else withdraw
        return Allowance(f"a{lst}", self.book.reserve(lst).atoken, self.receiver, units)


def _pool_fee(order: Order, scene: Scene) -> int:
    if scene.pool_fee is None:
        refuse(order, f"no pool trades {order.token_in} for {order.token_out} (route {order.route or 'not named'})")
    return scene.pool_fee


def _route(order: Order, lst: str) -> Route:
    if order.operation is OrderOperation.SWAP:
        return Route.SWAP
    venue, route = STAKERS[lst]
    if order.venue != venue:
        refuse(order, f"venue {order.venue}, expected {venue}, which makes {lst}")
    return route


def _emode_call(book: AddressBook, order: Order | None, current: int) -> Call | None:
    if order is None:
        return None
    if not (order.memo or "").isdecimal():
        refuse(order, f"memo {order.memo!r}, expected the number of an e-mode category")
    category = int(order.memo or 0)
    return aave.set_emode(book, category) if category != current else None


def _deadline(orders: Sequence[Order]) -> datetime:
    named = [order.deadline for order in orders if order.deadline is not None]
    if not named:
        refuse(orders[0], "no leg of the group has a deadline")
    return min(named)


def _out_min(order: Order, orders: Sequence[Order]) -> int:
    """Wei that must come out of a swap or stake: its own minimum, or a post-condition's on the same token."""
    out = str(order.token_out)
    bounds = [units_owed(bound, ETHER_DECIMALS) for bound in _conditions(orders, PostConditionKind.OUT_MIN, out)]
    own = units_owed(order.min_out or Decimal(0), ETHER_DECIMALS)
    if own <= 0:
        refuse(order, f"min_out {order.min_out}, expected more than nothing")
    return max(own, *bounds, 0)


def _bounds(orders: Sequence[Order], deadline: datetime, *, needs_health: bool) -> Bounds:
    """The tightest of each kind. Debt that stays needs a floor of the health factor and a cap of LTV."""
    health = _conditions(orders, PostConditionKind.HEALTH_FACTOR_MIN, AAVE)
    ltv = _conditions(orders, PostConditionKind.LTV_MAX, AAVE)
    debt = _conditions(orders, PostConditionKind.DEBT_MAX, DEBT)
    if needs_health and not (health and ltv):
        refuse(orders[0], "no post-condition health_factor_min and ltv_max in the group, and debt stays")
    return Bounds(
        int(deadline.timestamp()),
        max((units_owed(bound, ETHER_DECIMALS) for bound in health), default=0),
        min((units_of(bound, ETHER_DECIMALS) for bound in ltv), default=MAX),
        min((units_of(bound, ETHER_DECIMALS) for bound in debt), default=MAX),
    )


def _conditions(orders: Sequence[Order], kind: PostConditionKind, subject: str) -> list[Decimal]:
    """The bounds of one kind; one on a subject that the receiver does not look at is refused."""
    found = [(order, given) for order in orders for given in order.post_conditions if given.kind is kind]
    for order, given in found:
        if given.subject != subject:
            refuse(order, f"{kind} of {given.subject}, expected {subject}")
    return [given.bound for _, given in found]
