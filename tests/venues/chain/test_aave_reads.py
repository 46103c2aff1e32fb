"""Reads at one block agree with the contracts, and our arithmetic with theirs to the last unit."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.domain.lending_account import lending_report
from basis_daemon.sandbox.chain.node import rpc
from basis_daemon.venues.chain import aave
from basis_daemon.venues.chain.aave_reads import read_account, read_emode, read_reserves
from basis_daemon.venues.chain.abi import function
from basis_daemon.venues.chain.erc20 import APPROVE
from basis_daemon.venues.chain.seams import Questions
from basis_daemon.venues.chain.tokens import atoken, units_of, vdebt
from tests.venues.chain.actor import Actor

SYMBOLS = ("USDT", "WETH", "wstETH", "weETH")
HELD = {"USDT": Decimal(1_000_000), "WETH": Decimal(500), "wstETH": Decimal(200), "weETH": Decimal(200)}
USD = {"USDT": Decimal(1), "WETH": Decimal(2_500), "wstETH": Decimal(3_000), "weETH": Decimal(2_670)}


@dataclass(frozen=True, slots=True)
class RandomBook:
    """A book in shares of what the account holds and of what it may borrow, per mille."""

    supplied: dict[str, int]
    borrowed: dict[str, int]
    odd_units: int
    emode: int
    seconds: int
    eth_usd: Decimal
    lst_factor: Decimal


def books() -> st.SearchStrategy[RandomBook]:
    share = st.fixed_dictionaries(
        {"weETH": st.integers(200, 1_000)},
        optional={symbol: st.integers(1, 1_000) for symbol in ("USDT", "WETH", "wstETH")},
    )
    return st.builds(
        RandomBook,
        supplied=share,
        borrowed=st.dictionaries(st.sampled_from(("USDT", "WETH")), st.integers(1, 600), min_size=1),
        odd_units=st.integers(0, 999_983),
        emode=st.sampled_from((0, 0, 1, 2)),
        seconds=st.integers(1, 40_000_000),
        eth_usd=st.decimals(Decimal(1_500), Decimal(5_000), places=8),
        lst_factor=st.decimals(Decimal("0.96"), Decimal("1.02"), places=6),
    )


async def build(actor: Actor, wanted: RandomBook) -> None:
    """What of the book the pool lets us build; a refusal leaves it as it is."""
    book, owner = actor.book, actor.address
    if wanted.emode:
        await actor.send(aave.set_emode(book, wanted.emode))
    worth = Decimal(0)
    for symbol, share in wanted.supplied.items():
        token = book.token(symbol)
        units = units_of(HELD[symbol] * share / 1_000, token.decimals) - wanted.odd_units
        await actor.send(APPROVE(token.address, book.aave.pool, units))
        await actor.send(aave.supply(book, symbol, units, owner))
        worth += token.amount(units) * USD[symbol]
    for symbol, share in wanted.borrowed.items():
        token = book.token(symbol)
        units = units_of(worth * share / 1_000 / USD[symbol], token.decimals) + wanted.odd_units
        await actor.send(aave.borrow(book, symbol, units, owner))
    await actor.controls.advance(wanted.seconds)
    await actor.controls.price("WETH", usd=wanted.eth_usd)
    await actor.controls.price("wstETH", factor=wanted.lst_factor)


@pytest.mark.feature("X09")
@pytest.mark.feature("K02")
@given(wanted=books())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_equity_ltv_and_health_factor_are_the_pools_own_to_the_last_unit(
    actor: Actor, wanted: RandomBook
) -> None:
    before = await rpc(actor.client, "evm_snapshot")
    try:
        await build(actor, wanted)
        block = await actor.head()
        told = await read_account(actor.reader, block, actor.book, actor.address)
        reserves = await read_reserves(actor.reader, block, actor.book, SYMBOLS, 0)
        emode = told.report.emode
        terms = await read_emode(actor.reader, block, actor.book, emode, "weETH", 0) if emode else None
        ours = lending_report(
            actor.address,
            supplied={symbol: told.balances[atoken(symbol)] for symbol in SYMBOLS},
            borrowed={symbol: told.balances[vdebt(symbol)] for symbol in SYMBOLS},
            collaterals=told.collaterals,
            reserves={tick.instrument.symbol: tick for tick in reserves},
            emode=terms,
        )
        event(f"e-mode {emode}, {'with' if ours.debt else 'without'} debt")
        assert ours == told.report
    finally:
        assert await rpc(actor.client, "evm_revert", before)


async def test_a_reserve_is_read_as_its_own_contracts_tell_it(actor: Actor) -> None:
    (tick,) = await read_reserves(actor.reader, await actor.head(), actor.book, ["WETH"], 7)
    data = actor.controls.contracts.at("AaveProtocolDataProvider", "aave_v3", "data_provider").functions
    weth = actor.book.token("WETH").address
    caps, shape = await data.getReserveCaps(weth).call(), await data.getReserveConfigurationData(weth).call()
    state = await data.getReserveData(weth).call()
    assert (tick.borrow_cap, tick.supply_cap) == (caps[0], caps[1])
    assert (tick.ltv * 10_000, tick.liquidation_threshold * 10_000, tick.reserve_factor * 10_000) == (
        shape[1],
        shape[2],
        shape[4],
    )
    assert (tick.liquidation_bonus + 1) * 10_000 == shape[3]
    assert (tick.supply_rate * 10**27, tick.borrow_rate * 10**27) == (state[5], state[6])
    assert tick.debt * 10**18 == state[4]
    assert tick.received_ns == 7
    assert tick.is_active
    assert tick.is_borrowable
    assert not tick.is_paused
    assert not tick.is_frozen


async def test_the_curve_that_is_read_gives_the_rate_that_the_pool_charges(actor: Actor) -> None:
    (tick,) = await read_reserves(actor.reader, await actor.head(), actor.book, ["WETH"], 0)
    assert abs(tick.curve.borrow_rate(tick.utilisation) - tick.borrow_rate) < Decimal("1e-6")


@pytest.mark.feature("D03")
async def test_a_pinned_read_knows_nothing_of_what_came_later(actor: Actor) -> None:
    pinned = await actor.head()
    before = await read_reserves(actor.reader, pinned, actor.book, SYMBOLS, 0)
    await actor.controls.price("WETH", usd=Decimal(1_234))
    await actor.controls.advance(100_000)
    again = await read_reserves(actor.reader, pinned, actor.book, SYMBOLS, 0)
    now = await read_reserves(actor.reader, await actor.head(), actor.book, SYMBOLS, 0)
    assert again == before
    assert {tick.block for tick in before} == {pinned}, "every figure of one picture is of one block"
    assert next(tick for tick in now if tick.instrument == atoken("WETH")).price == 1_234
    assert all(late.liquidity_index >= early.liquidity_index for early, late in zip(before, now, strict=True))


@pytest.mark.feature("D03")
async def test_a_read_that_fails_is_unknown_and_never_zero(actor: Actor) -> None:
    questions = Questions()
    nobody = questions.ask(function("totalSupply() -> (uint256)"), "0x" + "12" * 20)
    await questions.put(actor.reader, await actor.head())
    with pytest.raises(VenueUnreachableError, match="totalSupply"):
        _ = nobody.value
    with pytest.raises(VenueUnreachableError, match="never answered"):
        _ = Questions().ask(function("totalSupply() -> (uint256)"), "0x" + "12" * 20).value


async def test_an_emode_names_its_collaterals_and_what_it_lends(actor: Actor) -> None:
    labels = actor.controls.world["aave_v3"]["emodes"]
    for number, label in labels.items():
        collateral, lends = label.split("/")
        tick = await read_emode(actor.reader, await actor.head(), actor.book, int(number), collateral, 0)
        assert tick.instrument == atoken(collateral)
        assert collateral in tick.collaterals
        assert tick.borrowables == {lends}
        assert tick.ltv < tick.liquidation_threshold < 1
