"""Where everything is on the oracle's chain: made-up addresses, and the book by which a daemon knows them."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from basis_daemon.simulation.drill.chain.blocks import hash_of
from basis_daemon.venues.chain.addresses import AaveEntry, AddressBook, TokenEntry, UniswapEntry

CHAIN_ID = 31_337
KEY = "0x" + sha256(b"a wallet of the full stack").hexdigest()
"""Of play money, the same in every seed."""
GENESIS_HASH = hash_of("genesis")
DECIMALS = {"USDT": 6, "WETH": 18}


def at(name: str) -> str:
    """The address of whoever is called so."""
    return to_checksum_address(keccak(text=name)[-20:])


POOL, PROVIDER, ORACLE, DATA, STRATEGY, CROWD = map(at, ("pool", "provider", "oracle", "data", "strategy", "crowd"))
FACTORY, ROUTER, QUOTER = map(at, ("factory", "router", "quoter"))
"""Of an exchange without pools: a wallet's table of orders has one."""
NOWHERE = "0x" + 40 * "0"
TOKENS = {symbol: at(symbol) for symbol in DECIMALS}
ATOKENS = {symbol: at(f"a{symbol}") for symbol in DECIMALS}
VDEBTS = {symbol: at(f"debt {symbol}") for symbol in DECIMALS}
SYMBOLS = {address: symbol for symbol, address in TOKENS.items()}


@cache
def book() -> AddressBook:
    """As an operator's file would have it; what the chain is to tell of the market is left out."""
    tokens = {symbol: TokenEntry(address=TOKENS[symbol], decimals=digits) for symbol, digits in DECIMALS.items()}
    market = AaveEntry(pool=POOL, addresses_provider=PROVIDER, oracle=ORACLE, data_provider=DATA)
    exchange = UniswapEntry(factory=FACTORY, router=ROUTER, quoter=QUOTER)
    return AddressBook(
        network="oracle", chain_id=CHAIN_ID, tokens=tokens, aave_v3=market, uniswap_v3=exchange,
        genesis_hash=GENESIS_HASH,
    )  # fmt: skip
