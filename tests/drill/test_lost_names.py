"""A withdrawal that the exchange has stripped of its id: it is the one that it looks like, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.transfer import WALLET, RouteBook, TransferRow, TransferStep
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import recover
from basis_daemon.engine.transfer_log import TransferLog
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import Evidence, Finding, pass_by
from basis_daemon.simulation.drill.chain.endpoint import address_book, pool_of
from basis_daemon.simulation.drill.chance import Fault
from basis_daemon.simulation.drill.exchange import Connection
from basis_daemon.simulation.drill.hedge.ends import DrillWalletEnd, WiredCustody
from basis_daemon.simulation.drill.market import START
from basis_daemon.simulation.virtual import VirtualClock
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.notes import ignore_note
from basis_daemon.venues.transfers.bridge import is_own_transfer
from basis_daemon.venues.transfers.crossing import Surroundings, Terms
from basis_daemon.venues.transfers.withdrawal import WithdrawalInterface
from tests.drill.test_drill_hedge import USDT, Counterparty

D, ADDRESS = Decimal, "0x" + "aa" * 20
ONE, TWO = "1" * 32, "2" * 32


@pytest.fixture
def there() -> Iterator[Counterparty]:
    one = Counterparty()
    one.chance.rates[Fault.PAYOUT_UNNAMED] = 1.0
    yield one
    one.loop.close()


def nothing(order_id: str) -> tuple[str, ...]:
    """Was signed for any order."""
    del order_id
    return ()


def row(name: str, step: TransferStep, number: str = "") -> TransferRow:
    nothing = D(0)
    return TransferRow(
        name, "drillex", WALLET, "USDT", "ethereum", ADDRESS, D(400), nothing, nothing, nothing, START, step, number
    )


def order(name: str) -> Order:
    return Order(
        order_id=name, strategy="test", decision=1, leg=0, operation=OrderOperation.TRANSFER, venue="drillex",
        instrument=USDT, amount=D(400), token_in=USDT, recipient=WALLET, network="ethereum", timeout_s=D(60),
        expected_deltas={USDT: D(-400), PositionKey("wallet:token:USDT"): D(395)}, reason="test", created_at=START,
    )  # fmt: skip


def asked(there: Counterparty, name: str, *rows: TransferRow) -> Evidence:
    """What is found out about one order by a daemon that remembers these transfers."""

    async def ask() -> Evidence:
        clock = VirtualClock(there.loop, START)
        journal = MemoryJournal(clock)
        log = TransferLog(Recorder(recover(journal), journal))
        for one in rows:
            await log.keep(replace(one, step=TransferStep.SUBMITTING))
            await log.keep(one)
        async with TaskTree("daemon") as tree:
            pool = pool_of(there.node, there.chance, bool, clock, tree, ignore_note)
            wallet = DrillWalletEnd(pool, address_book(), there.node.address, nothing)
            exchange = WiredCustody(there.cashier, Connection(there.cashier.exchange, {}, ()), lambda *_: None)
            around = Surroundings(log, clock, ignore_note, pass_by)
            terms = Terms(confirmations=4, timeout_s=3600, absence_s=5.0)
            carrier = WithdrawalInterface(exchange, wallet, RouteBook("ethereum", ()), terms, around, lambda _: None)
            return await carrier.find_order(order(name), START)

    with asyncio.Runner(loop_factory=lambda: there.loop) as runner:
        return runner.run(ask())


def test_a_withdrawal_without_its_id_is_known_by_what_it_is(there: Counterparty) -> None:
    there.cashier.take(ONE, "USDT", D(400), ADDRESS)
    assert asked(there, ONE, row(ONE, TransferStep.UNKNOWN)).finding is Finding.FOUND


@pytest.mark.fault("F02")
def test_a_withdrawal_that_is_another_transfers_is_taken_for_no_second_one(there: Counterparty) -> None:
    there.cashier.take(ONE, "USDT", D(400), ADDRESS)
    rows = row(ONE, TransferStep.RETURNED, "1"), row(TWO, TransferStep.UNKNOWN)
    assert asked(there, TWO, *rows).finding is Finding.NOT_YET


@pytest.mark.feature("T01", part="drill")
def test_a_withdrawal_whose_record_has_lost_its_id_is_no_capital_that_went(there: Counterparty) -> None:
    number = there.cashier.take(ONE, "USDT", D(400), ADDRESS)
    clock = VirtualClock(there.loop, START)
    journal = MemoryJournal(clock)
    log = TransferLog(Recorder(recover(journal), journal))
    is_own = partial(is_own_transfer, log, nothing, "drillex")
    assert sum(flow.amount for flow in there.cashier.capital(START, is_own)) == -400

    async def keep(step: TransferStep, **facts: str) -> None:
        await log.keep(replace(row(ONE, step, number), **facts))  # type: ignore[arg-type]  # its texts

    with asyncio.Runner(loop_factory=lambda: there.loop) as runner:
        runner.run(keep(TransferStep.SUBMITTED))
        assert there.cashier.capital(START, is_own) == []
        there.mine(2)
        (sent,) = there.cashier.withdrawals("USDT", None)
        runner.run(keep(TransferStep.DONE, tx_id=sent.tx_id))
        assert there.cashier.capital(START, is_own) == []


@pytest.mark.feature("T01", part="drill")
@pytest.mark.parametrize("step", [TransferStep.RETURNED, TransferStep.FAILED])
def test_a_withdrawal_that_was_never_sent_and_is_closed_is_known_by_its_number(
    there: Counterparty, step: TransferStep
) -> None:
    number = there.cashier.take(ONE, "USDT", D(400), ADDRESS)
    clock = VirtualClock(there.loop, START)
    journal = MemoryJournal(clock)
    log = TransferLog(Recorder(recover(journal), journal))
    is_own = partial(is_own_transfer, log, nothing, "drillex")
    with asyncio.Runner(loop_factory=lambda: there.loop) as runner:
        runner.run(log.keep(row(ONE, TransferStep.SUBMITTING, number)))
        runner.run(log.keep(row(ONE, step, number)))
    assert there.cashier.capital(START, is_own) == []
    assert is_own_transfer(log, nothing, "drillex", "", "another") is False


@pytest.mark.feature("T01", part="drill")
@pytest.mark.fault("F40")
def test_a_deposit_that_is_credited_by_a_replacement_nobody_has_seen_mined_is_no_capital_that_came(
    there: Counterparty,
) -> None:
    """Its row still names the first transaction; told as an investor's, it would be counted twice on its arrival."""
    journal = MemoryJournal(VirtualClock(there.loop, START))
    log = TransferLog(Recorder(recover(journal), journal))
    left = replace(row(ONE, TransferStep.SUBMITTING), source=WALLET, target="drillex")
    signed = {ONE: ("0x01", "0x02"), TWO: ("0x03",)}
    is_own = partial(is_own_transfer, log, signed.__getitem__, "drillex")
    with asyncio.Runner(loop_factory=lambda: there.loop) as runner:
        runner.run(log.keep(left))
        runner.run(log.keep(replace(left, step=TransferStep.ONCHAIN, tx_id="0x01")))
        assert [is_own(tx_id, "") for tx_id in ("0x01", "0x02", "0X02", "0x03")] == [True, True, True, False]
        runner.run(log.keep(replace(left, step=TransferStep.DONE, tx_id="0x02")))
    assert [is_own(tx_id, "") for tx_id in ("0x02", "0x03")] == [True, False]
