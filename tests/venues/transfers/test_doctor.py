"""What doctor says of transfers before any money goes: the exchange is asked, and nothing is changed there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.domain.check import Light
from basis_daemon.sandbox.chain.world import Prepared
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.checkup import examine
from basis_daemon.venues.cex.network import SandboxNetwork
from basis_daemon.venues.cex.options import CustodyWish
from basis_daemon.venues.cex.venue import CEXVenue
from tests.venues.rig import QUIET
from tests.venues.transfers.bridge_rig import D, Ground

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def ground(tmp_path: Path, chain_world: Prepared) -> AsyncIterator[Ground]:
    async with Ground(tmp_path, chain_world) as one:
        yield one


async def lines(ground: Ground, *, first_max: Decimal = D(50), **changes: str) -> dict[str, Light]:
    """The lights of the lines about transfers."""
    addresses = {"deposit_address": ground.deposit_address, "wallet": ground.wallet_address} | changes
    wish = CustodyWish(**addresses, first_max={"USDT": first_max})
    network = SandboxNetwork(ground.exchange.port, ground.exchange.ca_file)
    rights = frozenset({"trade", "transfer", "withdraw"})
    options = replace(QUIET, network=network, rights=rights, custody=wish)
    async with TaskTree("doctor") as tree:
        found = await examine(CEXVenue(BINANCE, options, SystemClock()), "binance", tree)
        tree.cancel_all("examined")
    return {check.name.partition(".")[2]: check.light for check in found}


async def test_everything_as_the_address_book_has_it_is_green(ground: Ground) -> None:
    await ground.steer(whitelist=[["USDT", ground.wallet_address]])
    said = await lines(ground)
    assert {said[name] for name in ("rights", "deposit_address", "ways", "whitelist")} == {Light.GREEN}


async def test_another_address_than_the_exchange_names_is_red(ground: Ground) -> None:
    assert (await lines(ground, deposit_address="0x" + "ab" * 20))["deposit_address"] is Light.RED


async def test_a_wallet_that_is_not_on_the_whitelist_and_a_closed_way_are_told(ground: Ground) -> None:
    await ground.steer(closed=["USDT"], whitelist=[["USDT", "0x" + "cd" * 20]])
    said = await lines(ground)
    assert (said["whitelist"], said["ways"]) == (Light.YELLOW, Light.YELLOW)


async def test_a_first_transfer_that_the_exchange_would_not_take_is_red(ground: Ground) -> None:
    assert (await lines(ground, first_max=D(5)))["ways"] is Light.RED


async def test_a_key_that_may_not_withdraw_is_red_where_transfers_are_asked_for(ground: Ground) -> None:
    ground.account.rights["enableWithdrawals"] = False
    assert (await lines(ground))["rights"] is Light.RED
