"""The chain's word on one account: what it holds at a block, and what its balances did by themselves until then.

A lent or staked balance grows in every block without a row of its own. So flows and report are taken at one block: what
the chain holds beyond the book is what has accrued, as long as it could have, and from then on the two are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.chain import SECONDS_PER_YEAR, BlockRef
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import Clock
from basis_daemon.venues.chain.accrual import Balances, accruals, cause_of_growth
from basis_daemon.venues.chain.deltas import Moved, summed
from basis_daemon.venues.chain.eye import COVERED, ChainEye, part_of
from basis_daemon.venues.chain.own_moves import OwnMoves

ZERO = Decimal(0)
GROWTH_MAX_APR = Decimal(3)
"""No rate model here goes beyond: what grew faster was sent by somebody, and is a break."""
REBASE_MAX = Decimal("0.05")
"""Of the balance, either way: what an oracle report or a slashing may change at once."""
TAKEN_BACK_S = 15 * 60
"""Seconds of interest that may go again with blocks that are gone: until it is final a chain takes back no more."""
DUST = Decimal("0.000001")
"""The first seconds of a new balance."""
LOOKS_MAX = 3
"""Heads may come while one is read."""


class ChainAccountSource:
    """One account of the owner: its wallet, or its position at one protocol."""

    def __init__(
        self,
        account: str,
        eye: ChainEye,
        clock: Clock,
        booked: Callable[[], Mapping[PositionKey, Decimal]],
        own: OwnMoves,
    ) -> None:
        """``booked`` is the ledger."""
        self._account, self._eye, self._clock = account, eye, clock
        self._booked, self._own = booked, own
        self._pin: BlockRef | None = None
        self._told_until: datetime | None = None

    @property
    def account(self) -> str:
        """The venue part of its keys."""
        return self._account

    @property
    def accrues(self) -> bool:
        """True: interest and rebases."""
        return True

    async def fetch_cash_flows(self, since: datetime) -> Sequence[CashFlow]:
        """What accrued until the newest block, and nothing while a transaction of ours is on its way."""
        self._pin = None
        for _ in range(LOOKS_MAX):
            block = (await self._eye.newest()).block
            held = part_of(await self._eye.look(block), self._account)
            if (await self._eye.newest()).block.hash == block.hash:  # else the ledger may be ahead of what was read
                return self._flows(block, held, min(since, self._told_until or since))
        return ()

    def _flows(self, block: BlockRef, held: Mapping[PositionKey, Decimal], since: datetime) -> Sequence[CashFlow]:
        """Chain against ledger, both as they are now: nothing suspends between the look at the head and here."""
        if self._own.is_busy():
            return ()
        booked = {key: amount for key, amount in self._booked().items() if key.venue == self._account}
        rounded = [flow for flow in self._own.roundings(since) if flow.key in held]
        before = summed([*booked.items(), *((flow.key, flow.amount) for flow in rounded)])
        turnover = self._own.turnover(since)
        moved = summed([*((key, abs(q)) for key, q in booked.items()), *turnover.items()])
        lacking = {key: -amount for key, amount in before.items() if amount < 0 and key not in turnover}
        known = Balances(block, {key: before.get(key, ZERO) for key in held})
        grown = accruals(known, Balances(block, held), Moved())
        self._pin, self._told_until = block, block.time

        def is_plausible(flow: CashFlow) -> bool:
            return _is_plausible(flow, moved.get(flow.key, ZERO), since, lacking.get(flow.key, ZERO))

        return [*rounded, *filter(is_plausible, grown)]

    async def fetch_report(self) -> AccountReport:
        """Everything it holds, at the block of its newest flows."""
        block = self._pin or (await self._eye.newest()).block
        self._pin = None
        sight = await self._eye.look(block)
        return AccountReport(
            account=self._account,
            observed_at=block.time,
            received_ns=self._clock.monotonic_ns(),
            holdings={key: amount for key, amount in part_of(sight, self._account).items() if amount},
            covers=COVERED[self._account],
        )

    async def fetch_trades(self, since: datetime) -> Sequence[Trade]:
        """None: ours are known by their transactions, and whatever another key did shows as a break."""
        del since
        return ()

    async def fetch_transfers(self, since: datetime) -> Sequence[Trade]:
        """None; see ``fetch_trades``."""
        del since
        return ()

    def hurry(self) -> None:
        """Nothing: nobody counts its questions."""


def _is_plausible(flow: CashFlow, held: Decimal, since: datetime, lacking: Decimal) -> bool:
    """True for what a balance can have done by itself since then; ``held`` is the most that it can have been.

    ``lacking`` is by how much an earlier run took out more than its book had, or paid back more than it owed: nobody
    can, so that much had grown, and the row that said so was lost with the end of that run.
    """
    if cause_of_growth(flow.key) is Cause.REBASE:
        return abs(flow.amount) <= held * REBASE_MAX + DUST + lacking
    seconds = Decimal(max((flow.venue_time - since).total_seconds(), 0)) + (TAKEN_BACK_S if flow.amount < 0 else 0)
    years = seconds / SECONDS_PER_YEAR
    return abs(flow.amount) <= held * GROWTH_MAX_APR * years + DUST + lacking


def accounts_in(keys: Iterable[PositionKey]) -> tuple[str, ...]:
    """The accounts among these keys that a chain speaks for."""
    return tuple(sorted({key.venue for key in keys} & COVERED.keys()))
