"""Revert data becomes a reason and a class; the table of custom errors is the contracts' own."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.errors import ErrorClass
from basis_daemon.venues.chain.abi import error_selector
from basis_daemon.venues.chain.reverts import decoded

AAVE_ERRORS = 92


def table() -> dict[str, dict[str, str]]:
    text = (resources.files("basis_daemon.venues.chain") / "reverts.json").read_text(encoding="utf-8")
    return dict(json.loads(text)["errors"])


@pytest.mark.feature("X07")
def test_every_selector_of_the_table_is_the_hash_of_its_error() -> None:
    rows = [(selector, text) for family in table().values() for selector, text in family.items()]
    assert [selector for selector, _ in rows] == ["0x" + keccak(text=text)[:4].hex() for _, text in rows]
    assert len(table()["aave_v3"]) == AAVE_ERRORS
    assert len({selector for selector, _ in rows}) == len(rows), "no two errors may share a selector"


@pytest.mark.feature("X07")
@pytest.mark.parametrize(
    ("signature", "error_class"),
    [
        ("HealthFactorLowerThanLiquidationThreshold()", ErrorClass.INSUFFICIENT),
        ("CollateralCannotCoverNewBorrow()", ErrorClass.INSUFFICIENT),
        ("ReservePaused()", ErrorClass.MARKET_CLOSED),
        ("SupplyCapExceeded()", ErrorClass.MARKET_CLOSED),
        ("NotBorrowableInEMode()", ErrorClass.BAD_PARAMS),
        ("CallerNotPoolAdmin()", ErrorClass.AUTH),
        ("WithdrawalDelayNotElapsed()", ErrorClass.RETRYABLE),
    ],
)
def test_a_custom_error_gets_its_name_its_class_and_a_sentence(signature: str, error_class: ErrorClass) -> None:
    revert = decoded(error_selector(signature))
    assert (revert.name, revert.error_class) == (signature.removesuffix("()"), error_class)
    assert " " in revert.reason


def test_arguments_of_a_custom_error_are_told() -> None:
    owner = "0x" + "ab" * 20
    data = error_selector("ERC20InsufficientBalance(address,uint256,uint256)")
    revert = decoded(data + encode(["address", "uint256", "uint256"], [owner, 3, 5]))
    assert revert.arguments == (owner, 3, 5)
    assert str(revert).startswith(f"ERC20InsufficientBalance({owner}, 3, 5)")


@pytest.mark.parametrize(
    ("text", "error_class"),
    [
        ("Too little received", ErrorClass.RETRYABLE),
        ("Transaction too old", ErrorClass.RETRYABLE),
        ("STF", ErrorClass.INSUFFICIENT),
        ("STAKE_LIMIT", ErrorClass.MARKET_CLOSED),
        ("something nobody wrote down", ErrorClass.BAD_PARAMS),
    ],
)
def test_a_string_is_its_own_name(text: str, error_class: ErrorClass) -> None:
    revert = decoded(error_selector("Error(string)") + encode(["string"], [text]))
    assert (revert.name, revert.error_class) == (text, error_class)


def test_a_panic_says_what_it_was() -> None:
    revert = decoded(error_selector("Panic(uint256)") + encode(["uint256"], [0x11]))
    assert (revert.name, revert.arguments) == ("Panic", (0x11,))
    assert "underflow" in revert.reason


@given(st.binary(max_size=200))
def test_no_data_whatsoever_is_beyond_reading(data: bytes) -> None:
    for head in (b"", error_selector("Error(string)"), error_selector("Panic(uint256)"), bytes.fromhex("e450d38c")):
        assert decoded(head + data).reason
