"""Transactions as trades: booked by transaction and block, taken back when that block is no longer in the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from web3.types import TxReceipt

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.trade import Fee, OrderState, Origin, Trade, TradeError, TradeStatus, TxInfo
from basis_daemon.venues.chain.abi import Call, Log
from basis_daemon.venues.chain.deltas import Amounts, Receipt, with_gas
from basis_daemon.venues.chain.names import APPROVAL, reversal_id, trade_id
from basis_daemon.venues.chain.reverts import Revert
from basis_daemon.venues.chain.tokens import ETH, WALLET
from basis_daemon.venues.chain.transactions import Attempt, TxRow

O = OrderOperation  # noqa: E741 - the tables below are read by operation
EXCHANGES = frozenset({O.SWAP, O.STAKE, O.UNSTAKE, O.WRAP, O.UNWRAP, O.CLAIM, O.UNWRAP_REWARD})
"""One asset becomes another: booked as a trade. The rest moves an asset between two of our own accounts."""


def receipt_of(row: TxRow, raw: TxReceipt) -> Receipt:
    """The transaction of a row in the chain, with the node's receipt and what we signed."""
    sent = TypedTransaction.from_bytes(HexBytes(row.raw)).as_dict()
    call = Call(to_checksum_address(HexBytes(sent["to"])), bytes(HexBytes(sent["data"])), int(sent["value"]))
    return Receipt(
        tx_hash=row.hash,
        block=BlockRef(row.block, row.block_hash, datetime.fromtimestamp(row.block_time, UTC)),
        is_success=raw["status"] == 1,
        sender=row.address,
        call=call,
        nonce=row.nonce,
        gas_used=row.gas_used,
        gas_price_wei=row.gas_price_wei,
        logs=tuple(
            Log(
                str(log["address"]), tuple(bytes(topic) for topic in log["topics"]), bytes(log["data"]), log["logIndex"]
            )
            for log in raw["logs"]
        ),
    )


def included(order: Order, receipt: Receipt, deltas: Amounts, recv_time: datetime) -> Trade:
    """The order's one fill."""
    given, taken = _exchanged(order, deltas)
    state = OrderState.SETTLED if order.operation is O.TRANSFER else OrderState.FILLED
    is_travelling = _is_travelling(deltas)
    if is_travelling:
        state = OrderState.PENDING
    return Trade(
        trade_id=trade_id(receipt.tx_hash, receipt.block.hash),
        order_id=order.order_id,
        account=order.venue,
        instrument=order.instrument,
        status=TradeStatus.PENDING if is_travelling else TradeStatus.FILLED,
        order_state=state,
        price=taken / given if given and taken else None,
        qty_base=given,
        qty_quote=taken,
        fees=_gas(receipt),
        venue_time=receipt.block.time,
        recv_time=recv_time,
        cum_filled=given,
        deltas=with_gas(deltas, receipt),
        tx=_info(receipt),
        origin=_origin(order, deltas),
    )


def unfilled(order: Order, receipt: Receipt, state: OrderState, why: Revert | None, recv_time: datetime) -> Trade:
    """What was included and did not do it: reverted, or cancelled in favour of nothing. It cost its gas."""
    error = None if why is None else TradeError(error_class=why.error_class, code=why.name, text=why.reason)
    return Trade(
        trade_id=trade_id(receipt.tx_hash, receipt.block.hash),
        order_id=order.order_id,
        account=order.venue,
        instrument=order.instrument,
        status=TradeStatus.FAILED,
        order_state=state,
        fees=_gas(receipt),
        venue_time=receipt.block.time,
        recv_time=recv_time,
        deltas=with_gas({}, receipt),
        tx=_info(receipt),
        error=error,
    )


def beside(order_id: str, receipt: Receipt, deltas: Amounts, recv_time: datetime) -> Trade:
    """A transaction that is not an order's own: its approval, or one of an order that nobody remembers."""
    return Trade(
        trade_id=trade_id(receipt.tx_hash, receipt.block.hash),
        order_id=order_id,
        account=WALLET,
        instrument=ETH,
        status=TradeStatus.PENDING,
        order_state=OrderState.SUBMITTED,
        fees=_gas(receipt),
        venue_time=receipt.block.time,
        recv_time=recv_time,
        deltas=with_gas(deltas, receipt),
        tx=_info(receipt),
    )


def ended_beside(trade: Trade, row: TxRow, receipt: Receipt) -> Trade:
    """One of an order that an earlier run had ended, now in another block: it was open, and nobody asks for its end."""
    if APPROVAL in row.order_id or _is_travelling(trade.deltas):
        return trade
    if receipt.is_success and row.attempt is not Attempt.CANCEL:
        return trade.model_copy(update={"status": TradeStatus.FILLED, "order_state": OrderState.FILLED})
    state = OrderState.CANCELLED if row.attempt is Attempt.CANCEL else OrderState.REJECTED
    return trade.model_copy(update={"status": TradeStatus.FAILED, "order_state": state})


def taken_back(trade: Trade, recv_time: datetime) -> Trade:
    """The opposite of a booked trade whose block is no longer in the chain; the order that it ended is open again."""
    negative = {key: -amount for key, amount in trade.deltas.items()}
    fees = tuple(Fee(asset=fee.asset, quantity=-fee.quantity) for fee in trade.fees)
    return trade.model_copy(
        update={
            "trade_id": reversal_id(trade.trade_id),
            "status": TradeStatus.PENDING,
            "order_state": trade.order_state if trade.order_state is OrderState.SUBMITTED else OrderState.REORGED,
            "qty_base": Decimal(0),
            "qty_quote": -trade.qty_quote,
            "fees": fees,
            "recv_time": recv_time,
            "deltas": negative,
            "error": None,
        }
    )


def _origin(order: Order, deltas: Amounts) -> Origin:
    """A reward comes for nothing, and what goes to somebody else is gone; all else stays ours in another form."""
    if order.operation is O.CLAIM_REWARD:
        return Origin.REWARD
    return Origin.PAYOUT if order.operation is O.TRANSFER and not _is_travelling(deltas) else Origin.ORDER


def _is_travelling(deltas: Amounts) -> bool:
    """True for what goes to an account of ours: it is not there because it left here."""
    return any(key.kind is Kind.TRANSIT for key in deltas)


def _exchanged(order: Order, deltas: Amounts) -> tuple[Decimal, Decimal]:
    """(given, taken) of an exchange in the order's own sides; zeros for what exchanges nothing."""
    if order.operation not in EXCHANGES:
        return Decimal(0), Decimal(0)
    given = -_only(deltas, (order.token_in or order.instrument,))
    outs = (order.token_out,) if order.token_out is not None else tuple(key for key in deltas if deltas[key] > 0)
    return given, _only(deltas, outs)


def _only(deltas: Mapping[PositionKey, Decimal], keys: Sequence[PositionKey]) -> Decimal:
    return sum((deltas.get(key, Decimal(0)) for key in keys), Decimal(0))


def _gas(receipt: Receipt) -> tuple[Fee, ...]:
    return (Fee(asset=ETH.symbol, quantity=receipt.gas),)


def _info(receipt: Receipt) -> TxInfo:
    return TxInfo(
        hash=receipt.tx_hash,
        block=receipt.block.number,
        block_hash=receipt.block.hash,
        gas_used=receipt.gas_used,
        gas_price=receipt.gas_price_wei,
        nonce=receipt.nonce,
    )
