"""Money between wallet and exchange in a replay: the daemon's own bridge, an hour on the way, hedged as it arrives."""

from __future__ import annotations

from datetime import datetime

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.transfer import TransferRow, TransferStep
from basis_daemon.engine.codec import TradeRow, load
from basis_daemon.ports import RecordKind
from basis_daemon.simulation.replay import Asked
from basis_daemon.simulation.run import Played
from tests.replay.support import BOOM, DATA, HERE, D, needs_data, one

pytestmark = [needs_data, pytest.mark.slow, pytest.mark.timeout(600)]

FROM, DEAR = "2024-03-01T02:00:00+00:00", "2024-03-01T00:00:00+00:00"
IN_TRANSIT, CASH = PositionKey("wallet:transit:USDT"), PositionKey("bybit:spot:USDT")


def asked(start: str, end: str) -> Asked:
    first, last = (datetime.fromisoformat(at) for at in (start, end))
    return Asked("eth_basis", DATA / BOOM, first, last, HERE / "crossing.yaml")


@pytest.mark.feature("B03", part="chain")
def test_cash_of_the_wallet_travels_an_hour_and_becomes_a_pair_when_it_is_there() -> None:
    outcome, played, view = one(asked(FROM, "2024-03-01T06:00:00+00:00"))
    said = outcome.document
    steps = [row.step for row in transfers(played)]
    assert (steps[0], steps[-1]) == (TransferStep.SUBMITTING, TransferStep.DONE)
    left, came = (at for at, _ in moves(played, IN_TRANSIT))
    assert 3600 <= (came - left).total_seconds() < 3630  # noticed within seconds, not at the next point
    assert [amount for _, amount in moves(played, IN_TRANSIT)] == [D(30_000), D(-30_000)]
    assert [(act["at"][:16], act["reason"]) for act in said["acts"]] == [("2024-03-01T02:00", "ENTRY")]
    assert D(said["positions"]["bybitlinear:perp:ETHUSDT"]) < -20  # of all the money, not of 70,000
    assert view.state.ledger.holding(IN_TRANSIT) == 0
    assert D(said["max_abs_delta_settled"]) < D("0.004")
    assert (said["unexplained"], said["breaks"], said["in_doubt"], said["frozen"]) == ("0", 0, 0, 0)
    assert said["positions"] == said["venue_positions"]


def test_dear_gas_lets_nothing_leave_and_the_book_asks_again_at_the_next_bar() -> None:
    outcome, played, _ = one(asked(DEAR, "2024-03-01T02:00:00+00:00"))
    assert {row.step for row in transfers(played)} == {TransferStep.SUBMITTING, TransferStep.FAILED}
    assert all("gas at 69550000000 wei" in row.why for row in transfers(played) if row.why)
    assert outcome.document["positions"]["wallet:token:USDT"] == "30000"
    assert outcome.document["unexplained"] == "0"


def transfers(played: Played) -> list[TransferRow]:
    rows = (row.record for row in played.rows if row.record.kind is RecordKind.TRANSFER)
    return [load(TransferRow, row.payload) for row in rows]


def moves(played: Played, key: PositionKey) -> list[tuple[datetime, object]]:
    trades = (load(TradeRow, r.record.payload).trade for r in played.rows if r.record.kind is RecordKind.TRADE)
    return [(trade.recv_time, trade.deltas[key]) for trade in trades if key in trade.deltas]
