"""The two ends of the bridge as a life of the daemon reaches them: the cashier by wire, the wallet by its nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from basis_daemon.domain.errors import (
    ErrorClass,
    OrderRejectedError,
    OutcomeUnknownError,
    VenueUnreachableError,
)
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.settings import Settings
from basis_daemon.simulation.drill.chain.node import Block
from basis_daemon.simulation.drill.chance import Fault
from basis_daemon.simulation.drill.exchange import ANSWER_S, PROOF_S, WAY_S, WINDOW_S, Connection
from basis_daemon.simulation.drill.hedge.custody import FEES, Custody
from basis_daemon.venues.chain.arrivals import WalletEnd
from basis_daemon.venues.chain.endpoint import newest_header
from basis_daemon.venues.chain.tokens import held_at
from basis_daemon.venues.transfers.crossing import Terms
from basis_daemon.venues.transfers.ends import Deposit, Way, Withdrawal

CONFIRMATIONS = 4
LEAST, MOST, GRAIN = Decimal("0.001"), Decimal(10_000_000), Decimal("1e-8")


def terms_of(settings: Settings) -> Terms | None:
    """One block more than are ever taken back; nobody's record weighs anything. None where nothing crosses."""
    routes = settings.enabled_transfers
    if routes is None:
        return None
    return Terms(CONFIRMATIONS, float(routes.timeout_min * 60), absence_s=5.0, poll_s=1.0)


class WiredCustody:
    """Honours ``transfers.ends.ExchangeEnd`` for one daemon."""

    absence_proof_s = PROOF_S

    def __init__(self, custody: Custody, connection: Connection, on_request: Callable[[str, Connection], None]) -> None:
        self._custody, self._connection, self._on_request = custody, connection, on_request
        self._chance, self._loop = connection.exchange.chance, connection.exchange.loop

    @property
    def account(self) -> str:
        """The venue part of its keys."""
        return self._custody.account

    def now(self) -> datetime:
        """Market time."""
        return self._connection.exchange.paper.tape.time()

    async def way(self, coin: str) -> Way:
        """Now and then the exchange closes a way."""
        await self._ask(coin)
        is_open = not self._chance.strikes(Fault.WAY_CLOSED)
        return Way(withdraws=is_open, deposits=is_open, fee=FEES[coin], least=LEAST, most=MOST, multiple=GRAIN)

    async def balance(self, coin: str) -> Decimal:
        """What is held of it."""
        await self._ask(coin)
        return self._connection.exchange.paper.wallets.holding(PositionKey(f"{self.account}:spot:{coin}"))

    async def deposit_address(self, coin: str) -> str:
        """Always the same one."""
        await self._ask(coin)
        return self._custody.address

    async def withdraw(self, order_id: str, coin: str, amount: Decimal, address: str) -> str:
        """As the port says: refused, lost, late or unanswered like any request."""
        self._connection.check()
        self._on_request(order_id, self._connection)
        if self._chance.strikes(Fault.UNREACHABLE):
            raise VenueUnreachableError(f"withdrawal {order_id}: nothing left")
        if self._chance.strikes(Fault.REFUSED):
            raise OrderRejectedError(f"withdrawal {order_id}: too busy", ErrorClass.RETRYABLE, "BUSY")
        answer: asyncio.Future[str | OrderRejectedError] = self._loop.create_future()
        if not self._chance.strikes(Fault.REQUEST_LOST):
            bounds = (WAY_S[1], WINDOW_S) if self._chance.strikes(Fault.REQUEST_LATE) else WAY_S
            self._loop.call_later(
                self._chance.between(*bounds), self._arrive, (order_id, coin, amount, address), answer
            )
        try:
            async with asyncio.timeout(ANSWER_S):
                found = await answer
        except TimeoutError:
            raise OutcomeUnknownError(f"withdrawal {order_id}: no answer in {ANSWER_S} s") from None
        self._connection.check()
        if isinstance(found, OrderRejectedError):
            raise found
        return found

    def _arrive(self, asked: tuple[str, str, Decimal, str], answer: asyncio.Future[str | OrderRejectedError]) -> None:
        try:
            found: str | OrderRejectedError = self._custody.take(*asked)
        except OrderRejectedError as refusal:
            found = refusal
        self._connection.exchange.late += answer.done()
        if not self._chance.strikes(Fault.ANSWER_LOST):
            self._loop.call_later(self._chance.between(*WAY_S), _answer, answer, found)

    async def withdrawals(self, coin: str, order_id: str | None) -> Sequence[Withdrawal]:
        """As the port says; newest first."""
        await self._ask(coin)
        return self._custody.withdrawals(coin, order_id)[::-1]

    async def deposits(self, coin: str, tx_id: str) -> Sequence[Deposit]:
        """As the port says."""
        await self._ask(coin)
        return self._custody.deposits(coin, tx_id)

    async def _ask(self, what: str) -> None:
        self._connection.check()
        await asyncio.sleep(self._chance.between(*WAY_S))
        self._connection.check()
        if self._chance.strikes(Fault.QUERY_FAILS):
            raise VenueUnreachableError(f"{what}: the cashier of {self.account} gave no answer")


class DrillWalletEnd(WalletEnd):
    """The daemon's own; only a balance is read out of a block and not by a call."""

    async def balance(self, coin: str) -> Decimal:
        """At the newest block."""
        newest = await self._rpc.ask("newest block", newest_header)

        async def ask(eth: Any) -> Block:  # noqa: ANN401 - a drilled node, where the pool knows web3 alone
            found: Block = await eth.state(newest.block.hash)
            return found

        return (await self._rpc.ask("state", ask)).world.held.get(held_at(coin), Decimal(0))


def _answer(answer: asyncio.Future[str | OrderRejectedError], found: str | OrderRejectedError) -> None:
    if not answer.done():
        answer.set_result(found)
