"""What the wiring decides about one exchange. Live, demo, testnet and sandbox differ here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from pydantic import SecretStr

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import Kind, MarginTier
from basis_daemon.ports import Probe, pass_by
from basis_daemon.rare_paths import Rarely, never
from basis_daemon.venues.cex.network import SandboxNetwork

Note = Callable[[str, Mapping[str, object]], None]
"""Takes what an operator may want to know: an event's name and its facts. Names ending in ``_alarm`` deserve a page."""


def ignore_note(event: str, facts: Mapping[str, object]) -> None:
    """A ``Note`` for callers without a log."""


@dataclass(frozen=True, slots=True)
class Fees:
    """Fractions of the notional."""

    taker: Decimal
    maker: Decimal


@dataclass(frozen=True, slots=True)
class Terms:
    """What an exchange tells only to a key, stated instead: fees by kind, and the margin tiers of every perp."""

    fees: Mapping[Kind, Fees]
    tiers: tuple[MarginTier, ...]


@dataclass(frozen=True, slots=True)
class CustodyWish:
    """What shall cross between the spot account and a wallet: addresses, and the first transfer of each coin."""

    deposit_address: str
    wallet: str
    first_max: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class CEXOptions:
    """One key of one exchange. Quantities are seconds of process time unless the name says otherwise.

    ``spot_assets`` trade against ``quote``; ``perp_symbols`` are contracts as position keys name them;
    ``moved_coins`` cross between the wallets. ``network`` leads to
    a local sandbox; ``demo_trading`` and ``sandbox`` (ccxt's word for a testnet) choose the venue's own play money.
    ``is_read_only``: public streams and questions only, no order and no mode can leave; then a key is asked for nothing
    but fees and tiers, and without one they are ``terms``. ``rights`` are those that the key shall have.
    """

    api_key: SecretStr | None
    api_secret: SecretStr | None
    spot_assets: tuple[str, ...]
    perp_symbols: tuple[str, ...]
    quote: str = "USDT"
    moved_coins: tuple[str, ...] = ("USDT",)
    leverage: int = 5
    network: SandboxNetwork | None = None
    demo_trading: bool = False
    sandbox: bool = False
    api_password: SecretStr | None = None
    book_levels: int = 20
    funding_rows: int = 100
    order_timeout_s: float = 3.0
    data_timeout_s: float = 15.0
    limiter_wait_s: float = 1.0
    fill_wait_s: float = 1.0
    fill_queries_max: int = 6
    retry_pause_s: float = 0.25
    book_silence_s: float = 10.0
    mark_silence_s: float = 10.0
    dial_timeout_s: float = 10.0
    backoff_max_s: float = 30.0
    skew_every_s: float = 600.0
    login_every_s: float = 1_200.0
    skew_alarm_ms: int = 500
    read_lag_s: float = 5.0
    dead_man_s: float = 60.0
    jump_max: float = 0.5
    terms_pause_s: float = 30.0
    jitter_seed: int = 0
    is_read_only: bool = False
    rights: frozenset[str] = frozenset({"trade", "transfer"})
    terms: Terms | None = None
    custody: CustodyWish | None = None
    probe: Probe = pass_by
    rarely: Rarely = never

    def __post_init__(self) -> None:
        """Raises ConfigError naming the field, what it holds and what it may hold."""
        if self.demo_trading and self.sandbox:
            raise ConfigError("demo_trading True, sandbox True: expected at most one kind of play money")
        has_key = self.api_key is not None and self.api_secret is not None
        if not has_key and not (self.is_read_only and self.terms is not None):
            raise ConfigError("api_key and api_secret are expected; without them is_read_only, and terms for its fees")
        if not self.spot_assets and not self.perp_symbols:
            raise ConfigError("spot_assets and perp_symbols are empty, expected at least one instrument")
        if not 1 <= self.leverage <= 125:  # noqa: PLR2004 - the widest range any venue offers
            raise ConfigError(f"leverage {self.leverage}, expected 1 to 125")

    @property
    def is_live_api(self) -> bool:
        """True where the venue's whole API answers: the live venue, or the sandbox that speaks as it."""
        return not self.demo_trading and not self.sandbox
