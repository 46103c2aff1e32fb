"""Money: trade deltas are what positions are made of, and the journal's rows make the same state again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from basis_daemon.clock import ManualClock
from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.engine.codec import GuardRow, GuardState, MemoryRow, PlanRow, TradeRow
from basis_daemon.engine.position_monitor import PositionMonitor
from basis_daemon.engine.position_update_handler import PositionUpdateHandler
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import BookState, recover
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.journal.schema import Identity, Mode, Run
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.ports import Journal
from tests.quality_gates.examples import (
    MARGIN_USDT,
    NOON,
    PERP_BTC,
    SPOT_BTC,
    SPOT_USDT,
    example_order,
    fill,
    instrument_of,
)
from tests.quality_gates.gate import Found

SEED, TRADES = 7, 400

MakeState = Callable[[], BookState]
Recover = Callable[[Journal], BookState]


def deltas_fold_into_positions(make: MakeState = BookState, seed: int = SEED, count: int = TRADES) -> Found:
    """Random spot and perp fills, some of them delivered twice: holdings are the sum of the deltas, to the digit."""
    state = make()
    state.instruments = {key: instrument_of(key) for key in (SPOT_BTC, PERP_BTC)}
    expected: dict[PositionKey, Decimal] = {}
    chance = random.Random(seed)  # noqa: S311 - a seed makes the same trades every time
    faults: list[str] = []
    for trade in _random_fills(chance, count):
        for _ in range(1 + (chance.random() < 0.2)):
            state.book(TradeRow(trade, state.entry_of(trade)))
        for key, amount in trade.deltas.items():
            expected[key] = expected.get(key, Decimal(0)) + amount
        if (held := state.ledger.holdings()) != expected:
            faults.append(f"after trade {trade.trade_id}: held {_text(held)}, sum of deltas {_text(expected)}")
            break
    if state.trade_count != count and not faults:
        faults.append(f"{state.trade_count} trades counted, expected {count}")
    return Found(f"{count} trades of seed {seed} under {len(expected)} keys", tuple(faults))


def _random_fills(chance: random.Random, count: int) -> list[Trade]:
    return [_spot(chance, n) if chance.random() < 0.5 else _perp(chance, n) for n in range(count)]


def _spot(chance: random.Random, number: int) -> Trade:
    sign, quantity, price = _drawn(chance)
    fee = quantity / 1000 if sign > 0 else Decimal(0)  # paid in the bought asset: the holding is smaller than the fill
    deltas = {SPOT_BTC: sign * quantity - fee, SPOT_USDT: -sign * quantity * price}
    return fill(number, "", deltas, price, quantity)


def _perp(chance: random.Random, number: int) -> Trade:
    sign, quantity, price = _drawn(chance)
    wallet = Decimal(chance.randint(-10_000_000, 10_000_000)).scaleb(-4)  # realised less fee, in the venue's own digits
    return fill(number, "", {PERP_BTC: sign * quantity, MARGIN_USDT: wallet or Decimal(1)}, price, quantity)


def _drawn(chance: random.Random) -> tuple[int, Decimal, Decimal]:
    sign = chance.choice((-1, 1))
    return sign, Decimal(chance.randint(1, 5000)).scaleb(-3), Decimal(chance.randint(500_000, 700_000)).scaleb(-1)


def journal_rows_make_the_same_state(recover_from: Recover = recover) -> Found:
    """A day of rows of every kind that changes the state, read back from memory and disk, with and without snapshot."""
    return asyncio.run(_replay_everywhere(recover_from))


async def _replay_everywhere(recover_from: Recover) -> Found:
    clock = ManualClock(NOON)
    faults: list[str] = []
    rows = 0
    for with_snapshot in (False, True):
        memory = MemoryJournal(clock)
        with TemporaryDirectory(prefix="basis-gates-") as folder:
            identity, run = Identity("gates", Mode.SANDBOX, "gates"), Run("gates", "gates")
            disk = SqliteJournal.open(Path(folder) / "journal.db", identity, run, clock)
            try:
                for name, journal in (("memory", memory), ("sqlite", disk)):
                    live = await _lived_through(journal, with_snapshot=with_snapshot)
                    rows += live.sequence
                    back = recover_from(journal)
                    where = f"{name} {'with' if with_snapshot else 'without'} snapshot"
                    faults += [f"{where}: {fault}" for fault in _differences(live, back, whole=not with_snapshot)]
            finally:
                await disk.close()
    return Found(f"{rows} rows in 4 journals", tuple(faults))


async def _lived_through(journal: Journal, *, with_snapshot: bool) -> BookState:
    """The state of a book that adopted, traded, was in doubt, differed from its venue, and was restricted."""
    state = recover(journal)
    recorder = Recorder(state, journal)
    handler = PositionUpdateHandler(recorder, PositionMonitor(), lambda _what, _values: None)
    state.instruments = {key: instrument_of(key) for key in (SPOT_BTC, PERP_BTC)}
    covers = frozenset({Kind.SPOT})
    handler.adopt(AccountReport("binance", NOON, 0, {SPOT_USDT: Decimal(100_000)}, covers))
    done, open_, doubtful = (example_order(OrderOperation.SPOT_TRADE, leg) for leg in range(3))
    await recorder.intents([done, open_, doubtful])
    for order in (done, open_, doubtful):
        recorder.move(order, OrderState.SUBMITTED, at=NOON)
    recorder.move(open_, OrderState.ACKED)
    recorder.record(_plan(PlanState.RUNNING, done), "example:1:1")
    recorder.record(MemoryRow("example", '{"seen": 1}'), "example")
    bought = {SPOT_BTC: Decimal("0.999"), SPOT_USDT: Decimal(-60_000)}
    handler.process_trades([fill(1, done.order_id, bought, Decimal(60_000), Decimal(1))])
    if with_snapshot:
        recorder.snapshot()
    sold = {PERP_BTC: Decimal(-1), MARGIN_USDT: Decimal("-30.5")}
    handler.process_trades([fill(2, "", sold, Decimal(60_010), Decimal(1))] * 2)
    recorder.move(doubtful, OrderState.UNKNOWN, why="no answer")
    gone = AccountReport("binance", NOON.replace(hour=13), 0, {SPOT_USDT: Decimal(40_000)}, covers)
    for _ in range(2):
        handler.observe(gone, is_settled=True)
    recorder.record(GuardRow(GuardState.REDUCING, "drawdown"), "guard")
    recorder.record(_plan(PlanState.ABORTED, done), "example:1:1")
    await recorder.flush()
    return state


def _plan(state: PlanState, order: Order) -> PlanRow:
    return PlanRow("example:1:1", "example", 1, ReasonCode.ENTRY, state, (order.order_id,))


def _differences(live: BookState, back: BookState, *, whole: bool) -> list[str]:
    """Named parts in which two states differ; a snapshot forgets ended orders and plans, the journal keeps them."""
    names = ["sequence", "market_time", "memories", "breaks", "breaks_opened", "guard", "trade_count"]
    names += ["last_trade_time", "decisions", "last_decision", "last_valuations"]
    names += ["orders", "plans"] if whole else []
    faults = [
        f"{name} is {getattr(back, name)}, was {getattr(live, name)}"
        for name in names
        if getattr(back, name) != getattr(live, name)
    ]
    if back.ledger.state() != live.ledger.state():
        faults.append(f"holdings are {_text(back.ledger.holdings())}, were {_text(live.ledger.holdings())}")
    open_now, open_then = ({o.order.order_id: o for o in s.open_orders()} for s in (back, live))
    if open_now != open_then:
        faults.append(f"open orders are {sorted(open_now)}, were {sorted(open_then)}")
    if back.in_doubt() != live.in_doubt() or not live.in_doubt():
        faults.append(f"in doubt are {back.in_doubt()}, were {live.in_doubt()}")
    return faults


def _text(holdings: Mapping[PositionKey, Decimal]) -> str:
    return ", ".join(f"{key} {amount}" for key, amount in sorted(holdings.items()))
