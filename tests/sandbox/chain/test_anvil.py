"""The node: ready when it says so, gone when it must, and clear about what is missing."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from basis_daemon.sandbox.chain.anvil import CHAIN_ID, Anvil, AnvilOptions
from basis_daemon.sandbox.chain.node import connect, rpc
from basis_daemon.sandbox.chain.toolchain import ToolchainError, install
from tests.chain_support import BareChain


async def test_a_node_answers_as_soon_as_its_context_is_entered(bare_chain: BareChain) -> None:
    assert await bare_chain.client.eth.chain_id == CHAIN_ID
    assert await bare_chain.client.eth.block_number == 0


async def test_two_nodes_live_side_by_side_on_ports_of_their_own(bare_chain: BareChain) -> None:
    async with Anvil() as other:
        client = connect(other.rpc_url)
        assert other.port != bare_chain.node.port
        assert await client.eth.chain_id == CHAIN_ID
        await client.provider.disconnect()


@pytest.mark.usefixtures("chain_packages")
def test_a_node_is_gone_after_its_context() -> None:
    with Anvil() as node:
        pid = node.pid
    assert not node.is_running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.usefixtures("chain_packages")
def test_a_node_does_not_survive_the_sigkill_of_its_parent() -> None:
    code = (
        "from basis_daemon.sandbox.chain.anvil import Anvil; import signal\n"
        "node = Anvil(); node.start(); print(node.pid, flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        handle = os.pidfd_open(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert _ended(handle)
        os.close(handle)


def _ended(handle: int) -> bool:
    """Whether the process ends within five seconds: a pidfd becomes readable when it does."""
    return bool(select.select([handle], [], [], 5)[0])


@pytest.mark.usefixtures("chain_packages")
async def test_a_node_leaves_nothing_on_the_disk() -> None:
    async with Anvil(AnvilOptions(history_blocks=4)) as node:
        client, scratch = connect(node.rpc_url), node.scratch
        await rpc(client, "anvil_mine", "0x20")
        assert [path for path in scratch.rglob("*") if path.is_file()] == []
        await client.provider.disconnect()
    assert not scratch.exists()


def test_a_missing_binary_is_said_in_words() -> None:
    with pytest.raises(ToolchainError, match=r"nowhere/anvil cannot be started: No such file or directory"):
        Anvil(AnvilOptions(binary=Path("nowhere/anvil"))).start()


@pytest.mark.usefixtures("chain_packages")
def test_a_node_that_refuses_its_arguments_is_quoted() -> None:
    with pytest.raises(ToolchainError, match=r"anvil did not listen .* it said: .*unexpected argument '-1'"):
        Anvil(AnvilOptions(slots_in_an_epoch=-1)).start()


def test_without_node_js_the_message_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "from basis_daemon.sandbox.chain.toolchain import *\n"
        "try: install()\n"
        "except ToolchainError as error: print(error)"
    )
    env = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert "`npm` is not on PATH" in done.stdout
    assert "install Node.js 20 or newer" in done.stdout


def test_an_installation_is_found_again(chain_packages: Path) -> None:
    said: list[str] = []
    assert install(said.append) == chain_packages
    assert said == []
