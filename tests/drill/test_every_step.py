"""What the drill sees of a daemon in the midst of everything: a fault of its memory is told within a second."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from basis_daemon.simulation.drill.chance import Fault
from basis_daemon.simulation.drill.profiles import book_of
from basis_daemon.simulation.drill.stage import stage_of
from basis_daemon.simulation.drill.world import World
from basis_daemon.wiring_book import Daemon

AT_S = 6.5
pytestmark = pytest.mark.timeout(300)


def _row_too_many(world: World) -> None:
    _daemon_of(world).recorder.state.sequence += 1


def _money_of_nowhere(world: World) -> None:
    balances = _daemon_of(world).recorder.state.ledger._balances
    balances[next(iter(balances))] += 1


def _fill_of_nobody(world: World) -> None:
    next(iter(_daemon_of(world).recorder.state.orders.values())).cum_filled += Decimal(1)


def _halt_forgotten(world: World) -> None:
    world._checks.halt()


def _book_beside_its_rows(world: World) -> None:
    life = world._lives.now
    assert life is not None
    _daemon_of(world).recorder.state.breaks_opened += 1
    world._checks.at_step(_daemon_of(world), life.disk, is_last=True)


def _daemon_of(world: World) -> Daemon:
    life = world._lives.now
    assert life is not None
    assert life.daemon is not None
    return life.daemon


@pytest.mark.parametrize(
    ("spoil", "invariant"),
    [
        (_row_too_many, "I7"),
        (_money_of_nowhere, "I18"),
        (_fill_of_nobody, "I3"),
        (_halt_forgotten, "I8"),
        (_book_beside_its_rows, "I6"),
    ],
)
def test_what_is_spoiled_in_memory_is_told_at_once(spoil: Callable[[World], None], invariant: str) -> None:
    world = World(stage_of(book_of("pair")), 1, tuple(Fault), 6)
    world._loop.call_at(AT_S, spoil, world)
    first = world.run().violations[0]
    assert (first.invariant, AT_S <= first.at_s <= AT_S + 1) == (invariant, True)
