"""Each component gate fails on the violation it is there for, and passes without it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import FIELDS_BY_OPERATION, Order, OrderOperation
from basis_daemon.domain.trade import TRANSITIONS, OrderState, Trade
from basis_daemon.ports import Evidence, Record, RecordKind, StoredRecord
from tests.quality_gates.order_model import HOME, one_order_model
from tests.quality_gates.ports import interfaces_take_orders_and_return_trades, journals_honour_the_port
from tests.quality_gates.tables import operations_are_covered, order_states_are_closed, position_keys_are_strict
from tests.quality_gates.tree import Tree

O = OrderOperation  # noqa: E741 - the tables are read by operation
S = OrderState


def planted(root: Path, files: dict[str, str]) -> Tree:
    for name, text in ({HOME: "class Order:\n    side: str\n"} | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return Tree.of_folder(root)


# ------------------------------------------------------------------------------------------------- one order model
def test_a_tree_with_one_order_has_one_order_model(tmp_path: Path) -> None:
    harmless = "class OrderState: ...\nclass OrderRejectedError(Exception): ...\nclass _Order:\n    fills: list\n"
    tree = planted(tmp_path, {"basis_daemon/engine/state.py": harmless, "docs.md": "There is no StrategyAction."})
    assert one_order_model(tree).faults == ()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("basis_daemon/engine/a.py", "class StrategyAction: ...", "engine/a.py:1: StrategyAction"),
        ("tests/a.py", "def act(x: object) -> None:\n    return x.StrategyInstruction", "tests/a.py:2: StrategyInstr"),
        ("basis_daemon/a.py", "from elsewhere import TradeInstruction", "a.py:1: TradeInstruction"),
        ("config/a.yaml", "key: 1\nactions: StrategyAction", "config/a.yaml:2: StrategyAction"),
        ("basis_daemon/venues/a.py", "class OrderRequest: ...", "class OrderRequest is a second order model"),
        (
            "basis_daemon/venues/a.py",
            "class LimitOrder:\n    side: str",
            "class LimitOrder has an order's fields",
        ),
        (
            "basis_daemon/venues/a.py",
            "class Ticket:\n    def __init__(self):\n        self.side = self.tif = self.amount = self.reduce_only = 1",
            "class Ticket has an order's fields: amount, reduce_only, side, tif",
        ),
        ("basis_daemon/engine/a.py", "class Order: ...", "expected basis_daemon/domain/order.py alone"),
    ],
)
def test_a_second_order_model_is_named_with_its_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    faults = one_order_model(planted(tmp_path, {name: text})).faults
    assert len(faults) == 1
    assert said in faults[0]


def test_the_counterparty_keeps_its_own_order(tmp_path: Path) -> None:
    book = "class RestingOrder:\n    side: str\n    amount: int\n    tif: str\n    order_type: str\n"
    assert one_order_model(planted(tmp_path, {"basis_daemon/sandbox/exchange/book.py": book})).faults == ()


# --------------------------------------------------------------------------------------------------------- ports
class _Honest:
    account = "binance"
    operations = frozenset({O.SPOT_TRADE})

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        raise NotImplementedError

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        raise NotImplementedError

    async def cancel_order(self, order: Order) -> Evidence:
        raise NotImplementedError


class _TakesFields(_Honest):
    async def execute_order(self, order: dict[str, str], timestamp: datetime) -> Trade:  # type: ignore[override]  # the fault
        raise NotImplementedError


class _ReturnsFields(_Honest):
    async def execute_order(self, order: Order, timestamp: datetime) -> dict[str, str]:  # type: ignore[override]  # the fault
        raise NotImplementedError


class _Blocks(_Honest):
    def execute_order(self, order: Order, timestamp: datetime) -> Trade:  # type: ignore[override]  # the fault
        raise NotImplementedError


class _CannotBeAsked:
    account = "binance"
    operations = _Honest.operations
    execute_order = _Honest.execute_order
    cancel_order = _Honest.cancel_order


class _HasNoAccount:
    operations = _Honest.operations
    execute_order = _Honest.execute_order
    find_order = _Honest.find_order
    cancel_order = _Honest.cancel_order


def test_an_interface_that_takes_an_order_and_returns_a_trade_passes() -> None:
    assert interfaces_take_orders_and_return_trades([_Honest]).faults == ()


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (_TakesFields, "an Order in"),
        (_ReturnsFields, "a Trade out"),
        (_Blocks, "is not async"),
        (_CannotBeAsked, "find_order: missing"),
        (_HasNoAccount, "account: missing"),
    ],
)
def test_an_interface_of_another_shape_is_named(cls: type, said: str) -> None:
    assert any(said in fault for fault in interfaces_take_orders_and_return_trades([cls]).faults)


def test_a_claim_about_no_interface_at_all_fails() -> None:
    assert interfaces_take_orders_and_return_trades([]).faults


class _ForgetsKinds:
    generation = 1

    def append(self, record: Record) -> None: ...

    async def append_durable(self, records: Sequence[Record]) -> None: ...

    async def flush(self) -> None: ...

    def read(self, after: int = 0) -> Sequence[StoredRecord]:
        return []

    async def latest(self, kind: RecordKind) -> StoredRecord | None:
        return None


def test_a_journal_that_reads_otherwise_is_named() -> None:
    faults = journals_honour_the_port([_ForgetsKinds]).faults
    assert any("read: takes ['self', 'after']" in fault for fault in faults)
    assert any("latest: is async" in fault for fault in faults)


# -------------------------------------------------------------------------------------------------------- tables
@pytest.mark.feature("O01")
def test_one_model_covers_every_operation_of_the_owner() -> None:
    assert operations_are_covered().faults == ()


@pytest.mark.feature("O05")
def test_the_life_of_an_order_takes_only_the_steps_of_its_table() -> None:
    assert order_states_are_closed().faults == ()


def test_position_keys_are_as_the_specification_writes_them() -> None:
    assert position_keys_are_strict().faults == ()


def test_an_operation_without_its_row_is_named() -> None:
    table = dict(FIELDS_BY_OPERATION)
    del table[O.SWAP]
    assert operations_are_covered(table).faults == ("operation swap has no row",)


def test_a_row_that_the_model_does_not_enforce_is_named() -> None:
    table = FIELDS_BY_OPERATION | {O.SUPPLY: frozenset({"token_in", "network"})}
    assert "supply without network is accepted" in operations_are_covered(table).faults


def test_a_row_with_a_field_that_orders_do_not_have_is_named() -> None:
    table = FIELDS_BY_OPERATION | {O.SUPPLY: frozenset({"token_in", "pool"})}
    assert "supply: pool is no field of Order" in operations_are_covered(table).faults


def test_a_state_without_its_row_is_named() -> None:
    table = dict(TRANSITIONS)
    del table[S.UNKNOWN]
    assert "state UNKNOWN has no row" in order_states_are_closed(table).faults


def test_a_step_that_the_code_takes_against_the_table_is_named() -> None:
    table = TRANSITIONS | {S.ACKED: TRANSITIONS[S.ACKED] - {S.FILLED}}
    assert "ACKED -> FILLED is allowed, the table says otherwise" in order_states_are_closed(table).faults


def test_a_state_that_nothing_leads_to_is_named() -> None:
    table = TRANSITIONS | {S.BROADCAST: frozenset({S.INCLUDED, S.DROPPED, S.REVERTED})}
    assert "state REPLACED cannot be reached from CREATED" in order_states_are_closed(table).faults


def lenient(text: str) -> PositionKey:
    """Forgives white space and case, as a helpful parser would."""
    venue, kind, symbol = text.strip().split(":")
    return PositionKey(f"{venue.lower()}:{kind.lower()}:{symbol}")


def test_a_parser_that_forgives_is_named() -> None:
    faults = position_keys_are_strict(lenient).faults
    assert "'Binance:spot:BTC' is accepted" in faults
    assert "' binance:spot:BTC' is accepted" in faults
