"""Signatures become the selectors, topics and encodings of the contracts that they were taken from."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.venues.chain.aave import BORROW, REPAY, SUPPLY, WITHDRAW
from basis_daemon.venues.chain.abi import Log, event, function
from basis_daemon.venues.chain.erc20 import APPROVE, TRANSFERRED
from basis_daemon.venues.chain.uniswap import SWAP

A, B = "0x" + "aa" * 20, "0x" + "bb" * 20
UINT = st.integers(0, 2**256 - 1)


@pytest.mark.parametrize(
    ("made", "published"),
    [
        (SUPPLY, "617ba037"),
        (WITHDRAW, "69328dec"),
        (BORROW, "a415bcad"),
        (REPAY, "573ade81"),
        (APPROVE, "095ea7b3"),
        (SWAP, "414bf389"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_selectors_are_the_published_ones(made: object, published: str) -> None:
    assert getattr(made, "selector", b"").hex() == published


def test_the_topic_of_a_transfer_is_the_published_one() -> None:
    assert TRANSFERRED.topic.hex() == "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@given(UINT, UINT)
def test_calldata_can_be_read_back(first: int, second: int) -> None:
    both = function("both(uint256,(uint256,address)) -> (uint256)")
    call = both(A, first, (second, B))
    assert both.arguments(call.data) == (first, (second, B))


def test_calldata_of_another_function_is_not_read() -> None:
    with pytest.raises(ValueError, match="expected withdraw"):
        WITHDRAW.arguments(SUPPLY(A, B, 1, B, 0).data)


@given(st.integers(0, 2**96), st.integers(0, 2**96))
def test_an_event_is_read_in_the_order_of_its_signature(second: int, third: int) -> None:
    mixed = event("Mixed(uint256, address indexed, uint256, uint256 indexed)")
    topics = (mixed.topic, encode(["address"], [A]), encode(["uint256"], [third]))
    assert mixed.read(Log(B, topics, encode(["uint256", "uint256"], [7, second]))) == (7, A, second, third)


def test_a_log_of_another_event_is_no_event_and_a_torn_one_is_an_error() -> None:
    moved = event("Transfer(address indexed, address indexed, uint256)")
    sides = (encode(["address"], [A]), encode(["address"], [B]))
    assert moved.read(Log(A, (event("Other()").topic, *sides), b"")) is None
    assert moved.read(Log(A, (moved.topic, sides[0]), b"")) is None, "an ERC-721 transfer indexes more"
    with pytest.raises(ValueError, match="cannot be read as Transfer"):
        moved.read(Log(A, (moved.topic, *sides), b"\x01"))


def test_an_empty_answer_is_no_zero() -> None:
    with pytest.raises(VenueUnreachableError, match="balanceOf answered"):
        function("balanceOf(address) -> (uint256)").one(b"")
