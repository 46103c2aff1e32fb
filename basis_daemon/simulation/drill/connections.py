"""How each new process of the component tier is wired to the simulated exchanges, and to a chain if there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.market import MarketEvent
from basis_daemon.domain.order import OrderOperation
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Clock, Probe, TradeSink
from basis_daemon.settings import Settings
from basis_daemon.simulation.drill.chain.node import ChainNode
from basis_daemon.simulation.drill.chain.wallet import Post, chain_venue
from basis_daemon.simulation.drill.chance import Chance
from basis_daemon.simulation.drill.checks import Checks
from basis_daemon.simulation.drill.exchange import Connection, WiredAccount
from basis_daemon.simulation.drill.hedge.ends import WiredCustody, terms_of
from basis_daemon.simulation.drill.hedge.ferry import Ferry
from basis_daemon.simulation.drill.lives import Life, MakeVenues
from basis_daemon.simulation.drill.stage import House
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.transfers.bridge import Bridge
from basis_daemon.venues.transfers.ends import ExchangeEnd
from basis_daemon.wiring_book import Routes, Venue
from basis_daemon.wiring_transfers import make_bridge

TRANSFERS = frozenset({OrderOperation.TRANSFER})


@dataclass(slots=True)
class Connections:
    """Honours ``lives.Outside``. ``past`` is what was read of the ``chain`` before the first tick."""

    clock: Clock
    chance: Chance
    checks: Checks
    settings: Settings
    open: Callable[[], Mapping[House, Connection]]
    chain: ChainNode | None = None
    ferry: Ferry | None = None
    past: Sequence[MarketEvent] = ()
    _now: Mapping[House, Connection] = field(default_factory=dict)

    def connect(self) -> Callable[[], None]:
        opened = self._now = self.open()

        def sever() -> None:
            for connection in opened.values():
                connection.is_dead = True

        return sever

    def begun(self, life: Life) -> None:
        for connection in self._now.values():
            connection.is_armed = life.is_armed

    async def venues(self, life: Life, tree: TaskTree, probe: Probe) -> MakeVenues:
        def made(strategies: list[BookStrategy], recorder: Recorder) -> list[Venue]:
            venues = [_venue(house, connection, self.ferry) for house, connection in self._now.items()]
            if self.chain is None:
                return venues
            is_dead = life.killed.is_set
            post = Post(self.chain, self.chance, is_dead, self.clock, tree, self._noted, probe, self.past)
            return [chain_venue(post, strategies, recorder, life.disk), *venues]

        return made

    def bridge(self, life: Life, probe: Probe, venues: Sequence[Venue], recorder: Recorder) -> Bridge | None:
        del life
        return make_bridge(self.settings, venues, recorder, self.clock, self._cried, probe, terms_of(self.settings))

    def ended(self, life: Life) -> None:
        """Nothing is left of it outside."""

    def _cried(self, what: str, facts: Mapping[str, str]) -> None:
        self.checks.note("alarm", what, sorted(facts.items()))

    def _noted(self, event: str, facts: Mapping[str, object]) -> None:
        self.checks.note("noted", event, sorted((name, str(value)) for name, value in facts.items()))


def _venue(house: House, connection: Connection, ferry: Ferry | None) -> Venue:
    accounts = {spec.name: WiredAccount(connection, spec, spec.operations - TRANSFERS) for spec in house.specs}
    doors = [*accounts.values(), *(WiredAccount(connection, spec, TRANSFERS) for spec in house.specs)]
    custody = next((ferry.cashiers[name] for name in accounts if ferry is not None and name in ferry.cashiers), None)

    def cashier(is_own: Callable[[str, str], bool]) -> ExchangeEnd:
        if ferry is None or custody is None:
            raise ConfigError(f"{house.name}: has no cashier, expected one")
        accounts[custody.account].capital = partial(custody.capital, is_own=is_own)
        return WiredCustody(custody, connection, ferry.checks.requested)

    def routes(on_trade: TradeSink) -> Routes:
        for door in doors:
            door.on_trade = on_trade
        return [(door.account, door) for door in doors]

    return Venue(
        sources=list(accounts.values()),
        routes=routes,
        feed=lambda _: connection,
        dead_men=dict,
        custody=None if custody is None else cashier,
    )
