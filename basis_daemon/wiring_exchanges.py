"""Which exchanges there are, and who is who at the sandbox's. Loads no client: ccxt takes a second, an answer none."""

from __future__ import annotations

from basis_daemon.settings.contradictions import INVERSE
from basis_daemon.settings.model import VenueSettings
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.binance_coinm import BINANCE_COINM

EXCHANGES = {"binance": BINANCE, "binancecoinm": BINANCE_COINM}
"""By the name of the configuration; those of one company share its request budget, key and spot wallet."""
SANDBOX_KEY, SANDBOX_SECRET = "sandbox-key", "sandbox-secret"


def sandbox_credentials(venue: VenueSettings) -> tuple[str, str]:
    """Key and secret of an account that the sandbox brings: its main one, or that of a sub-account by name."""
    name = sub_account_of(venue)
    suffix = f"-{name}" if name else ""
    return SANDBOX_KEY + suffix, SANDBOX_SECRET + suffix


def is_inverse(venue: VenueSettings) -> bool:
    """True where contracts are margined in their coin."""
    return venue.exchange in INVERSE


def sub_account_of(venue: VenueSettings) -> str:
    """The name of a sub-account; empty for the exchange's main account, which bears the exchange's own names."""
    is_main = venue.accounts.spot == EXCHANGES[venue.exchange].accounts[0].name
    return "" if is_main else venue.accounts.spot
