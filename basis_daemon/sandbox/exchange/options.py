"""What one sandbox exchange is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from basis_daemon.sandbox.exchange.accounts import AccountSpec, FeeSchedule
from basis_daemon.sandbox.exchange.book import DepthProfile
from basis_daemon.sandbox.exchange.clock import MODES, Mode
from basis_daemon.sandbox.exchange.generated import generated
from basis_daemon.sandbox.exchange.path import PricePath
from basis_daemon.sandbox.exchange.recorded import RecordedPath, load_window
from basis_daemon.sandbox.exchange.ticks import TickPath, is_recording

START = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """A sandbox exchange. Port 0 takes a free port; the ready file tells which.

    `directory` holds certificates and the ready file. With `data` the market is recorded, as hourly candles
    (`window` picks a subdirectory and its dates) or by a daemon, otherwise it is generated for `days` days from `start`
    with `seed`. With `chain`, the ready file of a sandbox chain, coin comes and goes over that chain; a deposit counts
    after `confirmations` of its blocks.
    """

    directory: Path
    port: int = 0
    control_port: int = 0
    mode: Mode = "auto"
    step_s: int = 60
    speed: float = 60.0
    seed: int = 7
    days: int = 10
    start: datetime = START
    data: Path | None = None
    window: str | None = None
    accounts: tuple[AccountSpec, ...] = (AccountSpec(),)
    depth: DepthProfile = field(default_factory=DepthProfile)
    fees: FeeSchedule = field(default_factory=FeeSchedule)
    spot_weight_1m: int = 6000
    usdm_weight_1m: int = 2400
    chain: Path | None = None
    confirmations: int = 3

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}, found {self.mode!r}")
        if self.start.tzinfo is None:
            raise ValueError(f"start needs a time zone (UTC), found {self.start.isoformat()}")
        if self.window is not None and self.data is None:
            raise ValueError(f"window {self.window!r} names a directory under `data`, and `data` is not set")
        if self.chain is not None and self.data is not None:
            raise ValueError("a recorded market lies in the past, and no chain goes back there: data or chain")
        if self.speed <= 0:
            raise ValueError(f"speed is a positive multiple of real time, found {self.speed}")

    @property
    def ready_file(self) -> Path:
        return self.directory / "ready.json"

    def path(self) -> PricePath:
        """The market's script; raises `ValueError` naming file, line and column when recorded data is wrong."""
        if self.data is None:
            return generated(int(self.start.timestamp() * 1000), self.days, self.seed)
        if self.window is None:
            return TickPath(self.data) if is_recording(self.data) else RecordedPath(self.data)
        return load_window(self.data, self.window)
