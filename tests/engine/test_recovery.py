"""Live changes and recovery take the same road: a fold of the journal is the state, with or without snapshots."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.decision import Assessment, ReasonCode
from basis_daemon.domain.errors import IllegalTransitionError, JournalError
from basis_daemon.domain.ledger import Cause, Entry
from basis_daemon.domain.order import Side
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.trade import OrderState
from basis_daemon.domain.transfer import ApprovalRow, TransferRow, TransferStep
from basis_daemon.engine.codec import (
    DecisionRow,
    ForeignOrderRow,
    GuardRow,
    GuardState,
    MemoryRow,
    PlanRow,
    WithdrawalRow,
)
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.repair import pair_of
from basis_daemon.engine.state import BookState, recover
from basis_daemon.ports import RecordKind
from basis_daemon.venues.paper.faults import Fault, FaultKind
from tests.engine.support import Rig, agrees, folded
from tests.venues.paper_support import CASH, COIN, PERP, START, D, limit_order, stamp, trade_order

ACTIONS = (
    "trade",
    "short",
    "rest",
    "cross",
    "fund",
    "refuse",
    "lose",
    "repeat",
    "by_hand",
    "break",
    "heal",
    "foreign",
    "halt",
    "guard",
    "withdraw",
    "transfer",
    "approve",
    "flow_out",
    "memory",
    "decision",
    "plan",
    "note",
    "days_pass",
    "forget",
    "correct",
    "snapshot",
)


def visible(state: BookState) -> dict[str, Any]:
    """Everything that a state says."""
    return {
        "sequence": state.sequence,
        "ledger": state.ledger.state(),
        "orders": {
            order_id: (
                life.order,
                life.state,
                life.sent_at,
                life.cum_filled,
                life.deltas,
                life.ended_at,
                life.trade_ids,
            )
            for order_id, life in state.orders.items()
        },
        "plans": state.plans,
        "asked": state.asked_until,
        "memories": state.memories,
        "decisions": (state.decisions, state.last_decision),
        "breaks": (state.breaks, state.breaks_opened),
        "foreign": state.foreign_orders,
        "guard": state.guard,
        "halts": state.halts,
        "trades": (state.trade_count, state.last_trade_time),
        "valuation": state.last_valuations,
        "withdrawals": state.withdrawals,
        "transfers": state.transfers,
        "approvals": state.approvals,
        "brackets": state.brackets,
    }


def _assessment(number: int) -> Assessment:
    return Assessment(stamp(number), "s", "test", ReasonCode.HOLD, "nothing to do", {}, {"limit": D("0.1")})


def _grow_old(rig: Rig, action: str) -> None:
    """Some thirty hours of market in which every account answered, or what they let go."""
    if action == "forget":
        rig.recorder.forget(2)
        return
    rig.recorder.see_time(rig.state.market_time + timedelta(hours=31))
    for account in ("binance", "binanceusdm"):
        rig.recorder.asked(account, rig.state.market_time)


def _begin_to_leave(rig: Rig, number: int, action: str) -> None:
    """Capital that is to go, or money on its way to the wallet."""
    recorder = rig.recorder
    if action == "withdraw":
        recorder.record(WithdrawalRow(f"wish-{number}", "s", D(300), D(300), (CASH,)), "operator")
        return
    name, at = f"{number:032x}", START + timedelta(days=number)
    if action == "approve":
        word = ApprovalRow(name, "binance", "wallet", "USDT", D(5), at, at + timedelta(hours=4), "seen by two")
        recorder.record(word, "operator")
        return
    row = TransferRow(name, "binance", "wallet", "USDT", "ethereum", "0x1", D(5), D(0), D(9), D(0), at)
    recorder.record(row, name)
    recorder.record(replace(row, step=TransferStep.DONE if number % 2 else TransferStep.UNKNOWN), name)


def _write(rig: Rig, number: int, action: str) -> None:
    """What moves no money."""
    recorder = rig.recorder
    match action:
        case "days_pass" | "forget":
            _grow_old(rig, action)
        case "halt":
            rig.handler.halt(PERP if number % 2 else COIN, f"drill {number}")
        case "guard":
            rig.guard.tighten(GuardState.REDUCING, f"drill {number}")
        case "foreign":
            recorder.record(
                ForeignOrderRow("binance", f"theirs-{number % 3}", "external", is_open=number % 2 == 1), "s"
            )
        case "withdraw" | "transfer" | "approve":
            _begin_to_leave(rig, number, action)
        case "memory":
            recorder.record(MemoryRow("s", f'{{"seen": {number}}}'), "s")
        case "decision":
            recorder.record(DecisionRow("s", number, _assessment(number)), f"s:1:{number}")
        case "plan":
            state = PlanState.RUNNING if number % 2 else PlanState.DONE
            recorder.record(PlanRow(f"s:1:{number // 2}", "s", number, ReasonCode.ENTRY, state), "s")
        case "note":
            recorder.note(RecordKind.VALUATION, f'{{"equity_usdt": "{number}"}}', "valuation")
        case _:
            recorder.snapshot()


async def _by_hand(rig: Rig, number: int, action: str) -> None:
    if action == "correct":
        lines = pair_of(COIN, "BTC", D("0.001"), Cause.CORRECTION)
        rig.recorder.correction(Entry(f"repair:{number}", stamp(number), lines))
        return
    if action == "by_hand":
        rig.stage.venue.trade_by_hand(PERP, Side.BUY, D("0.001"))
        return
    rig.stage.venue.deposit(CASH, D(-200))
    rig.handler.process_cash_flows(await rig.stage.wallet.fetch_cash_flows(START))


async def _move(rig: Rig, number: int, action: str) -> None:
    match action:
        case "trade" | "refuse" | "lose" | "repeat":
            kinds = {
                "refuse": FaultKind.REJECT,
                "lose": FaultKind.LOST_AFTER_ACCEPT,
                "repeat": FaultKind.DUPLICATE_FILL,
            }
            if action in kinds:
                rig.faults.add(1, Fault(kinds[action]))
            await rig.run(trade_order(COIN, Side.BUY, "0.01"))
        case "short":
            await rig.run(trade_order(PERP, Side.SELL, "0.013"))
        case "rest":
            await rig.run(limit_order(PERP, Side.SELL, "0.02", "60100"))
        case "cross":
            rig.quote(PERP, 60_150, size="0.015", at_s=number)
            rig.quote(PERP, at_s=number)
        case "fund":
            rig.stage.settle("0.0001", at_s=number)
            rig.handler.process_cash_flows(await rig.stage.futures.fetch_cash_flows(START))
        case "by_hand" | "flow_out" | "correct":
            await _by_hand(rig, number, action)
        case "break" | "heal":
            rig.stage.venue.exchange.wallets.pay(COIN, D(1) if action == "break" else D(-1))
            for _ in range(2):
                rig.handler.observe(await rig.report("binance"), is_settled=True)
                await rig.clock.advance(2)
        case _:
            _write(rig, number, action)


@pytest.mark.feature("H01")
@given(st.lists(st.sampled_from(ACTIONS), max_size=20))
@pytest.mark.slow
async def test_a_fold_of_the_journal_is_the_live_state_and_a_snapshot_changes_nothing(script: list[str]) -> None:
    rig = Rig.adopted()
    for number, action in enumerate(script, 1):
        await _move(rig, number, action)
    assert visible(folded(rig)) == visible(rig.state)
    assert visible(recover(rig.journal)) == visible(rig.state)
    assert rig.journal.read()[-1].sequence == rig.state.sequence
    assert BookState.restore(rig.state.dump()).dump() == rig.state.dump()


async def test_state_and_journal_count_the_same_rows_whatever_is_written() -> None:
    rig = Rig.adopted()
    for number, action in enumerate(ACTIONS, 1):
        await _move(rig, number, action)
        assert rig.state.sequence == rig.journal.read()[-1].sequence, action
    assert rig.recorder.rows_since_snapshot == 0


async def test_every_kind_of_action_left_its_rows() -> None:
    rig = Rig.adopted()
    for number, action in enumerate(ACTIONS, 1):
        await _move(rig, number, action)
    written = {row.record.kind for row in rig.journal.read()}
    upkeep = {RecordKind.LIFE, RecordKind.PRUNING, RecordKind.MIGRATION, RecordKind.RESTORE}
    elsewhere = {RecordKind.OPERATOR, RecordKind.GROUP, RecordKind.RISK, RecordKind.TRANSACTION}
    assert written == set(RecordKind) - elsewhere - upkeep


@pytest.mark.feature("H01")
async def test_after_a_crash_the_next_life_goes_on_from_what_was_durable() -> None:
    rig = Rig.adopted()
    await rig.run(trade_order(COIN, Side.BUY, "0.5"))
    rig.guard.tighten(GuardState.HALTED, "drill")
    await rig.recorder.flush()
    await rig.run(trade_order(PERP, Side.BUY, "0.1"))
    again = Rig(stage=rig.stage, journal=rig.journal.after_crash())
    assert again.recorder.epoch == rig.recorder.epoch + 1
    assert again.guard.state is GuardState.HALTED
    assert again.held(COIN) == D("0.4995")
    for life in again.state.open_orders():
        await again.runner.resolve(life)
    assert agrees(again)


def test_rows_known_already_are_not_applied_twice() -> None:
    rig = Rig.adopted()
    state = folded(rig)
    before = visible(state)
    for row in rig.journal.read():
        state.apply(row)
    assert visible(state) == before


async def test_an_illegal_step_is_neither_folded_nor_journalled() -> None:
    rig = Rig.adopted()
    life = await rig.run(trade_order(COIN, Side.BUY, "0.1"))
    rows = len(rig.journal.read())
    with pytest.raises(IllegalTransitionError, match="FILLED -> ACKED"):
        rig.recorder.move(life.order, OrderState.ACKED)
    assert (life.state, len(rig.journal.read())) == (OrderState.FILLED, rows)


async def test_an_id_is_intended_once() -> None:
    rig = Rig.adopted()
    order = trade_order(COIN, Side.BUY, "0.1")
    await rig.run(order)
    with pytest.raises(JournalError, match="an intent with this id exists"):
        await rig.run(order)
    assert len(rig.sent) == 1
    assert rig.state.sequence == rig.journal.read()[-1].sequence


async def test_a_row_that_is_none_is_refused_by_name() -> None:
    rig = Rig.adopted()
    rig.recorder.note(RecordKind.GUARD, '{"state": "ASLEEP", "why": ""}', "guard")
    with pytest.raises(JournalError, match="no GuardRow"):
        folded(rig)


def test_market_time_only_goes_forward() -> None:
    rig = Rig.adopted()
    rig.recorder.see_time(stamp(60))
    rig.recorder.see_time(stamp(30))
    rig.recorder.record(GuardRow(GuardState.REDUCING, "drill"), "guard")
    assert rig.journal.read()[-1].record.market_time == stamp(60)
    assert recover(rig.journal).market_time == stamp(60)


def test_a_recorder_over_an_empty_journal_starts_behind_its_first_row() -> None:
    rig = Rig()
    assert isinstance(rig.recorder, Recorder)
    assert [row.record.kind for row in rig.journal.read()] == [RecordKind.GENERATION]
    assert rig.state.sequence == 1
