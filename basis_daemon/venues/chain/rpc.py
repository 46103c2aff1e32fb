"""Several endpoints as one chain: who is asked, who is compared with whom, and who is not believed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import aiohttp
from eth_abi.exceptions import DecodingError
from eth_typing import HexStr
from web3.eth import AsyncEth
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3Exception, Web3RPCError

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import ConfigError, OutcomeUnknownError, VenueUnreachableError
from basis_daemon.ports import Clock, TaskScope
from basis_daemon.rare_paths import Rarely, RarePath, never
from basis_daemon.venues.chain.endpoint import ChainIdentity, Endpoint, EndpointOptions, WrongChainError, hex_of
from basis_daemon.venues.chain.errors import TEXT_MAX, DisagreementError, NodeRefusalError, Refusal, refusal_of
from basis_daemon.venues.chain.multicall import MULTICALL3, Call, CallResult, decode_results, encode_calls
from basis_daemon.venues.chain.notes import Note, ignore_note

T = TypeVar("T")
Question = Callable[[AsyncEth], Awaitable[T]]
"""Asks one endpoint; everything in it is answered by the same one."""

ANSWERS = (TransactionNotFound, BlockNotFound, ContractLogicError)
"""Errors by which a node answers: what was asked for is not there, or the call reverts."""
FAULTS = (aiohttp.ClientError, OSError, Web3Exception, DecodingError, ValueError, KeyError, TypeError)
"""Errors by which it gave no usable answer: unreachable, too slow (TimeoutError is an OSError), or not to be read."""
_NEVER_LEFT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_AGREEING = 2


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """Who counts as healthy. ``head_age_max_s`` is None where the chain's time is not the world's."""

    lag_blocks_max: int = 3
    head_age_max_s: int | None = None
    survey_every_s: float = 4.0
    rarely: Rarely = never


class _Fault(Exception):  # noqa: N818 - never leaves this file
    """An endpoint gave no usable answer; ``has_left`` is False when the request certainly did not reach it."""

    def __init__(self, text: str, *, has_left: bool) -> None:
        super().__init__(text)
        self.has_left = has_left


class RpcPool:
    """Asks the first healthy endpoint in the configured order; sends to all of them."""

    def __init__(
        self,
        endpoints: Sequence[EndpointOptions],
        identity: ChainIdentity,
        clock: Clock,
        scope: TaskScope,
        policy: PoolPolicy | None = None,
        note: Note = ignore_note,
    ) -> None:
        everyone = [Endpoint(options, clock) for options in endpoints]
        self._public = [endpoint for endpoint in everyone if not endpoint.options.is_private]
        self._private = [endpoint for endpoint in everyone if endpoint.options.is_private]
        self._behind: dict[str, str] = {}
        self.identity = identity
        self._clock, self._scope, self._note = clock, scope, note
        self._policy = policy or PoolPolicy()

    # ------------------------------------------------------------------------------------------------ its life
    async def start(self) -> None:
        """Open, and look at every endpoint once. Raises ConfigError (wrong chains) or VenueUnreachableError."""
        if not self._public:
            raise ConfigError("chain endpoints: none that answers questions, expected at least one that is not private")
        for endpoint in (*self._public, *self._private):
            await endpoint.open()
        await self.survey()
        if not any(endpoint.is_verified for endpoint in self._candidates()):
            banned = [endpoint.banned for endpoint in self._public if endpoint.banned]
            kind = ConfigError if len(banned) == len(self._public) else VenueUnreachableError
            raise kind(f"no usable endpoint: {self._why_none()}")

    async def run(self) -> None:
        """Look at all endpoints again and again, until cancelled."""
        while True:
            await self._clock.sleep(self._policy.survey_every_s)
            await self.survey()

    async def close(self) -> None:
        for endpoint in (*self._public, *self._private):
            await endpoint.close()

    @property
    def has_private(self) -> bool:
        """True where a private relay is configured."""
        return bool(self._private)

    def pushing(self) -> list[EndpointOptions]:
        """Healthy endpoints that push their heads."""
        return [one.options for one in self._candidates() if one.options.ws_url is not None]

    async def survey(self) -> None:
        """Ask every endpoint for chain and head at one time, and judge them against each other."""
        asked = [endpoint for endpoint in self._public if not endpoint.banned]
        for endpoint, head in await self._each("survey", asked, self._examine):
            if head is not None:
                endpoint.saw(head)
        self._judge([endpoint for endpoint in asked if endpoint.is_verified and not endpoint.banned])

    def _judge(self, endpoints: Sequence[Endpoint]) -> None:
        numbers = sorted(endpoint.top.number for endpoint in endpoints if endpoint.top is not None)
        # the middle, not the best: one endpoint that invents blocks does not make the others late
        middle = numbers[len(numbers) // 2] if numbers else 0
        before, self._behind = self._behind, {}
        for endpoint in endpoints:
            if endpoint.top is not None and (why := self._why_behind(endpoint, endpoint.top, middle)):
                self._behind[endpoint.name] = why
                if endpoint.name not in before:
                    self._note("rpc_behind", {"endpoint": endpoint.name, "why": why})

    def _why_behind(self, endpoint: Endpoint, top: BlockRef, middle: int) -> str:
        if endpoint.went_back_from:
            return f"at block {top.number} after {endpoint.went_back_from}, expected no way back"
        if middle - top.number > self._policy.lag_blocks_max:
            return f"at block {top.number}, others at {middle}, expected at most {self._policy.lag_blocks_max} behind"
        age_max_s = self._policy.head_age_max_s
        if age_max_s is not None and (age := self._clock.wall() - top.time) > timedelta(seconds=age_max_s):
            return f"block {top.number} is {age.total_seconds():.0f} s old, expected at most {age_max_s} s"
        return ""

    async def _examine(self, endpoint: Endpoint) -> BlockRef | None:
        try:
            return await self._guarded(endpoint, lambda _: endpoint.examine(self.identity))
        except WrongChainError as error:
            endpoint.banned = str(error)
            self._note("rpc_banned_alarm", {"endpoint": endpoint.name, "why": str(error)})
        except _Fault as fault:
            self._note("rpc_fault", {"endpoint": endpoint.name, "why": str(fault)})
        return None

    # ----------------------------------------------------------------------------------------------- questions
    async def ask(self, what: str, question: Question[T]) -> T:
        """The first usable answer. Raises VenueUnreachableError, and as web3 does for what is absent or reverts.

        A block is absent only when every endpoint that answers says so: the next one may be further.
        """
        faults = []
        absent: BlockNotFound | None = None
        for endpoint in self._candidates():
            try:
                return await self._ask_one(endpoint, question)
            except _Fault as fault:
                faults.append(f"{endpoint.name}: {fault}")
            except BlockNotFound as error:
                absent = error
        if absent is not None:
            raise absent
        raise VenueUnreachableError(f"{what}: no usable answer; {'; '.join(faults) or self._why_none()}")

    async def agreed(self, what: str, question: Question[T]) -> T:
        """What two endpoints say alike, where two are configured: for what money depends on.

        Raises DisagreementError, VenueUnreachableError when fewer than two answer, and as web3 does.
        """
        wanted = min(_AGREEING, len(self._public))
        answers: list[tuple[Endpoint, T]] = []
        faults = []
        for endpoint in self._candidates():
            try:
                answer = await self._ask_one(endpoint, question)
            except _Fault as fault:
                faults.append(f"{endpoint.name}: {fault}")
                continue
            answers.append((endpoint, answer))
            if sum(other == answer for _, other in answers) >= wanted:
                self._doubt([one for one, other in answers if other != answer], what)
                return answer
        if len(answers) >= _AGREEING:
            said = "; ".join(f"{endpoint.name}: {answer!r:.120}" for endpoint, answer in answers)
            raise DisagreementError(f"{what}: endpoints disagree, expected {wanted} answers alike; {said}")
        why = "; ".join(faults) or self._why_none()
        raise VenueUnreachableError(f"{what}: {len(answers)} answers, expected {wanted} alike; {why}")

    async def call_at(self, block: BlockRef, calls: Sequence[Call]) -> tuple[CallResult, ...]:
        """The results of these calls in the state after ``block`` and no other. Raises VenueUnreachableError."""
        return await self.ask(f"{len(calls)} calls at block {block.number}", _aggregate(block, calls))

    async def confirmed_read(self, block: BlockRef, calls: Sequence[Call]) -> tuple[CallResult, ...]:
        """``call_at``, asked of a second endpoint and compared. Raises also DisagreementError."""
        return await self.agreed(f"{len(calls)} calls at block {block.number}", _aggregate(block, calls))

    async def _ask_one(self, endpoint: Endpoint, question: Question[T]) -> T:
        if not endpoint.is_verified and await self._examine(endpoint) is None:
            raise _Fault(endpoint.banned or "not verified", has_left=False)
        return await self._guarded(endpoint, question)

    async def _guarded(self, endpoint: Endpoint, question: Question[T]) -> T:
        """The answer, or a _Fault that holds no URL: those carry keys."""
        try:
            async with asyncio.timeout(endpoint.options.timeout_s):
                answer = await question(endpoint.eth)
        except ANSWERS:
            endpoint.answered()
            raise
        except FAULTS as error:
            if isinstance(error, Web3RPCError) and refusal_of(str(error)) is Refusal.INSUFFICIENT:
                raise NodeRefusalError(Refusal.INSUFFICIENT, _said(error)) from None
            endpoint.fault()
            raise _Fault(_said(error), has_left=not isinstance(error, _NEVER_LEFT)) from None
        endpoint.answered()
        return answer

    def _doubt(self, liars: Sequence[Endpoint], what: str) -> None:
        for endpoint in liars:
            endpoint.fault()
            self._note("rpc_outvoted_alarm", {"endpoint": endpoint.name, "what": what})

    def _candidates(self) -> list[Endpoint]:
        usable = [one for one in self._public if not one.banned and one.name not in self._behind]
        if self._policy.rarely(RarePath.SECOND_NODE_FIRST):
            usable.reverse()
        return sorted(usable, key=lambda endpoint: endpoint.is_resting)

    def _why_none(self) -> str:
        return "; ".join(
            endpoint.banned or f"{endpoint.name}: {self._behind.get(endpoint.name, 'no answer')}"
            for endpoint in self._public
        )

    # ------------------------------------------------------------------------------------------------- sending
    async def send_raw(self, raw: bytes, tx_hash: str, *, is_private: bool = False) -> Refusal | None:
        """Offer a signed transaction to all healthy endpoints, or to the relays alone; None once one of them has it.

        Otherwise why none took it. Raises OutcomeUnknownError when one may have it, VenueUnreachableError when
        certainly none has. Offering the same bytes again is harmless.
        """
        everyone = [endpoint for endpoint in self._public if not endpoint.banned]
        targets = self._private if is_private and self._private else self._candidates() or everyone
        if not targets:
            raise VenueUnreachableError(f"transaction {tx_hash}: nothing was sent; {self._why_none()}")
        outcomes = self._started("send", targets, lambda endpoint: self._offer(endpoint, raw, tx_hash))
        refusals: list[Refusal] = []
        doubts: list[str] = []
        unsent: list[str] = []
        for _ in targets:
            endpoint, outcome = await outcomes.get()
            if outcome is None:
                return None
            if isinstance(outcome, Refusal):
                refusals.append(outcome)
            else:
                (doubts if outcome.has_left else unsent).append(f"{endpoint.name}: {outcome}")
        if doubts:
            raise OutcomeUnknownError(f"transaction {tx_hash}: may have been taken; {'; '.join(doubts)}")
        if refusals:
            return min(refusals, key=list(Refusal).index)
        raise VenueUnreachableError(f"transaction {tx_hash}: nothing was sent; {'; '.join(unsent)}")

    async def _offer(self, endpoint: Endpoint, raw: bytes, tx_hash: str) -> Refusal | _Fault | None:
        words = ""

        async def offer(eth: AsyncEth) -> str | Refusal:
            nonlocal words
            try:
                return hex_of(await eth.send_raw_transaction(raw))
            except Web3RPCError as error:
                words = _said(error)
                return refusal_of(str(error))

        try:
            said = await (self._guarded if endpoint.options.is_private else self._ask_one)(endpoint, offer)
        except _Fault as fault:
            return fault
        if isinstance(said, Refusal) and not said.is_certain:
            endpoint.fault()
            return _Fault(f"{said}: {words}", has_left=True)
        if isinstance(said, Refusal):
            self._note("transaction_refused", {"endpoint": endpoint.name, "hash": tx_hash, "why": said})
            return None if said is Refusal.ALREADY_KNOWN else said
        if said != tx_hash:
            endpoint.fault()
            return _Fault(f"answered hash {said}, expected {tx_hash}", has_left=True)
        return None

    # -------------------------------------------------------------------------------------------- side by side
    def _started(
        self, what: str, endpoints: Sequence[Endpoint], work: Callable[[Endpoint], Awaitable[T]]
    ) -> asyncio.Queue[tuple[Endpoint, T]]:
        """A queue that gets one outcome per endpoint as it comes; ``work`` has its own time-out and raises nothing."""
        outcomes: asyncio.Queue[tuple[Endpoint, T]] = asyncio.Queue()

        async def one(endpoint: Endpoint) -> None:
            outcomes.put_nowait((endpoint, await work(endpoint)))

        for endpoint in endpoints:
            self._scope.spawn(f"rpc:{what}:{endpoint.name}", one(endpoint))
        return outcomes

    async def _each(
        self, what: str, endpoints: Sequence[Endpoint], work: Callable[[Endpoint], Awaitable[T]]
    ) -> list[tuple[Endpoint, T]]:
        outcomes = self._started(what, endpoints, work)
        return [await outcomes.get() for _ in endpoints]


def _aggregate(block: BlockRef, calls: Sequence[Call]) -> Question[tuple[CallResult, ...]]:
    async def ask(eth: AsyncEth) -> tuple[CallResult, ...]:
        data = HexStr(hex_of(encode_calls(calls)))
        pinned = {"blockHash": block.hash, "requireCanonical": True}
        # web3 passes the object of EIP-1898 on as it is; its types know only numbers, tags and hashes
        answer = await eth.call({"to": MULTICALL3, "data": data}, pinned)  # type: ignore[arg-type]  # see above
        return decode_results(bytes(answer), len(calls))

    return ask


def _said(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        return f"HTTP {error.status}"
    if isinstance(error, Web3RPCError | ValueError):
        return f"{type(error).__name__} {error}"[:TEXT_MAX]
    return type(error).__name__
