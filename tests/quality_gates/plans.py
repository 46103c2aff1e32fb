"""What may leave: malformed atomic groups are refused whole, and every route is known before the start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.errors import ConfigError, OutcomeUnknownError, PlanRefusedError
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.plan import batches
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.venue_interface_manager import Route, VenueInterfaceManager
from basis_daemon.ports import Evidence, ExecutionInterface, Finding
from tests.quality_gates.examples import CHAIN_BY_VENUE, WETH, WSTETH, example_order, in_group, leveraged_staking
from tests.quality_gates.gate import Found

O = OrderOperation  # noqa: E741 - the plans below are read by operation

Cut = Callable[[Sequence[Order], Mapping[str, str]], object]
MakeTable = Callable[[Iterable[ExecutionInterface], Iterable[Route]], object]


def malformed_plans() -> dict[str, list[Order]]:
    """Lists of valid orders that must not leave together, by what is wrong with them."""
    good = leveraged_staking()
    on_base = _changed(good[2], venue="aave_base")
    last_first = [good[4], *good[:4]]
    two = [example_order(O.SPOT_TRADE, leg) for leg in range(3)]
    in_g1 = {"group_id": "g1", "execution_mode": "parallel"}
    return {
        "two chains": in_group([*good[:2], on_base, *good[3:]]),
        "a CEX leg": in_group([*good[:2], example_order(O.SPOT_TRADE, 9), *good[2:]]),
        "a perp leg": in_group([*good[:2], example_order(O.PERP_TRADE, 9), *good[2:]]),
        "a transfer leg": in_group([*good[:2], example_order(O.TRANSFER, 9, venue="wallet"), *good[2:]]),
        "an unstaking leg": in_group([*good[:2], example_order(O.UNSTAKE, 9, venue="wallet"), *good[2:]]),
        "a flash loan that nobody repays": in_group(good[:4]),
        "a flash loan repaid in part": leveraged_staking(Decimal(10), Decimal("9.999")),
        "a repayment without a loan": in_group(good[1:]),
        "a repayment of another token": in_group([*good[:4], _changed(good[4], token_in=WSTETH)]),
        "a flash repayment that is not last": in_group([*good[:3], good[4], good[3]]),
        "a flash repayment before its loan": in_group(last_first),
        "more spent than the loan brought": in_group([good[0], _spending(good[1], Decimal(11)), *good[2:]]),
        "two owners": in_group([*good[:2], _changed(good[2], on_behalf_of="0xbb"), *good[3:]]),
        "a torn group": [_changed(two[0], **in_g1), two[1], _changed(two[2], sequence_in_group=1, **in_g1)],
        "a hole in the sequence": [_changed(two[0], **in_g1), _changed(two[1], sequence_in_group=2, **in_g1)],
        "two modes in one group": [*good[:4], _changed(good[4], execution_mode="sequential")],
        "two time-outs in one group": [*good[:4], _changed(good[4], timeout_s=Decimal(1))],
        "repeated ids": [two[0], two[0]],
        "an unknown chain": in_group([*good[:2], _changed(good[2], venue="spark"), *good[3:]]),
    }


def malformed_plans_are_refused(cut: Cut = batches) -> Found:
    """Each malformed list raises PlanRefusedError, and the well-formed one they were made of does not."""
    bad = malformed_plans()
    faults = [f"{what}: not refused" for what, orders in bad.items() if not _is_refused(cut, orders)]
    if _is_refused(cut, leveraged_staking()):
        faults.append("leveraged staking in one transaction: refused, expected one batch")
    return Found(f"{len(bad)} malformed plans, 1 well-formed", tuple(faults))


def _is_refused(cut: Cut, orders: Sequence[Order]) -> bool:
    try:
        cut(orders, CHAIN_BY_VENUE)
    except PlanRefusedError:
        return True
    return False


def _changed(order: Order, **changes: object) -> Order:
    return Order(**order.model_dump() | changes)


def _spending(order: Order, amount: Decimal) -> Order:
    return _changed(order, amount=amount, expected_deltas={WETH: -amount, WSTETH: amount})


class _SpotOnly:
    """An interface that knows one operation and sends nothing."""

    account = "binance"
    operations = frozenset({O.SPOT_TRADE})

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        raise OutcomeUnknownError(f"order {order.order_id}: this interface sends nothing")

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        return Evidence(Finding.NOT_YET)

    async def cancel_order(self, order: Order) -> Evidence:
        return Evidence(Finding.NOT_YET)


def _table(interfaces: Iterable[ExecutionInterface], needed: Iterable[Route]) -> VenueInterfaceManager:
    """The real table; nothing is sent through it."""
    return VenueInterfaceManager(interfaces, needed, let_out=lambda _: None)


def routes_are_complete_at_start(make: MakeTable = _table) -> Found:
    """A needed route without interface, and a route with two, stop the start; a missing one is named."""
    spot, perp = (O.SPOT_TRADE, "binance"), (O.PERP_TRADE, "binanceusdm")
    interface = _SpotOnly()
    faults = []
    if (said := _refusal(make, [interface], [spot])) is not None:
        faults.append(f"a complete table is refused: {said}")
    for what, interfaces, needed, name in (
        ("a route without interface", [interface], [spot, perp], "perp_trade at binanceusdm"),
        ("an operation at the wrong venue", [interface], [(O.SPOT_TRADE, "bybit")], "spot_trade at bybit"),
        ("no interface at all", [], [spot], "spot_trade at binance"),
        ("a route with two interfaces", [interface, _SpotOnly()], [spot], "spot_trade at binance"),
    ):
        said = _refusal(make, interfaces, needed)
        if said is None or name not in said:
            faults.append(f"{what}: {said or 'accepted'}, expected a refusal that names {name}")
    table = make([interface], [spot])
    if not isinstance(table, VenueInterfaceManager) or table.can_route(example_order(O.PERP_TRADE)):
        faults.append("a perp order is routed by a table that holds spot alone")
    return Found("5 tables, 1 order without a route", tuple(faults))


def _refusal(make: MakeTable, interfaces: Sequence[ExecutionInterface], needed: Sequence[Route]) -> str | None:
    try:
        make(interfaces, needed)
    except ConfigError as error:
        return str(error)
    return None
