"""What a simulated transaction was, in the words that a real one is told in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.trade import Fee, OrderState, Origin, Trade, TradeStatus, TxInfo
from basis_daemon.simulation.chain.ledger import Amounts, Receipt
from basis_daemon.venues.chain.tokens import ETH, WALLET

O = OrderOperation  # noqa: E741 - the set below is read by operation
EXCHANGES = frozenset({O.SWAP, O.STAKE, O.UNSTAKE, O.WRAP, O.UNWRAP, O.CLAIM})
"""One asset becomes another: booked as a trade. The rest moves an asset between two of our own accounts."""
ZERO = Decimal(0)


def trade_of(order: Order, receipt: Receipt, received: datetime) -> Trade:
    """The order's one fill; a payment to an account of ours is under way."""
    given, taken = _exchanged(order, receipt.deltas)
    is_travelling = order.operation is O.TRANSFER
    deltas = dict(receipt.deltas)
    if is_travelling:
        deltas |= {
            PositionKey.of(WALLET, Kind.TRANSIT, key.symbol): -moved
            for key, moved in receipt.deltas.items()
            if moved < 0
        }
    return Trade(
        trade_id=f"{receipt.tx_hash}:0",
        order_id=order.order_id,
        account=order.venue,
        instrument=order.instrument,
        status=TradeStatus.PENDING if is_travelling else TradeStatus.FILLED,
        order_state=OrderState.PENDING if is_travelling else OrderState.FILLED,
        price=taken / given if given and taken else None,
        qty_base=given,
        qty_quote=taken,
        fees=(Fee(asset=ETH.symbol, quantity=receipt.gas),),
        venue_time=receipt.block.time,
        recv_time=received,
        cum_filled=given,
        deltas=_with_gas(deltas, receipt),
        tx=_info(receipt),
        origin=Origin.REWARD if order.operation is O.CLAIM_REWARD else Origin.ORDER,
    )


def trades_of(orders: Sequence[Order], receipt: Receipt, received: datetime) -> tuple[Trade, ...]:
    """One per order of a group; the first carries all the money."""
    first = trade_of(orders[0], receipt, received)
    changes = next((o for o in orders if o.operation in {O.SWAP, O.STAKE}), orders[0])
    whole = {"qty_quote": _exchanged(changes, receipt.deltas)[1], "qty_base": ZERO, "cum_filled": ZERO, "price": None}
    rest = [
        first.model_copy(
            update={
                "trade_id": f"{first.trade_id}/{place}",
                "order_id": order.order_id,
                "account": order.venue,
                "instrument": order.instrument,
                "deltas": {},
                "fees": (),
                "qty_base": ZERO,
                "qty_quote": ZERO,
                "cum_filled": ZERO,
                "price": None,
            }
        )
        for place, order in enumerate(orders[1:], 1)
    ]
    return (first.model_copy(update=whole), *rest)


def forced(deltas: Amounts, number: int, at: datetime) -> Trade:
    """A liquidation: what a stranger repaid and took."""
    debt = next(key for key in deltas if key.kind is Kind.VDEBT)
    name = f"{debt.venue}:liquidation:{number}"
    return Trade(
        trade_id=name,
        order_id="",
        account=debt.venue,
        instrument=debt,
        status=TradeStatus.FILLED,
        order_state=OrderState.FILLED,
        qty_base=-deltas[debt],
        qty_quote=ZERO,
        venue_time=at,
        recv_time=at,
        cum_filled=-deltas[debt],
        deltas=dict(deltas),
        origin=Origin.LIQUIDATION,
    )


def _exchanged(order: Order, deltas: Mapping[PositionKey, Decimal]) -> tuple[Decimal, Decimal]:
    if order.operation not in EXCHANGES:
        return ZERO, ZERO
    given = -deltas.get(order.token_in or order.instrument, ZERO)
    if order.token_out is not None:
        return given, deltas.get(order.token_out, ZERO)
    return given, sum((moved for moved in deltas.values() if moved > 0), ZERO)


def _with_gas(deltas: Mapping[PositionKey, Decimal], receipt: Receipt) -> dict[PositionKey, Decimal]:
    whole = {**deltas, ETH: deltas.get(ETH, ZERO) - receipt.gas}
    return {key: amount for key, amount in whole.items() if amount}


def _info(receipt: Receipt) -> TxInfo:
    return TxInfo(
        hash=receipt.tx_hash,
        block=receipt.block.number,
        block_hash=receipt.block.hash,
        gas_used=receipt.gas_units,
        gas_price=receipt.gas_price_wei,
        nonce=receipt.nonce,
    )
