"""The exchange's cashier: what left over the chain and what came over it, by books that no daemon touches.

A withdrawal takes the money at once, and is held for review, refused, or broadcast late; its transaction may be
forgotten by every pool, and is then offered again. A deposit is told while its block is young, credited once it is old
enough, and is told no more when its block is gone. No id keeps anybody from withdrawing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Protocol

from basis_daemon.domain.errors import ErrorClass, OrderRejectedError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.transfer import TransferRow
from basis_daemon.engine.transfer_desk import Ending
from basis_daemon.simulation.drill.chain.node import ChainNode, Mined, Payment
from basis_daemon.simulation.drill.chance import Fault
from basis_daemon.simulation.drill.exchange import LAG_S, Exchange
from basis_daemon.venues.transfers.ends import Deposit, Progress, Withdrawal

CREDIT_AFTER = 4
"""Blocks on a deposit, its own among them: one more than are ever taken back."""
REVIEW_S, LATE_S, FORGOTTEN_S = (3.0, 25.0), (2.0, 15.0), 4.0
FEES = {"USDT": Decimal(5), "ETH": Decimal("0.002")}
ZERO = Decimal(0)


@dataclass(slots=True)
class Payout:
    """A withdrawal as the exchange keeps it: ``shown_at``, ``sent_at`` are seconds of the loop.

    ``order_id`` is whose it is, also where its row has lost that.
    """

    row: Withdrawal
    coin: str
    order_id: str
    shown_at: float
    sent_at: float
    is_refused: bool = False
    missing_since: float | None = None


@dataclass(slots=True)
class Credit:
    """A deposit: ``due_at`` (seconds of the loop) once its block is old enough, ``is_done`` once the balance has it."""

    tx_hash: str
    coin: str
    amount: Decimal
    shown_at: float
    due_at: float | None = None
    is_done: bool = False
    time: datetime | None = None


class CustodyWatcher(Protocol):
    """Sees what the cashier sees, before the daemon does."""

    def paid_out(self, payout: Payout) -> None:
        """A withdrawal was taken."""
        ...


@dataclass(slots=True)
class Custody:
    """Of one spot account; ``address`` takes its deposits."""

    account: str
    address: str
    exchange: Exchange
    node: ChainNode
    watcher: CustodyWatcher
    payouts: list[Payout] = field(default_factory=list)
    credits: dict[str, Credit] = field(default_factory=dict)

    # --------------------------------------------------------------------------------------------------- withdrawals
    def take(self, order_id: str, coin: str, amount: Decimal, address: str) -> str:
        """A request came in; its number. Raises OrderRejectedError for more than is free."""
        paper, key = self.exchange.paper, self._key(coin)
        if amount > (free := paper.wallets.free(key)):
            why = f"withdrawal {order_id}: {amount} {coin}, free {free}"
            raise OrderRejectedError(why, ErrorClass.INSUFFICIENT, "balance")
        strikes, between, now = self.exchange.chance.strikes, self.exchange.chance.between, self.exchange.loop.time()
        number, fee = str(len(self.payouts) + 1), FEES[coin]
        held_s = between(*REVIEW_S) if strikes(Fault.PAYOUT_HELD) else 0.0
        late_s = between(*LATE_S) if strikes(Fault.PAYOUT_LATE) else 0.0
        name = "" if strikes(Fault.PAYOUT_UNNAMED) else order_id
        row = Withdrawal(number, name, amount - fee, fee, address, "", Progress.WAITING, paper.tape.time())
        payout = Payout(row, coin, order_id, now + self._lag_s(), now + held_s + late_s, strikes(Fault.PAYOUT_REFUSED))
        self.payouts.append(payout)
        self.watcher.paid_out(payout)
        self._book(coin, -amount, "withdrawal")
        return number

    def withdrawals(self, coin: str, client_id: str | None) -> Sequence[Withdrawal]:
        """Its record, without what has not spread yet."""
        now = self.exchange.loop.time()
        shown = (one for one in self.payouts if one.coin == coin and one.shown_at <= now)
        return [one.row for one in shown if client_id in {None, one.row.client_id}]

    # ------------------------------------------------------------------------------------------------------ deposits
    def deposits(self, coin: str, tx_hash: str) -> Sequence[Deposit]:
        """What one transaction brought, as far as it is told."""
        found = self.credits.get(tx_hash)
        if found is None or found.coin != coin or found.shown_at > self.exchange.loop.time():
            return []
        at = found.time or self.exchange.paper.tape.time()
        return [Deposit(f"d-{tx_hash[2:10]}", found.amount, self.address, tx_hash, is_credited=found.is_done, time=at)]

    def capital(self, since: datetime, is_own: Callable[[str, str], bool]) -> Sequence[CashFlow]:
        """Deposits, and withdrawals without an id of ours, by the record: of our own, whoever sent them books them."""
        now = self.exchange.loop.time()
        brought = [
            CashFlow(f"{self.account}:deposit:{one.tx_hash}", self._key(one.coin), one.amount, Cause.EXTERNAL, one.time)
            for one in self.credits.values()
            if one.is_done and one.time is not None and not is_own(one.tx_hash, "")
        ]
        unnamed = (one for one in self.payouts if not one.row.client_id and one.shown_at <= now)
        taken = [flow for one in unnamed if not is_own(one.row.tx_id, one.row.number) for flow in self._taken(one)]
        return [flow for flow in (*brought, *taken) if flow.venue_time >= since]

    def ending(self, row: TransferRow) -> Ending | None:
        """What became of a transfer to or from here, as far as everybody can see it for good; None while it travels."""
        credit = self.credits.get(row.tx_id)
        if credit is not None and credit.is_done:
            return Ending.ARRIVED
        payout = next((one for one in self.payouts if one.order_id == row.order_id), None)
        if payout is None:
            return None
        if payout.row.progress is Progress.RETURNED:
            return Ending.RETURNED
        there = self.node.brought(payout.row.tx_id) if payout.row.tx_id else None
        is_final = there is not None and self.node.head.ref.number - there[0].ref.number + 1 >= CREDIT_AFTER
        return Ending.ARRIVED if is_final else None

    # ---------------------------------------------------------------------------------------------------------- time
    def tick(self) -> None:
        """A block later."""
        for payout in self.payouts:
            self._go_on(payout)
        self._see_deposits()
        for credit in self.credits.values():
            if not credit.is_done and credit.due_at is not None and credit.due_at <= self.exchange.loop.time():
                credit.is_done, credit.time = True, self.exchange.paper.tape.time()
                self._book(credit.coin, credit.amount, "deposit")

    def under_way(self) -> Iterator[tuple[str, Decimal]]:
        """Coins and amounts that left here and are not in the chain."""
        for payout in self.payouts:
            if payout.row.progress is not Progress.RETURNED and not self._is_there(payout):
                yield payout.coin, payout.row.amount

    def coming(self) -> Iterator[tuple[str, Decimal]]:
        """Coins and amounts that the chain has sent here and the balance does not have."""
        for mined, order in self.sent_here():
            credit = self.credits.get(mined.tx.hash)
            if credit is None or not credit.is_done:
                yield symbol_of(order), order.quantity

    def _taken(self, payout: Payout) -> Iterator[CashFlow]:
        """Capital and fee that went, and what came back of them, as the record has it."""
        row, key = payout.row, self._key(payout.coin)
        name = f"{self.account}:withdrawal:{row.number}"
        for what, amount, cause in (("", row.amount, Cause.EXTERNAL), (":fee", row.fee, Cause.TRANSFER_FEE)):
            yield CashFlow(f"{name}{what}", key, -amount, cause, row.time)
            if row.progress is Progress.RETURNED:
                yield CashFlow(f"{name}{what}:returned", key, amount, cause, row.time)

    def _go_on(self, payout: Payout) -> None:
        now = self.exchange.loop.time()
        if payout.row.progress in {Progress.WAITING, Progress.SENDING}:
            if now < payout.sent_at:
                return
            if payout.is_refused:
                payout.row = replace(payout.row, progress=Progress.RETURNED)
                self._book(payout.coin, payout.row.gross, "withdrawal returned")
                return
            tx_hash = "0x" + sha256(f"{self.account}:{payout.row.number}".encode()).hexdigest()
            payout.row = replace(payout.row, progress=Progress.SENT, tx_id=tx_hash)
            self._offer(payout)
        elif payout.row.progress is Progress.SENT and not self._is_there(payout):
            self._offer_again(payout, now)

    def _offer_again(self, payout: Payout, now: float) -> None:
        """What no pool and no block has is offered again a while later."""
        if payout.row.tx_id in self.node.payments:
            payout.missing_since = None
        elif payout.missing_since is None:
            payout.missing_since = now
        elif now - payout.missing_since >= FORGOTTEN_S:
            payout.missing_since = None
            self._offer(payout)

    def _offer(self, payout: Payout) -> None:
        self.node.pay_in(Payment(payout.row.tx_id, payout.coin, payout.row.amount))

    def _is_there(self, payout: Payout) -> bool:
        return bool(payout.row.tx_id) and self.node.brought(payout.row.tx_id) is not None

    def _see_deposits(self) -> None:
        head, chance, now = self.node.head.ref.number, self.exchange.chance, self.exchange.loop.time()
        there = dict[str, int]()
        for block in self.node.chain:
            there |= dict.fromkeys(block.mined, block.ref.number)
        for mined, order in self.sent_here():
            credit = self.credits.get(mined.tx.hash)
            if credit is None:
                made = Credit(mined.tx.hash, symbol_of(order), order.quantity, now + self._lag_s())
                credit = self.credits[mined.tx.hash] = made
            if credit.due_at is None and head - there[mined.tx.hash] + 1 >= CREDIT_AFTER:
                credit.due_at = now + (chance.between(*LATE_S) if chance.strikes(Fault.CREDIT_LATE) else 0.0)
        for tx_hash in [name for name in self.credits if name not in there]:
            del self.credits[tx_hash]

    def sent_here(self) -> Iterator[tuple[Mined, Order]]:
        """Transactions of the wallet to this account that are in the chain."""
        for block in self.node.chain:
            for mined in block.mined.values():
                order = self.node.orders.get(mined.tx.data, (None,))[0]
                if order is not None and mined.is_success and self._is_deposit(order):
                    yield mined, order

    def _is_deposit(self, order: Order) -> bool:
        return order.operation is OrderOperation.TRANSFER and order.recipient == self.account

    def _book(self, coin: str, amount: Decimal, why: str) -> None:
        self.exchange.pay(self._key(coin), amount, why)

    def _lag_s(self) -> float:
        chance = self.exchange.chance
        return chance.between(0.0, LAG_S) if chance.strikes(Fault.QUERY_LAGS) else 0.0

    def _key(self, coin: str) -> PositionKey:
        return PositionKey.of(self.account, Kind.SPOT, coin)


def symbol_of(order: Order) -> str:
    """The coin that it sends."""
    return (order.token_in or order.instrument).symbol
