"""The four files under config/ are complete, alike, and safe as they stand."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.settings import (
    LiveTradingRefusedError,
    Mode,
    SettingsError,
    effective,
    load_settings,
    may_arm,
    strategy_parameters,
)
from basis_daemon.strategies.parameters import BasisParameters
from tests.settings.files import CONFIG, MODES, edited, load


@pytest.mark.feature("G01")
@pytest.mark.parametrize("mode", MODES)
def test_each_file_is_valid_but_for_secret_files_that_are_not_there(mode: str, tmp_path: Path) -> None:
    file = CONFIG / f"{mode}.yaml"
    assert load_settings(file, {}, with_secrets=False).settings.mode == mode
    if not Mode(mode).needs_keys:
        assert load_settings(file, {}, docker_secrets=tmp_path).settings.secrets == ()
        return
    with pytest.raises(SettingsError) as caught:
        load_settings(file, {}, docker_secrets=tmp_path)
    assert [told.key for told in caught.value.faults] == ["venues.binance.key_file", "venues.binance.secret_file"]


@pytest.mark.feature("G02")
@pytest.mark.parametrize("mode", MODES)
def test_each_file_is_complete_so_that_nothing_is_left_to_defaults(mode: str) -> None:
    rows = effective(load_settings(CONFIG / f"{mode}.yaml", {}, with_secrets=False))
    defaulted = {row.key for row in rows if row.source == "default" and row.value != "-"}
    assert defaulted == set()


@pytest.mark.parametrize("mode", MODES)
def test_with_one_exchange_the_whole_book_stands_there(mode: str) -> None:
    settings = load_settings(CONFIG / f"{mode}.yaml", {}, with_secrets=False).settings
    parameters = strategy_parameters(settings, "btc_basis")
    assert isinstance(parameters, BasisParameters)
    assert [(venue.name, venue.weight) for venue in parameters.venues] == [("binance", Decimal(1))]
    assert parameters.initial_weights == {"binance": Decimal(1)}


def test_each_mode_keeps_its_own_book_and_directory() -> None:
    loaded = [load_settings(CONFIG / f"{mode}.yaml", {}, with_secrets=False).settings for mode in MODES]
    assert len({settings.book.name for settings in loaded}) == len({s.journal_file for s in loaded}) == len(MODES)


# --------------------------------------------------------------------------------------------------- the second switch
@pytest.mark.feature("Y01")
def test_no_money_is_real_unless_the_file_says_so(tmp_path: Path) -> None:
    assert load(tmp_path, edited(("mode: paper\n", ""))).settings.mode is Mode.PAPER


@pytest.mark.feature("Y01")
@pytest.mark.parametrize("arm", [False, True])
@pytest.mark.parametrize("mode", ["sandbox", "paper"])
def test_where_no_money_is_real_the_daemon_may_arm(tmp_path: Path, mode: str, arm: bool) -> None:
    assert may_arm(load(tmp_path, edited(("mode: paper", f"mode: {mode}"))).settings, arm=arm)


@pytest.mark.feature("Y01")
def test_real_money_needs_every_switch() -> None:
    file = CONFIG / "live.yaml"
    shipped = load_settings(file, {}, with_secrets=False).settings
    environ = {"BASIS_DAEMON__LIVE_TRADING_ACKNOWLEDGED": "true"}
    acknowledged = load_settings(file, environ, with_secrets=False).settings
    assert not may_arm(shipped, arm=False)
    assert not may_arm(acknowledged, arm=False)
    assert may_arm(acknowledged, arm=True)
    with pytest.raises(LiveTradingRefusedError, match="live_trading_acknowledged: found false; expected true"):
        may_arm(shipped, arm=True)
