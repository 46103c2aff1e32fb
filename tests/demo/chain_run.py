"""A book on the chain that gave an allowance and supplied once, written by hand; and the chain's own word on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec

from basis_daemon.domain.decision import Assessment, ReasonCode
from basis_daemon.domain.instrument import Kind
from basis_daemon.domain.ledger import entry_of_opening
from basis_daemon.domain.order import Order
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import Fee, OrderState, Trade, TradeStatus, TxInfo
from basis_daemon.engine.book_view import BookView, plain
from basis_daemon.engine.codec import DecisionRow, TradeRow
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import BookState
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import Journal, RecordKind
from basis_daemon.venues.chain.names import APPROVAL, reversal_id
from basis_daemon.venues.chain.tokens import AAVE, ETH, WALLET, atoken, held_at, vdebt
from basis_daemon.venues.chain.transactions import Attempt, TxRow
from tests.builders import NOW, D
from tests.journal.builders import StandingClock
from tests.venues.chain.actor import order

Json = dict[str, Any]
USDT, LENT = held_at("USDT"), atoken("USDT")
GAS = D("0.0001")
BOOK = "pure_lending"
BEFORE = NOW - timedelta(hours=1)


@dataclass
class ChainRun:
    """Writes rows as the daemon would."""

    journal: Journal
    recorder: Recorder
    sent: list[Json] = field(default_factory=list)

    def open(self) -> None:
        """A million USDT and ten ether."""
        self.recorder.see_time(NOW)
        held = {USDT: D(1_000_000), ETH: D(10)}
        report = AccountReport(WALLET, NOW, 0, held, frozenset({Kind.TOKEN}))
        self.recorder.opening(entry_of_opening(report, {}), WALLET)

    async def supply(self, *orders: Order, is_booked: bool = True) -> None:
        """An allowance, then one transaction that carries these orders out; booked under the first."""
        await self.recorder.intents(list(orders))
        for wish in orders:
            self.recorder.move(wish, OrderState.SUBMITTED, at=NOW)
        first = orders[0].order_id
        self.book(self.mine(f"{first}{APPROVAL}0"), first, OrderState.SUBMITTED, {})
        row = self.mine(first)
        if is_booked:
            self.book(row, first, OrderState.FILLED, {USDT: D(-980_000), LENT: D(980_000)})

    def decide(self, orders: Sequence[Order], thresholds: Mapping[str, Decimal]) -> None:
        """What the strategy wanted, and what it held that against."""
        said = Assessment(
            time=NOW, strategy=BOOK, trigger="market", reason=ReasonCode.ENTRY, note="", urgency=0, inputs={},
            thresholds=thresholds, rejected=(), targets=(),
        )  # fmt: skip
        row = DecisionRow(BOOK, 1, said, tuple(order.order_id for order in orders))
        self.recorder.record(row, f"{BOOK}:1:1", "market")

    def mine(self, order_id: str, attempt: Attempt = Attempt.ORIGINAL, before_s: int = 0) -> TxRow:
        """Signed and included, as the daemon journals it and the chain tells it; ``before_s`` the opening."""
        row = self.sign(order_id, OrderState.SIGNED, OrderState.INCLUDED, attempt=attempt, before_s=before_s)
        self.sent.append({"hash": row.hash, "nonce": row.nonce, "gas_eth": str(GAS)})
        return row

    def sign(self, order_id: str, *states: OrderState, attempt: Attempt = Attempt.ORIGINAL, before_s: int = 0) -> TxRow:
        """These steps of an attempt, as the daemon journals them; the chain tells of it only what was mined."""
        nonce = len(self.sent)
        row = TxRow(
            order_id=order_id, address="0xME", nonce=nonce, hash=f"0x{nonce:064x}", state=OrderState.SIGNED,
            attempt=attempt, max_fee_wei=1, tip_wei=1, fee_cap_wei=1, deadline=None, is_private=False,
            block_time=int(NOW.timestamp()) + (-before_s or 1 + nonce),
        )  # fmt: skip
        for state in states:
            row = msgspec.structs.replace(row, state=state)
            self.recorder.note(RecordKind.TRANSACTION, msgspec.json.encode(row).decode(), order_id)
        return row

    def book(self, row: TxRow, order_id: str, state: OrderState, deltas: dict[Any, Decimal]) -> None:
        """Its trade, gas included."""
        status = TradeStatus.FILLED if state is OrderState.FILLED else TradeStatus.PENDING
        trade = Trade(
            trade_id=f"{row.hash}:0", order_id=order_id, account=AAVE, instrument=LENT, status=status,
            order_state=state, fees=(Fee(asset="ETH", quantity=GAS),), venue_time=NOW, recv_time=NOW,
            deltas={**deltas, ETH: -GAS},
            tx=TxInfo(hash=row.hash, block=row.nonce, gas_used=1, gas_price=1, nonce=row.nonce),
        )  # fmt: skip
        self.post(trade)

    def take_back(self, trade: Trade) -> None:
        """The block is gone, and the transaction is booked anew elsewhere."""
        negative = {key: -amount for key, amount in trade.deltas.items()}
        fees = tuple(Fee(asset=fee.asset, quantity=-fee.quantity) for fee in trade.fees)
        back = {"trade_id": reversal_id(trade.trade_id), "deltas": negative, "fees": fees}
        pending = {"status": TradeStatus.PENDING, "order_state": OrderState.SUBMITTED}
        self.post(trade.model_copy(update=back | pending))
        self.post(trade.model_copy(update={"trade_id": f"{trade.trade_id}:again"}))

    def post(self, trade: Trade) -> None:
        self.recorder.trade(TradeRow(trade, self.recorder.state.entry_of(trade)))

    @property
    def view(self) -> BookView:
        """Folded from the journal's first row."""
        return BookView().fold(self.journal.read())

    def books(self, **changes: object) -> Json:
        """What the sandbox would say of the same run."""
        held = self.recorder.state.ledger.holdings().items()
        gas = plain(sum((D(row["gas_eth"]) for row in self.sent), D(0)))
        told = {"balances": {str(k): plain(q) for k, q in held if q}, "transactions": self.sent, "gas_eth": gas}
        return told | changes


def supplying(number: int = 1, **fields: object) -> Order:
    """One supply of the run's."""
    return order(
        "supply", AAVE, order_id=f"{number:032x}", strategy=BOOK, instrument=LENT, token_in=USDT, leg=number,
        amount=D(980_000), created_at=NOW - timedelta(days=1), **fields,
    )  # fmt: skip


def borrowing(number: int, **fields: object) -> Order:
    """Its loan."""
    return order(
        "borrow", AAVE, order_id=f"{number:032x}", strategy=BOOK, instrument=vdebt("WETH"), token_out=held_at("WETH"),
        leg=number, amount=D(10), created_at=NOW - timedelta(days=1), **fields,
    )  # fmt: skip


def begun() -> ChainRun:
    """Opened, and nothing done."""
    journal = MemoryJournal(StandingClock(NOW))
    run = ChainRun(journal, Recorder(BookState(), journal))
    run.open()
    return run
