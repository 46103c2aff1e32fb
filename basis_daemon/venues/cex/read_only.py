"""The promise of a daemon that trades on paper: nothing but public questions leaves, in the client and below it.

Two gates that do not know each other: the client refuses by ccxt's section and path, the session by method and
address. A key, where there is one, opens the questions about fees and margin tiers and no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, parse_qs, urlsplit

from basis_daemon.domain.errors import BasisError
from basis_daemon.venues.cex.quirks import VenueQuirks

READ = "GET"
SIGNATURE = "signature"


class WriteRefusedError(BasisError):
    """Something reached for more than public data where only that is wanted: a bug. Nothing has left."""


class Gate(Protocol):
    """What stands between a client and the wire; its methods raise WriteRefusedError."""

    def check_call(self, section: str, method: str, path: str) -> None:
        """A call, by the names that ccxt gives it."""
        ...

    def check_request(self, method: str, url: str) -> None:
        """A request on the wire, or the opening of a stream."""
        ...


@dataclass(frozen=True, slots=True)
class Inspection:
    """Everything may be asked, also what only the key may see, and nothing may be changed."""

    venue: VenueQuirks

    def check_call(self, section: str, method: str, path: str) -> None:
        """A call, by the names that ccxt gives it."""
        if method != READ:
            raise WriteRefusedError(f"{self.venue.name}: {method} {section}/{path} refused, expected a {READ}")

    def check_request(self, method: str, url: str) -> None:
        """A request on the wire."""
        if method != READ:
            raise WriteRefusedError(f"{self.venue.name}: {method} {urlsplit(url).hostname} refused, expected a {READ}")


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """What may be asked of one exchange; everything else raises WriteRefusedError."""

    venue: VenueQuirks

    def check_call(self, section: str, method: str, path: str) -> None:
        """A call, by the names that ccxt gives it."""
        is_open = section in self.venue.public_sections or path in self.venue.terms_paths
        if method != READ or not is_open:
            raise WriteRefusedError(f"{self.venue.name}: {method} {section}/{path} refused, expected a public {READ}")

    def check_request(self, method: str, url: str) -> None:
        """A request on the wire, or the opening of a stream."""
        parts, place = urlsplit(url), url.partition("?")[0]
        is_public = place.startswith(self.venue.public_urls) and SIGNATURE not in parse_qs(parts.query)
        if method != READ or not (is_public or self._asks_for_terms(parts)):
            what = f"{method} {parts.hostname}{parts.path}"
            raise WriteRefusedError(f"{self.venue.name}: {what} refused, expected a public {READ}")

    def _asks_for_terms(self, parts: SplitResult) -> bool:
        hosts = {urlsplit(url).hostname for url in self.venue.public_urls}
        return parts.hostname in hosts and parts.path.endswith(tuple(f"/{path}" for path in self.venue.terms_paths))
