"""A wallet set up by hand: chain, signer and journal held as a daemon holds them, and no engine."""

from __future__ import annotations

from contextlib import AsyncExitStack

from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import ConfigError
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import recover
from basis_daemon.ports import pass_by
from basis_daemon.settings import Settings
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.venue import ChainWallet
from basis_daemon.wiring_chain import open_purse, surroundings, tell_nobody, wallet_leases
from basis_daemon.wiring_journal import open_journal


async def deploy(settings: Settings) -> str:
    """The address of the receiver of atomic groups, on the chain from now on. The daemon must be stopped.

    Raises ConfigError, VenueUnreachableError, OrderRejectedError, and what keeps the wallet from signing.
    """
    clock = SystemClock()
    async with TaskTree("deploy") as tree, AsyncExitStack() as stack:
        for lease in wallet_leases(settings):
            stack.enter_context(lease)
        purse = await open_purse(settings, clock, tree, tell_nobody)
        if purse is None:
            raise ConfigError("chain: found nothing, expected the section of a chain that is enabled")
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        journal = open_journal(settings, clock)
        stack.push_async_callback(journal.close)
        recorder = Recorder(recover(journal), journal)
        around = surroundings(recorder, journal, clock, tree, tell_nobody, pass_by)
        wallet = ChainWallet(purse.chain, purse.signer, (), around)
        await wallet.feed().start()
        address = await wallet.deploy_receiver()
        await recorder.flush()
        await purse.chain.rpc.close()
        tree.cancel_all("deployed")
    return address
