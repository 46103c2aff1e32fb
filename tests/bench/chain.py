"""What the chain costs: from an order to its bytes at the node, its simulation, a restart, and gas.

An order is timed from ``execute_order`` of the interface that the daemon routes it to until the node has answered for
its bytes, with the daemon's journal on the disk. Included: the balance read at the newest block, the simulation and
the estimate, the fee history (each trial has a block of its own, so it is asked each time), the signature and its
check, the durable rows, the send. The floor is a client that estimates, signs and sends the same call to the same
node, trial by trial in turns; it looks at nothing before, and writes nothing down.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import uvloop
from eth_utils.address import to_checksum_address
from eth_utils.conversions import to_hex
from web3.types import TxParams, Wei

from basis_daemon.sandbox.chain.node import rpc
from basis_daemon.sandbox.chain.world import Prepared, prepare
from basis_daemon.venues.chain import erc20
from basis_daemon.venues.chain.abi import Call
from basis_daemon.venues.chain.atomic import GroupCompiler
from basis_daemon.venues.chain.atomic_receiver import receiver_deployment
from basis_daemon.venues.chain.atomic_scene import SceneReader
from basis_daemon.venues.chain.atomic_simulation import simulate
from basis_daemon.venues.chain.fees import FeePolicy
from basis_daemon.venues.chain.gas import GasDesk
from basis_daemon.venues.chain.prepared import Prepared as PreparedCall
from basis_daemon.venues.chain.transactions import TxRequest
from tests.bench import chain_gas, recovery
from tests.bench.measure import ROUNDS, Bound, Row, Target, percentile, settle_memory
from tests.bench.wallet import WRAPPED, LiveWallet, Stages, live_wallet
from tests.contracts.flows import entry

NAME = "chain"
TO_NODE_AIM, SIMULATION_AIM = 4.0, 1.3
TRIALS, WARM_UP = 20, 20
CREATION_GAS = 10_000_000


@dataclass(slots=True)
class _Simulated:
    """Nanoseconds of each trial."""

    bare_call: list[int] = field(default_factory=list)
    bare_estimate: list[int] = field(default_factory=list)
    simulated: list[int] = field(default_factory=list)
    as_block: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Trials:
    floor: list[int] = field(default_factory=list)
    orders: list[Stages] = field(default_factory=list)
    order: _Simulated = field(default_factory=_Simulated)
    group: _Simulated = field(default_factory=_Simulated)


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Rows for the report."""
    prepared = prepare()
    with TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as place:
        got = uvloop.run(_trials(Path(place), prepared, rounds * TRIALS))
    return [*_order_rows(got), *_simulation_rows(got), *recovery.measure(), *chain_gas.measure()]


def _order_rows(got: _Trials) -> list[Row]:
    whole = [stages.whole for stages in got.orders]
    p50 = median(median(one) / median(other) for one, other in zip(_rounds(whole), _rounds(got.floor), strict=True))
    return [
        _time("floor: estimate, sign, send", got.floor),
        _time("order to node", whole),
        _time("  reads: newest block, balance", [stages.reads for stages in got.orders]),
        _time("  simulation: call, estimate", [stages.simulation for stages in got.orders]),
        _time("  fee history", [stages.fees for stages in got.orders]),
        _time("  sign and check", [stages.signing for stages in got.orders]),
        _time("  durable rows", [stages.durable for stages in got.orders]),
        _time("  send", [stages.sending for stages in got.orders]),
        Row(
            NAME, "order to node / floor", p50, p99=percentile(whole, 99) / percentile(got.floor, 99),
            target=Target(Bound.AT_MOST, TO_NODE_AIM, is_gate=False), note="p99: ratio of the 99th percentiles",
        ),
    ]  # fmt: skip


def _simulation_rows(got: _Trials) -> list[Row]:
    rows = []
    for name, found in (("order (wrap)", got.order), ("group (lever up)", got.group)):
        bare = [call + estimate for call, estimate in zip(found.bare_call, found.bare_estimate, strict=True)]
        over_call, over_both = (
            median(one / other for one, other in zip(found.simulated, floor, strict=True))
            for floor in (found.bare_call, bare)
        )
        aim = Target(Bound.AT_MOST, SIMULATION_AIM, is_gate=False)
        rows += [
            _time(f"floor: bare eth_call of one {name}", found.bare_call),
            _time(f"floor: bare eth_estimateGas of one {name}", found.bare_estimate),
            _time(f"simulation of one {name}", found.simulated),
            Row(NAME, f"simulation of one {name} / bare eth_call", over_call),
            Row(NAME, f"simulation of one {name} / bare call and estimate", over_both, target=aim),
        ]
    rows.append(_time("allowance and group tried as one block", got.group.as_block))
    return rows


def _rounds(taken: Sequence[int]) -> list[Sequence[int]]:
    return [taken[start : start + TRIALS] for start in range(0, len(taken), TRIALS)]


def _time(what: str, taken: Sequence[int]) -> Row:
    return Row(NAME, what, median(taken) / 1000, "us", percentile(taken, 99) / 1000)


async def _trials(place: Path, prepared: Prepared, count: int) -> _Trials:
    async with live_wallet(place, prepared) as live:
        wrap, lever, allow = await _calls(live)
        await live.hold()
        settle_memory()
        got = _Trials()
        for number in range(WARM_UP + count):
            into = got if number >= WARM_UP else _Trials()
            into.orders.append(await live.execute())
            into.floor.append(await live.bare.send())
            await live.mine()
            await _simulate(live, live.wallet.account.address, wrap, into.order)
            await _simulate(live, live.actor.address, lever, into.group)
            await _try_as_block(live, (allow, lever), into.group)
    return got


async def _calls(live: LiveWallet) -> tuple[Call, Call, Call]:
    """A wrap; a group that its owner could send now; and the allowance that it was given."""
    book, actor = live.book, live.actor
    units = int(WRAPPED * 10**18)
    group = entry()
    await actor.fund(WETH=group.own)
    receiver = receiver_deployment(book, None)
    rich = (await actor.client.eth.accounts)[0]
    creation = {"from": rich, "to": receiver.call.to, "data": to_hex(receiver.call.data)}
    await rpc(actor.client, "eth_sendTransaction", creation | {"gas": hex(CREATION_GAS)})
    await actor.controls.mine()
    block = await actor.head()
    orders = replace(group, deadline=block.time + timedelta(days=1)).orders()
    compiler = GroupCompiler(book, receiver.address, actor.address)
    found = compiler.compile(orders, await SceneReader(actor.reader, book, actor.address).read(block, orders))
    (need,) = found.allowances
    await actor.approve(PreparedCall(found.call, need))
    wrap = erc20.WRAP(book.token("WETH").address, value_wei=units)
    return wrap, found.call, erc20.APPROVE(need.token, need.spender, need.units)


async def _simulate(live: LiveWallet, sender: str, call: Call, into: _Simulated) -> None:
    """What the daemon does before it signs, and the same call asked once with nothing around it."""
    asked: TxParams = {
        "from": to_checksum_address(sender), "to": to_checksum_address(call.to), "data": to_hex(call.data),
        "value": Wei(call.value_wei),
    }  # fmt: skip
    request = TxRequest("bench", call.to, call.data, call.value_wei, fee_cap_wei=10**12)
    desk, eth = GasDesk(live.pool, FeePolicy()), live.bare.eth
    await eth.call(asked, "latest")  # the first after a block finds nothing warm
    stamps = [time.perf_counter_ns()]
    await eth.call(asked, "latest")
    stamps.append(time.perf_counter_ns())
    await eth.estimate_gas(asked, "latest")
    stamps.append(time.perf_counter_ns())
    await desk.simulated(sender, request, "latest")
    stamps.append(time.perf_counter_ns())
    for taken, (began, ended) in zip(
        (into.bare_call, into.bare_estimate, into.simulated), pairwise(stamps), strict=True
    ):
        taken.append(ended - began)


async def _try_as_block(live: LiveWallet, calls: Sequence[Call], into: _Simulated) -> None:
    """What the daemon does with a group that needs an allowance first."""
    began = time.perf_counter_ns()
    tried = await simulate(live.pool, live.actor.address, calls)
    into.as_block.append(time.perf_counter_ns() - began)
    if not all(one.is_ok for one in tried):
        raise RuntimeError(f"the group reverts: {tried}")
