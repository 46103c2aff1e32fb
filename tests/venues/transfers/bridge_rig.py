"""An exchange, a chain and a book between them: every life of the book is the engine's real parts over one journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Self

import aiohttp
from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.order_ids import order_id
from basis_daemon.domain.trade import Trade
from basis_daemon.domain.transfer import Route, RouteBook
from basis_daemon.engine.freshness import Freshness, FreshnessLimits
from basis_daemon.engine.guard import Guard
from basis_daemon.engine.last_hop import LastHop
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.order_runner import OrderRunner
from basis_daemon.engine.position_monitor import PositionMonitor
from basis_daemon.engine.position_update_handler import PositionUpdateHandler
from basis_daemon.engine.reconciler import Reconciler
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import recover
from basis_daemon.engine.transfer_log import TransferLog
from basis_daemon.engine.venue_interface_manager import VenueInterfaceManager
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import AccountSource, ExecutionInterface, FeedEvent, KillPoint
from basis_daemon.sandbox.chain.options import ChainOptions as SandboxChainOptions
from basis_daemon.sandbox.chain.server import SandboxChain
from basis_daemon.sandbox.chain.world import Prepared
from basis_daemon.sandbox.exchange.accounts import Account, AccountSpec, CapitalRow
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.boot import learn_market_time
from basis_daemon.venues.cex.network import SandboxNetwork
from basis_daemon.venues.cex.venue import CEXVenue
from basis_daemon.venues.chain.account import AccountPolicy
from basis_daemon.venues.chain.addresses import RecipientEntry, sandbox_book
from basis_daemon.venues.chain.arrivals import WalletEnd
from basis_daemon.venues.chain.endpoint import EndpointOptions
from basis_daemon.venues.chain.signers import KeySigner
from basis_daemon.venues.chain.tracker import TrackPolicy
from basis_daemon.venues.chain.venue import Chain, ChainOptions, ChainWallet
from basis_daemon.venues.transfers.bridge import Bridge, is_own_transfer
from basis_daemon.venues.transfers.crossing import Surroundings, Terms
from basis_daemon.wiring_chain import surroundings
from basis_daemon.wiring_transactions import TransactionJournal
from tests.engine.support import COLLARS
from tests.venues.chain.support import KilledError, Killer, Notes
from tests.venues.rig import QUIET, SPEC

D = Decimal
NETWORK = "ethereum"
AT_EXCHANGE, AT_WALLET = PositionKey("binance:spot:USDT"), PositionKey("wallet:token:USDT")
ETH_AT_EXCHANGE, ETH_AT_WALLET = PositionKey("binance:spot:ETH"), PositionKey("wallet:token:ETH")
PATIENCE_S = 60.0
TERMS = Terms(confirmations=2, timeout_s=3600, absence_s=1.0, poll_s=0.0)


class PacedClock(SystemClock):
    """The machine's clocks, which a test may push on; nobody waits long."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def wall(self) -> datetime:
        return super().wall() + self.ahead

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.ahead // timedelta(microseconds=1) * 1_000

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.05))


class Death(Killer):
    """A killer that says when it has struck."""

    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()
        self.has_struck = False

    def __call__(self, point: KillPoint) -> None:
        if point is self.point:
            self.has_struck = True
            self.over.set()
        super().__call__(point)


class Ground:
    """What does not end with a process: the chain, the exchange, and the disk."""

    def __init__(self, directory: Path, world: Prepared) -> None:
        self._directory, self._world = directory, world
        self.clock = PacedClock()
        self.journal = MemoryJournal(self.clock)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for name in ("chain", "exchange"):
            (self._directory / name).mkdir()
        options = SandboxChainOptions(self._directory / "chain", funds={"ETH": D(10), "USDT": D(50_000)})
        self.chain = await self._stack.enter_async_context(SandboxChain(options, self._world))
        spec = AccountSpec(SPEC.api_key, SPEC.api_secret, (*SPEC.spot, ("ETH", D(20))), SPEC.usdm)
        exchange = ExchangeOptions(
            directory=self._directory / "exchange", mode="manual", accounts=(spec,), confirmations=2,
            chain=self.chain.options.ready_file,
            start=datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0),
        )  # fmt: skip
        self.exchange = await self._stack.enter_async_context(SandboxExchange(exchange))
        self.account.rights["enableWithdrawals"] = True
        (self.deposit_address,) = self.exchange.world.custody.addresses
        self.wallet_address = (await self.chain.status())["user"]
        self._stack.push_async_callback(self.end_life)
        self.life: Life | None = None
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    @property
    def account(self) -> Account:
        return self.exchange.venue.accounts[SPEC.api_key]

    def rows(self, kind: str) -> list[CapitalRow]:
        return [row for row in self.account.capital if row.kind == kind]

    def routes(self, **bounds: Decimal) -> RouteBook:
        """Both ways for both coins."""
        most = {
            "once_max": D(20_000),
            "day_max": D(30_000),
            "first_max": D(20_000),
            "approve_above": D(20_000),
        } | bounds
        found = []
        for coin in ("USDT", "ETH"):
            found.append(Route("binance", "wallet", coin, self.wallet_address, **most))
            found.append(Route("wallet", "binance", coin, self.deposit_address, **most))
        return RouteBook(NETWORK, tuple(found))

    async def new_life(self, routes: RouteBook | None = None, terms: Terms = TERMS) -> Life:
        """A process over what was durable; the one before has ended, as by a kill."""
        if self.life is not None:
            self.journal = self.journal.after_crash()
            await self.end_life()
        self.life = Life(self, routes, terms)
        await self.life.start()
        return self.life

    async def end_life(self) -> None:
        if self.life is not None:
            life, self.life = self.life, None
            await life.end()

    async def on_chain(self, coin: str, address: str) -> Decimal:
        """Whole units by the node itself."""
        client = self.chain.controls.client
        at = client.to_checksum_address(address)
        if coin == "ETH":
            return D(await client.eth.get_balance(at)).scaleb(-18)
        return D(await self.chain.controls.contracts.token(coin).functions.balanceOf(at).call()).scaleb(-6)

    async def pay_in(self, coin: str, amount: Decimal) -> None:
        """Somebody else sends tokens to the deposit address."""
        await self.chain.controls.fund(self.deposit_address, **{coin: amount})

    async def mined_until(self, is_so: Callable[[], bool]) -> None:
        """Return once it is so, while blocks come."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                await self.chain.controls.mine()

    async def steer(self, **body: object) -> None:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.exchange.control_port}") as control:
            assert (await control.post("/custody", json=body)).status == 200


class Life:
    """One process: engine, exchange client, wallet and the bridge between them."""

    def __init__(self, ground: Ground, routes: RouteBook | None = None, terms: Terms = TERMS) -> None:
        self._ground, self.clock, self.journal = ground, ground.clock, ground.journal
        self.routes, self._terms = routes or ground.routes(), terms
        self._tree = TaskTree("life")
        self.killer, self.notes = Death(), Notes()
        self.alarms: list[tuple[str, Mapping[str, str]]] = []
        self.recorder = Recorder(recover(self.journal), self.journal)
        self.state = self.recorder.state
        self.handler = PositionUpdateHandler(self.recorder, PositionMonitor(), self.alarm)
        self.log = TransferLog(self.recorder)
        self.told: list[Trade] = []

    async def start(self) -> None:
        await self._tree.__aenter__()
        ground, clock = self._ground, self.clock
        exchange = ground.exchange
        network = SandboxNetwork(exchange.port, exchange.ca_file)
        options = replace(QUIET, network=network, probe=self.killer, order_timeout_s=1.0)
        self.venue = CEXVenue(BINANCE, options, clock, self.notes)
        self.feed = self.venue.feed(self._tree)
        self.wallet = await self._wallet(clock)
        self.chain_feed = self.wallet.feed()
        mine = WalletEnd(self.chain.rpc, self.chain.book, ground.wallet_address, self.wallet.account.signed_for)
        custody = self.venue.custody(partial(is_own_transfer, self.log, mine.signed_for, "binance"))
        around = Surroundings(self.log, clock, self.notes, self.killer)
        bridge = Bridge(self.routes, mine, {"binance": custody}, self._terms, around)
        routes: list[tuple[str, ExecutionInterface]] = [("binance", self.venue.transfers(self.hear))]
        routes += [(one.account, one) for one in self.wallet.interfaces(self.hear)]
        guard = Guard(self.recorder, self.alarm)
        hop = LastHop(self.recorder, guard, clock, self.alarm, COLLARS, Mailbox())
        table = VenueInterfaceManager((), (), bridge.joined(routes, self.hear), let_out=hop.let_out)
        self.runner = OrderRunner(self.recorder, self.handler, table, clock, self.alarm, self.killer)
        await self.feed.start()
        await learn_market_time(self.venue.desks["binance"], self.venue.market_time)
        await self.chain_feed.start()
        self._tree.spawn("chain", self.chain_feed.run(self.sink))
        fresh = Freshness(Mailbox(), FreshnessLimits(D(5), D(20)))
        sources: list[AccountSource] = [self.venue.source("binance"), *self.wallet.sources]
        self.reconcilers = {
            source.account: Reconciler(source, self.recorder, self.handler, fresh, clock, self.alarm)
            for source in sources
        }

    async def _wallet(self, clock: SystemClock) -> ChainWallet:
        ground, options = self._ground, self._ground.chain.options
        book = sandbox_book(options.directory / "world.json")
        ours = {"binance": RecipientEntry(address=ground.deposit_address, is_ours=True)}
        node = EndpointOptions("node", SecretStr(ground.chain.rpc_url), SecretStr(ground.chain.ws_url))
        policy = AccountPolicy(track=TrackPolicy(confirmations=2))
        chosen = ChainOptions(
            [node], book.model_copy(update={"recipients": ours}), book.genesis_hash or "", policy=policy
        )
        self.chain = await Chain.open(chosen, SystemClock(), self._tree, self.notes)
        signer = KeySigner(SecretStr((options.directory / "user.key").read_text(encoding="utf-8").strip()))
        around = surroundings(
            self.recorder, self.journal, TransactionJournal(self.recorder, self.journal), clock, self._tree, self.alarm,
            self.killer,
        )  # fmt: skip
        return ChainWallet(self.chain, signer, {AT_WALLET}, around)

    async def end(self) -> None:
        self._tree.cancel_all("the life ends")
        with suppress(BaseExceptionGroup, KilledError):
            await self._tree.__aexit__(None, None, None)
        await self.feed.close()
        await self.chain_feed.close()

    def sink(self, event: FeedEvent) -> None:
        if isinstance(event, Trade):
            self.hear(event)

    def hear(self, trade: Trade) -> None:
        self.told.append(trade)
        self.handler.process_trades([trade])

    def alarm(self, what: str, facts: Mapping[str, str]) -> None:
        self.alarms.append((what, facts))

    async def adopt(self) -> Self:
        for reconciler in self.reconcilers.values():
            await reconciler.adopt()
        await self.recorder.flush()
        return self

    async def recover(self) -> None:
        """What a start does with the orders that an earlier life left."""
        for life in [one for one in self.state.open_orders() if not one.is_travelling]:
            await self.runner.resolve(life)
        for life in list(self.state.open_orders()):
            await self.arrive(life)

    async def run(self, order: Order) -> OrderLife:
        """The order's life, while blocks come."""
        return await self._with_blocks(self.runner.run(order, self.clock.wall()))

    async def arrive(self, life: OrderLife) -> None:
        async def follow() -> OrderLife:
            while life.is_open:
                await self.runner.look_after(life)
            return life

        await self._with_blocks(follow())

    async def killed(self, order: Order, point: KillPoint) -> None:
        """Run until the process ends at this point; what others of its tasks do then, nobody sees."""
        self.killer.point = point

        async def attempt() -> None:
            with suppress(KilledError, BaseExceptionGroup):
                await self.run(order)
            self.killer.over.set()

        try:
            async with asyncio.timeout(PATIENCE_S), TaskTree("drill") as drill:
                drill.spawn("attempt", attempt())
                await self.killer.over.wait()
                drill.cancel_all("dead")
        except asyncio.CancelledError:  # it was a child of the life that died, which ends whoever began the life
            task = asyncio.current_task()
            if task is None or not self.killer.has_struck:
                raise
            task.uncancel()
        assert self.killer.has_struck, f"{point} was never passed; {self.notes.told}, {self.state.orders}"

    async def _with_blocks(self, work: Awaitable[OrderLife]) -> OrderLife:
        async def mine() -> None:
            while True:
                await self._ground.chain.controls.mine()
                await self.clock.sleep(0.05)

        async with asyncio.timeout(PATIENCE_S), TaskTree("blocks") as blocks:
            blocks.spawn("mine", mine())
            try:
                return await work
            finally:
                blocks.cancel_all("done")

    def held(self, key: str) -> Decimal:
        return self.state.ledger.holding(PositionKey(key))

    async def agrees(self) -> bool:
        """True when both accounts are as the book says."""
        results = [await reconciler.reconcile() for reconciler in self.reconcilers.values()]
        return all(results)


_numbers = iter(range(1, 1_000_000))


def crossing(source: str, target: str, coin: str, amount: str) -> Order:
    """As a strategy writes it."""
    kinds = {"binance": Kind.SPOT, "wallet": Kind.TOKEN}
    leaves, arrives = (PositionKey.of(account, kinds.get(account, Kind.SPOT), coin) for account in (source, target))
    return Order(
        order_id=order_id("test", 1, "test", next(_numbers), 0, 0, 0),
        strategy="test", decision=1, leg=0, operation=OrderOperation.TRANSFER, venue=source, instrument=leaves,
        amount=D(amount), token_in=leaves, recipient=target, network=NETWORK, timeout_s=D(3600),
        expected_deltas={leaves: -D(amount), arrives: D(amount)}, reason="test", created_at=datetime.now(UTC),
    )  # fmt: skip
