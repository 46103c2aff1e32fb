"""What a strategy may do and needs, whatever its family, in the words of whoever wires it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.lending import HealthLadder
from basis_daemon.domain.margin import Ladder
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.ways import Way
from basis_daemon.ports import Strategy


@dataclass(frozen=True, slots=True)
class Charter:
    """Limits and needs of one strategy instance; what does not concern its family keeps its default.

    ``shocks`` per underlying, and of a staking token against ETH; ``health`` is the ladder of a debt in e-mode;
    ``exchange_of`` names the venue behind each account at an exchange, ``traded_at`` the
    assets that are traded there; ``needed`` are (operation, order venue) without which it could not act; ``cash`` are
    the wallets that capital leaves from; ``is_on_chain``: it needs a chain; ``numeraire`` is its share class. ``ways``
    lead to its margin, which it restores to ``m_star``; a debt of its own goes back to ``lambda_target`` (None where it
    has none), at ``exit_cost`` of what is sold for it.
    """

    max_drawdown: Decimal
    slip_emergency_bp: Decimal
    needed: frozenset[tuple[OrderOperation, str]]
    cash: tuple[PositionKey, ...]
    ladder: Ladder = field(default_factory=Ladder)
    health: HealthLadder = field(default_factory=HealthLadder)
    shocks: Mapping[str, Decimal] = field(default_factory=dict)
    venue_cap: Decimal = Decimal(1)
    exchange_of: Mapping[str, str] = field(default_factory=dict)
    traded_at: Mapping[str, frozenset[str]] = field(default_factory=dict)
    clip_usdt: Decimal = Decimal(25_000)
    unhedged_max_s: Decimal = Decimal(20)
    is_on_chain: bool = False
    numeraire: str = "USDT"
    ways: tuple[Way, ...] = ()
    m_star: Decimal | None = None
    lambda_target: Decimal | None = None
    exit_cost: Decimal = Decimal(0)


class BookStrategy(Strategy, Protocol):
    """A strategy that can be wired."""

    @property
    def charter(self) -> Charter:
        """Its limits and needs."""
        ...
