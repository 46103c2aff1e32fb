"""The fold of the journal, and what its rows mean for an order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.errors import IllegalTransitionError, IntegrityError
from basis_daemon.domain.trade import TRANSITIONS, OrderState
from basis_daemon.venues.chain.nonces import NonceBook
from basis_daemon.venues.chain.recorder import TxRecorder
from basis_daemon.venues.chain.transactions import Attempt, NonceRow, TxEvent, TxRow, order_state_of, steps_to
from tests.venues.chain.support import OWNER, MemoryTxJournal

S = OrderState
CHAIN_STATES = (S.SIGNED, S.BROADCAST, S.INCLUDED, S.FINAL, S.REPLACED, S.DROPPED, S.REVERTED, S.REORGED)


def row(nonce: int = 0, name: str = "a", state: OrderState = S.SIGNED, **changes: object) -> TxRow:
    fields: dict[str, object] = {
        "order_id": f"order-{nonce}", "address": OWNER, "nonce": nonce, "hash": f"0x{name}{nonce}", "state": state,
        "attempt": Attempt.ORIGINAL, "max_fee_wei": 2, "tip_wei": 1, "fee_cap_wei": 9, "deadline": None,
        "is_private": False, "raw_hex": "0x02" if state is S.SIGNED else "", "is_final": state is S.FINAL, **changes,
    }  # fmt: skip
    return TxRow(**fields)  # type: ignore[arg-type]  # by name


def test_rows_survive_as_text() -> None:
    for record in (row(), row(state=S.INCLUDED, block=7, block_hash="0x7"), NonceRow(address=OWNER, nonce=3, why="x")):
        text = msgspec.json.encode(record)
        assert msgspec.json.decode(text, type=TxRow | NonceRow) == record


def test_the_next_nonce_follows_the_last_one_signed() -> None:
    book = NonceBook(OWNER, [NonceRow(address=OWNER, nonce=5, why="first start")])
    assert book.next_nonce == 5
    book.fold(row(5))
    assert book.next_nonce == 6


def test_a_nonce_that_everyone_refused_goes_to_the_next_order() -> None:
    book = NonceBook(OWNER, [row(0), row(0, state=S.DROPPED)])
    assert book.next_nonce == 0
    assert book.live() == []
    book.fold(row(0, "b", order_id="order-9"))
    assert [attempt.hash for attempt in book.slot(0).attempts.values()] == ["0xa0", "0xb0"]
    assert book.next_nonce == 1


def test_a_refused_nonce_below_another_stays_a_gap_that_the_start_refuses() -> None:
    book = NonceBook(OWNER, [row(0), row(1), row(0, state=S.DROPPED)])
    assert book.next_nonce == 2
    with pytest.raises(IntegrityError, match=r"no transaction in the journal for nonces \[0\]"):
        book.check_against(0)


def test_a_loser_does_not_speak_for_its_order() -> None:
    book = NonceBook(OWNER, [row(), row(state=S.BROADCAST), row(state=S.REPLACED, replaced_by="0xb0")])
    book.fold(row(0, "b", attempt=Attempt.REPLACEMENT))
    book.fold(row(0, "b", S.BROADCAST, attempt=Attempt.REPLACEMENT))
    book.fold(row(0, "a", S.INCLUDED, block_hash="0x1"))
    last = book.last_of("order-0")
    assert last is not None
    assert (last.hash, last.state) == ("0xa0", S.INCLUDED)
    book.fold(row(0, "b", S.DROPPED, attempt=Attempt.REPLACEMENT, replaced_by="0xa0"))
    book.fold(row(0, "a", S.FINAL, block_hash="0x1"))
    end = book.last_of("order-0")
    assert end is not None
    assert (end.hash, end.state) == ("0xa0", S.FINAL)
    assert (book.live(), book.next_nonce) == ([], 1)


def test_the_bytes_stay_although_only_the_first_row_holds_them() -> None:
    book = NonceBook(OWNER, [row(), row(state=S.BROADCAST)])
    newest = book.slot(0).newest
    assert newest is not None
    assert newest.raw == b"\x02"
    with pytest.raises(ValueError, match="row of state BROADCAST has no bytes"):
        _ = row(state=S.BROADCAST).raw


def test_a_chain_that_is_behind_what_is_final_is_another_chain() -> None:
    book = NonceBook(OWNER, [row(), row(state=S.FINAL)])
    with pytest.raises(IntegrityError, match="another chain"):
        book.check_against(0)
    book.check_against(1)


async def test_an_illegal_step_is_refused_before_it_is_written() -> None:
    journal = MemoryTxJournal()
    recorder = TxRecorder(OWNER, journal, lambda _: None)
    with pytest.raises(IntegrityError, match="first row is BROADCAST"):
        await recorder.record(TxEvent(row(state=S.BROADCAST)))
    await recorder.record(TxEvent(row()))
    with pytest.raises(IllegalTransitionError):
        await recorder.record(TxEvent(row(state=S.FINAL)))
    assert [record for record in journal.read(OWNER) if isinstance(record, TxRow)] == [row()]


@pytest.mark.parametrize("state", [S.SIGNED, S.BROADCAST, S.REPLACED, S.REORGED])
@pytest.mark.parametrize("target", [S.INCLUDED, S.REVERTED])
def test_whatever_was_signed_can_be_found_in_a_block(state: OrderState, target: OrderState) -> None:
    steps = [state, *(event.row.state for event in steps_to(row(state=state), row(state=target)))]
    assert all(after in TRANSITIONS[before] for before, after in pairwise(steps))


def test_the_steps_of_an_order_follow_the_domains_table() -> None:
    cancel: dict[str, Any] = {"attempt": Attempt.CANCEL}
    life = [
        row(), row(state=S.BROADCAST), row(state=S.REPLACED, replaced_by="0xb0"), row(0, "b", **cancel),
        row(0, "b", S.BROADCAST, **cancel), row(0, "b", S.INCLUDED, **cancel), row(0, "b", S.REORGED, **cancel),
        row(0, "b", S.BROADCAST, **cancel), row(0, "b", S.INCLUDED, **cancel),
        row(state=S.DROPPED, replaced_by="0xb0"), row(0, "b", S.FINAL, **cancel),
    ]  # fmt: skip
    steps = [state for state in map(order_state_of, life) if state is not None]
    changes = [step for before, step in zip([None, *steps], steps, strict=False) if before is not step]
    assert changes == [S.SIGNED, S.BROADCAST, S.REPLACED, S.BROADCAST, S.DROPPED]
    assert all(after in TRANSITIONS[before] for before, after in pairwise(changes))


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc"), st.sampled_from(CHAIN_STATES)), max_size=30))
def test_a_fold_in_two_parts_is_the_fold_of_the_whole(steps: list[tuple[int, str, OrderState]]) -> None:
    records = [row(nonce, name, state) for nonce, name, state in steps]
    whole, part = NonceBook(OWNER, records), NonceBook(OWNER, records[: len(records) // 2])
    for record in records[len(records) // 2 :]:
        part.fold(record)
    assert [(slot.nonce, slot.attempts) for slot in whole.live()] == [(s.nonce, s.attempts) for s in part.live()]
    assert whole.next_nonce == part.next_nonce
    assert all(slot.nonce < whole.next_nonce for slot in whole.live())
