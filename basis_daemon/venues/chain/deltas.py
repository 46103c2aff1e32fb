"""What one transaction moved under our position keys, out of its receipt alone, to the last wei.

One decoder reads every transaction, single or composed: it looks at what the contracts of the address book recorded
for the account, whoever called them. Where a protocol rounds, the delta is what was asked, as the other side of the
movement has it, and the rounding is told apart; so is interest that the transaction merely brought to light.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.venues.chain import aave, eigenlayer, erc20, etherfi, lido
from basis_daemon.venues.chain.abi import Call, Log
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.tokens import ETH, ETHER_DECIMALS, amount_of, ether, held_at

Amounts = Mapping[PositionKey, Decimal]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A transaction as it was included: ``call`` is what was sent, the gas price wei as paid."""

    tx_hash: str
    block: BlockRef
    is_success: bool
    sender: str
    call: Call
    nonce: int
    gas_used: int
    gas_price_wei: int
    logs: tuple[Log, ...]

    @property
    def gas(self) -> Decimal:
        """What inclusion cost, ETH; a reverted transaction pays it too."""
        return ether(self.gas_used * self.gas_price_wei)


@dataclass(frozen=True, slots=True)
class Moved:
    """Whole units by position key: ``deltas`` without gas, ``rounding`` and ``interest`` beside them; no zeros."""

    deltas: Amounts = field(default_factory=dict)
    rounding: Amounts = field(default_factory=dict)
    interest: Amounts = field(default_factory=dict)


def moved(receipt: Receipt, book: AddressBook, owner: str) -> Moved:
    """What a transaction did to the account ``owner``; nothing at all when it reverted."""
    if not receipt.is_success:
        return Moved()
    lending = list(aave.changes(receipt.logs, book, owner)) if book.aave_v3 is not None else []
    decimals = {change.key: book.token(change.key.symbol).decimals for change in lending}
    return Moved(
        deltas=summed(
            [
                *_tokens(receipt.logs, book, owner),
                *_ether(receipt, book, owner),
                *_claims(receipt.logs, book, owner),
                *((change.key, amount_of(change.asked, decimals[change.key])) for change in lending),
            ]
        ),
        rounding=summed((change.key, amount_of(change.rounding, decimals[change.key])) for change in lending),
        interest=summed((change.key, amount_of(change.interest, decimals[change.key])) for change in lending),
    )


def with_gas(deltas: Amounts, receipt: Receipt) -> dict[PositionKey, Decimal]:
    """The same, and what the inclusion cost."""
    return dict(summed([*deltas.items(), (ETH, -receipt.gas)]))


def summed(parts: Iterable[tuple[PositionKey, Decimal]]) -> Amounts:
    """Amounts of the same key added; no zeros."""
    sums: dict[PositionKey, Decimal] = {}
    for key, amount in parts:
        sums[key] = sums.get(key, Decimal(0)) + amount
    return {key: amount for key, amount in sums.items() if amount}


def _tokens(logs: Sequence[Log], book: AddressBook, owner: str) -> Iterable[tuple[PositionKey, Decimal]]:
    for symbol, entry in book.tokens.items():
        yield held_at(symbol), amount_of(erc20.received(logs, entry.address, owner), entry.decimals)


def _ether(receipt: Receipt, book: AddressBook, owner: str) -> Iterable[tuple[PositionKey, Decimal]]:
    """Ether has no events of its own: what left is the value sent, what came is told by the contract that paid."""
    if receipt.sender.lower() == owner.lower():
        yield ETH, -ether(receipt.call.value_wei)
    if "WETH" in book.tokens:
        made, returned = erc20.wrapped(receipt.logs, book.tokens["WETH"].address, owner)
        yield held_at("WETH"), amount_of(made - returned, ETHER_DECIMALS)
        yield ETH, ether(returned)


def _claims(logs: Sequence[Log], book: AddressBook, owner: str) -> Iterable[tuple[PositionKey, Decimal]]:
    if book.lido is not None:
        yield from lido.moves(logs, book.lido, owner)
    if book.etherfi is not None:
        yield from etherfi.moves(logs, book.etherfi, owner)
    if book.eigenlayer is not None:
        yield from eigenlayer.moves(logs, book.eigenlayer, book.token("stETH").address, owner)
