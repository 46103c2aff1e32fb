"""A wallet set up by hand: chain, signer and journal held as a daemon holds them, and no engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import ConfigError
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import recover
from basis_daemon.ports import pass_by
from basis_daemon.settings import Settings
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.account import Adopted
from basis_daemon.venues.chain.venue import ChainWallet
from basis_daemon.wiring_chain import Purse, open_purse, surroundings, tell_nobody, wallet_leases
from basis_daemon.wiring_journal import open_journal
from basis_daemon.wiring_transactions import TransactionJournal


@asynccontextmanager
async def held_wallet(settings: Settings) -> AsyncIterator[tuple[ChainWallet, Purse]]:
    """The wallet and where it lives, leased, over the daemon's journal; flushed at the end. The daemon must be stopped.

    Raises ConfigError, VenueUnreachableError, SecondDaemonError, JournalError.
    """
    clock = SystemClock()
    async with TaskTree("wallet") as tree, AsyncExitStack() as stack:
        for lease in wallet_leases(settings):
            stack.enter_context(lease)
        purse = await open_purse(settings, clock, tree, tell_nobody)
        if purse is None:
            raise ConfigError("chain: found nothing, expected the section of a chain that is enabled")
        stack.push_async_callback(purse.chain.rpc.close)
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        journal = open_journal(settings, clock)
        stack.push_async_callback(journal.close)
        recorder = Recorder(recover(journal), journal)
        transactions = TransactionJournal(recorder, journal)
        around = surroundings(recorder, journal, transactions, clock, tree, tell_nobody, pass_by)
        yield ChainWallet(purse.chain, purse.signer, (), around), purse
        await recorder.flush()
        tree.cancel_all("done")


async def deploy(settings: Settings) -> str:
    """The address of the receiver of atomic groups, on the chain from now on.

    Raises like ``held_wallet``, OrderRejectedError, and what keeps the wallet from signing.
    """
    async with held_wallet(settings) as (wallet, _):
        await wallet.feed().start()
        return await wallet.deploy_receiver()


async def adopt(settings: Settings, why: str) -> Adopted:
    """Take the chain's nonce as the wallet's own after another hand used its key. Raises like ``held_wallet``."""
    async with held_wallet(settings) as (wallet, _):
        return await wallet.account.adopt(why)
