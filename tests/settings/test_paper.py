"""What paper mode must be told, and that it says so by name."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.settings import effective
from tests.settings.files import CONFIG, edited, fault, faults, load

pytestmark = pytest.mark.feature("G01")

SHIPPED = (CONFIG / "paper.yaml").read_text(encoding="utf-8")
TIER = "{notional_max: 1000, maintenance: 0.01, leverage_max: 50}"


def test_the_shipped_file_starts_with_money_and_states_what_a_venue_would_charge(tmp_path: Path) -> None:
    settings = load(tmp_path, SHIPPED).settings
    assert settings.paper is not None
    assert settings.paper.fees is not None
    assert settings.paper.balances == {"binance:spot:USDT": 100_000}
    assert settings.paper.fees.perp.taker == Decimal("0.0005")
    assert [tier.leverage_max for tier in settings.paper.tiers][:2] == [125, 100]
    assert (settings.sandbox.port, settings.sandbox.ready_file) == (None, None)


def test_each_row_of_a_table_is_a_key_with_its_line(tmp_path: Path) -> None:
    rows = {row.key: (row.value, row.source) for row in effective(load(tmp_path, SHIPPED))}
    assert rows["paper.tiers.1.leverage_max"] == ("100", "file")
    assert rows["paper.balances.binance:spot:USDT"] == ("100000", "file")
    told = fault(tmp_path, SHIPPED.replace("leverage_max: 75", "leverage_max: 500"))
    line = next(n for n, text in enumerate(SHIPPED.splitlines(), 1) if "leverage_max: 75" in text)
    assert (told.key, told.where) == ("paper.tiers.2.leverage_max", f"daemon.yaml:{line}")
    assert told.expected == "a number from 1 to 200 x"


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ("paper: {", "risk_free: {", "risk_free", "one of book"),
        ("binance:spot:USDT", "kraken:spot:USDT", "paper.balances.kraken:spot:USDT", "a balance such as binance:spot"),
        ("binance:spot:USDT", "binanceusdm:perp:BTCUSDT", "paper.balances.binanceusdm:perp:BTCUSDT", "a balance such"),
        ("binance:spot:USDT", "binance:cash", "paper.balances.binance:cash", "a balance such as binance:spot:USDT"),
        ("USDT: 1000", "USDT: -1", "paper.balances.binance:spot:USDT", "0 or more"),
        ("{binance:spot:USDT: 1000}", "{}", "paper.balances", "a section"),
        (", liquidation_fee: 0.01", "", "paper.liquidation_fee", "a number from 0 to 0.1 of the notional"),
        (f", tiers: [{TIER}]", "", "paper.tiers", "a table of margin tiers, because venue binance has no key"),
        (TIER, f"{TIER}, {TIER}", "paper.tiers.1.notional_max", "more than 1000, where the tier before it ends"),
        (TIER, f"{TIER}, {TIER.replace('1000', '2000').replace('50', '60')}", "paper.tiers.1",
         "maintenance 0.01 or more, leverage_max 50 or less"),
        ("perp: {taker: 0.001, ", "perp: {", "paper.fees.perp.taker", "a number from -0.01 to 0.05 of the notional"),
        ("mode: paper", "mode: paper\nsandbox: {port: 5}", "sandbox.ca_file", "a value, because sandbox.port is given"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_named(tmp_path: Path, old: str, new: str, key: str, expected: str) -> None:
    told = faults(tmp_path, edited((old, new)))
    assert [key] == [one.key for one in told]
    assert told[0].expected.startswith(expected)


def test_without_its_section_paper_does_not_start(tmp_path: Path) -> None:
    small = edited().split("paper: {")[0]
    told = fault(tmp_path, small)
    assert (told.key, told.remedy) == ("paper", "copy it from config/paper.yaml")
    assert load(tmp_path, small.replace("mode: paper", "mode: sandbox")).settings.paper is None


def test_a_venue_with_a_key_is_asked_for_fees_and_tiers(tmp_path: Path) -> None:
    environ = {f"BASIS_DAEMON__VENUES__BINANCE__{half}": "12345678" for half in ("KEY", "SECRET")}
    start, _, end = edited().partition(", fees:")
    text = start + end[end.index(", liquidation_fee") :]
    assert load(tmp_path, text, environ).settings.paper is not None
    assert [told.key for told in faults(tmp_path, text)] == ["paper.fees", "paper.tiers"]


@pytest.mark.parametrize(("half", "missing"), [("KEY", "secret"), ("SECRET", "key")])
def test_half_a_key_is_refused(tmp_path: Path, half: str, missing: str) -> None:
    told = fault(tmp_path, edited(), {f"BASIS_DAEMON__VENUES__BINANCE__{half}": "12345678"})
    assert (told.key, told.expected) == (f"venues.binance.{missing}", "both halves of a key, or neither")
