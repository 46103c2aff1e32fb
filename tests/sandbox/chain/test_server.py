"""The chain as a product: ready files, the control port, and an end that leaves nothing behind."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from eth_account import Account

from basis_daemon.sandbox.chain.node import ChainError, connect
from basis_daemon.sandbox.chain.options import ChainOptions
from basis_daemon.sandbox.chain.server import SandboxChain
from basis_daemon.sandbox.chain.world import Prepared

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "basis_daemon", "sandbox", "chain"]


@pytest.fixture
async def running(tmp_path: Path, chain_world: Prepared) -> AsyncIterator[SandboxChain]:
    async with SandboxChain(ChainOptions(directory=tmp_path), chain_world) as chain:
        yield chain


@pytest.fixture
async def control(running: SandboxChain) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{running.control_port}") as session:
        yield session


async def _post(control: aiohttp.ClientSession, action: str, **body: object) -> tuple[int, dict[str, Any]]:
    async with control.post(f"/{action}", json=body) as answer:
        return answer.status, await answer.json()


async def test_the_ready_file_leads_to_a_funded_user_whom_nobody_else_can_read(running: SandboxChain) -> None:
    ready = orjson.loads(running.options.ready_file.read_bytes())
    files = (running.options.ready_file, Path(ready["user_key_file"]), Path(ready["world_file"]))
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * 3
    user = Account.from_key(files[1].read_text())
    assert user.address == ready["user"]
    client = connect(ready["rpc_url"])
    assert await client.eth.get_balance(user.address) == 1000 * 10**18
    assert orjson.loads(files[2].read_bytes())["chain_id"] == await client.eth.chain_id
    await client.provider.disconnect()


async def test_the_chains_time_is_today(running: SandboxChain) -> None:
    head = await running.controls.client.eth.get_block("latest")
    assert head["timestamp"] >= running.options.ready_file.stat().st_mtime - 3600


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("price", {"token": "ETH", "usd": 2000}),
        ("price", {"token": "weETH", "factor": "0.96"}),
        ("rebase", {"protocol": "etherfi", "factor": "0.99"}),
        ("finalize", {"protocol": "lido", "discount": "0.01"}),
        ("rates", {"asset": "WETH", "borrow_apr": 0.3}),
        ("utilisation", {"asset": "USDT", "share": "0.99"}),
        ("pause", {"reserve": "WETH", "on": True}),
        ("pause", {"issuer": "etherfi", "on": True}),
        ("freeze", {"reserve": "USDT", "on": True}),
        ("caps", {"reserve": "weETH", "supply": 1}),
        ("reward", {"account": "0x" + "11" * 20, "amount": "3.5"}),
        ("slash", {"fraction": "0.1"}),
        ("mine", {"blocks": 3}),
        ("time", {"advance_s": 86400}),
        ("pool_price", {"pool": "weETH/WETH", "factor": "0.95"}),
        ("reorg", {"depth": 3}),
        ("gas", {"base_fee_gwei": 40}),
        ("fund", {"account": "0x" + "11" * 20, "ETH": 1, "weETH": "2.5"}),
    ],
)
async def test_every_action_of_the_control_port_acts(
    control: aiohttp.ClientSession, action: str, body: dict[str, object]
) -> None:
    status, answer = await _post(control, action, **body)
    assert (status, "error" in answer) == (200, False), answer


@pytest.mark.parametrize(
    ("action", "body", "status", "said"),
    [
        ("price", {"token": "BTC", "usd": 1}, 400, "asset: one of WETH, USDT, wstETH, weETH, found 'BTC'"),
        ("price", {"usd": 1}, 400, "token is a text, found None"),
        ("rates", {"asset": "WETH"}, 400, "borrow_apr is missing"),
        ("rates", {"asset": "WETH", "borrow_apr": "much"}, 400, "borrow_apr is a number, found 'much'"),
        ("pause", {"reserve": "WETH"}, 400, "on is true or false, found None"),
        ("finalize", {"protocol": "rocket"}, 400, "protocol: lido or etherfi, found 'rocket'"),
        ("reorg", {"depth": 99999}, 409, "Reorg depth must not exceed current chain height"),
        ("fund", {"account": "0x" + "11" * 20, "GOLD": 1}, 400, "fund: ETH or one of USDT, WETH"),
        ("dance", {}, 404, "action: one of price, rebase"),
    ],
)
async def test_what_cannot_be_done_is_said_in_words(
    control: aiohttp.ClientSession, action: str, body: dict[str, object], status: int, said: str
) -> None:
    found, answer = await _post(control, action, **body)
    assert found == status
    assert said in answer["error"]


async def test_a_claim_can_be_asked_for_again(control: aiohttp.ClientSession) -> None:
    account = "0x" + "11" * 20
    _, answer = await _post(control, "reward", account=account, amount=100)
    async with control.get("/claims") as told:
        assert await told.json() == {"claims": {account: answer["claim"]}}
    assert answer["claim"]["tokenLeaves"][0]["cumulativeEarnings"] == 100 * 10**18


async def test_the_base_fee_stays_where_it_was_put(control: aiohttp.ClientSession, running: SandboxChain) -> None:
    await _post(control, "gas", base_fee_gwei=40)
    async with control.get("/status") as answer:
        assert (await answer.json())["base_fee_gwei"] == "40"
    await running.controls.hold_base_fee()
    await _post(control, "mine", blocks=1)
    assert (await running.controls.client.eth.get_block("latest"))["baseFeePerGas"] == 40 * 10**9


async def test_blocks_come_by_themselves_where_they_have_a_time(tmp_path: Path, chain_world: Prepared) -> None:
    options = ChainOptions(directory=tmp_path, block_time_s=0.1, slots_in_an_epoch=1)
    async with SandboxChain(options, chain_world) as chain, asyncio.timeout(20):
        client = chain.controls.client
        number = await client.eth.block_number
        while await client.eth.block_number < number + 5:
            pass
        assert (await client.eth.get_block("finalized"))["number"] >= number + 2
        await chain.controls.price("ETH", usd=Decimal(2400))
        feed = chain.controls.contracts.at("PriceFeed", "feeds", "WETH")
        assert await feed.functions.latestAnswer().call() == 2400 * 10**8


async def test_the_death_of_the_node_ends_the_chain_with_an_error(running: SandboxChain) -> None:
    running.node.kill()
    async with asyncio.timeout(10):
        with pytest.raises(ChainError, match="the node of the sandbox chain ended by itself"):
            await running.stopped()


@pytest.mark.feature("Y04", part="local")
@pytest.mark.usefixtures("chain_world")
def test_sigterm_ends_the_command_with_its_node_and_its_files(tmp_path: Path) -> None:
    with subprocess.Popen([*COMMAND, "--directory", str(tmp_path)], stderr=subprocess.PIPE, text=True) as command:
        assert command.stderr is not None
        assert any(line.startswith("ready: http://127.0.0.1:") for line in iter(command.stderr.readline, ""))
        ready = orjson.loads((tmp_path / "ready.json").read_bytes())
        node = os.pidfd_open(ready["node_pid"])
        command.send_signal(signal.SIGTERM)
        assert command.wait(20) == 0
        assert select.select([node], [], [], 5)[0]
        os.close(node)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["world.json"]


def test_without_node_js_the_command_says_what_to_install(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [*COMMAND, "--directory", str(tmp_path)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "install Node.js 20 or newer" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
