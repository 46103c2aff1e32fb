from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.sandbox.exchange.book import Book, DepthProfile
from basis_daemon.sandbox.exchange.instruments import LISTED, Instrument
from basis_daemon.sandbox.exchange.money import E8

INSTRUMENTS = st.sampled_from(LISTED)


def book_of(instrument: Instrument, price: int = 60_000, stamp: int = 0, seed: int = 7) -> Book:
    book = Book(instrument, DepthProfile(), seed)
    book.refresh(price * E8, stamp)
    return book


@given(INSTRUMENTS, st.integers(100 * E8, 200_000 * E8), st.integers(0, 2**41))
def test_a_book_is_ordered_never_crossed_and_straddles_its_mid(instrument: Instrument, mid: int, stamp: int) -> None:
    book = Book(instrument, DepthProfile(), 7)
    book.refresh(mid, stamp)
    bids, asks = list(book.bids), list(book.asks)
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert len(bids) == len(asks) == 10
    tick = int(instrument.tick * E8)
    assert bids[0] * tick <= mid <= asks[0] * tick
    assert bids[0] < asks[0]
    assert all(quantity > 0 for quantity in (*book.bids.values(), *book.asks.values()))


def test_depth_is_drawn_from_seed_and_stamp() -> None:
    perp = LISTED[3]
    assert book_of(perp).bids == book_of(perp).bids
    assert book_of(perp).bids != book_of(perp, stamp=60_000).bids
    assert book_of(perp).bids != book_of(perp, seed=8).bids


def test_a_usual_clip_finds_its_size_in_the_first_two_levels() -> None:
    for instrument, price in zip(LISTED, (60_000, 2_500, 600, 60_000, 2_500, 60_000), strict=True):
        book = book_of(instrument, price)
        lot = instrument.contract_size or instrument.step * price
        first_two = sum(quantity for _, quantity in list(book.asks.items())[:2]) * lot
        assert 50_000 <= first_two <= 100_000
        whole = sum(book.asks.values()) * lot
        assert 1_500_000 <= whole <= 3_500_000
        best_bid, _, best_ask, _ = book.best()
        assert (best_ask - best_bid) * instrument.tick <= Decimal(price) / 10_000


@given(st.lists(st.tuples(st.integers(59_000, 61_000), st.integers(1, 400)), min_size=1, max_size=20))
def test_a_snapshot_with_its_differences_is_the_later_snapshot(steps: list[tuple[int, int]]) -> None:
    book = book_of(LISTED[3])
    book.publish()
    bids, asks = map(dict, book.snapshot(100))
    for stamp, (price, eaten) in enumerate(steps):
        book.refresh(price * E8, stamp)
        book.eat(book.available(None, eaten, buy=True), buy=True)
        before = book.update_id
        book.publish(force=True)
        assert book.update_id == before + 1
        for side, changes in zip((bids, asks), book.difference(), strict=True):
            for level, quantity in changes:
                side.pop(level, None)
                if Decimal(quantity):
                    side[level] = quantity
        assert (bids, asks) == tuple(map(dict, book.snapshot(100)))


def test_numbers_print_as_the_venue_prints_them() -> None:
    spot, perp = book_of(LISTED[0]), book_of(LISTED[3])
    assert (spot.price_text(6_000_012), spot.quantity_text(5)) == ("60000.12000000", "0.00005000")
    assert (perp.price_text(600_001), perp.quantity_text(5)) == ("60000.1", "0.005")


def test_a_profile_needs_one_size_per_level() -> None:
    with pytest.raises(ValueError, match="one size each"):
        DepthProfile(offsets=(1, 2), sizes=(3,))
