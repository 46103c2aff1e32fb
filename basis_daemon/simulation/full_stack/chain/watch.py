"""What is seen at the oracle's chain, and what must hold there at every offer and block, and at rest to the wei."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.trade import OrderState
from basis_daemon.ports import RecordKind
from basis_daemon.simulation.drill.chain.blocks import Tx
from basis_daemon.simulation.full_stack.chain.oracle import Included, Oracle, OracleBlock
from basis_daemon.simulation.full_stack.chain.places import DECIMALS
from basis_daemon.simulation.full_stack.witness import StackWitness
from basis_daemon.venues.chain.names import APPROVAL, order_of
from basis_daemon.venues.chain.tokens import ETH, ETHER_DECIMALS, amount_of, atoken, ether, held_at, vdebt
from basis_daemon.venues.chain.transactions import Attempt

if TYPE_CHECKING:
    from basis_daemon.wiring_book import Daemon

ZERO = Decimal(0)


class _Signed(msgspec.Struct):
    hash: str = ""
    order_id: str = ""
    attempt: str = ""


_ROWS: msgspec.json.Decoder[_Signed] = msgspec.json.Decoder(_Signed)


@dataclass(slots=True, kw_only=True)
class ChainWatch(StackWitness):
    """Honours ``OracleWatcher``. What is on disk says whose a transaction is."""

    _signed: dict[str, _Signed] = field(default_factory=dict)
    _offers: set[str] = field(default_factory=set)
    _nonces: dict[int, str] = field(default_factory=dict)

    def seen(self, data: bytes) -> None:
        """Nothing: what leaves is seen where it arrives, signed."""

    def unknown(self, question: str) -> None:
        """A gap of the oracle."""
        self.fail("drill", f"the oracle does not know {question}")

    def forged(self, tx: Tx, why: str) -> None:
        self.fail("I11", f"{tx.hash} is {why}")

    def offered(self, tx: Tx) -> None:
        """I1: on disk before any pool has it. I11: a nonce is one order's. I12: nothing new of who is not armed."""
        self.note(self.loop.now_ns, "offered", tx.hash)
        row, disk = self._row_of(tx.hash), self.disk
        if row is None or disk is None or tx.hash not in disk.durable_intents:
            self.fail("I1", f"transaction {tx.hash} was offered before it was on disk")
            return
        if order_of(row.order_id) not in disk.durable_intents:
            self.fail("I1", f"{row.order_id} was offered without a durable intent")
        self.orders += tx.hash not in self._offers
        self._offers.add(tx.hash)
        if not self.is_armed and order_of(row.order_id) not in disk.inherited:  # what was signed before goes on
            self.fail("I12", f"{row.order_id} left a daemon that was never armed")
        if self._nonces.setdefault(tx.nonce, row.order_id) != row.order_id:
            self.fail("I11", f"nonce {tx.nonce} was given to {self._nonces[tx.nonce]} and to {row.order_id}")

    def included(self, included: Included, block: OracleBlock) -> None:
        self.moved_at = self.loop.time()
        self.note(self.loop.now_ns, "mined", block.ref.hash, included.tx.hash, included.is_success, included.gas_wei)
        if self._did(included) is not None:
            self.fills += 1

    def _row_of(self, tx_hash: str) -> _Signed | None:
        if tx_hash not in self._signed and self.disk is not None:
            rows = self.disk.read(kinds=frozenset({RecordKind.TRANSACTION}))
            found = (_ROWS.decode(row.record.payload) for row in rows)
            self._signed.update({row.hash: row for row in found})
        return self._signed.get(tx_hash)

    def _did(self, included: Included) -> str | None:
        """The order that this has done; None for approvals, cancels, and what reverted."""
        row = self._row_of(included.tx.hash)
        is_order = row is not None and row.attempt != Attempt.CANCEL and APPROVAL not in row.order_id
        return row.order_id if row is not None and is_order and included.is_success else None

    def differences(self, oracle: Oracle, daemon: Daemon) -> Iterator[str]:
        """Keys under which book and chain differ, to the last unit."""
        ledger, held = daemon.recorder.state.ledger, dict(_held(oracle))
        accounts = {source.account for venue in daemon.venues for source in venue.sources}
        keys = {*held, *(key for key in ledger.holdings() if key.venue in accounts)}
        for key in sorted(keys, key=str):
            booked, there = ledger.holding(key), held.get(key, ZERO)
            if booked != there:
                yield f"{key}: book {booked}, chain {there}"

    def compare(self, oracle: Oracle, daemon: Daemon) -> None:
        """I2, I3, I18: nothing was done twice, and the book is the chain's: balances, orders, and what gas has cost."""
        for difference in self.differences(oracle, daemon):
            self.fail("I3", difference)
        done: dict[str, str] = {}
        paid = 0
        for block in oracle.chain:
            for tx_hash, one in block.mined.items():
                paid += one.gas_wei
                order_id = self._did(one)
                if order_id is not None and done.setdefault(order_id, tx_hash) != tx_hash:
                    self.fail("I2", f"{order_id} was done by {done[order_id]} and by {tx_hash}")
        self._taken = set(done)
        state = daemon.recorder.state
        booked = -state.ledger.total(Cause.GAS, ETH.asset)
        if booked != ether(paid):
            self.fail("I18", f"gas: book {booked}, chain {ether(paid)}")
        for life in state.orders.values():
            is_done = life.order.order_id in done
            if is_done != (life.state is OrderState.FILLED):
                self.fail("I3", f"{life.order.order_id} is {life.state}, and the chain says {is_done}")


def _held(oracle: Oracle) -> Iterator[tuple[PositionKey, Decimal]]:
    state, owner = oracle.head.state, oracle.owner
    yield ETH, amount_of(state.ether[owner], ETHER_DECIMALS)
    for symbol, digits in DECIMALS.items():
        yield held_at(symbol), amount_of(state.tokens[symbol].get(owner, 0), digits)
        yield atoken(symbol), amount_of(state.claim(symbol, owner), digits)
        yield vdebt(symbol), ZERO
