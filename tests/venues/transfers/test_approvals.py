"""What only a person may say of transfers: real client, real exchange wire, real transactions, the real ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.trade import OrderState
from basis_daemon.domain.transfer import ApprovalRow, TransferStep
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.transfer_desk import Approval, Ending, TransferDesk, TransferRefusedError
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import RecordKind
from basis_daemon.sandbox.chain.world import Prepared
from tests.venues.transfers.bridge_rig import TERMS, D, Ground, Life, crossing

pytestmark = pytest.mark.timeout(180)

WISH = Approval("july-topup", "binance", "wallet", "USDT", D(1_500), 4)
LARGE = ("binance", "wallet", "USDT", "1500")


@pytest.fixture
async def ground(tmp_path: Path, chain_world: Prepared) -> AsyncIterator[Ground]:
    async with Ground(tmp_path, chain_world) as one:
        yield one


async def careful(ground: Ground) -> Life:
    """More than 100 of anything needs a word."""
    return await ground.new_life(ground.routes(approve_above=D(100)))


def desk(life: Life) -> TransferDesk:
    return TransferDesk(life.recorder, life.handler, life.clock, life.routes)


async def overdue(ground: Ground, life: Life) -> OrderLife:
    """A withdrawal that the exchange sits on for too long."""
    await ground.steer(hold=True)
    order = crossing(*LARGE).model_copy(update={"timeout_s": D("0.2")})
    late = await life.run(order)
    life.clock.ahead += timedelta(seconds=TERMS.timeout_s + 1)
    await life.runner.look_after(late)
    assert late.state is OrderState.OVERDUE
    return late


@pytest.mark.feature("T04")
async def test_a_large_transfer_waits_for_one_word_and_spends_it(ground: Ground) -> None:
    life = await (await careful(ground)).adopt()
    refused = await life.run(crossing(*LARGE))
    assert (refused.state, life.state.transfers) == (OrderState.REJECTED, {})
    assert "transfer_unapproved_alarm" in life.notes.events
    word = desk(life).approve(WISH, "seen by two")
    assert desk(life).approve(WISH, "said again") == word, "under one id it is one word"
    await life.recorder.flush()
    life = await careful(ground)
    assert life.state.approvals == {"july-topup": word}, "it outlives the process"
    assert (await life.run(crossing("binance", "wallet", "USDT", "1500.01"))).state is OrderState.REJECTED
    done = await life.run(crossing(*LARGE))
    assert (done.state, life.state.transfers[done.order.order_id].approval) == (OrderState.SETTLED, "july-topup")
    assert (await life.run(crossing(*LARGE))).state is OrderState.REJECTED
    assert (await life.run(crossing("binance", "wallet", "USDT", "100"))).state is OrderState.SETTLED, "a small one may"
    assert [row.amount for row in ground.rows("withdrawal")] == [D("1498.5"), D("98.5")]


@pytest.mark.feature("T04")
async def test_a_word_holds_for_its_route_and_its_hours_only(ground: Ground) -> None:
    life = await (await careful(ground)).adopt()
    desk(life).approve(WISH, "seen by two")
    assert (await life.run(crossing("wallet", "binance", "USDT", "1500"))).state is OrderState.REJECTED
    life.clock.ahead += timedelta(hours=4, seconds=1)
    assert (await life.run(crossing(*LARGE))).state is OrderState.REJECTED
    assert ground.rows("withdrawal") == ground.rows("deposit") == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"target": "okx"}, "expected one of the address book: binance wallet USDT"),
        ({"coin": "DAI"}, "binance wallet DAI, expected one of"),
        ({"up_to": D(20_001)}, "expected more than 0 and at most 20000 "),
        ({"up_to": D(0)}, "up to 0 USDT"),
        ({"hours": 73}, "73 h, expected 1 to 72"),
    ],
)
async def test_a_word_that_no_route_could_use_is_refused(ground: Ground, changes: dict[str, object], told: str) -> None:
    life = await ground.new_life()
    wish = Approval(**({name: getattr(WISH, name) for name in WISH.__dataclass_fields__} | changes))
    with pytest.raises(TransferRefusedError, match=told):
        desk(life).approve(wish, "why not")
    assert life.state.approvals == {}


async def test_an_id_names_one_word(ground: Ground) -> None:
    life = await ground.new_life()
    first = desk(life).approve(WISH, "seen by two")
    other = Approval("july-topup", "binance", "wallet", "USDT", D(9), 4)
    with pytest.raises(TransferRefusedError, match="1500 USDT binance to wallet stand under this id"):
        desk(life).approve(other, "slip")
    assert list(life.state.approvals.values()) == [first]
    assert isinstance(first, ApprovalRow)


@pytest.mark.feature("T01", part="closed")
@pytest.mark.parametrize(
    ("ending", "step", "at_wallet", "at_exchange", "cost"),
    [
        (Ending.ARRIVED, TransferStep.DONE, "1498.5", "98500", "-1.5"),
        (Ending.RETURNED, TransferStep.RETURNED, "0", "100000", "0"),
        (Ending.LOST, TransferStep.FAILED, "0", "98500", "-1500"),
    ],
)
async def test_a_person_ends_what_takes_too_long_and_the_way_is_free_again(
    ground: Ground, ending: Ending, step: TransferStep, at_wallet: str, at_exchange: str, cost: str
) -> None:
    life = await (await ground.new_life()).adopt()
    before = life.held("wallet:token:USDT")
    late = await overdue(ground, life)
    row = desk(life).close(late.order.order_id, ending, "ticket 4711")
    assert (row.step, row.why, late.is_open) == (step, "ticket 4711", False)
    assert life.held("binance:transit:USDT") == 0
    assert life.held("wallet:token:USDT") - before == D(at_wallet)
    assert life.held("binance:spot:USDT") == D(at_exchange)
    assert life.state.ledger.total(Cause.TRANSFER_FEE, "USDT") == D(cost)
    assert (await life.run(crossing("wallet", "binance", "ETH", "1"))).state is OrderState.SETTLED
    with pytest.raises(TransferRefusedError, match="expected MANUAL"):
        desk(life).close(late.order.order_id, ending, "again")


async def test_a_wrong_word_is_a_break_until_it_has_come_true(ground: Ground) -> None:
    life = await (await ground.new_life()).adopt()
    late = await overdue(ground, life)
    desk(life).close(late.order.order_id, Ending.ARRIVED, "so they said")
    assert not await life.agrees()
    await ground.steer(hold=False)
    await ground.mined_until(lambda: ground.rows("withdrawal")[0].status == 6)
    assert await life.agrees(), "and the arrival is booked once"


async def test_only_what_is_overdue_is_closed_by_hand(ground: Ground) -> None:
    life = await (await ground.new_life()).adopt()
    await ground.steer(hold=True)
    waits = await life.run(crossing(*LARGE).model_copy(update={"timeout_s": D("0.2")}))
    with pytest.raises(TransferRefusedError, match="expected MANUAL"):
        desk(life).close(waits.order.order_id, Ending.LOST, "impatience")
    with pytest.raises(TransferRefusedError, match="not known, expected one that is overdue: none is"):
        desk(life).close("f" * 32, Ending.LOST, "a slip")
    assert life.held("binance:transit:USDT") == D("1498.5")


@pytest.mark.feature("T01", part="closed")
async def test_a_death_between_the_money_and_the_step_of_an_ending_books_nothing_twice(ground: Ground) -> None:
    life = await (await ground.new_life()).adopt()
    late = await overdue(ground, life)
    desk(life).close(late.order.order_id, Ending.LOST, "ticket 4711")
    await life.recorder.flush()
    rows = ground.journal.read()
    assert rows[-1].record.kind is RecordKind.TRANSFER
    ground.journal = MemoryJournal(ground.clock, rows[:-1])
    again = await ground.new_life()
    assert again.state.transfers[late.order.order_id].step is TransferStep.MANUAL
    desk(again).close(late.order.order_id, Ending.RETURNED, "said otherwise")
    assert again.held("binance:transit:USDT") == 0
    assert again.held("binance:spot:USDT") == 98_500, "the money was booked before the death, and once"
    assert again.state.ledger.total(Cause.TRANSFER_FEE, "USDT") == -1_500
    assert (await again.run(crossing("wallet", "binance", "ETH", "1"))).state is OrderState.SETTLED
