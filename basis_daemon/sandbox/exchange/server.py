"""The running exchange: two listeners on loopback, one driver of market time, and how they start and stop."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import orjson
import uvloop
from aiohttp import web

from basis_daemon.sandbox.exchange.clock import MarketClock, Mode
from basis_daemon.sandbox.exchange.control import control_app, iso
from basis_daemon.sandbox.exchange.faults import FaultBoard
from basis_daemon.sandbox.exchange.gateway import Gateway
from basis_daemon.sandbox.exchange.limits import Limits
from basis_daemon.sandbox.exchange.market_events import MarketEvents
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.sockets import Sockets
from basis_daemon.sandbox.exchange.streams import Hub
from basis_daemon.sandbox.exchange.tls import server_context
from basis_daemon.sandbox.exchange.venue import Venue
from basis_daemon.sandbox.exchange.world import World
from basis_daemon.tasks import TaskTree

if TYPE_CHECKING:
    from basis_daemon.sandbox.exchange.chain_link import ChainLink
    from basis_daemon.sandbox.exchange.courier import Courier

LOOPBACK = "127.0.0.1"
HEARTBEAT_S, SWITCH_CHECK_S = 0.25, 0.05


class SandboxExchange:
    """One exchange process's worth of state. `start` returns once it listens; `stop` leaves nothing behind."""

    def __init__(self, options: ExchangeOptions) -> None:
        self.options = options
        path = options.path()
        self.venue = Venue(
            path.keys, options.accounts, path.start_ms, seed=options.seed, depth=options.depth, fees=options.fees
        )
        self.world = World(self.venue, path)
        self.clock = MarketClock(path.start_ms, path.end_ms, options.mode, options.step_s * 1000, options.speed)
        self.faults = FaultBoard()
        self.hub = Hub(self.venue, self.faults)
        self.venue.sink = self.hub.event
        limits = {
            "spot": Limits(options.spot_weight_1m),
            "usdm": Limits(options.usdm_weight_1m),
            "coinm": Limits(options.usdm_weight_1m),
        }
        self._events = MarketEvents(self.world)
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self.gateway = Gateway(self.world, self.clock, self.hub, self.faults, limits, self._changed.set)
        self._sockets = Sockets(self.venue, self.clock, self.hub, self.gateway, self._changed.set)
        self._tasks = TaskTree("sandbox-exchange")
        self._runners: list[web.AppRunner] = []
        self._turn = asyncio.Lock()
        self._link: ChainLink | None = None
        self.port = self.control_port = 0
        self.ca_file = options.directory / "ca.pem"

    async def start(self) -> None:
        """Listen, write the ready file, and let market time run."""
        context, self.ca_file = server_context(self.options.directory)
        venue_app = web.Application()
        venue_app.router.add_route("*", "/{path:.*}", self._dispatch)
        self.port = await self._listen(venue_app, self.options.port, context)
        self.control_port = await self._listen(control_app(self), self.options.control_port, None)
        carrying = None if self.options.chain is None else await self._link_to(self.options.chain)
        await self._tasks.__aenter__()
        self._tasks.spawn("market-time", self._drive())
        if carrying is not None:
            self._tasks.spawn("courier", carrying.run())
        unfinished = self.options.ready_file.with_suffix(".new")
        unfinished.write_bytes(orjson.dumps(self.ready()))
        unfinished.replace(self.options.ready_file)

    async def _link_to(self, ready_file: Path) -> Courier:
        """Who carries coin over this chain. Raises OSError for one that does not answer."""
        from basis_daemon.sandbox.exchange.chain_link import ChainLink, deposit_key  # noqa: PLC0415 - an exchange without a chain needs no keys
        from basis_daemon.sandbox.exchange.courier import Courier  # noqa: PLC0415 - as above

        custody, seed = self.world.custody, self.options.seed
        self._link = await ChainLink.open(ready_file, custody.ways, seed)
        custody.confirmations, custody.is_linked = self.options.confirmations, True
        custody.unlocks_at = 2 * self.options.confirmations
        custody.addresses = {deposit_key(seed, name).address: one for name, one in self.venue.accounts.items()}
        for account in self.venue.accounts.values():  # whoever links a chain means to use it
            account.rights["enableWithdrawals"] = True
        return Courier(custody, self._link, self._observe, self._told)

    def _observe(self) -> None:
        self.world.observe(self.clock.now_ms(time.monotonic()))

    def _told(self) -> None:
        self.hub.changes()
        self.hub.flush()

    async def stop(self) -> None:
        """Close every connection and listener; raises what the driver of market time died of, if it did."""
        self._stopping.set()
        self.options.ready_file.unlink(missing_ok=True)
        await self.hub.close()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        self._tasks.cancel_all("the exchange stops")
        await self._tasks.__aexit__(None, None, None)
        if self._link is not None:
            await self._link.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def stopped(self) -> None:
        """Return when the control port or a signal asks to stop."""
        await self._stopping.wait()

    def ready(self) -> dict[str, Any]:
        return {
            "port": self.port,
            "control_port": self.control_port,
            "ca_file": str(self.ca_file),
            "pid": os.getpid(),
        }

    def status(self) -> dict[str, Any]:
        mono, clock = time.monotonic(), self.clock
        now_ms = clock.now_ms(mono)
        return {
            "market_time": iso(now_ms),
            "market_ms": now_ms,
            "start": iso(clock.start_ms),
            "end": iso(clock.end_ms),
            "days": (clock.end_ms - clock.start_ms) / 86_400_000,
            "days_done": (now_ms - clock.start_ms) / 86_400_000,
            "done": clock.done,
            "held": clock.held,
            "started": clock.started,
            "mode": clock.mode,
            "effective_speed": round(clock.effective_speed(mono), 1),
            "frames": self.hub.frames,
            "outstanding": clock.outstanding,
            "subscriptions": self.hub.subscriptions,
            "connections": self.hub.connections(),
            "faults": [fault.kind for fault in self.faults.armed],
            "faults_injected": dict(self.faults.injected),
        }

    def hold(self) -> None:
        self.clock.hold(time.monotonic())

    def resume(self) -> None:
        self.clock.resume(time.monotonic())
        self._changed.set()

    def set_mode(self, mode: Mode, speed: float | None) -> None:
        self.clock.set_mode(mode, speed, time.monotonic())
        self._changed.set()

    async def advance(self, seconds: float) -> None:
        """Move market time on by `seconds`, step by step, one frame each; returns when all clients have read them."""
        async with self._turn:
            mono = time.monotonic()
            for stamp in self.clock.steps_to(self.clock.now_ms(mono) + int(seconds * 1000)):
                self._frame(stamp)
                await self.hub.all_read()

    def expire_listen_keys(self) -> int:
        expired = self.gateway.listen_keys.expire(self.gateway.real_ms(), everything=True)
        self.hub.expire_listen_keys(expired, self.gateway.real_ms())
        self.hub.flush()
        return len(expired)

    def happen(self, body: dict[str, Any]) -> dict[str, Any]:
        """An event of `market_events`, told to everybody at once; raises `ValueError` for what cannot be."""
        self.world.observe(self.clock.now_ms(time.monotonic()))
        changed = self._events.happen(body)
        self.faults.injected[str(body["kind"])] += 1
        self.hub.changes()
        self.hub.flush()
        return changed

    def set_skew(self, skew_ms: int) -> None:
        """Put the venue's wall clock ahead of (or behind) the real one."""
        self.gateway.skew_ms = skew_ms
        self.faults.injected["skew"] += bool(skew_ms)

    def tell(self) -> None:
        """Send what somebody has changed to whoever listens, at the stamp that the market has reached."""
        self.world.reprice(self.venue.now_ms)
        self.hub.frame()
        self.hub.flush(ping=True)

    def ask_to_stop(self) -> None:
        self._stopping.set()

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._sockets.handle(request)
        return await self.gateway.handle(request)

    async def _listen(self, app: web.Application, port: int, context: ssl.SSLContext | None) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, LOOPBACK, port, ssl_context=context).start()
        bound = runner.addresses[0]
        return int(bound[1])

    async def _drive(self) -> None:
        """Carry out the clock's moves until cancelled."""
        while True:
            self._changed.clear()
            self._dead_mans_switches()
            async with self._turn:
                move = self.clock.poll(time.monotonic())
                if move.to_ms is not None:
                    for stamp in self.clock.steps_to(move.to_ms):
                        self._frame(stamp)
                    await self.hub.all_read()
                    continue
            await self._rest(move.wait_s)

    async def _rest(self, wait_s: float) -> None:
        """Stand still until something changes; on a long wait do what is due in real time."""
        try:
            async with asyncio.timeout(min(wait_s, HEARTBEAT_S, SWITCH_CHECK_S if self._has_switch() else HEARTBEAT_S)):
                await self._changed.wait()
        except TimeoutError:
            if wait_s >= HEARTBEAT_S:
                self._heartbeat()

    def _heartbeat(self) -> None:
        """Real-time duties, and a frame at the same stamp so that a held market does not look dead."""
        self.hub.expire_listen_keys(self.gateway.listen_keys.expire(self.gateway.real_ms()), self.gateway.real_ms())
        if self.clock.mode != "manual" and self.hub.subscriptions:
            self.hub.frame()
        self.hub.flush(ping=True)

    def _has_switch(self) -> bool:
        return any(account.cancel_at_real for account in self.venue.futures_accounts())

    def _dead_mans_switches(self) -> None:
        """Cancel what lost its keeper: the countdowns run on the venue's wall clock, however market time runs."""
        for account in self.venue.futures_accounts():
            for symbol, due in list(account.cancel_at_real.items()):
                if due <= self.gateway.real_ms() / 1000:
                    del account.cancel_at_real[symbol]
                    self.world.futures.cancel_all(account, symbol)
                    self.hub.flush()

    def _frame(self, stamp: int) -> None:
        self.world.advance(stamp)
        self.clock.moved(stamp, time.monotonic())
        self.hub.frame()
        self.hub.flush(ping=True)


async def serve(options: ExchangeOptions) -> None:
    """Run one exchange until SIGTERM, SIGINT or a shutdown through the control port."""
    exchange = SandboxExchange(options)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, exchange.ask_to_stop)
    await exchange.start()
    try:
        await exchange.stopped()
    finally:
        await exchange.stop()


def run_sandbox(options: ExchangeOptions) -> None:
    """Blocking form of `serve` for the command line."""
    uvloop.run(serve(options))
