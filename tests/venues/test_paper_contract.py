"""All paper wallets keep the venue contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from basis_daemon.domain.instrument import Instrument, MarginTier, PositionKey
from basis_daemon.domain.market import BookTick
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import AccountSource, ExecutionInterface
from basis_daemon.venues.paper.faults import Fault, FaultKind, FaultPlan
from basis_daemon.venues.paper.venue import PaperAccountSpec, PaperVenue
from tests.venue_contract import VenueContract, VenueUnderTest
from tests.venues.paper_support import CASH, MARGIN, PERP_BTC, SPECS, SPOT_BTC, START, D, Tape, tick

SPOT = replace(SPOT_BTC, quantity_step=D("0.00001"), quantity_min=D("0.00001"))  # one step is below the least notional
PERP = replace(PERP_BTC, notional_min=D(100))
PURSE = PositionKey("binancecoinm:spot:BTC")
INVERSE = replace(
    PERP_BTC, key=PositionKey("binancecoinm:perp:BTCUSD"), quote="USD", contract_value=D(100), quantity_step=D(1),
    quantity_min=D(1), quantity_max=D(1_000_000), notional_min=D(0),
    tiers=(MarginTier(D(0), D(3_000), D("0.01"), D(0), D(50)),),
)  # fmt: skip
COINM = PaperAccountSpec("binancecoinm", trades_spot=False, trades_perps=True)


class SteppedClock:
    """Time that a test pushes on; nobody waits for it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic_ns(self) -> int:
        return int(self.seconds * 1_000_000_000)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class PaperUnderTest:
    """One account of a paper venue in a still market."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._clock, self._tape, self._faults = SteppedClock(), Tape(), FaultPlan()
        held = {CASH: D(1_000_000), MARGIN: D(1_000_000), PURSE: D(2)}
        venue = PaperVenue((*SPECS, COINM), self._clock, held, faults=self._faults)
        venue.list_instruments([SPOT, PERP, INVERSE])
        venue.connect(self._tape)
        venue.on_market(self.book())
        self.venue, account = venue, venue.accounts[instrument.key.venue]
        self.interface: ExecutionInterface = account
        self.source: AccountSource = account

    @property
    def trades(self) -> Sequence[Trade]:
        return self._tape.trades

    @property
    def wall(self) -> datetime:
        return self._clock.wall()

    def book(self) -> BookTick:
        size = D(2) if self.instrument.contract_value is None else D(200)
        bids, asks = (tuple((D(60_000) + s * D(gap), size) for gap in (1, 10)) for s in (-1, 1))
        return tick(self.instrument.key, bids, asks)

    def lose_answer(self) -> None:
        self._faults.add(1, Fault(FaultKind.LOST_AFTER_ACCEPT))

    def lose_request(self) -> None:
        self._faults.add(1, Fault(FaultKind.LOST_BEFORE_ACCEPT))

    def pass_time(self, seconds: float) -> None:
        self._clock.seconds += seconds


@pytest.mark.feature("Q04", part="paper")
class TestPaper(VenueContract):
    @pytest.fixture(params=[SPOT, PERP, INVERSE], ids=["spot", "perp", "inverse"])
    def account(self, request: pytest.FixtureRequest) -> VenueUnderTest:
        return PaperUnderTest(request.param)
