"""One exchange with one key: builds what the wiring needs and owns its session, limiter and desks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import aiohttp

from basis_daemon.domain.errors import ConfigError, VenueUnreachableError
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.ports import Clock, TaskScope, TradeSink
from basis_daemon.venues.cex.account import CEXAccountSource
from basis_daemon.venues.cex.boot import learn_market_time, read_instruments
from basis_daemon.venues.cex.ccxt_client import client_pair
from basis_daemon.venues.cex.custody import CEXCustody
from basis_daemon.venues.cex.dead_man import DeadManSwitch, OpenOrders
from basis_daemon.venues.cex.desk import Desk, MarketTime
from basis_daemon.venues.cex.feed import CEXFeed
from basis_daemon.venues.cex.interface import CEXExecutionInterface
from basis_daemon.venues.cex.limiter import WeightLimiter
from basis_daemon.venues.cex.network import open_session
from basis_daemon.venues.cex.options import CEXOptions, Note, ignore_note
from basis_daemon.venues.cex.outcome import CallError
from basis_daemon.venues.cex.quirks import VenueQuirks
from basis_daemon.venues.cex.read_only import Gate, Inspection, ReadOnly
from basis_daemon.venues.cex.transfer import TransferExecutionInterface


class CEXVenue:
    """``limiter`` is shared by all keys of one IP; ``open_orders`` is the book's word on what of ours is open.

    The feed's start opens everything, its ``close`` closes it.
    """

    def __init__(
        self,
        quirks: VenueQuirks,
        options: CEXOptions,
        clock: Clock,
        note: Note = ignore_note,
        limiter: WeightLimiter | None = None,
        open_orders: OpenOrders = tuple,
    ) -> None:
        self._quirks, self._options, self._clock = quirks, options, clock
        self._limiter = limiter or WeightLimiter(quirks.pools, clock, note)
        self._session: aiohttp.ClientSession | None = None
        self.market_time = MarketTime()
        self.desks = {
            account.name: Desk(quirks, account, options, clock, note)
            for account in quirks.accounts
            if (account.has_spot and options.spot_assets) or (account.has_perps and options.perp_symbols)
        }
        self.dead_men = {name: DeadManSwitch(desk, open_orders) for name, desk in self.desks.items()}

    @property
    def accounts(self) -> tuple[str, ...]:
        """Every wallet in use."""
        return tuple(self.desks)

    def interface(self, account: str, on_trade: TradeSink) -> CEXExecutionInterface:
        """Orders of one wallet. Raises ConfigError for a wallet that is not in use."""
        return CEXExecutionInterface(self._desk(account), self.dead_men[account], on_trade)

    def source(self, account: str) -> CEXAccountSource:
        """Reports of one wallet."""
        is_signing = account == self._quirks.transfer_account
        others = [w for w in self._quirks.accounts if is_signing and w.name != account and w.name in self.desks]
        return CEXAccountSource(self._desk(account), self.market_time, others)

    def feed(self, scope: TaskScope) -> CEXFeed:
        """The streams of all wallets; one per venue."""
        return CEXFeed(tuple(self.desks.values()), self.dead_men, self.market_time, scope, self.open, self.close)

    def transfers(self, on_trade: TradeSink) -> TransferExecutionInterface:
        """Moves between this venue's wallets. Raises ConfigError when the wallet that signs them is not in use."""
        desk = self._desk(self._quirks.transfer_account)
        return TransferExecutionInterface(desk, self._quirks.accounts, self.market_time, on_trade)

    def custody(self, is_own_transfer: Callable[[str, str], bool]) -> CEXCustody:
        """How coin comes and goes over a chain. Raises ConfigError where the exchange, or its play money, cannot."""
        desk = self._desk(self._quirks.transfer_account)
        desk.is_own_transfer = is_own_transfer
        return CEXCustody(desk, self.market_time)

    async def open(self) -> None:
        """A session and two clients per wallet. Raises ConfigError when hosts and modes do not match."""
        gate: Gate | None = ReadOnly(self._quirks) if self._options.is_read_only else None
        await self._open(gate)

    async def inspect(self) -> Mapping[PositionKey, Instrument]:
        """Open for questions alone, so that `source` answers: nothing is set, no stream is opened, nothing is changed.

        Raises ConfigError, VenueUnreachableError.
        """
        await self._open(Inspection(self._quirks))
        found: dict[PositionKey, Instrument] = {}
        try:
            for desk in self.desks.values():
                await desk.load_markets()
                await desk.measure_skew()
                desk.instruments = await read_instruments(desk)
                found |= desk.instruments
                await learn_market_time(desk, self.market_time)
        except CallError as fault:
            raise VenueUnreachableError(f"inspection: {fault.text}") from fault
        return found

    async def _open(self, gate: Gate | None) -> None:
        self._session = open_session(self._options.network, gate.check_request if gate else None)
        for desk in self.desks.values():
            desk.connect(client_pair(self._quirks, desk.quirks, self._options, self._session, self._limiter, gate))

    async def close(self) -> None:
        """Close every client and the session."""
        session, self._session = self._session, None
        try:
            for desk in self.desks.values():
                await desk.disconnect()
        finally:
            if session is not None:
                await session.close()

    def _desk(self, account: str) -> Desk:
        if account not in self.desks:
            raise ConfigError(f"account {account!r} is not in use, expected one of {', '.join(self.desks)}")
        return self.desks[account]
