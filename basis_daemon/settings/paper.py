"""What paper mode must be told, because no exchange tells it without a key."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.settings_faults import Fault
from basis_daemon.settings.explain import Where, plain
from basis_daemon.settings.model import Mode, PaperSettings, Settings

_COPY = "copy it from config/paper.yaml, or give every venue a key: then the exchange is asked"


def is_replay(settings: Settings) -> bool:
    """True where exchanges and chain are those of recorded history: a daemon cannot live on such a file."""
    return settings.mode is Mode.PAPER and settings.replay is not None


def paper_faults(settings: Settings, where: Where) -> list[Fault]:
    """Everything that paper mode lacks; nothing in any other mode, nor where a replay has no exchange."""
    if settings.mode is not Mode.PAPER or (is_replay(settings) and not settings.enabled_venues):
        return []
    if settings.paper is None:
        expected = "a section with starting balances, fees and margin tiers, because mode is paper"
        return [Fault("paper", "nothing", expected, "copy it from config/paper.yaml", where("paper"))]
    return [*_balances(settings, settings.paper, where), *_keys(settings, where), *_terms(settings, where)]


def _balances(settings: Settings, paper: PaperSettings, where: Where) -> Iterator[Fault]:
    accounts = [
        account for v in settings.enabled_venues.values() for account in (v.accounts.spot, v.accounts.derivatives)
    ]
    known = ", ".join(dict.fromkeys(accounts)) or "none, for no venue is enabled"
    wanted = f"a balance such as {next(iter(accounts), 'binance')}:spot:USDT, in one of the accounts {known}"
    for name, amount in paper.balances.items():
        key = f"paper.balances.{name}"
        try:
            held = PositionKey(name)
        except ValueError:
            held = None
        if held is None or held.kind is not Kind.SPOT or held.venue not in accounts:
            yield Fault(key, name, wanted, "write account, spot and asset, with colons between them", where(key))
        elif amount < 0:
            yield Fault(key, plain(amount), "0 or more", "a book begins with money, not with debt", where(key))


def _keys(settings: Settings, where: Where) -> Iterator[Fault]:
    for name, venue in settings.enabled_venues.items():
        if venue.has_key is not venue.has_secret:
            missing = "secret" if venue.has_key else "key"
            key = f"venues.{name}.{missing}"
            remedy = f"set {key}_file too, or remove the other half"
            yield Fault(key, "nothing", "both halves of a key, or neither", remedy, where(key))


def _terms(settings: Settings, where: Where) -> Iterator[Fault]:
    paper, keyless = settings.paper, [name for name, v in settings.enabled_venues.items() if not v.has_key]
    if paper is None or not keyless:
        return
    because = f"because venue {keyless[0]} has no key to ask with"
    if paper.fees is None:
        yield Fault("paper.fees", "nothing", f"fees of spot and perp, {because}", _COPY, where("paper.fees"))
    if not paper.tiers:
        yield Fault("paper.tiers", "nothing", f"a table of margin tiers, {because}", _COPY, where("paper.tiers"))
    for number, (low, high) in enumerate(pairwise(paper.tiers), 1):
        key = f"paper.tiers.{number}"
        if not low.notional_max < high.notional_max:
            expected = f"more than {plain(low.notional_max)}, where the tier before it ends"
            yield Fault(f"{key}.notional_max", plain(high.notional_max), expected, "smallest first", where(key))
        if high.maintenance < low.maintenance or high.leverage_max > low.leverage_max:
            found = f"maintenance {plain(high.maintenance)}, leverage_max {plain(high.leverage_max)}"
            expected = f"maintenance {plain(low.maintenance)} or more, leverage_max {plain(low.leverage_max)} or less"
            yield Fault(key, found, expected, "a larger position never needs less margin", where(key))
