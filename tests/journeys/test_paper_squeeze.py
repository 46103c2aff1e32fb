"""A paper book with too little margin in a squeeze: liquidated as the venue would, and booked to the last digit."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.domain.ledger import Cause
from tests.journeys.test_paper import PERP, RUN, WAIT_S, paper_on_a_sandbox_market

THIN = {"strategies.btc_basis.params.m_star": "0.25"}
"""The least that may be configured: with z_open 1.5 the pair opens at .3065, and a move of .30 reaches liquidation."""
SQUEEZE = "0.304"
"""Between the liquidation price and bankruptcy, which lie half a percent apart."""
FEE = Decimal("0.0125")


@pytest.mark.journey
@pytest.mark.timeout(300)
@pytest.mark.feature("Y02", part="cex")
@pytest.mark.feature("R07", part="liquidation")
async def test_a_squeeze_liquidates_a_thin_book_and_every_cent_of_it_is_booked(tmp_path: Path) -> None:
    async with paper_on_a_sandbox_market(tmp_path) as paper:
        async with paper.life(THIN) as daemon:
            await paper.entered(daemon)
            short = -paper.book().state.ledger.holding(PERP)
            await paper.exchange.post(
                "/conditions", {"price_shift": {"spot:BTCUSDT": SQUEEZE, "usdm:BTCUSDT": SQUEEZE}}
            )

            async def is_liquidated() -> bool:
                return bool(paper.book().state.ledger.total(Cause.LIQUIDATION, "USDT"))

            await daemon.until("liquidated", is_liquidated, WAIT_S)
            await paper.exchange.post("/clock", RUN)
            await paper.run_market_until(daemon, 0.6)
        after = paper.book()
    state, ledger = after.state, after.state.ledger
    assert short > 0
    assert ledger.total(Cause.LIQUIDATION, "USDT") < 0  # the fee; the fund had nothing to fill
    assert (state.breaks_opened, len(state.in_doubt())) == (0, 0)
    assert all(Decimal(valued.row["components"]["unexplained"]) == 0 for valued in after.history.valuations[1:])
    closing = [seen.row for seen in after.history.trades.values() if seen.row.trade.order_id == ""]
    assert sum((row.trade.qty_base for row in closing), Decimal(0)) == short
