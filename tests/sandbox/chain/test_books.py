"""The chain's own word on its user: balances by the daemon's keys, every transaction, the gas that it took."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from eth_account import Account
from web3.contract.async_contract import AsyncContractFunction
from web3.types import TxParams, Wei

from basis_daemon.sandbox.chain.options import ChainOptions
from basis_daemon.sandbox.chain.server import SandboxChain, user_of
from basis_daemon.sandbox.chain.world import Prepared

Json = dict[str, Any]
FUNDS = {"ETH": Decimal(50), "USDT": Decimal("1000.5"), "weETH": Decimal(40)}
E18 = 10**18
WEI, RAY, YEAR_S = Decimal("1e-18"), Decimal("1e27"), 365 * 86_400
VARIABLE_BORROW_RATE = 6
"""Its place in what the pool tells of a reserve."""


@pytest.fixture
async def running(tmp_path: Path, chain_world: Prepared) -> AsyncIterator[SandboxChain]:
    async with SandboxChain(ChainOptions(directory=tmp_path, funds=FUNDS), chain_world) as chain:
        yield chain


async def told(chain: SandboxChain) -> Json:
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{chain.control_port}") as session,
        session.get("/books") as answer,
    ):
        books: Json = await answer.json()
        return books


async def send(chain: SandboxChain, call: AsyncContractFunction, value: int = 0) -> None:
    """Signed by the user, mined at once, whatever its status."""
    client, user = chain.controls.client, user_of(chain.options.seed)
    params: TxParams = {
        "from": user.address, "nonce": await client.eth.get_transaction_count(user.address), "value": Wei(value),
        "gas": 2_000_000, "maxFeePerGas": Wei(10**11), "maxPriorityFeePerGas": Wei(10**9),
    }  # fmt: skip
    signed = Account.sign_transaction(await call.build_transaction(params), user.key)
    await client.eth.wait_for_transaction_receipt(await client.eth.send_raw_transaction(signed.raw_transaction))


async def grown(chain: SandboxChain, debt: Decimal, since_block: int, block: int) -> tuple[Decimal, Decimal]:
    """Between what a debt of ether has grown to by then: simple interest at the pool's rate, and continuous.

    Both to a wei and the one by which the pool rounds up.
    """
    client, contracts = chain.controls.client, chain.controls.contracts
    data = contracts.at("AaveProtocolDataProvider", "aave_v3", "data_provider").functions
    row = await data.getReserveData(contracts.token("WETH").address).call(block_identifier=since_block)
    begun, now = [(await client.eth.get_block(number))["timestamp"] for number in (since_block, block)]
    years = Decimal(now - begun) / YEAR_S
    growth = row[VARIABLE_BORROW_RATE] / RAY * years
    return debt * (1 + growth) - WEI, debt * growth.exp() + 2 * WEI


async def test_a_user_begins_with_what_was_asked_for_and_no_transaction(running: SandboxChain) -> None:
    books = await told(running)
    assert books["balances"] == {"wallet:lst:weETH": "40", "wallet:token:ETH": "50", "wallet:token:USDT": "1000.5"}
    assert (books["transactions"], books["gas_eth"], books["health_factor"]) == ([], "0", None)


async def test_what_is_lent_and_owed_stands_under_its_own_keys_and_gas_adds_up(running: SandboxChain) -> None:
    contracts, user = running.controls.contracts, user_of(running.options.seed).address
    pool = contracts.at("PoolInstance", "aave_v3", "pool")
    weeth, weth = contracts.token("weETH"), contracts.token("WETH")
    await send(running, weeth.functions.approve(pool.address, 40 * E18))
    await send(running, pool.functions.supply(weeth.address, 40 * E18, user, 0))
    await send(running, pool.functions.borrow(weth.address, 10 * E18, 2, 0, user))
    await send(running, pool.functions.borrow(weth.address, 10**6 * E18, 2, 0, user))
    await running.controls.advance(3600)
    books = await told(running)
    held, sent = books["balances"], books["transactions"]
    assert (held["aave_v3:atoken:weETH"], held["wallet:token:WETH"]) == ("40", "10")
    least, most = await grown(running, Decimal(10), sent[2]["block"], books["block"])
    assert least <= Decimal(held["aave_v3:vdebt:WETH"]) <= most
    assert [row["nonce"] for row in sent] == [0, 1, 2, 3]
    assert [row["is_success"] for row in sent] == [True, True, True, False]
    gas = sum(Decimal(row["gas_eth"]) for row in sent)
    assert (Decimal(books["gas_eth"]), Decimal(held["wallet:token:ETH"])) == (gas, 50 - gas)
    assert Decimal(books["health_factor"]) > 1


async def test_what_issuers_owe_is_told_until_it_is_paid_out(running: SandboxChain) -> None:
    contracts, user = running.controls.contracts, user_of(running.options.seed).address
    steth, queue = contracts.at("StEth", "lido", "steth"), contracts.at("WithdrawalQueue", "lido", "withdrawal_queue")
    pool, eeth = contracts.at("LiquidityPool", "etherfi", "liquidity_pool"), contracts.token("eETH")
    await send(running, steth.functions.submit("0x" + "0" * 40), 5 * E18)
    await send(running, steth.functions.approve(queue.address, 3 * E18))
    await send(running, queue.functions.requestWithdrawals([3 * E18], user))
    await send(running, pool.functions.deposit(), 4 * E18)
    await send(running, eeth.functions.approve(pool.address, 2 * E18))
    await send(running, pool.functions.requestWithdraw(user, 2 * E18))
    await running.controls.finalize("lido", Decimal("0.01"))
    claims = {key: Decimal(amount) for key, amount in (await told(running))["balances"].items() if ":claim:" in key}
    assert {key.partition(":")[0] for key in claims} == {"lido", "etherfi"}
    lido, etherfi = (next(amount for key, amount in claims.items() if key.startswith(name)) for name in ("lido", "eth"))
    assert Decimal("2.96") < lido < Decimal("2.98"), "finalised at a discount"
    assert Decimal("1.999999") < etherfi <= 2
    await send(running, queue.functions.claimWithdrawal(1))
    assert not any(key.startswith("lido") for key in (await told(running))["balances"])
