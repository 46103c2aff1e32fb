"""The door to the chain: web3 takes a second to load, and a book that has no chain never waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from basis_daemon.clock import SystemClock
from basis_daemon.domain.check import Check
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Journal, Probe, TaskScope
from basis_daemon.settings import Settings
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.venues.cex.lease import AccountLease

if TYPE_CHECKING:
    from basis_daemon.wiring_book import Venue
    from basis_daemon.wiring_chain import Purse


def wallet_address(settings: Settings) -> str | None:
    """Whose wallet the file tells of; None without a chain. Raises ConfigError for a key or a file that is none."""
    if settings.enabled_chain is None:
        return None
    from basis_daemon import wiring_chain  # noqa: PLC0415 - only where there is a chain

    return wiring_chain.wallet_address(settings)


def wallet_leases(settings: Settings) -> list[AccountLease]:
    """What this process must hold before it signs for the wallet."""
    if settings.enabled_chain is None:
        return []
    from basis_daemon import wiring_chain  # noqa: PLC0415 - only where there is a chain

    return wiring_chain.wallet_leases(settings)


async def examine_chain(settings: Settings, clock: SystemClock, scope: TaskScope) -> list[Check]:
    """The preflight lines of the wallet; none without a chain."""
    if settings.enabled_chain is None:
        return []
    from basis_daemon import wiring_chain  # noqa: PLC0415 - only where there is a chain

    return await wiring_chain.examine_chain(settings, clock, scope)


async def open_purse(settings: Settings, clock: SystemClock, scope: TaskScope, alarm: Alarm) -> Purse | None:
    """Chain and signer, or None where the file tells of no chain. Raises ConfigError, VenueUnreachableError."""
    if settings.enabled_chain is None:
        return None
    from basis_daemon import wiring_chain  # noqa: PLC0415 - only where there is a chain

    return await wiring_chain.open_purse(settings, clock, scope, alarm)


def chain_venues(
    purse: Purse | None,
    strategies: list[BookStrategy],
    recorder: Recorder,
    journal: Journal,
    clock: SystemClock,
    scope: TaskScope,
    alarm: Alarm,
    probe: Probe,
) -> list[Venue]:
    """The wallet as the engine needs it; nothing without one."""
    if purse is None:
        return []
    from basis_daemon import wiring_chain  # noqa: PLC0415 - only where there is a chain

    return [wiring_chain.chain_venue(purse, strategies, recorder, journal, clock, scope, alarm, probe)]
