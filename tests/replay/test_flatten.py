"""The whole way to flat of a hedge over exchange and chain, through gate, last hop, transfers and atomic groups."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from basis_daemon.domain.instrument import Kind
from basis_daemon.simulation.path import Point
from basis_daemon.simulation.replay import Asked, replay
from basis_daemon.wiring_book import Daemon
from tests.replay.support import DATA, HERE, SQUEEZE, Unseen, needs_data

pytestmark = [needs_data, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.feature("K09", part="replay")]
BEGUN = datetime.fromisoformat("2025-05-06T13:00:00+00:00")
HOURS = 6
RESTS = {Kind.TOKEN, Kind.SPOT}
"""Money and what is less than an order."""


class Operator(Unseen):
    """Looks at the plan six hours in, and means it."""

    def __init__(self) -> None:
        self.daemon: Daemon | None = None
        self.plan: dict[str, Any] = {}

    def see(self, point: Point, daemon: Daemon) -> None:
        self.daemon = daemon
        if not self.plan and point.at >= BEGUN + timedelta(hours=HOURS):
            self.plan = daemon.flattening.plan()
            daemon.flattening.begin("operator: leaving")


@pytest.mark.parametrize(
    ("book", "unwound"),
    [
        ("usdt_market_neutral_no_leverage", {"swap"}),
        ("usdt_market_neutral", {"flash_borrow", "repay", "withdraw", "swap", "flash_repay"}),
    ],
)
def test_a_hedge_over_exchange_and_chain_is_closed_for_what_was_said_and_flat_within_a_day(
    book: str, unwound: set[str]
) -> None:
    operator = Operator()
    asked = Asked(book, DATA / SQUEEZE, BEGUN, BEGUN + timedelta(hours=HOURS + 24), config=HERE / "hedge.yaml")
    outcome = replay(asked, {"BASIS_DAEMON__REPLAY__IS_OPEN": "true"}, operator, lambda _: None)
    (shown,) = operator.plan["strategies"]
    assert shown["orders"][0]["operation"] == "perp_trade"
    assert unwound <= {order["operation"] for order in shown["orders"]}
    assert operator.daemon is not None
    state = operator.daemon.recorder.state
    assert operator.daemon.flattening.remains() == ()
    assert {key.kind for key, amount in state.ledger.holdings().items() if amount} <= RESTS
    assert outcome.failed == ()
    said = outcome.document
    assert said["unexplained"] == "0"
    assert Decimal(said["cost_bp"]) <= Decimal(operator.plan["unwind"]["bp_of_equity"])
