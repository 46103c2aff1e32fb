"""The judgement on a run on the chain: the daemon's journal against what the chain itself says of the address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import orjson

from basis_daemon.demo.outcome import (
    common_checks,
    end_of,
    money_of,
    never_denied,
    part_of,
    risk_of,
    run_of,
    same_positions,
    same_set,
)
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.order import ExecutionMode, Order, OrderOperation
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.book_view import BookView, plain
from basis_daemon.engine.judgement import Check, Outcome, judged
from basis_daemon.ports import RecordKind, StoredRecord
from basis_daemon.venues.chain.names import reversal_id
from basis_daemon.venues.chain.tokens import WALLET
from basis_daemon.venues.chain.transactions import Attempt, TxRow

Json = dict[str, Any]
GAS_ASSET = "ETH"
LTV_MISS_MAX = Decimal("0.0001")
_DONE = frozenset({OrderState.FILLED, OrderState.SETTLED})
_NOWHERE = frozenset({OrderState.SIGNED, OrderState.DROPPED})


@dataclass(frozen=True, slots=True)
class Loan:
    """What the lender said of the debt at one block."""

    time: datetime
    health_factor: Decimal
    loan_to_value: Decimal


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """What was played: ``loans`` is what the chain showed of the debt, look by look, ``story`` what happened."""

    strategy: str
    seed: int
    clock: Json
    daemon_exit_code: int
    story: tuple[Json, ...]
    loans: tuple[Loan, ...] = ()
    health_factor_floor: Decimal | None = None
    report: str | None = None

    @property
    def health_factor(self) -> Decimal | None:
        """The least that the chain showed; None without debt."""
        return min((loan.health_factor for loan in self.loans), default=None)


def transactions_of(rows: Iterable[StoredRecord]) -> list[TxRow]:
    """The last word of a journal on every transaction that it tells of, in the order of their signing."""
    last: dict[str, TxRow] = {}
    for row in rows:
        if row.record.kind is RecordKind.TRANSACTION and "order_id" in orjson.loads(row.record.payload):
            step = msgspec.json.decode(row.record.payload, type=TxRow)
            last[step.hash] = step
    return list(last.values())


def judge_chain(view: BookView, signed: Sequence[TxRow], books: Json, facts: ChainFacts) -> Outcome:
    """The run's figures, and what must hold between journal and chain."""
    counts = chain_counts(view, signed, books)
    part = part_of(view, facts.strategy, trades=counts["trades"], orders_sent=counts["orders_sent"])
    document = run_of(facts.strategy, facts.seed, facts.clock) | {"window": None}
    document |= counts | money_of(view) | risk_of(view) | end_of(view, (facts.strategy,), facts.report)
    document |= {
        "venue_positions": books["balances"],
        "effective_speed": str(facts.clock["effective_speed"]),
        "faults_injected": {},
        "strategies": {facts.strategy: part},
        "min_health_factor": None if facts.health_factor is None else plain(facts.health_factor),
        "story": list(facts.story),
    }
    return judged(document, _checks(document, view, signed, books, facts))


def chain_counts(view: BookView, signed: Sequence[TxRow], books: Json) -> Json:
    """Of orders, those of a group each; allowances, cancels, an operator's transactions are no orders.

    Sent are those that a block may hold: what every node refused, or another transaction took the place of, none does.
    """
    mined = {row["hash"] for row in books["transactions"]}
    own = [row for row in signed if row.order_id in view.history.lives and row.attempt is not Attempt.CANCEL]
    left = {order_id for row in own if row.state not in _NOWHERE for order_id in _carried(view, row)}
    arrived = [order_id for row in own if row.hash in mined for order_id in _carried(view, row)]
    state = view.state
    return {
        "trades": sum(1 for life in view.history.lives.values() if life.state in _DONE),
        "orders_sent": len(left),
        "venue_orders": len(set(arrived)),
        "foreign_orders": len(mined - {row.hash for row in signed}),
        "forced_reductions": 0,
        "duplicate_orders": len(arrived) - len(set(arrived)),
        "in_doubt": len(state.in_doubt()),
        "breaks": len(state.breaks),
        "breaks_opened": state.breaks_opened,
        "transactions": len(mined),
        "group_transactions": sum(1 for row in own if row.hash in mined and _is_group(view, row)),
        "gas_eth": books["gas_eth"],
    }


def _carried(view: BookView, row: TxRow) -> tuple[str, ...]:
    """The orders that a transaction carries out: its own, or all of the group that its own is the first of."""
    if not _is_group(view, row):
        return (row.order_id,)
    lives = view.history.lives
    group = lives[row.order_id].order.group_id
    return tuple(order_id for order_id, life in lives.items() if life.order.group_id == group)


def _is_group(view: BookView, row: TxRow) -> bool:
    return view.history.lives[row.order_id].order.execution_mode is ExecutionMode.ATOMIC


def _checks(document: Json, view: BookView, signed: Sequence[TxRow], books: Json, facts: ChainFacts) -> Iterable[Check]:
    yield from common_checks(document, facts.daemon_exit_code)
    yield same_positions(document["positions"], document["venue_positions"])
    yield from chain_checks(view, signed, books)
    yield never_denied(document, view)
    yield from debt_checks(document, view, facts)


def chain_checks(view: BookView, signed: Sequence[TxRow], books: Json) -> Iterable[Check]:
    """Transactions, bookings and gas against those that the chain holds."""
    ours = {row.hash for row in signed if row.is_in_chain}
    theirs = [str(row["hash"]) for row in books["transactions"]]
    yield same_set("transactions", ours, set(theirs), "the chain holds exactly the transactions that were journalled")
    before = _before_opening(view, signed)
    expected = [tx_hash for tx_hash in theirs if tx_hash not in before]
    booked = Counter(_booked(view))
    once = sum(1 for tx_hash in expected if booked[tx_hash] == 1)
    yield Check("booked", f"{once} once", f"{len(expected)} once", "every transaction is booked, once")
    taken = sum((Decimal(row["gas_eth"]) for row in books["transactions"] if row["hash"] not in before), Decimal(0))
    gas = plain(-view.state.ledger.total(Cause.GAS, GAS_ASSET))
    yield Check("gas", gas, plain(taken), "gas as booked is gas as the chain took it")


def debt_checks(document: Json, view: BookView, facts: ChainFacts) -> Iterable[Check]:
    """What the lender said of the debt, as far as there was one."""
    floor = facts.health_factor_floor
    if facts.health_factor is not None and floor is not None:
        found = f">= {floor}" if facts.health_factor >= floor else document["min_health_factor"]
        yield Check("health_factor", found, f">= {floor}", "never below the emergency floor")
    misses = [abs(loan - target) for loan, target in levered(view, facts.loans)]
    if misses:
        worst = max(misses)
        found = f"<= {LTV_MISS_MAX}" if worst <= LTV_MISS_MAX else plain(worst)
        yield Check("target_ltv", found, f"<= {LTV_MISS_MAX}", "every time it levered up it landed at its target")


def levered(view: BookView, loans: Sequence[Loan]) -> Iterable[tuple[Decimal, Decimal]]:
    """(loan to value as the chain showed it first, target) of every group that borrowed."""
    trades = {seen.row.trade.order_id: seen.row.trade for seen in view.history.trades.values()}
    for seen in view.history.acted.values():
        target = seen.row.assessment.thresholds.get("lambda_target")
        orders = [
            view.history.lives[order_id].order for order_id in seen.row.order_ids if order_id in view.history.lives
        ]
        first = next((order for order in orders if order.execution_mode is ExecutionMode.ATOMIC), None)
        if target is None or first is None or first.order_id not in trades or not _borrows(orders):
            continue
        mined_at = trades[first.order_id].venue_time
        shown = next((loan.loan_to_value for loan in loans if loan.time >= mined_at), None)
        if shown is not None:
            yield shown, target


def _borrows(orders: Sequence[Order]) -> bool:
    return any(order.operation is OrderOperation.BORROW for order in orders)


def _before_opening(view: BookView, signed: Sequence[TxRow]) -> set[str]:
    """What was sent before the first start is in the opening balance: nobody books it."""
    opened_at = view.state.openings.get(WALLET)
    if opened_at is None:
        return set()
    return {row.hash for row in signed if row.is_in_chain and row.block_time <= opened_at.timestamp()}


def _booked(view: BookView) -> Iterable[str]:
    """The hash of every booking that stands; one that a reorganisation took back does not.

    Of a group the first order's booking holds the money of all.
    """
    trades = {trade_id: seen.row.trade for trade_id, seen in view.history.trades.items()}
    undone = {trade_id for trade_id in trades if reversal_id(trade_id) in trades}
    undone |= {reversal_id(trade_id) for trade_id in undone}
    for trade_id, trade in trades.items():
        if trade.tx is not None and trade.deltas and trade_id not in undone:
            yield trade.tx.hash
