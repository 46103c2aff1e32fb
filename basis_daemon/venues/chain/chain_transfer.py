"""Transfers on the chain: tokens and ether, to recipients that the address book names, over its network alone."""

from __future__ import annotations

from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.venues.chain import erc20
from basis_daemon.venues.chain.abi import Call
from basis_daemon.venues.chain.chain_execution import ChainDesk, ChainExecution
from basis_daemon.venues.chain.prepared import (
    Prepared,
    Situation,
    ask_balance,
    check_balance,
    decimals_of,
    symbol_of,
    units_for,
)
from basis_daemon.venues.chain.refusals import refuse
from basis_daemon.venues.chain.seams import Questions
from basis_daemon.venues.chain.tokens import WALLET


class TransferExecutionInterface(ChainExecution):
    """Transfers out of the wallet. What goes to an account of ours is in transit until that account has it."""

    def __init__(self, desk: ChainDesk) -> None:
        super().__init__(WALLET, {OrderOperation.TRANSFER: prepare_transfer}, desk)


async def prepare_transfer(order: Order, at: Situation) -> Prepared:
    """The transfer; raises OrderRejectedError for a recipient or network that the address book does not name."""
    if order.network != at.book.network:
        why = f"network {order.network}, expected {at.book.network}"
        refuse(order, why, ErrorClass.BAD_PARAMS, "network")
    recipient = at.book.recipients.get(order.recipient or "")
    if recipient is None:
        known = ", ".join(at.book.recipients) or "nobody"
        refuse(order, f"recipient {order.recipient}, expected one of {known}", ErrorClass.AUTH, "recipient")
    symbol = symbol_of(order, order.token_in, "token_in")
    units = units_for(order, decimals_of(at.book, symbol))
    questions = Questions()
    held = ask_balance(questions, at, symbol)
    await questions.put(at.reader, at.block)
    check_balance(order, at, symbol, units, held.value)
    if symbol == "ETH":
        return Prepared(Call(recipient.address, b"", units))
    return Prepared(erc20.TRANSFER(at.book.token(symbol).address, recipient.address, units))
