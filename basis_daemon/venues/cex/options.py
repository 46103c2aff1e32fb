"""What the wiring decides about one exchange. Live, demo, testnet and sandbox differ here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from basis_daemon.domain.errors import ConfigError
from basis_daemon.venues.cex.network import SandboxNetwork

Note = Callable[[str, Mapping[str, object]], None]
"""Takes what an operator may want to know: an event's name and its facts. Names ending in ``_alarm`` deserve a page."""


def ignore_note(event: str, facts: Mapping[str, object]) -> None:
    """A ``Note`` for callers without a log."""


@dataclass(frozen=True, slots=True)
class CEXOptions:
    """One key of one exchange. Quantities are seconds of process time unless the name says otherwise.

    ``spot_assets`` trade against ``quote``; ``perp_symbols`` are the venue's own contract symbols. ``network`` leads to
    a local sandbox; ``demo_trading`` and ``sandbox`` (ccxt's word for a testnet) choose the venue's own play money.
    """

    api_key: SecretStr
    api_secret: SecretStr
    spot_assets: tuple[str, ...]
    perp_symbols: tuple[str, ...]
    quote: str = "USDT"
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
    jump_max: float = 0.5
    jitter_seed: int = 0

    def __post_init__(self) -> None:
        """Raises ConfigError naming the field, what it holds and what it may hold."""
        if sum((self.network is not None, self.demo_trading, self.sandbox)) > 1:
            raise ConfigError(
                f"network {self.network is not None}, demo_trading {self.demo_trading}, sandbox {self.sandbox}: "
                "expected at most one of them"
            )
        if not self.spot_assets and not self.perp_symbols:
            raise ConfigError("spot_assets and perp_symbols are empty, expected at least one instrument")
        if not 1 <= self.leverage <= 125:  # noqa: PLR2004 - the widest range any venue offers
            raise ConfigError(f"leverage {self.leverage}, expected 1 to 125")

    @property
    def is_real_money(self) -> bool:
        """True when nothing redirects the orders away from the live venue."""
        return self.network is None and not self.demo_trading and not self.sandbox
