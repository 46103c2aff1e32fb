"""The short road of a depth frame: a side is exact when looked at, a frame changes a book as ccxt would change it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ccxt.pro
import pytest
from ccxt.async_support.base.ws.order_book import OrderBook
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.venues.cex.binance import spot_delta, usdm_delta
from basis_daemon.venues.cex.books import follows, merge
from basis_daemon.venues.cex.frames import exact
from basis_daemon.venues.cex.ticks import Side

Row = dict[str, Any]
STAMP_MS = 1_770_000_000_000
READERS = {"spot": spot_delta, "usdm": usdm_delta}
VENUE = ccxt.pro.binance()

numbers = st.floats(min_value=1e-8, max_value=1e9, allow_nan=False)
sides = st.lists(st.tuples(numbers, numbers), max_size=25)
prices = st.integers(1, 40).map(lambda tenths: f"{tenths / 10:.8f}")
sizes = st.integers(0, 5).map(lambda tenths: f"{tenths / 10:.8f}")
changes = st.lists(st.tuples(prices, sizes).map(list), max_size=12)
frames = st.lists(st.tuples(changes, changes), max_size=8)


@given(sides, st.integers(-30, 30))
def test_a_side_is_the_exact_numbers_whenever_it_is_looked_at(levels: list[tuple[float, float]], at: int) -> None:
    eager = tuple((exact(price), exact(size)) for price, size in levels)

    assert Side(levels) == eager
    assert eager == Side(levels)
    assert Side(levels) == Side(list(levels))
    assert (len(Side(levels)), tuple(Side(levels)), hash(Side(levels))) == (len(eager), eager, hash(eager))
    assert Side(levels)[at:] == eager[at:]
    if -len(eager) <= at < len(eager):
        assert Side(levels)[at] == eager[at]


@given(sides)
def test_a_side_keeps_what_was_there_when_the_book_moves_on(levels: list[tuple[float, float]]) -> None:
    book = [list(level) for level in levels]
    side = Side(book)
    for level in book:
        level[1] = 7.0
    book.clear()

    assert side == Side(levels)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0, -1.0, "rubbish"])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("depth", [0, 3])
def test_a_bad_level_is_refused_however_deep_it_lies(bad: float, place: int, depth: int) -> None:
    levels = [[100.0 - n, 1.0] for n in range(4)]
    levels[depth][place] = bad

    with pytest.raises(ValueError, match=r"rubbish|expected"):
        Side(levels)


def frame(number: int, bids: list[list[str]], asks: list[list[str]]) -> Row:
    names: Row = {"e": "depthUpdate", "E": STAMP_MS + number, "s": "BTCUSDT"}
    return names | {"U": number, "pu": number - 1, "u": number, "b": bids, "a": asks}


def book_at(nonce: int | None, timestamp: int | None = STAMP_MS) -> Any:  # noqa: ANN401 - ccxt has no types
    return OrderBook({"bids": [[1.9, 1.0]], "asks": [[2.1, 1.0]], "nonce": nonce, "timestamp": timestamp})


@pytest.mark.parametrize("market", READERS)
@given(frames)
@pytest.mark.slow
def test_a_frame_changes_a_book_as_ccxt_would(
    market: str, moves: list[tuple[list[list[str]], list[list[str]]]]
) -> None:
    ours, theirs = book_at(7), book_at(7)
    for number, (bids, asks) in enumerate(moves, start=8):
        message = frame(number, bids, asks)
        delta = READERS[market](message)
        assert delta is not None
        assert follows(ours, delta)
        merge(ours, delta)
        VENUE.handle_order_book_message(None, message, theirs)

    for name in ("bids", "asks", "nonce", "timestamp"):
        assert ours[name] == theirs[name]


@pytest.mark.parametrize("market", READERS)
@pytest.mark.parametrize(
    ("number", "book"),
    [(10, book_at(7)), (7, book_at(7)), (8, book_at(None)), (8, book_at(7, None)), (8, None)],
    ids=["a frame is missing", "seen already", "no snapshot yet", "the first after the snapshot", "no book"],
)
def test_whatever_is_not_the_very_next_change_is_left_to_ccxt(market: str, number: int, book: Row | None) -> None:
    delta = READERS[market](frame(number, [["1.0", "1.0"]], []))

    assert delta is not None
    assert not follows(book, delta)


def test_other_frames_are_no_changes_of_a_book() -> None:
    assert [read({"e": "executionReport"}) for read in READERS.values()] == [None, None]
    assert [read({"result": None, "id": 1}) for read in READERS.values()] == [None, None]


@pytest.mark.parametrize("bad", [[["1.0", "x"]], [["1.0"]], [["1.0", None]]])
def test_a_frame_with_a_bad_level_leaves_the_book_as_it_was(bad: list[list[str]]) -> None:
    book, untouched = book_at(7), book_at(7)
    delta = spot_delta(frame(8, [["1.5", "2.0"]], bad))

    assert delta is not None
    with pytest.raises((ValueError, TypeError)):
        merge(book, delta)
    assert book == untouched


def test_a_level_is_the_number_that_the_venue_wrote() -> None:
    book = book_at(7)
    delta = spot_delta(frame(8, [["60000.12000000", "0.00001000"]], []))

    assert delta is not None
    merge(book, delta)
    assert Side(book["bids"])[0] == (Decimal("60000.12"), Decimal("0.00001"))
