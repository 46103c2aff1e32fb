"""Books at the exchange and on the chain at once live through their stories, and both sides confirm every step."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.test_eth_demo import holds_the_contract, played

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900), pytest.mark.usefixtures("chain_world")]

Json = dict[str, Any]


def moved(said: Json, source: str, coin: str) -> list[Decimal]:
    """Amounts of one coin that left ``source`` and arrived."""
    rows = [row for row in said["transfers"] if (row["from"], row["coin"]) == (source, coin)]
    assert {row["step"] for row in rows} <= {"DONE"}
    return [Decimal(row["amount"]) for row in rows]


def is_flat(said: Json) -> bool:
    """No short, no token, no debt; speckles of less than a cent are what rounding leaves."""
    held = {key.split(":")[1] for key, amount in said["positions"].items() if Decimal(amount) > Decimal("0.000001")}
    return held <= {"spot", "token"}


@pytest.mark.soak
@pytest.mark.feature("S03", part="hedge")
@pytest.mark.feature("T01", part="demo")
@pytest.mark.feature("T03", part="demo")
@pytest.mark.feature("R04", part="demo")
def test_the_staked_hedge_enters_at_both_tops_up_by_transfer_and_leaves_when_funding_turns(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    said = played("--strategy", "usdt_market_neutral_no_leverage", "--report", str(report))
    assert said["ok"], said["checks"]
    holds_the_contract(said)
    assert said["foreign_orders"] == 0
    reasons = said["decisions"]
    assert reasons["ENTRY"] == 2, "hedged at the exchange, then staked"
    assert reasons["LIQ_TOPUP"] >= 2, "out of the token, then out of the wallet"
    assert reasons["CARRY_EXIT"] >= 1
    test, rest = moved(said, "binance", "ETH")
    assert test < 1 < rest, "the first transfer of a route is its test"
    assert len(moved(said, "wallet", "USDT")) >= 2, "margin came over the chain, after its test"
    assert Decimal(said["min_z"]) > Decimal("0.5")
    assert Decimal(said["pnl"]["staking"]) > 0
    assert is_flat(said), said["positions"]
    page = report.read_text(encoding="utf-8")
    assert all(words in page for words in ('id="timeline-usdt', "Between the exchange and the wallet", "CARRY_EXIT"))


@pytest.mark.feature("S03", part="hedge")
@pytest.mark.feature("T01", part="demo")
@pytest.mark.feature("T03", part="demo")
@pytest.mark.feature("R04", part="demo")
@pytest.mark.feature("R05", part="both")
def test_the_levered_hedge_levers_what_is_hedged_and_frees_its_margin_out_of_debt() -> None:
    said = played("--strategy", "usdt_market_neutral")
    assert said["ok"], said["checks"]
    holds_the_contract(said)
    reasons = said["decisions"]
    assert reasons["ENTRY"] >= 3, "hedged, staked, levered"
    assert reasons["LIQ_TOPUP"] >= 2
    assert reasons["CARRY_EXIT"] >= 1
    test, rest = moved(said, "binance", "ETH")[:2]
    assert test < 1 < rest, "the first transfer of a route is its test"
    assert len(moved(said, "wallet", "USDT")) >= 2, "margin came over the chain, after its test"
    assert Decimal(said["min_z"]) > Decimal("0.5")
    assert said["group_transactions"] >= 3, "levered, freed at constant lambda, left"
    assert Decimal(said["min_health_factor"]) > Decimal("1.04")
    assert said["checks"]["target_ltv"]
    assert Decimal(said["pnl"]["borrow"]) < 0 < Decimal(said["pnl"]["staking"])
    assert is_flat(said), said["positions"]


@pytest.mark.soak
@pytest.mark.feature("S03", part="overlay")
@pytest.mark.feature("R05", part="both")
def test_the_eth_class_borrows_for_its_pair_repays_in_a_fall_borrows_margin_in_a_rise_and_leaves() -> None:
    said = played("--strategy", "eth_basis_in_eth")
    assert said["ok"], said["checks"]
    holds_the_contract(said)
    assert said["numeraire"] == "ETH"
    reasons = said["decisions"]
    assert reasons["LTV_BAND"] >= 1, "idle margin repaid"
    assert reasons["LIQ_TOPUP"] >= 1, "margin borrowed"
    assert reasons["CARRY_EXIT"] >= 1
    pnl = {cause: Decimal(amount) for cause, amount in said["pnl"].items()}
    assert pnl["borrow"] < 0 < min(pnl["lending"], pnl["funding"])
    assert Decimal(said["min_health_factor"]) > Decimal("1.5")
    held = {key: Decimal(amount) for key, amount in said["positions"].items()}
    assert held["aave_v3:atoken:WETH"] > 39, "the core is lent all the time"
    assert held.get("aave_v3:vdebt:USDT", Decimal(0)) < 50, "less than an order is worth"
    assert "binanceusdm:perp:ETHUSDT" not in held
