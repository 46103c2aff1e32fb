"""Asks the chain whether the address book is right, before anything in it is trusted with money.

A contract is known by what it says of itself and of the others: a token by symbol and decimals, a pool by the provider
that names it. An address without code says nothing, and nothing is an error too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.address import is_same_address, to_checksum_address
from eth_utils.crypto import keccak

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import ConfigError
from basis_daemon.venues.chain.abi import Function, function
from basis_daemon.venues.chain.addresses import AddressBook, PoolEntry, ReserveEntry
from basis_daemon.venues.chain.erc20 import DECIMALS, SYMBOL
from basis_daemon.venues.chain.seams import PinnedReader, Questions, Slot

PROVIDER = function("ADDRESSES_PROVIDER() -> (address)")
PROVIDED_POOL = function("getPool() -> (address)")
PROVIDED_ORACLE = function("getPriceOracle() -> (address)")
BASE_UNIT = function("BASE_CURRENCY_UNIT() -> (uint256)")
RESERVE_TOKENS = function("getReserveTokensAddresses(address) -> (address,address,address)")
UNISWAP_POOL = function("getPool(address,address,uint24) -> (address)")

SEPARATOR = function("DOMAIN_SEPARATOR() -> (bytes32)")
SEPARATOR_TYPE = keccak(text="EIP712Domain(uint256 chainId,address verifyingContract)")

ROOTS = function("getDistributionRootsLength() -> (uint256)")

ANY = object()
"""Whatever is answered: that there is an answer says what the contract is."""

AAVE_BASE_UNIT = 10**8
"""Aave's prices are read as US dollars with eight digits; a market that counts in ether would be read wrongly."""

NOWHERE = "0x" + 40 * "0"


@dataclass(frozen=True, slots=True)
class _Claim:
    """``name`` in the book, the contract asked, and what it must answer."""

    name: str
    slot: Slot
    expected: object

    def check(self) -> None:
        """Raises ConfigError naming key, found and expected."""
        if not self.slot.is_answered:
            what = f"{self.name}: {self.slot.to} does not answer {self.slot.function.name}()"
            expected = "an answer" if self.expected is ANY else self.expected
            raise ConfigError(f"{what}, expected {expected}: is there code, and is it this network?")
        found = self.slot.value
        if self.expected is ANY:
            return
        is_equal = is_same_address(found, self.expected) if _is_address(self.expected) else found == self.expected
        if not is_equal:
            raise ConfigError(
                f"{self.name}: {self.slot.to} says {self.slot.function.name}() is {found}, expected {self.expected}"
            )


def _is_address(value: object) -> bool:
    return isinstance(value, str) and value.startswith("0x")


async def verified(reader: PinnedReader, block: BlockRef, book: AddressBook) -> AddressBook:
    """The book with what it left to the chain (aTokens, pools), every address of it confirmed.

    Raises ConfigError naming the entry, what was found and what was expected; VenueUnreachableError without an answer.
    """
    questions = Questions()
    claims = [_Claim(name, questions.ask(asked, to), expected) for name, asked, to, expected in _expectations(book)]
    reserves = _ask_reserves(questions, book)
    pools = _ask_pools(questions, book)
    await questions.put(reader, block)
    for claim in claims:
        claim.check()
    parts: dict[str, object] = {}
    if book.aave_v3 is not None:
        found = {symbol: entry for symbol, slot in reserves.items() if (entry := _reserve(book, symbol, slot))}
        parts["aave_v3"] = book.aave_v3.model_copy(update={"reserves": found})
    if book.uniswap_v3 is not None:
        parts["uniswap_v3"] = book.uniswap_v3.model_copy(
            update={"pools": tuple(_pool(book, entry, slot) for entry, slot in pools)}
        )
    return book.model_copy(update=parts)


Expectation = tuple[str, Function, str, object]


def _expectations(book: AddressBook) -> Iterator[Expectation]:
    for symbol, entry in book.tokens.items():
        yield f"tokens.{symbol}", SYMBOL, entry.address, symbol
        yield f"tokens.{symbol}", DECIMALS, entry.address, entry.decimals
    for part in (_aave, _lido, _etherfi, _eigenlayer, _uniswap, _morpho):
        yield from part(book)


def _morpho(book: AddressBook) -> Iterator[Expectation]:
    """It names nobody else; what it signs with is made of its chain and its own address."""
    if (morpho := book.second_lender) is not None:
        own = encode(["bytes32", "uint256", "address"], [SEPARATOR_TYPE, book.chain_id, morpho])
        yield "morpho.morpho", SEPARATOR, morpho, keccak(own)


def _aave(book: AddressBook) -> Iterator[Expectation]:
    if (aave := book.aave_v3) is None:
        return
    yield "aave_v3.pool", PROVIDER, aave.pool, aave.addresses_provider
    yield "aave_v3.addresses_provider", PROVIDED_POOL, aave.addresses_provider, aave.pool
    yield "aave_v3.addresses_provider", PROVIDED_ORACLE, aave.addresses_provider, aave.oracle
    yield "aave_v3.data_provider", PROVIDER, aave.data_provider, aave.addresses_provider
    yield "aave_v3.oracle", BASE_UNIT, aave.oracle, AAVE_BASE_UNIT


def _lido(book: AddressBook) -> Iterator[Expectation]:
    if (lido := book.lido) is None:
        return
    yield "lido.steth", SYMBOL, lido.steth, "stETH"
    yield "lido.wsteth", _says("stETH"), lido.wsteth, lido.steth
    yield "lido.withdrawal_queue", _says("STETH"), lido.withdrawal_queue, lido.steth
    yield "lido.withdrawal_queue", _says("WSTETH"), lido.withdrawal_queue, lido.wsteth


def _etherfi(book: AddressBook) -> Iterator[Expectation]:
    if (etherfi := book.etherfi) is None:
        return
    yield "etherfi.eeth", SYMBOL, etherfi.eeth, "eETH"
    yield "etherfi.weeth", _says("eETH"), etherfi.weeth, etherfi.eeth
    yield "etherfi.liquidity_pool", _says("eETH"), etherfi.liquidity_pool, etherfi.eeth
    yield "etherfi.withdraw_request_nft", _says("liquidityPool"), etherfi.withdraw_request_nft, etherfi.liquidity_pool
    yield "etherfi.deposit_adapter", _says("weETH"), etherfi.deposit_adapter, etherfi.weeth
    yield "etherfi.withdraw_adapter", _says("weETH"), etherfi.withdraw_adapter, etherfi.weeth


def _eigenlayer(book: AddressBook) -> Iterator[Expectation]:
    if (eigenlayer := book.eigenlayer) is None:
        return
    manager = eigenlayer.strategy_manager
    yield "eigenlayer.strategy_manager", _says("delegation"), manager, eigenlayer.delegation_manager
    yield "eigenlayer.delegation_manager", _says("strategyManager"), eigenlayer.delegation_manager, manager
    yield "eigenlayer.rewards_coordinator", ROOTS, eigenlayer.rewards_coordinator, ANY
    strategy = eigenlayer.steth_strategy
    yield "eigenlayer.steth_strategy", _says("strategyManager"), strategy, manager
    yield "eigenlayer.steth_strategy", _says("underlyingToken"), strategy, book.token("stETH").address


def _uniswap(book: AddressBook) -> Iterator[Expectation]:
    if (uniswap := book.uniswap_v3) is None:
        return
    yield "uniswap_v3.router", _says("factory"), uniswap.router, uniswap.factory
    yield "uniswap_v3.quoter", _says("factory"), uniswap.quoter, uniswap.factory


def _says(name: str) -> Function:
    """A getter without arguments that names another contract."""
    return function(f"{name}() -> (address)")


def _ask_reserves(questions: Questions, book: AddressBook) -> dict[str, Slot]:
    if (aave := book.aave_v3) is None:
        return {}
    return {
        symbol: questions.ask(RESERVE_TOKENS, aave.data_provider, entry.address)
        for symbol, entry in book.tokens.items()
    }


def _reserve(book: AddressBook, symbol: str, slot: Slot) -> ReserveEntry | None:
    """The tokens of a reserve; None for an asset that the market has not listed. Raises ConfigError."""
    told = book.aave.reserves.get(symbol)
    atoken, _, vdebt = slot.values if slot.is_answered else (NOWHERE, NOWHERE, NOWHERE)
    for name, found, expected in (
        ("atoken", atoken, told and told.atoken),
        ("vdebt", vdebt, told and told.vdebt),
    ):
        if expected is not None and not is_same_address(found, expected):
            raise ConfigError(f"aave_v3.reserves.{symbol}.{name}: the data provider says {found}, expected {expected}")
    return None if atoken == NOWHERE else ReserveEntry(atoken=atoken, vdebt=vdebt)


def _ask_pools(questions: Questions, book: AddressBook) -> list[tuple[PoolEntry, Slot]]:
    if (uniswap := book.uniswap_v3) is None:
        return []
    found = []
    for pool in uniswap.pools:
        sides = book.token(pool.token0).address, book.token(pool.token1).address
        found.append((pool, questions.ask(UNISWAP_POOL, uniswap.factory, *sides, pool.fee)))
    return found


def _pool(book: AddressBook, entry: PoolEntry, slot: Slot) -> PoolEntry:
    name = f"uniswap_v3.pools {entry.token0}/{entry.token1} {entry.fee}"
    found = slot.value
    if found == NOWHERE:
        raise ConfigError(f"{book.network}, {name}: the factory knows no such pool, expected one")
    if entry.address is not None and not is_same_address(found, entry.address):
        raise ConfigError(f"{book.network}, {name}: the factory says {found}, expected {entry.address}")
    return entry.model_copy(update={"address": to_checksum_address(found)})
