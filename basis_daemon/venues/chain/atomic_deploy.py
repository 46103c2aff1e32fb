"""The receiver is deployed once per network and address book, by an operator; everybody else finds it there."""

from __future__ import annotations

import asyncio

from eth_utils.address import to_checksum_address

from basis_daemon.domain.errors import ErrorClass, OrderRejectedError
from basis_daemon.domain.trade import OrderState
from basis_daemon.venues.chain.account import ChainAccount
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.atomic_receiver import receiver_deployment
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.transactions import TxRequest

DEPLOY_TIMEOUT_S = 600


async def deploy_receiver(
    account: ChainAccount, rpc: RpcPool, book: AddressBook, morpho: str | None, fee_cap_wei: int
) -> str:
    """Its address, where its code is now; what is there is for ``AtomicExecutionInterface.verify`` to say.

    Raises OrderRejectedError when the creation fails, VenueUnreachableError, TimeoutError while it is in no block.
    """
    ours = receiver_deployment(book, morpho)
    checked = to_checksum_address(ours.address)
    if await rpc.agreed(f"code of {ours.address}", lambda eth: eth.get_code(checked)):
        return ours.address
    name = f"deploy:{ours.address}"
    handle = await account.submit(TxRequest(name, ours.call.to, ours.call.data, 0, fee_cap_wei))
    async with asyncio.timeout(DEPLOY_TIMEOUT_S):
        row = await handle.in_chain()
    if row.state not in {OrderState.INCLUDED, OrderState.FINAL}:
        raise OrderRejectedError(f"{name}: {row.state}, expected it included", ErrorClass.RETRYABLE, "deploy")
    return ours.address
