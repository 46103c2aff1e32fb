"""Valid orders and trades of every kind, for gates that then break them in one place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.order import (
    CEX_TRADES,
    FIELDS_BY_OPERATION,
    NO_DELTAS,
    PROTECTIVE,
    ExecutionMode,
    Order,
    OrderOperation,
    OrderType,
    Side,
)
from basis_daemon.domain.order_ids import order_id
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus

NOON = datetime(2026, 5, 9, 12, tzinfo=UTC)
CHAIN_BY_VENUE = {"aave_v3": "ethereum", "wallet": "ethereum", "balancer": "ethereum", "aave_base": "base"}

SPOT_BTC = PositionKey("binance:spot:BTC")
SPOT_USDT = PositionKey("binance:spot:USDT")
PERP_BTC = PositionKey("binanceusdm:perp:BTCUSDT")
MARGIN_USDT = PositionKey("binanceusdm:spot:USDT")
WETH = PositionKey("wallet:token:WETH")
WSTETH = PositionKey("wallet:token:wstETH")
COLLATERAL = PositionKey("aave_v3:atoken:wstETH")
DEBT = PositionKey("aave_v3:vdebt:WETH")

_FIELDS: dict[str, object] = {
    "side": Side.BUY,
    "order_type": OrderType.MARKET,
    "ref_price": Decimal(60_000),
    "ref_time": NOON,
    "trigger_price": Decimal(55_000),
    "token_in": WETH,
    "token_out": WSTETH,
    "min_out": Decimal(1),
    "deadline": NOON + timedelta(minutes=2),
    "recipient": "0x00000000000000000000000000000000000000aa",
    "network": "ethereum",
    "memo": "1",
}


def example_order(operation: OrderOperation, leg: int = 0, **changes: object) -> Order:
    """A valid order of ``operation``; ``changes`` may break it, and then the model says so."""
    return Order(**example_fields(operation, leg) | changes)


def example_fields(operation: OrderOperation, leg: int = 0) -> dict[str, Any]:
    """The fields of a valid order of ``operation``: the required ones and no others that could be left out."""
    is_cex = operation in CEX_TRADES | PROTECTIVE
    is_perp = operation is OrderOperation.PERP_TRADE or operation in PROTECTIVE
    instrument = (PERP_BTC if is_perp else SPOT_BTC) if is_cex else WETH
    fields: dict[str, Any] = {
        "order_id": order_id("gates", 1, "example", 1, leg, 0, 0),
        "strategy": "example",
        "decision": 1,
        "leg": leg,
        "operation": operation,
        "venue": instrument.venue,
        "instrument": instrument,
        "amount": Decimal(1),
        "reason": "ENTRY",
        "created_at": NOON,
        **{name: _FIELDS[name] for name in FIELDS_BY_OPERATION[operation]},
    }
    if operation in CEX_TRADES:
        fields["max_slippage_bp"] = Decimal(10)
    if operation in PROTECTIVE:
        fields |= {"reduce_only": True, "order_type": OrderType.STOP_MARKET}
    if operation not in NO_DELTAS:
        fields["expected_deltas"] = {instrument: Decimal(1)}
    return fields


def in_group(orders: list[Order], **changes: object) -> list[Order]:
    """The same orders as one atomic group, in sequence."""
    return [
        Order(
            **order.model_dump()
            | {"group_id": "g1", "execution_mode": ExecutionMode.ATOMIC, "sequence_in_group": index}
            | changes
        )
        for index, order in enumerate(orders)
    ]


def leveraged_staking(flash: Decimal = Decimal(10), repaid: Decimal = Decimal(10)) -> list[Order]:
    """An atomic group that may go: borrow in a flash, swap, supply, borrow against it, repay."""
    o = OrderOperation
    return in_group(
        [
            _leg(o.FLASH_BORROW, 0, "balancer", flash, {WETH: flash}, token_out=WETH),
            _leg(o.SWAP, 1, "wallet", flash, {WETH: -flash, WSTETH: flash}, token_in=WETH, token_out=WSTETH),
            _leg(o.SUPPLY, 2, "aave_v3", flash, {WSTETH: -flash, COLLATERAL: flash}, token_in=WSTETH),
            _leg(o.BORROW, 3, "aave_v3", flash, {DEBT: flash, WETH: flash}, token_out=WETH),
            _leg(o.FLASH_REPAY, 4, "balancer", repaid, {WETH: -repaid}, token_in=WETH),
        ]
    )


def _leg(
    operation: OrderOperation,
    leg: int,
    venue: str,
    amount: Decimal,
    deltas: dict[PositionKey, Decimal],
    **tokens: PositionKey,
) -> Order:
    return example_order(operation, leg, venue=venue, amount=amount, expected_deltas=deltas, **tokens)


def instrument_of(key: PositionKey) -> Instrument:
    """BTC against USDT as a venue would describe it."""
    step = Decimal("0.001") if key.kind is Kind.PERP else Decimal("0.00001")
    return Instrument(
        key, "BTC", "USDT", step, Decimal("0.1"), step, Decimal(1000), Decimal(5), Decimal("0.0005"), Decimal("0.0002")
    )


def fill(number: int, order: str, deltas: dict[PositionKey, Decimal], price: Decimal, quantity: Decimal) -> Trade:
    """One fill with these deltas; the instrument is their first key."""
    instrument = next(iter(deltas))
    at = NOON + timedelta(seconds=number)
    return Trade(
        trade_id=f"{instrument.venue}:{number}",
        order_id=order,
        account=instrument.venue,
        instrument=instrument,
        status=TradeStatus.FILLED,
        order_state=OrderState.FILLED,
        price=price,
        qty_base=quantity,
        qty_quote=quantity * price,
        venue_time=at,
        recv_time=at,
        cum_filled=quantity,
        deltas=deltas,
    )
