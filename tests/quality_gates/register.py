"""Every gate there is, in the order in which they are printed."""

from __future__ import annotations

from functools import partial

from tests.quality_gates import ledger, plans, ports, tables
from tests.quality_gates.fault_page import every_fault_is_claimed
from tests.quality_gates.gate import Category, Gate
from tests.quality_gates.order_model import one_order_model
from tests.quality_gates.purity import strategies_are_pencil_only
from tests.quality_gates.strategy import (
    NINE,
    decisions_are_lists_of_orders,
    equal_inputs_give_equal_decisions,
    strategies_honour_the_port,
)
from tests.quality_gates.subjects import SUBJECTS, registered
from tests.quality_gates.tree import Tree

_TREE = Tree.of_repository()

GATES: tuple[Gate, ...] = (
    Gate(
        "strategy-port",
        Category.STRATEGY,
        "every registered strategy implements fold, assess and make_strategy_decision as the port asks",
        partial(strategies_honour_the_port, SUBJECTS, registered()),
    ),
    Gate(
        "strategy-orders",
        Category.STRATEGY,
        "make_strategy_decision returns list[Order]: some to enter, none to hold or when stale",
        partial(decisions_are_lists_of_orders, SUBJECTS),
    ),
    Gate(
        "strategy-equal",
        Category.STRATEGY,
        "equal inputs give equal decisions and leave the inputs as they were",
        partial(equal_inputs_give_equal_decisions, SUBJECTS),
    ),
    Gate(
        "strategy-pure",
        Category.STRATEGY,
        "nothing in a strategy's file waits, reads a clock, or touches the outside",
        partial(strategies_are_pencil_only, _TREE),
    ),
    Gate(
        "one-order-model",
        Category.COMPONENTS,
        "no StrategyAction, no instruction layer, no second model of an order",
        partial(one_order_model, _TREE),
    ),
    Gate(
        "interfaces",
        Category.COMPONENTS,
        "every execution interface takes an Order, returns a Trade, and is awaited",
        ports.interfaces_take_orders_and_return_trades,
    ),
    Gate(
        "operations",
        Category.COMPONENTS,
        "every operation has its row of required fields, and the model enforces each of them",
        tables.operations_are_covered,
    ),
    Gate(
        "order-states",
        Category.COMPONENTS,
        "every order state has its row, is reached, ends, and no step outside the table is taken",
        tables.order_states_are_closed,
    ),
    Gate(
        "position-keys",
        Category.COMPONENTS,
        "position keys read venue:kind:symbol, and nothing else is taken for one",
        tables.position_keys_are_strict,
    ),
    Gate(
        "journals",
        Category.COMPONENTS,
        "every journal honours the port",
        ports.journals_honour_the_port,
    ),
    Gate(
        "deltas-fold",
        Category.INTEGRATION,
        "positions are the sum of the trades' deltas, however often a trade is told",
        ledger.deltas_fold_into_positions,
    ),
    Gate(
        "atomic-plans",
        Category.INTEGRATION,
        "malformed atomic plans are refused before anything is sent",
        plans.malformed_plans_are_refused,
    ),
    Gate(
        "routes",
        Category.INTEGRATION,
        "a needed route without interface stops the start",
        plans.routes_are_complete_at_start,
    ),
    Gate(
        "journal-replay",
        Category.INTEGRATION,
        "journal rows make the same state again, with and without a snapshot",
        ledger.journal_rows_make_the_same_state,
    ),
    Gate(
        "fault-table",
        Category.INTEGRATION,
        "every fault of the catalogue is claimed by a test, and docs/faults.md says by which",
        every_fault_is_claimed,
    ),
)


def missing_strategies() -> list[str]:
    """Which of the nine are not registered."""
    return [name for name in NINE if name not in registered()]
