"""Orders at Lido and ether.fi: refused with value and bound where the issuer would refuse, else one call."""

from __future__ import annotations

from collections.abc import Mapping

from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.instrument import Kind
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.venues.chain import etherfi, lido
from basis_daemon.venues.chain.abi import function
from basis_daemon.venues.chain.prepared import (
    Preparation,
    Prepared,
    Situation,
    allowance,
    ask_balance,
    check_balance,
    symbol_of,
    units_for,
)
from basis_daemon.venues.chain.refusals import at_most, misfit, refuse
from basis_daemon.venues.chain.seams import Questions
from basis_daemon.venues.chain.tokens import ETHER_DECIMALS, ether, units_owed

O = OrderOperation  # noqa: E741 - the tables below are read by operation
SHARE_ROUNDING_WEI = 2
"""A rebasing token is kept in shares: what arrives may be this much less than what was sent."""
_WRAPPED_FOR = function("getWstETHByStETH(uint256) -> (uint256)")


async def _lido_stake(order: Order, at: Situation) -> Prepared:
    issuer = at.book.part(at.book.lido, "lido")
    target = symbol_of(order, order.token_out, "token_out")
    _expect(order, "token_in", symbol_of(order, order.token_in, "token_in"), "ETH")
    _expect(order, "token_out", target, "stETH", "wstETH")
    wei = units_for(order, ETHER_DECIMALS)
    questions = Questions()
    held, limit = ask_balance(questions, at, "ETH"), questions.ask(lido.STAKE_LIMIT, issuer.steth)
    paused, out = questions.ask(lido.STAKING_PAUSED, issuer.steth), questions.ask(_WRAPPED_FOR, issuer.wsteth, wei)
    await questions.put(at.reader, at.block)
    if paused.value:
        refuse(order, "staking is paused, expected it open", ErrorClass.MARKET_CLOSED, "paused")
    at_most(order, "stakes ETH", ether(wei), ether(limit.value), ErrorClass.MARKET_CLOSED, "stake_limit")
    check_balance(order, at, "ETH", wei, held.value)
    _check_out(order, out.value if target == "wstETH" else wei - SHARE_ROUNDING_WEI)
    return Prepared(lido.stake(issuer, wei, is_wrapped=target == "wstETH"))


async def _lido_unstake(order: Order, at: Situation) -> Prepared:
    issuer = at.book.part(at.book.lido, "lido")
    symbol = symbol_of(order, order.token_in, "token_in")
    _expect(order, "token_in", symbol, "stETH", "wstETH")
    wei = units_for(order, ETHER_DECIMALS)
    questions = Questions()
    held, paused = ask_balance(questions, at, symbol), questions.ask(lido.QUEUE_PAUSED, issuer.withdrawal_queue)
    rate = questions.ask(lido.RATE, issuer.wsteth)
    await questions.put(at.reader, at.block)
    if paused.value:
        refuse(order, "the withdrawal queue is paused, expected it open", ErrorClass.MARKET_CLOSED, "paused")
    if wei < lido.REQUEST_MIN:
        refuse(order, f"requests {wei} wei, expected at least {lido.REQUEST_MIN}", ErrorClass.BAD_PARAMS, "too_small")
    check_balance(order, at, symbol, wei, held.value)
    call = lido.request(issuer, wei, at.owner, is_wrapped=symbol == "wstETH", rate_wei=rate.value)
    return Prepared(call, allowance(at, symbol, issuer.withdrawal_queue, wei))


async def _lido_claim(order: Order, at: Situation) -> Prepared:
    issuer, number = at.book.part(at.book.lido, "lido"), _claim_number(order)
    questions = Questions()
    status = questions.ask(lido.STATUS, issuer.withdrawal_queue, [number])
    await questions.put(at.reader, at.block)
    _, _, owner, _, is_finalized, is_claimed = status.value[0]
    if owner.lower() != at.owner.lower():
        refuse(order, f"claim {number} belongs to {owner}, expected {at.owner}", ErrorClass.AUTH, "owner")
    if is_claimed:
        refuse(order, f"claim {number} was paid already, expected it open", ErrorClass.BAD_PARAMS, "claimed")
    if not is_finalized:
        refuse(order, f"claim {number} is not finalised yet, expected it payable", ErrorClass.RETRYABLE, "pending")
    return Prepared(lido.claim(issuer, number))


async def _etherfi_stake(order: Order, at: Situation) -> Prepared:
    issuer = at.book.part(at.book.etherfi, "etherfi")
    _expect(order, "token_in", symbol_of(order, order.token_in, "token_in"), "ETH")
    target = symbol_of(order, order.token_out, "token_out")
    _expect(order, "token_out", target, "eETH", "weETH")
    wei = units_for(order, ETHER_DECIMALS)
    questions = Questions()
    held, paused = ask_balance(questions, at, "ETH"), questions.ask(etherfi.PAUSED, issuer.liquidity_pool)
    wrapped = questions.ask(etherfi.WRAPPED_FOR, issuer.weeth, max(wei - SHARE_ROUNDING_WEI, 0))
    await questions.put(at.reader, at.block)
    if paused.value:
        refuse(order, "deposits are paused, expected them open", ErrorClass.MARKET_CLOSED, "paused")
    check_balance(order, at, "ETH", wei, held.value)
    _check_out(order, wrapped.value if target == "weETH" else wei - SHARE_ROUNDING_WEI)
    return Prepared(etherfi.deposit(issuer, wei, is_wrapped=target == "weETH"))


async def _etherfi_unstake(order: Order, at: Situation) -> Prepared:
    issuer = at.book.part(at.book.etherfi, "etherfi")
    symbol = symbol_of(order, order.token_in, "token_in")
    _expect(order, "token_in", symbol, "eETH", "weETH")
    wei = units_for(order, ETHER_DECIMALS)
    questions = Questions()
    held, paused = ask_balance(questions, at, symbol), questions.ask(etherfi.PAUSED, issuer.liquidity_pool)
    await questions.put(at.reader, at.block)
    if paused.value:
        refuse(order, "withdrawals are paused, expected them open", ErrorClass.MARKET_CLOSED, "paused")
    check_balance(order, at, symbol, wei, held.value)
    is_wrapped = symbol == "weETH"
    spender = issuer.withdraw_adapter if is_wrapped else issuer.liquidity_pool
    call = etherfi.request(issuer, wei, at.owner, is_wrapped=is_wrapped)
    return Prepared(call, allowance(at, symbol, spender, wei))


async def _etherfi_claim(order: Order, at: Situation) -> Prepared:
    issuer, number = at.book.part(at.book.etherfi, "etherfi"), _claim_number(order)
    nft = issuer.withdraw_request_nft
    questions = Questions()
    owner, ready = questions.ask(etherfi.OWNER_OF, nft, number), questions.ask(etherfi.FINALIZED, nft, number)
    await questions.put(at.reader, at.block)
    if not owner.is_answered:
        refuse(order, f"claim {number} does not exist or was paid already", ErrorClass.BAD_PARAMS, "claimed")
    if owner.value.lower() != at.owner.lower():
        refuse(order, f"claim {number} belongs to {owner.value}, expected {at.owner}", ErrorClass.AUTH, "owner")
    if not ready.value:
        refuse(order, f"claim {number} is not finalised yet, expected it payable", ErrorClass.RETRYABLE, "pending")
    return Prepared(etherfi.claim(issuer, number))


def _expect(order: Order, side: str, found: str, *expected: str) -> None:
    if found not in expected:
        misfit(order, f"{side} is {found}, expected {' or '.join(expected)}")


def _check_out(order: Order, wei: int) -> None:
    """Refuse when the issuer would give less than the order accepts."""
    least = units_owed(order.min_out or ether(0), ETHER_DECIMALS)
    if wei < least:
        why = f"{order.token_out} for {order.amount} ETH is {ether(wei)}, expected at least {order.min_out}"
        refuse(order, why, ErrorClass.RETRYABLE, "min_out")


def _claim_number(order: Order) -> int:
    key = order.instrument
    if key.kind is not Kind.CLAIM or key.venue != order.venue or not key.symbol.isdecimal():
        misfit(order, f"instrument {key}, expected {order.venue}:claim:NUMBER")
    return int(key.symbol)


LIDO: Mapping[OrderOperation, Preparation] = {O.STAKE: _lido_stake, O.UNSTAKE: _lido_unstake, O.CLAIM: _lido_claim}
ETHERFI: Mapping[OrderOperation, Preparation] = {
    O.STAKE: _etherfi_stake,
    O.UNSTAKE: _etherfi_unstake,
    O.CLAIM: _etherfi_claim,
}
