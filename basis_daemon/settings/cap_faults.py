"""Caps name somebody who exists: a cap on a name that nobody bears would be none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from basis_daemon.domain.caps import CHAIN, ISSUER_OF, OTHER, PROTOCOLS, Dimension
from basis_daemon.domain.settings_faults import Fault
from basis_daemon.settings.explain import Where, unknown_key
from basis_daemon.settings.model import Settings

CELLS_MAX = 5000
"""Of a stress grid: every one is answered, a few thousand in seconds."""


def cap_faults(settings: Settings, where: Where) -> Iterator[Fault]:
    """Every name of a cap that nothing here stands with."""
    known = _names(settings)
    for dimension, shares in settings.risk.caps.shares().items():
        for name in shares:
            key = f"risk.caps.{dimension}.{name}"
            if name != OTHER and name not in known[dimension]:
                yield unknown_key(key, {*known[dimension], OTHER}, where(key))


def stress_faults(settings: Settings, where: Where) -> Iterator[Fault]:
    """Whoever fails in the grid is somebody, and the grid is small enough to be answered."""
    said, known = settings.risk.stress, _names(settings)[Dimension.COUNTERPARTY]
    for name in said.outages or ():
        if name not in known:
            yield unknown_key(f"risk.stress.outages.{name}", known, where("risk.stress.outages"))
    outages = len(settings.venues) if said.outages is None else len(said.outages)
    axes = (said.price, said.basis, said.peg, said.borrow, said.funding)
    cells = prod(len(axis) for axis in axes) * (1 + outages)
    if cells > CELLS_MAX:
        key = "risk.stress"
        yield Fault(key, f"{cells} cells", f"at most {CELLS_MAX}", "shorten an axis", where(key))


def _names(settings: Settings) -> Mapping[Dimension, frozenset[str]]:
    venues = frozenset(settings.venues)
    operators = frozenset(venue.exchange for venue in settings.venues.values())
    return {
        Dimension.VENUE: venues,
        Dimension.COUNTERPARTY: operators | PROTOCOLS | frozenset(ISSUER_OF.values()),
        Dimension.CHAIN: frozenset({CHAIN}),
        Dimension.PROTOCOL: PROTOCOLS,
        Dimension.STABLECOIN: frozenset(symbol.lower() for symbol in ISSUER_OF),
    }
