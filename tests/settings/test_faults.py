"""A configuration is valid, or every fault is named with the key, what was found, what is expected and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from basis_daemon.demo.configuration import SANDBOX_CHAIN_CONFIG
from basis_daemon.domain.errors import ConfigError
from basis_daemon.settings import SettingsError, load_settings
from basis_daemon.strategies import STRATEGIES
from tests.settings.files import SMALL, edited, fault, faults, load

pytestmark = pytest.mark.feature("G01")


def test_the_small_file_is_valid_and_frozen(tmp_path: Path) -> None:
    settings = load(tmp_path).settings
    assert settings.book.name == "carry"
    with pytest.raises(ValueError, match="frozen"):
        settings.risk.orders_per_minute_max = 1  # type: ignore[misc]  # the assignment under test


@pytest.mark.parametrize(
    ("old", "new", "key", "remedy"),
    [
        ("risk:", "riks:", "riks", "did you mean risk?"),
        ("price_band_bp", "price_bant_bp", "risk.price_bant_bp", "did you mean price_band_bp?"),
        ("enabled", "enabld", "venues.binance.enabld", "did you mean enabled?"),
        ("venue_cap", "venue_kap", "strategies.btc.params.venue_kap", "did you mean venue_cap?"),
        ("w: {binance", "w: {binanse", "strategies.btc.params.w.binanse", "did you mean binance?"),
        ("  price_band_bp", "  drain_s", "risk.drain_s", "did you mean shutdown.drain_s?"),
        ("  price_band_bp", "  colour", "risk.colour", "remove it; `basis-daemon config schema` lists every key"),
    ],
)
@pytest.mark.fault("F58")
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    tmp_path: Path, old: str, new: str, key: str, remedy: str
) -> None:
    found = fault(tmp_path, edited((old, new)))
    assert (found.key, found.found, found.remedy) == (key, "a key that does not exist", remedy)


@pytest.mark.parametrize(
    ("old", "new", "key", "found", "expected"),
    [
        ("price_band_bp: 150", "price_band_bp: 1001", "risk.price_band_bp", "1001", "a number from 5 to 1000 bp"),
        ("price_band_bp: 150", 'price_band_bp: "150"', "risk.price_band_bp", "'150'", "a number from 5 to 1000 bp"),
        ("price_band_bp: 150", "price_band_bp: yes", "risk.price_band_bp", "'yes'", "a number from 5 to 1000 bp"),
        ("price_band_bp: 150", "price_band_bp: true", "risk.price_band_bp", "true", "a number from 5 to 1000 bp"),
        ("price_band_bp: 150", "price_band_bp:", "risk.price_band_bp", "nothing", "a number from 5 to 1000 bp"),
        ("price_band_bp: 150", "orders_per_minute_max: 2.5", "risk.orders_per_minute_max", "2.5",
         "a whole number from 1 to 600 orders"),
        ("mode: paper", "mode: dry", "mode", "'dry'", "one of sandbox, paper, testnet, live"),
        ("mode: paper", "live_trading_acknowledged: yes", "live_trading_acknowledged", "'yes'", "true or false"),
        ("enabled: true", "exchange: kraken", "venues.binance.exchange", "'kraken'",
         "one of binance, binancecoinm"),
        ("enabled: true", "leverage: 21", "venues.binance.leverage", "21", "a whole number from 2 to 20 x"),
        ("kind: btc_basis", "kind: doge_basis", "strategies.btc.kind", "'doge_basis'",
         f"one of {', '.join(sorted(STRATEGIES))}"),
        ("venue_cap: 1.0", "clip_usdt: 250001", "strategies.btc.params.clip_usdt", "250001", "1000 to 250000 USDT"),
        ("venue_cap: 1.0", "slip_cex_bp: 0.001", "strategies.btc.params.slip_cex_bp", "0.001", "1 to 50 bp"),
        ("venue_cap: 1.0", "k_confirm: 2.5", "strategies.btc.params.k_confirm", "2.5",
         "a whole number from 1 to 9 settlements of 8 h"),
        ("venue_cap: 1.0", "m_star: lots", "strategies.btc.params.m_star", "'lots'",
         "a number from 0.25 to 1 of the notional"),
        ("w: {binance: 1}", "w: {binance: 2}", "strategies.btc.params.w.binance", "2", "a number from 0 to 1"),
        ("w: {binance: 1}", "w: {binance: 0}", "strategies.btc.params.w", "no weight above 0", "at least one"),
        ("w: {binance: 1}", "m_star: 0.4", "strategies.btc.params.w", "nothing", "a weight for every enabled venue"),
        ("enabled: true", "enabled: false", "strategies.btc.params.w.binance", "1 for a venue that is not enabled",
         "0"),
        ("book: {name: carry}", "book: {}", "book.name", "nothing", "a lower_case name"),
        ("book: {name: carry}", "book: carry", "book", "[redacted]", "a section"),
        ("book: {name: carry}", "book: [carry]", "book", "a list", "a section"),
    ],
)  # fmt: skip
@pytest.mark.fault("F58")
def test_a_value_out_of_its_range_or_kind_is_refused_with_range_and_unit(
    tmp_path: Path, old: str, new: str, key: str, found: str, expected: str
) -> None:
    told = fault(tmp_path, edited((old, new)))
    assert (told.key, told.found, told.expected) == (key, found, expected)
    assert told.remedy


@pytest.mark.parametrize(
    ("new", "key", "expected"),
    [
        ("venue_cap: 1.0\n      slip_emergency_bp: 200", "risk.price_band_bp",
         "200 bp or more, the slip_emergency_bp of strategies.btc.params: else the gate refuses every defence"),
        ("venue_cap: 1.0\n      clip_usdt: 60000\nrisk:\n  order_notional_max_usdt: 50000",
         "risk.order_notional_max_usdt",
         "60000 USDT or more, the clip_usdt of strategies.btc.params: else the gate refuses every clip"),
        ("venue_cap: 1.0\n      m_star: 0.25\n      z_open: 1.0001", "venues.binance.leverage",
         "4 or more, because m_star of strategies.btc.params is 0.25"),
        ("venue_cap: 1.0\nreconcile: {interval_s: 20}", "reconcile.interval_s",
         "less than 20 s, the freshness.account_s: else every account goes stale between two looks"),
        ("venue_cap: 1.0\nguard: {z_reducing: 0.25}", "guard.z_reducing",
         "less than 0.25, the z_emergency of strategies.btc.params"),
        ("venue_cap: 1.0\nguard: {z_halted: 0.20}", "guard.z_halted", "less than 0.2, the guard.z_reducing"),
        ("venue_cap: 1.0\nguard: {drawdown_reducing: 0.05}", "guard.drawdown_reducing",
         "more than 0.05, the max_drawdown of strategies.btc.params"),
        ("venue_cap: 1.0\nguard: {drawdown_halted: 0.08}", "guard.drawdown_halted",
         "more than 0.08, the guard.drawdown_reducing"),
        ("venue_cap: 1.0\nguard: {silent_max_s: 20}", "guard.silent_max_s", "more than 20, the freshness.account_s"),
        ("venue_cap: 1.0\nguard: {price_collar_bp: 100}", "guard.price_collar_bp",
         "more than 100 bp, the slip_emergency_bp of strategies.btc.params: else the last hop keeps every defence"),
        ("venue_cap: 1.0\nguard: {order_notional_max_usdt: 1000}", "guard.order_notional_max_usdt",
         "250000 USDT or more, the risk.order_notional_max_usdt: else the last hop keeps approved plans"),
    ],
)  # fmt: skip
@pytest.mark.fault("F58")
def test_values_that_cannot_live_together_are_refused(tmp_path: Path, new: str, key: str, expected: str) -> None:
    edits = [("venue_cap: 1.0", new), ("enabled: true", "leverage: 3")]
    edits += [("\nrisk:\n  price_band_bp: 150", "")] if "risk:" in new else []
    told = fault(tmp_path, edited(*reversed(edits)))
    assert (told.key, told.expected) == (key, expected)


def test_a_guard_that_stops_a_book_on_the_chain_before_its_own_stop_is_refused(tmp_path: Path) -> None:
    """Its exit is two plans, out of debt and out of the token: the guard would forbid the second."""
    text = SANDBOX_CHAIN_CONFIG.read_text(encoding="utf-8").replace(
        "drawdown_reducing: 0.12", "drawdown_reducing: 0.05"
    )
    told = fault(tmp_path, text)
    assert (told.key, told.expected) == (
        "guard.drawdown_reducing",
        "more than 0.05, the max_drawdown of strategies.pure_lending.params",
    )


def test_thresholds_of_a_strategy_that_are_out_of_order_are_refused(tmp_path: Path) -> None:
    told = fault(tmp_path, edited(("venue_cap: 1.0", "z_topup: 0.5")))
    assert told.key == "strategies.btc.params"
    assert "z_emergency < z_reduce < z_topup < z_open is broken: 0.25, 0.5, 0.5, 1.5" in told.expected


def test_every_fault_is_listed_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = edited(
        ("mode: paper", "mode: dry"),
        ("enabled: true", "leverage: 99\n    enabld: true"),
        ("venue_cap: 1.0", "venue_cap: 7\n      clip: 1"),
        ("price_band_bp: 150", "price_band_bp: 150\nlog: {level: loud}"),
    )
    found = [(told.key, told.where) for told in faults(tmp_path, text, {"BASIS_DAEMON__SHUTDOWN__DRAIN_S": "0"})]
    assert found == [
        ("mode", "daemon.yaml:2"),
        ("venues.binance.leverage", "daemon.yaml:5"),
        ("venues.binance.enabld", "daemon.yaml:6"),
        ("strategies.btc.params.venue_cap", "daemon.yaml:12"),
        ("strategies.btc.params.clip", "daemon.yaml:13"),
        ("log.level", "daemon.yaml:16"),
        ("shutdown.drain_s", "BASIS_DAEMON__SHUTDOWN__DRAIN_S"),
    ]


def test_the_message_of_the_error_tells_everything(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, edited(("price_band_bp: 150", "price_band_bp: 2000")))
    assert str(caught.value) == (
        f"risk.price_band_bp ({tmp_path}/daemon.yaml:13): found 2000; expected a number from 5 to 1000 bp; "
        "the unit is bp: choose a value within the range"
    )


# ---------------------------------------------------------------------------------------------------------- the text
@pytest.mark.parametrize(
    ("text", "found", "where"),
    [
        ("book: [", "text that is not YAML: expected the node content, but found '<stream end>'", "daemon.yaml:1"),
        ("- a\n- b\n", "no mapping", "daemon.yaml"),
        ("", "no mapping", "daemon.yaml"),
        ("a: &x {b: 1}\nc: *x\n", "the alias *x", "daemon.yaml"),
        (SMALL + "mode: live\n", "the key a second time", "daemon.yaml:15"),
        (SMALL + "Log: {}\n", "the name 'Log'", "daemon.yaml:15"),
        (SMALL + "_env_file: x\n", "the name '_env_file'", "daemon.yaml:15"),
        (SMALL + "? [a]\n: 1\n", "the name '?'", "daemon.yaml:15"),
        (SMALL + "data_dir: !!python/name:os.system x\n", "the tag tag:yaml.org,2002:python/name:os.system",
         "daemon.yaml:15"),
    ],
)  # fmt: skip
@pytest.mark.fault("F58")
def test_text_that_could_be_misread_is_refused_with_its_line(tmp_path: Path, text: str, found: str, where: str) -> None:
    told = faults(tmp_path, text)[0]
    assert (told.found, told.where) == (found, where)


def test_a_file_that_is_not_there_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml, which cannot be read: FileNotFoundError.*--config"):
        load_settings(tmp_path / "nowhere.yaml", {})


@pytest.mark.parametrize(("written", "read"), [("26000.10", "26000.10"), ("30_000", "30000"), ("1e5", "1E+5")])
def test_numbers_are_read_exactly_as_written(tmp_path: Path, written: str, read: str) -> None:
    settings = load(tmp_path, edited(("price_band_bp: 150", f"order_notional_max_usdt: {written}"))).settings
    assert str(settings.risk.order_notional_max_usdt) == read
