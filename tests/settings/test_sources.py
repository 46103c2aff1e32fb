"""One file, the environment over it; and for every effective value who said so."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.settings import (
    Row,
    config_hash,
    effective,
    json_schema,
    known_keys,
    make_strategies,
    strategy_parameters,
)
from basis_daemon.settings.families import FAMILIES
from basis_daemon.strategies import STRATEGIES
from basis_daemon.strategies.parameters import BasisParameters
from tests.settings.files import SMALL, edited, fault, load


def rows(folder: Path, text: str = SMALL, environ: dict[str, str] | None = None) -> dict[str, Row]:
    return {row.key: row for row in effective(load(folder, text, environ))}


@pytest.mark.feature("G02")
def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    environ = {
        "BASIS_DAEMON__RISK__PRICE_BAND_BP": "200.5",
        "BASIS_DAEMON__STRATEGIES__BTC__PARAMS__M_STAR": "0.45",
        "BASIS_DAEMON__LOG__LEVEL": "debug",
        "BASIS_DAEMON_OTHER": "not ours",
    }
    found = rows(tmp_path, SMALL, environ)
    assert found["risk.price_band_bp"] == Row("risk.price_band_bp", "200.5", "env BASIS_DAEMON__RISK__PRICE_BAND_BP")
    assert found["log.level"].value == "debug"
    assert found["strategies.btc.params.m_star"].source == "env BASIS_DAEMON__STRATEGIES__BTC__PARAMS__M_STAR"
    assert found["strategies.btc.params.venue_cap"] == Row("strategies.btc.params.venue_cap", "1.0", "file")
    assert found["strategies.btc.params.clip_usdt"] == Row("strategies.btc.params.clip_usdt", "25000", "default")
    assert found["risk.orders_per_minute_max"] == Row("risk.orders_per_minute_max", "60", "default")


@pytest.mark.feature("G02")
def test_a_whole_section_can_come_from_one_variable_and_a_part_of_it_from_another(tmp_path: Path) -> None:
    environ = {
        "BASIS_DAEMON__STRATEGIES__BTC__PARAMS": "{w: {binance: 0.5}, venue_cap: 0.9}",
        "BASIS_DAEMON__STRATEGIES__BTC__PARAMS__W__BINANCE": "0.75",
    }
    loaded = load(tmp_path, SMALL, environ)
    parameters = strategy_parameters(loaded.settings, "btc")
    assert isinstance(parameters, BasisParameters)
    assert [(venue.name, venue.weight) for venue in parameters.venues] == [("binance", Decimal("0.75"))]
    found = {row.key: row for row in effective(loaded)}
    assert found["strategies.btc.params.venue_cap"].source == "env BASIS_DAEMON__STRATEGIES__BTC__PARAMS"
    assert found["strategies.btc.params.w.binance"].source == "env BASIS_DAEMON__STRATEGIES__BTC__PARAMS__W__BINANCE"


@pytest.mark.feature("G01")
@pytest.mark.parametrize(
    ("variable", "value", "key", "remedy"),
    [
        ("BASIS_DAEMON__RISK__PRICE_BANDS_BP", "9", "risk.price_bands_bp", "did you mean price_band_bp?"),
        ("BASIS_DAEMON__RIKS__PRICE_BAND_BP", "9", "riks", "did you mean risk?"),
        ("BASIS_DAEMON__MODE__LIVE", "true", "mode.live",
         "unset the variable, or give the section keys of its own"),
        ("BASIS_DAEMON__RISK____X", "1", "risk..x", "unset the variable, or give the section keys of its own"),
        ("BASIS_DAEMON__RISK__PRICE_BAND_BP", "wide", "risk.price_band_bp", "remove the quotes"),
    ],
)  # fmt: skip
def test_a_variable_that_means_nothing_is_refused_by_name(
    tmp_path: Path, variable: str, value: str, key: str, remedy: str
) -> None:
    told = fault(tmp_path, SMALL, {variable: value})
    assert (told.key, told.remedy) == (key, remedy)


@pytest.mark.feature("G02")
@pytest.mark.feature("G04", part="redaction")
@pytest.mark.fault("F60")
def test_secrets_are_masked_in_the_effective_configuration(tmp_path: Path) -> None:
    environ = {
        "BASIS_DAEMON__VENUES__BINANCE__KEY": "canary-key-1",
        "BASIS_DAEMON__VENUES__BINANCE__SECRET": "12345678",
    }
    loaded = load(tmp_path, SMALL, environ)
    found = {row.key: row for row in effective(loaded)}
    assert found["venues.binance.key"] == Row(
        "venues.binance.key", "[redacted]", "env BASIS_DAEMON__VENUES__BINANCE__KEY"
    )
    assert found["venues.binance.secret"].value == "[redacted]"
    assert [secret.get_secret_value() for secret in loaded.settings.secrets] == ["canary-key-1", "12345678"]
    for text in (repr(loaded), str(found)):
        assert "canary-key-1" not in text
        assert "12345678" not in text


@pytest.mark.feature("G02")
def test_parameters_are_built_over_the_accounts_of_the_venues_that_are_weighed(tmp_path: Path) -> None:
    text = edited(
        ("enabled: true", "accounts: {spot: one, derivatives: two}\n  spare:\n    enabled: false"),
        ("w: {binance: 1}", "w: {binance: 0.6, spare: 0}"),
        ("binance:spot:USDT", "one:spot:USDT"),
    )
    parameters = strategy_parameters(load(tmp_path, text).settings, "btc")
    assert isinstance(parameters, BasisParameters)
    assert parameters.asset == "BTC"
    assert [(v.name, v.spot_account, v.perp_account, v.weight) for v in parameters.venues] == [
        ("binance", "one", "two", Decimal("0.6"))
    ]


def test_every_strategy_of_the_file_is_made_under_its_own_name(tmp_path: Path) -> None:
    (strategy,) = make_strategies(load(tmp_path).settings)
    assert (type(strategy), strategy.name) == (STRATEGIES["btc_basis"], "btc")
    assert FAMILIES.keys() == STRATEGIES.keys()


# -------------------------------------------------------------------------------------------------------- the digest
@pytest.mark.feature("G03", part="digest")
@pytest.mark.parametrize(
    ("text", "environ"),
    [
        (SMALL + "# a comment\n", {}),
        (edited(("price_band_bp: 150", "price_band_bp: 150.00")), {}),
        (edited(("price_band_bp: 150", "orders_per_minute_max: 60")), {}),
        (edited(("mode: paper\n", "")) + "mode: paper\n", {}),
        (edited(("price_band_bp: 150", "price_band_bp: 7")), {"BASIS_DAEMON__RISK__PRICE_BAND_BP": "150"}),
        (SMALL, {f"BASIS_DAEMON__VENUES__BINANCE__{half}": "other-one" for half in ("KEY", "SECRET")}),
        (edited(("venue_cap: 1.0", "venue_cap: 1\n      clip_usdt: 25_000")), {}),
    ],
)
def test_the_digest_stays_when_nothing_but_notation_source_or_secret_changes(
    tmp_path: Path, text: str, environ: dict[str, str]
) -> None:
    assert config_hash(load(tmp_path, text, environ).settings) == config_hash(load(tmp_path).settings)


@pytest.mark.feature("G03", part="digest")
@pytest.mark.parametrize(
    "change",
    [
        ("price_band_bp: 150", "price_band_bp: 151"),
        ("mode: paper", "mode: sandbox"),
        ("venue_cap: 1.0", "venue_cap: 0.9"),
        ("name: carry", "name: other"),
        ("enabled: true", "leverage: 6"),
    ],
)
def test_the_digest_changes_with_every_value(tmp_path: Path, change: tuple[str, str]) -> None:
    assert config_hash(load(tmp_path, edited(change)).settings) != config_hash(load(tmp_path).settings)


# -------------------------------------------------------------------------------------------------------- the schema
@pytest.mark.feature("G01")
def test_the_schema_holds_ranges_and_units_and_no_place_for_a_secret() -> None:
    schema = json_schema()
    venue = schema["$defs"]["VenueSettings"]["properties"]
    params = schema["$defs"]["StrategySettings"]["properties"]["params"]["properties"]
    assert {"key", "secret"}.isdisjoint(venue)
    assert schema["additionalProperties"] is False
    assert params["clip_usdt"] | {"default": 0} == {
        "type": "number", "default": 0, "minimum": 1000, "maximum": 250000, "unit": "USDT",
    }  # fmt: skip
    assert params["w"]["additionalProperties"]["maximum"] == 1


@pytest.mark.feature("G01")
def test_every_key_that_takes_a_value_is_explained() -> None:
    known = {row.key: row for row in known_keys()}
    assert known["risk.price_band_bp"].takes == "a number from 5 to 1000 bp"
    assert known["strategies.<name>.params.m_star"].default == "0.40"
    assert known["venues.<name>.accounts.spot"].default == "binance"
    assert known["data_dir"].takes == "a path"
    unexplained = [key for key, row in known.items() if not row.why and ".params." not in key]
    assert unexplained == []
