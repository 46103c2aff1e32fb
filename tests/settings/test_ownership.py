"""An account belongs to exactly one strategy, and what a strategy may use of it is its budget."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.settings import make_strategies
from basis_daemon.settings.model import Settings
from tests.settings.files import edited, fault, faults, load

TWO_VENUES = (
    "    enabled: true\n",
    "    enabled: true\n  second:\n    accounts: {spot: binance_2, derivatives: binanceusdm_2}\n",
)
TWO_STRATEGIES = (
    "      venue_cap: 1.0\n",
    "      venue_cap: 1.0\n  eth:\n    kind: eth_basis\n    params: {w: {second: 1}, venue_cap: 1.0}\n",
)


def two(*changes: tuple[str, str]) -> str:
    """Two strategies, each on a venue of its own."""
    text = edited(TWO_VENUES, TWO_STRATEGIES)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def settings_of(folder: Path, text: str) -> Settings:
    return load(folder, text).settings


@pytest.mark.feature("S10")
def test_two_strategies_trade_two_sub_accounts_of_one_exchange(tmp_path: Path) -> None:
    books = make_strategies(settings_of(tmp_path, two()))
    traded = [(book.name, dict(book.charter.traded_at)) for book in books]
    assert traded == [("btc", {"binance": frozenset({"BTC"})}), ("eth", {"second": frozenset({"ETH"})})]
    accounts = [{key.venue for key in book.declared_keys} for book in books]
    assert accounts == [{"binance", "binanceusdm"}, {"binance_2", "binanceusdm_2"}]


@pytest.mark.feature("S10")
def test_a_venue_that_two_strategies_weigh_is_refused_with_both_names(tmp_path: Path) -> None:
    told = fault(tmp_path, two(("w: {second: 1}", "w: {binance: 0.5, second: 0.5}")))
    assert told.key == "strategies.eth.params.w.binance"
    assert "strategies.btc" in told.found
    assert "sub-account" in told.expected


@pytest.mark.feature("S10")
@pytest.mark.parametrize(
    ("accounts", "keys"),
    [
        ("{spot: binance, derivatives: other}", ["venues.second.accounts.spot"]),
        ("{spot: other, derivatives: binanceusdm}", ["venues.second.accounts.derivatives"]),
        ("{}", ["venues.second.accounts.spot", "venues.second.accounts.derivatives"]),
    ],
)
def test_an_account_under_two_venues_is_refused_with_both(accounts: str, keys: list[str], tmp_path: Path) -> None:
    found = faults(tmp_path, two(("{spot: binance_2, derivatives: binanceusdm_2}", accounts)))
    assert {told.key for told in found} == set(keys)
    assert all("venues.binance.accounts" in told.found for told in found)


def test_one_key_for_two_venues_is_one_account_under_two_names(tmp_path: Path) -> None:
    keys = f"key_file: {tmp_path}/key, secret_file: {tmp_path}/secret"
    for name in ("key", "secret"):
        (tmp_path / name).write_text("12345678", encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    text = two(
        ("    enabled: true\n", f"    enabled: true\n    {keys.replace(', ', chr(10) + '    ')}\n"),
        ("  second:\n", f"  second:\n    {keys.replace(', ', chr(10) + '    ')}\n"),
    )
    told = [one for one in faults(tmp_path, text) if one.key.endswith("key_file")]
    assert [one.key for one in told] == ["venues.second.key_file"]


def test_a_venue_that_nobody_weighs_is_not_connected_in_silence(tmp_path: Path) -> None:
    told = fault(tmp_path, edited(TWO_VENUES))
    assert (told.key, told.found) == ("venues.second.enabled", "true")


@pytest.mark.feature("S10")
def test_a_strategy_that_rests_keeps_its_section_and_trades_nothing(tmp_path: Path) -> None:
    text = two(("    kind: eth_basis\n", "    kind: eth_basis\n    enabled: false\n"))
    assert fault(tmp_path, text).key == "venues.second.enabled"
    resting = text.replace("  second:\n", "  second:\n    enabled: false\n")
    assert [book.name for book in make_strategies(settings_of(tmp_path, resting))] == ["btc"]


@pytest.mark.feature("S10")
def test_a_budget_is_an_amount_or_everything(tmp_path: Path) -> None:
    written = two(("    kind: eth_basis\n", "    kind: eth_basis\n    budget_usdt: 25000\n"))
    strategies = settings_of(tmp_path, written).strategies
    assert (strategies["btc"].budget_usdt, strategies["eth"].budget_usdt) == (None, Decimal(25_000))
    told = fault(tmp_path, written.replace("25000", "0"))
    assert (told.key, told.found) == ("strategies.eth.budget_usdt", "0")
