"""Interest whose row was lost with the end of a run, after the transaction that paid it back or took it out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.venues.chain.addresses import shipped
from basis_daemon.venues.chain.bookings import Bookings
from basis_daemon.venues.chain.endpoint import Header
from basis_daemon.venues.chain.eye import ChainEye, Sight
from basis_daemon.venues.chain.own_moves import OwnMoves
from basis_daemon.venues.chain.source import ChainAccountSource
from basis_daemon.venues.chain.tokens import AAVE, atoken, vdebt
from tests.venues.chain.support import OWNER

NOW = datetime(2026, 1, 5, tzinfo=UTC)
BLOCK = BlockRef(10, "0xb10", NOW)


class Seen(ChainEye):
    """Everything there is at one block."""

    def __init__(self, held: Mapping[PositionKey, Decimal]) -> None:
        self._all = held

    async def newest(self) -> Header:
        return Header(BLOCK, "0xb9", 1)

    async def look(self, block: BlockRef) -> Sight:
        return Sight(block, self._all)


async def accrued(key: PositionKey, booked: str, held: str) -> list[Decimal]:
    """What the first look of a life tells, of whose transactions none is told again."""
    clock, book = SystemClock(), {key: Decimal(booked)}
    bookings = Bookings(shipped("mainnet"), OWNER, clock, lambda _: None, lambda _: None)
    own = OwnMoves(bookings, lambda: False, lambda _: False)
    source = ChainAccountSource(AAVE, Seen({key: Decimal(held)}), clock, lambda: book, own)
    return [flow.amount for flow in await source.fetch_cash_flows(NOW - timedelta(days=1))]


@pytest.mark.fault("F47")
@pytest.mark.parametrize("key", [vdebt("WETH"), atoken("WETH")])
async def test_what_was_paid_back_or_taken_out_beyond_the_book_had_grown_before(key: PositionKey) -> None:
    assert await accrued(key, "-0.5", "0") == [Decimal("0.5")]


async def test_what_no_balance_can_have_done_by_itself_is_left_for_the_reconciliation() -> None:
    assert await accrued(atoken("WETH"), "0", "0.5") == []
    assert await accrued(atoken("WETH"), "-0.5", "3") == []
    assert await accrued(vdebt("WETH"), "0.5", "0") == []
