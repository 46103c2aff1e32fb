"""Every signature that is used exists, with these outputs, in what the protocols publish or in what we run against."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from eth_utils.abi import collapse_if_tuple
from eth_utils.crypto import keccak

from basis_daemon.venues.chain import (
    aave,
    aave_reads,
    address_check,
    eigenlayer,
    erc20,
    etherfi,
    lido,
    prepared,
    staking_orders,
    uniswap,
)
from basis_daemon.venues.chain.abi import Event, Function
from tests.chain_support import Chain

MODULES = (
    aave, aave_reads, address_check, eigenlayer, erc20, etherfi, lido, prepared, staking_orders, uniswap,
)  # fmt: skip


def used(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    for module in MODULES:
        yield from ((f"{_short(module)}.{name}", one) for name, one in vars(module).items() if isinstance(one, kind))


def _short(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _types(parts: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(collapse_if_tuple(part) for part in parts)


@pytest.mark.feature("X09")
async def test_every_function_that_is_called_exists_and_answers_as_it_is_read(chain: Chain) -> None:
    published: dict[bytes, set[tuple[str, ...]]] = {}
    for abi in chain.prepared.abis.values():
        for entry in abi:
            if entry["type"] == "function":
                head = f"{entry['name']}({','.join(_types(entry['inputs']))})"
                published.setdefault(keccak(text=head)[:4], set()).add(_types(entry["outputs"]))
    absent = [name for name, one in used(Function) if one.selector not in published]
    misread = [
        name for name, one in used(Function) if one.outputs and one.outputs not in published.get(one.selector, ())
    ]
    assert (absent, misread) == ([], [])


@pytest.mark.feature("X09")
async def test_every_event_that_is_read_exists_with_the_same_topics(chain: Chain) -> None:
    published = set()
    for abi in chain.prepared.abis.values():
        for entry in abi:
            if entry["type"] == "event":
                head = f"{entry['name']}({','.join(_types(entry['inputs']))})"
                indexed = tuple(collapse_if_tuple(part) for part in entry["inputs"] if part["indexed"])
                published.add((keccak(text=head), indexed))
    assert [name for name, one in used(Event) if (one.topic, one.indexed) not in published] == []
