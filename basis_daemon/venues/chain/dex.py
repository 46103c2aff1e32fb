"""Swaps: every pool of the pair is quoted at one block, the best is taken, and never less than the least accepted."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.venues.chain import uniswap
from basis_daemon.venues.chain.addresses import PoolEntry
from basis_daemon.venues.chain.chain_execution import ChainDesk, ChainExecution
from basis_daemon.venues.chain.prepared import (
    Prepared,
    Situation,
    allowance,
    ask_balance,
    check_balance,
    symbol_of,
    units_for,
)
from basis_daemon.venues.chain.refusals import misfit, plain, refuse
from basis_daemon.venues.chain.seams import Questions
from basis_daemon.venues.chain.tokens import amount_of, units_owed

VENUE = "uniswap_v3"
BPS = 10_000


@dataclass(frozen=True, slots=True)
class Quote:
    """What one pool pays now, fee and impact included, in base units of both sides."""

    fee: int
    units_in: int
    units_out: int


class DEXExecutionInterface(ChainExecution):
    """Swaps at Uniswap V3, sent to the private relays where there are any."""

    def __init__(self, desk: ChainDesk) -> None:
        super().__init__(VENUE, {OrderOperation.SWAP: prepare_swap}, desk, frozenset({OrderOperation.SWAP}))


async def quotes(at: Situation, token_in: str, token_out: str, units_in: int) -> tuple[Quote, ...]:
    """Best first, of all pools of the pair that can trade this much. Raises VenueUnreachableError."""
    questions = Questions()
    slots = {
        pool.fee: questions.ask_call(
            uniswap.QUOTE_IN, uniswap.quote_in(at.book, token_in, token_out, pool.fee, units_in)
        )
        for pool in uniswap.pools(at.book, token_in, token_out)
    }
    await questions.put(at.reader, at.block)
    found = [Quote(fee, units_in, slot.values[0]) for fee, slot in slots.items() if slot.is_answered]
    return tuple(sorted(found, key=lambda quote: quote.units_out, reverse=True))


async def prepare_swap(order: Order, at: Situation) -> Prepared:
    """The swap; raises OrderRejectedError, value and bound named, when no pool pays what the order accepts."""
    given, taken = symbol_of(order, order.token_in, "token_in"), symbol_of(order, order.token_out, "token_out")
    if "ETH" in {given, taken}:
        misfit(order, f"{given} to {taken}: a pool holds WETH, expected it wrapped or unwrapped by an order of its own")
    units = units_for(order, at.book.token(given).decimals)
    deadline = _deadline(order, at)
    questions = Questions()
    held = ask_balance(questions, at, given)
    await questions.put(at.reader, at.block)
    check_balance(order, at, given, units, held.value)
    best = await _best(order, at, (given, taken), units)
    least = _least(order, at.book.token(taken).decimals)
    if best.units_out < least:
        out, bound = (amount_of(n, at.book.token(taken).decimals) for n in (best.units_out, least))
        why = f"best pool (fee {best.fee}) pays {plain(out)} {taken}, expected at least {plain(bound)}"
        refuse(order, why, ErrorClass.RETRYABLE, "min_out")
    wanted = uniswap.Swap(given, taken, best.fee, units, least, deadline)
    need = allowance(at, given, at.book.dex.router, units)
    return Prepared(uniswap.swap(at.book, wanted, at.owner), need)


async def _best(order: Order, at: Situation, pair: tuple[str, str], units: int) -> Quote:
    """The best quote, of the pool that ``route`` names by its fee where it names one."""
    found = await quotes(at, *pair, units)
    known: tuple[PoolEntry, ...] = uniswap.pools(at.book, *pair)
    if order.route:
        found = tuple(quote for quote in found if (str(quote.fee),) == order.route)
    if not found:
        pools = ", ".join(f"{pool.token0}/{pool.token1} {pool.fee}" for pool in known) or "none"
        refuse(order, f"no pool trades {pair[0]} for {pair[1]}, the book has {pools}", ErrorClass.RETRYABLE, "no_pool")
    return found[0]


def _least(order: Order, decimals: int) -> int:
    """The least output: the order's own, and not below its reference price less its slippage."""
    bounds = [order.min_out or Decimal(0)]
    if order.ref_price is not None and order.max_slippage_bp is not None:
        bounds.append(order.quantity * order.ref_price * (1 - order.max_slippage_bp / BPS))
    least = units_owed(max(bounds), decimals)
    if not least:
        misfit(order, f"least output {order.min_out}, expected more than 0: any price would do")
    return least


def _deadline(order: Order, at: Situation) -> int:
    if order.deadline is None or order.deadline <= at.block.time:
        why = f"deadline {order.deadline} at block time {at.block.time}, expected later"
        refuse(order, why, ErrorClass.RETRYABLE, "deadline")
    return int(order.deadline.timestamp())
