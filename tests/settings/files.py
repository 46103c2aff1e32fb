"""Configuration files as tests write them: one small valid text, and edits of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from basis_daemon.settings import Fault, LoadedSettings, SettingsError, load_settings

CONFIG = Path(__file__).resolve().parents[2] / "config"
MODES = ("sandbox", "paper", "testnet", "live")

SMALL = """\
book: {name: carry}
mode: paper
venues:
  binance:
    enabled: true
strategies:
  btc:
    kind: btc_basis
    params:
      w: {binance: 1}
      venue_cap: 1.0
risk:
  price_band_bp: 150
paper: {balances: {binance:spot:USDT: 1000}, fees: {spot: {taker: 0.001, maker: 0.001}, perp: {taker: 0.001, \
maker: 0.001}}, tiers: [{notional_max: 1000, maintenance: 0.01, leverage_max: 50}], liquidation_fee: 0.01, latency_s: 0}
"""


def edited(*changes: tuple[str, str]) -> str:
    """The small file with each piece of text replaced; a piece that is not there is a mistake of the test."""
    text = SMALL
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def load(
    folder: Path, text: str = SMALL, environ: Mapping[str, str] | None = None, *, with_secrets: bool = True
) -> LoadedSettings:
    """What the loader makes of this text; Docker's secrets lie in ``folder/docker``."""
    file = folder / "daemon.yaml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file, environ or {}, docker_secrets=folder / "docker", with_secrets=with_secrets)


def faults(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[Fault]:
    """Every fault of this text, with the file's path shortened to its name; none when it loads."""
    try:
        load(folder, text, environ)
    except SettingsError as error:
        return [Fault(f.key, f.found, f.expected, f.remedy, f.where.replace(f"{folder}/", "")) for f in error.faults]
    return []


def fault(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Fault:
    """The one fault of this text."""
    (only,) = faults(folder, text, environ)
    return only
