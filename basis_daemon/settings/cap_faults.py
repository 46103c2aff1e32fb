"""Caps name somebody who exists: a cap on a name that nobody bears would be none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from basis_daemon.domain.caps import CHAIN, ISSUER_OF, OTHER, PROTOCOLS, Dimension
from basis_daemon.settings.explain import Where, unknown_key
from basis_daemon.settings.faults import Fault
from basis_daemon.settings.model import Settings


def cap_faults(settings: Settings, where: Where) -> Iterator[Fault]:
    """Every name of a cap that nothing here stands with."""
    known = _names(settings)
    for dimension, shares in settings.risk.caps.shares().items():
        for name in shares:
            key = f"risk.caps.{dimension}.{name}"
            if name != OTHER and name not in known[dimension]:
                yield unknown_key(key, {*known[dimension], OTHER}, where(key))


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
