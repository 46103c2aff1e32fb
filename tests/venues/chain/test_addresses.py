"""The shipped address book: complete, checksummed, and refused with a name where it is not."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import is_checksum_address

from basis_daemon.domain.errors import ConfigError
from basis_daemon.venues.chain.addresses import sandbox_book, shipped


def document() -> dict[str, Any]:
    text = (resources.files("basis_daemon.venues.chain") / "addresses.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@pytest.mark.parametrize(("network", "chain_id"), [("mainnet", 1), ("sepolia", 11_155_111), ("hoodi", 560_048)])
def test_every_shipped_network_can_be_read(network: str, chain_id: int) -> None:
    book = shipped(network)
    assert book.chain_id == chain_id
    assert book.lido is not None


def test_the_file_says_where_it_comes_from_and_every_address_bears_its_checksum() -> None:
    text = json.dumps(document()["networks"])
    written = [word for word in text.split('"') if word.startswith("0x")]
    assert len(written) > 50
    assert [word for word in written if not is_checksum_address(word)] == []
    assert document()["date"]
    assert set(document()["sources"]) >= {"aave_v3", "lido", "etherfi", "eigenlayer", "uniswap_v3"}


def test_mainnet_knows_all_that_the_strategies_need() -> None:
    book = shipped("mainnet")
    assert {"USDT", "WETH", "stETH", "wstETH", "eETH", "weETH", "EIGEN"} <= set(book.tokens)
    assert {"USDT", "WETH", "wstETH", "weETH"} <= set(book.aave.reserves)
    assert set(book.spenders) == {
        "aave_v3", "lido", "wsteth", "etherfi", "weeth", "etherfi_exit", "eigenlayer", "uniswap_v3",
    }  # fmt: skip


def test_an_unknown_network_and_an_unknown_part_are_named() -> None:
    with pytest.raises(ConfigError, match=r"network ropsten.*mainnet, sepolia, hoodi"):
        shipped("ropsten")
    with pytest.raises(ConfigError, match="hoodi: no aave_v3"):
        _ = shipped("hoodi").aave
    with pytest.raises(ConfigError, match="no token DOGE"):
        shipped("mainnet").token("DOGE")


def test_a_mistyped_address_is_refused_with_its_place(tmp_path: Path) -> None:
    world = tmp_path / "world.json"
    right = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
    world.write_text(json.dumps({"chain_id": 31337, "tokens": {"WETH": {"address": right, "decimals": 18}}}))
    assert sandbox_book(world).token("WETH").address == right
    wrong = right.replace("C02aaA", "C02AAA")
    world.write_text(json.dumps({"chain_id": 31337, "tokens": {"WETH": {"address": wrong, "decimals": 18}}}))
    with pytest.raises(ConfigError, match=rf"tokens\.WETH.address: '{wrong}'"):
        sandbox_book(world)


def test_a_missing_world_file_says_what_to_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="start the sandbox chain first"):
        sandbox_book(tmp_path / "none.json")
