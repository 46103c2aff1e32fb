"""The daemon's local control: read models and the operator's commands, on a unix socket of mode 0600.

Whoever may open the socket is the operator; there is no other authorisation. Views are folded from the journal in a
thread and grow with it, so that a question costs the daemon only the rows that came since the last one.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from basis_daemon.domain.errors import BasisError, ConfigError, JournalError
from basis_daemon.domain.risk_book import RiskBook
from basis_daemon.domain.stress import Grid
from basis_daemon.domain.transfer import ApprovalRow, TransferRow
from basis_daemon.engine import views
from basis_daemon.engine.attribution import NothingValuedError
from basis_daemon.engine.book_view import BookView, Json
from basis_daemon.engine.capital import Withdrawal
from basis_daemon.engine.codec import WithdrawalRow
from basis_daemon.engine.plan_view import plan_view
from basis_daemon.engine.profit import pnl
from basis_daemon.engine.risk_views import risk
from basis_daemon.engine.stress_view import stress_view
from basis_daemon.engine.transfer_desk import Approval, Ending
from basis_daemon.engine.transfer_view import approval_row, transfer_row, transfers
from basis_daemon.engine.why import UnknownIdError, why
from basis_daemon.ports import StoredRecord
from basis_daemon.web.requests import approval_of, asked_of, ending_of, flag_of, reason_of, withdrawal_of

SOCKET_PATH_BYTES_MAX = 107
"""What the kernel takes."""

DURABLE_S = 5.0
"""Longer no disk takes; the command has had its effect by then."""

NO_GRID = Grid()
_NOTHING: Mapping[str, object] = MappingProxyType({})
_PEER = struct.Struct("3i")
_UMASK_OWNER_ONLY = 0o177


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """What moves the guard's latch; each raises a BasisError when it does not move.

    ``plan`` is what a flattening would do and cost, ``rearm`` is told whether an unfinished one may end; ``settle``
    returns once everything is on disk and raises a JournalError.
    """

    halt: Callable[[str], None]
    reduce: Callable[[str], None]
    flatten: Callable[[str], None]
    plan: Callable[[], Json]
    rearm: Callable[[str, bool], None]
    settle: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the control socket may ask of the daemon.

    ``rows`` gives journal rows above a sequence and is called from a thread; ``live`` is what only the process knows;
    ``withdraw`` reserves capital or raises a BasisError, as ``approve`` lets a transfer leave and ``close`` ends one;
    ``audit`` journals the text of an operator's command before it takes effect; ``begins_at`` is the sequence of the
    first row that retention has left; ``risk`` are the positions of every strategy now.
    """

    rows: Callable[[int], Iterable[StoredRecord]]
    live: Callable[[], Mapping[str, object]]
    kill_switch: KillSwitch
    withdraw: Callable[[Withdrawal], WithdrawalRow]
    approve: Callable[[Approval, str], ApprovalRow]
    close: Callable[[str, Ending, str], TransferRow]
    audit: Callable[[str], None]
    begins_at: Callable[[], int] = lambda: 1
    risk: Callable[[], Sequence[RiskBook]] = tuple
    grid: Grid = NO_GRID


class ControlServer:
    """Serves one daemon's desk. ``start`` returns once it listens, ``close`` leaves no socket behind."""

    def __init__(self, desk: Desk, path: Path) -> None:
        self._desk = desk
        self._path = path
        self._view = BookView()
        self._folding = asyncio.Lock()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen. Raises ConfigError for a path that is too long, has no directory, or belongs to a living daemon."""
        listener = listen(self._path)
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runner = runner
        await web.SockSite(runner, listener).start()

    async def close(self) -> None:
        """Stop listening and remove the socket; no-op when it never started."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._path.unlink(missing_ok=True)
            self._runner = None

    def app(self) -> web.Application:
        """Routes, each one view or one command."""
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/status", self._status)
        app.router.add_get("/positions", self._positions)
        app.router.add_get("/orders", self._orders)
        app.router.add_get("/trades", self._trades)
        app.router.add_get("/pnl", self._pnl)
        app.router.add_get("/risk", self._risk)
        app.router.add_get("/risk/stress", self._stress)
        app.router.add_get("/risk/plan", self._plan)
        app.router.add_get("/why/{asked}", self._why)
        app.router.add_post("/halt", self._halt)
        app.router.add_post("/reduce", self._reduce)
        app.router.add_get("/flatten", self._flatten_plan)
        app.router.add_post("/flatten", self._flatten)
        app.router.add_post("/rearm", self._rearm)
        app.router.add_post("/withdraw", self._withdraw)
        app.router.add_get("/transfers", self._transfers)
        app.router.add_post("/transfers/approve", self._approve)
        app.router.add_post("/transfers/close", self._close)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        """What only the process knows, without a look into the journal: cheap enough to be asked all the time."""
        return _json(dict(self._desk.live()))

    async def _status(self, request: web.Request) -> web.Response:
        books = self._desk.risk()

        def status(view: BookView) -> Json:
            found = views.status(view) | {"live": dict(self._desk.live())}
            return found | {"risk": risk(books, view.state.market_time)} if books else found

        return await self._show(status)

    async def _risk(self, request: web.Request) -> web.Response:
        """Of the market as it is, which the journal does not hold."""
        books = self._desk.risk()
        return await self._show(lambda view: risk(books, view.state.market_time))

    async def _stress(self, request: web.Request) -> web.Response:
        books, grid = self._desk.risk(), self._desk.grid
        return await self._show(lambda _: stress_view(books, grid))

    async def _plan(self, request: web.Request) -> web.Response:
        books = self._desk.risk()
        return await self._show(lambda _: plan_view(books))

    async def _positions(self, request: web.Request) -> web.Response:
        return await self._show(views.positions)

    async def _orders(self, request: web.Request) -> web.Response:
        only_open, last = request.query.get("open") == "1", _last(request)
        return await self._show(lambda view: views.orders(view, only_open=only_open, last=last))

    async def _trades(self, request: web.Request) -> web.Response:
        last = _last(request)
        return await self._show(lambda view: views.trades(view, last=last))

    async def _pnl(self, request: web.Request) -> web.Response:
        asked = asked_of(request)
        return await self._show(lambda view: pnl(view, asked))

    async def _why(self, request: web.Request) -> web.Response:
        asked = request.match_info["asked"]
        return await self._show(lambda view: why(view, asked))

    async def _halt(self, request: web.Request) -> web.Response:
        return await self._command(request, "halt", self._desk.kill_switch.halt)

    async def _reduce(self, request: web.Request) -> web.Response:
        return await self._command(request, "reduce", self._desk.kill_switch.reduce)

    async def _flatten_plan(self, request: web.Request) -> web.Response:
        """Of the market and the book as they are; asked in the loop, because no other thread may look at them."""
        return _json(self._desk.kill_switch.plan())

    async def _flatten(self, request: web.Request) -> web.Response:
        return await self._command(request, "flatten", self._desk.kill_switch.flatten)

    async def _rearm(self, request: web.Request) -> web.Response:
        is_unfinished = await flag_of(request, "unfinished")
        said = {"unfinished": True} if is_unfinished else {}
        return await self._command(request, "rearm", lambda why: self._desk.kill_switch.rearm(why, is_unfinished), said)

    async def _withdraw(self, request: web.Request) -> web.Response:
        wish = await withdrawal_of(request)
        asked = {"id": wish.wish_id, "amount_usdt": str(wish.amount_usdt), "strategy": wish.strategy}

        def act(_: str) -> Json:
            row = self._desk.withdraw(wish)
            return asked | {"command": "withdraw", "strategy": row.strategy, "pending_usdt": str(row.pending_usdt)}

        return await self._command(request, "withdraw", act, asked)

    async def _transfers(self, request: web.Request) -> web.Response:
        return await self._show(transfers)

    async def _approve(self, request: web.Request) -> web.Response:
        wish = await approval_of(request)
        asked = {
            "id": wish.approval_id, "source": wish.source, "target": wish.target, "coin": wish.coin,
            "up_to": str(wish.up_to), "hours": wish.hours,
        }  # fmt: skip

        def act(reason: str) -> Json:
            return {"command": "approve"} | approval_row(self._desk.approve(wish, reason))

        return await self._command(request, "approve", act, asked)

    async def _close(self, request: web.Request) -> web.Response:
        order_id, ending = await ending_of(request)

        def act(reason: str) -> Json:
            row = self._desk.close(order_id, ending, reason)
            return {"command": "close", "ending": ending.value} | transfer_row(row)

        return await self._command(request, "close", act, {"order_id": order_id, "ending": ending.value})

    async def _show(self, question: Callable[[BookView], Json]) -> web.Response:
        async with self._folding:
            try:
                return _json(await asyncio.to_thread(self._answer, question))
            except (UnknownIdError, NothingValuedError) as error:
                return _json({"error": str(error)}, web.HTTPNotFound.status_code)
            except BasisError as error:
                return _json({"error": str(error)}, web.HTTPInternalServerError.status_code)

    def _answer(self, question: Callable[[BookView], Json]) -> Json:
        """What was pruned leaves the view too, which is folded anew then: it is as large as the journal, no larger."""
        if self._view.first is not None and self._view.first.sequence < self._desk.begins_at():
            self._view = BookView()
        return question(self._view.fold(self._desk.rows(self._view.state.sequence)))

    async def _command(
        self,
        request: web.Request,
        command: str,
        act: Callable[[str], Json | None],
        asked: Mapping[str, object] = _NOTHING,
    ) -> web.Response:
        """The audit row stands before the effect, also when it is then refused; the answer waits for the disk.

        What ``act`` returns is answered; without anything the command and what now lives are.
        """
        reason = await reason_of(request)
        said = {"command": command, "reason": reason} | dict(asked) | _peer(request)
        self._desk.audit(orjson.dumps(said).decode())
        try:
            answer = act(f"operator: {reason}")
        except BasisError as error:
            return _json({"error": str(error)}, web.HTTPConflict.status_code)
        is_durable = await self._is_durable()
        return _json((answer or said | {"live": dict(self._desk.live())}) | {"durable": is_durable})

    async def _is_durable(self) -> bool:
        """What is acknowledged holds over a restart; false says that only this process knows of it."""
        try:
            async with asyncio.timeout(DURABLE_S):
                await self._desk.kill_switch.settle()
        except (TimeoutError, JournalError):
            return False
        return True


def listen(path: Path) -> socket.socket:
    """A listening unix socket that only this user may open. A socket left behind by a dead daemon is replaced."""
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise ConfigError(
            f"control.socket {path} has {len(os.fsencode(path))} bytes, expected at most {SOCKET_PATH_BYTES_MAX}: "
            "name a shorter path"
        )
    if _is_answered(path):
        raise ConfigError(f"control.socket {path} belongs to a daemon that runs: stop it, or name another data_dir")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(_UMASK_OWNER_ONLY)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"control.socket {path}: {error.strerror}; make its directory, or name another one"
        ) from error
    finally:
        os.umask(before)
    listener.listen()
    return listener


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        return caller.connect_ex(str(path)) == 0


def _last(request: web.Request) -> int | None:
    text = request.query.get("last")
    if text is not None and not text.isdecimal():
        raise web.HTTPBadRequest(text=f"last is {text!r}, expected how many rows from the end")
    return int(text) if text else None


def _peer(request: web.Request) -> dict[str, int]:
    """Process and user at the other end, as the kernel knows them."""
    transport = request.transport
    peer: Any = transport.get_extra_info("socket") if transport is not None else None
    if peer is None:
        return {}
    pid, uid, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return {"pid": pid, "uid": uid}


def _json(body: Json, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
