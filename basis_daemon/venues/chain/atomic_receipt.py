"""A mined group as trades: its money is one booking, its legs are told apart by what each of them did.

A transaction is booked whole or not at all, so the first order's trade carries everything that moved and what it cost;
a crash between two bookings could otherwise leave half a transaction in the book. The other trades say how their orders
ended. The split between the legs is arithmetic on the owner's totals and adds up to them again, or nothing is booked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import Fee, OrderState, Trade, TradeError, TradeStatus, TxInfo
from basis_daemon.venues.chain.abi import event
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.atomic_legs import DEBT, WETH, EntryLegs, ExitLegs, legs_of, wei
from basis_daemon.venues.chain.deltas import Moved, Receipt, with_gas
from basis_daemon.venues.chain.reverts import Revert
from basis_daemon.venues.chain.tokens import ETH, atoken, ether

FLASH_LENT = event("FlashLoan(address indexed, address, address indexed, uint256, uint8, uint256, uint16 indexed)")
Deltas = Mapping[PositionKey, Decimal]
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class MinedGroup:
    """The orders of a group, and the transaction that was to do them; ``book`` is the one it was compiled by.

    Gas is the owner's only where he sent it himself: that of a Safe's group is paid by one of its keys.
    """

    orders: tuple[Order, ...]
    receipt: Receipt
    moved: Moved
    book: AddressBook
    owner: str

    @property
    def flash_fee(self) -> Decimal:
        """WETH that Aave took for the loan, by its own event; nothing for a loan that became debt, or of Morpho."""
        lent = FLASH_LENT.all_of(self.receipt.logs, self.book.aave.pool)
        return ether(sum(premium for *_, premium, _ in lent))

    def leg_deltas(self) -> tuple[Deltas, ...]:
        """One row per order, without gas. Raises IntegrityError when something moved that no leg explains."""
        if not self.receipt.is_success:
            return tuple({} for _ in self.orders)
        legs = legs_of(self.orders)
        rows = _entry(legs, self.moved.deltas) if isinstance(legs, EntryLegs) else self._exit(legs)
        found = [
            {key: amount for key, amount in rows.get(order.order_id, {}).items() if amount} for order in self.orders
        ]
        if (sums := _summed(found)) != _summed([self.moved.deltas]):
            raise IntegrityError(
                f"group {self.orders[0].group_id}: the legs explain {sums}, the receipt says {dict(self.moved.deltas)}"
            )
        return tuple(found)

    def trades(self, name: str, why: Revert | None, received: datetime) -> tuple[Trade, ...]:
        """One per order; ``name`` is the trade id of the first, whose deltas are the transaction's."""
        rows = self.leg_deltas()
        legs = [
            self._trade(order, row, f"{name}/{place}", why, received)
            for place, (order, row) in enumerate(zip(self.orders, rows, strict=True))
        ]
        total = with_gas(self.moved.deltas, self.receipt) if self._pays_gas else dict(self.moved.deltas)
        paid = {"trade_id": name, "deltas": total, "fees": tuple(self._fees())}
        # the ledger takes what has a quantity for an exchange, and as a whole a group is one
        whole = {"qty_quote": max((leg.qty_quote for leg in legs), default=ZERO)}
        return (legs[0].model_copy(update=paid | whole), *legs[1:])

    def _exit(self, legs: ExitLegs) -> Mapping[str, Deltas]:
        key = legs.withdraw.token_out or WETH
        total, loan, fee = self.moved.deltas, ether(wei(legs.loan)), self.flash_fee
        repaid, withdrawn = -total.get(DEBT, ZERO), -total.get(atoken(key.symbol), ZERO)
        sold = total.get(key, ZERO) - withdrawn
        return {
            legs.loan.order_id: {WETH: loan},
            legs.repay.order_id: {WETH: -repaid, DEBT: -repaid},
            legs.withdraw.order_id: {key: withdrawn, atoken(key.symbol): -withdrawn},
            legs.sale.order_id: {key: sold, WETH: total.get(WETH, ZERO) + repaid + fee},
            legs.flash_repay.order_id: {WETH: -loan - fee},
        }

    @property
    def _pays_gas(self) -> bool:
        return self.receipt.sender.lower() == self.owner.lower()

    def _fees(self) -> Iterator[Fee]:
        if self._pays_gas:
            yield Fee(asset=ETH.symbol, quantity=self.receipt.gas)
        if self.flash_fee:
            yield Fee(asset=WETH.symbol, quantity=self.flash_fee)

    def _trade(self, order: Order, row: Deltas, name: str, why: Revert | None, received: datetime) -> Trade:
        given, taken = _exchanged(order, row)
        is_done = self.receipt.is_success
        return Trade(
            trade_id=name,
            order_id=order.order_id,
            account=order.venue,
            instrument=order.instrument,
            status=TradeStatus.FILLED if is_done else TradeStatus.FAILED,
            order_state=OrderState.FILLED if is_done else OrderState.REJECTED,
            price=taken / given if given and taken else None,
            qty_base=_within(order, given),
            qty_quote=taken,
            venue_time=self.receipt.block.time,
            recv_time=received,
            cum_filled=_within(order, given),
            tx=TxInfo(
                hash=self.receipt.tx_hash,
                block=self.receipt.block.number,
                block_hash=self.receipt.block.hash,
                gas_used=self.receipt.gas_used,
                gas_price=self.receipt.gas_price_wei,
                nonce=self.receipt.nonce,
            ),
            error=None
            if is_done or why is None
            else TradeError(error_class=why.error_class, code=why.name, text=why.reason),
        )


def _entry(legs: EntryLegs, total: Deltas) -> Mapping[str, Deltas]:
    key = legs.acquire.token_out or WETH
    loan, supplied = ether(wei(legs.loan)), total.get(atoken(key.symbol), ZERO)
    spent = loan - total.get(WETH, ZERO)
    paid_in = ETH if legs.unwrap is not None else WETH
    rows: dict[str, Deltas] = {
        legs.loan.order_id: {WETH: loan},
        legs.acquire.order_id: {paid_in: -spent, key: supplied + total.get(key, ZERO)},
        legs.supply.order_id: {key: -supplied, atoken(key.symbol): supplied},
        legs.borrow.order_id: {DEBT: total.get(DEBT, ZERO)},
    }
    if legs.unwrap is not None:
        rows[legs.unwrap.order_id] = {WETH: -spent, ETH: spent}
    return rows


def _summed(rows: Iterable[Deltas]) -> dict[PositionKey, Decimal]:
    sums: dict[PositionKey, Decimal] = {}
    for row in rows:
        for key, amount in row.items():
            sums[key] = sums.get(key, ZERO) + amount
    return {key: amount for key, amount in sums.items() if amount}


def _exchanged(order: Order, row: Deltas) -> tuple[Decimal, Decimal]:
    """(given, taken) of a stake or swap; zeros for the legs that exchange nothing."""
    if order.min_out is None or order.token_in is None or order.token_out is None:
        return ZERO, ZERO
    return -row.get(order.token_in, ZERO), row.get(order.token_out, ZERO)


def _within(order: Order, given: Decimal) -> Decimal:
    """No more than was asked: amounts that the chain resolves may exceed the plan's by what accrued meanwhile."""
    return min(given, order.quantity) if given else ZERO
