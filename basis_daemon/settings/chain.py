"""The chain as the daemon is told of it: where it is asked, who signs, what may be paid and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from basis_daemon.settings.section import Name, Number, Section, count, number

ADDRESS = r"^0x[0-9a-fA-F]{40}$"
KEY_LENGTH_MIN, URL_LENGTH_MIN = 64, 8
"""Hex digits of a private key, and letters of an endpoint's URL, at least."""


class ChainSettings(Section):
    """One wallet on one chain. In sandbox mode endpoints and key come from the sandbox's ready file."""

    network: Literal["mainnet", "sepolia", "hoodi"] = "mainnet"
    """Whose addresses are meant; outside the sandbox the endpoints must be of this chain."""
    enabled: bool = True
    """False keeps the section and connects nothing."""
    rpc_file: str | None = None
    """Name of a secret, or an absolute path, that holds the URL of the endpoint that is asked first."""
    rpc_second_file: str | None = None
    """The same for a second one, which is asked too where money depends on the answer, and when the first is down."""
    relay_file: str | None = None
    """The same for a private relay; swaps and groups then go there alone."""
    key_file: str | None = None
    """Name of a systemd credential or Docker secret, or an absolute path, that holds the private key in hex."""
    keystore_file: Path | None = Field(default=None, strict=False)
    """An encrypted keystore (JSON) instead of key_file."""
    password_file: str | None = None
    """What opens the keystore."""
    rpc: SecretStr | None = Field(default=None, min_length=URL_LENGTH_MIN)
    """The endpoint itself; only from the environment, never in the file, for it often holds a key."""
    rpc_second: SecretStr | None = Field(default=None, min_length=URL_LENGTH_MIN)
    """The second endpoint itself; only from the environment."""
    relay: SecretStr | None = Field(default=None, min_length=URL_LENGTH_MIN)
    """The relay itself; only from the environment."""
    key: SecretStr | None = Field(default=None, min_length=KEY_LENGTH_MIN)
    """The private key itself; only from the environment, never in the file."""
    password: SecretStr | None = Field(default=None, min_length=8)
    """The keystore's password; only from the environment."""
    confirmations: int = count(64, 1, 128, "blocks", "until a transaction is final")
    stuck_blocks: int = count(3, 1, 50, "blocks", "without inclusion until a transaction is offered more")
    gas_cap_gwei: Number = number("60", "5", "300", "gwei", "of ordinary work, which waits above it")
    emergency_gas_cap_gwei: Number = number("400", "50", "2000", "gwei", "of defence, which does not wait")
    recipients: Mapping[Name, Annotated[str, Field(pattern=ADDRESS, description="an address on this chain")]] = Field(
        default_factory=dict
    )
    """The only addresses that money may be sent to, by name."""

    @property
    def secrets(self) -> tuple[SecretStr | None, ...]:
        """What must never be shown."""
        return self.rpc, self.rpc_second, self.relay, self.key, self.password
