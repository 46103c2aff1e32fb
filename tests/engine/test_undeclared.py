"""A balance found under an undeclared key is an alert, not a trade: told, shown, reconciled, and counted in nothing."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick
from basis_daemon.domain.position import PositionBook
from basis_daemon.engine import views
from basis_daemon.engine.book_view import BookView
from basis_daemon.engine.codec import load
from basis_daemon.engine.picture import PictureMaker
from basis_daemon.engine.valuation import Mandate, ValuationRow, Valuer
from basis_daemon.ports import RecordKind
from tests.builders import NOW, POOR, spot_instrument
from tests.engine.support import BNB, agrees
from tests.engine.turn_support import Room, idle_rig, opened, paired_rig
from tests.venues.paper_support import D, stamp

AIRDROP = PositionKey("binance:spot:PEPE")
TOLD = "balance under an undeclared key"


async def valued(room: Room, valuer: Valuer | None = None) -> ValuationRow:
    """The valuation taken now, as the journal has it."""
    assert await (valuer or room.valuer).value_now()
    row = room.rig.journal.latest(RecordKind.VALUATION)
    assert row is not None
    return load(ValuationRow, row.record.payload)


def arrives(room: Room, key: PositionKey, amount: Decimal) -> None:
    """The venue books it and its record says so."""
    room.rig.stage.venue.deposit(key, amount)
    room.rig.handler.process_cash_flows(room.rig.stage.venue.exchange.tape.flows("binance"))


async def test_an_airdrop_is_told_once_shown_reconciled_and_part_of_no_equity() -> None:
    async with opened(Room(paired_rig(), rate=POOR)) as room:
        before = await valued(room)
        arrives(room, AIRDROP, D(1_000_000))
        rows = [await valued(room) for _ in range(3)]
        assert [row.equity_usdt for row in rows] == [before.equity_usdt] * 3
        assert {row.components["unexplained"] for row in rows} == {0}
        assert {row.components["flows"] for row in rows} == {0}
        assert rows[-1].net_delta == before.net_delta
        assert rows[-1].undeclared == {AIRDROP: D(1_000_000)}
        assert room.alarms.count(TOLD) == 1
        assert agrees(room.rig)
        assert room.rig.state.breaks == {}
        room.say(at_s=1)
        view = BookView().fold(room.rig.journal.read())
        (said,) = views.status(view)["strategies"]
        assert said["undeclared"] == {AIRDROP: "1000000"}


async def test_a_strategy_with_an_airdrop_at_its_account_trades_on() -> None:
    async with opened(Room(idle_rig())) as room:
        arrives(room, AIRDROP, D(1_000_000))
        await room.at(20)
        assert "STALE" not in room.reasons
        assert "ENTRY" in room.reasons


async def test_an_airdrop_that_leaves_is_told_again_when_it_comes_back() -> None:
    async with opened(Room(paired_rig(), rate=POOR)) as room:
        for amount in (5, -5, 5):
            arrives(room, AIRDROP, D(amount))
            assert (await valued(room)).components.get("unexplained", 0) == 0
        assert room.alarms.count(TOLD) == 2


async def test_dust_that_no_break_is_made_of_hinders_no_valuation() -> None:
    async with opened(Room(paired_rig(), rate=POOR)) as room:
        room.rig.stage.venue.exchange.wallets.pay(AIRDROP, D("0.00005"))
        assert (await valued(room)).equity_usdt == 84_000


async def test_a_coin_that_pays_fees_no_longer_leaves_the_equity_as_a_flow_and_no_loss() -> None:
    async with opened(Room(paired_rig(), rate=POOR)) as room:
        room.rig.state.instruments[BNB] = spot_instrument(BNB, "BNB")
        room.rig.mailbox.put(BookTick(BNB, stamp(0), 0, ((D(499), D(9)),), ((D(501), D(9)),)))
        arrives(room, BNB, D(2))
        before = await valued(room)
        assert before.equity_usdt == 85_000
        strategy = room.engines[0].strategy
        pictures = PictureMaker(
            mailbox=room.rig.mailbox, monitor=room.rig.monitor, recorder=room.rig.recorder, freshness=room.freshness,
            clock=room.rig.clock, grace_ns=0, risk_of=room.desks[0].view,
        )  # fmt: skip
        valuer = Valuer(
            mandate=Mandate(strategy.name, D("0.05")), recorder=room.rig.recorder, reconcilers=room.reconcilers,
            survey=partial(pictures.survey, strategy), alarm=room.rig.alarm, step=room.valuer._step,
        )  # fmt: skip
        row = await valued(room, valuer)
        assert (row.equity_usdt, row.components["flows"], row.components["unexplained"]) == (
            D(84_000),
            D(-1_000),
            D(0),
        )
        assert (row.unit_value, row.latched) == (before.unit_value, "")


@pytest.mark.parametrize("key", ["binanceusdm:perp:DOGEUSDT", "aave_v3:vdebt:WETH", "binance:transit:BTC"])
def test_a_position_a_debt_and_what_is_on_its_way_are_never_overlooked(key: str) -> None:
    book = PositionBook(1, NOW, {PositionKey(key): D(1), AIRDROP: D(3)}, {})
    assert book.undeclared(frozenset(), frozenset()) == {AIRDROP: D(3)}
    assert book.undeclared(frozenset(), frozenset({"PEPE"})) == {}
    assert book.undeclared(frozenset({AIRDROP}), frozenset()) == {}
