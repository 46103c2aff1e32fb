"""Start-up on the sandbox exchange: what is declared exists, modes read back, clocks agree, play money stays so."""

from __future__ import annotations

import logging
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import ConfigError, OrderRejectedError, VenueUnreachableError
from basis_daemon.domain.market import FundingSettled
from basis_daemon.domain.order import Side
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.network import SandboxNetworkError
from basis_daemon.venues.cex.options import CEXOptions
from basis_daemon.venues.cex.venue import CEXVenue
from tests.venue_contract import order_for, small
from tests.venues.rig import KEY, PERP_BTC, QUIET, SECRET, SPOT_BTC, AccountUnderTest, Rig

pytestmark = pytest.mark.slow

D = Decimal


async def test_instruments_bear_the_venues_filters_fees_and_tiers(rig: Rig) -> None:
    await rig.start()
    spot, perp = rig.instruments[SPOT_BTC], rig.instruments[PERP_BTC]

    assert (spot.quantity_step, spot.price_tick, spot.notional_min) == (D("0.00001"), D("0.01"), D(5))
    assert (spot.taker_fee, spot.maker_fee, spot.tiers) == (D("0.001"), D("0.001"), ())
    assert (perp.quantity_step, perp.price_tick, perp.notional_min) == (D("0.001"), D("0.1"), D(100))
    assert (perp.taker_fee, perp.maker_fee) == (D("0.0005"), D("0.0002"))
    assert perp.tier(D(40_000)).maintenance_rate == D("0.004")
    assert perp.tier(D(700_000)).leverage_max == 75
    assert set(rig.instruments) == {SPOT_BTC, "binance:spot:ETH", PERP_BTC}


@pytest.mark.feature("C07")
async def test_leverage_and_modes_are_set_and_read_back(rig: Rig) -> None:
    account = rig.exchange.venue.accounts[KEY]
    assert account.position("BTCUSDT").leverage == 20

    await rig.start()

    assert account.position("BTCUSDT").leverage == QUIET.leverage
    assert rig.noted("mode_refused") == []


@pytest.mark.feature("C07", part="refused")
async def test_a_mode_that_does_not_take_is_named_with_what_was_expected(rig: Rig) -> None:
    rig.arm("reject", method="POST", path="/leverage", code=-4028, message="Leverage 5 is not valid")

    with pytest.raises(ConfigError, match="leverage is 20 at the venue, expected 5"):
        await rig.start()
    assert rig.noted("mode_refused")


async def test_an_instrument_that_is_not_listed_is_named(tmp_path: Path) -> None:
    async with Rig(tmp_path, replace(QUIET, perp_symbols=("DOGEUSDT",))) as rig:
        with pytest.raises(ConfigError, match="DOGEUSDT"):
            await rig.start()


@pytest.mark.fault("garbage")
async def test_an_empty_answer_is_not_an_empty_exchange(rig: Rig) -> None:
    rig.arm("garbage", method="GET", path="/exchangeInfo")

    with pytest.raises((ConfigError, VenueUnreachableError)):
        await rig.start()


async def test_a_venue_that_is_away_is_unreachable_and_nothing_stays_open(rig: Rig) -> None:
    rig.arm("unavailable", path="/fapi/v1/commissionRate")

    with pytest.raises(VenueUnreachableError):
        await rig.start()


@pytest.mark.feature("C06")
@pytest.mark.fault("F31", "skew")
async def test_the_clock_skew_is_measured_taken_out_and_alarmed(rig: Rig) -> None:
    rig.exchange.set_skew(60_000)
    await rig.start()

    report = await rig.source("binance").fetch_report()

    assert report.holdings  # signed with the venue's time, or it would have been refused
    alarms = rig.noted("clock_skew_alarm")
    assert {facts["account"] for facts in alarms} == {"binance", "binanceusdm"}
    for facts in alarms:
        assert isinstance(facts["ahead_ms"], int)
        assert -61_000 < facts["ahead_ms"] < -59_000


@pytest.mark.feature("C06", part="resync")
@pytest.mark.fault("F32", "skew")
async def test_an_order_refused_for_its_time_stamp_goes_again_under_its_own_id(listening: Rig) -> None:
    account = AccountUnderTest(listening, SPOT_BTC)
    listening.exchange.set_skew(60_000)  # the venue's clock, or ours, has just jumped
    order = order_for(account, Side.BUY, small(account))

    trade = await account.interface.execute_order(order, account.wall)

    assert trade.cum_filled == order.quantity
    assert [facts["method"] for facts in listening.noted("time_stamp_refused")] == ["create_order"]


async def test_settled_funding_before_now_is_the_venues_record(rig: Rig) -> None:
    await rig.start()

    history = await rig.feed.history()

    assert len(history) >= 40
    assert all(isinstance(event, FundingSettled) for event in history)
    assert [event.venue_time for event in history] == sorted(event.venue_time for event in history)


@pytest.mark.parametrize(
    ("options", "host"),
    [
        (replace(QUIET, demo_trading=True), "demo-fapi.binance.com"),
        (replace(QUIET, sandbox=True), "testnet.binance.vision"),
        (QUIET, "fapi.binance.com"),
    ],
)
async def test_play_money_and_real_money_reach_their_own_hosts_only(options: CEXOptions, host: str) -> None:
    venue = CEXVenue(BINANCE, options, SystemClock())
    try:
        await venue.open()
        hosts = {name for desk in venue.desks.values() for name in desk.orders.hosts() | desk.data.hosts()}
    finally:
        await venue.close()

    assert host in hosts
    assert bool(hosts & {"api.binance.com", "fapi.binance.com"}) is options.is_live_api


async def test_in_a_sandbox_no_other_host_is_reached(rig: Rig) -> None:
    await rig.start()
    desk = rig.venue.desks["binance"]

    with pytest.raises(SandboxNetworkError):
        await desk.ask(desk.data, "fetch", "https://example.org/", read=lambda row: row)


async def test_a_wallet_that_is_not_in_use_is_named(tmp_path: Path) -> None:
    async with Rig(tmp_path, replace(QUIET, perp_symbols=())) as rig:
        assert rig.venue.accounts == ("binance",)
        with pytest.raises(ConfigError, match="binanceusdm"):
            rig.venue.source("binanceusdm")


async def test_before_the_start_every_question_is_unreachable(rig: Rig) -> None:
    with pytest.raises(VenueUnreachableError, match="not connected"):
        await rig.source("binance").fetch_report()


@pytest.mark.feature("G04", part="cex")
@pytest.mark.fault("F60")
async def test_no_secret_is_seen_in_logs_errors_or_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "wrong-canary-8f14e45f"
    async with Rig(tmp_path) as rig:
        await rig.listen()
        account = AccountUnderTest(rig, SPOT_BTC)
        await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)
        said = [repr(rig.venue.desks), repr(rig.venue.desks["binance"].orders), str(rig.notes), repr(QUIET)]
    async with Rig(tmp_path / "two", replace(QUIET, api_secret=SecretStr(wrong))) as other:
        with pytest.raises((OrderRejectedError, VenueUnreachableError)) as refusal:
            await other.start()
        said += [str(refusal.value), repr(refusal.value), str(other.notes)]

    text = "\n".join([*said, caplog.text])
    for canary in (SECRET, wrong, "signature="):
        assert canary not in text
