"""The running sandbox chain: a node with the world, a funded user, a control port, and how they start and stop."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson
import uvloop
from aiohttp import web
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3 as Hashing

from basis_daemon.sandbox.chain.anvil import LOOPBACK, Anvil, AnvilOptions
from basis_daemon.sandbox.chain.books import Books
from basis_daemon.sandbox.chain.control import control_app
from basis_daemon.sandbox.chain.controls import ChainControls
from basis_daemon.sandbox.chain.node import ChainError, Web3, connect, rpc
from basis_daemon.sandbox.chain.options import ChainOptions
from basis_daemon.sandbox.chain.toolchain import Progress, silent
from basis_daemon.sandbox.chain.world import Prepared, prepare
from basis_daemon.tasks import TaskTree

FRESH_BLOCKS = 10
"""A reorganisation cannot reach below the blocks that this node mined itself."""
HOLD_EVERY_S = 0.2


def user_of(seed: int) -> LocalAccount:
    """The sandbox's user; the key is as public as the seed, and worth nothing anywhere else."""
    made: LocalAccount = Account.from_key(Hashing.keccak(text=f"basis-daemon sandbox chain user {seed}"))
    return made


class SandboxChain:
    """One chain's worth of state. `start` returns once everything answers; `stop` leaves nothing behind."""

    controls: ChainControls

    def __init__(self, options: ChainOptions, prepared: Prepared) -> None:
        self.options, self.prepared = options, prepared
        self.node = Anvil(
            AnvilOptions(
                state=prepared.state,
                port=options.port,
                block_time_s=options.block_time_s,
                slots_in_an_epoch=options.slots_in_an_epoch,
            )
        )
        self._user = user_of(options.seed)
        self._client: Web3 | None = None
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()
        self._tasks = TaskTree("sandbox-chain")
        self._node_handle = -1
        self.control_port = 0

    @property
    def rpc_url(self) -> str:
        return self.node.rpc_url

    @property
    def ws_url(self) -> str:
        return self.node.ws_url

    async def start(self) -> None:
        """Start the node at today's time, fund the user, listen, and write world, key and ready file."""
        self.options.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.node.start()
        self._node_handle = os.pidfd_open(self.node.pid)
        asyncio.get_running_loop().add_reader(self._node_handle, self._stopping.set)
        self._client = connect(self.rpc_url)
        self.controls = await ChainControls.of(self._client, self.prepared)
        await rpc(self._client, "evm_setNextBlockTimestamp", int(time.time()))
        await self.controls.mine()
        await self.controls.fund(self._user.address, **self.options.funds)
        await self.controls.mine(FRESH_BLOCKS)
        await self.controls.mine()  # the fee has fallen block by block: whoever looks now sees the one that it stays at
        await self._tasks.__aenter__()
        self._tasks.spawn("base-fee", self._hold_base_fee())
        await self._listen()
        self._write()

    async def _hold_base_fee(self) -> None:
        """Nobody else bids here, so the fee would fall to nothing; it stays at what `gas` said, until cancelled."""
        seen = -1
        while self.node.is_running:
            try:
                number = await self.controls.client.eth.block_number
                if number != seen:
                    await self.controls.hold_base_fee()
                seen = number
            except aiohttp.ClientError:
                break  # the node has gone, and `stopped` says so
            await asyncio.sleep(HOLD_EVERY_S)

    async def _listen(self) -> None:
        self._runner = web.AppRunner(control_app(self), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self.options.control_port).start()
        self.control_port = int(self._runner.addresses[0][1])

    def _write(self) -> None:
        folder = self.options.directory
        _private(self.world_file, orjson.dumps(self.prepared.world, option=orjson.OPT_INDENT_2))
        _private(self.key_file, b"0x" + bytes(self._user.key).hex().encode())
        ready = {
            "rpc_url": self.rpc_url,
            "ws_url": self.ws_url,
            "control_port": self.control_port,
            "world_file": str(self.world_file.resolve()),
            "user": self._user.address,
            "user_key_file": str(self.key_file.resolve()),
            "pid": os.getpid(),
            "node_pid": self.node.pid,
        }
        unfinished = folder / "ready.new"
        _private(unfinished, orjson.dumps(ready))
        unfinished.replace(self.options.ready_file)

    @property
    def world_file(self) -> Path:
        return self.options.directory / "world.json"

    @property
    def key_file(self) -> Path:
        return self.options.directory / "user.key"

    async def stop(self) -> None:
        """Close everything; no file that speaks of a running chain stays."""
        for path in (self.options.ready_file, self.key_file):
            path.unlink(missing_ok=True)
        try:
            if self._runner is not None:
                await self._runner.cleanup()
                self._tasks.cancel_all("the chain stops")
                await self._tasks.__aexit__(None, None, None)
            if self._client is not None:
                await self._client.provider.disconnect()
        finally:
            if self._node_handle >= 0:
                asyncio.get_running_loop().remove_reader(self._node_handle)
                os.close(self._node_handle)
            self.node.stop()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as unless_started:
            unless_started.push_async_callback(self.stop)
            await self.start()
            unless_started.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def stopped(self) -> None:
        """Return when the control port or a signal asks to stop; raises `ChainError` when the node ends by itself."""
        await self._stopping.wait()
        if not self.node.is_running:
            raise ChainError("the node of the sandbox chain ended by itself")

    def ask_to_stop(self) -> None:
        self._stopping.set()

    async def status(self) -> dict[str, Any]:
        client = self.controls.client
        head = await client.eth.get_block("latest")
        return {
            "block": head["number"],
            "hash": head["hash"].to_0x_hex(),
            "time": datetime.fromtimestamp(head["timestamp"], UTC).isoformat(),
            "base_fee_gwei": f"{Decimal(head['baseFeePerGas']) / 10**9:f}",
            "user": self._user.address,
            **await self._books.lending(),
            "user_transactions": await client.eth.get_transaction_count(self._user.address),
            "rates": {protocol: str(Decimal(await self.controls.rate_wad(protocol)).scaleb(-18)) for protocol in RATED},
        }

    async def books(self) -> dict[str, Any]:
        """The user's, at the head."""
        return await self._books.told()

    @property
    def _books(self) -> Books:
        return Books(self.controls.contracts, self._user.address)


RATED = ("lido", "etherfi")


def _private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


async def serve(options: ChainOptions, prepared: Prepared, progress: Progress = silent) -> None:
    """Run one chain until SIGTERM, SIGINT or a shutdown through the control port."""
    chain = SandboxChain(options, prepared)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, chain.ask_to_stop)
    async with chain:
        progress(f"ready: {chain.rpc_url}")
        await chain.stopped()


def run_chain(options: ChainOptions, progress: Progress = silent) -> None:
    """Blocking form for the command line; raises `ToolchainError` or `ChainError` in words."""
    prepared = prepare(progress)
    uvloop.run(serve(options, prepared, progress))
