"""What an account holds at one block: ether, tokens, what issuers owe it. What cannot be read is not zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.venues.chain import eigenlayer, etherfi, lido
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.prepared import Situation, ask_balance
from basis_daemon.venues.chain.seams import PinnedReader, Questions, Slot
from basis_daemon.venues.chain.tokens import ETH, ETHER_DECIMALS, amount_of, ether, held_at

FIRST_CHECKPOINT = 1


async def read_wallet(
    reader: PinnedReader, block: BlockRef, book: AddressBook, owner: str
) -> Mapping[PositionKey, Decimal]:
    """Ether and every token of the book, zeros too. Raises VenueUnreachableError."""
    questions, at = Questions(), Situation(book, owner, reader, block)
    slots = {
        held_at(symbol): (ask_balance(questions, at, symbol), book.tokens[symbol].decimals) for symbol in book.tokens
    }
    slots[ETH] = ask_balance(questions, at, "ETH"), ETHER_DECIMALS
    await questions.put(reader, block)
    return {key: amount_of(slot.value, decimals) for key, (slot, decimals) in slots.items()}


async def read_lido_claims(
    reader: PinnedReader, block: BlockRef, book: AddressBook, owner: str
) -> Mapping[PositionKey, Decimal]:
    """Open requests: at what was asked for, once finalised at what they pay. Raises VenueUnreachableError."""
    queue = book.part(book.lido, "lido").withdrawal_queue
    first = Questions()
    numbers, last = first.ask(lido.REQUESTS, queue, owner), first.ask(lido.LAST_CHECKPOINT, queue)
    await first.put(reader, block)
    if not numbers.value:
        return {}
    ids = sorted(numbers.value)
    second = Questions()
    states = second.ask(lido.STATUS, queue, ids)
    await second.put(reader, block)
    asked = {number: row[0] for number, row in zip(ids, states.value, strict=True)}
    ready = [number for number, row in zip(ids, states.value, strict=True) if row[4]]
    paid = await _payable(reader, block, queue, ready, last.value) if ready else {}
    return {lido.claim_key(number): ether(paid.get(number, wei)) for number, wei in asked.items()}


async def _payable(
    reader: PinnedReader, block: BlockRef, queue: str, ready: list[int], last_checkpoint: int
) -> Mapping[int, int]:
    """Wei that each finalised request pays."""
    third, fourth = Questions(), Questions()
    hints = third.ask(lido.HINTS, queue, ready, FIRST_CHECKPOINT, last_checkpoint)
    await third.put(reader, block)
    paid = fourth.ask(lido.CLAIMABLE, queue, ready, list(hints.value))
    await fourth.put(reader, block)
    return dict(zip(ready, paid.value, strict=True))


async def read_restaked(
    reader: PinnedReader, block: BlockRef, book: AddressBook, owner: str
) -> Mapping[PositionKey, Decimal]:
    """What is restaked and what is on its way out, each in stETH as it is worth now. Raises VenueUnreachableError."""
    part = book.part(book.eigenlayer, "eigenlayer")
    manager, strategy = part.delegation_manager, part.steth_strategy
    first, second, third = Questions(), Questions(), Questions()
    held = first.ask(eigenlayer.WITHDRAWABLE, manager, owner, [strategy])
    roots = first.ask(eigenlayer.ROOTS, manager, owner)
    await first.put(reader, block)
    queued = {root: second.ask(eigenlayer.QUEUED, manager, root) for root in roots.value}
    worth = {eigenlayer.SHARE: second.ask(eigenlayer.WORTH, strategy, held.values[0][0])}
    await second.put(reader, block)
    for root, slot in queued.items():
        worth[eigenlayer.claim_key(root)] = third.ask(eigenlayer.WORTH, strategy, sum(slot.values[1]))
    if queued:
        await third.put(reader, block)
    return {key: ether(slot.value) for key, slot in worth.items()}


async def read_etherfi_claims(
    reader: PinnedReader, block: BlockRef, book: AddressBook, owner: str, numbers: Iterable[int]
) -> Mapping[PositionKey, Decimal]:
    """Those of these requests that the account still owns, at the lesser of what was asked and of their shares' worth.

    Their token cannot be listed by owner: the ledger knows the numbers. Raises VenueUnreachableError.
    """
    part = book.part(book.etherfi, "etherfi")
    first = Questions()
    rows: dict[int, tuple[Slot, Slot]] = {
        number: (
            first.ask(etherfi.OWNER_OF, part.withdraw_request_nft, number),
            first.ask(etherfi.REQUEST_DATA, part.withdraw_request_nft, number),
        )
        for number in numbers
    }
    if not rows:
        return {}
    await first.put(reader, block)
    mine = [n for n, (holder, _) in rows.items() if holder.is_answered and holder.value.lower() == owner.lower()]
    second = Questions()
    worth = {n: second.ask(etherfi.AMOUNT_FOR_SHARE, part.liquidity_pool, rows[n][1].value[1]) for n in mine}
    await second.put(reader, block)
    return {etherfi.claim_key(n): ether(min(rows[n][1].value[0], worth[n].value)) for n in mine}


async def read_payable(
    reader: PinnedReader, block: BlockRef, book: AddressBook, claims: Iterable[PositionKey]
) -> frozenset[PositionKey]:
    """Those of these requests that their issuers would pay now. Raises VenueUnreachableError."""
    claims = tuple(claims)
    questions = Questions()
    numbers = sorted(int(key.symbol) for key in claims if key.venue == "lido")
    states = None
    if numbers:
        states = questions.ask(lido.STATUS, book.part(book.lido, "lido").withdrawal_queue, numbers)
    finalised: dict[PositionKey, Slot] = {
        key: questions.ask(etherfi.FINALIZED, book.part(book.etherfi, "etherfi").withdraw_request_nft, int(key.symbol))
        for key in claims
        if key.venue == "etherfi"
    }
    if states is None and not finalised:
        return frozenset()
    await questions.put(reader, block)
    paid = {key for key, slot in finalised.items() if slot.value}
    if states is not None:
        paid |= {lido.claim_key(number) for number, row in zip(numbers, states.value, strict=True) if row[4]}
    return frozenset(paid)
