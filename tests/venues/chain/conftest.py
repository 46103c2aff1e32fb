"""The account of a test on the sandbox chain, with a book that the chain has confirmed; and a node that may lie."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from eth_account.signers.local import LocalAccount

from basis_daemon.venues.chain.address_check import verified
from basis_daemon.venues.chain.addresses import AddressBook, sandbox_book
from tests.chain_support import BareChain, Chain
from tests.venues.chain.actor import Actor
from tests.venues.chain.proxy import ProxyNode
from tests.venues.chain.trader import Trader, trading

FUNDS = {"WETH": 500, "USDT": 1_000_000, "wstETH": 200, "weETH": 200}


@pytest.fixture
def claimed_book(chain: Chain, tmp_path: Path) -> AddressBook:
    """What the world file says, which nobody has checked yet."""
    world = tmp_path / "world.json"
    world.write_text(json.dumps(chain.world), encoding="utf-8")
    return sandbox_book(world)


@pytest.fixture
async def key(chain: Chain) -> LocalAccount:
    """Of an account that has something of everything."""
    return await chain.account(eth=1_000, **FUNDS)


@pytest.fixture
async def trader(chain: Chain, actor: Actor, key: LocalAccount) -> AsyncIterator[Trader]:
    async with trading(chain, actor, key) as trader:
        yield trader


@pytest.fixture
async def actor(chain: Chain, claimed_book: AddressBook, key: LocalAccount) -> Actor:
    actor = Actor(chain.client, chain.controls, claimed_book, key.address)
    actor.book = await verified(actor.reader, await actor.head(), claimed_book)
    return actor


@pytest.fixture
async def proxy(bare_chain: BareChain) -> AsyncIterator[ProxyNode]:
    """A second face of the bare chain's node, honest until told otherwise."""
    async with ProxyNode(bare_chain.rpc_url) as node:
        yield node
