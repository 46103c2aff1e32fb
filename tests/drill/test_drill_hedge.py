"""An exchange and a chain under one book: money crosses under faults, and is counted on both sides and in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import pytest

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.simulation.drill.campaign import Plan, play
from basis_daemon.simulation.drill.chain.checks import ChainChecks
from basis_daemon.simulation.drill.chain.node import ChainNode
from basis_daemon.simulation.drill.chain.scene import scene_of
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.drill.checks import Checks
from basis_daemon.simulation.drill.exchange import Exchange
from basis_daemon.simulation.drill.hedge.custody import Custody, Payout
from basis_daemon.simulation.drill.loop import SeededLoop
from basis_daemon.simulation.drill.market import BLOCK, START
from basis_daemon.simulation.drill.profiles import book_of
from basis_daemon.simulation.drill.stage import stage_of
from basis_daemon.simulation.virtual import VirtualClock
from basis_daemon.venues.paper.exchange import PaperExchange
from basis_daemon.venues.transfers.ends import Progress

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
D = Decimal
USDT, WALLET = PositionKey("drillex:spot:USDT"), PositionKey("wallet:token:USDT")


def test_without_faults_the_first_on_a_route_is_its_test_and_the_rest_follows() -> None:
    found = [play(Plan(seed, "hedge", tuple(Fault), chaos_s=30)) for seed in range(3)]
    assert all((verdict.violations, verdict.unknown) == ((), 0) for verdict in found)
    assert max(verdict.transfers for verdict in found) >= 2


@pytest.mark.feature("T01", part="drill")
@pytest.mark.feature("T03", part="drill")
@pytest.mark.feature("Q03", part="transfers")
@pytest.mark.fault("F38")
@pytest.mark.fault("F45")
def test_under_faults_every_coin_is_somewhere_and_nothing_is_withdrawn_twice() -> None:
    found = [play(Plan(seed, "hedge")) for seed in range(6)]
    assert [verdict.violations for verdict in found] == [()] * 6
    assert sum(verdict.transfers for verdict in found) > 3
    struck = Counter[str]()
    for verdict in found:
        struck.update(verdict.struck)
    assert struck["reorged"] > 0
    assert struck["killed"] + struck["killed_at_point"] > 0


@dataclass
class Watcher:
    """Remembers what was paid out."""

    paid: list[Payout] = field(default_factory=list)

    def paid_out(self, payout: Payout) -> None:
        self.paid.append(payout)


class Counterparty:
    """The cashier of an exchange with 1,000 USDT, and a chain."""

    def __init__(self) -> None:
        self.chance = Chance(1, tuple(Fault))
        self.chance.is_on = True
        self.loop = SeededLoop(self.chance)
        stage = stage_of(book_of("hedge"))
        checks = Checks(stage, self.loop)
        prices = {key: D(2500) for key in stage.instruments}
        self.node: ChainNode = scene_of(stage, self.chance, ChainChecks(checks, D(0)), prices)[0]
        paper = PaperExchange({"drillex": frozenset({Kind.SPOT})}, {USDT: D(1000)}, {}, VirtualClock(self.loop, START),
                              D(0), D(5))  # fmt: skip
        exchange = Exchange(frozenset({"drillex"}), paper, self.loop, self.chance, checks)
        self.cashier = Custody("drillex", "0x" + "de" * 20, exchange, self.node, Watcher())

    @property
    def held(self) -> tuple[Decimal, Decimal]:
        """At the exchange, and what the wallet has got of it."""
        return self.cashier.exchange.paper.wallets.holding(USDT), self.node.head.world.held.get(WALLET, D(0))

    def mine(self, blocks: int) -> None:
        for _ in range(blocks):
            self.loop.now_ns += int(BLOCK / timedelta(microseconds=1)) * 1_000
            self.node.tick(self.node.head.ref.time + BLOCK)
            self.cashier.tick()


@pytest.fixture
def there() -> Iterator[Counterparty]:
    one = Counterparty()
    yield one
    one.loop.close()


def test_a_withdrawal_that_is_refused_after_its_review_is_given_back_with_its_fee(there: Counterparty) -> None:
    there.chance.rates |= {Fault.PAYOUT_REFUSED: 1.0, Fault.PAYOUT_HELD: 1.0}
    there.cashier.take("one", "USDT", D(400), "0xaa")
    assert there.held == (D(600), D(0))
    assert list(there.cashier.under_way()) == [("USDT", D(395))]
    there.mine(5)
    assert there.cashier.withdrawals("USDT", "one")[0].progress is Progress.RETURNED
    assert (there.held, list(there.cashier.under_way())) == ((D(1000), D(0)), [])


def test_a_payment_whose_block_is_gone_is_under_way_again_and_is_offered_anew_when_every_pool_forgot_it(
    there: Counterparty,
) -> None:
    there.cashier.take("one", "USDT", D(400), "0xaa")
    there.mine(2)
    assert (there.held, list(there.cashier.under_way())) == ((D(600), D(395)), [])
    there.chance.rates[Fault.TX_DELAYED] = 1.0
    there.node.take_back(1)
    there.node.payments.clear()
    assert (there.held, list(there.cashier.under_way())) == ((D(600), D(0)), [("USDT", D(395))])
    there.chance.rates[Fault.TX_DELAYED] = 0.0
    there.mine(3)
    assert (there.held, list(there.cashier.under_way())) == ((D(600), D(395)), [])
