"""Who speaks to a strategy that listens to a model: recorded words, an HTTP service, or an ONNX artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from basis_daemon.settings.section import Number, Section, number

TOKEN_LENGTH_MIN = 8


class SignalSettings(Section):
    """The voice of one strategy instance, by whose name it stands."""

    source: Literal["file", "http", "onnx"] = "file"
    """Recorded words, one JSON object a line; a service that is asked; or a model computed here."""
    file: Path | None = Field(default=None, strict=False)
    """The recorded words, or the ONNX artefact."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Of the artefact, in hex: another file is refused at start."""
    model_version: str | None = Field(default=None, min_length=1, max_length=80)
    """What the artefact must call itself; among the strategy's models."""
    url: str | None = Field(default=None, min_length=8, max_length=2000)
    """Where the service answers; https, or http on loopback."""
    token_file: str | None = None
    """Name of a secret, or an absolute path, that holds what the service takes as a bearer's token; null: none."""
    token: SecretStr | None = Field(default=None, min_length=TOKEN_LENGTH_MIN)
    """The token itself; only from the environment, never in the file."""
    timeout_s: Number = number("2", "0.1", "30", "s", "for one answer of the service")
    ttl_s: Number = number("300", "1", "3600", "s", "of market time after its bar has closed; an older word is stale")
