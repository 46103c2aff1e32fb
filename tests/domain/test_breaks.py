"""A difference between book and venue: what it most likely is, and what is done about each kind."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.domain.breaks import TREATMENTS, Clues, Policy, breaks_markdown, classify
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.position import AccountReport, Break, BreakKind
from tests.builders import CASH, MARGIN, NOW, PERP, SPOT, D

PAGE = Path(__file__).resolve().parents[2] / "docs" / "breaks.md"
BNB = PositionKey("binanceusdm:spot:BNB")
pytestmark = pytest.mark.feature("R06", part="cex")


def kind_of(key: PositionKey, off: str, clues: Clues, *, minute: int = 30, notional: int = 60_000) -> BreakKind:
    """The kind of a difference of ``off`` in a report ``minute`` minutes after a full hour."""
    item = Break(key, D(1000), D(1000) + D(off), D(1), BreakKind.UNKNOWN)
    at = NOW.replace(minute=minute)
    costs = {PERP: D(-notional)} if notional else {}
    report = AccountReport(key.venue, at, 0, {}, frozenset({Kind.SPOT, Kind.PERP}), open_notional=costs)
    return classify(item, report, clues)


BEFORE_THE_HOUR = Clues(NOW - timedelta(minutes=5))
AFTER_THE_HOUR = Clues(NOW + timedelta(minutes=20))
TRADED = Clues(NOW + timedelta(minutes=20), {MARGIN: D(30_000), SPOT: D("0.5")}, frozenset({"USDT"}))


@pytest.mark.parametrize(
    ("key", "off", "clues", "expected"),
    [
        (PERP, "-0.5", AFTER_THE_HOUR, BreakKind.EXTERNAL),
        (MARGIN, "-15", TRADED, BreakKind.FEE),  # 5 bp of what was traded
        (MARGIN, "-61", TRADED, BreakKind.UNKNOWN),  # more than any fee
        (MARGIN, "15", TRADED, BreakKind.UNKNOWN),  # nobody pays us a fee
        (SPOT, "-0.0005", TRADED, BreakKind.FEE),
        (MARGIN, "6", BEFORE_THE_HOUR, BreakKind.FUNDING),
        (MARGIN, "-6", BEFORE_THE_HOUR, BreakKind.FUNDING),  # a short pays too
        (MARGIN, "6", AFTER_THE_HOUR, BreakKind.UNKNOWN),  # no settlement since
        (MARGIN, "1801", BEFORE_THE_HOUR, BreakKind.UNKNOWN),  # beyond every cap
        (MARGIN, "-50", AFTER_THE_HOUR, BreakKind.UNKNOWN),
        (BNB, "-0.01", Clues(fee_assets=frozenset({"BNB"})), BreakKind.FEE),
        (MARGIN, "500", Clues(differences={CASH: D(-500)}), BreakKind.EXTERNAL),
        (MARGIN, "500", Clues(differences={CASH: D(-499)}), BreakKind.UNKNOWN),
    ],
)
def test_a_difference_is_what_its_size_and_its_moment_say(
    key: PositionKey, off: str, clues: Clues, expected: BreakKind
) -> None:
    assert kind_of(key, off, clues) is expected


def test_without_a_position_no_settlement_explains_anything() -> None:
    assert kind_of(MARGIN, "6", BEFORE_THE_HOUR, notional=0) is BreakKind.UNKNOWN


def test_what_was_only_a_reason_to_ask_again_stays_that() -> None:
    item = Break(PERP, Decimal(0), Decimal(1), Decimal(0), BreakKind.LAG)
    report = AccountReport("binanceusdm", NOW, 0, {}, frozenset({Kind.PERP}))
    assert classify(item, report, Clues()) is BreakKind.LAG


def test_every_kind_has_its_policy_and_the_page_is_the_generated_one() -> None:
    assert TREATMENTS.keys() == set(BreakKind)
    assert {t.policy for t in TREATMENTS.values()} == set(Policy)
    assert PAGE.read_text(encoding="utf-8") == breaks_markdown()
