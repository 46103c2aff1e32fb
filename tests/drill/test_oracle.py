"""The oracle of the full-stack chain: asked for what it was not told it is loud, and it loses no unit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from eth_utils.conversions import to_hex
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from basis_daemon.simulation.drill.chain.blocks import Tx
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.full_stack.chain.contracts import RevertedError, call
from basis_daemon.simulation.full_stack.chain.front import Front
from basis_daemon.simulation.full_stack.chain.oracle import Included, Oracle, OracleBlock
from basis_daemon.simulation.full_stack.chain.places import ATOKENS, CHAIN_ID, KEY, POOL, TOKENS, VDEBTS, book
from basis_daemon.simulation.full_stack.chain.state import State, opening
from basis_daemon.venues.chain import aave, erc20
from basis_daemon.venues.chain.abi import MAX, Log
from basis_daemon.venues.chain.addresses import AddressBook, ReserveEntry
from basis_daemon.venues.chain.signers import KeySigner

START = datetime(2026, 1, 5, tzinfo=UTC)
SIGNER, STRANGER = KeySigner(SecretStr(KEY)), KeySigner(SecretStr("0x" + 64 * "7"))
USDT, OWNER = TOKENS["USDT"], SIGNER.address
GWEI = 10**9


@dataclass
class Seen:
    offers: list[str] = field(default_factory=list)
    forgeries: list[str] = field(default_factory=list)
    loud: list[str] = field(default_factory=list)

    def offered(self, tx: Tx) -> None:
        self.offers.append(tx.hash)

    def forged(self, tx: Tx, why: str) -> None:
        self.forgeries.append(f"{tx.hash} {why}")

    def included(self, included: Included, block: OracleBlock) -> None: ...


def front() -> tuple[Front, Seen]:
    seen, chance = Seen(), Chance(1)
    return Front(Oracle(OWNER, START, chance, seen), chance, seen.loud.append), seen


def test_a_node_that_is_behind_catches_up_when_all_is_well() -> None:
    chance = Chance(1)
    chance.rates[Fault.RPC_BEHIND], chance.is_on = 1.0, True
    oracle = Oracle(OWNER, START, chance, Seen())
    node = Front(oracle, chance, lambda _: None)
    for minutes in range(3):
        oracle.tick(START + timedelta(minutes=minutes + 1))
    tops = []
    for is_on in (True, False):
        chance.is_on = is_on
        tops.append(int(node.answer("eth_getBlockByNumber", ["latest", False])["result"]["number"], 16))
    assert tops[0] < tops[1] == oracle.head.ref.number


def signed(signer: KeySigner, **changes: int) -> str:
    fields = {
        "type": 2, "chainId": CHAIN_ID, "nonce": 0, "to": OWNER, "value": 0, "data": "0x", "gas": 21_000,
        "maxFeePerGas": 20 * GWEI, "maxPriorityFeePerGas": GWEI, "accessList": [],
    }  # fmt: skip
    return to_hex(asyncio.run(signer.sign(fields | changes)))


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_call", [{"to": USDT, "data": "0xdeadbeef"}, "latest"]),
        ("eth_call", [{"to": OWNER, "data": to_hex(erc20.SYMBOL.selector)}, "latest"]),
        ("eth_getLogs", [{}]),
    ],
)
def test_a_question_that_nobody_wrote_down_is_loud_and_never_answered(method: str, params: list[Any]) -> None:
    node, seen = front()
    assert "result" not in node.answer(method, params)
    assert len(seen.loud) == 1


def test_only_what_our_own_key_signed_for_this_chain_comes_into_the_pool() -> None:
    node, seen = front()
    for raw in (signed(STRANGER), signed(SIGNER, chainId=1), signed(SIGNER, gas=20_999)):
        assert "error" in node.answer("eth_sendRawTransaction", [raw])
    assert (len(seen.forgeries), seen.offers) == (3, [])
    told = node.answer("eth_sendRawTransaction", [signed(SIGNER)])
    assert seen.offers == [told["result"]]
    again, rival = (node.answer("eth_sendRawTransaction", [raw]) for raw in (signed(SIGNER), signed(SIGNER, value=1)))
    assert (again["error"]["message"], rival["error"]["message"]) == (
        "already known", "replacement transaction underpriced"
    )  # fmt: skip


def with_reserves() -> AddressBook:
    reserves = {name: ReserveEntry(atoken=ATOKENS[name], vdebt=VDEBTS[name]) for name in TOKENS}
    found = book()
    return found.model_copy(update={"aave_v3": found.aave.model_copy(update={"reserves": reserves})})


def done(state: State, to: str, data: bytes) -> list[Log]:
    try:
        return call(state, OWNER, to, data)[1]
    except RevertedError:
        return []


STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(1, 10**12), st.integers(0, 10**7), st.booleans()), min_size=1, max_size=12
)


@given(steps=STEPS)
def test_what_the_daemon_reads_out_of_the_logs_is_what_the_ledger_has_moved(
    steps: list[tuple[bool, int, int, bool]],
) -> None:
    state, known = opening(0, OWNER), with_reserves()
    total, seen = sum(state.tokens["USDT"].values()), 0
    for is_supply, units, seconds, is_all in steps:
        state.time += seconds
        before, wallet = state.claim("USDT", OWNER), state.tokens["USDT"][OWNER]
        if is_supply:
            for amount in (0, units):
                done(state, USDT, erc20.APPROVE(USDT, POOL, amount).data)
            logs = done(state, POOL, aave.supply(known, "USDT", units, OWNER).data)
        else:
            logs = done(state, POOL, aave.withdraw(known, "USDT", MAX if is_all else units, OWNER).data)
        moved = erc20.received(logs, USDT, OWNER)
        assert state.tokens["USDT"][OWNER] - wallet == moved
        for change in aave.changes(logs, known, OWNER):
            assert change.asked == -moved
            assert change.interest == before - seen
            assert abs(state.claim("USDT", OWNER) - before - change.asked) <= 2
        seen = state.claim("USDT", OWNER) if logs else seen
    assert sum(state.tokens["USDT"].values()) == total
