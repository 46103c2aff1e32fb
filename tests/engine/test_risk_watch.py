"""Risk read off a living daemon, and the same out of its journal: one view, whoever is asked."""

from __future__ import annotations

from functools import partial

import pytest

from basis_daemon.domain.risk_book import RiskTerms
from basis_daemon.engine.book_view import BookView
from basis_daemon.engine.risk_views import journal_risk, risk
from basis_daemon.engine.risk_watch import RiskWatch, Watched
from tests.builders import POOR
from tests.engine.turn_support import Room, opened, paired_rig
from tests.venues.paper_support import FUTURES, PERP, D

TERMS = RiskTerms(shocks={"BTC": D("0.20")})


def watching(room: Room) -> RiskWatch:
    """As the wiring does it: every valuation is followed by what it could be liquidated by."""
    own = room.engines[0].strategy
    watch = RiskWatch({own.name: Watched(partial(room.pictures[0].survey, own), TERMS)}, room.rig.recorder)
    room.valuer.on_valued = partial(watch.keep, own.name)
    return watch


@pytest.mark.feature("K04", part="daemon")
async def test_the_view_of_the_daemon_and_of_its_journal_is_one() -> None:
    async with opened(Room(paired_rig(cash=10_000), rate=POOR)) as room:
        watch = watching(room)
        assert await room.valuer.value_now()
        live = risk(watch.books(), room.rig.state.market_time)
        kept = journal_risk(BookView().fold(room.rig.journal.read()))
        assert kept == live
        assert (live["state"], live["binding"]["site"], live["binding"]["position"]) == ("ACTIVE", FUTURES, PERP)
        assert live["binding"]["distance"] == "0.3930348259"
        assert live["strategies"][0]["equity_usdt"] == "94000"


@pytest.mark.feature("K04", part="daemon")
async def test_an_account_that_no_longer_answers_is_unknown_and_not_as_safe_as_it_was() -> None:
    async with opened(Room(paired_rig(cash=10_000), rate=POOR)) as room:
        watch = watching(room)
        await room.rig.clock.advance(30)
        room.say()
        found = risk(watch.books(), room.rig.state.market_time)
        assert (found["state"], found["z"], found["hours_drift"]) == ("UNKNOWN", None, None)
        assert found["binding"]["missing"] == [f"account:{FUTURES}"]
