"""What a liquid staking token is worth at one block: at its issuer, at Aave's oracle, and to a pool that would take it.

The issuer's rate is what a book is valued at; a pool's price is what leaving at once would bring, fee and impact of the
size asked for included. A pool that cannot trade that size gives no price, which is not a price of zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.chain import BlockRef, LstTick
from basis_daemon.domain.errors import ConfigError
from basis_daemon.venues.chain import etherfi, lido, uniswap
from basis_daemon.venues.chain.aave_reads import ASSET_PRICE
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.seams import PinnedReader, Questions, Slot
from basis_daemon.venues.chain.tokens import ETHER_DECIMALS, amount_of, ether, held_at, units_of

FEE_DIGITS = 6
NO_LIMIT_WEI = 2**128 - 1
"""What Lido answers where nothing bounds a deposit is any number above."""


@dataclass(frozen=True, slots=True)
class _Issuer:
    """The open questions about one issuer."""

    rate: Slot
    paused: tuple[Slot, ...]
    closed: tuple[Slot, ...]
    room: Slot | None


async def read_lst(
    reader: PinnedReader, block: BlockRef, book: AddressBook, symbol: str, size: Decimal, received_ns: int
) -> LstTick:
    """The token ``symbol`` (wstETH or weETH), pools asked for ``size`` tokens. Raises VenueUnreachableError."""
    questions = Questions()
    issuer = _ask_issuer(questions, book, symbol)
    prices = None
    if book.aave_v3 is not None and symbol in book.tokens:
        tokens = (book.token(symbol).address, book.token("WETH").address)
        prices = [questions.ask(ASSET_PRICE, book.aave.oracle, token) for token in tokens]
    units = units_of(size, ETHER_DECIMALS)
    sales = _ask_pools(questions, book, symbol, units) if book.uniswap_v3 is not None else ()
    await questions.put(reader, block)
    rate = ether(issuer.rate.value)
    buys = await _ask_buys(reader, block, book, symbol, units)
    sale, bought = _best(sales), _cheapest(buys)
    room = None if issuer.room is None or issuer.room.value >= NO_LIMIT_WEI else ether(issuer.room.value)
    return LstTick(
        instrument=held_at(symbol),
        block=block,
        received_ns=received_ns,
        rate=rate,
        pool_price=None if sale is None else amount_of(sale[1], ETHER_DECIMALS) / size,
        pool_price_buy=None if bought is None else amount_of(bought[1], ETHER_DECIMALS) / size,
        quoted_size=size,
        pool_fee=Decimal(0) if sale is None else amount_of(sale[0], FEE_DIGITS),
        is_paused=any(slot.value for slot in issuer.paused),
        deposits_open=not any(slot.value for slot in issuer.closed) and (room is None or room > 0),
        deposit_room=room,
        queue_wait_s=None,
        oracle_price_eth=None if prices is None else Decimal(prices[0].value) / Decimal(prices[1].value),
    )


def _ask_issuer(questions: Questions, book: AddressBook, symbol: str) -> _Issuer:
    if symbol == "wstETH":
        part = book.part(book.lido, "lido")
        stopped, staking = questions.ask(lido.STOPPED, part.steth), questions.ask(lido.STAKING_PAUSED, part.steth)
        queue = questions.ask(lido.QUEUE_PAUSED, part.withdrawal_queue)
        rate, room = questions.ask(lido.RATE, part.wsteth), questions.ask(lido.STAKE_LIMIT, part.steth)
        return _Issuer(rate, (stopped, queue), (staking,), room)
    if symbol == "weETH":
        issuer = book.part(book.etherfi, "etherfi")
        paused = questions.ask(etherfi.PAUSED, issuer.liquidity_pool)
        return _Issuer(questions.ask(etherfi.RATE, issuer.weeth), (paused,), (), None)
    raise ConfigError(f"staking token {symbol}: no issuer is known for it, expected wstETH or weETH")


def _ask_pools(questions: Questions, book: AddressBook, symbol: str, units: int) -> Sequence[tuple[int, Slot]]:
    return [
        (pool.fee, questions.ask_call(uniswap.QUOTE_IN, uniswap.quote_in(book, symbol, "WETH", pool.fee, units)))
        for pool in uniswap.pools(book, symbol, "WETH")
    ]


async def _ask_buys(
    reader: PinnedReader, block: BlockRef, book: AddressBook, symbol: str, units: int
) -> Sequence[tuple[int, Slot]]:
    """What each pool asks for as many tokens, in wei."""
    if book.uniswap_v3 is None:
        return ()
    questions = Questions()
    asked = [
        (pool.fee, questions.ask_call(uniswap.QUOTE_OUT, uniswap.quote_out(book, "WETH", symbol, pool.fee, units)))
        for pool in uniswap.pools(book, "WETH", symbol)
    ]
    if asked:
        await questions.put(reader, block)
    return asked


def _best(quotes: Sequence[tuple[int, Slot]]) -> tuple[int, int] | None:
    """(fee, wei out) of the pool that pays most."""
    found = [(fee, slot.values[0]) for fee, slot in quotes if slot.is_answered]
    return max(found, key=lambda quote: quote[1], default=None)


def _cheapest(quotes: Sequence[tuple[int, Slot]]) -> tuple[int, int] | None:
    """(fee, wei in) of the pool that asks least."""
    found = [(fee, slot.values[0]) for fee, slot in quotes if slot.is_answered]
    return min(found, key=lambda quote: quote[1], default=None)
