"""Where the change of equity came from, by hour, by day and by strategy; and what a share was worth meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.pnl import SOURCES, by_source
from basis_daemon.domain.valuation import Shares, shares_after
from basis_daemon.engine.attribution import Asked, By, NothingValuedError, courses_of
from basis_daemon.engine.book_view import BookView, Valued
from basis_daemon.engine.profit import pnl
from basis_daemon.ports import Record, RecordKind, StoredRecord

Json = dict[str, Any]
D = Decimal
START = datetime(2024, 3, 1, tzinfo=UTC)
STORED = StoredRecord(1, 1, START, Record(RecordKind.VALUATION, START, "", "", "{}"))


class Books:
    """Valuations as a daemon would journal them, of strategies that earn, pay and are paid into."""

    def __init__(self) -> None:
        self.rows: list[Json] = []
        self._last: dict[str, tuple[Decimal, Shares]] = {}

    def value(self, strategy: str, at: datetime, parts: dict[str, Decimal], numeraire: str = "USDT") -> None:
        """``parts`` are the components since its valuation before; of its first, ``flows`` is what it has."""
        equity, before = self._last.get(strategy, (D(0), None))
        is_first, flows = before is None, parts.get("flows", D(0))
        equity += sum(parts.values(), D(0))
        shares = shares_after(before, equity, flows)
        self._last[strategy] = equity, shares
        self.rows.append({
            "strategy": strategy, "time": at.isoformat(), "equity_usdt": str(equity), "numeraire": numeraire,
            "components": {} if is_first else {name: str(amount) for name, amount in parts.items()},
            "units": str(shares.units), "unit_value": str(shares.unit_value), "unit_value_high": str(shares.high),
        })  # fmt: skip

    @property
    def view(self) -> BookView:
        view = BookView()
        view.history.valuations = [Valued(STORED, row, is_settled=True) for row in self.rows]
        return view


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


def two_days() -> Books:
    """A strategy from the start and another from noon on; the first is paid into on the second day."""
    books = Books()
    books.value("btc_basis", START, {"flows": D(1_000)})
    books.value("btc_basis", hours(12), {"funding": D(10), "fees": D(-2)})
    books.value("eth_basis", hours(12), {"flows": D(500)})
    books.value("btc_basis", hours(24), {"funding": D(12), "delta": D(3), "trading": D(-1)})
    books.value("eth_basis", hours(24), {"staking": D(5), "gas": D(-1)})
    books.value("btc_basis", hours(25), {"flows": D(1_022), "transfer_fee": D(-22)})
    books.value("btc_basis", hours(48), {"funding": D(20)})
    return books


def test_an_interval_counts_in_the_day_in_which_it_ends_and_midnight_ends_the_day_before() -> None:
    found = pnl(two_days().view, Asked(by=By.DAY))
    assert [row["period"][:10] for row in found["periods"]] == ["2024-03-01", "2024-03-02"]
    first, second = found["periods"]
    assert (first["equity_start"], first["equity_end"], first["change"]) == ("1500", "1526", "26")
    assert (second["equity_start"], second["equity_end"], second["change"]) == ("1526", "2546", "1020")
    assert {source: amount for source, amount in second["by_cause"].items() if amount != "0"} == {
        "funding": "20", "transfer": "-22", "flows": "1022",
    }  # fmt: skip


def test_what_an_intervals_own_trades_made_is_price_with_the_move_of_what_was_held() -> None:
    assert pnl(two_days().view)["by_cause"]["price"] == "2"
    assert sum(by_source({"delta": D(3), "trading": D(-1), "transfer_fee": D(-4), "funding": D(1)}).values()) == -1


def test_by_strategy_each_has_a_line_of_its_own() -> None:
    found = pnl(two_days().view, Asked(by=By.STRATEGY))
    assert {row["strategy"]: (row["change"], row["by_cause"]["funding"]) for row in found["periods"]} == {
        "btc_basis": ("1042", "42"),
        "eth_basis": ("4", "0"),
    }


@pytest.mark.feature("P04", part="view")
def test_money_that_comes_in_moves_neither_the_share_price_nor_the_return() -> None:
    found = pnl(two_days().view, Asked(strategy="btc_basis"))
    alone = D("1.022") * (D(1) - D(22) / D(1_022)) * (D(1) + D(20) / D(2_022))
    assert D(found["share_price"]["end"]) == alone.quantize(D("1e-10"))
    assert D(found["return"]) == (alone - 1).quantize(D("1e-10"))
    assert D(found["drawdown_max"]) == (D(22) / D(1_022)).quantize(D("1e-10"))


@pytest.mark.feature("P04", part="view")
def test_the_whole_book_has_one_share_price_and_a_new_strategy_brings_money_and_no_gain() -> None:
    found = pnl(two_days().view)
    until_noon, until_midnight = D(1_008) / 1_000, D(1_526) / D(1_508)
    paid, earned = D(1_526 - 22) / D(1_526), D(2_546) / D(2_526)
    expected = until_noon * until_midnight * paid * earned
    assert D(found["share_price"]["end"]) == expected.quantize(D("1e-10"))
    assert found["share_price"]["start"] == "1"
    assert D(found["share_price"]["shares"]) == (D(2_546) / expected).quantize(D("1e-10"))


def test_a_window_opens_at_the_valuation_before_it_and_closes_at_the_last_within() -> None:
    found = pnl(two_days().view, Asked(hours(12.5), hours(30), strategy="btc_basis"))
    assert (found["from"], found["to"]) == (hours(12).isoformat(), hours(25).isoformat())
    assert (found["change"], found["by_cause"]["flows"]) == ("1014", "1022")


def test_a_window_without_an_interval_and_an_unknown_strategy_say_what_there_is() -> None:
    view = two_days().view
    with pytest.raises(NothingValuedError, match=r"from 2024-03-01T00:00:00\+00:00 to 2024-03-03T00:00:00\+00:00"):
        pnl(view, Asked(hours(100)))
    with pytest.raises(NothingValuedError, match="expected one of: btc_basis, eth_basis"):
        pnl(view, Asked(strategy="sol_basis"))
    young = two_days()
    young.value("sol_basis", hours(50), {"flows": D(7)})
    with pytest.raises(NothingValuedError, match="one valuation only, at 2024-03-03T02:00:00"):
        pnl(young.view, Asked(strategy="sol_basis"))
    assert pnl(young.view)["strategies"]["sol_basis"]["change"] == "0"


def test_share_classes_are_told_apart_and_never_added() -> None:
    books = two_days()
    books.value("eth_staking_only", hours(24), {"flows": D(100)}, "ETH")
    books.value("eth_staking_only", hours(48), {"staking": D("0.01")}, "ETH")
    found = pnl(books.view, Asked(by=By.DAY))
    assert (found["numeraire"], found["equity_end"]) == ("ETH+USDT", None)
    assert {name: part["equity_end"] for name, part in found["classes"].items()} == {"ETH": "100.01", "USDT": "2546"}
    assert [(row["period"][:10], row["numeraire"]) for row in found["periods"]] == [
        ("2024-03-01", "USDT"), ("2024-03-02", "USDT"), ("2024-03-02", "ETH"),
    ]  # fmt: skip


def test_after_a_loss_of_everything_there_is_no_return_any_more() -> None:
    books = Books()
    books.value("btc_basis", START, {"flows": D(100)})
    books.value("btc_basis", hours(1), {"delta": D(-100)})
    books.value("btc_basis", hours(2), {"flows": D(50)})
    assert pnl(books.view)["return"] == "-1"
    assert pnl(books.view, Asked(hours(1)))["return"] is None
    assert pnl(books.view)["drawdown_max"] == "1"


names = st.sampled_from(
    ["delta", "basis", "trading", "funding", "fees", "slippage", "gas", "flows", "staking", "borrow"]
)
money = st.decimals(min_value=D(-200), max_value=D(300), places=6)
moves = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 40), st.dictionaries(names, money, max_size=4)),
    min_size=1,
    max_size=40,
)


@pytest.mark.feature("P02", part="interval")
@pytest.mark.feature("P03")
@given(moves)
@pytest.mark.slow
def test_sources_sum_to_the_change_of_equity_in_every_period_of_every_strategy_and_of_the_whole(
    told: list[tuple[str, int, dict[str, Decimal]]],
) -> None:
    books, at = Books(), START
    for name in "abc":
        books.value(name, at, {"flows": D(10_000)})
    for name, gone, parts in told:
        at += timedelta(hours=gone)
        books.value(name, at, parts)
    whole = pnl(books.view)
    for by in By:
        found = pnl(books.view, Asked(by=by))
        for row in found["periods"]:
            assert sum(map(D, row["by_cause"].values())) == D(row["change"])
            assert D(row["equity_end"]) - D(row["equity_start"]) == D(row["change"])
            assert row["residual"] == "0"
        for source in SOURCES:
            assert sum(D(row["by_cause"][source]) for row in found["periods"]) == D(whole["by_cause"][source])
    for course in courses_of(books.rows).values():
        assert all(step.change == sum(step.sources.values()) for step in course.intervals)
