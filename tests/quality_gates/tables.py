"""The tables of the domain: what each operation needs, which state may follow which, and how a position key reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from pydantic import ValidationError

from basis_daemon.domain.errors import IllegalTransitionError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import FIELDS_BY_OPERATION, Order, OrderOperation
from basis_daemon.domain.trade import DEAD, IN_DOUBT, TERMINAL, TRANSITIONS, OrderState, advance
from tests.quality_gates.examples import example_fields
from tests.quality_gates.gate import Found

OWNERS_TWELVE = frozenset(
    {"spot_trade", "perp_trade", "supply", "withdraw", "borrow", "repay"}
    | {"stake", "unstake", "swap", "transfer", "flash_borrow", "flash_repay"}
)

ACCEPTED_KEYS = (
    "binance:spot:BTC", "binance:spot:USDT", "binanceusdm:spot:USDT", "binanceusdm:perp:BTCUSDT", "bybit:perp:ETHUSDT",
    "okx:spot:ETH", "binance:transit:USDT", "wallet:token:USDT", "wallet:lst:wstETH", "wallet:transit:USDT",
    "aave_v3:atoken:WETH", "aave_v3:vdebt:USDT", "eigenlayer:share:stETH", "lido:claim:1234",
)  # fmt: skip
REFUSED_KEYS = (
    "", "BTC", "binance:BTC", "binance:spot", "binance:spot:", ":spot:BTC", "binance::BTC",
    "Binance:spot:BTC", "binance:SPOT:BTC", "binance:swap:BTC", "binance:spot:BTC:USDT", "binance:spot:BTC/USDT",
    "binance:spot:BTC ", " binance:spot:BTC", "binance:spot:BTC\n", "binance:spot:B TC", "binance-usdm:perp:BTCUSDT",
    "binance.spot.BTC", f"{'v' * 33}:spot:BTC", f"binance:spot:{'B' * 81}",
)  # fmt: skip

Refuse = Callable[[OrderState, OrderState], OrderState]


def operations_are_covered(table: Mapping[OrderOperation, frozenset[str]] = FIELDS_BY_OPERATION) -> Found:
    """The owner's operations exist, each has its row, and the model enforces every field of the row."""
    names = {operation.value for operation in OrderOperation}
    faults = [f"operation {name} is missing" for name in sorted(OWNERS_TWELVE - names)]
    faults += [f"operation {operation} has no row" for operation in OrderOperation if operation not in table]
    faults += [f"row {row} is of no operation" for row in table if row not in set(OrderOperation)]
    for operation, fields in table.items():
        unknown = fields - Order.model_fields.keys()
        faults += [f"{operation}: {name} is no field of Order" for name in sorted(unknown)]
        faults += [fault for name in sorted(fields - unknown) if (fault := _is_not_enforced(operation, name))]
    return Found(f"{len(OrderOperation)} operations, {sum(map(len, table.values()))} required fields", tuple(faults))


def _is_not_enforced(operation: OrderOperation, field: str) -> str | None:
    fields = example_fields(operation)
    Order(**fields)
    try:
        Order(**fields | {field: None})
    except ValidationError as error:
        return None if field in str(error) else f"{operation} without {field}: the refusal does not name it: {error}"
    return f"{operation} without {field} is accepted"


def order_states_are_closed(table: Mapping[OrderState, frozenset[OrderState]] = MappingProxyType(TRANSITIONS)) -> Found:
    """Every state has its row, can be reached, ends somewhere, and whatever the table does not hold raises."""
    faults = [f"state {state} has no row" for state in OrderState if state not in table]
    reached = _reachable(table)
    faults += [f"state {state} cannot be reached from CREATED" for state in OrderState if state not in reached]
    ends = {state for state, following in table.items() if not following}
    faults += [f"{state} never comes to an end" for state in table if not _reachable(table, state) & ends]
    faults += [f"{state} is dead but may go on to {sorted(table[state])}" for state in DEAD & table.keys() - ends]
    faults += [f"{state} is in doubt and terminal" for state in IN_DOUBT & TERMINAL]
    faults += list(_wrong_answers(table))
    return Found(f"{len(table)} states, {len(table) ** 2} pairs", tuple(faults))


def _reachable(
    table: Mapping[OrderState, frozenset[OrderState]], start: OrderState = OrderState.CREATED
) -> set[OrderState]:
    seen, todo = {start}, [start]
    while todo:
        following = table.get(todo.pop(), frozenset()) - seen
        seen |= following
        todo += following
    return seen


def _wrong_answers(table: Mapping[OrderState, frozenset[OrderState]]) -> Iterator[str]:
    for state in OrderState:
        for following in OrderState:
            expected = following in table.get(state, frozenset())
            if _is_allowed(state, following) is not expected:
                yield f"{state} -> {following} is {'refused' if expected else 'allowed'}, the table says otherwise"


def _is_allowed(state: OrderState, following: OrderState) -> bool:
    try:
        return advance("example", state, following) is following
    except IllegalTransitionError as error:
        if "example" in str(error) and state in str(error) and following in str(error):
            return False
        raise


def position_keys_are_strict(parse: Callable[[str], PositionKey] = PositionKey) -> Found:
    """Keys as the specification writes them are taken and keep their parts; anything else is refused."""
    faults = []
    for text in ACCEPTED_KEYS:
        try:
            key = parse(text)
        except ValueError as error:
            faults.append(f"{text!r} is refused: {error}")
            continue
        if f"{key.venue}:{key.kind}:{key.symbol}" != text:
            faults.append(f"{text!r} reads as {key.venue}, {key.kind}, {key.symbol}")
    faults += [f"{text!r} is accepted" for text in REFUSED_KEYS if _takes(parse, text)]
    return Found(f"{len(ACCEPTED_KEYS)} accepted, {len(REFUSED_KEYS)} refused", tuple(faults))


def _takes(parse: Callable[[str], PositionKey], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True
