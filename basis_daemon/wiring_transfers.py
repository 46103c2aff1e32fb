"""The bridge between exchanges and the wallet, out of the settings' address book."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.transfer import RouteBook
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.transfer_log import TransferLog
from basis_daemon.ports import Clock, Probe
from basis_daemon.settings import Mode, Settings
from basis_daemon.settings.transfers import NETWORK, TransferSettings
from basis_daemon.venues.transfers.bridge import Bridge, is_own_transfer
from basis_daemon.venues.transfers.crossing import Surroundings, Terms
from basis_daemon.wiring_book import Venue
from basis_daemon.wiring_limits import transfer_routes
from basis_daemon.wiring_venues import note_to

SANDBOX_CONFIRMATIONS = 2
SANDBOX_POLL_S, SANDBOX_ABSENCE_S = 1.0, 5.0
"""The sandbox's record weighs nothing, and nobody there is slow."""


def make_bridge(
    settings: Settings,
    venues: Sequence[Venue],
    recorder: Recorder,
    clock: Clock,
    alarm: Alarm,
    probe: Probe,
    terms: Terms | None = None,
) -> Bridge | None:
    """None where nothing may cross; without ``terms`` those of the settings. Raises ConfigError as to an exchange."""
    transfers = settings.enabled_transfers
    wallet = next((venue.wallet for venue in venues if venue.wallet is not None), None)
    if transfers is None or wallet is None:
        return None
    log = TransferLog(recorder)
    book = RouteBook(NETWORK, tuple(transfer_routes(settings, transfers, wallet.address)))
    exchanges = {}
    for name in transfers.venues:
        account = settings.venues[name].accounts.spot
        owner = next((v for v in venues if v.custody is not None and account in {s.account for s in v.sources}), None)
        if owner is None or owner.custody is None:
            raise ConfigError(f"transfers.venues.{name}: found no exchange that coin can come to, expected one")
        exchanges[account] = owner.custody(partial(is_own_transfer, log, wallet.signed_for, account))
    around = Surroundings(log, clock, note_to(alarm), probe)
    return Bridge(book, wallet, exchanges, terms or _terms(settings, transfers), around)


def _terms(settings: Settings, transfers: TransferSettings) -> Terms:
    timeout_s = float(transfers.timeout_min * 60)
    if settings.mode is Mode.SANDBOX:
        return Terms(SANDBOX_CONFIRMATIONS, timeout_s, SANDBOX_ABSENCE_S, SANDBOX_POLL_S)
    return Terms(transfers.confirmations, timeout_s)
