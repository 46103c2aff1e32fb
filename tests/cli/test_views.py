"""What an operator asks a book is answered from its journal rows alone, and every answer can be traced to a reason."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import orjson
import pytest

from basis_daemon.cli import tables
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.position import Break, BreakKind
from basis_daemon.engine import views
from basis_daemon.engine.book_view import BookView
from basis_daemon.engine.codec import BreakRow, PlanRow
from basis_daemon.engine.profit import pnl
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import recover
from basis_daemon.engine.why import UnknownIdError, blocking_sentence, why
from basis_daemon.journal.memory import MemoryJournal
from tests.builders import NOW, PERP, SPOT, D, idle, perp_instrument, spot_instrument
from tests.demo.story import BOOK, ENTRY_PRICE, FUNDING, PLAN, Story, story_on, told
from tests.journal.builders import RUN, StandingClock, open_journal


@pytest.fixture
async def story() -> Story:
    return await told()


async def test_status_names_the_last_decision_the_guard_and_what_is_in_doubt(story: Story) -> None:
    found = views.status(story.view)
    assert found["guard"] == {"state": "ACTIVE", "why": "", "is_flattening": False}
    assert (found["in_doubt"], found["breaks"], found["trades"], found["orders"]) == ([], [], 2, 3)
    (strategy,) = found["strategies"]
    assert (strategy["reason"], strategy["decision"]) == ("HOLD", 3)
    assert strategy["decisions"] == {"ENTRY": 1, "HOLD": 2}


async def test_status_counts_breaks_that_were_opened_and_closed(story: Story) -> None:
    found = Break(SPOT, D(1), D(2), D("0.1"), BreakKind.UNKNOWN)
    story.recorder.record(BreakRow(is_open=True, found=found), SPOT)
    assert views.status(story.view)["breaks"][0]["difference"] == "1"
    story.recorder.record(BreakRow(is_open=False, found=found), SPOT)
    after = views.status(story.view)
    assert (after["breaks"], after["breaks_opened"]) == ([], 1)


@pytest.mark.feature("C09")
def test_status_says_of_each_account_whether_its_switch_is_armed_or_that_its_venue_has_none() -> None:
    renewed = {"binanceusdm:perp:BTCUSDT": "2026-01-05T00:00:41+00:00"}
    said = {
        "binance": {"exists": False, "why": "binance has none"},
        "binanceusdm": {"exists": True, "armed": renewed, "withheld": []},
        "other": {"exists": True, "armed": {}, "withheld": ["other:perp:X"]},
    }
    assert tables.dead_man(said) == [
        ("dead man binance", "binance has none"),
        ("dead man binanceusdm", "binanceusdm:perp:BTCUSDT (renewed 2026-01-05 00:00:41)"),
        ("dead man other", "idle: nothing rests; withheld for stops on other:perp:X"),
    ]


async def test_a_view_folded_in_two_pieces_is_the_view_folded_at_once(story: Story) -> None:
    rows = story.journal.read()
    piecewise = BookView().fold(rows[:7]).fold(rows[:12]).fold(rows)
    for view in (views.status, views.positions, views.orders, views.trades, pnl):
        assert view(piecewise) == view(story.view)


async def test_positions_are_valued_at_the_newest_valuation(story: Story) -> None:
    found = {row["key"]: row for row in views.positions(story.view)["positions"]}
    assert Decimal(found[SPOT]["value"]) == Decimal(found[SPOT]["quantity"]) * 61_000
    perp = found[PERP]
    assert (perp["underlying"], perp["entry_price"]) == ("BTC", "60000")
    assert Decimal(perp["unrealised"]) == D("-1.186") * (61_012 - 60_000)


async def test_the_value_of_all_positions_is_the_equity(story: Story) -> None:
    found = views.positions(story.view)
    cash = sum(Decimal(row["value"]) for row in found["positions"] if row["key"] != PERP)
    unrealised = sum(Decimal(row["unrealised"]) for row in found["positions"] if row["key"] == PERP)
    assert cash + unrealised == Decimal(found["equity_usdt"])


async def test_a_key_without_a_price_has_no_value_instead_of_none(story: Story) -> None:
    view = BookView().fold([row for row in story.journal.read() if row.record.kind != "valuation"])
    row = next(row for row in views.positions(view)["positions"] if row["key"] == SPOT)
    assert (row["price"], row["value"]) == (None, None)


async def test_orders_tell_what_was_asked_what_came_of_it_and_for_which_plan(story: Story) -> None:
    found = views.orders(story.view)
    assert [row["state"] for row in found["orders"]] == ["FILLED"] * 3
    short = found["orders"][-1]
    assert (short["side"], short["filled"], short["average_price"]) == ("SELL", "1.186", "60000")
    assert (short["plan_id"], short["reason"]) == (PLAN, "ENTRY")


async def test_only_open_orders_and_only_the_last_ones_can_be_asked_for(story: Story) -> None:
    assert views.orders(story.view, only_open=True)["orders"] == []
    last = views.orders(story.view, last=1)
    assert (len(last["orders"]), last["total"]) == (1, 3)
    assert [row["trade_id"] for row in views.trades(story.view, last=2)["trades"]] == ["fill-1", "fill-2"]


async def test_trades_carry_fees_deltas_and_the_reason_of_their_order(story: Story) -> None:
    found = views.trades(story.view)
    assert (found["total"], found["fills"]) == (3, 2)
    bought = found["trades"][1]
    assert bought["fees"] == {"BTC": "0.00118719"}
    assert (bought["side"], bought["reason"], bought["liquidity"]) == ("BUY", "ENTRY", "taker")


@pytest.mark.feature("P03", part="view")
async def test_the_causes_sum_to_the_change_of_equity_and_nothing_is_unexplained(story: Story) -> None:
    found = pnl(story.view)
    causes = {cause: Decimal(amount) for cause, amount in found["by_cause"].items()}
    assert sum(causes.values()) == Decimal(found["change"])
    assert Decimal(found["equity_end"]) - Decimal(found["equity_start"]) == Decimal(found["change"])
    assert (found["residual"], found["by_cause"]["unexplained"]) == ("0", "0")


@pytest.mark.feature("P02", part="view")
async def test_profit_and_loss_is_split_into_funding_fees_basis_and_price(story: Story) -> None:
    causes = pnl(story.view)["by_cause"]
    assert Decimal(causes["funding"]) == FUNDING
    assert Decimal(causes["fees"]) == D("-0.00118719") * 60_000 - D("35.58")
    assert Decimal(causes["basis"]) == D("-1.186") * (12 - 30)
    move, since_the_fill = (D("1.18600281") - D("1.186")) * 1_000, -D("1.186") * 30
    assert Decimal(causes["price"]) == move + since_the_fill


async def test_every_valuation_keeps_its_own_components(story: Story) -> None:
    rows = pnl(story.view)["valuations"]
    assert [row["time"][11:16] for row in rows] == ["00:00", "01:00", "08:00"]
    assert Decimal(rows[2]["components"]["funding"]) == FUNDING


async def test_a_book_that_was_never_valued_has_no_profit_and_no_loss() -> None:
    assert pnl(BookView())["equity_start"] is None
    assert views.status(BookView())["equity_usdt"] is None


@pytest.mark.feature("S13", part="why")
async def test_why_an_order_was_sent_is_its_decision_with_inputs_thresholds_and_rejected_rules(story: Story) -> None:
    order = story.orders[2]
    found = why(story.view, order.order_id)
    assert found["kind"] == "order"
    assert [step["state"] for step in found["steps"]] == ["SUBMITTED"]
    decision = found["decision"]
    assert (decision["reason"], decision["orders"]) == ("ENTRY", [o.order_id for o in story.orders])
    assert decision["inputs"]["f_hat:binance"]["value"] == "0.0003"
    assert decision["inputs"][f"book:{SPOT}"]["age_s"] == "0.1"
    assert decision["thresholds"]["m_star:binance"] == "0.4"
    rejected = {row["rule"]: row["why"] for row in decision["rejected"]}
    assert rejected["SCALE"] == "no pair stands"
    assert [target["key"] for target in decision["targets"]] != []


@pytest.mark.feature("S13", part="why")
async def test_the_first_letters_of_an_order_id_are_enough_when_they_are_unique(story: Story) -> None:
    order = story.orders[0]
    assert why(story.view, order.order_id[:8])["order"]["order_id"] == order.order_id


@pytest.mark.feature("S13", part="why")
async def test_why_a_trade_happened_leads_to_the_same_decision(story: Story) -> None:
    found = why(story.view, "fill-1")
    assert (found["kind"], found["trade"]["order_id"]) == ("trade", story.orders[1].order_id)
    assert found["decision"]["reason"] == "ENTRY"


@pytest.mark.feature("S13", part="why")
async def test_why_a_plan_ran_tells_its_life_and_its_orders(story: Story) -> None:
    found = why(story.view, PLAN)
    assert [step["state"] for step in found["plan"]["steps"]] == ["ACCEPTED", "RUNNING", "DONE"]
    assert found["plan"]["orders"] == [order.order_id for order in story.orders]


@pytest.mark.feature("S13", part="why")
async def test_why_nothing_is_traded_is_the_last_hold_of_the_strategy(story: Story) -> None:
    found = why(story.view, BOOK)
    assert (found["kind"], found["decision"]["decision"]) == ("no_trade", 3)
    assert {row["rule"] for row in found["decision"]["rejected"]} >= {"ENTRY", "CARRY_EXIT", "DELTA"}


@pytest.mark.feature("S13", part="why")
async def test_why_a_denied_plan_was_not_sent_names_the_gate(story: Story) -> None:
    story.decide(4, idle(), ("f" * 32,), denied=("notional_cap: 71287, limit 50000 USDT",))
    found = why(story.view, BOOK)
    assert found["decision"]["denied"] == ["notional_cap: 71287, limit 50000 USDT"]


async def test_an_unknown_id_says_what_would_be_known(story: Story) -> None:
    with pytest.raises(UnknownIdError, match=r"'nonsense' is no order, trade, plan or strategy .* \(btc_basis\)"):
        why(story.view, "nonsense")


async def test_a_journal_without_trades_tells_the_commonest_reason_in_its_newest_words() -> None:
    story = story_on((await told()).journal)
    for number, rate in enumerate((D("0.00004"), D("0.00003")), start=4):
        story.decide(number, idle(rates={"binance": (rate,) * 30}))
    sentence = blocking_sentence(story.view, BOOK)
    assert sentence is not None
    assert sentence.startswith("ENTRY not taken: binance: f_hat 0.00003 < 0.0000911416")
    assert blocking_sentence(story.view, "another") is None


async def test_delta_is_measured_between_plans_and_not_inside_clips(story: Story) -> None:
    assert max(story.view.history.deltas[BOOK]) < D("0.00001")


async def test_a_clip_that_the_end_of_a_process_cut_is_no_delta_between_plans() -> None:
    """The next life repairs it; what was naked between the two is told in seconds and notional, not here."""
    journal = MemoryJournal(StandingClock(NOW))
    story = story_on(journal)
    transfer, spot, perp = story.orders
    story.open()
    story.value(NOW, ENTRY_PRICE, ENTRY_PRICE)
    reason, ids = idle().assess().reason, tuple(order.order_id for order in story.orders)
    story.recorder.record(PlanRow(PLAN, BOOK, 2, reason, PlanState.RUNNING, ids), PLAN)
    await story.fill(transfer, 0)
    await story.fill(spot, 1)
    await story.recorder.flush()
    later = journal.after_crash()
    again = replace(story, journal=later, recorder=Recorder(recover(later), later))
    again.recorder.state.instruments = {SPOT: spot_instrument(), PERP: perp_instrument()}
    again.recorder.record(PlanRow(PLAN, BOOK, 2, reason, PlanState.ABORTED, ids, "restart"), PLAN)
    again.value(NOW, ENTRY_PRICE, ENTRY_PRICE)
    assert again.view.latest["net_delta"]["BTC"] != "0"
    assert again.view.history.deltas == {}
    repair = f"{BOOK}:2:3"
    again.recorder.record(PlanRow(repair, BOOK, 3, reason, PlanState.RUNNING, ids[2:]), repair)
    await again.fill(perp, 2)
    again.recorder.record(PlanRow(repair, BOOK, 3, reason, PlanState.DONE, ids[2:]), repair)
    assert [delta < D("0.00001") for delta in again.view.history.deltas[BOOK]] == [True]


@pytest.mark.feature("G03", part="why")
async def test_a_decision_names_the_configuration_and_the_code_that_took_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("book") / "journal.sqlite"
    journal = open_journal(path)
    story = await story_on(journal).tell()
    found = why(story.view, PLAN)["decision"]
    assert (found["config_hash"], found["code_version"]) == (RUN.config_hash, RUN.code_version)
    assert views.status(story.view)["config_hash"] == RUN.config_hash
    await journal.close()


async def test_views_are_plain_json_without_floats(story: Story) -> None:
    view = story.view
    for found in (views.status(view), views.positions(view), views.orders(view), views.trades(view), pnl(view),
                  why(view, PLAN)):  # fmt: skip
        assert orjson.loads(orjson.dumps(found)) == found
        assert not any(isinstance(value, float) for value in _values(found))


def _values(found: object) -> list[object]:
    if isinstance(found, dict):
        return [leaf for value in found.values() for leaf in _values(value)]
    if isinstance(found, list):
        return [leaf for value in found for leaf in _values(value)]
    return [found]
