"""The wallet's commands against a chain: set up once, and taken back after another hand used its key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from typer.testing import CliRunner
from web3.types import Nonce, TxParams, Wei

from basis_daemon.cli import app
from basis_daemon.cli.answers import ExitCode
from basis_daemon.demo.configuration import SANDBOX_CHAIN_CONFIG, written_over
from basis_daemon.sandbox.chain.options import ChainOptions
from basis_daemon.sandbox.chain.server import SandboxChain, user_of
from basis_daemon.sandbox.chain.world import Prepared

pytestmark = pytest.mark.slow
Json = dict[str, Any]


@pytest.fixture
async def chain(tmp_path: Path, chain_world: Prepared) -> AsyncIterator[SandboxChain]:
    options = ChainOptions(directory=tmp_path / "chain", funds={"ETH": Decimal(50)})
    async with SandboxChain(options, chain_world) as chain:
        changes = {"data_dir": str(tmp_path / "book"), "sandbox.chain_ready_file": str(options.ready_file)}
        (tmp_path / "daemon.yaml").write_text(written_over(SANDBOX_CHAIN_CONFIG, changes), encoding="utf-8")
        yield chain


async def wallet(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and answer of ``basis-daemon wallet``, which runs on a thread because it has a loop of its own."""
    line = ("wallet", *words, "--json", "--config", str(folder / "daemon.yaml"))
    async with asyncio.timeout(60):
        said = await asyncio.to_thread(CliRunner().invoke, app, line)
    return said.exit_code, said.stdout


async def spend(chain: SandboxChain, nonce: int) -> None:
    """Somebody with the wallet's key moves a wei with it."""
    user = user_of(chain.options.seed)
    fields: TxParams = {
        "type": 2, "chainId": 31337, "nonce": Nonce(nonce), "to": user.address, "value": Wei(1), "gas": 21_000,
        "maxFeePerGas": Wei(10**11), "maxPriorityFeePerGas": Wei(10**9),
    }  # fmt: skip
    signed = Account.sign_transaction(fields, user.key)
    await chain.controls.client.eth.send_raw_transaction(signed.raw_transaction)
    await chain.controls.mine()


@pytest.mark.feature("X01", part="adopt")
@pytest.mark.fault("F36")
async def test_a_wallet_whose_key_another_hand_used_is_taken_back_by_a_command(
    tmp_path: Path, chain: SandboxChain
) -> None:
    code, answer = await wallet(tmp_path, "deploy")
    receiver = json.loads(answer)["receiver"]
    assert (code, await chain.controls.client.eth.get_code(receiver) != b"") == (ExitCode.OK, True)
    await spend(chain, 1)
    code, complaint = await wallet(tmp_path, "deploy")
    assert code == ExitCode.FAILED_CHECK
    assert "nonce 1 belongs to another hand" in complaint
    assert "basis-daemon wallet adopt" in complaint
    code, answer = await wallet(tmp_path, "adopt", "--why", "moved a wei by hand")
    assert (code, json.loads(answer)) == (ExitCode.OK, {"nonce": 2, "foreign": 1, "orders": []})
    code, answer = await wallet(tmp_path, "deploy")
    assert (code, json.loads(answer)["receiver"]) == (ExitCode.OK, receiver)
