"""What orders, rows and lives must keep among each other; any one of them alone may look sound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.state import MEMORY, BookState, recover
from basis_daemon.ports import Record, RecordKind
from basis_daemon.simulation.drill.disk import DrillDisk
from basis_daemon.simulation.drill.exchange import Connection, Exchange

if TYPE_CHECKING:
    from basis_daemon.wiring_book import Daemon

QUOTE_AGE_MAX_S = 7.5
"""Between the last book that a daemon was shown and an order that begins something on it: its limit, and the way."""
ORDERS_GRACE, IDS_GRACE = timedelta(hours=6), timedelta(hours=24)
"""Market time by which what may be forgotten has been; an hour of it passes every two seconds. Orders are forgotten in
the order in which they came, and ids of their fills with the next answer of their venue."""
LIFE_S = 45.0
"""Old enough to have started, half a minute where venues are silent, and to have put its memory in order."""
ENDS = frozenset(
    {OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED, OrderState.NEVER_ACCEPTED}
)

Found = Iterator[tuple[str, str]]
"""(invariant, the numbers that say so)."""


def of_request(order: Order, connection: Connection) -> Found:
    """What an order says of the daemon that it leaves, as the wire sees it."""
    if not connection.is_armed:
        yield "I12", f"{order.order_id} left a daemon that was never armed"
    for other in connection.exchange.doubts.values():
        if other.parent_id is not None and (other.parent_id, other.instrument) == (order.parent_id, order.instrument):
            yield "I2", f"{order.order_id} repeats {other.order_id}, of which nobody knows what became of it"
    is_trade = order.operation is not OrderOperation.TRANSFER  # money goes where it is needed on no price at all
    if is_trade and not order.is_risk_reducing and not order.closes_a_gap:
        for key in sorted(connection.heard_at):
            age_s = connection.exchange.loop.time() - connection.heard_at[key]
            if age_s > QUOTE_AGE_MAX_S:
                yield "I9", f"{order.order_id} left on a book of {key} that is {age_s:.1f} s old"


def of_step(daemon: Daemon, disk: DrillDisk, exchanges: Sequence[Exchange], filled: dict[str, Decimal]) -> Found:
    """What holds at every moment of a life, whatever is on its way. ``filled`` is by order what was seen before."""
    state = daemon.recorder.state
    newest = [row.sequence for row in disk.read(after=state.sequence - 1)]
    if newest != [state.sequence]:
        yield "I7", f"the book counts {state.sequence} rows, the journal ends with {newest}"
    for asset, total in sorted(state.ledger.sums().items()):
        if total:
            yield "I18", f"all accounts together hold {total} {asset}, expected nothing"
    news = {name: life for name, life in state.orders.items() if life.cum_filled != filled.get(name, Decimal(0))}
    for name, booked, got in _told(news.values(), exchanges):
        filled[name] = booked
        if booked > got:
            yield "I3", f"{name}: book {booked}, when its exchange has filled {got}"


def of_end(daemon: Daemon, disk: DrillDisk) -> Found:
    """I6 at any moment: what a life has in memory is what its rows come to, those that no flush has reached too."""
    state = daemon.recorder.state
    yield from _of_fold(recover(disk, disk.loaded), state, f"a fold of {state.sequence} rows behind the last snapshot")


def of_rest(daemon: Daemon, disk: DrillDisk, exchanges: Sequence[Exchange]) -> Found:
    """What is left of a life when nothing is on its way any more."""
    yield from of_history(daemon.recorder.state, disk)
    if disk.latest(RecordKind.SNAPSHOT) is not None:  # else recovery is the fold of that history, from the first row on
        yield from of_end(daemon, disk)
    if exchanges:
        yield from _memory(daemon.recorder.state, exchanges[0])
    yield from _fills(daemon.recorder.state, exchanges)
    yield from _money(daemon.recorder.state, exchanges)
    for engine in daemon.supervisor.engines:
        if engine.is_frozen:
            yield "I14", f"strategy {engine.strategy.name} is frozen"
        if engine.plans_in_flight and not daemon.recorder.state.running_plans():
            yield "I16", f"{engine.plans_in_flight} plans of {engine.strategy.name} have ended and are kept"


def of_history(state: BookState, disk: DrillDisk) -> Found:
    """Every row from the first on: no order lives again unless its block is gone, and snapshots leave nothing out."""
    fold, seen = BookState(disk.loaded), dict[str, OrderState]()
    rows = disk.read()
    for row in rows:
        fold.apply(row)
        life = fold.orders.get(row.record.causation_id)
        if life is None:
            continue
        before = seen.get(life.order.order_id)
        if before in ENDS and life.state is not before and not _is_reversal(row.record):
            yield "I4", f"{life.order.order_id} went from {before} to {life.state} in row {row.sequence}"
        seen[life.order.order_id] = life.state
    if state.sequence != len(rows):
        yield "I7", f"the book counts {state.sequence} rows, the journal holds {len(rows)}"
    yield from _of_fold(fold, state, f"a fold of all {len(rows)} rows without their snapshots")


def _is_reversal(record: Record) -> bool:
    return record.kind is RecordKind.TRADE and f'"order_state":"{OrderState.REORGED}"' in record.payload


def _of_fold(fold: BookState, state: BookState, what: str) -> Found:
    fold.market_time = state.market_time  # it goes on with what is looked at, and is written with the next row
    told, lived = fold.dump(), state.dump()
    if told != lived:
        place = next((n for n, (a, b) in enumerate(zip(told, lived, strict=False)) if a != b), 0)
        found, expected = told[place : place + 80], lived[place : place + 80]
        yield "I6", f"{what} is not the live state: {found!r} against {expected!r}"


def _memory(state: BookState, exchange: Exchange) -> Found:
    """What is old has been let go, by a life that had the time for it."""
    if exchange.connection is None or exchange.loop.time() - exchange.connection.born_at < LIFE_S:
        return
    limit = state.market_time - MEMORY - ORDERS_GRACE
    first = next((life for life in state.orders.values() if life.ended_at is not None), None)
    if first is not None and first.ended_at is not None and first.ended_at < limit:
        yield (
            "I16",
            f"{first.order.order_id} ended before {limit:%d %H:%M} and is the first of {len(state.orders)} kept",
        )
    kept = {trade_id for life in state.orders.values() for trade_id in life.trade_ids}
    horizon = min(state.asked_until.values(), default=limit) - MEMORY - IDS_GRACE
    ids = [name for name, at in state.ledger.event_times() if at < horizon and name not in kept]
    if ids:
        yield "I16", f"ids of {len(ids)} events before {horizon:%d %H:%M} are kept, {ids[0]} first"


def _fills(state: BookState, exchanges: Sequence[Exchange]) -> Found:
    """What each order at an exchange has got, piece by piece."""
    for name, booked, got in _told(state.orders.values(), exchanges):
        if got != booked:
            yield "I3", f"{name}: book {booked}, exchange {got}"


def _told(lives: Iterable[OrderLife], exchanges: Sequence[Exchange]) -> Iterator[tuple[str, Decimal, Decimal]]:
    """Of each order at an exchange what is booked, and what it has got there."""
    accounts = {account for one in exchanges for account in one.accounts}
    for life in lives:
        if life.order.venue in accounts:
            told = [trade for one in exchanges for trade in one.paper.tape.trades_of(life.order.order_id)]
            got = sum((trade.qty_base for trade in told if trade.is_fill), Decimal(0))
            yield life.order.order_id, life.cum_filled, got


def _money(state: BookState, exchanges: Sequence[Exchange]) -> Found:
    """Nothing appears or vanishes in the book, and what was paid stands there under its own cause."""
    for asset, total in sorted(state.ledger.sums().items()):
        if total:
            yield "I18", f"all accounts together hold {total} {asset}, expected nothing"
    for (cause, asset), amount in sorted(_paid(state.openings, exchanges).items()):
        booked = state.ledger.total(cause, asset)
        if booked != amount:
            yield "I18", f"{cause} of {asset}: book {booked}, exchange {amount}"


def _paid(openings: Mapping[str, datetime], exchanges: Sequence[Exchange]) -> Mapping[tuple[Cause, str], Decimal]:
    """Fees and funding since each account was adopted, as the exchange has written them down."""
    paid: defaultdict[tuple[Cause, str], Decimal] = defaultdict(Decimal)
    tapes = {account: exchange.paper.tape for exchange in exchanges for account in exchange.accounts}
    for account, opened_at in openings.items():
        if account not in tapes:  # of the chain, which is compared with its own blocks
            continue
        for trade in tapes[account].fills(account, opened_at):
            for fee in trade.fees:
                paid[Cause.FEE, fee.asset] -= fee.quantity
        for flow in tapes[account].flows(account, opened_at):
            if flow.cause is Cause.FUNDING and flow.venue_time >= opened_at:
                paid[Cause.FUNDING, flow.key.asset] += flow.amount
    return paid
