"""Which orders make a group that one transaction can do, each found at its place and checked against its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn

from basis_daemon.domain.errors import PlanRefusedError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import AmountUnit, Order, OrderOperation
from basis_daemon.venues.chain.tokens import ETH, ETHER_DECIMALS, WRAPPED_STAKE, held_at, units_of, units_owed, vdebt

O = OrderOperation  # noqa: E741  the patterns below are read by operation, not by class name
WETH = held_at("WETH")
DEBT = vdebt("WETH")
DEBT_MODE = "debt_mode"


@dataclass(frozen=True, slots=True)
class EntryLegs:
    """A levered entry: the loan, and what is added to it, become collateral; the loan stays as debt."""

    emode: Order | None
    loan: Order
    unwrap: Order | None
    acquire: Order
    supply: Order
    borrow: Order


@dataclass(frozen=True, slots=True)
class ExitLegs:
    """De-lever or exit: the loan repays debt, collateral comes back, a sale of it repays the loan."""

    loan: Order
    repay: Order
    withdraw: Order
    sale: Order
    flash_repay: Order


@dataclass(frozen=True, slots=True)
class _Place:
    """One place of a pattern: which operations may stand there, and whether it may be empty."""

    operations: frozenset[OrderOperation]
    is_optional: bool = False


_ENTRY = (
    _Place(frozenset({O.SET_EMODE}), is_optional=True),
    _Place(frozenset({O.FLASH_BORROW})),
    _Place(frozenset({O.UNWRAP}), is_optional=True),
    _Place(frozenset({O.STAKE, O.SWAP})),
    _Place(frozenset({O.SUPPLY})),
    _Place(frozenset({O.BORROW})),
)
_EXIT = tuple(_Place(frozenset({op})) for op in (O.FLASH_BORROW, O.REPAY, O.WITHDRAW, O.SWAP, O.FLASH_REPAY))


def legs_of(orders: Sequence[Order]) -> EntryLegs | ExitLegs:
    """The legs of a group. Raises PlanRefusedError naming the order that cannot be part of one transaction."""
    if not orders:
        raise PlanRefusedError("an atomic group without orders")
    if any(order.operation is O.BORROW for order in orders):
        entry = EntryLegs(*_matched(orders, _ENTRY))  # type: ignore[arg-type]  # only optional places are None
        _check_entry(entry)
        return entry
    legs = ExitLegs(*_matched(orders, _EXIT))  # type: ignore[arg-type]  # no place is optional
    _check_exit(legs)
    return legs


def refuse(order: Order, why: str) -> NoReturn:
    """Raises PlanRefusedError naming group and order."""
    raise PlanRefusedError(f"group {order.group_id}: order {order.order_id} ({order.operation}): {why}")


def wei(order: Order) -> int:
    """The amount of an order, whose token has 18 decimals as all of a group; what is finer than a wei is left out."""
    return units_of(_whole_tokens(order), ETHER_DECIMALS)


def wei_owed(order: Order) -> int:
    """The same for what a lender gets: rounded up, as he does."""
    return units_owed(_whole_tokens(order), ETHER_DECIMALS)


def _whole_tokens(order: Order) -> Decimal:
    if order.amount_unit is not AmountUnit.BASE:
        refuse(order, f"amount unit {order.amount_unit}, expected {AmountUnit.BASE}")
    return order.quantity


def _matched(orders: Sequence[Order], pattern: Sequence[_Place]) -> list[Order | None]:
    found: list[Order | None] = []
    rest = list(orders)
    for place in pattern:
        if rest and rest[0].operation in place.operations:
            found.append(rest.pop(0))
        elif place.is_optional:
            found.append(None)
        else:
            wanted = " or ".join(sorted(place.operations))
            if not rest:
                refuse(orders[-1], f"is the last leg, expected {wanted} after it")
            refuse(rest[0], f"cannot stand here in one transaction, expected {wanted}")
    if rest:
        refuse(rest[0], "is more than one transaction can do")
    return found


def _check_entry(legs: EntryLegs) -> None:
    _expect(legs.loan, "token_out", WETH)
    _expect(legs.borrow, "token_out", WETH)
    if legs.borrow.memo != DEBT_MODE:
        refuse(legs.borrow, f"memo {legs.borrow.memo!r}, expected {DEBT_MODE!r}: the loan itself becomes the debt")
    if wei(legs.borrow) != wei(legs.loan):
        refuse(legs.borrow, f"amount {legs.borrow.amount}, expected that of the loan, {legs.loan.amount}")
    if legs.unwrap is not None:
        _expect(legs.unwrap, "token_in", WETH)
        if wei(legs.unwrap) != wei(legs.acquire):
            refuse(legs.unwrap, f"amount {legs.unwrap.amount}, expected what is staked, {legs.acquire.amount}")
    is_stake = legs.acquire.operation is O.STAKE
    if is_stake == (legs.unwrap is None):
        refuse(legs.acquire, "a stake takes unwrapped ether, a swap takes WETH")
    _expect(legs.acquire, "token_in", ETH if is_stake else WETH)
    if wei(legs.acquire) < wei(legs.loan):
        refuse(legs.acquire, f"amount {legs.acquire.amount} is below the loan, {legs.loan.amount}")
    _check_collateral(legs.acquire, legs.acquire.token_out)
    _expect(legs.supply, "token_in", legs.acquire.token_out)


def _check_exit(legs: ExitLegs) -> None:
    _expect(legs.loan, "token_out", WETH)
    _expect(legs.repay, "token_in", WETH)
    _expect(legs.flash_repay, "token_in", WETH)
    _expect(legs.sale, "token_out", WETH)
    _check_collateral(legs.withdraw, legs.withdraw.token_out)
    _expect(legs.sale, "token_in", legs.withdraw.token_out)
    if legs.repay.amount != "MAX" and wei(legs.repay) > wei(legs.loan):
        refuse(legs.repay, f"amount {legs.repay.amount} is above the loan, {legs.loan.amount}")
    if legs.withdraw.amount != "MAX" and wei(legs.sale) > wei(legs.withdraw):
        refuse(legs.sale, f"amount {legs.sale.amount} is above what is withdrawn, {legs.withdraw.amount}")


def withdrawn_at_most(legs: ExitLegs) -> Decimal | None:
    """What the plan expects back, whole tokens; None where it does not say."""
    if legs.withdraw.amount != "MAX":
        return legs.withdraw.quantity
    return legs.withdraw.expected_deltas.get(legs.withdraw.token_out or WETH)


def _check_collateral(order: Order, key: PositionKey | None) -> None:
    if key is None or key.symbol not in WRAPPED_STAKE or key != held_at(key.symbol):
        refuse(order, f"token {key}, expected the wallet's {' or '.join(sorted(WRAPPED_STAKE))}")


def _expect(order: Order, name: str, wanted: PositionKey | None) -> None:
    if getattr(order, name) != wanted:
        refuse(order, f"{name} is {getattr(order, name)}, expected {wanted}")
