"""What a repair asks for and believes: neither a row that was booked long ago, nor a silence taken for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.export import entries_of
from basis_daemon.engine.repair import LOOK_BACK, apply, propose
from basis_daemon.ports import AccountSource
from tests.engine.support import Rig
from tests.engine.test_upkeep import later
from tests.venues.paper_support import CASH, WALLET, D

DAY = timedelta(days=1)


class Record:
    """A wallet's source that tells of its capital by when it began, as venues do: days before what was asked for."""

    def __init__(self, inner: AccountSource, flows: Sequence[CashFlow] = ()) -> None:
        self._inner, self._flows = inner, flows
        self.asked_since: list[datetime] = []

    @property
    def account(self) -> str:
        return self._inner.account

    @property
    def accrues(self) -> bool:
        return False

    async def fetch_report(self) -> AccountReport:
        return await self._inner.fetch_report()

    async def fetch_trades(self, since: datetime) -> Sequence[Trade]:
        self.asked_since.append(since)
        return await self._inner.fetch_trades(since)

    async def fetch_cash_flows(self, since: datetime) -> Sequence[CashFlow]:
        self.asked_since.append(since)
        return self._flows

    def hurry(self) -> None:
        self._inner.hurry()

    async def fetch_transfers(self, since: datetime) -> Sequence[Trade]:
        self.asked_since.append(since)
        return await self._inner.fetch_transfers(since)


async def test_a_deposit_whose_id_has_left_memory_is_not_booked_a_second_time() -> None:
    rig = Rig.adopted()
    rig.stage.venue.deposit(CASH, D(500))
    flows = [flow for flow in rig.stage.venue.exchange.tape.flows(WALLET) if flow.cause is Cause.EXTERNAL]
    rig.handler.process_cash_flows(flows)
    held = rig.held(CASH)
    later(rig, 4)
    assert not rig.state.ledger.has(flows[0].flow_id)
    rig.handler.process_cash_flows(flows)
    assert rig.held(CASH) == held
    assert (await propose(rig.state, [Record(rig.stage.venue.accounts[WALLET], flows)])).is_empty


async def test_an_account_that_was_silent_for_days_is_asked_from_its_last_answer_on() -> None:
    """The journal's clock went on with the prices: from there the venue would not tell of what was missed."""
    rig = Rig.adopted()
    later(rig, 5)
    answered = rig.state.asked_until[WALLET]
    rig.recorder.see_time(answered + 9 * DAY)
    source = Record(rig.stage.venue.accounts[WALLET])
    await propose(rig.state, [source])
    assert set(source.asked_since) == {answered - LOOK_BACK}


async def test_the_postings_of_a_correction_are_exported_with_all_others() -> None:
    rig = Rig.adopted()
    rig.stage.venue.exchange.wallets.pay(CASH, D(-50))
    apply(await propose(rig.state, [rig.stage.venue.accounts[WALLET]]), rig.recorder, "{}")
    lines = [line for entry in entries_of(rig.journal.read()) for line in entry.postings]
    corrections = [(line.account, line.amount) for line in lines if line.cause is Cause.CORRECTION]
    assert corrections == [(CASH, D(-50)), ("nominal:correction", D(50))]
