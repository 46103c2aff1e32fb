"""What transfers need of the rest of the file."""

from __future__ import annotations

from collections.abc import Iterator

from basis_daemon.settings.explain import Where, plain
from basis_daemon.settings.faults import Fault
from basis_daemon.settings.model import Mode, Right, Settings
from basis_daemon.settings.paper import is_replay
from basis_daemon.settings.transfers import TransferVenueSettings

_ONE = "change one of the two"


def transfer_faults(settings: Settings, where: Where) -> list[Fault]:
    """Everything that keeps the routes of the file from being gone; nothing while they are not enabled."""
    transfers = settings.enabled_transfers
    if transfers is None:
        return []
    faults = []
    if settings.mode is not Mode.SANDBOX and not is_replay(settings):
        why = "false: transfers over a chain have been played against the sandbox only"
        faults.append(Fault("transfers.enabled", f"true in mode {settings.mode}", why, _ONE, where("transfers")))
    if settings.enabled_chain is None and not is_replay(settings):
        faults.append(Fault("chain", "nothing", "a chain, because transfers cross it", _ONE, where("chain")))
    for name, venue in transfers.venues.items():
        faults += _of_venue(settings, name, venue, where)
    return faults


def _of_venue(settings: Settings, name: str, venue: TransferVenueSettings, where: Where) -> Iterator[Fault]:
    key = f"transfers.venues.{name}"
    known = settings.enabled_venues
    if name not in known:
        yield Fault(key, name, f"one of {', '.join(known) or 'no venue'}, which are enabled", _ONE, where(key))
        return
    if Right.WITHDRAW not in known[name].rights:
        rights = f"venues.{name}.rights"
        found = ", ".join(known[name].rights)
        yield Fault(rights, found, "withdraw among them, because transfers take money out", _ONE, where(rights))
    if settings.chain is not None and known[name].accounts.spot in settings.chain.recipients:
        place = f"chain.recipients.{known[name].accounts.spot}"
        yield Fault(place, "an address", "another name: this one is an account of ours", _ONE, where(place))
    for coin, bounds in venue.coins.items():
        if not 0 < bounds.first_max <= bounds.once_max <= bounds.day_max:
            place = f"{key}.coins.{coin}"
            found = f"{plain(bounds.first_max)}, {plain(bounds.once_max)}, {plain(bounds.day_max)}"
            yield Fault(place, found, "first_max up to once_max, once_max up to day_max", _ONE, where(place))
