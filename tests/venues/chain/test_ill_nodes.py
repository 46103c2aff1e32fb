"""A node that answers what is no answer: it is at fault, whatever was asked, and nobody takes its word."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from eth_utils.address import to_checksum_address
from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.sandbox.chain.rpc_port import MISFITS, RpcPort
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.endpoint import ChainIdentity, EndpointOptions, Header, newest_header
from basis_daemon.venues.chain.fees import FeePolicy
from basis_daemon.venues.chain.gas import GasDesk
from basis_daemon.venues.chain.receipts import count_at, finalized, where_is, who_used
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.transactions import TxRequest

HASH, OWNER = "0x" + 64 * "1", to_checksum_address("0x" + 40 * "2")
GENESIS, HEAD = "0x" + 64 * "3", BlockRef(5, "0x" + 64 * "5", datetime(2026, 1, 5, tzinfo=UTC))
HEADER = Header(HEAD, HASH, 10**9)
BLOCK = {"number": "0x5", "hash": HEAD.hash, "parentHash": HASH, "timestamp": "0x1", "baseFeePerGas": "0x1"}
RECEIPT = {"transactionHash": HASH, "from": OWNER, "blockHash": HEAD.hash, "blockNumber": "0x5", "status": "0x1",
           "gasUsed": "0x1", "effectiveGasPrice": "0x1", "logs": []}  # fmt: skip
SOUND: dict[str, Any] = {"eth_chainId": "0x7", "eth_call": "0x", "eth_getTransactionReceipt": RECEIPT}
REQUEST = TxRequest("order", OWNER, b"", 0, 10**12)

Asked = Callable[[RpcPool], Awaitable[object]]
QUESTIONS: dict[str, tuple[str, Asked]] = {
    "nonces": ("eth_getTransactionCount", lambda pool: pool.ask("nonce", count_at(OWNER, HEAD))),
    "newest": ("eth_getBlockByNumber", lambda pool: pool.ask("newest", newest_header)),
    "finalized": ("eth_getBlockByNumber", lambda pool: pool.ask("finalized", finalized)),
    "block of a receipt": ("eth_getBlockByHash", lambda pool: pool.agreed("receipt", where_is(OWNER, [HASH]))),
    "user of a nonce": ("eth_getBlockByNumber", lambda pool: pool.agreed("user", who_used(OWNER, 1, HEAD))),
    "fees": ("eth_feeHistory", lambda pool: GasDesk(pool, FeePolicy()).fresh(HEADER)),
    "gas": ("eth_estimateGas", lambda pool: GasDesk(pool, FeePolicy()).simulated(OWNER, REQUEST, "latest")),
}


class Node:
    """Sound until it is ``ill`` in some methods, and then it says the same whatever is asked."""

    def __init__(self, says: object) -> None:
        self.ill: frozenset[str] = frozenset()
        self.says = says

    def answer(self, method: str, params: list[Any]) -> dict[str, Any]:
        if method in self.ill:
            return {"result": self.says}
        genesis = {"number": "0x0", "hash": GENESIS}
        return {"result": genesis if params[:1] == ["0x0"] else SOUND.get(method, BLOCK)}


async def asked(node: Node, then: Callable[[RpcPool], Awaitable[None]]) -> None:
    port = RpcPort(node.answer, lambda _: None)
    await port.start(0)
    async with TaskTree("nodes") as tree:
        options = EndpointOptions("only", SecretStr(port.url), is_local=True)
        pool = RpcPool([options], ChainIdentity(7, GENESIS), SystemClock(), tree)
        await pool.start()
        try:
            await then(pool)
        finally:
            await pool.close()
    await port.stop()


@pytest.mark.fault("F41")
@pytest.mark.parametrize("says", MISFITS, ids=repr)
@pytest.mark.parametrize("what", QUESTIONS)
def test_an_answer_that_is_none_is_silence_and_no_error_of_our_own(what: str, says: object) -> None:
    node, (method, ask) = Node(says), QUESTIONS[what]

    async def then(pool: RpcPool) -> None:
        node.ill = frozenset({method})
        with pytest.raises(VenueUnreachableError):
            await ask(pool)

    asyncio.run(asked(node, then))


@pytest.mark.fault("F41")
@pytest.mark.parametrize("says", MISFITS, ids=repr)
@pytest.mark.parametrize("method", ["eth_chainId", "eth_getBlockByNumber"])
def test_a_node_that_cannot_say_which_chain_it_serves_is_asked_again_and_not_banned(method: str, says: object) -> None:
    node = Node(says)

    async def then(pool: RpcPool) -> None:
        node.ill = frozenset({method, "eth_getTransactionCount"})
        with pytest.raises(VenueUnreachableError):
            await pool.ask("nonce", count_at(OWNER, HEAD))
        await pool.survey()  # after a fault it has to say so again
        node.ill = frozenset()
        await pool.survey()
        assert (await pool.ask("newest", newest_header)).block.number == HEAD.number

    asyncio.run(asked(node, then))
