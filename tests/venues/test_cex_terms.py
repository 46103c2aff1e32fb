"""The venue changes its terms while the daemon runs: filters, tiers, funding intervals, and what may be traded."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from basis_daemon.domain.errors import ErrorClass, OrderRejectedError
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import FundingSettled
from basis_daemon.domain.order import Side
from basis_daemon.domain.trade import OrderState
from basis_daemon.ports import InstrumentsChanged
from tests.venue_contract import order_for, small
from tests.venues.rig import PERP_BTC, SPOT_BTC, AccountUnderTest, Rig

pytestmark = pytest.mark.slow

D = Decimal
BOTH = pytest.mark.parametrize("key", [SPOT_BTC, PERP_BTC], ids=["spot", "perp"])


def happen(rig: Rig, kind: str, key: PositionKey = PERP_BTC, **fields: object) -> None:
    market = "spot" if key == SPOT_BTC else "usdm"
    rig.exchange.happen({"kind": kind, "market": market, "symbol": "BTCUSDT", **fields})


def now_known(rig: Rig, key: PositionKey) -> Instrument:
    """What the engine was told last of an instrument."""
    told = [event.instruments[key] for event in rig.of(InstrumentsChanged) if key in event.instruments]
    return told[-1] if told else rig.instruments[key]


async def an_hour_later(rig: Rig) -> None:
    """An hour of the market, and the rest that a venue is left between two looks at its terms."""
    await rig.exchange.advance(3_660)
    rig.clock.ahead += timedelta(seconds=31)


@BOTH
@pytest.mark.fault("F15", "filter_change")
async def test_new_filters_are_read_within_the_hour_and_orders_are_cut_down_to_them(
    listening: Rig, key: PositionKey
) -> None:
    happen(listening, "filters", key, step="0.01", tick="0.5", min_notional="200")
    await an_hour_later(listening)
    await listening.until(lambda: now_known(listening, key).quantity_step == D("0.01"))
    known = now_known(listening, key)
    assert (known.quantity_step, known.price_tick, known.notional_min) == (D("0.01"), D("0.5"), D(200))

    account = AccountUnderTest(listening, key)
    trade = await account.interface.execute_order(order_for(account, Side.BUY, D("0.0199")), account.wall)
    assert (trade.order_state, trade.cum_filled) == (OrderState.FILLED, D("0.01"))


@BOTH
@pytest.mark.fault("F15", "filter_change")
async def test_a_refusal_for_a_filter_is_evidence_that_the_next_attempt_must_be_cut_differently(
    listening: Rig, key: PositionKey
) -> None:
    """Also when the terms were read a moment ago, as they have been at the start: that was before the refusal."""
    account = AccountUnderTest(listening, key)
    happen(listening, "filters", key, step="0.01")
    with pytest.raises(OrderRejectedError):
        await account.interface.execute_order(order_for(account, Side.BUY, D("0.015")), account.wall)

    assert now_known(listening, key).quantity_step == D("0.01")
    trade = await account.interface.execute_order(order_for(account, Side.BUY, D("0.015")), account.wall)
    assert trade.cum_filled == D("0.01")


@pytest.mark.fault("tier_change")
async def test_new_margin_tiers_are_known_within_the_hour(listening: Rig) -> None:
    happen(listening, "tiers", tiers=[[40_000, 50, "0.02"], [10_000_000, 20, "0.05"]])
    await an_hour_later(listening)
    await listening.until(lambda: len(now_known(listening, PERP_BTC).tiers) == 2)
    tier = now_known(listening, PERP_BTC).tier(D(100_000))
    assert (tier.maintenance_rate, tier.maintenance_deduction) == (D("0.05"), D(1_200))


@pytest.mark.fault("funding_interval_change")
async def test_a_shorter_funding_interval_is_known_and_its_settlements_are_told_as_what_they_are(
    listening: Rig,
) -> None:
    await listening.feed.history()
    assert listening.instruments[PERP_BTC].funding_interval_h == 8
    happen(listening, "funding_interval", hours=4)
    await an_hour_later(listening)
    await listening.until(lambda: now_known(listening, PERP_BTC).funding_interval_h == 4)
    await listening.exchange.advance(4 * 3_600)
    await listening.until(lambda: bool(listening.of(FundingSettled)))
    await listening.exchange.advance(4 * 3_600)
    await listening.until(lambda: len(listening.of(FundingSettled)) == 2)
    assert [event.interval_hours for event in listening.of(FundingSettled)] == [4, 4]


@BOTH
@pytest.mark.parametrize("kind", ["halt", "delist"])
@pytest.mark.fault("F16", "delisting")
async def test_a_refusal_because_nobody_may_trade_halts_the_instrument_and_what_is_held_is_still_told(
    listening: Rig, key: PositionKey, kind: str
) -> None:
    account = AccountUnderTest(listening, key)
    await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)
    held = (await account.source.fetch_report()).holdings[key]

    happen(listening, kind, key)
    with pytest.raises(OrderRejectedError) as refusal:
        await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)
    assert refusal.value.error_class is ErrorClass.MARKET_CLOSED
    assert now_known(listening, key).is_halted
    assert (await account.source.fetch_report()).holdings[key] == held

    happen(listening, "resume", key)
    await an_hour_later(listening)
    await listening.until(lambda: not now_known(listening, key).is_halted)


@pytest.mark.fault("F16", "delisting")
async def test_a_market_that_closes_while_nothing_is_sent_is_noticed_within_the_hour(listening: Rig) -> None:
    happen(listening, "delist", SPOT_BTC)
    happen(listening, "halt", PERP_BTC)
    await an_hour_later(listening)
    await listening.until(lambda: all(now_known(listening, key).is_halted for key in (SPOT_BTC, PERP_BTC)))
    assert now_known(listening, SPOT_BTC).quantity_step == listening.instruments[SPOT_BTC].quantity_step


@pytest.mark.fault("F15", "garbage")
async def test_terms_that_cannot_be_read_leave_what_is_known(listening: Rig) -> None:
    listening.arm("garbage", path="/fapi/v1/exchangeInfo", form="object")
    listening.arm("garbage", path="/api/v3/exchangeInfo", form="html")
    await an_hour_later(listening)
    await listening.until(lambda: len(listening.noted("terms_unread")) == 2)
    assert not listening.of(InstrumentsChanged)
