"""What transfers need of the rest of the file."""

from __future__ import annotations

from collections.abc import Iterator

from basis_daemon.domain.settings_faults import Fault
from basis_daemon.settings.explain import Where, plain
from basis_daemon.settings.families import strategy_parameters, weighed
from basis_daemon.settings.model import Mode, Right, Settings
from basis_daemon.settings.paper import is_replay
from basis_daemon.settings.transfers import TransferVenueSettings
from basis_daemon.strategies.onchain_parameters import OnchainParameters, StakingParameters

_ONE = "change one of the two"


def transfer_faults(settings: Settings, where: Where) -> list[Fault]:
    """Everything that keeps the routes of the file from being gone, and routes that a strategy cannot be without."""
    faults = [fault for name in settings.enabled_strategies for fault in _missing(settings, name, where)]
    transfers = settings.enabled_transfers
    if transfers is None:
        return faults
    if settings.mode is not Mode.SANDBOX and not is_replay(settings):
        why = "false: transfers over a chain have been played against the sandbox only"
        faults.append(Fault("transfers.enabled", f"true in mode {settings.mode}", why, _ONE, where("transfers")))
    if settings.enabled_chain is None and not is_replay(settings):
        faults.append(Fault("chain", "nothing", "a chain, because transfers cross it", _ONE, where("chain")))
    for name, venue in transfers.venues.items():
        faults += _of_venue(settings, name, venue, where)
    return faults


def _missing(settings: Settings, name: str, where: Where) -> Iterator[Fault]:
    """A book at exchanges and on the chain moves its coins between the two, to every venue that it weighs."""
    parameters, transfers = strategy_parameters(settings, name), settings.enabled_transfers
    is_crossing = isinstance(parameters, OnchainParameters) and not is_replay(settings)
    if not is_crossing or not (venues := weighed(settings, name)):
        return
    why = f"because strategies.{name} trades at exchanges and lives on the chain"
    if transfers is None:
        yield Fault("transfers.enabled", "false", f"true, {why}", _ONE, where("transfers"))
        return
    coins = ("usdt", "eth") if isinstance(parameters, StakingParameters) else ("usdt",)
    for venue in venues:
        known = transfers.venues[venue.name].coins if venue.name in transfers.venues else {}
        for coin in coins:
            if coin not in known:
                key = f"transfers.venues.{venue.name}.coins.{coin}"
                yield Fault(key, "nothing", f"once_max, day_max and first_max, {why}", _ONE, where(key))


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
