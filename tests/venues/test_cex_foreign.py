"""Another hand at the account, through the real client: its trades and transfers are booked with their owner."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.engine.freshness import Freshness, FreshnessLimits
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.position_monitor import PositionMonitor
from basis_daemon.engine.position_update_handler import PositionUpdateHandler
from basis_daemon.engine.reconciler import Reconciler
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import BookState
from basis_daemon.journal.memory import MemoryJournal
from tests.venues.rig import PERP_BTC, SPOT_BTC, Rig

pytestmark = pytest.mark.slow

D = Decimal
CASH, MARGIN = PositionKey("binance:spot:USDT"), PositionKey("binanceusdm:spot:USDT")


class Book:
    """The daemon's book over both accounts of a rig, whose streams tell it nothing."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.state = BookState()
        self.state.instruments.update(rig.instruments)
        self.journal = MemoryJournal(rig.clock)
        self.state.sequence = len(self.journal.read())
        self.recorder = recorder = Recorder(self.state, self.journal)
        self.alarms: list[str] = []
        self.handler = PositionUpdateHandler(recorder, PositionMonitor(), self._alarm)
        freshness = Freshness(Mailbox(), FreshnessLimits(D(5), D(20)))
        self.reconcilers = [
            Reconciler(rig.source(account), recorder, self.handler, freshness, rig.clock, self._alarm)
            for account in rig.venue.accounts
        ]

    async def adopted(self) -> Book:
        for reconciler in self.reconcilers:
            await reconciler.adopt()
        return self

    async def period(self) -> bool:
        """One reconcile period: every account once; True when all agree."""
        return all([await reconciler.reconcile() for reconciler in self.reconcilers])

    def held(self, key: PositionKey) -> Decimal:
        return self.state.ledger.holding(key)

    def _alarm(self, what: str, facts: Mapping[str, str]) -> None:
        self.alarms.append(what)


@pytest.fixture
async def book(listening: Rig) -> Book:
    return await Book(listening).adopted()


@pytest.mark.feature("R03", part="cex")
@pytest.mark.parametrize(("market", "key"), [("usdm", PERP_BTC), ("spot", SPOT_BTC)])
async def test_a_trade_by_hand_that_no_stream_told_of_is_booked_within_one_period(
    book: Book, market: str, key: PositionKey
) -> None:
    """F18: the perp's fills and the coin's, with the fees that they cost."""
    before = book.held(key)
    event = {"kind": "trade", "market": market, "symbol": "BTCUSDT", "side": "BUY", "quantity": "0.1"}
    book.rig.exchange.happen(event)
    await book.period()
    assert book.held(key) - before == pytest.approx(D("0.1"), abs=D("0.0002"))
    assert "fill of an order that is not ours" in book.alarms
    assert await book.period()
    assert book.state.breaks == {}
    assert book.state.breaks_opened == 0


@pytest.mark.feature("R03", part="cex")
async def test_money_moved_between_the_wallets_by_hand_is_booked_at_both_ends_and_opens_no_break(book: Book) -> None:
    desk = book.rig.venue.desks["binance"]
    await desk.ask(desk.orders, "transfer", "USDT", "500", "spot", "swap", read=lambda row: row)
    before = book.held(CASH), book.held(MARGIN)
    assert not await book.period()
    assert (book.held(CASH) - before[0], book.held(MARGIN) - before[1]) == (D(-500), D(500))
    assert "transfer of another hand" in book.alarms
    assert await book.period()
    assert book.state.breaks_opened == 0
    assert book.state.ledger.total(Cause.TRANSFER, "USDT") == 0


@pytest.mark.feature("R03", part="cex")
async def test_whoever_must_know_is_told_of_each_once(book: Book) -> None:
    """What the policy `halt` hangs on: a listener hears of every foreign fill when it is booked, never twice."""
    heard: list[str] = []
    book.handler.on_foreign_fill.append(lambda trade: heard.append(trade.trade_id))
    event = {"kind": "trade", "market": "usdm", "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.01"}
    book.rig.exchange.happen(event)
    for _ in range(3):
        await book.period()
    assert len(heard) == 1


@pytest.mark.feature("R06", part="cex")
async def test_a_balance_that_nobody_explains_is_a_break_with_its_kind_and_policy(book: Book) -> None:
    account = book.rig.exchange.venue.accounts["sandbox-key"]
    account.wallet["USDT"] -= 40
    for _ in range(3):
        assert not await book.period()
        book.rig.clock.ahead += 3 * (book.rig.clock.ahead.resolution * 1_000_000)
    assert {found.key: found.kind.value for found in book.state.breaks.values()} == {MARGIN: "unknown"}
