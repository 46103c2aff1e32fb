"""The book that is counted in bitcoin, over the wire: an overlay of inverse contracts beside the coin that it holds."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.demo.stage import book_of
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.trade import OrderState
from tests.journeys.test_eth_demo import holds_the_contract, played

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]

NAME, PERP, COIN = "ml_btc_directional", "binancecoinm:perp:BTCUSD", "binancecoinm:spot:BTC"


@pytest.mark.feature("S09", part="coin")
@pytest.mark.feature("O08", part="coin-demo")
def test_it_trades_in_coin_and_every_entry_is_guarded_at_the_venue(tmp_path: Path) -> None:
    run = tmp_path / "run"
    said = played("--strategy", NAME, "--seed", "7", "--days", "1", "--keep", str(run))
    holds_the_contract(said)
    assert (said["numeraire"], said["equity_start"]) == ("BTC", "2")
    assert said["trades"] > 0
    assert said["positions"][COIN] == said["venue_positions"][COIN]
    earned = {cause: Decimal(amount) for cause, amount in said["pnl"].items()}
    assert sum(earned.values()) == Decimal(said["equity_end"]) - Decimal(said["equity_start"])
    assert abs(earned["rounding"]) <= said["trades"] * Decimal("1e-8")
    lives = book_of(run / "book" / "journal.sqlite").history.lives.values()
    entries = {life.order.order_id for life in lives if life.order.stop_loss is not None and life.cum_filled}
    stops = [life for life in lives if life.order.operation is OrderOperation.STOP]
    assert entries == {life.order.parent_id for life in stops}
    halves = {OrderOperation.STOP, OrderOperation.TAKE_PROFIT}
    assert any(life.state is OrderState.FILLED for life in lives if life.order.operation in halves)
