"""An exchange's streams as one Feed: started with checks, kept alive, reconnected by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import MarketEvent, StreamChanged
from basis_daemon.ports import Clock, FeedEvent, TaskScope
from basis_daemon.venues.cex.account_feed import AccountFeed
from basis_daemon.venues.cex.boot import learn_market_time, read_instruments, set_modes
from basis_daemon.venues.cex.dead_man import DeadManSwitch
from basis_daemon.venues.cex.desk import Desk, MarketTime
from basis_daemon.venues.cex.options import CEXOptions
from basis_daemon.venues.cex.outcome import CallError
from basis_daemon.venues.cex.terms import TermsWatch

CHECK_EVERY_S = 1.0


class CEXFeed:
    """The feed of every account of one exchange. Its children live in ``scope``; they end when ``run`` ends."""

    def __init__(
        self,
        desks: Sequence[Desk],
        dead_men: Mapping[str, DeadManSwitch],
        market_time: MarketTime,
        scope: TaskScope,
        open_venue: Callable[[], Coroutine[Any, Any, None]],
        close_venue: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._desks, self._scope, self._market_time = desks, scope, market_time
        self._dead_men = dead_men
        self._open, self._close = open_venue, close_venue
        self._sink: Callable[[FeedEvent], None] = _discard
        self._ended = asyncio.Event()
        self.accounts = tuple(AccountFeed(desk, market_time, self._emit) for desk in desks)
        self._terms = tuple(TermsWatch(desk, market_time, self._emit) for desk in desks)
        for account in self.accounts:
            account.on_crash = self._ended.set

    async def start(self) -> Mapping[PositionKey, Instrument]:
        """As the port says: markets, clock, filters, fees, tiers; modes set and read back."""
        found: dict[PositionKey, Instrument] = {}
        try:
            await self._open()
            for desk, account in zip(self._desks, self.accounts, strict=True):
                await desk.load_markets()
                await desk.measure_skew()
                account.attach()
                desk.instruments = await read_instruments(desk)
                found |= desk.instruments
                if not desk.options.is_read_only:
                    await set_modes(desk)
            for desk in self._desks:
                await learn_market_time(desk, self._market_time)
            for terms in self._terms:
                terms.begin()
        except CallError as fault:
            raise VenueUnreachableError(f"start-up: {fault.text}") from fault
        return found

    async def history(self) -> Sequence[MarketEvent]:
        """Settled funding, oldest first. Raises VenueUnreachableError."""
        found: list[MarketEvent] = []
        for desk, account in zip(self._desks, self.accounts, strict=True):
            found += await account.funding.history(desk.options.funding_rows)
        return found

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        """Deliver until cancelled or closed. What ``sink`` raises is raised here."""
        self._sink = sink
        for account in self.accounts:
            for keeper in account.keepers.values():
                self._scope.spawn(f"feed:{keeper.line.account}:{keeper.line.stream}", keeper.run())
            self._scope.spawn(f"feed:{account.name}:funding", account.funding.run())
        self._scope.spawn("feed:terms", self._every(CHECK_EVERY_S, self._check_terms))
        self._scope.spawn("feed:watchdog", self._every(CHECK_EVERY_S, self._check_silence))
        self._scope.spawn("feed:dead-man", self._every(CHECK_EVERY_S, self._keep_dead_men))
        self._scope.spawn("feed:clock", self._every(self._options.skew_every_s, self._measure_clocks))
        self._scope.spawn("feed:login", self._every(self._options.login_every_s, self._keep_logins))
        try:
            await self._ended.wait()
        finally:
            self._stop()
        for account in self.accounts:
            if account.crash is not None:
                raise account.crash

    async def close(self) -> None:
        """Leave nothing open; a second call does nothing."""
        self._stop()
        for dead_man in self._dead_men.values():
            await dead_man.release()
        await self._close()

    def _emit(self, event: FeedEvent) -> None:
        if isinstance(event, StreamChanged) and event.is_up:
            self._dead_men[event.account].kick()
        self._sink(event)

    def _stop(self) -> None:
        self._ended.set()
        for account in self.accounts:
            account.funding.stop()
            for keeper in account.keepers.values():
                keeper.stop()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` again and again; in small sleeps, so that the end does not wait for a long one."""
        slept_s = 0.0
        while not self._ended.is_set():
            await self._clock.sleep(CHECK_EVERY_S)
            slept_s += CHECK_EVERY_S
            if slept_s >= seconds and not self._ended.is_set():
                slept_s = 0.0
                await work()

    async def _check_silence(self) -> None:
        for account in self.accounts:
            account.check_silence()

    async def _check_terms(self) -> None:
        for terms in self._terms:
            await terms.check()

    async def _keep_dead_men(self) -> None:
        for dead_man in self._dead_men.values():
            await dead_man.keep()

    async def _measure_clocks(self) -> None:
        for desk in self._desks:
            try:
                await desk.measure_skew()
            except (CallError, VenueUnreachableError) as fault:
                desk.note("clock_unmeasured", {"account": desk.name, "text": str(fault)})

    async def _keep_logins(self) -> None:
        for account in self.accounts:
            await account.keep_login()

    @property
    def _clock(self) -> Clock:
        return self._desks[0].clock

    @property
    def _options(self) -> CEXOptions:
        return self._desks[0].options


def _discard(event: FeedEvent) -> None:
    """Before ``run`` nobody listens."""
