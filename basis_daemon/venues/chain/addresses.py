"""The address book: which contracts are meant by our names, from the shipped file or from a sandbox's world file.

A book is a claim; ``verify`` asks the chain about every one of its addresses before any of them is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar

from eth_utils.address import is_checksum_address, is_hex_address, to_checksum_address
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from basis_daemon.domain.errors import ConfigError
from basis_daemon.venues.chain.multicall import MULTICALL3
from basis_daemon.venues.chain.tokens import Token

T = TypeVar("T")
SANDBOX = "sandbox"


def _checked(value: str) -> str:
    if not is_hex_address(value) or (value != value.lower() and not is_checksum_address(value)):
        raise ValueError(f"{value!r} is no address, or its checksum is wrong")
    return to_checksum_address(value)


Address = Annotated[str, AfterValidator(_checked)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # a world file also tells what only its sandbox needs


class TokenEntry(_Frozen):
    """A token contract; decimals in digits."""

    address: Address
    decimals: int = Field(ge=0, le=36)


class ReserveEntry(_Frozen):
    """The two tokens by which Aave keeps the accounts of one asset."""

    atoken: Address
    vdebt: Address


class AaveEntry(_Frozen):
    """One Aave V3 market; ``reserves`` by symbol, filled in from the chain by ``verify``."""

    pool: Address
    addresses_provider: Address
    oracle: Address
    data_provider: Address
    emodes: Mapping[str, str] = Field(default_factory=dict)
    reserves: Mapping[str, ReserveEntry] = Field(default_factory=dict)


class LidoEntry(_Frozen):
    """Lido on Ethereum."""

    steth: Address
    wsteth: Address
    withdrawal_queue: Address


class EtherfiEntry(_Frozen):
    """ether.fi on Ethereum; the adapters go from ether to weETH, and from weETH to a request, in one call each."""

    liquidity_pool: Address
    eeth: Address
    weeth: Address
    withdraw_request_nft: Address
    deposit_adapter: Address
    withdraw_adapter: Address


class EigenlayerEntry(_Frozen):
    """EigenLayer; the stETH strategy is the only one we use."""

    delegation_manager: Address
    strategy_manager: Address
    rewards_coordinator: Address
    steth_strategy: Address


class PoolEntry(_Frozen):
    """A Uniswap pool; ``fee`` in hundredths of a basis point, the address is the factory's where the book has none."""

    token0: str
    token1: str
    fee: int
    address: Address | None = None

    def trades(self, *symbols: str) -> bool:
        """True for the pool of exactly these two tokens, in either order."""
        return {self.token0, self.token1} == set(symbols)


class UniswapEntry(_Frozen):
    """Uniswap V3 with the router whose swaps carry a deadline."""

    factory: Address
    router: Address
    quoter: Address
    pools: tuple[PoolEntry, ...] = ()


class MorphoEntry(_Frozen):
    """Morpho Blue, which lends what it holds for one transaction and takes no fee."""

    morpho: Address


class RecipientEntry(_Frozen):
    """Where a transfer may go. ``is_ours``: an account that the book holds elsewhere, so what goes there stays ours."""

    address: Address
    is_ours: bool


class AddressBook(_Frozen):
    """Everything that we may talk to on one network; ``recipients`` are the operator's names for where money may go."""

    network: str
    chain_id: int
    tokens: Mapping[str, TokenEntry]
    aave_v3: AaveEntry | None = None
    lido: LidoEntry | None = None
    etherfi: EtherfiEntry | None = None
    eigenlayer: EigenlayerEntry | None = None
    uniswap_v3: UniswapEntry | None = None
    morpho: MorphoEntry | None = None
    multicall3: Address = MULTICALL3
    genesis_hash: str | None = None
    recipients: Mapping[str, RecipientEntry] = Field(default_factory=dict)

    def token(self, symbol: str) -> Token:
        """The token of this symbol; raises ConfigError when the book has none."""
        entry = self.tokens.get(symbol)
        if entry is None:
            raise ConfigError(f"{self.network}: no token {symbol} in the address book, it has {', '.join(self.tokens)}")
        return Token(symbol, entry.address, entry.decimals)

    def emode_of(self, collateral: str) -> int | None:
        """The category in which ``collateral`` stands for WETH; None where the book knows of none."""
        wanted = f"{collateral}/WETH"
        found = () if self.aave_v3 is None else self.aave_v3.emodes.items()
        return next((int(category) for category, label in found if label == wanted), None)

    def symbol_at(self, address: str) -> str | None:
        """Which of our tokens lives there."""
        found = (symbol for symbol, entry in self.tokens.items() if entry.address.lower() == address.lower())
        return next(found, None)

    def reserve(self, symbol: str) -> ReserveEntry:
        """Aave's two tokens of an asset; raises ConfigError when the book has none."""
        reserves = self.aave.reserves
        if symbol not in reserves:
            raise ConfigError(f"{self.network}: no Aave reserve {symbol}, the book has {', '.join(reserves)}")
        return reserves[symbol]

    @property
    def aave(self) -> AaveEntry:
        """The lending market; raises ConfigError without one, as the other parts do."""
        return self.part(self.aave_v3, "aave_v3")

    @property
    def dex(self) -> UniswapEntry:
        """The exchange."""
        return self.part(self.uniswap_v3, "uniswap_v3")

    @property
    def second_lender(self) -> str | None:
        """Who lends for one transaction beside Aave; None on a network that has nobody."""
        return None if self.morpho is None else self.morpho.morpho

    @property
    def spenders(self) -> Mapping[str, str]:
        """Contracts that may be given an allowance, by the name an APPROVE order calls them."""
        found: dict[str, str] = {}
        if self.aave_v3 is not None:
            found["aave_v3"] = self.aave_v3.pool
        if self.lido is not None:
            found |= {"lido": self.lido.withdrawal_queue, "wsteth": self.lido.wsteth}
        if self.etherfi is not None:
            entry = self.etherfi
            found |= {"etherfi": entry.liquidity_pool, "weeth": entry.weeth, "etherfi_exit": entry.withdraw_adapter}
        if self.eigenlayer is not None:
            found["eigenlayer"] = self.eigenlayer.strategy_manager
        if self.uniswap_v3 is not None:
            found["uniswap_v3"] = self.uniswap_v3.router
        return found

    def part(self, entry: T | None, name: str) -> T:
        """The entry of one protocol, given; raises ConfigError when this network has none."""
        if entry is None:
            raise ConfigError(f"{self.network}: no {name} in the address book; choose another network or strategy")
        return entry


def shipped(network: str) -> AddressBook:
    """The book that comes with the package; raises ConfigError for a network that it does not know."""
    file = resources.files(__package__) / "addresses.json"
    networks = json.loads(file.read_text(encoding="utf-8"))["networks"]
    if network not in networks:
        raise ConfigError(f"network {network}: no address book, expected one of {', '.join(networks)}")
    return _book(network, networks[network], "addresses.json")


def sandbox_book(world: Path) -> AddressBook:
    """The book of a sandbox chain; raises ConfigError naming the file."""
    try:
        entries = json.loads(world.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise ConfigError(f"world file {world}: {fault}; start the sandbox chain first") from fault
    return _book(SANDBOX, entries, str(world))


def _book(network: str, entries: Mapping[str, Any], where: str) -> AddressBook:
    try:
        return AddressBook.model_validate({**entries, "network": network})
    except ValidationError as fault:
        first = fault.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}, {network}, {name}: {first['input']!r}: {first['msg']}") from fault
