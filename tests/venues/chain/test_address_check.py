"""The address book is believed only as far as the chain confirms it; a wrong entry is named with both values."""

from __future__ import annotations

import pytest

from basis_daemon.domain.errors import ConfigError
from basis_daemon.venues.chain.address_check import verified
from basis_daemon.venues.chain.addresses import AddressBook, ReserveEntry, TokenEntry
from tests.venues.chain.actor import Actor

NOBODY = "0x" + "12" * 20


async def check(actor: Actor, book: AddressBook) -> AddressBook:
    return await verified(actor.reader, await actor.head(), book)


async def test_what_the_world_file_leaves_out_is_read_from_the_contracts(
    actor: Actor, claimed_book: AddressBook
) -> None:
    assert not claimed_book.aave.reserves
    book = await check(actor, claimed_book)
    assert set(book.aave.reserves) == {"USDT", "WETH", "wstETH", "weETH"}
    assert all(pool.address for pool in book.dex.pools)
    assert await check(actor, book) == book, "a whole book is confirmed as it is"


@pytest.mark.parametrize(
    ("part", "entry", "message"),
    [
        ("aave_v3", "pool", r"aave_v3\.pool: .* does not answer ADDRESSES_PROVIDER\(\)"),
        ("aave_v3", "oracle", r"aave_v3\.addresses_provider: .* getPriceOracle\(\) is 0x\w+, expected 0x1212"),
        ("lido", "withdrawal_queue", r"lido\.withdrawal_queue: 0x1212.* does not answer STETH"),
        ("etherfi", "liquidity_pool", r"etherfi\.liquidity_pool: 0x1212.* does not answer eETH"),
        ("uniswap_v3", "router", r"uniswap_v3\.router: 0x1212.* does not answer factory"),
        ("morpho", "morpho", r"morpho\.morpho: 0x1212.* does not answer DOMAIN_SEPARATOR"),
    ],
)
async def test_an_address_without_the_right_contract_stops_the_start(
    actor: Actor, part: str, entry: str, message: str
) -> None:
    wrong = getattr(actor.book, part).model_copy(update={entry: NOBODY})
    with pytest.raises(ConfigError, match=message):
        await check(actor, actor.book.model_copy(update={part: wrong}))


async def test_a_token_is_known_by_its_symbol_and_its_decimals(actor: Actor) -> None:
    tokens = dict(actor.book.tokens)
    swapped = actor.book.model_copy(update={"tokens": {**tokens, "USDT": tokens["WETH"]}})
    with pytest.raises(ConfigError, match=r"tokens\.USDT: .* symbol\(\) is WETH, expected USDT"):
        await check(actor, swapped)
    coarse = TokenEntry(address=tokens["USDT"].address, decimals=18)
    with pytest.raises(ConfigError, match=r"tokens\.USDT: .* decimals\(\) is 6, expected 18"):
        await check(actor, actor.book.model_copy(update={"tokens": {**tokens, "USDT": coarse}}))


async def test_a_reserve_token_or_pool_that_the_market_does_not_name_is_refused(actor: Actor) -> None:
    aave = actor.book.aave
    wrong = {**aave.reserves, "WETH": ReserveEntry(atoken=NOBODY, vdebt=aave.reserves["WETH"].vdebt)}
    part = aave.model_copy(update={"reserves": wrong})
    with pytest.raises(ConfigError, match=r"aave_v3\.reserves\.WETH\.atoken: .* expected 0x1212"):
        await check(actor, actor.book.model_copy(update={"aave_v3": part}))
    dex = actor.book.dex
    moved = (dex.pools[0].model_copy(update={"address": NOBODY}), *dex.pools[1:])
    with pytest.raises(ConfigError, match=r"the factory says 0x\w+, expected 0x1212"):
        await check(actor, actor.book.model_copy(update={"uniswap_v3": dex.model_copy(update={"pools": moved})}))
    unknown = (dex.pools[0].model_copy(update={"fee": 10_000}), *dex.pools[1:])
    with pytest.raises(ConfigError, match="the factory knows no such pool"):
        await check(actor, actor.book.model_copy(update={"uniswap_v3": dex.model_copy(update={"pools": unknown})}))
