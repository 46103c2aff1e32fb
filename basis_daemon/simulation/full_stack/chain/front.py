"""One node as JSON-RPC has it: it may be a few blocks behind, and may not find what it should."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.conversions import to_hex
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.full_stack.chain.contracts import RevertedError, UnknownCallError, call, gas_of
from basis_daemon.simulation.full_stack.chain.oracle import Included, Oracle, OracleBlock
from basis_daemon.simulation.full_stack.chain.places import CHAIN_ID

Json = dict[str, Any]
BEHIND_MAX = 2
NOBODY = "0x" + 40 * "0"
REVERTED = 3
SERVER_ERROR = -32_000
NO_METHOD = -32_601
TAGS = frozenset({"latest", "pending", "safe", "finalized"})
FINAL_BEHIND = 4
_SIGNED = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "value", "v")


class RefusalError(Exception):
    """An answer of the node that is an error."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.said: Json = {"code": code, "message": message} | ({} if data is None else {"data": data})


class Front:
    """``loud`` hears of every question that nobody has written an answer for."""

    def __init__(self, oracle: Oracle, chance: Chance, loud: Callable[[str], None]) -> None:
        self._oracle, self._chance, self._loud = oracle, chance, loud
        self._seen: OracleBlock | None = None
        self._behind = 0
        self._methods: Mapping[str, Callable[..., object]] = {
            "eth_chainId": lambda: to_hex(CHAIN_ID),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_feeHistory": self._fee_history,
            "eth_getTransactionCount": self._count,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getTransactionByHash": self._transaction,
            "eth_sendRawTransaction": self._send,
        }

    def answer(self, method: str, params: list[Any]) -> Json:
        """``result`` or ``error``."""
        try:
            return {"result": self._methods.get(method, _nothing_of(method))(*params)}
        except RefusalError as error:
            return {"error": error.said}
        except UnknownCallError as error:
            self._loud(str(error))
            return {"error": {"code": NO_METHOD, "message": str(error)}}

    # -------------------------------------------------------------------------------------------------- the blocks
    @property
    def _top(self) -> int:
        """The newest block that this node knows: now and then it is a few behind, until another one or all is well."""
        if self._seen is not self._oracle.head:
            self._seen = self._oracle.head
            is_behind = self._chance.strikes(Fault.RPC_BEHIND)
            self._behind = 1 + self._chance.below(BEHIND_MAX) if is_behind else 0
        first = self._oracle.chain[0].ref.number
        return max(self._oracle.head.ref.number - (self._behind if self._chance.is_on else 0), first)

    def _block(self, which: str) -> OracleBlock | None:
        chain, top = self._oracle.chain, self._top
        first = chain[0].ref.number
        if which in TAGS:
            number = top - (FINAL_BEHIND if which in {"safe", "finalized"} else 0)
            return chain[max(number, first) - first]
        number = int(which, 16)
        return chain[number - first] if first <= number <= top else None

    def _pinned(self, which: str | Json) -> OracleBlock:
        if isinstance(which, dict):
            found = self._oracle.blocks.get(which["blockHash"])
            if found is None or found.ref.number > self._top:
                raise RefusalError(SERVER_ERROR, "header for hash not found")
            if not self._oracle.is_canonical(found):
                raise RefusalError(SERVER_ERROR, "hash is not currently canonical")
            return found
        found = self._block(which)
        if found is None:
            raise RefusalError(SERVER_ERROR, "header not found")
        return found

    def _block_by_number(self, which: str, is_full: bool) -> Json | None:  # noqa: FBT001 - a position of the protocol's
        if which not in TAGS and int(which, 16) == 0:
            genesis = self._oracle.genesis
            return {"number": "0x0", "hash": genesis.hash}
        found = self._block(which)
        return None if found is None else self._told(found, is_full=is_full)

    def _block_by_hash(self, which: str, is_full: bool) -> Json | None:  # noqa: FBT001 - as above
        found = self._oracle.blocks.get(which)
        return None if found is None or found.ref.number > self._top else self._told(found, is_full=is_full)

    def _told(self, block: OracleBlock, *, is_full: bool) -> Json:
        held = block.mined.items()
        return {
            "number": to_hex(block.ref.number),
            "hash": block.ref.hash,
            "parentHash": block.parent_hash,
            "timestamp": to_hex(int(block.ref.time.timestamp())),
            "baseFeePerGas": to_hex(block.base_fee_wei),
            "transactions": [self._transaction_in(block, one) if is_full else tx_hash for tx_hash, one in held],
        }

    # --------------------------------------------------------------------------------------------------- the state
    def _call(self, request: Json, which: str | Json = "latest") -> str:
        return to_hex(self._tried(request, which))

    def _estimate(self, request: Json, which: str | Json = "latest") -> str:
        self._tried(request, which)
        return to_hex(gas_of(_data(request)))

    def _tried(self, request: Json, which: str | Json) -> bytes:
        message = (request.get("from", NOBODY), request["to"], _data(request))
        try:
            if which == "pending":
                return call(self._oracle.pending(), *message)[0]
            return self._oracle.read(self._pinned(which), message)
        except RevertedError as refusal:
            raise RefusalError(REVERTED, "execution reverted", to_hex(refusal.data)) from None

    def _fee_history(self, count: str, which: str, percentiles: list[float]) -> Json:
        top, known = self._pinned(which).ref.number, min(int(count, 16), len(self._oracle.chain))
        tip = to_hex(self._oracle.weather.tip_wei)
        return {"oldestBlock": to_hex(top - known + 1), "reward": [[tip for _ in percentiles] for _ in range(known)]}

    # -------------------------------------------------------------------------------------------- the transactions
    def _count(self, address: str, which: str | Json) -> str:
        return to_hex(self._pinned(which).nonce if address == self._oracle.owner else 0)

    def _holder(self, tx_hash: str) -> tuple[OracleBlock, Included] | None:
        block = self._oracle.holder(tx_hash, self._top)
        return None if block is None or self._chance.strikes(Fault.RPC_NULL) else (block, block.mined[tx_hash])

    def _receipt(self, tx_hash: str) -> Json | None:
        if (found := self._holder(tx_hash)) is None:
            return None
        block, one = found
        where = _where(block, one)
        logs = [
            {
                **where,
                "address": log.address.lower(),
                "topics": [to_hex(topic) for topic in log.topics],
                "data": to_hex(log.data),
                "logIndex": to_hex(place),
                "removed": False,
            }
            for place, log in enumerate(one.logs)
        ]
        return {
            **where,
            "from": self._oracle.owner.lower(),
            "to": one.tx.to,
            "status": to_hex(int(one.is_success)),
            "gasUsed": to_hex(one.gas_used),
            "effectiveGasPrice": to_hex(one.gas_price_wei),
            "logs": logs,
            "type": "0x2",
        }

    def _transaction(self, tx_hash: str) -> Json | None:
        found = self._holder(tx_hash)
        return None if found is None else self._transaction_in(*found)

    def _transaction_in(self, block: OracleBlock, one: Included) -> Json:
        fields = TypedTransaction.from_bytes(HexBytes(one.tx.raw)).as_dict()
        return {
            **_where(block, one),
            **{name: to_hex(int(fields[name])) for name in _SIGNED},
            **{name: to_hex(int(fields[name])) for name in ("r", "s")},
            "hash": one.tx.hash,
            "from": self._oracle.owner.lower(),
            "to": one.tx.to,
            "input": to_hex(one.tx.data),
            "accessList": [],
            "type": "0x2",
        }

    def _send(self, raw: str) -> str:
        content = bytes(HexBytes(raw))
        if refusal := self._oracle.offer(content):
            raise RefusalError(SERVER_ERROR, refusal)
        return to_hex(keccak(content))


def _nothing_of(method: str) -> Callable[..., object]:
    def unknown(*params: object) -> object:
        raise UnknownCallError(f"method {method}{params}")

    return unknown


def _where(block: OracleBlock, one: Included) -> Json:
    return {
        "transactionHash": one.tx.hash,
        "blockHash": block.ref.hash,
        "blockNumber": to_hex(block.ref.number),
        "transactionIndex": to_hex(list(block.mined).index(one.tx.hash)),
    }


def _data(request: Mapping[str, Any]) -> bytes:
    return bytes(HexBytes(request.get("data") or request.get("input") or "0x"))
