"""YAML, environment and secret files to frozen settings. They end at the wiring: nothing below sees a config object."""

from basis_daemon.domain.settings_faults import Fault, LiveTradingRefusedError, SettingsError
from basis_daemon.settings.families import (
    lives_on_chain,
    make_strategies,
    strategy_parameters,
    trades_at_exchanges,
    weighed,
)
from basis_daemon.settings.kept import kept_text, read_kept
from basis_daemon.settings.load import LoadedSettings, load_settings, may_arm
from basis_daemon.settings.model import Mode, Settings, VenueSettings
from basis_daemon.settings.report import KnownKey, Row, config_hash, effective, json_schema, known_keys

__all__ = [
    "Fault",
    "KnownKey",
    "LiveTradingRefusedError",
    "LoadedSettings",
    "Mode",
    "Row",
    "Settings",
    "SettingsError",
    "VenueSettings",
    "config_hash",
    "effective",
    "json_schema",
    "kept_text",
    "known_keys",
    "lives_on_chain",
    "load_settings",
    "make_strategies",
    "may_arm",
    "read_kept",
    "strategy_parameters",
    "trades_at_exchanges",
    "weighed",
]
