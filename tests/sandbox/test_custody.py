"""Coin between the exchange and a chain: real clients, real transactions, and the venue's word on each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from ccxt.base import errors
from web3.types import Wei

from basis_daemon.sandbox.chain.options import ChainOptions
from basis_daemon.sandbox.chain.server import SandboxChain
from basis_daemon.sandbox.chain.world import Prepared
from basis_daemon.sandbox.exchange.accounts import AccountSpec, CapitalRow
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.venues.cex.network import SandboxNetwork, open_session
from tests.sandbox.conftest import CcxtClient, client

pytestmark = pytest.mark.slow

D = Decimal
OUR_ID = "0123456789abcdef0123456789abcdef"
PATIENCE_S = 30.0
SPEC = AccountSpec(spot=(("USDT", D(100_000)), ("ETH", D(5))))


@pytest.fixture
async def chain(tmp_path: Path, chain_world: Prepared) -> AsyncIterator[SandboxChain]:
    async with SandboxChain(ChainOptions(directory=tmp_path / "chain"), chain_world) as running:
        yield running


@pytest.fixture
async def linked(tmp_path: Path, chain: SandboxChain) -> AsyncIterator[SandboxExchange]:
    directory = tmp_path / "exchange"
    directory.mkdir()
    options = ExchangeOptions(
        directory=directory, mode="manual", accounts=(SPEC,), chain=chain.options.ready_file, confirmations=2
    )
    async with SandboxExchange(options) as running:
        running.venue.accounts[SPEC.api_key].rights["enableWithdrawals"] = True
        yield running


@pytest.fixture
async def wallet(linked: SandboxExchange) -> AsyncIterator[CcxtClient]:
    """The account's real client, which knows the venue's currencies."""
    async with open_session(SandboxNetwork(linked.port, linked.ca_file)) as session:
        opened = client("binance", session)
        opened.options["fetchCurrencies"] = True
        await opened.load_markets()
        yield opened
        await opened.close()


async def until(is_so: Callable[[], bool], chain: SandboxChain) -> None:
    """Return once it is so, while the chain goes on."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await chain.controls.mine()


async def first_deposit(wallet: CcxtClient, coin: str) -> dict[str, Any]:
    """The venue's row of a payment, once it has seen one."""
    async with asyncio.timeout(PATIENCE_S):
        while not (rows := await wallet.fetch_deposits(coin)):
            pass
    found: dict[str, Any] = rows[0]
    return found


def row_of(exchange: SandboxExchange, kind: str) -> CapitalRow:
    return next(row for row in exchange.venue.accounts[SPEC.api_key].capital if row.kind == kind)


def free(exchange: SandboxExchange, asset: str) -> Decimal:
    return exchange.venue.accounts[SPEC.api_key].holding(asset).free


async def steer(exchange: SandboxExchange, **body: object) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{exchange.control_port}") as control:
        answer = await control.post("/custody", json=body)
        assert answer.status == 200


async def user_holds(chain: SandboxChain, asset: str) -> Decimal:
    address = chain.controls.client.to_checksum_address((await chain.status())["user"])
    if asset == "ETH":
        return D(await chain.controls.client.eth.get_balance(address)).scaleb(-18)
    token = chain.controls.contracts.token(asset)
    return D(await token.functions.balanceOf(address).call()).scaleb(-6)


@pytest.mark.parametrize(("coin", "amount", "fee"), [("USDT", "250.25", "1.5"), ("ETH", "1.25", "0.0003")])
async def test_a_withdrawal_is_a_transaction_that_brings_the_amount_less_the_fee(
    linked: SandboxExchange, chain: SandboxChain, wallet: CcxtClient, coin: str, amount: str, fee: str
) -> None:
    user, before, had = (await chain.status())["user"], await user_holds(chain, coin), free(linked, coin)
    told = await wallet.withdraw(coin, amount, user, {"network": "ERC20", "withdrawOrderId": OUR_ID})
    assert free(linked, coin) == had - D(amount)
    await until(lambda: row_of(linked, "withdrawal").status == 6, chain)
    (row,) = await wallet.fetch_withdrawals(coin, None, None, {"withdrawOrderId": OUR_ID})
    assert (row["id"], row["status"], D(row["amount"])) == (told["id"], "ok", D(amount) - D(fee))
    assert D(row["fee"]["cost"]) == D(fee)
    receipt = await chain.controls.client.eth.get_transaction_receipt(row["txid"])
    assert receipt["status"] == 1
    assert await user_holds(chain, coin) == before + D(amount) - D(fee)


@pytest.mark.parametrize("coin", ["USDT", "ETH"])
async def test_a_deposit_counts_after_its_confirmations_and_not_before(
    linked: SandboxExchange, chain: SandboxChain, wallet: CcxtClient, coin: str
) -> None:
    address, had = (await wallet.fetch_deposit_address(coin, {"network": "ERC20"}))["address"], free(linked, coin)
    await chain.controls.fund("0x" + "11" * 20, ETH=1)
    sender = (await chain.controls.client.eth.accounts)[0]
    if coin == "ETH":
        sent = await chain.controls.client.eth.send_transaction(
            {"from": sender, "to": address, "value": Wei(2 * 10**18)}
        )
    else:
        sent = (
            await chain.controls.contracts.token(coin).functions.transfer(address, 2 * 10**6).transact({"from": sender})
        )
    row = await first_deposit(wallet, coin)
    assert (row["status"], row["txid"].lower(), free(linked, coin)) == ("pending", sent.to_0x_hex(), had)
    await until(lambda: row_of(linked, "deposit").status == 1, chain)
    (row,) = await wallet.fetch_deposits(coin)
    assert (row["status"], D(row["amount"]), free(linked, coin)) == ("ok", D(2), had + 2)


async def test_a_deposit_whose_block_was_taken_back_never_counts(
    linked: SandboxExchange, chain: SandboxChain, wallet: CcxtClient
) -> None:
    address = (await wallet.fetch_deposit_address("ETH", {"network": "ERC20"}))["address"]
    await chain.controls.mine(4)
    sender = (await chain.controls.client.eth.accounts)[0]
    await chain.controls.client.eth.send_transaction({"from": sender, "to": address, "value": Wei(10**18)})
    await first_deposit(wallet, "ETH")
    await chain.controls.reorg(2)
    await until(lambda: not linked.venue.accounts[SPEC.api_key].capital, chain)
    assert free(linked, "ETH") == 5


async def test_a_withdrawal_that_a_person_refuses_is_given_back_whole(
    linked: SandboxExchange, chain: SandboxChain, wallet: CcxtClient
) -> None:
    await steer(linked, hold=True)
    user = (await chain.status())["user"]
    await wallet.withdraw("USDT", "100", user, {"network": "ERC20", "withdrawOrderId": OUR_ID})
    (row,) = await wallet.fetch_withdrawals("USDT", None, None, {"withdrawOrderId": OUR_ID})
    assert (row["status"], free(linked, "USDT")) == ("pending", D(99_900))
    await steer(linked, hold=False, reject=True)
    await until(lambda: row_of(linked, "withdrawal").status == 3, chain)
    assert free(linked, "USDT") == 100_000


@pytest.mark.parametrize(
    ("amount", "address", "code"),
    [("5", "user", "-4022"), ("100.0000001", "user", "-4021"), ("100001", "user", "-4026"), ("50", "0x12", "-4007")],
)
async def test_the_venue_refuses_in_its_own_words(
    linked: SandboxExchange, chain: SandboxChain, wallet: CcxtClient, amount: str, address: str, code: str
) -> None:
    to = (await chain.status())["user"] if address == "user" else address
    with pytest.raises(errors.ExchangeError, match=code):
        await wallet.sapi_post_capital_withdraw_apply(
            {"coin": "USDT", "network": "ETH", "address": to, "amount": amount}
        )
    assert free(linked, "USDT") == 100_000


async def test_a_key_without_the_right_withdraws_nothing(
    linked: SandboxExchange, chain: SandboxChain, wallet: CcxtClient
) -> None:
    linked.venue.accounts[SPEC.api_key].rights["enableWithdrawals"] = False
    with pytest.raises(errors.AuthenticationError, match="-2015"):
        await wallet.withdraw("USDT", "100", (await chain.status())["user"], {"network": "ERC20"})


async def test_ways_are_told_with_fees_bounds_and_whether_they_are_open(
    linked: SandboxExchange, wallet: CcxtClient
) -> None:
    await steer(linked, closed=["ETH"])
    found = await wallet.fetch_currencies()
    usdt, ether = (found[coin]["networks"]["ERC20"] for coin in ("USDT", "ETH"))
    assert (usdt["withdraw"], usdt["deposit"], D(usdt["fee"])) == (True, True, D("1.5"))
    assert (D(usdt["limits"]["withdraw"]["min"]), D(usdt["precision"])) == (D(10), D("0.000001"))
    assert (ether["withdraw"], ether["deposit"]) == (False, False)


async def test_the_chains_time_follows_the_markets(tmp_path: Path, chain: SandboxChain) -> None:
    directory = tmp_path / "ahead"
    directory.mkdir()
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    options = ExchangeOptions(directory=directory, mode="manual", chain=chain.options.ready_file, start=midnight)
    async with SandboxExchange(options) as running:
        await running.advance(3600)
        async with asyncio.timeout(PATIENCE_S):
            while await head_time(chain) < midnight.timestamp() + 3600:
                pass
        assert await head_time(chain) < midnight.timestamp() + 3600 + PATIENCE_S


async def head_time(chain: SandboxChain) -> int:
    return int((await chain.controls.client.eth.get_block("latest"))["timestamp"])
