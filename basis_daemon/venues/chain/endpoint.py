"""One RPC endpoint and what is known of its health. A wrong chain is for ever, a lag or a fault for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
from hexbytes import HexBytes
from pydantic import SecretStr
from web3 import AsyncWeb3
from web3.eth import AsyncEth
from web3.exceptions import BlockNotFound
from web3.types import BlockData

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import BasisError, ConfigError
from basis_daemon.ports import Clock
from basis_daemon.venues.chain.provider import HttpProvider

SECOND_NS = 1_000_000_000
LOOPBACK = "127.0.0.1"
REST_FIRST_S, REST_DOUBLINGS_MAX = 1, 5
"""After a fault an endpoint is asked last for a second, twice as long after each further one, 32 s at most."""


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """``url`` may hold a key in its path or user part: it is never shown, ``name`` is what logs and errors say.

    ``ws_url`` is where new heads are pushed, None to ask for them. A private relay takes transactions and answers no
    questions. ``is_local``: of a sandbox, and nothing but this machine may be reached.
    """

    name: str
    url: SecretStr
    ws_url: SecretStr | None = None
    is_private: bool = False
    is_local: bool = False
    timeout_s: float = 3.0
    connect_timeout_s: float = 1.0


@dataclass(frozen=True, slots=True)
class ChainIdentity:
    """Which chain is meant: two chains may share an id, none shares its first block's hash (lower-case hex)."""

    chain_id: int
    genesis_hash: str


class WrongChainError(BasisError):
    """An endpoint serves another chain than the one configured; nothing it says or takes is of use."""


@dataclass(frozen=True, slots=True)
class Header:
    """A block's head as a node told it: enough to chain it to its parent and to price a transaction."""

    block: BlockRef
    parent_hash: str
    base_fee_wei: int


def hex_of(value: bytes | str) -> str:
    """Lower-case hex with 0x, the one spelling of hashes and data outside web3."""
    return "0x" + HexBytes(value).hex()


def header_of(block: BlockData | Mapping[str, object]) -> Header:
    """Reads a block; raises KeyError, TypeError or ValueError where the node left out what every block has."""
    number, stamp, base_fee = block["number"], block["timestamp"], block["baseFeePerGas"]
    found, parent = block["hash"], block["parentHash"]
    if not isinstance(found, bytes | str) or not isinstance(parent, bytes | str):
        raise TypeError(f"block hash {found!r}, parent {parent!r}, expected bytes")
    time = datetime.fromtimestamp(whole(stamp), UTC)
    return Header(BlockRef(whole(number), hex_of(found), time), hex_of(parent), whole(base_fee))


def whole(value: object) -> int:
    """A number as web3 or a push has it. Raises TypeError or ValueError for what a node that is ill may answer."""
    if isinstance(value, str):
        return int(value, 16)
    if not isinstance(value, int):
        raise TypeError(f"{value!r}, expected a whole number")
    return value


async def newest_header(eth: AsyncEth) -> Header:
    """A question for the pool: the head of the chain as one endpoint sees it."""
    try:
        return header_of(await eth.get_block("latest"))
    except BlockNotFound:  # every chain has a newest block; a node that knows none has not begun
        raise ValueError("no newest block") from None


def _check_local(options: EndpointOptions) -> None:
    for url in (options.url, options.ws_url) if options.is_local else ():
        host = urlsplit(url.get_secret_value()).hostname if url is not None else LOOPBACK
        if host != LOOPBACK:  # an address and no name: nothing is looked up, and no answer leads elsewhere
            raise ConfigError(
                f"endpoint {options.name}: host {host}, expected {LOOPBACK}: a sandbox is on this machine"
            )


class Endpoint:
    """A connection of its own, and what was last seen of it."""

    def __init__(self, options: EndpointOptions, clock: Clock) -> None:
        """Raises ConfigError for an endpoint that should be local and is not."""
        _check_local(options)
        self.options = options
        self.name = options.name
        self._clock = clock
        timeout = aiohttp.ClientTimeout(total=options.timeout_s, connect=options.connect_timeout_s)
        self._provider = HttpProvider(options.url, timeout)
        self._web3 = AsyncWeb3(self._provider, middleware=[])
        self.banned = ""
        self.is_verified = False
        self.top: BlockRef | None = None
        self.went_back_from = 0
        self.faults = 0
        self._resting_until_ns = 0

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r} at {urlsplit(self.options.url.get_secret_value()).hostname})"

    @property
    def eth(self) -> AsyncEth:
        """web3's own module, for questions that have a method there."""
        return self._web3.eth

    @property
    def is_resting(self) -> bool:
        """True for a while after a fault: asked last, not never."""
        return self._clock.monotonic_ns() < self._resting_until_ns

    async def open(self) -> None:
        await self._provider.open()

    async def close(self) -> None:
        await self._provider.close()

    def fault(self) -> None:
        """It gave no usable answer: others are asked first for a while."""
        rest_s = REST_FIRST_S * 2 ** min(self.faults, REST_DOUBLINGS_MAX)
        self.faults += 1
        self.is_verified = False  # what answers there next may be another node
        self._resting_until_ns = self._clock.monotonic_ns() + rest_s * SECOND_NS

    def answered(self) -> None:
        self.faults, self._resting_until_ns = 0, 0

    def saw(self, head: BlockRef) -> None:
        """Remember its head; one below an earlier head means that it went back, until it is as far again."""
        if self.top is not None and head.number < self.top.number:
            self.went_back_from = max(self.went_back_from, self.top.number)
        elif head.number >= self.went_back_from:
            self.went_back_from = 0
        self.top = head

    async def examine(self, identity: ChainIdentity) -> BlockRef:
        """Its head, after a look at whose chain it is: the id every time, the first block until it was seen right.

        Raises WrongChainError, and what web3 raises where it does not answer.
        """
        chain_id = whole(await self.eth.chain_id)  # an answer that is no number is no other chain
        if chain_id != identity.chain_id:
            raise WrongChainError(f"endpoint {self.name}: chain id {chain_id}, expected {identity.chain_id}")
        if not self.is_verified:
            genesis = await self._genesis()
            if genesis != identity.genesis_hash:
                raise WrongChainError(f"endpoint {self.name}: genesis {genesis}, expected {identity.genesis_hash}")
        head = (await newest_header(self.eth)).block
        self.is_verified = True
        return head

    async def _genesis(self) -> str:
        """Hash of the first block, which every chain has."""
        try:
            return hex_of((await self.eth.get_block(0))["hash"])
        except BlockNotFound:
            raise ValueError("no first block") from None
