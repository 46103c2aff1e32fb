"""Orders at EigenLayer: refused with value and bound where its contracts would refuse, else one call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from eth_utils.address import is_same_address, to_checksum_address

from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.instrument import Kind
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.venues.chain import eigenlayer
from basis_daemon.venues.chain.addresses import EigenlayerEntry
from basis_daemon.venues.chain.eigenlayer import RewardClaim
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
from basis_daemon.venues.chain.refusals import at_most, misfit, plain, refuse
from basis_daemon.venues.chain.seams import Questions
from basis_daemon.venues.chain.tokens import ETHER_DECIMALS, ether

O = OrderOperation  # noqa: E741 - the table below is read by operation
RewardClaims = Callable[[str, str], Awaitable[RewardClaim | None]]
"""(earner, symbol) to the distributor's newest claim, None when it has none. Raises VenueUnreachableError."""

SHARE_ROUNDING_WEI = 2
NOBODY = "0x" + 40 * "0"
ROOT_DIGITS = 64


async def _deposit(order: Order, at: Situation) -> Prepared:
    part = _part(at)
    if symbol_of(order, order.token_in, "token_in") != "stETH":
        misfit(order, f"token_in is {order.token_in}, expected stETH")
    wei = units_for(order, ETHER_DECIMALS)
    questions = Questions()
    held = ask_balance(questions, at, "stETH")
    is_open = questions.ask(eigenlayer.WHITELISTED, part.strategy_manager, part.steth_strategy)
    await questions.put(at.reader, at.block)
    if not is_open.value:
        refuse(order, "the strategy takes no deposits, expected it to", ErrorClass.MARKET_CLOSED, "closed")
    check_balance(order, at, "stETH", wei, held.value)
    call = eigenlayer.deposit(part, at.book.token("stETH").address, wei)
    return Prepared(call, allowance(at, "stETH", part.strategy_manager, wei))


async def _delegate(order: Order, at: Situation) -> Prepared:
    part, operator = _part(at), to_checksum_address(order.recipient or NOBODY)
    questions = Questions()
    is_operator = questions.ask(eigenlayer.IS_OPERATOR, part.delegation_manager, operator)
    now = questions.ask(eigenlayer.DELEGATED_TO, part.delegation_manager, at.owner)
    await questions.put(at.reader, at.block)
    if not is_operator.value:
        refuse(order, f"{operator} is no operator, expected a registered one", ErrorClass.BAD_PARAMS, "operator")
    if now.value != NOBODY:
        refuse(order, f"delegated to {now.value} already, expected nobody", ErrorClass.BAD_PARAMS, "delegated")
    return Prepared(eigenlayer.delegate(part, operator))


async def _queue(order: Order, at: Situation) -> Prepared:
    part, wei = _part(at), units_for(order, ETHER_DECIMALS)
    if order.token_in != eigenlayer.SHARE:
        misfit(order, f"token_in is {order.token_in}, expected {eigenlayer.SHARE}")
    first, second = Questions(), Questions()
    all_of_it = first.ask(eigenlayer.WITHDRAWABLE, part.delegation_manager, at.owner, [part.steth_strategy])
    await first.put(at.reader, at.block)
    (withdrawable,), (deposited,) = all_of_it.values
    worth = second.ask(eigenlayer.WORTH, part.steth_strategy, withdrawable)
    await second.put(at.reader, at.block)
    most = worth.value
    at_most(order, "withdraws stETH", ether(wei), ether(most + SHARE_ROUNDING_WEI), ErrorClass.INSUFFICIENT, "shares")
    shares = deposited if wei + SHARE_ROUNDING_WEI >= most else deposited * wei // most
    return Prepared(eigenlayer.queue(part, shares, at.owner))


async def _complete(order: Order, at: Situation) -> Prepared:
    part, root = _part(at), _root(order)
    questions = Questions()
    delay = questions.ask(eigenlayer.DELAY_BLOCKS, part.delegation_manager)
    open_roots = questions.ask(eigenlayer.ROOTS, part.delegation_manager, at.owner)
    queued = questions.ask(eigenlayer.QUEUED, part.delegation_manager, root)
    await questions.put(at.reader, at.block)
    if root not in open_roots.value:
        why = f"withdrawal 0x{root.hex()} is not queued, expected one of {len(open_roots.value)} open ones"
        refuse(order, why, ErrorClass.BAD_PARAMS, "claimed")
    withdrawal = queued.values[0]
    ready = withdrawal[4] + delay.value + 1
    if at.block.number + 1 < ready:
        why = f"completable in block {ready}, now {at.block.number}, expected no earlier"
        refuse(order, why, ErrorClass.RETRYABLE, "pending")
    return Prepared(eigenlayer.complete(part, withdrawal, at.book.token("stETH").address))


def _claim_reward(claims: RewardClaims) -> Preparation:
    async def prepare(order: Order, at: Situation) -> Prepared:
        part, symbol = _part(at), symbol_of(order, order.token_out, "token_out")
        claim = await claims(at.owner, symbol)
        token = at.book.token(symbol).address
        if claim is None or not is_same_address(claim.token, token) or not is_same_address(claim.earner, at.owner):
            refuse(order, f"no claim of {symbol} for {at.owner}, expected one", ErrorClass.RETRYABLE, "no_claim")
        questions = Questions()
        before = questions.ask(eigenlayer.CLAIMED_SO_FAR, part.rewards_coordinator, at.owner, token)
        await questions.put(at.reader, at.block)
        if claim.earned <= before.value:
            earned, claimed = plain(ether(claim.earned)), plain(ether(before.value))
            why = f"earned {earned} {symbol}, expected more than {claimed} claimed before"
            refuse(order, why, ErrorClass.RETRYABLE, "claimed")
        return Prepared(eigenlayer.claim_reward(part, claim, at.owner))

    return prepare


def restaking_orders(claims: RewardClaims | None = None) -> Mapping[OrderOperation, Preparation]:
    """What can be done at EigenLayer; rewards only where somebody hands out claims."""
    orders: dict[OrderOperation, Preparation] = {
        O.DEPOSIT_STRATEGY: _deposit,
        O.DELEGATE: _delegate,
        O.QUEUE_WITHDRAWAL: _queue,
        O.COMPLETE_WITHDRAWAL: _complete,
    }
    return orders if claims is None else orders | {O.CLAIM_REWARD: _claim_reward(claims)}


def _part(at: Situation) -> EigenlayerEntry:
    return at.book.part(at.book.eigenlayer, "eigenlayer")


def _root(order: Order) -> bytes:
    key = order.instrument
    digits = key.symbol.removeprefix("0x")
    if key.venue != eigenlayer.VENUE or key.kind is not Kind.CLAIM or len(digits) != ROOT_DIGITS:
        misfit(order, f"instrument {key}, expected {eigenlayer.VENUE}:claim:ROOT")
    return bytes.fromhex(digits)
