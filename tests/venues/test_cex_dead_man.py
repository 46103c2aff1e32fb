"""The venue's dead man's switch through the real client: armed before an order rests, gone with the last one."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.domain.market import StreamChanged
from basis_daemon.domain.order import Order, OrderOperation, OrderType, Side, TimeInForce
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.venues.cex.dead_man import POLICY, DeadManSwitch, OrderClass, class_of
from basis_daemon.web.client import LocalClient
from tests.venue_contract import order_for, small
from tests.venues.rig import KEY, PERP_BTC, SPEC, SPOT_BTC, AccountUnderTest, Rig
from tests.venues.test_cex_transfer import USDM, move

PATIENCE_S = 30.0
pytestmark = [pytest.mark.slow, pytest.mark.feature("C09")]


def resting(account: AccountUnderTest) -> Order:
    """A buy that stays in the book."""
    return order_for(account, Side.BUY, small(account), price=account.book().bids[-1][0], tif=TimeInForce.GTC)


def switch(rig: Rig) -> DeadManSwitch:
    return rig.venue.dead_men["binanceusdm"]


def countdowns(rig: Rig) -> dict[str, float]:
    """Symbols under the switch, as the venue holds them."""
    return rig.exchange.venue.accounts[KEY].cancel_at_real


def renewed(rig: Rig) -> tuple[float, str]:
    """Until when the venue waits, to the millisecond, and when the switch was last told that it does, more exactly."""
    armed = switch(rig).state()["armed"]
    assert isinstance(armed, dict)
    return countdowns(rig)["BTCUSDT"], armed[PERP_BTC]


def user_ups(rig: Rig) -> int:
    """How often the private stream of the perps came up."""
    return len([e for e in rig.of(StreamChanged) if (e.account, e.stream, e.is_up) == ("binanceusdm", "user", True)])


async def test_it_is_armed_before_the_order_leaves_and_disarmed_when_nothing_rests_any_more(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    order = resting(account)
    listening.open_orders.append(order)
    listening.arm("reject", method="POST", path="/fapi/v1/order", code=-1013, message="Filter failure")
    with pytest.raises(Exception, match="-1013"):
        await account.interface.execute_order(order, account.wall)
    assert set(countdowns(listening)) == {"BTCUSDT"}
    listening.open_orders.clear()
    switch(listening).kick()
    await switch(listening).keep()
    assert countdowns(listening) == {}
    assert switch(listening).state()["armed"] == {}


async def test_an_order_that_cannot_be_watched_does_not_leave(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    order = resting(account)
    listening.arm("unavailable", method="POST", path="/fapi/v1/countdownCancelAll")
    with pytest.raises(VenueUnreachableError, match="could not be armed"):
        await account.interface.execute_order(order, account.wall)
    assert listening.exchange.venue.accounts[KEY].store("usdm").orders == {}


async def test_orders_that_end_by_themselves_need_no_switch(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    await account.interface.execute_order(order_for(account, Side.SELL, small(account)), account.wall)
    assert countdowns(listening) == {}


async def test_money_between_two_wallets_needs_no_switch_however_long_it_takes(listening: Rig) -> None:
    away = move(listening, 1, source=USDM, fields={"venue": "binanceusdm"})
    listening.open_orders.append(away)
    switch(listening).kick()
    await switch(listening).keep()
    assert (countdowns(listening), class_of(away)) == ({}, OrderClass.NO_TRADE)


async def test_it_is_renewed_in_rhythm_and_at_once_after_a_reconnection(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    order = resting(account)
    listening.open_orders.append(order)
    await account.interface.execute_order(order, account.wall)
    await switch(listening).keep()
    first = renewed(listening)
    await switch(listening).keep()
    assert renewed(listening) == first  # not due yet
    listening.clock.ahead += 21 * (listening.clock.ahead.resolution * 1_000_000)
    await switch(listening).keep()
    second = renewed(listening)
    assert second > first
    listening.arm("close_ws", path="user-usdm")
    await listening.exchange.advance(10)
    await listening.until(lambda: user_ups(listening) > 1)
    await switch(listening).keep()
    assert renewed(listening) > second


async def test_a_stop_keeps_the_switch_of_its_symbol_disarmed(listening: Rig) -> None:
    """The switch works on a symbol, and what protects a position must outlive the daemon that placed it."""
    account = AccountUnderTest(listening, PERP_BTC)
    book = account.book()
    stop = order_for(
        account, Side.BUY, small(account), operation=OrderOperation.STOP, order_type=OrderType.STOP_MARKET,
        trigger_price=book.ask * 2, reduce_only=True, max_slippage_bp=None,
    )  # fmt: skip
    order = resting(account)
    listening.open_orders += [stop, order]
    await account.interface.execute_order(order, account.wall)
    switch(listening).kick()
    await switch(listening).keep()
    assert countdowns(listening) == {}
    assert switch(listening).state()["withheld"] == [PERP_BTC]
    assert [class_of(o) for o in (stop, order)] == [OrderClass.PROTECTIVE, OrderClass.RESTING]
    assert POLICY.keys() == set(OrderClass)


async def test_an_orderly_end_disarms_it_and_leaves_what_rests_on_to_the_countdown(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    order = resting(account)
    listening.open_orders.append(order)
    await account.interface.execute_order(order, account.wall)
    await switch(listening).release()
    assert set(countdowns(listening)) == {"BTCUSDT"}
    await switch(listening).before(order)
    listening.open_orders.clear()
    await listening.feed.close()
    assert countdowns(listening) == {}


async def test_where_the_venue_has_none_it_says_so_and_orders_rest_all_the_same(listening: Rig) -> None:
    account = AccountUnderTest(listening, SPOT_BTC)
    order = resting(account)
    await account.interface.execute_order(order, account.wall)
    said = listening.venue.dead_men["binance"].state()
    assert said["exists"] is False
    assert "binance has none" in str(said["why"])


@pytest.mark.timeout(90)
@pytest.mark.fault("F55")
async def test_after_sigkill_the_venue_cancels_what_the_process_left_behind(tmp_path: Path) -> None:
    """The whole way: a process rests an order, keeps its switch for longer than one countdown, and is killed."""
    options = ExchangeOptions(directory=tmp_path, mode="paced", speed=1.0, accounts=(SPEC,))
    async with SandboxExchange(options) as exchange:
        command = (sys.executable, "-m", "tests.venues.orphaned", str(options.ready_file))
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        (order_id,) = (await process.stdout.readline()).decode().split()
        account = exchange.venue.accounts[KEY]
        (order,) = account.store("usdm").orders.values()
        armed_first = account.cancel_at_real["BTCUSDT"]
        async with LocalClient.at_port(exchange.control_port) as control, asyncio.timeout(PATIENCE_S):
            while account.cancel_at_real["BTCUSDT"] < armed_first + 2:
                await control.get("/status")
            assert (order.client_id, order.status) == (order_id, "NEW")  # outlived its first countdown, renewed
            process.kill()
            await process.wait()
            while order.live:
                await control.get("/status")
        assert order.status == "CANCELED"
        assert account.cancel_at_real == {}
