"""A replay's journal as an accountant reads it: lots, funding and fees of transfers are the change of equity."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from basis_daemon.engine.attribution import Asked as Part
from basis_daemon.engine.export import lots_of
from basis_daemon.engine.profit import pnl
from basis_daemon.ports import RecordKind
from basis_daemon.simulation.replay import Asked
from tests.replay.support import START, D, one, written


@pytest.mark.feature("P06", part="replay")
@pytest.mark.feature("P03", part="replay")
@pytest.mark.slow
def test_gains_what_is_held_and_funding_are_what_a_replay_earned_to_the_last_digit(tmp_path: Path) -> None:
    window = written(tmp_path / "window", changes=dict.fromkeys(range(20, 72), "70500"))
    outcome, played, view = one(Asked("btc_basis", window, start=START))
    assert outcome.document["actions"] == {"ENTRY": 1, "LIQ_TOPUP": 1}
    rows = list(played.rows)
    last = orjson.loads(next(r for r in reversed(rows) if r.record.kind is RecordKind.VALUATION).record.payload)
    prices = {item: Decimal(price) for item, price in {**last["prices"], **last["marks"]}.items()}
    (pools,) = lots_of(rows)
    gains = [part.gain for part in pools.closed()]
    held = [lot.quantity * prices[lot.item] - lot.cost for lot in pools.open() if lot.cost is not None]
    assert None not in gains
    assert gains
    assert held
    said = pnl(view)
    causes = {cause: D(amount) for cause, amount in said["by_cause"].items()}
    made = sum((gain for gain in gains if gain is not None), D(0)) + sum(held, D(0))
    assert made + causes["funding"] + causes["transfer"] == D(said["change"])
    assert causes["slippage"] < 0
    assert causes["slippage"] == -played.gauge.slippage
    assert pnl(view, Part())["by_cause"] == said["by_cause"]
