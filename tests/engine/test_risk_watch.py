"""Risk read off a living daemon, and the same out of its journal: one view, whoever is asked."""

from __future__ import annotations

from functools import partial

import pytest

from basis_daemon.domain.caps import Caps
from basis_daemon.domain.risk_book import RiskTerms
from basis_daemon.domain.stress import Grid
from basis_daemon.domain.threats import ladder_state
from basis_daemon.engine.book_view import BookView
from basis_daemon.engine.plan_view import plan_view
from basis_daemon.engine.risk_views import journal_risk, risk
from basis_daemon.engine.risk_watch import RiskWatch, Watched
from basis_daemon.engine.stress_view import journal_stress, stress_view
from basis_daemon.strategies.basis import BtcBasis
from tests.builders import POOR, parameters
from tests.engine.turn_support import Room, opened, paired_rig
from tests.venues.paper_support import CASH, COIN, FUTURES, MARGIN, PERP, WALLET, D

TERMS = RiskTerms(
    shocks={"BTC": D("0.20")},
    caps=Caps(exchange_of={WALLET: "binance", FUTURES: "binance"}),
    ways=BtcBasis(parameters()).charter.ways,
    m_star=D("0.4"),
)


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
        assert {leg["what"] for leg in live["unwind"]["legs"]} == {COIN, PERP}
        assert D(live["unwind"]["cost_usdt"]) > 0
        assert D(live["unwind"]["bp_of_equity"]) > 0


@pytest.mark.feature("K04", part="daemon")
async def test_an_account_that_no_longer_answers_is_unknown_and_not_as_safe_as_it_was() -> None:
    async with opened(Room(paired_rig(cash=10_000), rate=POOR)) as room:
        watch = watching(room)
        await room.rig.clock.advance(30)
        room.say()
        found = risk(watch.books(), room.rig.state.market_time)
        assert (found["state"], found["z"], found["hours_drift"]) == ("UNKNOWN", None, None)
        assert found["binding"]["missing"] == [f"account:{FUTURES}"]


@pytest.mark.feature("K11", part="daemon")
async def test_the_grid_over_a_living_book_names_its_short_as_the_first_to_fall() -> None:
    """M .4 with mm .005: +39.3 % liquidates; the hedged pair keeps its equity until then."""
    grid = Grid(price=(D(0), D("0.33"), D("0.5")), outages=None)
    async with opened(Room(paired_rig(cash=10_000), rate=POOR)) as room:
        watch = watching(room)
        assert await room.valuer.value_now()
        live, kept = stress_view(watch.books(), grid), journal_stress(BookView().fold(room.rig.journal.read()), grid)
        assert live == kept
        alone = [cell for cell in live["cells"] if cell["outage"] is None]
        assert [cell["equity_usdt"] for cell in alone[:2]] == ["94000", "94000"]
        assert [cell["first_casualty"] and cell["first_casualty"]["how"] for cell in alone] == [
            None, "EMERGENCY", "liquidated"
        ]  # fmt: skip
        assert live["first_casualties"][FUTURES] > 0
        assert live["equity_usdt"] == "94000"


@pytest.mark.feature("K04", part="daemon")
async def test_the_plan_of_a_living_book_names_the_cash_that_its_ladder_would_draw() -> None:
    """M .4 falls to .15 as the mark rises to 73,000: with z below 1 the spot wallet's cash is the first source."""
    async with opened(Room(paired_rig(cash=20_000), rate=POOR, is_armed=lambda: False)) as room:
        watch = watching(room)
        assert plan_view(watch.books())["needs"] == 0
        await room.at(2, price=73_000)
        found = plan_view(watch.books())
        (repair,) = found["strategies"][0]["repairs"]
        assert repair["threat"]["state"] in {"TOP-UP", "REDUCE"}
        assert [(move["from"], move["to"]) for move in repair["moves"]] == [(CASH, MARGIN)]
        assert D(repair["covered"]) >= D(repair["needed"]) > 0


@pytest.mark.feature("K07", part="cex-engine")
@pytest.mark.parametrize(
    ("price", "state", "reason"),
    [
        (62_000, "ACTIVE", None),
        (73_000, "TOP-UP", "LIQ_TOPUP"),
        (76_500, "REDUCE", "LIQ_REDUCE"),
        (80_000, "EMERGENCY", "LIQ_EMERGENCY"),
    ],
)
async def test_the_ladder_that_the_view_shows_is_the_one_that_acts_and_it_ends_active(
    price: int, state: str, reason: str | None
) -> None:
    """M .4 of a pair without cash: the long leg is sold and the short bought back until the view is calm again."""
    async with opened(Room(paired_rig(), rate=POOR)) as room:
        watch = watching(room)
        seen: list[str] = []
        watch.on_look = lambda threats: seen.append(ladder_state(threats).value)
        room.say(price=price, at_s=1)
        watch.exposures()
        await room.at(20, price=price)
        await room.at(40, price=price)
        assert seen == [state]
        defended = [each for each in room.reasons if each.startswith("LIQ")]
        assert defended[:1] == ([] if reason is None else [reason])
        assert risk(watch.books(), room.rig.state.market_time)["state"] == "ACTIVE"
