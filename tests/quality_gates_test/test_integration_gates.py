"""Each integration gate fails on the violation it is there for, and passes without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import Order
from basis_daemon.domain.plan import Batch, batches
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.codec import TradeRow
from basis_daemon.engine.state import BookState, recover
from basis_daemon.engine.venue_interface_manager import Route, VenueInterfaceManager
from basis_daemon.ports import ExecutionInterface, Journal, RecordKind
from tests.quality_gates.fault_map import FaultRow
from tests.quality_gates.fault_page import claims, every_fault_is_claimed, page
from tests.quality_gates.gate import Category, Found, Gate, judge
from tests.quality_gates.ledger import deltas_fold_into_positions, journal_rows_make_the_same_state
from tests.quality_gates.plans import malformed_plans, malformed_plans_are_refused, routes_are_complete_at_start


# -------------------------------------------------------------------------------------------------------- ledger
class _BooksTwice(BookState):
    """Believes every telling of a trade."""

    def book(self, row: TradeRow) -> bool:
        self.ledger._seen.pop(row.trade.trade_id, None)
        return super().book(row)


class _ForgetsFees(BookState):
    """Books what was bought and not what it cost."""

    def book(self, row: TradeRow) -> bool:
        bought = {key: amount for key, amount in row.trade.deltas.items() if key == row.trade.instrument}
        trade = row.trade.model_copy(update={"deltas": bought, "qty_base": Decimal(0)})
        return super().book(TradeRow(trade, self.entry_of(trade)))


def test_deltas_fold_whatever_the_seed() -> None:
    assert deltas_fold_into_positions().faults == ()
    assert deltas_fold_into_positions(seed=11, count=50).faults == ()


@pytest.mark.parametrize("make", [_BooksTwice, _ForgetsFees])
def test_a_state_that_holds_something_else_than_the_sum_is_named(make: type[BookState]) -> None:
    faults = deltas_fold_into_positions(make).faults
    assert any("sum of deltas" in fault for fault in faults)


def _without_trades(journal: Journal) -> BookState:
    state = BookState()
    for row in journal.read(kinds=frozenset(RecordKind) - {RecordKind.TRADE}):
        state.apply(row)
    return state


def _without_doubt(journal: Journal) -> BookState:
    state = recover(journal)
    for life in state.open_orders():
        life.state = OrderState.CANCELLED if life.is_in_doubt else life.state
    return state


@pytest.mark.feature("H01", part="projection")
def test_rows_make_the_same_state() -> None:
    assert journal_rows_make_the_same_state().faults == ()


def test_a_recovery_that_loses_trades_is_named() -> None:
    faults = journal_rows_make_the_same_state(_without_trades).faults
    assert any("trade_count is 0" in fault for fault in faults)
    assert any("holdings are" in fault for fault in faults)


def test_a_recovery_that_forgets_doubt_is_named() -> None:
    assert any("in doubt are ()" in fault for fault in journal_rows_make_the_same_state(_without_doubt).faults)


# --------------------------------------------------------------------------------------------------------- plans
def _one_batch(orders: Sequence[Order], chains: Mapping[str, str]) -> tuple[Batch, ...]:
    """Takes whatever it is given."""
    del chains
    return (Batch(None, orders[0].execution_mode, tuple(orders)),)


def _refuses_all(orders: Sequence[Order], chains: Mapping[str, str]) -> tuple[Batch, ...]:
    """Knows no chain at all, so nothing can be atomic."""
    del chains
    return batches(orders, {})


def test_every_malformed_plan_is_refused() -> None:
    assert malformed_plans_are_refused().faults == ()


def test_a_manager_that_takes_everything_is_named_once_per_malformed_plan() -> None:
    faults = malformed_plans_are_refused(_one_batch).faults
    assert faults == tuple(f"{what}: not refused" for what in malformed_plans())


def test_a_manager_that_refuses_everything_is_named() -> None:
    faults = malformed_plans_are_refused(_refuses_all).faults
    assert faults == ("leveraged staking in one transaction: refused, expected one batch",)


def test_the_malformed_plans_are_the_ones_the_owner_named() -> None:
    named = {
        "two chains",
        "a CEX leg",
        "a transfer leg",
        "a flash loan that nobody repays",
        "two owners",
        "a torn group",
    }
    named |= {"a flash repayment that is not last", "more spent than the loan brought", "repeated ids"}
    assert named <= malformed_plans().keys()


def _lenient_table(interfaces: Iterable[ExecutionInterface], needed: Iterable[Route]) -> VenueInterfaceManager:
    """Asks for nothing at start and finds out when an order comes."""
    del needed
    by_account = {interface.account: interface for interface in interfaces}
    return VenueInterfaceManager(by_account.values(), let_out=lambda _: None)


def test_routes_are_checked() -> None:
    assert routes_are_complete_at_start().faults == ()


def test_a_table_that_starts_incomplete_is_named() -> None:
    faults = routes_are_complete_at_start(_lenient_table).faults
    assert [fault.split(":")[0] for fault in faults] == [
        "a route without interface",
        "an operation at the wrong venue",
        "no interface at all",
        "a route with two interfaces",
    ]


# --------------------------------------------------------------------------------------------------------- judge
def test_a_gate_that_breaks_has_failed_and_the_next_one_still_speaks() -> None:
    def broken() -> Found:
        return Found(str(PositionKey("nonsense")))

    gates = [
        Gate("first", Category.STRATEGY, "it works", broken),
        Gate("second", Category.STRATEGY, "it works", lambda: Found("one thing")),
    ]
    first, second = judge(gates)
    assert not first.is_passed
    assert "ValueError: position key 'nonsense'" in first.faults[0]
    assert second.is_passed


# ----------------------------------------------------------------------------------------------------- fault table
def test_a_fault_that_nobody_claims_a_thrown_one_that_is_none_and_a_stale_page_are_named(tmp_path: Path) -> None:
    told = tmp_path / "faults.md"
    rows = [FaultRow("F01", "silence", {"a.py::test_a": "claimed"}, ("answer_lost",))]
    told.write_text(page(rows), encoding="utf-8")
    assert every_fault_is_claimed(rows, told).faults == ()
    worse = [*rows, FaultRow("F02", "more of it", {}, ("boredom",))]
    assert [fault.partition(":")[0] for fault in every_fault_is_claimed(worse, told).faults] == [
        "F02", "faults.yaml", "faults.md is stale",
    ]  # fmt: skip


def test_marks_of_a_file_of_a_test_and_of_its_parameters_are_claims(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        'pytestmark = [pytest.mark.fault("F01")]\n'
        '@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.fault("F02", "gap_ws"))])\n'
        "async def test_b(n): ...\n",
        encoding="utf-8",
    )
    assert claims(tmp_path) == {name: ["test_a.py::test_b"] for name in ("F01", "F02", "gap_ws")}
