"""Capital that the owner of an account brings or takes away, as the venue's own record tells it to the real client."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.domain.order_ids import order_id
from basis_daemon.ports import AccountChanged
from basis_daemon.venues.cex.binance_capital import spot_deposit, spot_withdrawal
from basis_daemon.venues.cex.options import CEXOptions
from tests.venues.rig import KEY, QUIET, Rig

D = Decimal
CASH, BNB = PositionKey("binance:spot:USDT"), PositionKey("binance:spot:BNB")
HOUR = timedelta(hours=1)


def move(rig: Rig, kind: str, amount: str, *, asset: str = "USDT", fee: str = "0") -> None:
    account = rig.exchange.venue.accounts[KEY]
    rig.exchange.world.settlement.capital(account, kind, asset, D(amount), D(fee))


async def flows(rig: Rig) -> list[CashFlow]:
    return list(await rig.source("binance").fetch_cash_flows(rig.venue.market_time.newest - HOUR))


def brief(found: list[CashFlow]) -> list[tuple[str, Decimal, str]]:
    return [(flow.key, flow.amount, flow.cause.value) for flow in found]


@pytest.mark.feature("P04", part="venue")
async def test_a_deposit_and_a_withdrawal_are_flows_and_the_fee_of_the_way_is_a_cost(listening: Rig) -> None:
    move(listening, "deposit", "50000")
    await listening.exchange.advance(60)
    move(listening, "withdrawal", "20000", fee="1.5")
    await listening.exchange.advance(60)
    assert brief(await flows(listening)) == [
        (CASH, D(50_000), "external"),
        (CASH, D(-20_000), "external"),
        (CASH, D("-1.5"), "transfer_fee"),
    ]
    report = await listening.source("binance").fetch_report()
    assert report.holdings[CASH] == 100_000 + 50_000 - 20_000 - D("1.5")


async def test_coin_is_capital_as_well(listening: Rig) -> None:
    move(listening, "deposit", "2", asset="BNB")
    await listening.exchange.advance(60)
    assert brief(await flows(listening)) == [(BNB, D(2), "external")]


async def test_the_same_row_has_the_same_id_however_often_it_is_read(listening: Rig) -> None:
    move(listening, "deposit", "10")
    await listening.exchange.advance(60)
    first, again = await flows(listening), await flows(listening)
    assert [flow.flow_id for flow in first] == [flow.flow_id for flow in again] != []


async def test_the_stream_says_at_once_that_capital_moved(listening: Rig) -> None:
    move(listening, "deposit", "10")
    await listening.until(lambda: any(moved.account == "binance" for moved in listening.of(AccountChanged)))


async def test_the_record_is_asked_once_a_minute_and_at_every_look_after_money_moved(listening: Rig) -> None:
    source = listening.source("binance")
    since = listening.venue.market_time.newest - HOUR
    assert await source.fetch_cash_flows(since) == []
    move(listening, "deposit", "10")
    await listening.until(lambda: bool(listening.of(AccountChanged)))
    await listening.exchange.advance(60)
    assert len(await source.fetch_cash_flows(since)) == 1
    assert len(await source.fetch_cash_flows(since)) == 1, "the record may lag behind the stream"
    listening.clock.ahead += timedelta(seconds=31)
    assert await source.fetch_cash_flows(since) == []
    listening.clock.ahead += timedelta(seconds=60)
    assert len(await source.fetch_cash_flows(since)) == 1


async def test_play_money_has_no_wallet_calls_and_none_are_made(rig: Rig) -> None:
    options: CEXOptions = replace(QUIET, demo_trading=True)
    rig.venue.desks["binance"].options = options
    assert await rig.source("binance").fetch_cash_flows(rig.clock.wall()) == []


DEPOSIT = {"id": "7", "amount": "12.5", "coin": "USDT", "status": 1, "insertTime": 1_700_000_000_000,
           "completeTime": 1_700_000_060_000}  # fmt: skip
WITHDRAWAL = {"id": "b6", "amount": "8.91", "transactionFee": "0.004", "coin": "USDT", "status": 6,
              "applyTime": "2019-10-12 11:12:02", "completeTime": "2019-10-12 11:20:00"}  # fmt: skip


@pytest.mark.parametrize(("status", "count"), [(0, 0), (8, 0), (7, 0), (2, 0), (1, 1), (6, 1)])
def test_a_deposit_counts_once_it_is_credited(status: int, count: int) -> None:
    found = spot_deposit("binance", DEPOSIT | {"status": status})
    assert len(found) == count
    assert all(int(flow.venue_time.timestamp()) == 1_700_000_060 for flow in found)


@pytest.mark.parametrize("status", [0, 2, 4, 6])
def test_a_withdrawal_has_left_the_wallet_as_soon_as_it_was_asked_for(status: int) -> None:
    assert [(f.amount, f.cause) for f in spot_withdrawal("binance", WITHDRAWAL | {"status": status})] == [
        (D("-8.91"), Cause.EXTERNAL),
        (D("-0.004"), Cause.TRANSFER_FEE),
    ]


@pytest.mark.parametrize("status", [1, 3, 5])
def test_a_withdrawal_that_failed_is_given_back_with_its_fee(status: int) -> None:
    found = spot_withdrawal("binance", WITHDRAWAL | {"status": status})
    assert sum(flow.amount for flow in found) == 0
    assert len({flow.flow_id for flow in found}) == len(found) == 4
    assert found[0].venue_time < found[2].venue_time


def test_a_withdrawal_of_our_own_is_a_transfer_and_no_capital() -> None:
    own = order_id("journal", 1, "btc_basis", 1, 0, 0, 0)
    assert spot_withdrawal("binance", WITHDRAWAL | {"withdrawOrderId": own}) == ()
    assert len(spot_withdrawal("binance", WITHDRAWAL | {"withdrawOrderId": "by hand"})) == 2
