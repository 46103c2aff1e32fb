"""The two ends of a transfer, in the words of whoever carries it: an exchange account, and the wallet on its chain."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.transfer import ApprovalRow, TransferRow


@dataclass(frozen=True, slots=True)
class Way:
    """What an exchange says of one coin on the network: what is open, and what a withdrawal costs and must be."""

    withdraws: bool
    deposits: bool
    fee: Decimal
    least: Decimal
    most: Decimal
    multiple: Decimal


class Progress(StrEnum):
    """How an exchange says that a withdrawal stands."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One row of an exchange's record: ``amount`` is what arrives, the fee was taken beside it."""

    number: str
    client_id: str
    amount: Decimal
    fee: Decimal
    address: str
    tx_id: str
    progress: Progress
    time: datetime

    @property
    def gross(self) -> Decimal:
        """What left the wallet at the exchange."""
        return self.amount + self.fee


@dataclass(frozen=True, slots=True)
class Deposit:
    """One row of an exchange's record; ``is_credited``: the balance has it."""

    number: str
    amount: Decimal
    address: str
    tx_id: str
    is_credited: bool
    time: datetime


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a transaction brought to the wallet, and how many blocks stand on it, its own among them."""

    amount: Decimal
    confirmations: int
    time: datetime


class ExchangeEnd(Protocol):
    """One account at an exchange. Questions raise VenueUnreachableError when there is no usable answer."""

    @property
    def account(self) -> str:
        """The venue part of its keys."""
        ...

    @property
    def absence_proof_s(self) -> float:
        """Seconds after which a request of ours can neither be accepted nor be hidden any longer."""
        ...

    def now(self) -> datetime:
        """Market time."""
        ...

    async def way(self, coin: str) -> Way:
        """What holds for this coin now."""
        ...

    async def balance(self, coin: str) -> Decimal:
        """What is held of it."""
        ...

    async def deposit_address(self, coin: str) -> str:
        """Where deposits are sent."""
        ...

    async def withdraw(self, order_id: str, coin: str, amount: Decimal, address: str) -> str:
        """Send once; returns its number. Raises as ExecutionInterface.execute_order does."""
        ...

    async def withdrawals(self, coin: str, order_id: str | None) -> Sequence[Withdrawal]:
        """Those of one id of ours, or all of the last days."""
        ...

    async def deposits(self, coin: str, tx_id: str) -> Sequence[Deposit]:
        """What one transaction brought."""
        ...


class ChainEnd(Protocol):
    """The wallet. Questions raise VenueUnreachableError when there is no usable answer."""

    @property
    def network(self) -> str:
        """The chain's name in the orders that it takes."""
        ...

    @property
    def address(self) -> str:
        """Of the wallet."""
        ...

    async def balance(self, coin: str) -> Decimal:
        """What is held of it at the newest block."""
        ...

    def signed_for(self, order_id: str) -> Collection[str]:
        """Hashes of the transactions of ours that may carry an order out, those that were replaced too."""
        ...

    async def arrival(self, coin: str, tx_id: str, amount: Decimal) -> Arrival | None:
        """What this transaction brought of an expected amount; None while no block holds it, or it brought nothing."""
        ...


class TransferLog(Protocol):
    """The steps on disk, and what the book holds."""

    def rows(self) -> Sequence[TransferRow]:
        """Every transfer that is remembered."""
        ...

    def approvals(self) -> Sequence[ApprovalRow]:
        """Every word of a person that is remembered, spent or not."""
        ...

    def row(self, order_id: str) -> TransferRow | None:
        """That of one order; None when nothing of it can have left."""
        ...

    def held(self, key: PositionKey) -> Decimal:
        """What the book says is there."""
        ...

    async def keep(self, row: TransferRow) -> None:
        """Return once the step is on disk. Raises IllegalTransitionError."""
        ...
