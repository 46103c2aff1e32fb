"""How old every input is, on both clocks: the venue's stamp against its newest, and arrival in process time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import Age
from basis_daemon.engine.mailbox import Mailbox

_NS_EXPONENT, _NONE = -9, Decimal(0)


@dataclass(frozen=True, slots=True)
class FreshnessLimits:
    """Seconds after which a quote or mark, and an account's word, are stale."""

    quote_s: Decimal
    account_s: Decimal


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

    def is_lagging(self, instruments: Iterable[PositionKey]) -> bool:
        """True while some stream is behind the newest stamp: wait for it, up to the grace, before deciding."""
        oldest, mailbox = self._mailbox.newest - self._lag_max, self._mailbox
        for held in (mailbox.books, mailbox.marks):
            for key in instruments:
                if (event := held.get(key)) is not None and event.venue_time < oldest:
                    return True
        return False

    def ages(self, instruments: Iterable[PositionKey], accounts: Iterable[str], now_ns: int) -> Mapping[str, Age]:
        """Age of ``book:KEY``, ``mark:KEY`` and ``account:NAME``; what was never seen has no entry."""
        ages: dict[str, Age] = {}
        down = {account for account, _ in self._down}
        for key in instruments:
            for name, held in (("book", self._mailbox.books.get(key)), ("mark", self._mailbox.marks.get(key))):
                if held is not None:
                    ages[f"{name}:{key}"] = self._age(held.venue_time, held.received_ns, now_ns, self._limits.quote_s)
        for account in accounts:
            if (at := self._answered_ns.get(account)) is not None:
                age_s = Decimal(now_ns - at).scaleb(_NS_EXPONENT)
                is_stale = age_s > self._limits.account_s or account in down
                ages[f"account:{account}"] = Age(Decimal(0), age_s, is_stale)
        return ages

    def _age(self, stamp: datetime, received_ns: int, now_ns: int, limit_s: Decimal) -> Age:
        behind = self._mailbox.newest - stamp
        lag = Decimal(str(behind.total_seconds())) if behind else _NONE
        arrival = Decimal(now_ns - received_ns).scaleb(_NS_EXPONENT)
        return Age(lag, arrival, lag > limit_s or arrival > limit_s)
