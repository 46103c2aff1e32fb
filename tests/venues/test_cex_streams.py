"""The streams against a misbehaving exchange: every loss is told, every stream comes back, no fill is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick, FundingSettled, MarkTick, StreamChanged
from basis_daemon.domain.order import Side
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import AccountChanged, FeedEvent
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.quirks import Stream
from tests.venue_contract import ids, order_for, small
from tests.venues.rig import PERP_BTC, QUIET, SPOT_BTC, AccountUnderTest, Rig

pytestmark = pytest.mark.slow

STREAMS = [("spot", "binance", "book"), ("usdm", "binanceusdm", "book")]
USERS = [("user-spot", SPOT_BTC), ("user-usdm", PERP_BTC)]


def changes(rig: Rig, account: str, stream: str) -> Sequence[bool]:
    return [e.is_up for e in rig.of(StreamChanged) if (e.account, e.stream) == (account, stream)]


def came_back(rig: Rig, account: str, stream: str, losses: int = 1) -> bool:
    return list(changes(rig, account, stream)) == [True] + [False, True] * losses


def ticks(rig: Rig, key: PositionKey) -> int:
    return len([tick for tick in rig.of(BookTick) if tick.instrument == key])


async def trade(rig: Rig, key: PositionKey) -> tuple[AccountUnderTest, set[str]]:
    account = AccountUnderTest(rig, key)
    order = order_for(account, Side.BUY, small(account))
    await account.interface.execute_order(order, account.wall)
    return account, ids(rig.trades, order)


@pytest.mark.feature("D01", part="book")
async def test_books_and_marks_arrive_with_the_venues_stamps(listening: Rig) -> None:
    await listening.exchange.advance(60)
    await listening.until(lambda: ticks(listening, SPOT_BTC) > 1 and ticks(listening, PERP_BTC) > 1)

    for tick in listening.of(BookTick):
        assert tick.bids == tuple(sorted(tick.bids, reverse=True))
        assert tick.asks == tuple(sorted(tick.asks))
        assert tick.bid < tick.ask
    assert listening.book(PERP_BTC).venue_time == listening.venue.market_time.newest
    mark = listening.of(MarkTick)[-1]
    assert mark.instrument == PERP_BTC
    assert mark.mark > 0
    assert mark.next_funding_time > mark.venue_time


async def test_the_book_is_the_venues_book(listening: Rig) -> None:
    await listening.exchange.advance(600)
    tick = listening.book(PERP_BTC)
    venue = listening.exchange.venue
    bids, asks = venue.books[venue.instrument("usdm", "BTCUSDT").key].snapshot(20)

    assert [[str(p), str(q)] for p, q in tick.bids] == [[str(float(p)), str(float(q))] for p, q in bids[:20]]
    assert len(tick.asks) == len(asks[:20])


@pytest.mark.parametrize(("path", "account", "stream"), STREAMS)
@pytest.mark.fault("F23", "close_ws")
async def test_a_closed_connection_is_told_and_dialled_again(
    listening: Rig, path: str, account: str, stream: str
) -> None:
    listening.arm("close_ws", path=path)
    await listening.exchange.advance(60)
    await listening.until(lambda: came_back(listening, account, stream))

    key = SPOT_BTC if account == "binance" else PERP_BTC
    before = ticks(listening, key)
    await listening.exchange.advance(60)
    await listening.until(lambda: ticks(listening, key) > before)


@pytest.mark.feature("D01", part="gap")
@pytest.mark.parametrize(("path", "account", "stream"), STREAMS)
@pytest.mark.fault("F24", "gap_ws")
async def test_a_gap_in_the_sequence_starts_the_book_over(listening: Rig, path: str, account: str, stream: str) -> None:
    listening.arm("gap_ws", path=path)
    await listening.exchange.advance(180)
    await listening.until(lambda: came_back(listening, account, stream))

    losses = [e.why for e in listening.of(StreamChanged) if (e.account, e.stream, e.is_up) == (account, stream, False)]
    assert losses == ["gap in the sequence"]


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[Rig]:
    """Two seconds of silence are too long."""
    async with Rig(tmp_path, replace(QUIET, book_silence_s=2.0)) as rig:
        yield await rig.listen()


@pytest.mark.feature("D01", part="stale")
@pytest.mark.fault("F23", "stall_ws")
async def test_a_silent_stall_is_noticed_and_dialled_again(impatient: Rig) -> None:
    impatient.arm("stall_ws", path="usdm", seconds=600)

    await impatient.exchange.advance(60)
    await impatient.until(lambda: came_back(impatient, "binanceusdm", "book"))

    (why,) = [e.why for e in impatient.of(StreamChanged) if e.account == "binanceusdm" and not e.is_up][:1]
    assert why.startswith("silent for")


@pytest.mark.parametrize(("path", "account", "stream"), STREAMS)
@pytest.mark.parametrize(
    "text", ["{]", '{"e":"depthUpdate","E":1,"s":', "[1,2", '{"e":"depthUpdate","E":"x","s":"BTCUSDT"}']
)
@pytest.mark.fault("F27", "poison_ws")
async def test_a_poison_frame_is_counted_and_the_stream_lives(
    listening: Rig, path: str, account: str, stream: str, text: str
) -> None:
    listening.arm("poison_ws", path=path, text=text)
    before = ticks(listening, SPOT_BTC), ticks(listening, PERP_BTC)

    await listening.exchange.advance(120)
    await listening.until(lambda: ticks(listening, SPOT_BTC) > before[0] and ticks(listening, PERP_BTC) > before[1])

    counted = {feed.name: feed.counts["poison"] for feed in listening.feed.accounts}
    assert counted[account] == 1
    assert list(changes(listening, account, stream)) == [True]


@pytest.mark.parametrize(("path", "key"), USERS)
@pytest.mark.fault("F27", "poison_ws")
async def test_an_unreadable_private_frame_reconnects_so_that_the_account_is_reconciled(
    listening: Rig, path: str, key: PositionKey
) -> None:
    listening.arm("poison_ws", path=path)
    await trade(listening, key)

    await listening.until(lambda: list(changes(listening, key.venue, "user"))[:3] == [True, False, True])
    lost = [e.why for e in listening.of(StreamChanged) if e.account == key.venue and not e.is_up]
    assert lost[0] == "unreadable frame"  # a slow answer makes the fill that was in the frame missed as well


@pytest.mark.fault("stale_listen_key")
async def test_an_expired_listen_key_is_replaced_before_the_stream_is_dialled(listening: Rig) -> None:
    assert listening.exchange.expire_listen_keys() == 1

    await listening.until(lambda: came_back(listening, "binanceusdm", "user"))
    _, fills = await trade(listening, PERP_BTC)

    await listening.until(lambda: fills <= {t.trade_id for t in listening.of(Trade)})


@pytest.fixture
async def diligent(tmp_path: Path) -> AsyncIterator[Rig]:
    """The login is prolonged every second."""
    async with Rig(tmp_path, replace(QUIET, login_every_s=1.0)) as rig:
        yield await rig.listen()


@pytest.mark.fault("stale_listen_key")
async def test_a_login_that_cannot_be_prolonged_is_made_anew(diligent: Rig) -> None:
    diligent.arm("reject", method="PUT", path="/listenKey", code=-1125, message="This listenKey does not exist.")

    await diligent.until(lambda: came_back(diligent, "binanceusdm", "user"))
    assert [facts["account"] for facts in diligent.noted("login_not_kept")] == ["binanceusdm"]


@pytest.mark.feature("C02")
@pytest.mark.parametrize("key", [SPOT_BTC, PERP_BTC])
async def test_every_fill_comes_over_the_private_stream(listening: Rig, key: PositionKey) -> None:
    _, fills = await trade(listening, key)

    await listening.until(lambda: fills <= {t.trade_id for t in listening.of(Trade)})

    streamed = {t.trade_id: t for t in listening.of(Trade)}
    told = {t.trade_id: t for t in listening.trades}
    for trade_id in fills:
        assert streamed[trade_id].deltas == told[trade_id].deltas
        assert streamed[trade_id].order_id == told[trade_id].order_id
        assert streamed[trade_id].model_dump(exclude={"recv_time"}) == told[trade_id].model_dump(exclude={"recv_time"})


@pytest.mark.feature("C02", part="fallback")
@pytest.mark.parametrize(("path", "key"), USERS)
@pytest.mark.fault("dropped_frames")
async def test_a_fill_that_the_stream_dropped_is_asked_for(listening: Rig, path: str, key: PositionKey) -> None:
    listening.arm("drop_fill", path=path)

    under_test, fills = await trade(listening, key)

    assert len(fills) == 1
    assert (await under_test.source.fetch_report()).holdings[key] != 0
    if key == PERP_BTC:  # spot answers bear their fills: nothing was missed
        await listening.until(lambda: came_back(listening, key.venue, "user"))


@pytest.mark.feature("C02", part="rest-only")
@pytest.mark.parametrize("key", [SPOT_BTC, PERP_BTC])
async def test_without_any_stream_orders_settle_over_rest(rig: Rig, key: PositionKey) -> None:
    await rig.start()
    async with TaskTree("one book") as tree:
        tree.spawn("feed", rig.feed.run(rig.sink))
        await rig.until(lambda: all(feed.keepers[Stream.BOOK].is_up for feed in rig.feed.accounts))
        await rig.exchange.advance(60)
        await rig.until(lambda: ticks(rig, key) > 0)
        tree.cancel_all("streams end")
    for desk in rig.venue.desks.values():
        await desk.data.hang_up(bool)

    account, fills = await trade(rig, key)

    assert len(fills) == 1
    assert {t.trade_id for t in await account.source.fetch_trades(rig.venue.market_time.newest)} == fills


@pytest.mark.feature("O10", part="stream")
@pytest.mark.parametrize(("path", "key"), USERS)
@pytest.mark.fault("F07", "duplicate_frames")
async def test_a_fill_told_twice_has_one_id(listening: Rig, path: str, key: PositionKey) -> None:
    listening.arm("duplicate_fill", path=path)

    _, fills = await trade(listening, key)
    await listening.until(lambda: len([t for t in listening.of(Trade) if t.trade_id in fills]) == 2)

    first, second = [t for t in listening.of(Trade) if t.trade_id in fills]
    assert first.deltas == second.deltas


async def test_balances_after_a_trade_are_told_in_part(listening: Rig) -> None:
    await trade(listening, PERP_BTC)

    await listening.until(lambda: any(r.account == "binanceusdm" for r in listening.of(AccountReport)))
    report = listening.of(AccountReport)[-1]
    assert report.is_partial
    assert report.holdings[PERP_BTC] > 0


@pytest.mark.feature("D02")
async def test_a_settlement_is_fetched_when_the_next_funding_time_moves_on(listening: Rig) -> None:
    await listening.feed.history()
    await trade(listening, PERP_BTC)

    await listening.exchange.advance(8 * 3600 + 60)
    await listening.until(lambda: bool(listening.of(FundingSettled)) and bool(listening.of(AccountChanged)))

    (settled,) = listening.of(FundingSettled)
    assert settled.instrument == PERP_BTC
    assert settled.interval_hours == 8
    assert listening.of(AccountChanged)[-1].reason == "funding_fee"
    (flow,) = await listening.source("binanceusdm").fetch_cash_flows(settled.venue_time - timedelta(hours=1))
    assert flow.instrument == PERP_BTC
    assert (flow.amount > 0) is (settled.rate < 0)  # a long pays a positive rate
    assert flow.venue_time == settled.venue_time


async def test_what_the_engine_refuses_stops_the_feed_and_is_not_taken_for_poison(rig: Rig) -> None:
    await rig.start()

    def refuse(event: FeedEvent) -> None:
        if isinstance(event, StreamChanged):
            return
        raise IntegrityError(f"cannot be true: {event}")

    rig.spawn("market", rig.exchange.advance(300))
    with pytest.raises(IntegrityError):
        await rig.feed.run(refuse)
    assert all(not feed.counts for feed in rig.feed.accounts)


async def test_an_event_refused_while_a_connection_is_made_stops_the_feed_too(rig: Rig) -> None:
    await rig.start()

    def refuse(event: FeedEvent) -> None:
        if isinstance(event, StreamChanged) and (event.account, event.stream) == ("binanceusdm", "user"):
            raise IntegrityError("told while ccxt dials")

    with pytest.raises(IntegrityError, match="refused an event"):
        await rig.feed.run(refuse)
