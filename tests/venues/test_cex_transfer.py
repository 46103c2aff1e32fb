"""Moves between the spot and the futures wallet: booked on the venue's confirmation, never sent again on doubt."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from basis_daemon.domain.errors import ErrorClass, InvalidOrderError, OrderRejectedError, OutcomeUnknownError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.order_ids import order_id
from basis_daemon.domain.trade import OrderState, TradeStatus
from basis_daemon.ports import AccountChanged, Finding
from basis_daemon.venues.cex.transfer import TransferExecutionInterface
from tests.venues.rig import QUIET, Rig

pytestmark = pytest.mark.slow

D = Decimal
SPOT, USDM = PositionKey("binance:spot:USDT"), PositionKey("binanceusdm:spot:USDT")
HISTORY = "/sapi/v1/asset/transfer"


def move(
    rig: Rig, number: int, amount: str = "1000", source: PositionKey = SPOT, fields: dict[str, object] | None = None
) -> Order:
    target = USDM if source == SPOT else SPOT
    basics: dict[str, object] = {
        "order_id": order_id("t", 1, "transfer", number, 0, 0, 0), "strategy": "t", "decision": number, "leg": 0,
        "operation": OrderOperation.TRANSFER, "venue": "binance", "instrument": source, "amount": D(amount),
        "token_in": source, "recipient": target.venue, "network": "internal",
        "expected_deltas": {source: -D(amount), target: D(amount)}, "reason": "t",
        "created_at": rig.venue.market_time.newest,
    }  # fmt: skip
    return Order.model_validate(basics | (fields or {}))


def interface(rig: Rig) -> TransferExecutionInterface:
    return rig.venue.transfers(rig.on_trade)


async def balances(rig: Rig) -> tuple[Decimal, Decimal]:
    spot, usdm = await rig.source("binance").fetch_report(), await rig.source("binanceusdm").fetch_report()
    return spot.holdings[SPOT], usdm.holdings[USDM]


@pytest.mark.feature("T02")
@pytest.mark.parametrize("source", [SPOT, USDM], ids=["to futures", "to spot"])
async def test_a_transfer_is_booked_in_both_wallets_once_confirmed(listening: Rig, source: PositionKey) -> None:
    before = await balances(listening)
    order = move(listening, 1, "1234.56", source)

    trade = await interface(listening).execute_order(order, listening.clock.wall())

    assert (trade.status, trade.order_state) == (TradeStatus.FILLED, OrderState.SETTLED)
    target = USDM if source == SPOT else SPOT
    assert dict(trade.deltas) == {source: D("-1234.56"), target: D("1234.56")}
    assert [t.trade_id for t in listening.trades] == [trade.trade_id]
    after = await balances(listening)
    assert (after[0] - before[0], after[1] - before[1]) == (trade.deltas[SPOT], trade.deltas[USDM])


@pytest.mark.feature("T02", part="doubt")
async def test_a_lost_answer_is_doubt_and_the_history_ends_it(listening: Rig) -> None:
    transfers, order = interface(listening), move(listening, 1)
    await transfers.execute_order(move(listening, 0), listening.clock.wall())  # an equal one, settled before
    sent_at, before = listening.clock.wall(), await balances(listening)
    listening.arm("accept_then_drop", method="POST", path=HISTORY)

    with pytest.raises(OutcomeUnknownError):
        await transfers.execute_order(order, sent_at)
    evidence = await transfers.find_order(order, sent_at)
    again = await transfers.find_order(order, sent_at)

    assert evidence.trade is not None
    assert evidence.trade.status is TradeStatus.FILLED
    assert again.trade == evidence.trade.model_copy(
        update={"recv_time": again.trade.recv_time if again.trade else None}
    )
    assert len({t.trade_id for t in listening.trades}) == 2
    assert (await balances(listening))[1] == before[1] + 1000


@pytest.mark.feature("T02", part="lost-request")
async def test_a_transfer_that_never_arrived_is_not_taken_for_an_equal_one(listening: Rig) -> None:
    transfers, order = interface(listening), move(listening, 1)
    await transfers.execute_order(move(listening, 0), listening.clock.wall())
    sent_at = listening.clock.wall()
    listening.arm("unavailable", method="POST", path=HISTORY)

    with pytest.raises(OutcomeUnknownError):
        await transfers.execute_order(order, sent_at)
    assert (await transfers.find_order(order, sent_at)).finding is Finding.NOT_YET
    listening.clock.ahead += timedelta(seconds=transfers.absence_proof_s)
    assert (await transfers.find_order(order, sent_at)).finding is Finding.ABSENT


async def test_one_transfer_per_route_is_under_way(listening: Rig) -> None:
    transfers, first, second = interface(listening), move(listening, 1), move(listening, 2)
    sent_at = listening.clock.wall()
    listening.arm("accept_then_drop", method="POST", path=HISTORY)
    with pytest.raises(OutcomeUnknownError):
        await transfers.execute_order(first, sent_at)

    with pytest.raises(OrderRejectedError, match="under way") as refusal:
        await transfers.execute_order(second, sent_at)
    assert refusal.value.error_class is ErrorClass.RETRYABLE
    back = await transfers.execute_order(move(listening, 3, "5", USDM), sent_at)  # another route
    assert back.status is TradeStatus.FILLED

    assert (await transfers.find_order(first, sent_at)).finding is Finding.FOUND
    assert (await transfers.execute_order(second, sent_at)).status is TradeStatus.FILLED


async def test_after_a_restart_the_window_of_the_decision_finds_the_move(listening: Rig) -> None:
    await interface(listening).execute_order(move(listening, 0), listening.clock.wall())
    await listening.exchange.advance(3600)
    order, sent_at = move(listening, 1), listening.clock.wall()
    listening.arm("accept_then_drop", method="POST", path=HISTORY)
    with pytest.raises(OutcomeUnknownError):
        await interface(listening).execute_order(order, sent_at)

    reborn = interface(listening)
    assert (await reborn.find_order(move(listening, 2, "7"), sent_at)).finding is Finding.NOT_YET
    evidence = await reborn.find_order(order, sent_at)

    assert evidence.trade is not None
    assert evidence.trade.trade_id not in {t.trade_id for t in listening.trades[:1]}  # not the equal one an hour before


async def test_a_history_that_does_not_answer_leaves_an_accepted_move_in_doubt(listening: Rig) -> None:
    transfers, order, sent_at = interface(listening), move(listening, 1), listening.clock.wall()

    async def fall_silent() -> None:
        await listening.until(lambda: bool(listening.of(AccountChanged)))
        listening.exchange.faults.clear()
        listening.arm("unavailable", method="GET", path=HISTORY, count=QUIET.fill_queries_max)

    listening.arm("delay_response_s", method="POST", path=HISTORY)
    listening.spawn("silence", fall_silent())
    with pytest.raises(OutcomeUnknownError, match="does not confirm"):
        await transfers.execute_order(order, sent_at)
    assert listening.trades == []
    assert (await transfers.find_order(order, sent_at)).finding is Finding.FOUND


async def test_too_much_is_refused_and_the_route_is_free_again(listening: Rig) -> None:
    transfers = interface(listening)

    with pytest.raises(OrderRejectedError):
        await transfers.execute_order(move(listening, 1, "10000000"), listening.clock.wall())
    assert (await transfers.execute_order(move(listening, 2), listening.clock.wall())).status is TradeStatus.FILLED


@pytest.mark.parametrize("fields", [{"network": "ARBITRUM"}, {"recipient": "binance"}, {"recipient": "0xabc"}])
async def test_what_is_no_internal_transfer_is_invalid(listening: Rig, fields: dict[str, object]) -> None:
    with pytest.raises(InvalidOrderError):
        await interface(listening).execute_order(move(listening, 1, fields=fields), listening.clock.wall())
