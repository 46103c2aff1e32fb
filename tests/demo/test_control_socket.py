"""The daemon's control socket, asked over a real unix socket."""

from __future__ import annotations

import socket
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import ConfigError, JournalError
from basis_daemon.domain.trade import OrderState
from basis_daemon.domain.transfer import Route, RouteBook
from basis_daemon.engine import views
from basis_daemon.engine.attribution import Asked, By
from basis_daemon.engine.capital import Withdrawal, WithdrawalRefusedError
from basis_daemon.engine.codec import GuardState, WithdrawalRow
from basis_daemon.engine.guard import Guard, GuardLatchedError
from basis_daemon.engine.position_monitor import PositionMonitor
from basis_daemon.engine.position_update_handler import PositionUpdateHandler
from basis_daemon.engine.profit import pnl
from basis_daemon.engine.transfer_desk import TransferDesk
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import RecordKind
from basis_daemon.web.client import ControlRefusedError, LocalClient, NotListeningError
from basis_daemon.web.control import SOCKET_PATH_BYTES_MAX, ControlServer, Desk, KillSwitch
from tests.demo.story import BOOK, PLAN, Story, told

TILL_USDT = Decimal(50_000)
ROUTE = Route("binance", "wallet", "USDT", "0x" + "ab" * 20, Decimal(20_000), Decimal(50_000), Decimal(50), Decimal(0))
WORD: dict[str, object] = {
    "id": "july-topup", "source": "binance", "target": "wallet", "coin": "usdt", "up_to": "1500", "hours": 4,
    "reason": "seen by two",
}  # fmt: skip
WISH: dict[str, object] = {"id": "july-fees", "amount_usdt": "10000.50", "reason": "fees of July"}
BODIES: dict[str, dict[str, object]] = {"halt": {"reason": "drill"}, "withdraw": WISH, "transfers/approve": WORD}


@dataclass
class Office:
    """A desk over a story in memory, with the daemon's own guard behind it."""

    story: Story
    guard: Guard = field(init=False)
    transfers: TransferDesk = field(init=False)
    wishes: list[Withdrawal] = field(default_factory=list)
    pruned_through: int = 0

    def __post_init__(self) -> None:
        recorder = self.story.recorder
        self.guard = Guard(recorder, lambda _what, _facts: None)
        handler = PositionUpdateHandler(recorder, PositionMonitor(), lambda _what, _facts: None)
        self.transfers = TransferDesk(recorder, handler, SystemClock(), RouteBook("ethereum", (ROUTE,)))

    @property
    def desk(self) -> Desk:
        return Desk(
            rows=lambda after: self.story.journal.read(max(after, self.pruned_through)),
            begins_at=lambda: self.pruned_through + 1,
            live=lambda: {"phase": "armed", "guard": self.guard.state},
            kill_switch=KillSwitch(
                halt=self.guard.halt,
                reduce=lambda why: self.guard.tighten(GuardState.REDUCING, why),
                flatten=self.guard.flatten,
                plan=lambda: {"strategies": []},
                rearm=self.rearm,
                settle=self.story.recorder.flush,
            ),
            withdraw=self.withdraw,
            approve=self.transfers.approve,
            close=self.transfers.close,
            audit=lambda text: self.story.recorder.note(RecordKind.OPERATOR, text, "operator"),
        )

    def rearm(self, why: str, is_unfinished: bool) -> None:
        """Nothing is ever flat here."""
        if self.guard.flattens and not is_unfinished:
            raise GuardLatchedError("not flat yet")
        self.guard.rearm(why)

    def withdraw(self, wish: Withdrawal) -> WithdrawalRow:
        """A till that pays up to 50,000."""
        if wish.amount_usdt > TILL_USDT:
            raise WithdrawalRefusedError(f"withdrawal {wish.wish_id}: expected at most {TILL_USDT}")
        self.wishes.append(wish)
        return WithdrawalRow(wish.wish_id, "btc_basis", wish.amount_usdt, wish.amount_usdt, ())

    @property
    def audited(self) -> list[dict[str, object]]:
        rows = self.story.journal.read(kinds=frozenset({RecordKind.OPERATOR}))
        return [orjson.loads(row.record.payload) for row in rows]


@pytest.fixture
async def office() -> Office:
    return Office(await told())


@pytest.fixture
async def client(office: Office, tmp_path: Path) -> AsyncIterator[LocalClient]:
    path = tmp_path / "control.sock"
    async with ControlServer(office.desk, path), LocalClient.at_socket(path) as asked:
        yield asked


async def test_every_view_comes_through_the_socket_as_from_the_journal(client: LocalClient, office: Office) -> None:
    view = office.story.view
    assert await client.get("/positions") == views.positions(view)
    assert await client.get("/orders", last="1") == views.orders(view, last=1)
    assert await client.get("/orders", open="1") == views.orders(view, only_open=True)
    assert await client.get("/trades") == views.trades(view)
    assert await client.get("/pnl") == pnl(view)
    assert await client.get("/pnl", by="hour", strategy=BOOK) == pnl(view, Asked(by=By.HOUR, strategy=BOOK))
    for query, message in (({"by": "moon"}, "by one of hour, day, strategy"), ({"strategy": "x"}, "expected one of")):
        with pytest.raises(ControlRefusedError, match=message):
            await client.get("/pnl", **query)


async def test_status_adds_what_only_the_process_knows(client: LocalClient, office: Office) -> None:
    found = await client.get("/status")
    assert found.pop("live") == {"phase": "armed", "guard": "ACTIVE"}
    assert found == views.status(office.story.view)


async def test_rows_that_came_since_the_last_question_are_in_the_next_answer(
    client: LocalClient, office: Office
) -> None:
    assert (await client.get("/status"))["guard"]["state"] == "ACTIVE"
    office.story.halt("drill")
    assert (await client.get("/status"))["guard"] == {"state": "HALTED", "why": "drill", "is_flattening": False}


async def test_what_was_pruned_leaves_the_answers_and_what_is_held_stays(client: LocalClient, office: Office) -> None:
    before = await client.get("/positions")
    assert (await client.get("/trades"))["trades"]
    office.story.recorder.snapshot()
    office.pruned_through = office.story.journal.read()[-1].sequence - 1
    assert (await client.get("/trades"))["trades"] == []
    held = {row["key"]: row["quantity"] for row in (await client.get("/positions"))["positions"]}
    assert held == {row["key"]: row["quantity"] for row in before["positions"]}
    assert (await client.get("/orders"))["total"] == 3


@pytest.mark.feature("S13", part="socket")
async def test_why_is_answered_by_the_daemon(client: LocalClient) -> None:
    assert (await client.get(f"/why/{PLAN}"))["decision"]["reason"] == "ENTRY"
    assert (await client.get(f"/why/{BOOK}"))["kind"] == "no_trade"
    with pytest.raises(ControlRefusedError, match="'nonsense' is no order"):
        await client.get("/why/nonsense")


async def test_halt_latches_the_guard_and_is_audited_with_who_asked(client: LocalClient, office: Office) -> None:
    said = await client.post("/halt", {"reason": "exchange maintenance"})
    assert said["live"]["guard"] == "HALTED"
    assert office.guard.why == "operator: exchange maintenance"
    (audit,) = office.audited
    assert (audit["command"], audit["reason"]) == ("halt", "exchange maintenance")
    assert {"pid", "uid"} <= audit.keys()


@pytest.mark.parametrize("command", BODIES)
async def test_an_answer_means_that_a_death_the_next_moment_forgets_nothing(
    command: str, client: LocalClient, office: Office
) -> None:
    assert (await client.post(f"/{command}", BODIES[command]))["durable"] is True
    journal = office.story.journal
    assert isinstance(journal, MemoryJournal)
    assert journal.after_crash().read()[:-1] == journal.read()


@pytest.mark.parametrize("command", BODIES)
async def test_a_command_that_the_disk_does_not_keep_says_so(command: str, tmp_path: Path, office: Office) -> None:
    async def fails() -> None:
        raise JournalError("the disk is full")

    path = tmp_path / "control.sock"
    desk = replace(office.desk, kill_switch=replace(office.desk.kill_switch, settle=fails))
    async with ControlServer(desk, path), LocalClient.at_socket(path) as client:
        assert (await client.post(f"/{command}", BODIES[command]))["durable"] is False


async def test_rearm_loosens_the_guard_again(client: LocalClient, office: Office) -> None:
    await client.post("/halt", {"reason": "drill"})
    await client.post("/rearm", {"reason": "drill is over"})
    assert office.guard.state is GuardState.ACTIVE
    assert [row["command"] for row in office.audited] == ["halt", "rearm"]


async def test_a_rearm_that_the_guard_refuses_is_audited_and_refused(tmp_path: Path, office: Office) -> None:
    await office.story.recorder.intents([office.story.orders[0].model_copy(update={"order_id": "a" * 32})])
    story = office.story
    story.halt("drill")
    path = tmp_path / "control.sock"
    order = story.recorder.state.orders["a" * 32].order
    story.recorder.move(order, OrderState.SUBMITTED)
    async with ControlServer(office.desk, path), LocalClient.at_socket(path) as client:
        with pytest.raises(ControlRefusedError, match="rearm refused: 1 orders in doubt"):
            await client.post("/rearm", {"reason": "hurry"})
    assert office.guard.state is GuardState.HALTED
    assert [row["command"] for row in office.audited] == ["rearm"]


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": 7}, {"reason": "x" * 501}])
@pytest.mark.fault("F59")
async def test_a_command_without_a_reason_does_nothing(
    body: dict[str, object], client: LocalClient, office: Office
) -> None:
    with pytest.raises(ControlRefusedError, match="that say why; nothing was done"):
        await client.post("/halt", body)
    assert office.guard.state is GuardState.ACTIVE
    assert office.audited == []


async def test_a_withdrawal_is_audited_before_it_is_reserved(client: LocalClient, office: Office) -> None:
    said = await client.post("/withdraw", WISH)
    assert said == {"command": "withdraw", "id": "july-fees", "amount_usdt": "10000.50", "strategy": "btc_basis",
                    "pending_usdt": "10000.50", "durable": True}  # fmt: skip
    assert office.wishes == [Withdrawal("july-fees", Decimal("10000.50"), None)]
    (audit,) = office.audited
    assert (audit["command"], audit["id"], audit["amount_usdt"]) == ("withdraw", "july-fees", "10000.50")


async def test_a_withdrawal_that_the_book_refuses_is_audited_and_refused(client: LocalClient, office: Office) -> None:
    with pytest.raises(ControlRefusedError, match="july-fees: expected at most 50000"):
        await client.post("/withdraw", WISH | {"amount_usdt": "50001"})
    assert office.wishes == []
    assert [row["command"] for row in office.audited] == ["withdraw"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"amount_usdt": 10_000.5}, "amount_usdt is '10000.5'"),
        ({"amount_usdt": "-5"}, "amount_usdt is '-5'"),
        ({"amount_usdt": "1e5"}, "amount_usdt is '1e5'"),
        ({"amount_usdt": "1.001"}, "amount_usdt is '1.001'"),
        ({"id": "abc"}, "id is 'abc'"),
        ({"id": None}, "id is 'None'"),
        ({"strategy": 7}, "strategy is no text"),
        ({"reason": ""}, "that say why; nothing was done"),
    ],
)
@pytest.mark.fault("F59")
async def test_a_malformed_withdrawal_does_nothing(
    wrong: dict[str, object], said: str, client: LocalClient, office: Office
) -> None:
    with pytest.raises(ControlRefusedError, match=said):
        await client.post("/withdraw", WISH | wrong)
    assert office.wishes == []
    assert office.audited == []


async def test_a_row_count_that_is_none_is_refused(client: LocalClient) -> None:
    with pytest.raises(ControlRefusedError, match="last is 'all'"):
        await client.get("/orders", last="all")


@pytest.mark.fault("F59")
async def test_only_the_daemons_user_may_open_the_socket_and_it_is_gone_afterwards(
    office: Office, tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"
    async with ControlServer(office.desk, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_a_second_daemon_is_refused_and_the_first_one_lives_on(office: Office, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with ControlServer(office.desk, path):
        with pytest.raises(ConfigError, match="belongs to a daemon that runs"):
            await ControlServer(office.desk, path).start()
        async with LocalClient.at_socket(path) as client:
            assert (await client.get("/status"))["live"]["phase"] == "armed"


async def test_a_socket_left_by_a_dead_daemon_is_replaced(office: Office, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    async with ControlServer(office.desk, path), LocalClient.at_socket(path) as client:
        assert (await client.get("/status"))["live"]["phase"] == "armed"


async def test_paths_that_no_socket_can_have_are_refused_with_a_remedy(office: Office, tmp_path: Path) -> None:
    long = tmp_path / ("x" * SOCKET_PATH_BYTES_MAX)
    with pytest.raises(ConfigError, match=f"expected at most {SOCKET_PATH_BYTES_MAX}: name a shorter path"):
        await ControlServer(office.desk, long).start()
    with pytest.raises(ConfigError, match="make its directory"):
        await ControlServer(office.desk, tmp_path / "none" / "control.sock").start()


async def test_where_no_daemon_listens_the_client_says_what_to_do(tmp_path: Path) -> None:
    async with LocalClient.at_socket(tmp_path / "control.sock") as client:
        with pytest.raises(NotListeningError, match="start one with `basis-daemon run --config FILE`"):
            await client.get("/status")


@pytest.mark.feature("T04", part="socket")
async def test_a_word_for_a_transfer_is_audited_kept_and_shown(client: LocalClient, office: Office) -> None:
    assert await client.get("/transfers") == {"transfers": [], "approvals": []}
    said = await client.post("/transfers/approve", WORD)
    assert (said["command"], said["up_to"], said["why"]) == ("approve", "1500", "operator: seen by two")
    (shown,) = (await client.get("/transfers"))["approvals"]
    assert shown == {key: said[key] for key in said if key not in {"command", "durable"}} | {"spent_on": None}
    (audit,) = office.audited
    assert (audit["command"], audit["coin"], audit["up_to"]) == ("approve", "USDT", "1500")
    with pytest.raises(ControlRefusedError, match="expected one of the address book: binance wallet USDT"):
        await client.post("/transfers/approve", WORD | {"id": "other", "target": "okx"})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"up_to": 1500}, "up_to is '1500'"),
        ({"up_to": "1e3"}, "up_to is '1e3'"),
        ({"hours": "4"}, "hours is '4'"),
        ({"hours": True}, "hours is 'True'"),
        ({"source": "a b"}, "source is 'a b'"),
        ({"id": "x"}, "id is 'x'"),
        ({"reason": ""}, "that say why; nothing was done"),
    ],
)
async def test_a_malformed_word_does_nothing(
    wrong: dict[str, object], said: str, client: LocalClient, office: Office
) -> None:
    with pytest.raises(ControlRefusedError, match=said):
        await client.post("/transfers/approve", WORD | wrong)
    assert office.audited == []


async def test_closing_a_transfer_that_is_not_known_is_audited_and_refused(client: LocalClient, office: Office) -> None:
    body = {"order_id": "f" * 32, "ending": "lost", "reason": "ticket 4711"}
    with pytest.raises(ControlRefusedError, match="none is"):
        await client.post("/transfers/close", body)
    assert [row["command"] for row in office.audited] == ["close"]
    with pytest.raises(ControlRefusedError, match="expected one of arrived, returned, lost"):
        await client.post("/transfers/close", body | {"ending": "gone"})


@pytest.mark.feature("K09", part="socket")
async def test_a_flattening_is_planned_begun_and_ended_over_the_socket_and_every_word_is_kept(
    client: LocalClient, office: Office
) -> None:
    assert await client.get("/flatten") == {"strategies": []}
    assert office.audited == []
    assert (await client.post("/reduce", {"reason": "weekend"}))["live"]["guard"] == "REDUCING"
    begun = await client.post("/flatten", {"reason": "leaving"})
    assert (begun["durable"], begun["live"]["guard"], office.guard.flattens) == (True, "HALTED", "operator: leaving")
    with pytest.raises(ControlRefusedError, match="not flat yet"):
        await client.post("/rearm", {"reason": "too early"})
    with pytest.raises(ControlRefusedError, match="expected true or false"):
        await client.post("/rearm", {"reason": "too early", "unfinished": "yes"})
    assert office.guard.flattens
    assert (await client.post("/rearm", {"reason": "stays", "unfinished": True}))["live"]["guard"] == "ACTIVE"
    assert [row["command"] for row in office.audited] == ["reduce", "flatten", "rearm", "rearm"]
