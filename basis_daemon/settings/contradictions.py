"""Values that are fine one by one and cannot live together."""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.settings.explain import Where, plain
from basis_daemon.settings.families import strategy_parameters
from basis_daemon.settings.faults import Fault
from basis_daemon.settings.model import JournalSettings, Settings
from basis_daemon.settings.paper import paper_faults
from basis_daemon.strategies.parameters import BasisParameters


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
    faults += _journal_faults(settings.journal, where)
    for name in settings.strategies:
        parameters, key = strategy_parameters(settings, name), f"strategies.{name}.params"
        band, slip = settings.risk.price_band_bp, parameters.slip_emergency_bp
        if band < slip:
            why = f"{plain(slip)} bp or more, the slip_emergency_bp of {key}: else the gate refuses every defence"
            faults.append(_fault("risk.price_band_bp", f"{plain(band)} bp", why, where))
        order_max, clip = settings.risk.order_notional_max_usdt, parameters.clip_usdt
        if order_max < clip:
            why = f"{plain(clip)} USDT or more, the clip_usdt of {key}: else the gate refuses every clip"
            faults.append(_fault("risk.order_notional_max_usdt", f"{plain(order_max)} USDT", why, where))
        faults += _guard_faults(settings, parameters, key, where) + _watch_faults(settings, parameters, key, where)
        for venue in parameters.venues:
            leverage = settings.venues[venue.name].leverage
            if leverage * parameters.m_star < 1:
                needed = plain((1 / parameters.m_star).to_integral_value(rounding="ROUND_CEILING"))
                why = f"{needed} or more, because m_star of {key} is {plain(parameters.m_star)}"
                faults.append(_fault(f"venues.{venue.name}.leverage", plain(Decimal(leverage)), why, where))
    return faults


def _watch_faults(settings: Settings, parameters: BasisParameters, key: str, where: Where) -> list[Fault]:
    """The guard's limits lie behind those of the strategy, and its second step behind its first."""
    guard, faults = settings.guard, []
    falling = (
        ("z_reducing", guard.z_reducing, parameters.z_emergency, f"the z_emergency of {key}"),
        ("z_halted", guard.z_halted, guard.z_reducing, "the guard.z_reducing"),
    )
    rising = (
        ("drawdown_reducing", guard.drawdown_reducing, parameters.max_drawdown, f"the max_drawdown of {key}"),
        ("drawdown_halted", guard.drawdown_halted, guard.drawdown_reducing, "the guard.drawdown_reducing"),
        ("silent_max_s", guard.silent_max_s, settings.freshness.account_s, "the freshness.account_s"),
    )
    for name, found, bound, what in falling:
        if found >= bound:
            faults.append(_fault(f"guard.{name}", plain(found), f"less than {plain(bound)}, {what}", where))
    for name, found, bound, what in rising:
        if found <= bound:
            faults.append(_fault(f"guard.{name}", plain(found), f"more than {plain(bound)}, {what}", where))
    return faults


def _guard_faults(settings: Settings, parameters: BasisParameters, key: str, where: Where) -> list[Fault]:
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


def _fault(key: str, found: str, expected: str, where: Where) -> Fault:
    return Fault(key, found, expected, "change one of the two", where(key))
