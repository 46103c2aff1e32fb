"""What a transaction may pay: defence more than ordinary work, whatever its operation."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.venues.chain.chain_execution import GWEI, GasCaps

DEBT, USDT = PositionKey("aave_v3:vdebt:USDT"), PositionKey("wallet:token:USDT")


def borrow(reason: str, *, reduces: bool = False) -> Order:
    return Order(
        order_id=f"{1:032x}",
        strategy="eth_basis",
        decision=1,
        leg=0,
        operation=OrderOperation.BORROW,
        venue="aave_v3",
        instrument=DEBT,
        amount=Decimal(1000),
        token_out=USDT,
        reduce_only=reduces,
        expected_deltas={USDT: Decimal(1000), DEBT: Decimal(1000)},
        reason=reason,
        created_at=datetime(2024, 3, 5, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("order", "gwei"),
    [
        (borrow("ENTRY"), 60),
        (borrow("LTV_BAND"), 60),
        (borrow("LIQ_TOPUP"), 400),  # margin that is borrowed for a threatened account
        (borrow("LIQ_EMERGENCY"), 400),
        (borrow("LTV_BAND", reduces=True), 400),
    ],
)
def test_what_the_nearest_liquidation_asks_for_may_pay_for_speed(order: Order, gwei: int) -> None:
    assert GasCaps().wei(order) == gwei * GWEI
