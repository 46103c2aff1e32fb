"""What must hold at every step, seen from the venues: nothing here asks the daemon what it believes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import Order, OrderOperation, Side
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.engine.codec import GuardState
from basis_daemon.simulation.drill.disk import DrillDisk
from basis_daemon.simulation.drill.exchange import Connection, Exchange
from basis_daemon.simulation.drill.invariants import of_end, of_request, of_rest, of_step
from basis_daemon.simulation.drill.loop import SeededLoop
from basis_daemon.simulation.drill.stage import Mandate, Stage

if TYPE_CHECKING:
    from basis_daemon.wiring_book import Daemon

DUST = Decimal("0.003")
"""Coins: less than a step of a leg, and what fees have taken of them."""
CLIPS_NAKED, SLACK = 2, Decimal("1.10")
"""Clips of difference between the legs of a pair that may stand at once; what size may exceed its target by."""
DRIFT = Decimal("0.03")
"""Of the target: what the legs may be apart before the strategy has to act."""
STALE_S = 6.0
"""Behind the freshness of the configuration and the way of a tick."""
TASKS_MAX, TRADES = 150, frozenset({OrderOperation.SPOT_TRADE, OrderOperation.PERP_TRADE})
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant (reliability: I1 to I19) that did not hold, when, and by which numbers."""

    invariant: str
    at_s: float
    facts: str


@dataclass(slots=True)
class Checks:
    """Honours ``Watcher``. ``buried`` are orders that the daemon took for never accepted."""

    stage: Stage
    loop: SeededLoop
    exchanges: Sequence[Exchange] = ()
    disk: DrillDisk | None = None
    is_halted: bool = False
    is_armed: bool = True
    rivals: list[Trade] = field(default_factory=list)
    orders: int = 0
    fills: int = 0
    violations: list[Violation] = field(default_factory=list)
    naked_max: Decimal = ZERO
    leg_risk_usdt_s: Decimal = ZERO
    _gaps: dict[str, tuple[float, Decimal, Decimal]] = field(default_factory=dict)
    buried: set[str] = field(default_factory=set)
    under_way: frozenset[str] = frozenset()
    _taken: set[str] = field(default_factory=set)
    _sent: set[str] = field(default_factory=set)
    _hand: dict[str, Decimal] = field(default_factory=dict)
    _hand_net: dict[str, Decimal] = field(default_factory=dict)
    _trace: object = field(default_factory=sha256)
    _owners: dict[PositionKey, tuple[Mandate, Exchange]] = field(default_factory=dict)
    _filled: dict[str, Decimal] = field(default_factory=dict)

    def watch(self, exchanges: Sequence[Exchange]) -> None:
        """These are the exchanges."""
        self.exchanges = exchanges
        at = {account: one for one in exchanges for account in one.accounts}
        self._owners = {key: (mandate, at[key.venue]) for mandate in self.stage.mandates for key in mandate.keys}

    @property
    def burials(self) -> frozenset[OrderState]:
        """Ends by which an order is said never to have been accepted."""
        return frozenset({OrderState.NEVER_ACCEPTED})

    def now_ns(self) -> int:
        """Since the seed began."""
        return self.loop.now_ns

    def note(self, *words: object) -> None:
        """Something happened that every run of this seed must repeat."""
        self._trace.update(repr(words).encode())  # type: ignore[attr-defined]  # a hash object has no public type

    @property
    def trace(self) -> str:
        """Of everything noted."""
        return str(self._trace.hexdigest())  # type: ignore[attr-defined]  # as above

    def fail(self, invariant: str, facts: str) -> None:
        """One that did not hold."""
        self.violations.append(Violation(invariant, round(self.loop.time(), 3), facts))

    def requested(self, order: Order, connection: Connection) -> None:
        self.orders += 1
        self.note(self.loop.now_ns, "sent", order.order_id)
        if self.disk is None or order.order_id not in self.disk.durable_intents:
            self.fail("I1", f"{order.order_id} left without a durable intent")
        if order.order_id in self._sent:
            self.fail("I2", f"{order.order_id} left twice")
        self._sent.add(order.order_id)
        if connection is not connection.exchange.connection:
            self.fail("I17", f"{order.order_id} left a daemon that another one has followed")
        for invariant, facts in of_request(order, connection):
            self.fail(invariant, facts)
        if not self._grows(order):
            return
        what = f"{order.operation} {order.side} {order.amount} of {order.instrument} ({order.order_id})"
        if self.is_halted and order.order_id not in self.under_way:
            self.fail("I8", f"{what} adds risk after the halt was acknowledged")
        age_s = self.loop.time() - connection.heard_at.get(order.instrument, -STALE_S)
        if age_s > STALE_S + float(order.timeout_s):
            self.fail("I9", f"{what} adds risk on a book that is {age_s:.1f} s old")

    def accepted(self, order: Order, trades: Sequence[Trade], exchange: Exchange) -> None:
        self._taken.add(order.order_id)
        filled = sum((trade.qty_base for trade in trades), ZERO)
        self.fills += sum(trade.is_fill for trade in trades)
        self.note(self.loop.now_ns, "taken", order.order_id, filled)
        if order.amount != "MAX" and filled > order.quantity:
            self.fail("I4", f"{order.order_id} filled {filled} of {order.quantity}")
        if filled:
            self._exposure(order, exchange)
            self._gap(order, filled)

    def halt(self) -> None:
        """The halt is acknowledged: only what was on disk before it may still leave, so that no pair stays naked."""
        self.is_halted = True
        self.under_way = frozenset(self.disk.durable_intents) if self.disk is not None else frozenset()

    def _grows(self, order: Order) -> bool:
        """True for an order that takes a leg further from nothing, and the legs of its book no nearer to each other.

        A clip that hedges itself to its end is measured without what others have traded meanwhile: the daemon may not
        have been told of it, and what it was told it repairs by its next plan.
        """
        owner = self._owners.get(order.instrument)
        if owner is None or order.side is None or order.operation not in TRADES or order.is_risk_reducing:
            return False
        change = order.side.sign * order.quantity
        held, naked = owner[1].paper.wallets.holding(order.instrument), self._naked(owner[0])
        own = naked - self._hand_net.get(owner[0].strategy, ZERO)
        if order.closes_a_gap and abs(own + change) < abs(own):
            return False
        return abs(held + change) > abs(held) and abs(naked + change) >= abs(naked)

    def _naked(self, mandate: Mandate) -> Decimal:
        """Coins by which its legs are apart, at all exchanges, long positive."""
        return sum((self._owners[key][1].paper.wallets.holding(key) for key in mandate.keys), ZERO)

    def by_hand(self, key: PositionKey, side: Side, quantity: Decimal) -> None:
        """Somebody else has traded: what that leaves open is not the daemon's doing."""
        strategy = self._owners[key][0].strategy if key in self._owners else ""
        self._hand[strategy] = self._hand.get(strategy, ZERO) + quantity
        self._hand_net[strategy] = self._hand_net.get(strategy, ZERO) + side.sign * quantity

    @property
    def hand(self) -> Decimal:
        """Coins that others have traded, whichever way."""
        return sum(self._hand.values(), ZERO)

    def _exposure(self, order: Order, exchange: Exchange) -> None:
        """I5: at the venues the legs are never further apart than the clips in flight, nor larger than the book."""
        owner = self._owners.get(order.instrument)
        price = exchange.paper.market.mark(_perp_of(order.instrument, owner[0])) if owner is not None else None
        if owner is None or price is None:
            return
        mandate, hand = owner[0], self._hand.get(owner[0].strategy, ZERO) * price
        naked = abs(self._naked(mandate)) * price
        self.naked_max = max(self.naked_max, naked)
        self._stood(mandate, naked)
        allowed = CLIPS_NAKED * mandate.houses * mandate.clip * SLACK + hand
        if naked > allowed + mandate.target * DRIFT:
            self.fail("I5", f"after {order.order_id} {naked:.0f} USDT are naked, expected at most {allowed:.0f}")
        if not self._grows(order):
            return
        long = sum(
            (self._owners[key][1].paper.wallets.holding(key) for key in mandate.keys if key.kind is Kind.SPOT), ZERO
        )
        largest = mandate.target * SLACK + mandate.clip + hand
        if long * price > largest:
            self.fail("I5", f"after {order.order_id} spot is {long * price:.0f}, expected {largest:.0f}")

    def _stood(self, mandate: Mandate, naked_usdt: Decimal) -> None:
        """Notional apart by the seconds it was so, from when the legs part until they are together again."""
        now_s = self.loop.time()
        since_s, was, stood = self._gaps.get(mandate.strategy, (now_s, ZERO, ZERO))
        stood += was * Decimal(round(now_s - since_s, 6))
        self.leg_risk_usdt_s = max(self.leg_risk_usdt_s, stood)
        is_closed = naked_usdt <= mandate.target * DRIFT
        self._gaps[mandate.strategy] = (now_s, ZERO, ZERO) if is_closed else (now_s, naked_usdt, stood)

    def _gap(self, order: Order, filled: Decimal) -> None:
        """I5: what is sent to close a gap between two legs brings them no further apart."""
        owner = self._owners.get(order.instrument)
        if owner is None or order.side is None or not order.closes_a_gap or self._hand or owner[0].houses > 1:
            return
        naked = self._naked(owner[0])
        before = naked - order.side.sign * filled
        if abs(naked) > abs(before) + DUST:
            self.fail("I5", f"{order.order_id} closes a gap of {before}, and leaves one of {naked}")

    def before_rearming(self, daemon: Daemon) -> None:
        """I17: fills of a second daemon are booked by now, and have halted this one; no opening balance tells."""
        openings = daemon.recorder.state.openings
        seen = [trade for trade in self.rivals if trade.venue_time > openings.get(trade.account, trade.venue_time)]
        if seen and daemon.guard.state is not GuardState.HALTED:
            found = f"{len(seen)} fills of a second daemon are booked, and the guard is {daemon.guard.state}"
            self.fail("I17", found)
        self.rivals.clear()
        self._left(daemon)

    def _left(self, daemon: Daemon) -> None:
        """I8: a book that calls itself flat has nothing open at any venue, but less than a step of an order."""
        if not daemon.guard.flattens or daemon.flattening.remains():
            return
        for key, (_, exchange) in sorted(self._owners.items(), key=lambda item: str(item[0])):
            held = exchange.paper.wallets.holding(key) if key.kind is Kind.PERP else ZERO
            if abs(held) >= self.stage.instruments[key].quantity_step:
                self.fail("I8", f"{key}: {held} are open at a book that was flattened and says that it is flat")

    def judge_burials(self) -> None:
        """I4: what was taken for never accepted is at no venue."""
        for order_id in sorted(self.buried & self._taken):
            self.fail("I4", f"{order_id} was taken for never accepted, and a venue took it")

    def bounded(self, tasks: int) -> None:
        """I16: a daemon at work needs no more tasks than this, however long it lives."""
        if tasks > TASKS_MAX:
            self.fail("I16", f"{tasks} tasks, expected at most {TASKS_MAX}")

    def at_step(self, daemon: Daemon, disk: DrillDisk, *, is_last: bool = False) -> None:
        """I3, I7, I8, I18 in the midst of everything, by what a daemon has in memory; I6 at its last moment."""
        if not disk.is_sound or self.violations:  # what is wrong is told once
            return
        if self.is_halted and daemon.guard.state is GuardState.ACTIVE:
            self.fail("I8", "the guard is active after an acknowledged halt that nobody took back")
        for invariant, facts in of_step(daemon, disk, self.exchanges, self._filled):
            self.fail(invariant, facts)
        for invariant, facts in of_end(daemon, disk) if is_last else ():
            self.fail(invariant, facts)

    def at_rest(self, daemon: Daemon, disk: DrillDisk) -> None:
        """I3, I6, I7, I18: the book is the venues' to the last digit, a fold of its journal is the live state."""
        state = daemon.recorder.state
        held = {key: amount for one in self.exchanges for key, amount in one.paper.wallets.balances.items()}
        accounts = {account for one in self.exchanges for account in one.accounts}
        booked_keys = (key for key in state.ledger.holdings() if key.venue in accounts)
        keys = {key for key in (*held, *booked_keys) if key.kind is not Kind.TRANSIT}
        for key in sorted(keys, key=str):
            if (booked := state.ledger.holding(key)) != held.get(key, ZERO):
                self.fail("I3", f"{key}: book {booked}, venue {held.get(key, ZERO)}")
        for exchange in self.exchanges:
            self._conserved(exchange)
        for life in state.orders.values():
            if life.order.amount != "MAX" and life.cum_filled > life.order.quantity:
                self.fail("I4", f"{life.order.order_id} is booked {life.cum_filled} of {life.order.quantity}")
        numbers = [row.sequence for row in disk.read()]
        if numbers != list(range(1, len(numbers) + 1)):
            self.fail("I7", "the rows of the journal are not numbered without a gap")
        for invariant, facts in of_rest(daemon, disk, self.exchanges):
            self.fail(invariant, facts)

    def _conserved(self, exchange: Exchange) -> None:
        """What an exchange holds is what was brought, and what its fills, fees and settlements moved."""
        paper = exchange.paper
        moved = dict(exchange.began)
        for key, amount in exchange.paid:
            moved[key] = moved.get(key, ZERO) + amount
        for account in exchange.accounts:
            told = [trade.deltas for trade in paper.tape.fills(account)]
            told += [{flow.key: flow.amount} for flow in paper.tape.flows(account)]
            for deltas in told:
                for key, amount in deltas.items():
                    moved[key] = moved.get(key, ZERO) + amount
        for key in sorted({*moved, *paper.wallets.balances}, key=str):
            if paper.wallets.holding(key) != moved.get(key, ZERO):
                self.fail("I18", f"{key}: held {paper.wallets.holding(key)}, its moves come to {moved.get(key, ZERO)}")


def _perp_of(key: PositionKey, mandate: Mandate) -> PositionKey:
    """The contract whose mark prices this coin; any of its book does."""
    return key if key.kind is Kind.PERP else min((one for one in mandate.keys if one.kind is Kind.PERP), key=str)
