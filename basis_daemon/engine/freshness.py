"""How old every input is, on both clocks: the venue's stamp against its newest, and arrival in process time."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import Age
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.state import EPOCH

_NS_EXPONENT, _NONE = -9, Decimal(0)
_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FreshnessLimits:
    """Seconds after which a quote or mark, an account's word, and what was read at a block are stale."""

    quote_s: Decimal
    account_s: Decimal
    head_s: Decimal = Decimal(60)


class Freshness:
    """Ages of quotes, marks and accounts. An account is fresh while its streams are up and it answers."""

    def __init__(self, mailbox: Mailbox, limits: FreshnessLimits) -> None:
        self._mailbox = mailbox
        self._limits = limits
        self._lag_max = timedelta(seconds=float(limits.quote_s))
        self._answered_ns: dict[str, int] = {}
        self._down: set[tuple[str, str]] = set()

    def answered(self, account: str, now_ns: int) -> None:
        """The account's venue gave a full report."""
        self._answered_ns[account] = now_ns

    def stream_changed(self, account: str, stream: str, *, is_up: bool) -> None:
        """One stream of the account went up or down; what it does says nothing about the others."""
        (self._down.discard if is_up else self._down.add)((account, stream))

    def newest(self, instruments: Collection[PositionKey], before: datetime = EPOCH) -> datetime:
        """The newest stamp of these instruments, market time as their strategy sees it; ``before`` the first one."""
        found = (self._newest_quote(instruments), self._newest_read(instruments))
        return max((at for at in found if at is not None), default=before)

    def _newest_quote(self, instruments: Collection[PositionKey]) -> datetime | None:
        newest = None
        for held in (self._mailbox.books, self._mailbox.marks):
            for key in instruments:
                if (event := held.get(key)) is not None and (newest is None or event.venue_time > newest):
                    newest = event.venue_time
        return newest

    def _newest_read(self, instruments: Collection[PositionKey]) -> datetime | None:
        newest = None
        for read in self._mailbox.chain.values():
            if read.instrument in instruments and (newest is None or read.venue_time > newest):
                newest = read.venue_time
        return newest

    def is_lagging(self, instruments: Collection[PositionKey]) -> bool:
        """True while one stream is behind the newest of them: wait for it, up to the grace, before deciding.

        Only these instruments are compared with each other: what another strategy's venue says has no part in it.
        """
        newest = oldest = None
        for held in (self._mailbox.books, self._mailbox.marks):
            for key in instruments:
                if (event := held.get(key)) is not None:
                    stamp = event.venue_time
                    newest = stamp if newest is None or stamp > newest else newest
                    oldest = stamp if oldest is None or stamp < oldest else oldest
        if newest is not None and oldest is not None and newest - oldest > self._lag_max:
            return True
        return bool(self._mailbox.chain) and self._is_head_incomplete(instruments)

    def _is_head_incomplete(self, instruments: Collection[PositionKey]) -> bool:
        """True while some of what is read of a chain is of the newest head and some is not yet."""
        stamps = [read.venue_time for read in self._mailbox.chain.values() if read.instrument in instruments]
        return bool(stamps) and max(stamps) - min(stamps) > timedelta(seconds=float(self._limits.head_s))

    def ages(
        self,
        instruments: Collection[PositionKey],
        accounts: Iterable[str],
        now_ns: int,
        newest: datetime | None = None,
    ) -> dict[str, Age]:
        """Age of ``book:KEY``, ``mark:KEY``, ``account:NAME`` and what is read of a chain; never seen has no entry.

        A stamp lags behind the newest stamp of these instruments, of which the caller owns all and may know it already.
        Blocks have a clock of their own: what was read there lags behind the newest block, never behind an exchange.
        """
        ages: dict[str, Age] = {}
        down = {account for account, _ in self._down} if self._down else _NOBODY
        read_at = self._newest_read(instruments) if self._mailbox.chain else None
        newest = self._newest_quote(instruments) if read_at else newest or self.newest(instruments)
        quote_s = self._limits.quote_s
        for key in instruments:
            for name, held in (("book", self._mailbox.books.get(key)), ("mark", self._mailbox.marks.get(key))):
                if held is not None and newest is not None:
                    ages[f"{name}:{key}"] = _age(newest - held.venue_time, held.received_ns, now_ns, quote_s)
        for name, read in self._mailbox.chain.items():
            if read_at is not None and read.instrument in instruments:
                ages[name] = _age(read_at - read.venue_time, read.received_ns, now_ns, self._limits.head_s)
        for account in accounts:
            if (at := self._answered_ns.get(account)) is not None:
                age_s = Decimal(now_ns - at).scaleb(_NS_EXPONENT)
                is_stale = age_s > self._limits.account_s or account in down
                ages[f"account:{account}"] = Age(Decimal(0), age_s, is_stale)
        return ages


def _age(behind: timedelta, received_ns: int, now_ns: int, limit_s: Decimal) -> Age:
    lag = Decimal(str(behind.total_seconds())) if behind else _NONE
    arrival = Decimal(now_ns - received_ns).scaleb(_NS_EXPONENT)
    return Age(lag, arrival, lag > limit_s or arrival > limit_s)
