"""Caps in the file: complete examples that work, and names that nobody bears refused with the nearest one."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.domain.caps import Dimension
from basis_daemon.settings import load_settings
from basis_daemon.settings.risk import StressSettings
from tests.settings.files import CONFIG, edited, fault, load

WITH_CAPS = "risk:\n  caps:\n    {}\n"


@pytest.mark.feature("K10", part="settings")
@pytest.mark.parametrize("mode", ["paper", "sandbox", "sandbox_chain", "testnet", "live"])
def test_the_example_in_every_shipped_file_is_valid_once_it_is_taken_in(mode: str, tmp_path: Path) -> None:
    text = (CONFIG / f"{mode}.yaml").read_text(encoding="utf-8")
    taken = re.sub(r"\n  caps: {}[^\n]*", "\n  caps:", text)
    taken = re.sub(r"\n  #  (venue|counterparty|chain|protocol|stablecoin): ", r"\n    \1: ", taken)
    file = tmp_path / "daemon.yaml"
    file.write_text(taken.replace("binance: 1.0, ", "") if mode == "sandbox_chain" else taken, encoding="utf-8")
    caps = load_settings(file, {}, with_secrets=False).settings.risk.caps
    assert set(caps.shares()) == set(Dimension)
    assert caps.protocol["eigenlayer"] == Decimal("0.25")
    assert load_settings(CONFIG / f"{mode}.yaml", {}, with_secrets=False).settings.risk.caps.shares() == {}


@pytest.mark.feature("K10", part="settings")
@pytest.mark.parametrize(
    ("said", "key", "remedy"),
    [
        ("venue: {binanse: 1}", "risk.caps.venue.binanse", "did you mean binance?"),
        ("counterparty: {tethr: 1}", "risk.caps.counterparty.tethr", "did you mean tether?"),
        ("protocol: {aave: 1}", "risk.caps.protocol.aave", "did you mean aave_v3?"),
        ("stablecoin: {usd: 1}", "risk.caps.stablecoin.usd", "did you mean usdt?"),
        ("chain: {etherium: 1}", "risk.caps.chain.etherium", "did you mean ethereum?"),
    ],
)
def test_a_name_that_nothing_stands_with_is_refused_with_the_nearest_one(
    tmp_path: Path, said: str, key: str, remedy: str
) -> None:
    found = fault(tmp_path, edited(("risk:\n", WITH_CAPS.format(said))))
    assert (found.key, found.found, found.remedy) == (key, "a key that does not exist", remedy)


@pytest.mark.feature("K10", part="settings")
def test_a_share_outside_its_range_is_refused_with_the_unit(tmp_path: Path) -> None:
    found = fault(tmp_path, edited(("risk:\n", WITH_CAPS.format("venue: {binance: 50}"))))
    assert (found.key, found.found) == ("risk.caps.venue.binance", "50")
    assert found.expected == "a number from 0 to 2 of equity"


def test_caps_are_told_to_the_gate_by_dimension_and_name(tmp_path: Path) -> None:
    text = edited(("risk:\n", WITH_CAPS.format("stablecoin: {usdt: 0.5, other: 0.1}")))
    assert load(tmp_path, text).settings.risk.caps.shares() == {
        Dimension.STABLECOIN: {"usdt": Decimal("0.5"), "other": Decimal("0.1")}
    }


# -------------------------------------------------------------------------------------------------------- stress grid
@pytest.mark.feature("K11", part="settings")
def test_the_shipped_grid_is_the_default_one() -> None:
    shipped = load_settings(CONFIG / "live.yaml", {}, with_secrets=False).settings.risk.stress
    assert shipped.grid() == StressSettings().grid()
    assert shipped.grid().outages is None


@pytest.mark.feature("K11", part="settings")
@pytest.mark.parametrize(
    ("said", "key", "expected"),
    [
        ("price: [-1]", "risk.stress.price.0", "a number from -0.95 to 5"),
        ("outages: [binanse]", "risk.stress.outages.binanse", "one of aave_v3, binance"),
        ("price: []", "risk.stress.price", "a list of 1 to 20 numbers"),
        (f"basis: [{', '.join(['0'] * 20)}]\n    peg: [{', '.join(['0'] * 20)}]", "risk.stress", "at most 5000"),
    ],
)
def test_a_grid_that_cannot_be_played_is_refused(tmp_path: Path, said: str, key: str, expected: str) -> None:
    found = fault(tmp_path, edited(("risk:\n", f"risk:\n  stress:\n    {said}\n")))
    assert found.key == key
    assert found.expected.startswith(expected)
