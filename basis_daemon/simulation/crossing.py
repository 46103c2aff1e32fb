"""Between the simulated exchange and the simulated wallet: the daemon's own bridge, over two ends that keep time.

What leaves one end is on its way for as long as the file says, and is credited when it is asked about after that. The
bridge's routes, caps, steps and bookings are those of a living daemon.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.errors import ErrorClass, OrderRejectedError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.transfer import RouteBook
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.transfer_log import TransferLog
from basis_daemon.ports import Clock, pass_by
from basis_daemon.settings import Settings
from basis_daemon.settings.replay import ReplaySettings
from basis_daemon.settings.transfers import NETWORK
from basis_daemon.simulation.chain.books import decimals_of
from basis_daemon.simulation.chain.venue import NETWORK as CHAIN
from basis_daemon.simulation.chain.venue import SimulatedChain
from basis_daemon.venues.chain.tokens import units_of
from basis_daemon.venues.paper.exchange import PaperExchange
from basis_daemon.venues.transfers.bridge import Bridge
from basis_daemon.venues.transfers.crossing import Surroundings, Terms
from basis_daemon.venues.transfers.ends import Arrival, Deposit, Progress, Way, Withdrawal
from basis_daemon.wiring_limits import transfer_routes

ADDRESS = f"0x{'11' * 20}"
"""Of the wallet."""
ZERO, GRAIN, MOST = Decimal(0), Decimal("1e-18"), Decimal("1e12")


@dataclass(slots=True)
class Parcel:
    """What left one end and is not at the other yet; ``amount`` is what arrives."""

    coin: str
    amount: Decimal
    due: datetime
    is_there: bool = False


@dataclass(slots=True)
class Road:
    """Everything on its way, by transaction; it takes ``span`` of market time."""

    exchange: PaperExchange
    chain: SimulatedChain
    clock: Clock
    span: timedelta
    parcels: dict[str, Parcel] = field(default_factory=dict)

    def next_arrival(self) -> datetime | None:
        """When the next of them is due; None while nothing is on its way."""
        return min((parcel.due for parcel in self._open()), default=None)

    def under_way(self) -> Iterator[tuple[str, Decimal]]:
        """Coins and amounts."""
        for parcel in self._open():
            yield parcel.coin, parcel.amount

    def sent(self, tx_id: str, coin: str, amount: Decimal, at: datetime) -> Parcel:
        """The parcel of a transaction; the first word of it sets it on its way."""
        return self.parcels.setdefault(tx_id, Parcel(coin, amount, at + self.span))

    def takes(self, parcel: Parcel) -> bool:
        """True once: when it is due and nobody took it before."""
        if parcel.is_there or self.clock.wall() < parcel.due:
            return False
        parcel.is_there = True
        return True

    def _open(self) -> Iterator[Parcel]:
        for tx_id, payment in self.chain.payments.items():
            self.sent(tx_id, payment.coin, payment.amount, payment.at)
        return (parcel for parcel in self.parcels.values() if not parcel.is_there)


@dataclass(slots=True)
class ExchangeAccount:
    """One spot account. Honours ``ends.ExchangeEnd``; ``fee`` is USDT of a withdrawal, ``address`` takes deposits."""

    account: str
    road: Road
    fee: Decimal
    address: str
    absence_proof_s: float = 0.0
    _taken: dict[str, Withdrawal] = field(default_factory=dict)

    def now(self) -> datetime:
        """Market time."""
        return self.road.clock.wall()

    async def way(self, coin: str) -> Way:
        """Always open."""
        return Way(withdraws=True, deposits=True, fee=self._fee(coin), least=ZERO, most=MOST, multiple=GRAIN)

    async def balance(self, coin: str) -> Decimal:
        """What is held of it."""
        return self.road.exchange.wallets.holding(self._key(coin))

    async def deposit_address(self, coin: str) -> str:
        """That of the file."""
        del coin
        return self.address

    async def withdraw(self, order_id: str, coin: str, amount: Decimal, address: str) -> str:
        """Out at once; raises OrderRejectedError for more than is free."""
        wallets, key = self.road.exchange.wallets, self._key(coin)
        if amount > (free := wallets.free(key)):
            why = f"transfer {order_id}: needs {amount} {key}, free {free}"
            raise OrderRejectedError(why, ErrorClass.INSUFFICIENT, "balance")
        wallets.pay(key, -amount)
        fee, now = self._fee(coin), self.now()
        tx_id = f"0x{hashlib.sha256(f'{self.account}:{order_id}'.encode()).hexdigest()}"
        number = str(len(self._taken) + 1)
        self._taken[number] = Withdrawal(number, order_id, amount - fee, fee, address, tx_id, Progress.SENT, now)
        self.road.sent(tx_id, coin, amount - fee, now)
        return number

    async def withdrawals(self, coin: str, order_id: str | None) -> Sequence[Withdrawal]:
        """As the port says."""
        del coin
        return [one for one in self._taken.values() if order_id in {None, one.client_id}]

    async def deposits(self, coin: str, tx_id: str) -> Sequence[Deposit]:
        """What a transaction of the wallet brought: credited when it is due."""
        payment = self.road.chain.payments.get(tx_id)
        if payment is None:
            return []
        parcel = self.road.sent(tx_id, coin, payment.amount, payment.at)
        if self.road.takes(parcel):
            self.road.exchange.wallets.pay(self._key(coin), parcel.amount)
        is_there = parcel.is_there
        return [Deposit(tx_id, parcel.amount, self.address, tx_id, is_credited=is_there, time=self.now())]

    def _key(self, coin: str) -> PositionKey:
        return PositionKey.of(self.account, Kind.SPOT, coin)

    def _fee(self, coin: str) -> Decimal:
        ether = self.road.chain.ledger.world.quotes.ether
        if coin == "USDT" or not ether:
            return self.fee
        return (self.fee / ether).quantize(Decimal("1e-8"))


@dataclass(slots=True)
class SimulatedWallet:
    """The wallet. Honours ``ends.ChainEnd``."""

    road: Road
    network: str = CHAIN
    address: str = ADDRESS

    async def balance(self, coin: str) -> Decimal:
        """What is held of it."""
        held = self.road.chain.ledger.world.held
        return held.get(PositionKey.of("wallet", Kind.TOKEN, coin), ZERO)

    def signed_for(self, order_id: str) -> Collection[str]:
        """Nothing: what is signed is mined at once, and the transfer names it."""
        del order_id
        return ()

    async def arrival(self, coin: str, tx_id: str, amount: Decimal) -> Arrival | None:
        """As the port says: received in a block of its own when it is due."""
        parcel, ledger = self.road.parcels.get(tx_id), self.road.chain.ledger
        if parcel is not None and self.road.takes(parcel):
            ledger.receive(coin, units_of(amount, decimals_of(coin)))
        if parcel is None or not parcel.is_there:
            return None
        return Arrival(amount, confirmations=1, time=ledger.world.block.time)


def road_of(settings: Settings, exchange: PaperExchange, chain: SimulatedChain, clock: Clock) -> Road:
    """As long as the file says."""
    replay = settings.replay or ReplaySettings()
    return Road(exchange, chain, clock, timedelta(seconds=int(replay.transfer_h * 3600)))


def bridge_of(settings: Settings, road: Road, recorder: Recorder, alarm: Alarm) -> Bridge | None:
    """The daemon's bridge over both ends; None where the file lets nothing cross."""
    transfers = settings.enabled_transfers
    if transfers is None:
        return None
    wallet, accounts = SimulatedWallet(road), dict[str, ExchangeAccount]()
    for name, venue in transfers.venues.items():
        account = settings.venues[name].accounts.spot
        accounts[account] = ExchangeAccount(account, road, venue.withdrawal_fee_usdt, venue.deposit_address)
    road.chain.recipients = frozenset(accounts)
    book = RouteBook(NETWORK, tuple(transfer_routes(settings, transfers, wallet.address)))
    terms = Terms(confirmations=1, timeout_s=float(transfers.timeout_min * 60), absence_s=0.0, poll_s=0.0)

    def note(what: str, facts: object) -> None:
        if what.endswith("_alarm") and isinstance(facts, dict):
            alarm(what, {name: str(value) for name, value in facts.items()})

    return Bridge(book, wallet, dict(accounts), terms, Surroundings(TransferLog(recorder), road.clock, note, pass_by))
