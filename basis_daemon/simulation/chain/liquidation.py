"""What a liquidator does to an account below a health factor of one: half of its debt, or all of it when it is deep."""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.simulation.chain.books import decimals_of
from basis_daemon.simulation.chain.reserve import EMODE, EMODE_CATEGORY, RAY, terms_of
from basis_daemon.simulation.chain.world import World
from basis_daemon.venues.chain.tokens import amount_of, atoken, vdebt

DEEP, HALF = Decimal("0.95"), Decimal("0.5")
"""Below this health factor everything may be repaid at once."""


def liquidated(world: World) -> dict[PositionKey, Decimal]:
    """What was taken from the books (signed, by key); empty while the account is healthy."""
    report = world.report()
    if report is None or report.health_factor is None or report.health_factor >= 1:
        return {}
    debt = max((s for s in world.books.owed if world.books.owed[s]), key=lambda s: _owed(world, s))
    taken = max((s for s in world.books.collateral if world.books.supplied.get(s)), key=lambda s: _lent(world, s))
    bonus = (EMODE if world.books.emode == EMODE_CATEGORY else terms_of(taken)).bonus
    repaid = _owed(world, debt) * (1 if report.health_factor < DEEP else HALF)
    seized = min(repaid * world.price(debt) / world.price(taken) * (1 + bonus), _lent(world, taken))
    before = world.held
    _lower(world.books.owed, debt, repaid, world.worth.debt[debt])
    _lower(world.books.supplied, taken, seized, world.worth.income[taken])
    after = world.held
    return {key: after[key] - before[key] for key in (vdebt(debt), atoken(taken))}


def _owed(world: World, symbol: str) -> Decimal:
    return amount_of(world.books.debt(symbol, world.worth), decimals_of(symbol))


def _lent(world: World, symbol: str) -> Decimal:
    return amount_of(world.books.lent(symbol, world.worth), decimals_of(symbol))


def _lower(scaled: dict[str, int], symbol: str, amount: Decimal, index: int) -> None:
    units = int(amount.scaleb(decimals_of(symbol)))
    scaled[symbol] = max(scaled[symbol] - -(-units * RAY // index), 0)
