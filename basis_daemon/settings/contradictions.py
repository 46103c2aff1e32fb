"""Values that are fine one by one and cannot live together."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from basis_daemon.domain.settings_faults import Fault
from basis_daemon.settings.cap_faults import cap_faults, stress_faults
from basis_daemon.settings.explain import Where, plain
from basis_daemon.settings.families import lives_on_chain, strategy_parameters, weighed
from basis_daemon.settings.listening import signal_faults
from basis_daemon.settings.model import JournalSettings, Mode, Settings
from basis_daemon.settings.paper import is_replay, paper_faults
from basis_daemon.settings.transfer_faults import transfer_faults
from basis_daemon.strategies.ml_parameters import DirectionalParameters
from basis_daemon.strategies.onchain_parameters import OnchainParameters
from basis_daemon.strategies.parameters import BasisParameters, ExchangeParameters

LENDING = "pure_lending"
"""The one kind on the chain that other modes than the sandbox take."""

INVERSE = frozenset({"binancecoinm"})
"""Exchanges whose contracts are margined in their coin."""


def contradictions(settings: Settings, where: Where) -> list[Fault]:
    """A gate that would refuse what a strategy must be able to send, or a venue that could not carry its margin."""
    faults = paper_faults(settings, where)
    pause, limit = settings.reconcile.interval_s, settings.freshness.account_s
    if pause >= limit:
        why = f"less than {plain(limit)} s, the freshness.account_s: else every account goes stale between two looks"
        faults.append(_fault("reconcile.interval_s", f"{plain(pause)} s", why, where))
    if (settings.sandbox.port is None) is not (settings.sandbox.ca_file is None):
        given, missing = ("ca_file", "port") if settings.sandbox.port is None else ("port", "ca_file")
        why = f"a value, because sandbox.{given} is given: the two go together"
        faults.append(_fault(f"sandbox.{missing}", "nothing", why, where))
    faults += [*cap_faults(settings, where), *stress_faults(settings, where)]
    faults += _journal_faults(settings.journal, where) + _chain_faults(settings, where)
    faults += _account_faults(settings, where) + _owner_faults(settings, where) + transfer_faults(settings, where)
    faults += [*signal_faults(settings, where), *_contract_faults(settings, where)]
    for name in settings.enabled_strategies:
        parameters, key = strategy_parameters(settings, name), f"strategies.{name}.params"
        if not isinstance(parameters, ExchangeParameters):
            if isinstance(parameters, OnchainParameters):
                faults += _behind([_stop(settings, parameters.max_drawdown, key)], where)
            continue
        band, slip = settings.risk.price_band_bp, parameters.slip_emergency_bp
        if band < slip:
            why = f"{plain(slip)} bp or more, the slip_emergency_bp of {key}: else the gate refuses every defence"
            faults.append(_fault("risk.price_band_bp", f"{plain(band)} bp", why, where))
        order_max, clip = settings.risk.order_notional_max_usdt, parameters.clip_usdt
        if order_max < clip:
            why = f"{plain(clip)} USDT or more, the clip_usdt of {key}: else the gate refuses every clip"
            faults.append(_fault("risk.order_notional_max_usdt", f"{plain(order_max)} USDT", why, where))
        faults += _guard_faults(settings, parameters, key, where) + _watch_faults(settings, parameters, key, where)
        if isinstance(parameters, BasisParameters):
            faults += _leverage_faults(settings, parameters, key, where)
    return faults


def _leverage_faults(settings: Settings, parameters: BasisParameters, key: str, where: Where) -> list[Fault]:
    """A venue must let the short be opened on the margin that is planned."""
    faults = []
    for venue in parameters.venues:
        leverage = settings.venues[venue.name].leverage
        if leverage * parameters.m_star < 1:
            needed = plain((1 / parameters.m_star).to_integral_value(rounding="ROUND_CEILING"))
            why = f"{needed} or more, because m_star of {key} is {plain(parameters.m_star)}"
            faults.append(_fault(f"venues.{venue.name}.leverage", plain(Decimal(leverage)), why, where))
    return faults


def _contract_faults(settings: Settings, where: Where) -> list[Fault]:
    """A book counted in coin trades inverse contracts, and no other book does."""
    faults = []
    for name in settings.enabled_strategies:
        parameters = strategy_parameters(settings, name)
        is_inverse = isinstance(parameters, DirectionalParameters) and parameters.is_inverse
        for venue in weighed(settings, name):
            found = settings.venues[venue.name].exchange
            if (found in INVERSE) is not is_inverse:
                contracts = f"{'inverse' if is_inverse else 'linear'} contracts, which strategies.{name} trades"
                faults.append(_fault(f"venues.{venue.name}.exchange", found, f"an exchange with {contracts}", where))
    return faults


def _chain_faults(settings: Settings, where: Where) -> list[Fault]:
    """A strategy that lives on the chain needs one, and a wallet belongs to one, which may trade at exchanges."""
    on_chain = [name for name in settings.enabled_strategies if lives_on_chain(settings, name)]
    crossing = [name for name in settings.enabled_strategies if any(v.network for v in weighed(settings, name))]
    owners = list(dict.fromkeys([*on_chain, *crossing]))
    faults = []
    if on_chain and settings.enabled_chain is None and not is_replay(settings):
        why = f"a chain, because strategies.{on_chain[0]} lives there"
        faults.append(_fault("chain", "nothing", why, where))
    for name in owners[1:]:
        why = f"false: a wallet belongs to one strategy, and strategies.{owners[0]} has this one"
        faults.append(_fault(f"strategies.{name}.enabled", "true", why, where))
    for name in on_chain:
        is_rehearsal = settings.mode is Mode.SANDBOX or is_replay(settings)
        if (kind := settings.enabled_strategies[name].kind) != LENDING and not is_rehearsal:
            why = f"sandbox: {kind} has been played on the sandbox chain only"
            faults.append(_fault("mode", str(settings.mode), why, where))
    if not settings.enabled_venues and not on_chain:
        faults.append(_fault("venues", "none that is enabled", "one that a strategy weighs", where))
    return faults


def _watch_faults(settings: Settings, parameters: ExchangeParameters, key: str, where: Where) -> list[Fault]:
    """The guard's limits lie behind those of the strategy, and its second step behind its first."""
    guard, faults = settings.guard, []
    falling = (
        ("z_reducing", guard.z_reducing, parameters.z_emergency, f"the z_emergency of {key}"),
        ("z_halted", guard.z_halted, guard.z_reducing, "the guard.z_reducing"),
    )
    rising = (
        _stop(settings, parameters.max_drawdown, key),
        ("drawdown_halted", guard.drawdown_halted, guard.drawdown_reducing, "the guard.drawdown_reducing"),
        ("silent_max_s", guard.silent_max_s, settings.freshness.account_s, "the freshness.account_s"),
    )
    for name, found, bound, what in falling:
        if found >= bound:
            faults.append(_fault(f"guard.{name}", plain(found), f"less than {plain(bound)}, {what}", where))
    return faults + _behind(rising, where)


Bound = tuple[str, Decimal, Decimal, str]
"""(key of the guard, what it says, what it must lie beyond, whose that is)."""


def _stop(settings: Settings, max_drawdown: Decimal, key: str) -> Bound:
    """A guard that came first would forbid the second half of the strategy's own exit."""
    return "drawdown_reducing", settings.guard.drawdown_reducing, max_drawdown, f"the max_drawdown of {key}"


def _behind(rising: Iterable[Bound], where: Where) -> list[Fault]:
    return [
        _fault(f"guard.{name}", plain(found), f"more than {plain(bound)}, {what}", where)
        for name, found, bound, what in rising
        if found <= bound
    ]


def _guard_faults(settings: Settings, parameters: ExchangeParameters, key: str, where: Where) -> list[Fault]:
    """The guard stands behind the strategy: where it came first, the strategy's own defence would never act."""
    guard, risk, faults = settings.guard, settings.risk, []
    collar, slip = guard.price_collar_bp, parameters.slip_emergency_bp
    if collar <= slip:
        why = f"more than {plain(slip)} bp, the slip_emergency_bp of {key}: else the last hop keeps every defence"
        faults.append(_fault("guard.price_collar_bp", f"{plain(collar)} bp", why, where))
    least, found = risk.order_notional_max_usdt, guard.order_notional_max_usdt
    if found < least:
        why = f"{plain(least)} USDT or more, the risk.order_notional_max_usdt: else the last hop keeps approved plans"
        faults.append(_fault("guard.order_notional_max_usdt", f"{plain(found)} USDT", why, where))
    return faults


def _journal_faults(journal: JournalSettings, where: Where) -> list[Fault]:
    faults = []
    if journal.keep_decisions_days > journal.keep_days:
        why = f"at most {plain(journal.keep_days)} days, the journal.keep_days: whole rows go then"
        faults.append(_fault("journal.keep_decisions_days", f"{plain(journal.keep_decisions_days)} days", why, where))
    if journal.disk_hard_mb >= journal.disk_soft_mb:
        why = f"less than {journal.disk_soft_mb} MB, the journal.disk_soft_mb: the book has to be reduced before"
        faults.append(_fault("journal.disk_hard_mb", f"{journal.disk_hard_mb} MB", why, where))
    return faults


def _account_faults(settings: Settings, where: Where) -> list[Fault]:
    """No account, and no key, stands for two venues: their books could not be told apart."""
    faults: list[Fault] = []
    seen: dict[tuple[str, str], str] = {}
    for name, venue in settings.enabled_venues.items():
        said = {"accounts.spot": venue.accounts.spot, "accounts.derivatives": venue.accounts.derivatives}
        said |= {"key_file": venue.key_file} if venue.key_file is not None else {}
        for part, value in said.items():
            key, thing = f"venues.{name}.{part}", ("account" if part.startswith("accounts") else part, value)
            if (other := seen.setdefault(thing, key)) != key:
                what = "a name of its own: a sub-account is another wallet, with a key of its own"
                faults.append(_fault(key, f"{value!r}, as {other} has it", what, where))
    return faults


def _owner_faults(settings: Settings, where: Where) -> list[Fault]:
    """Every venue that is connected belongs to exactly one strategy; a replay connects those of the one it plays."""
    owners: dict[str, str] = {}
    faults: list[Fault] = []
    for name in settings.enabled_strategies:
        for venue in weighed(settings, name):
            key = f"strategies.{name}.params.w.{venue.name}"
            if (owner := owners.setdefault(venue.name, name)) != name:
                found = f"{plain(venue.weight)} at {venue.name}, where strategies.{owner} trades"
                why = "a venue of its own: an account belongs to one strategy; a sub-account is another venue"
                faults.append(_fault(key, found, why, where))
    idle = [name for name in settings.enabled_venues if name not in owners and not is_replay(settings)]
    why = "false, because no strategy weighs it"
    return faults + [_fault(f"venues.{name}.enabled", "true", why, where) for name in idle]


def _fault(key: str, found: str, expected: str, where: Where) -> Fault:
    return Fault(key, found, expected, "change one of the two", where(key))
