"""What a transaction costs and whether it goes through, asked before it is signed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from eth_utils.address import to_checksum_address
from eth_utils.conversions import to_hex
from hexbytes import HexBytes
from web3.eth import AsyncEth
from web3.exceptions import ContractLogicError
from web3.types import TxParams, Wei

from basis_daemon.domain.errors import ErrorClass, OrderRejectedError
from basis_daemon.venues.chain.endpoint import Header, whole
from basis_daemon.venues.chain.errors import NodeRefusalError, SimulationRevertedError
from basis_daemon.venues.chain.fees import FeePolicy, Fees, fresh_fees
from basis_daemon.venues.chain.rpc import Question, RpcPool
from basis_daemon.venues.chain.transactions import TxRequest

_MARGIN_NUMERATOR, _MARGIN_DENOMINATOR = 115, 100
"""On the estimate: interest accrues between simulation and inclusion, and storage that was warm may be cold."""
State = Literal["latest", "pending"]


class GasDesk:
    """Fees of the present block, and the simulation that every transaction passes."""

    def __init__(self, rpc: RpcPool, policy: FeePolicy) -> None:
        self._rpc = rpc
        self.policy = policy
        self._tips: tuple[str, list[int]] = ("", [])

    async def fresh(self, head: Header) -> Fees:
        """What gets a transaction in soon after ``head``. Raises VenueUnreachableError."""
        if self._tips[0] != head.block.hash:
            self._tips = head.block.hash, await self._rpc.ask("fee history", self._paid_tips)
        return fresh_fees(head.base_fee_wei, self._tips[1], self.policy)

    async def _paid_tips(self, eth: AsyncEth) -> list[int]:
        history = await eth.fee_history(self.policy.history_blocks, "latest", [self.policy.tip_percentile])
        if not isinstance(history, Mapping):
            raise TypeError(f"fee history {history!r:.40}, expected an object")
        return [whole(rewards[0]) for rewards in history["reward"] or []]

    async def simulated(self, address: str, request: TxRequest, state: State) -> int:
        """The gas limit for this request after it went through on ``state``.

        Raises SimulationRevertedError, OrderRejectedError when the address cannot pay, VenueUnreachableError.
        """
        call = _call(address, request)
        try:
            await self._rpc.ask(f"order {request.order_id}: simulation", lambda eth: eth.call(call, state))
            if request.gas_limit is not None:
                return request.gas_limit
            gas = await self._rpc.ask(f"order {request.order_id}: gas", _estimate(call, state))
        except ContractLogicError as error:
            raise SimulationRevertedError(
                f"order {request.order_id}: reverts on the {state} state: {error.message}", revert_data_of(error)
            ) from None
        except NodeRefusalError as error:
            raise OrderRejectedError(f"order {request.order_id}: {error}", ErrorClass.INSUFFICIENT) from None
        return -(-gas * _MARGIN_NUMERATOR // _MARGIN_DENOMINATOR)

    async def revert_data(self, address: str, request: TxRequest, block: int) -> bytes:
        """Why a transaction reverted in ``block``, as far as the state before that block tells; empty when it does not.

        Raises VenueUnreachableError.
        """
        call = _call(address, request)
        try:
            await self._rpc.ask(f"order {request.order_id}: replay", lambda eth: eth.call(call, block - 1))
        except ContractLogicError as error:
            return revert_data_of(error)
        return b""


def revert_data_of(error: ContractLogicError) -> bytes:
    """What the contract returned, for a decoder; empty when it said nothing."""
    data = error.data
    return bytes(HexBytes(data)) if isinstance(data, str) and data.startswith("0x") else b""


def _estimate(call: TxParams, state: State) -> Question[int]:
    async def ask(eth: AsyncEth) -> int:
        return whole(await eth.estimate_gas(call, state))

    return ask


def _call(address: str, request: TxRequest) -> TxParams:
    # no fee fields: a node would hold them against the balance, and a fee is quoted only when all else is settled
    return TxParams(
        {
            "from": to_checksum_address(address),
            "to": to_checksum_address(request.to),
            "data": to_hex(request.data),
            "value": Wei(request.value),
        }
    )
