"""What a process booked and did not live to undo is undone by the next, and what came back is booked once more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.venues.chain.abi import Call
from basis_daemon.venues.chain.addresses import shipped
from basis_daemon.venues.chain.bookings import Bookings
from basis_daemon.venues.chain.deltas import Receipt
from basis_daemon.venues.chain.names import reversal_id
from basis_daemon.venues.chain.nonces import NonceBook
from basis_daemon.venues.chain.own_moves import OwnMoves
from basis_daemon.venues.chain.transactions import TxEvent, TxRow
from tests.venues.chain.support import OWNER
from tests.venues.chain.test_nonces import row

S = OrderState
FIRST, SECOND = f"0x{'1' * 64}", f"0x{'2' * 64}"


def included(block_hash: str, state: OrderState = S.INCLUDED) -> TxRow:
    return row(state=state, block=7, block_hash=block_hash, gas_used=21_000, gas_price_wei=5)


def receipt_of(one: TxRow) -> Receipt:
    block = BlockRef(one.block, one.block_hash, datetime(2026, 1, 5, tzinfo=UTC))
    return Receipt(
        tx_hash=one.hash,
        block=block,
        is_success=True,
        sender=OWNER,
        call=Call(OWNER),
        nonce=one.nonce,
        gas_used=one.gas_used,
        gas_price_wei=one.gas_price_wei,
        logs=(),
    )


class Process:
    """Bookings of one process over the trades that earlier ones left."""

    def __init__(self, journal: dict[str, Trade]) -> None:
        self.journal, self.told = dict(journal), list[Trade]()
        self.bookings = Bookings(shipped("mainnet"), OWNER, SystemClock(), self.told.append, self.journal.get)


@pytest.mark.feature("X05")
@pytest.mark.fault("F38")
def test_a_block_that_came_back_is_booked_anew_also_after_a_restart() -> None:
    first = Process({})
    booked = first.bookings.book(included(FIRST), receipt_of(included(FIRST)))
    first.bookings(TxEvent(included(FIRST, S.REORGED)))
    back = first.told[-1]
    assert back.trade_id == reversal_id(booked.trade_id)
    second = Process({one.trade_id: one for one in (booked, back)})
    again = second.bookings.book(included(FIRST), receipt_of(included(FIRST)))
    assert again.trade_id not in second.journal
    assert (again.qty_base, again.deltas) == (Decimal(0), booked.deltas)


@pytest.mark.feature("X05")
@pytest.mark.fault("F38")
def test_a_booking_that_a_death_kept_from_being_undone_is_undone_at_the_next_start() -> None:
    first = Process({})
    booked = first.bookings.book(included(FIRST), receipt_of(included(FIRST)))
    rows = [row(), row(state=S.BROADCAST), included(FIRST), included(FIRST, S.REORGED), included(SECOND)]
    second = Process({booked.trade_id: booked})
    for undone in NonceBook(OWNER, rows).undone():
        second.bookings(TxEvent(undone))
    assert [one.trade_id for one in second.told] == [reversal_id(booked.trade_id)]


@pytest.mark.fault("F38")
def test_what_was_taken_back_still_explains_what_it_had_grown_by_also_after_a_restart() -> None:
    first = Process({})
    booked = first.bookings.book(included(FIRST), receipt_of(included(FIRST)))
    first.bookings(TxEvent(included(FIRST, S.REORGED)))
    second = Process({one.trade_id: one for one in first.told})
    second.bookings(TxEvent(included(FIRST, S.REORGED)))  # as every start tells it
    for process in (first, second):
        own = OwnMoves(process.bookings, lambda: False, process.journal.__contains__)
        turnover = {key: abs(amount) for key, amount in booked.deltas.items()}
        assert own.turnover(booked.venue_time + timedelta(hours=1)) == turnover
        assert own.turnover(booked.venue_time + timedelta(days=2)) == {}
    assert second.told == []


def test_what_stands_in_the_chain_again_was_not_undone() -> None:
    rows = [row(), row(state=S.BROADCAST), included(FIRST), included(FIRST, S.REORGED), included(FIRST)]
    assert NonceBook(OWNER, rows).undone() == []
    assert NonceBook(OWNER, [*rows, included(FIRST, S.REORGED)]).undone() == [included(FIRST, S.REORGED)] * 2
