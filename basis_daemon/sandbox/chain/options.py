"""What a sandbox chain is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

USER_FUNDS = {"ETH": Decimal(1000), "WETH": Decimal(100), "USDT": Decimal(1_000_000)}


@dataclass(frozen=True, slots=True)
class ChainOptions:
    """A sandbox chain. Port 0 takes a free port; the ready file tells which.

    Without ``block_time_s`` every transaction is mined at once in a block of its own. ``seed`` makes the user's key,
    who begins with ``funds``: whole tokens by symbol.
    """

    directory: Path
    port: int = 0
    control_port: int = 0
    seed: int = 7
    block_time_s: float | None = None
    slots_in_an_epoch: int = 32
    funds: Mapping[str, Decimal] = field(default_factory=lambda: USER_FUNDS)

    @property
    def ready_file(self) -> Path:
        return self.directory / "ready.json"
