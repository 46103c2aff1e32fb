"""What must hold of money between an exchange and the chain, by the books of both: nothing twice, nothing lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.exposure import AS_ETHER
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.transfer import TransferRow, TransferStep
from basis_daemon.simulation.drill.chain.node import ChainNode
from basis_daemon.simulation.drill.checks import CLIPS_NAKED, SLACK, Checks
from basis_daemon.simulation.drill.disk import transfer_name
from basis_daemon.simulation.drill.exchange import Connection
from basis_daemon.simulation.drill.hedge.custody import CREDIT_AFTER, Custody, Payout, symbol_of
from basis_daemon.supervisor import Phase
from basis_daemon.venues.transfers.ends import Progress

if TYPE_CHECKING:
    from basis_daemon.wiring_book import Daemon

COINS = ("USDT", "ETH")
EQUITY_SLACK, LOOKS = Decimal("0.02"), 6
"""What the book's worth may differ from that of its accounts, and for how many looks in a row: prices travel too."""
ID_AGE = timedelta(days=1)
"""Behind what an account has told, until which the book keeps the ids of what it has heard."""
WEI = Decimal("1e-18")
REDUCING = frozenset({ReasonCode.LIQ_REDUCE, ReasonCode.LIQ_EMERGENCY})
ZERO = Decimal(0)


@dataclass(slots=True)
class TransferChecks:
    """Honours ``CustodyWatcher``. ``clip`` is what the book may have unhedged at once, in USDT."""

    checks: Checks
    node: ChainNode
    clip: Decimal
    cashiers: Sequence[Custody] = ()
    sent: int = 0
    _asked: set[str] = field(default_factory=set)
    _paid: set[str] = field(default_factory=set)
    _began: Mapping[str, Decimal] = field(default_factory=dict)
    _apart: int = 0
    _heard: set[str] = field(default_factory=set)

    def begin(self, cashiers: Sequence[Custody]) -> None:
        """These are the cashiers; nothing has moved yet."""
        self.cashiers = cashiers
        self._began = {coin: self._there(coin, self.node.head.world.held) for coin in COINS}

    # ---------------------------------------------------------------------------------------------------- every step
    def requested(self, order_id: str, connection: Connection) -> None:
        """I1: order and first step on disk. I2: once, and not beside one that is open. I12, I17: by whom."""
        checks, disk = self.checks, self.checks.disk
        checks.note(checks.loop.now_ns, "withdraws", order_id)
        for name in (order_id, transfer_name(order_id)):
            if disk is None or name not in disk.durable_intents:
                checks.fail("I1", f"withdrawal {order_id} left, and {name} is not on disk")
        if order_id in self._asked:
            checks.fail("I2", f"withdrawal {order_id} was asked for twice")
        self._asked.add(order_id)
        if connection is not connection.exchange.connection:
            checks.fail("I17", f"withdrawal {order_id} left a daemon that another one has followed")
        if not connection.is_armed:
            checks.fail("I12", f"withdrawal {order_id} left a daemon that was never armed")

    def paid_out(self, payout: Payout) -> None:
        """I2: one for each intent, and none while another of the coin is on its way."""
        checks, name = self.checks, payout.order_id
        self.sent += 1
        checks.note(checks.loop.now_ns, "pays out", name, payout.row.gross)
        if name in self._paid:
            checks.fail("I2", f"withdrawal {name} was made twice")
        self._paid.add(name)
        for custody in self.cashiers:
            for other in custody.payouts:
                if other is not payout and other.coin == payout.coin and self._is_on_its_way(other):
                    checks.fail(
                        "I2", f"withdrawal {name} of {payout.coin} beside {other.order_id}, which is on its way"
                    )

    def _is_on_its_way(self, payout: Payout) -> bool:
        if payout.row.progress is Progress.RETURNED:
            return False
        found = self.node.brought(payout.row.tx_id) if payout.row.tx_id else None
        return found is None or self.node.head.ref.number - found[0].ref.number + 1 < CREDIT_AFTER

    def tick(self) -> None:
        """I18: of every coin there is what there was, and what trades, fees, gas and people have made of it."""
        held = self.node.head.world.held
        for coin in COINS:
            expected, found = self._began[coin] + sum(self._moves(coin), ZERO), self._there(coin, held)
            if abs(found - expected) > WEI:
                self.checks.fail("I18", f"{found} {coin} everywhere and on the way, moves come to {expected}")

    def _there(self, coin: str, on_chain: Mapping[PositionKey, Decimal]) -> Decimal:
        """At the exchanges, in the wallet, and between them."""
        wallets = (custody.exchange.paper.wallets.balances.items() for custody in self.cashiers)
        total = sum((held for rows in wallets for key, held in rows if _is(key.kind, key.symbol, coin)), ZERO)
        total += sum(held for key, held in on_chain.items() if _is(key.kind, key.symbol, coin))
        return total + self.under_way(coin)

    def under_way(self, coin: str) -> Decimal:
        """Neither here nor there."""
        ways = ((*custody.under_way(), *custody.coming()) for custody in self.cashiers)
        return sum((amount for way in ways for name, amount in way if name == coin), ZERO)

    def _moves(self, coin: str) -> Iterator[Decimal]:
        for custody in self.cashiers:
            tape = custody.exchange.paper.tape
            for account in sorted(custody.exchange.accounts):
                for trade in tape.fills(account):
                    yield sum((q for key, q in trade.deltas.items() if _is(key.kind, key.symbol, coin)), ZERO)
                yield sum((flow.amount for flow in tape.flows(account) if flow.key.symbol == coin), ZERO)
            paid = (one for one in custody.payouts if one.coin == coin and one.row.progress is not Progress.RETURNED)
            yield -sum((one.row.fee for one in paid), ZERO)
            yield sum((order.quantity for _, order in custody.sent_here() if symbol_of(order) == coin), ZERO)
        for block in self.node.chain:
            for mined in block.mined.values():
                yield sum((q for key, q in mined.deltas.items() if _is(key.kind, key.symbol, coin)), ZERO)
                yield -Decimal(mined.gas_used * mined.gas_price_wei).scaleb(-18) if coin == "ETH" else ZERO

    # ------------------------------------------------------------------------------------------------------- equity
    def look(self, daemon: Daemon) -> None:
        """I18: the book is worth what its accounts are, at the same prices, while money travels and at any time."""
        if daemon.supervisor.phase is not Phase.ARMED:
            return
        exposure = daemon.risk.exposures()[0]
        booked, prices = exposure.equity_usdt, exposure.prices
        if booked is None or "ETH" not in prices:
            return
        held = self.node.head.world.held
        naked, meant = abs(self._naked(held)) * prices["ETH"], (self.checks.hand + _defended(daemon)) * prices["ETH"]
        self.checks.naked_max = max(self.checks.naked_max, naked)
        if naked > CLIPS_NAKED * self.clip * SLACK + meant:
            self.checks.fail(
                "I5", f"{naked:.0f} USDT are naked over exchange and chain, expected {self.clip:.0f} a clip"
            )
        worth = self._worth(prices, held) - self._untold(daemon)
        is_apart = abs(booked - worth) > EQUITY_SLACK * worth
        self._apart = self._apart + 1 if is_apart else 0
        if self._apart == LOOKS:
            self.checks.fail("I18", f"the book is worth {booked:.0f} USDT, its accounts and what travels {worth:.0f}")

    def _naked(self, on_chain: Mapping[PositionKey, Decimal]) -> Decimal:
        """ETH by which longs anywhere, on their way too, exceed the shorts at the exchanges."""
        world = self.node.head.world
        total = self.under_way("ETH")
        for custody in self.cashiers:
            balances = custody.exchange.paper.wallets.balances.items()
            total += sum((held for key, held in balances if key.kind is Kind.PERP or key.symbol == "ETH"), ZERO)
        for key, held in on_chain.items():
            rate = Decimal(1) if key.symbol in AS_ETHER or key.kind is Kind.CLAIM else world.rate(key.symbol)
            total += held * (rate or ZERO)
        return total

    def _untold(self, daemon: Daemon) -> Decimal:
        """USDT that people have brought or taken (signed), of which the book has not heard."""
        tapes = [(custody.exchange.paper.tape, custody.account) for custody in self.cashiers]
        flows = [flow for tape, account in tapes for flow in tape.flows(account) if flow.cause is Cause.EXTERNAL]
        state = daemon.recorder.state
        told = {custody.account: state.answered_until(custody.account) - ID_AGE for custody in self.cashiers}
        known = (flow for flow in flows if state.ledger.has(flow.flow_id) or flow.venue_time < told[flow.key.venue])
        self._heard.update(flow.flow_id for flow in known)
        return sum((flow.amount for flow in flows if flow.flow_id not in self._heard), ZERO)

    def _worth(self, prices: Mapping[str, Decimal], on_chain: Mapping[PositionKey, Decimal]) -> Decimal:
        total = ZERO
        for custody in self.cashiers:
            wallets, market = custody.exchange.paper.wallets, custody.exchange.paper.market
            for key, held in wallets.balances.items():
                mark = market.mark(key) if key.kind is Kind.PERP else None
                total += held * prices.get(key.asset, ZERO) if mark is None else held * mark - wallets.cost(key)
        ether = prices["ETH"]
        rates = {"USDT": Decimal(1)} | dict.fromkeys(AS_ETHER, ether)
        for key, held in on_chain.items():
            price = rates.get(key.symbol) or (self.node.head.world.rate(key.symbol) or ZERO) * ether
            total += held * (ether if key.kind is Kind.CLAIM else price)
        return total + self.under_way("USDT") + self.under_way("ETH") * ether

    # ------------------------------------------------------------------------------------------------------- at rest
    def at_rest(self, daemon: Daemon) -> None:
        """I18: nothing is on the way for the book, nor for both sides. I2, I4: rows and records tell the same."""
        self.tick()
        for key, held in sorted(daemon.recorder.state.ledger.holdings().items()):
            if key.kind is Kind.TRANSIT and held:
                self.checks.fail("I18", f"{key}: {held} are on the way by the book, where nothing travels")
        for coin in COINS:
            if rest := self.under_way(coin):
                self.checks.fail("I18", f"{rest} {coin} are on the way, and the book waits for nothing")
        rows = daemon.recorder.state.transfers
        for custody in self.cashiers:
            for payout in custody.payouts:
                self._agree(payout, rows.get(payout.order_id))
        made = {payout.order_id for custody in self.cashiers for payout in custody.payouts}
        made |= {order.order_id for custody in self.cashiers for _, order in custody.sent_here()}
        for name, row in rows.items():
            if row.step not in {TransferStep.FAILED, TransferStep.RETURNED} and name not in made:
                self.checks.fail("I4", f"transfer {name} is {row.step}, and nobody has made it")
            if row.step is TransferStep.FAILED and name in made:
                self.checks.fail("I4", f"transfer {name} is {row.step}, and it was made")

    def _agree(self, payout: Payout, row: TransferRow | None) -> None:
        ends = {Progress.SENT: TransferStep.DONE, Progress.RETURNED: TransferStep.RETURNED}
        if row is None or row.step is not ends.get(payout.row.progress):
            found = "has no row" if row is None else row.step
            self.checks.fail("I4", f"withdrawal {payout.order_id} {found}, the exchange says {payout.row.progress}")
        elif (row.amount, row.fee) != (payout.row.gross, payout.row.fee):
            found = f"{row.amount} with a fee of {row.fee}"
            self.checks.fail("I3", f"withdrawal {payout.order_id}: book {found}, exchange {payout.row.gross}")


def _is(kind: Kind, symbol: str, coin: str) -> bool:
    return symbol == coin and kind in {Kind.SPOT, Kind.TOKEN}


def _defended(daemon: Daemon) -> Decimal:
    """ETH of shorts that the ladder bought back alone: margin comes first where the sleeve cannot be sold."""
    lives = daemon.recorder.state.orders.values()
    plans = Counter(life.plan_id for life in lives)
    alone = (life for life in lives if life.order.operation is OrderOperation.PERP_TRADE and plans[life.plan_id] == 1)
    return sum((life.cum_filled for life in alone if life.order.reason in REDUCING), ZERO)
