"""From a node's URL or a sandbox's ready file to the past of Aave; loaded where somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import ConfigError
from basis_daemon.research.collect_aave import collect_reserves
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.options import ignore_note
from basis_daemon.venues.chain.aave_history import AaveHistory
from basis_daemon.venues.chain.addresses import sandbox_book, shipped
from basis_daemon.venues.chain.endpoint import EndpointOptions
from basis_daemon.venues.chain.venue import Chain, ChainOptions
from basis_daemon.wiring_chain import SandboxChainReady

MAINNET = "mainnet"
QUESTION_S = 30.0
"""An old state takes a node longer than the newest one."""


async def fetch_reserves(
    directory: Path,
    node: tuple[Path | None, Path | None],
    symbols: Sequence[str],
    span: tuple[datetime, datetime],
    on_day: Callable[[datetime], None],
) -> Mapping[str, int]:
    """``node`` is the file with a URL, or the sandbox's ready file. Raises ConfigError, VenueUnreachableError."""
    async with TaskTree("history") as tree:
        chain = await Chain.open(_options(*node), SystemClock(), tree, ignore_note)
        try:
            return await collect_reserves(directory, AaveHistory(chain.rpc, chain.book), symbols, span, on_day)
        finally:
            await chain.rpc.close()


def _options(rpc: Path | None, ready_file: Path | None) -> ChainOptions:
    if (rpc is None) == (ready_file is None):
        raise ConfigError("--aave: expected one of --rpc FILE and --sandbox-chain FILE; name the node to ask")
    if ready_file is not None:
        ready = SandboxChainReady.read(ready_file)
        endpoint = EndpointOptions("sandbox", SecretStr(ready.rpc_url), is_local=True, timeout_s=QUESTION_S)
        book = sandbox_book(ready.world_file)
        return ChainOptions([endpoint], book, book.genesis_hash or "")
    book = shipped(MAINNET)
    try:
        url = SecretStr(rpc.read_text(encoding="utf-8").strip() if rpc is not None else "")
    except OSError as error:
        raise ConfigError(f"--rpc {rpc}: {error.strerror}; name a file that holds one URL") from error
    return ChainOptions([EndpointOptions("rpc", url, timeout_s=QUESTION_S)], book, book.genesis_hash or "")
