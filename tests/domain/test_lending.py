"""Golden numbers of lending to eight significant digits, and what holds for every reserve and every book."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.chain import BlockRef, RateCurve, ReserveTick
from basis_daemon.domain.gas import GWEI, gas_cost, planned_units, reserve_needed
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.lending import (
    HealthLadder,
    balance_of,
    compounded_index,
    days_to_health,
    fall_to_liquidation,
    health_of,
    interest,
    lend_target,
    lending_site,
    linear_index,
    ltv_at,
    onchain_equity,
    rates_after,
    scaled_of,
    supply_rate,
    utilisation_of,
)
from basis_daemon.domain.order import OrderOperation
from tests.builders import D, signs

DAY_S = D(86_400)
LT = D("0.95")
LI, R_L = D("1.0810165301878136"), D("0.0417895607485808")
HF_LAMBDA = LT / D("0.85")


@pytest.mark.parametrize(
    ("golden", "found", "expected"),
    [
        ("PL1 scaled", scaled_of(D(100_000), D("1.0668")), "93738.283"),
        ("PL1 balance", balance_of(scaled_of(D(100_000), D("1.0668")), D("1.0812")), "101349.83"),
        ("PL1 interest", balance_of(scaled_of(D(100_000), D("1.0668")), D("1.0812") - D("1.0668")), "1349.8313"),
        ("PL2 target", lend_target(D(1_000_000), D("0.02")), "980000"),
        ("PL2 supply", lend_target(D(1_000_000), D("0.02")) - 970_000, "10000"),
        ("PL3", supply_rate(D("0.2465531112983212"), D("0.9250792558"), D("0.10")), "0.20527305"),
        ("PL4 gain", interest(D(20_000), D("0.05"), D(30)), "82.191781"),
        ("PL4 gas", gas_cost(planned_units([OrderOperation.SUPPLY]), 20 * GWEI) * 3000, "15"),
        ("PL4 ratio", interest(D(20_000), D("0.05"), D(30)) / 15, "5.4794521"),
        ("PL5 before", utilisation_of(D(1409), D(1733 - 1409)), "0.81304097"),
        ("PL5 after", utilisation_of(D(1409), D(1783 - 1409)), "0.79024117"),
        ("AV1", linear_index(LI, R_L, DAY_S), "1.0811403"),
        ("AV1 error", linear_index(LI, R_L, DAY_S) / D("1.0811341543998507") - 1, "0.0000056824359"),
        (
            "AV1 error at the mean rate",
            linear_index(LI, (R_L + D("0.0396602386098766")) / 2, DAY_S) / D("1.0811341543998507") - 1,
            "0.0000027658736",
        ),
        ("AV2", compounded_index(D("1.1086353490929115"), D("0.0572763603918020"), DAY_S), "1.1088093"),
        ("AV3", supply_rate(D("0.026121222963419"), D("0.8707104496"), D("0.15")), "0.019332419"),
        ("AV4", D("2802.88857278") / D("2683.3051"), "1.0445657"),
        ("AV5 before", utilisation_of(D(892_769), D(1_016_634 - 892_769)), "0.87816166"),
        ("AV5 after", utilisation_of(D(912_769), D(1_016_634 - 912_769)), "0.89783442"),
        ("HF1", HF_LAMBDA, "1.1176471"),
        ("HF1 fall", fall_to_liquidation(HF_LAMBDA), "0.10526316"),
        ("HF2 warn", ltv_at(D("1.09"), LT), "0.87155963"),
        ("HF2 reduce", ltv_at(D("1.07"), LT), "0.88785047"),
        ("HF2 emergency", ltv_at(D("1.04"), LT), "0.91346154"),
        ("HF4", days_to_health(HF_LAMBDA, D("1.07"), D("0.20")), "79.509751"),
        ("HF5 levered", LT / D("0.865"), "1.0982659"),
        ("HF5 hedged", LT / D("0.68"), "1.3970588"),
        ("GA1 ETH", gas_cost(1_250_000, 25 * GWEI), "0.03125"),
        ("GA1 USDT", gas_cost(1_250_000, 25 * GWEI) * 2500, "78.125"),
        ("RE1 levered", reserve_needed(850_000, D(400)), "0.391"),
        ("RE1 release", reserve_needed(280_000, D(400)), "0.1288"),
        ("RE1 transfer", reserve_needed(planned_units([OrderOperation.TRANSFER]), D(400)), "0.046"),
    ],
)
def test_a_golden_number(golden: str, found: Decimal, expected: str) -> None:
    assert signs(found) == expected, golden


def test_three_terms_of_compounding_are_the_exponential_to_the_last_digit_that_matters() -> None:
    x = D("0.0572763603918020") * DAY_S / 31_536_000
    assert signs(compounded_index(D(1), D("0.0572763603918020"), DAY_S), 16) == signs(x.exp(), 16)


# ---------------------------------------------------------------------------------------------------------- rates
USDT = ReserveTick(
    instrument=PositionKey("aave_v3:atoken:USDT"),
    block=BlockRef(1, "0x1", datetime(2024, 3, 14, tzinfo=UTC)),
    received_ns=0,
    supply_rate=D("0.04"),
    borrow_rate=D("0.05"),
    liquidity_index=D("1.0812"),
    debt_index=D("1.1"),
    idle=D(324),
    debt=D(1409),
    supplied=D(1733),
    reserve_factor=D("0.10"),
    curve=RateCurve(D(0), D("0.92"), D("0.055"), D("0.35")),
    supply_cap=D(0),
    borrow_cap=D(0),
    price=D(1),
    ltv=D("0.75"),
    liquidation_threshold=D("0.78"),
    liquidation_bonus=D("0.045"),
    flash_fee=D("0.0005"),
    is_active=True,
    is_frozen=False,
    is_paused=False,
    is_borrowable=True,
    is_flashable=True,
)
MONEY = st.decimals("0.01", "1e9", places=2)


def test_an_own_deposit_lowers_the_rate_that_it_will_earn() -> None:
    before, after = rates_after(USDT), rates_after(USDT, deposit=D(50))
    assert signs(before.utilisation) == "0.81304097"
    assert signs(after.utilisation) == "0.79024117"
    assert after.borrow == USDT.curve.borrow_rate(after.utilisation) < before.borrow
    assert after.supply == supply_rate(after.borrow, after.utilisation, D("0.10")) < before.supply


@given(deposit=MONEY, debt=MONEY, idle=MONEY)
def test_rates_never_rise_with_a_deposit_and_never_fall_with_a_loan(
    deposit: Decimal, debt: Decimal, idle: Decimal
) -> None:
    reserve = replace(USDT, debt=debt, idle=idle)
    now, lent, owed = rates_after(reserve), rates_after(reserve, deposit=deposit), rates_after(reserve, borrow=idle / 2)
    assert 0 <= lent.supply <= now.supply
    assert lent.borrow <= now.borrow <= owed.borrow
    assert 0 <= lent.utilisation <= now.utilisation <= owed.utilisation <= 1


def test_a_reserve_that_nobody_uses_has_no_utilisation() -> None:
    assert utilisation_of(D(0), D(0)) == 0


@given(amount=MONEY, index=st.decimals(1, 2, places=27), seconds=st.integers(0, 31_536_000))
def test_a_balance_grows_by_its_index_and_interest_is_counted_once(
    amount: Decimal, index: Decimal, seconds: int
) -> None:
    scaled, later = scaled_of(amount, index), linear_index(index, D("0.05"), D(seconds))
    grown = balance_of(scaled, later)
    assert abs(grown - amount - amount * D("0.05") * seconds / 31_536_000) < D("1e-9")


# --------------------------------------------------------------------------------------------------------- health
def test_the_health_ladder_has_three_steps_and_no_debt_is_no_step() -> None:
    ladder = HealthLadder()
    found = [ladder.level(D(text)) for text in ("1.2", "1.09", "1.0899", "1.07", "1.0699", "1.04", "1.0399", "0.9")]
    assert found == [0, 0, 1, 1, 2, 2, 3, 3]
    assert ladder.level(None) == 0
    assert health_of(D(100), D(0), LT) is None


def test_a_levered_position_is_a_site_counted_in_falls_of_the_token_against_ether() -> None:
    site = lending_site("aave_v3", "weETH/ETH", HF_LAMBDA, D("0.025"), HealthLadder())
    assert (site.site, site.driver, site.level) == ("aave_v3", "weETH/ETH", 0)
    assert signs(site.distance) == "0.10526316"
    assert signs(site.z, 3) == "4.21"  # the short of the same book at m .5 stands at z 1.94: it is nearer


@given(ltv=st.decimals("0.01", "0.94", places=6))
def test_the_fall_to_liquidation_brings_the_health_factor_to_one(ltv: Decimal) -> None:
    health = health_of(D(1), ltv, LT)
    assert health is not None
    after = health_of(1 - fall_to_liquidation(health), ltv, LT)
    assert after is not None
    assert abs(after - 1) < D("1e-24")
    assert abs(ltv_at(health, LT) - ltv) < D("1e-24")


# --------------------------------------------------------------------------------------------------------- equity
RATES = {"ETH": D(1), "WETH": D(1), "weETH": D("1.0668")}


def keyed(**held: str) -> dict[PositionKey, Decimal]:
    return {PositionKey(name.replace("__", ":")): D(amount) for name, amount in held.items()}


def test_equity_counts_claims_and_takes_debt_off() -> None:
    held = keyed(
        wallet__token__ETH="1", aave_v3__atoken__weETH="100", aave_v3__vdebt__WETH="80", etherfi__claim__48211="3"
    )
    assert onchain_equity(held, RATES).value == D("30.68")


def test_equity_with_an_unknown_token_is_unknown_and_says_which() -> None:
    found = onchain_equity(keyed(wallet__token__ETH="1", wallet__token__XYZ="5"), RATES)
    assert found.value is None
    assert found.unknown == ("value:wallet:token:XYZ",)


def test_what_is_not_held_needs_no_value_and_reward_tokens_count_nothing() -> None:
    held = keyed(wallet__token__ETH="1", wallet__token__XYZ="0", wallet__token__EIGEN="500")
    assert onchain_equity(held, RATES, {"EIGEN"}).value == 1


def test_a_debt_is_never_left_uncounted() -> None:
    assert onchain_equity(keyed(aave_v3__vdebt__EIGEN="500"), RATES, {"EIGEN"}).value is None
