"""The one order model: what each operation needs, what no order may be, and keys and states with it."""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from basis_daemon.domain.errors import IllegalTransitionError, InvalidOrderError, PlanRefusedError
from basis_daemon.domain.instrument import Kind, PositionKey, round_down, round_up
from basis_daemon.domain.order import (
    CEX_TRADES,
    FIELDS_BY_OPERATION,
    MAX_ALLOWED,
    NO_DELTAS,
    PROTECTIVE,
    AmountUnit,
    Order,
    OrderOperation,
    Side,
)
from basis_daemon.domain.order_ids import EPOCH_MAX, OrderOrigin, journal_digits, order_id, origin_of
from basis_daemon.domain.plan import PlanState, advance_plan, batches
from basis_daemon.domain.trade import TERMINAL, TRANSITIONS, OrderState, advance
from tests.builders import D
from tests.quality_gates.examples import CHAIN_BY_VENUE, example_fields, example_order
from tests.quality_gates.plans import malformed_plans

every_operation = pytest.mark.parametrize("operation", OrderOperation)


@pytest.mark.feature("O01")
@every_operation
def test_one_model_holds_an_order_of_every_operation(operation: OrderOperation) -> None:
    order = example_order(operation)
    assert order.operation is operation
    assert Order.model_validate_json(order.model_dump_json()) == order


@pytest.mark.feature("O01")
@every_operation
def test_an_order_without_a_field_of_its_row_is_refused_by_name(operation: OrderOperation) -> None:
    for name in FIELDS_BY_OPERATION[operation]:
        with pytest.raises(ValidationError, match=name) as refused:
            Order(**example_fields(operation) | {name: None})
        assert example_fields(operation)["order_id"] in str(refused.value)


@pytest.mark.feature("O02")
@every_operation
@pytest.mark.parametrize("amount", [D(0), D(-1), D("NaN"), D("Infinity")])
def test_no_order_has_an_amount_that_is_not_above_zero(operation: OrderOperation, amount: Decimal) -> None:
    with pytest.raises(ValidationError):
        example_order(operation, amount=amount)


@every_operation
def test_only_repayments_and_withdrawals_may_ask_for_everything(operation: OrderOperation) -> None:
    if operation not in MAX_ALLOWED:
        with pytest.raises(ValidationError, match="amount MAX, expected a number"):
            example_order(operation, amount="MAX")
        return
    with pytest.raises(InvalidOrderError, match="amount is MAX"):
        _ = example_order(operation, amount="MAX").quantity


@every_operation
def test_an_order_that_moves_money_says_what_it_expects(operation: OrderOperation) -> None:
    if operation in NO_DELTAS:
        assert example_order(operation, expected_deltas={}).expected_deltas == {}
        return
    with pytest.raises(ValidationError, match="no expected_deltas"):
        example_order(operation, expected_deltas={})
    with pytest.raises(ValidationError, match="are zero or not finite"):
        example_order(operation, expected_deltas={"binance:spot:USDT": D(0)})


@every_operation
def test_only_trades_and_protective_orders_have_a_side(operation: OrderOperation) -> None:
    if operation not in CEX_TRADES | PROTECTIVE:
        with pytest.raises(ValidationError, match="side BUY on an operation that has none"):
            example_order(operation, side=Side.BUY)


@pytest.mark.parametrize("operation", sorted(CEX_TRADES))
def test_a_market_order_is_bounded_by_reference_and_slippage_and_names_no_price(operation: OrderOperation) -> None:
    with pytest.raises(ValidationError, match="market order with price"):
        example_order(operation, price=D(60_000))
    with pytest.raises(ValidationError, match="max_slippage_bp None"):
        example_order(operation, max_slippage_bp=None)
    with pytest.raises(ValidationError, match="limit order without price"):
        example_order(operation, order_type="limit")


@pytest.mark.parametrize("operation", sorted(PROTECTIVE))
def test_a_protective_order_only_reduces(operation: OrderOperation) -> None:
    with pytest.raises(ValidationError, match="without reduce_only"):
        example_order(operation, reduce_only=False)


@pytest.mark.feature("O02")
@pytest.mark.fault("F56")
def test_floats_and_unknown_fields_do_not_enter_an_order() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        example_order(OrderOperation.SPOT_TRADE, quantity=D(1))
    assert isinstance(example_order(OrderOperation.SPOT_TRADE, amount="0.1").quantity, Decimal)
    assert example_order(OrderOperation.WRAP, amount_unit="wei").amount_unit is AmountUnit.WEI


ids = st.tuples(
    st.text(min_size=1, max_size=6), st.integers(0, 99), st.text(min_size=1, max_size=6),
    st.integers(0, 10**6), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9),
)  # fmt: skip


@given(ids, ids)
@pytest.mark.slow
def test_equal_parts_give_equal_ids_and_other_parts_other_ids(
    one: tuple[str, int, str, int, int, int, int], other: tuple[str, int, str, int, int, int, int]
) -> None:
    assert len(order_id(*one)) == 32
    if "|" not in one[0] + one[2] + other[0] + other[2]:
        assert (order_id(*one) == order_id(*other)) is (one == other)


@given(ids)
def test_whose_order_an_id_is_can_be_read_without_a_journal(parts: tuple[str, int, str, int, int, int, int]) -> None:
    assert origin_of(order_id(*parts)) == OrderOrigin(journal_digits(parts[0]), parts[1])


@pytest.mark.parametrize(
    "client_id", ["", "manual-1", "web_ba515d", "ba515d", "0" * 32, "0" * 14 + "ba515d" + "A" * 12]
)
def test_an_id_of_another_hand_has_no_origin_with_us(client_id: str) -> None:
    assert origin_of(client_id) is None


@pytest.mark.parametrize("epoch", [-1, EPOCH_MAX + 1])
def test_an_epoch_that_would_not_fit_into_an_id_is_refused(epoch: int) -> None:
    with pytest.raises(ValueError, match=f"epoch {epoch}, expected 0 to {EPOCH_MAX}"):
        order_id("journal", epoch, "s", 1, 0, 0, 0)


# ------------------------------------------------------------------------------------------------- keys and steps
@given(
    st.from_regex(r"[a-z0-9_]{1,32}", fullmatch=True),
    st.sampled_from(Kind),
    st.from_regex(r"[A-Za-z0-9._*-]{1,80}", fullmatch=True),
)
def test_a_position_key_keeps_its_three_parts(venue: str, kind: Kind, symbol: str) -> None:
    key = PositionKey.of(venue, kind, symbol)
    for same in (key, PositionKey(str(key)), PositionKey(key), deepcopy(key)):
        assert (same.venue, same.kind, same.symbol) == (venue, kind, symbol)
        assert (same, str(same), hash(same)) == (key, f"{venue}:{kind}:{symbol}", hash(str(key)))


@given(st.text(max_size=40))
@pytest.mark.fault("F61")
def test_text_without_three_parts_and_a_known_kind_is_no_position_key(text: str) -> None:
    parts = text.split(":")
    if len(parts) != 3 or parts[1] not in set(Kind) or parts[0] != parts[0].lower() or not parts[2]:
        with pytest.raises(ValueError, match="position key"):
            PositionKey(text)


@given(st.decimals(min_value=0, max_value=10**6, places=10), st.sampled_from(["0.001", "0.00001", "1", "0.01", "1e-8"]))
def test_rounding_to_a_step_never_crosses_a_step(quantity: Decimal, step: str) -> None:
    size = D(step)
    down, up = round_down(quantity, size), round_up(quantity, size)
    assert down <= quantity <= up
    assert up - down in (0, size)
    assert down % size == up % size == 0


# --------------------------------------------------------------------------------------------------------- states
@pytest.mark.feature("O05")
@given(st.lists(st.integers(0, 26), max_size=30))
def test_a_random_walk_takes_only_legal_steps_and_stays_where_life_ends(choices: list[int]) -> None:
    state, states = OrderState.CREATED, list(OrderState)
    for choice in choices:
        following = states[choice]
        if following in TRANSITIONS[state]:
            state = advance("o1", state, following)
        else:
            with pytest.raises(IllegalTransitionError, match="o1"):
                advance("o1", state, following)
        assert state not in TERMINAL or not TRANSITIONS[state]


@pytest.mark.feature("O05")
def test_a_plan_that_ended_does_not_run_again() -> None:
    assert advance_plan("p", PlanState.ACCEPTED, PlanState.RUNNING) is PlanState.RUNNING
    for ended in (PlanState.DONE, PlanState.ABORTED):
        with pytest.raises(IllegalTransitionError, match="nothing: terminal"):
            advance_plan("p", ended, PlanState.RUNNING)


@pytest.mark.feature("O07", part="cex")
@pytest.mark.parametrize("what", sorted(malformed_plans()))
def test_a_plan_that_could_not_run_whole_is_refused_before_anything_is_sent(what: str) -> None:
    with pytest.raises(PlanRefusedError):
        batches(malformed_plans()[what], CHAIN_BY_VENUE)


@pytest.mark.feature("O07", part="cex")
def test_orders_of_a_group_run_together_and_batches_keep_the_order_of_the_list() -> None:
    group = {"group_id": "g", "execution_mode": "parallel"}
    orders = [
        example_order(OrderOperation.SPOT_TRADE, 0),
        example_order(OrderOperation.SPOT_TRADE, 1, sequence_in_group=0, **group),
        example_order(OrderOperation.PERP_TRADE, 2, sequence_in_group=1, **group),
        example_order(OrderOperation.SPOT_TRADE, 3),
    ]
    assert [[order.leg for order in batch.orders] for batch in batches(orders)] == [[0], [1, 2], [3]]
