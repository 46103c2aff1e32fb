"""Settings as the daemon sees them: frozen, complete, every bound beside its key. Defaults are the sober choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from basis_daemon.ports import KillPoint
from basis_daemon.settings.chain import ChainSettings
from basis_daemon.settings.replay import ReplaySettings
from basis_daemon.settings.risk import RiskSettings
from basis_daemon.settings.section import Name, Number, Section, count, given, number
from basis_daemon.settings.signals import SignalSettings
from basis_daemon.settings.transfers import TransferSettings
from basis_daemon.telemetry import LogFormat, LogLevel

SECRET_LENGTH_MIN = 8
"""No exchange issues a shorter key; an empty or truncated one is noticed here and not at the first order."""


class Mode(StrEnum):
    """Whose money: none (sandbox, paper), the exchange's play money (testnet), or real (live)."""

    SANDBOX = "sandbox"
    PAPER = "paper"
    TESTNET = "testnet"
    LIVE = "live"

    @property
    def needs_keys(self) -> bool:
        """True where an exchange is asked to accept orders."""
        return self in {Mode.TESTNET, Mode.LIVE}

    @property
    def takes_keys(self) -> bool:
        """True where key files are read: the sandbox brings its own key unless the environment holds another."""
        return self is not Mode.SANDBOX


class Right(StrEnum):
    """What an API key may do with the money behind it."""

    TRADE = "trade"
    TRANSFER = "transfer"
    WITHDRAW = "withdraw"


class BookSettings(Section):
    """The book that this process holds; one process, one book, one data directory."""

    name: Name
    """Stands in the journal: a journal of another book is refused."""


class JournalSettings(Section):
    """The durable record."""

    file: Path = Field(default=Path("journal.sqlite"), strict=False)
    """Inside data_dir unless absolute."""
    snapshot_rows: int = count(5000, 100, 100_000, "rows", "between two snapshots; a restart reads on from the last")
    keep_days: Number = number("90", "0", "36500", "days", "older rows are pruned, each cut in front of a snapshot")
    keep_decisions_days: Number = number(
        "14", "0", "36500", "days", "of older decisions only the digest stays; they are most of a journal"
    )
    keep_snapshots: int = count(3, 1, 1000, "snapshots", "everything since the last so many stays, however old")
    disk_soft_mb: int = count(1000, 1, 1_000_000, "MB", "free on its disk; below it nothing that adds risk is sent")
    disk_hard_mb: int = count(200, 1, 1_000_000, "MB", "free on its disk; below it only defence is sent")


class LogSettings(Section):
    """Log lines; they go to standard error."""

    level: LogLevel = Field(default=LogLevel.INFO, strict=False)
    """The least important line that is written."""
    format: LogFormat = Field(default=LogFormat.AUTO, strict=False)
    """auto is the console for a terminal and JSON for everything else."""


class ControlSettings(Section):
    """Where the daemon takes an operator's commands."""

    socket: Path = Field(default=Path("control.sock"), strict=False)
    """A unix socket inside data_dir unless absolute; its mode 0600 is the authorisation."""


class AccountSettings(Section):
    """The accounts at one exchange, by the names that stand first in position keys; equal where unified."""

    spot: str = "binance"
    """The spot wallet."""
    derivatives: str = "binanceusdm"
    """The wallet that carries the perps' margin."""


class VenueSettings(Section):
    """One pair of wallets at an exchange with one key: a sub-account with a key of its own is a venue of its own."""

    exchange: Literal["binance", "binancecoinm"] = "binance"
    """Which adapter speaks to it: spot and linear futures, or spot and inverse futures, of one key."""
    enabled: bool = True
    """False keeps the section and connects nothing."""
    key_file: str | None = None
    """Name of a systemd credential or Docker secret, or an absolute path, that holds the API key."""
    secret_file: str | None = None
    """The same for the API secret (or the private key in PEM)."""
    key: SecretStr | None = Field(default=None, min_length=SECRET_LENGTH_MIN)
    """The API key itself; only from the environment, never in the file. Sandbox and paper need none."""
    secret: SecretStr | None = Field(default=None, min_length=SECRET_LENGTH_MIN)
    """The API secret itself; only from the environment, never in the file."""
    leverage: int = count(
        5, 2, 20, "x", "set on the venue and read back at start; m_star .40 needs at least 3, more only moves the cap"
    )
    rights: Sequence[Annotated[Right, Field(strict=False)]] = (Right.TRADE, Right.TRANSFER)
    """What the key shall be able to do at the exchange; `doctor` refuses a key that can withdraw unasked."""
    margin_mode: Literal["cross"] = "cross"
    """Set on the venue and read back at start; the margin ladder knows no other."""
    accounts: AccountSettings = AccountSettings()
    """Its accounts."""
    fee_asset: str | None = Field(default=None, pattern=r"^[A-Z0-9]{2,10}$")
    """The coin that pays fees there, such as BNB: its price is followed, and a low balance is an alarm."""

    @property
    def has_key(self) -> bool:
        """True when a key is configured, read or not."""
        return self.key is not None or self.key_file is not None

    @property
    def has_secret(self) -> bool:
        """True when an API secret is configured, read or not."""
        return self.secret is not None or self.secret_file is not None


class SandboxSettings(Section):
    """The sandbox exchange on loopback. In paper mode it is optional: given, its market stands for the real one."""

    ready_file: Path | None = Field(default=None, strict=False)
    """Written by `basis-daemon sandbox exchange` when it listens; holds its ports and its CA file."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Where it speaks as the exchange; instead of the ready file, together with ca_file."""
    control_port: int | None = Field(default=None, ge=1, le=65535)
    """Where tests and demos steer it; instead of the ready file."""
    ca_file: Path | None = Field(default=None, strict=False)
    """The certificate authority that vouches for it; instead of the ready file, together with port."""
    chain_ready_file: Path | None = Field(default=None, strict=False)
    """Written by `basis-daemon sandbox chain` when it answers; holds its endpoints, its address book and a wallet."""
    kill_at: str | None = Field(
        default=None,
        pattern=rf"^({'|'.join(KillPoint)})(:[1-9][0-9]{{0,4}})?(:hang)?$",
        json_schema_extra={"expects": f"one of {', '.join(KillPoint)}, :n for its n-th passing, :hang to stand still"},
    )
    """A drill: SIGKILL at the n-th passing of this point, such as after_send:3; after_send:3:hang blocks the loop."""


class FeeSettings(Section):
    """What a fill costs; negative for a rebate."""

    taker: Number = given("-0.01", "0.05", "of the notional", "for what takes from the book")
    maker: Number = given("-0.01", "0.05", "of the notional", "for what rested in the book")


class PaperFeeSettings(Section):
    """By market."""

    spot: FeeSettings
    """Spot pairs."""
    perp: FeeSettings
    """Perpetual contracts."""


class TierSettings(Section):
    """One bracket of maintenance margin; it begins where the one before it ends."""

    notional_max: Number = given("1", "1000000000000", "USDT", "the largest position notional of this bracket")
    maintenance: Number = given("0.0001", "1", "of the notional", "maintenance margin of what lies in this bracket")
    leverage_max: Number = given("1", "200", "x", "caps the position that equity can open")


class PaperSettings(Section):
    """The simulated accounts; read in paper mode only."""

    balances: Mapping[str, Annotated[Number, Field(description="units of the asset")]] = Field(min_length=1)
    """What the spot wallets hold at the very first start, by position key; from then on the journal knows."""
    fees: PaperFeeSettings | None = None
    """Of every venue without a key; with one the exchange is asked."""
    tiers: Sequence[TierSettings] = ()
    """Margin brackets of every perp at venues without a key, smallest first."""
    liquidation_fee: Number = given("0", "0.1", "of the notional", "taken when a position is liquidated")
    latency_s: Number = given("0", "2", "s", "process time an order needs to the matching, and its answer back")


class StrategySettings(Section):
    """One strategy instance."""

    kind: str
    """The family, as in the registry of strategies."""
    enabled: bool = True
    """False keeps the section and trades nothing."""
    budget_usdt: Number | None = Field(
        default=None,
        ge=Decimal(100),
        le=Decimal(1_000_000_000),
        description="equity of its accounts above this is a reserve that it leaves alone; null: all of it",
        json_schema_extra={"unit": "USDT"},
    )
    params: Mapping[str, Any] = Field(default_factory=dict)
    """The family's own parameters; what is absent has the default of strategies.md 1.4. `w` weighs the venues."""


class GuardSettings(Section):
    """The backstop over all strategies; it only tightens, and only an operator's rearm loosens it again."""

    z_reducing: Number = number("0.20", "0.02", "1", "shocks", "to liquidation; REDUCING below, so under z_emergency")
    z_halted: Number = number("0.10", "0.01", "0.5", "shocks", "to liquidation; HALTED below")
    drawdown_reducing: Number = number(
        "0.08", "0.01", "0.60", "of the peak unit value", "REDUCING beyond, so above max_drawdown"
    )
    drawdown_halted: Number = number("0.12", "0.02", "0.80", "of the peak unit value", "HALTED beyond")
    silent_max_s: Number = number(
        "60", "10", "600", "s", "a stream or account that something held depends on; longer is REDUCING"
    )
    break_max_s: Number = number("60", "10", "600", "s", "an open difference of book and venue; longer is REDUCING")
    order_notional_max_usdt: Number = number(
        "1000000", "10", "50000000", "USDT", "one order at the last hop; larger ones are kept"
    )
    orders_per_minute_max: int = count(300, 10, 6000, "orders", "out of the last hop, clips too; one more halts")
    notional_per_minute_max_usdt: Number = number(
        "10000000", "100", "1000000000", "USDT", "out of the last hop; more halts"
    )
    gross_notional_max_usdt: Number = number(
        "20000000", "1000", "1000000000", "USDT", "open perps and debts of all strategies together; more is REDUCING"
    )
    usdt_proxy: str | None = Field(default=None, pattern=r"^[A-Z0-9]{2,10}$")
    """A coin worth a dollar whose spot price in USDT tells what USDT is worth, such as USDC; null: not watched."""
    usdt_floor: Number = number("0.985", "0.95", "0.995", "USD", "what USDT is worth; below it nothing new is entered")
    fee_asset_min_usdt: Number = number("20", "0", "10000", "USDT", "of a venue's fee_asset; less is an alarm")
    price_collar_bp: Number = number(
        "500", "50", "2000", "bp", "an order's worst price against index and other books; above slip_emergency"
    )


class FreshnessSettings(Section):
    """How old an input may be before it is stale; a stale input forbids new risk (strategies.md 1.4)."""

    quote_s: Number = number("5", "1", "15", "s", "order books and marks: two missed heartbeats of the stream")
    account_s: Number = number("20", "5", "60", "s", "balances and positions")
    grace_s: Number = number(
        "0.5", "0", "5", "s", "process time for a venue's other streams to catch up with its newest"
    )


class ExecutionSettings(Section):
    """How a hedged group is cut into clips, beside clip_usdt of its strategy."""

    depth_share: Number = number("0.10", "0.01", "0.50", "of resting size", "a clip takes no more of what rests ...")
    depth_band_bp: Number = number("20", "5", "100", "bp", "... within this distance of the mid")
    dead_man_s: Number = number("60", "5", "600", "s", "of silence: then the venue cancels what rests, if it can")


class ReconcileSettings(Section):
    """How often the venues' word is compared with the book."""

    interval_s: Number = number(
        "10", "2", "60", "s", "each account; shorter than freshness.account_s, or it goes stale"
    )
    foreign: Literal["adopt", "halt"] = Field("adopt", description="another hand's fills: booked, or HALTED too")


class RecordingSettings(Section):
    """What the market says, written down for replay; it never delays or stops trading."""

    enabled: bool = False
    """True keeps books, marks and settled funding."""
    directory: Path = Field(default=Path("recorded"), strict=False)
    """Inside data_dir unless absolute; `sandbox exchange --data DIR` and `demo --history DIR` play it."""
    levels: int = count(5, 1, 20, "levels", "of each side of a book")
    days_max: int = count(30, 1, 3650, "days", "older ones are deleted")
    size_max_mb: int = count(2000, 10, 1_000_000, "MB", "of all days together; the oldest go first")
    queue_max: int = count(100_000, 1000, 10_000_000, "events", "that wait for the disk; more are dropped and told")


class ShutdownSettings(Section):
    """What SIGTERM does; a second one is faster."""

    drain_s: Number = number("30", "1", "300", "s", "for legs in flight to end; below the service manager's own limit")


class Settings(BaseSettings):
    """Everything that one process is told. Made by `load_settings`; no module below the wiring sees it."""

    model_config = SettingsConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)

    book: BookSettings
    """The book."""
    mode: Mode = Field(default=Mode.PAPER, strict=False)
    """sandbox, paper, testnet or live; real money also needs live_trading_acknowledged and --arm."""
    live_trading_acknowledged: bool = False
    """The second switch of live mode; means nothing in any other mode."""
    data_dir: Path = Field(default=Path("data"), strict=False)
    """Journal, lock and control socket; one daemon per directory."""
    journal: JournalSettings = JournalSettings()
    """The durable record."""
    log: LogSettings = LogSettings()
    """Log lines."""
    control: ControlSettings = ControlSettings()
    """The operator's way in."""
    sandbox: SandboxSettings = SandboxSettings()
    """The sandbox exchange."""
    paper: PaperSettings | None = None
    """The simulated accounts; paper mode needs them."""
    venues: Mapping[Name, VenueSettings] = Field(default_factory=dict)
    """Exchanges and sub-accounts by the name that strategies know them by; each belongs to one strategy."""
    chain: ChainSettings | None = None
    """The wallet on the chain; strategies that lend, stake or borrow need it."""
    transfers: TransferSettings | None = None
    """The ways between exchanges and the wallet."""
    strategies: Mapping[Name, StrategySettings] = Field(min_length=1)
    """Strategy instances by name."""
    signals: Mapping[Name, SignalSettings] = Field(default_factory=dict)
    """Models that speak, by the name of the strategy instance that listens."""
    risk: RiskSettings = RiskSettings()
    """Limits before every plan."""
    guard: GuardSettings = GuardSettings()
    """The backstop."""
    freshness: FreshnessSettings = FreshnessSettings()
    """Ages at which inputs are stale."""
    execution: ExecutionSettings = ExecutionSettings()
    """Clips."""
    reconcile: ReconcileSettings = ReconcileSettings()
    """Comparison with the venues."""
    recording: RecordingSettings = RecordingSettings()
    """The market's inputs, for replay."""
    replay: ReplaySettings | None = None
    """How `basis-daemon replay` plays history; null: by its defaults."""
    shutdown: ShutdownSettings = ShutdownSettings()
    """The way out."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the loader hands over: it layers file, environment and secrets itself, to know who said what."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def journal_file(self) -> Path:
        """The journal's path."""
        return self.data_dir / self.journal.file

    @property
    def control_socket(self) -> Path:
        """The control socket's path."""
        return self.data_dir / self.control.socket

    @property
    def enabled_venues(self) -> dict[str, VenueSettings]:
        """Venues that are connected."""
        return {name: venue for name, venue in self.venues.items() if venue.enabled}

    @property
    def enabled_chain(self) -> ChainSettings | None:
        """The chain, when it is connected."""
        return self.chain if self.chain is not None and self.chain.enabled else None

    @property
    def enabled_transfers(self) -> TransferSettings | None:
        """The ways between exchanges and the wallet, when they are open."""
        return self.transfers if self.transfers is not None and self.transfers.enabled else None

    @property
    def enabled_strategies(self) -> dict[str, StrategySettings]:
        """Strategies that trade."""
        return {name: strategy for name, strategy in self.strategies.items() if strategy.enabled}

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """Every secret, for the redactor."""
        found = [secret for venue in self.venues.values() for secret in (venue.key, venue.secret)]
        if self.chain is not None:
            found += self.chain.secrets
        found += [signal.token for signal in self.signals.values()]
        return tuple(secret for secret in found if secret is not None)
