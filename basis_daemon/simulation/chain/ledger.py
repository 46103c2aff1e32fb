"""Transactions and what accrues, block by block: every change of a balance is a delta of a trade or a row of its own.

So a report of the books and the rows told until then always agree, to the last unit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.gas import DELEVER_UNITS, ENTRY_UNITS, HEADROOM, planned_units
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.domain.order import Order, OrderOperation, PostCondition, PostConditionKind
from basis_daemon.simulation.chain.operations import TABLE
from basis_daemon.simulation.chain.scene import Scene, refuse
from basis_daemon.simulation.chain.world import World
from basis_daemon.venues.chain.tokens import amount_of

Amounts = Mapping[PositionKey, Decimal]
GWEI = 10**9
_LENDING = frozenset({Kind.ATOKEN, Kind.VDEBT})
ZERO, ONE = Decimal(0), Decimal(1)
UNPAID = "gas"
"""Code of a transaction whose sender cannot pay its gas."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A transaction in its block: what it moved without gas, and the gas that it paid (ETH)."""

    tx_hash: str
    nonce: int
    block: BlockRef
    deltas: Amounts
    gas_units: int
    gas_price_wei: int

    @property
    def gas(self) -> Decimal:
        """ETH."""
        return amount_of(self.gas_units * self.gas_price_wei, 18)


@dataclass(slots=True)
class ChainLedger:
    """The world, and the rows of what happened to its owner's balances. ``wall`` is market time now."""

    world: World
    wall: Callable[[], datetime]
    flows: list[CashFlow] = field(default_factory=list)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    next_request: int = 1

    def reach(self, at: datetime, ether: Decimal | None) -> None:
        """Go on to a point of market time."""
        before = self.world.held
        self.world.reach(at, ether)
        self._book_growth(before)

    def step(self) -> None:
        """A block now, for what is to be included."""
        if self.wall() > self.world.block.time:
            self.reach(self.wall(), None)

    # ------------------------------------------------------------------------------------------------ transactions
    def try_out(self, orders: Sequence[Order]) -> None:
        """Raises OrderRejectedError for what would revert at this block, or is not paid for."""
        self._gas(orders, self._played(orders))

    def include(self, orders: Sequence[Order]) -> Receipt:
        """One transaction in a block of its own. Raises OrderRejectedError when it would revert: then nothing moved."""
        self.step()
        scene = self._played(orders)
        return self._booked(orders[0].order_id, scene, self._gas(orders, scene))

    def pay(self, order: Order, symbol: str, units: int) -> Receipt:
        """A payment of the wallet to somebody else; raises like ``include``."""
        self.step()
        scene = self._scene(is_atomic=False)
        scene.take(order, symbol, units)
        return self._booked(order.order_id, scene, self._gas([order], scene))

    def receive(self, symbol: str, units: int) -> None:
        """A payment of somebody else, in a block of its own."""
        self.step()
        scene = self._scene(is_atomic=False)
        scene.give(symbol, units)
        self.world.books = scene.books

    def _booked(self, order_id: str, scene: Scene, gas: tuple[int, int]) -> Receipt:
        world, before = self.world, self.world.held
        world.books, self.next_request = scene.books, scene.next_request
        after = world.held
        moved = {key: after.get(key, ZERO) - before.get(key, ZERO) for key in {**before, **after}}
        self._book_rounding(order_id, moved, scene.asked)
        cost = gas[0] * gas[1]
        world.books.tokens["ETH"] = world.books.tokens.get("ETH", 0) - cost
        world.resize()
        found = Receipt(
            f"0x{hashlib.sha256(order_id.encode()).hexdigest()}",
            len(self.receipts),
            world.block,
            {key: amount for key, amount in (moved | scene.asked).items() if amount},
            *gas,
        )
        self.receipts[order_id] = found
        return found

    def _played(self, orders: Sequence[Order]) -> Scene:
        """The scene behind these orders; raises OrderRejectedError where one of them cannot be done."""
        scene = self._scene(is_atomic=len(orders) > 1)
        for order in orders:
            TABLE[order.venue][order.operation](scene, order)
        if scene.loan:
            refuse(orders[-1], f"a flash loan of {scene.loan} is not paid back", "flash_loan")
        self._check_health(orders, scene)
        return scene

    def _scene(self, *, is_atomic: bool) -> Scene:
        world = self.world
        return Scene(
            books=world.books.copy(),
            worth=world.worth,
            quotes=world.quotes,
            at=world.block.time,
            delays=world.nature.delays,
            flash_fee=world.nature.flash_fee,
            idle={symbol: reserve.idle for symbol, reserve in world.reserves.items()},
            next_request=self.next_request,
            is_atomic=is_atomic,
        )

    def _check_health(self, orders: Sequence[Order], scene: Scene) -> None:
        """What holds behind any transaction that touches a debt, and what these orders asked for beyond."""
        report = self.world.report(scene.books)
        if report is None or not scene.books.owed:
            return
        if report.health_factor is not None and report.health_factor < 1:
            refuse(orders[-1], f"health factor {report.health_factor}, expected 1 or more", "health")
        borrows = [order for order in orders if order.operation is OrderOperation.BORROW]
        if borrows and report.debt > report.collateral * report.ltv:
            refuse(borrows[-1], f"debt {report.debt}, expected at most {report.ltv} of {report.collateral}", "ltv")
        ltv = report.debt / report.collateral if report.collateral else ZERO
        for condition in (each for order in orders for each in order.post_conditions):
            if _is_broken(condition, report.health_factor, ltv, report.debt):
                refuse(orders[-1], f"{condition.kind} {condition.bound}: HF {report.health_factor}, LTV {ltv}", "after")

    def _gas(self, orders: Sequence[Order], scene: Scene) -> tuple[int, int]:
        """(units, wei each) of one transaction; raises OrderRejectedError where it is not known or not there."""
        sample, operations = self.world.gas, [order.operation for order in orders]
        if sample is None:
            refuse(orders[0], "no sample of gas is known", "gas", ErrorClass.RETRYABLE)
        units = planned_units(operations)
        if len(orders) > 1:
            units = ENTRY_UNITS if OrderOperation.BORROW in operations else DELEVER_UNITS
        units = int(units * HEADROOM)
        price = sample.base_wei + sample.tip_wei
        held = scene.books.tokens.get("ETH", 0)
        if held < units * price:
            refuse(orders[0], f"gas {units * price} wei, left {held}", UNPAID, ErrorClass.INSUFFICIENT)
        return units, price

    # --------------------------------------------------------------------------------------------------------- rows
    def _book_growth(self, before: Amounts) -> None:
        for key, amount in self.world.held.items():
            grown = amount - before.get(key, ZERO)
            if grown:
                self._note(Cause.INTEREST if key.kind in _LENDING else Cause.REBASE, key, grown, "")

    def _book_rounding(self, order_id: str, moved: Amounts, asked: Amounts) -> None:
        """What a reserve made of an amount that it was asked to move."""
        for key, amount in asked.items():
            if rest := moved.get(key, ZERO) - amount:
                self._note(Cause.ROUNDING, key, rest, order_id)

    def _note(self, cause: Cause, key: PositionKey, amount: Decimal, order_id: str) -> None:
        block = self.world.block
        name = f"{cause}:{key}:{block.number}:{order_id or block.hash}"
        self.flows.append(CashFlow(name, key, amount, cause, block.time))


def _is_broken(condition: PostCondition, health: Decimal | None, ltv: Decimal, debt: Decimal) -> bool:
    """What sales and purchases have to bring stands in their own orders."""
    match condition.kind:
        case PostConditionKind.HEALTH_FACTOR_MIN:
            return health is not None and health < condition.bound
        case PostConditionKind.LTV_MAX:
            return ltv > condition.bound
        case PostConditionKind.DEBT_MAX:
            return debt > condition.bound
        case _:
            return False
