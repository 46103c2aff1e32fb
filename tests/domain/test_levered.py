"""Golden numbers of leverage to eight significant digits; entries and repairs land exactly where they aim."""

from __future__ import annotations

import csv
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.lending import health_of
from basis_daemon.domain.levered import (
    CashOut,
    Delever,
    Lever,
    cash_out,
    delever,
    delever_within,
    full_exit,
    held_return,
    lambda_target,
    lever,
    lever_by,
    levered_apr,
    loop_multiplier,
    pickup,
    round_trip,
    spread_that_pays,
)
from basis_daemon.domain.margin import top_up_from_long
from basis_daemon.domain.staking import effective_yield
from tests.builders import D, signs
from tests.strategies.recorded import DATA

ONE, NONE, LT = D(1), D(0), D("0.95")
C_EXIT = D("0.0012")
RISE = D("0.24661386711884048")
SQUEEZED = top_up_from_long(D("0.5"), 200_000 * (1 + RISE), 100_000 - 200_000 * RISE) / (2500 * (1 + RISE))  # MN6


def shown(position: Lever) -> tuple[str, str, str]:
    """Flash loan, collateral and debt as the golden numbers print them."""
    return signs(position.flash), signs(position.collateral), signs(position.debt)


def health(position: Lever) -> str:
    factor = health_of(position.collateral, position.debt, LT)
    assert factor is not None
    return signs(factor)


@pytest.mark.parametrize(
    ("golden", "position", "expected"),
    [
        ("LV1", lever(D(10), NONE, NONE, D("0.9")), ("90", "100", "90")),
        ("LV2", lever(D(10), NONE, NONE, D("0.9"), D("0.9995")), ("89.552016", "99.50224", "89.552016")),
        (
            "LV3",
            lever(D(10), NONE, NONE, D("0.9"), D("0.9995"), D("0.0005")),
            ("89.10847", "99.058915", "89.153024"),
        ),
        ("LV4", lever(D(100), NONE, NONE, D("0.65")), ("185.71429", "285.71429", "185.71429")),
        ("LV5", lever(D(100), NONE, NONE, D("0.85"), D("0.9995")), ("564.78311", "664.45072", "564.78311")),
        ("LV6", lever(D(5), D(100), D(82), D("0.85"), D("0.9995")), ("48.182649", "153.15606", "130.18265")),
        ("LV7", lever(D(2), D(100), D(90), D("0.85")), ("0", "102", "90")),
    ],
)
def test_an_entry_has_the_golden_size(golden: str, position: Lever, expected: tuple[str, str, str]) -> None:
    assert shown(position) == expected, golden


def test_the_golden_health_of_an_entry() -> None:
    assert health(lever(D(10), NONE, NONE, D("0.9"))) == "1.0555556"
    assert health(lever(D(100), NONE, NONE, D("0.65"))) == "1.4615385"
    assert health(lever(D(100), NONE, NONE, D("0.85"), D("0.9995"))) == "1.1176471"
    assert signs(lever(D(2), D(100), D(90), D("0.85")).ltv) == "0.88235294"


def found(outcome: Delever | str) -> Delever:
    assert isinstance(outcome, Delever), outcome
    return outcome


@pytest.mark.parametrize(
    ("golden", "outcome", "repaid", "sold", "cost"),
    [
        ("DL1", delever(D(100), D(91), D("0.88"), D("0.001")), "25.184874", "25.210084", "0.025210084"),
        ("DL2", delever(D(100), D(91), D("0.88"), D("0.001"), D("0.0005")), "25.27834", "25.316296", None),
        ("DL3", delever(D(100), D(91), D("0.80"), D("0.002")), "55.444444", "55.555556", None),
        ("DL4", delever(D(100), D(88), D("0.85"), D("0.006")), "20.708333", None, "0.125"),
        ("DL5", delever(D(100), D(91), D("0.85"), D("0.05")), "57", "60", None),
    ],
)
def test_a_de_lever_has_the_golden_size(
    golden: str, outcome: Delever | str, repaid: str, sold: str | None, cost: str | None
) -> None:
    done = found(outcome)
    assert signs(done.repaid) == repaid, golden
    assert sold is None or signs(done.sold) == sold
    assert cost is None or signs(done.cost) == cost


def test_a_sale_that_costs_more_than_the_buffer_is_refused() -> None:  # DL5
    outcome = delever(D(100), D(91), D("0.85"), D("0.16"))
    assert isinstance(outcome, str)
    assert "needs 108.33333" in outcome


def test_everything_can_be_repaid_as_long_as_the_collateral_pays_for_it() -> None:
    whole = found(delever(D(100), D(91), D(0), D("0.05")))
    assert (signs(whole.repaid), signs(whole.sold)) == ("91", signs(D(91) / D("0.95")))
    assert isinstance(delever(D(100), D(91), D(0), D("0.10")), str)


def test_a_position_below_its_aim_asks_for_nothing() -> None:
    assert delever(D(100), D(80), D("0.85"), D("0.001")) == Delever(NONE, NONE)


def test_a_small_quote_repays_what_it_pays_for() -> None:
    wanted = found(delever(D(100), D(91), D("0.85"), D("0.001")))
    part = delever_within(wanted, D(10), D("0.001"), D("0.0005"))
    assert part.sold == 10
    assert signs(part.repaid * D("1.0005")) == "9.99"
    assert delever_within(wanted, D(1000), D("0.001")) is wanted


@pytest.mark.parametrize(
    ("golden", "cash", "lam", "expected"),
    [
        ("CO1", D(10), D("0.65"), ("18.624642", "28.653295", None, None)),
        ("CO2", D(10), D("0.85"), ("57.04698", "67.114094", "57.104084", "10.01001")),
        ("MN7", SQUEEZED, D("0.65"), ("29.475654", "45.347161", None, None)),
    ],
)
def test_cash_at_constant_lambda_has_the_golden_size(
    golden: str, cash: Decimal, lam: Decimal, expected: tuple[str | None, ...]
) -> None:
    freed = cash_out(cash, lam, D("0.001"))
    assert isinstance(freed, CashOut)
    got = [signs(part) for part in (freed.repaid, freed.withdrawn, freed.sold, freed.left)]
    assert all(want in (None, have) for want, have in zip(expected, got, strict=True)), golden


def test_cash_is_not_freed_where_the_sale_eats_it() -> None:
    assert cash_out(D(10), D("0.95"), D("0.06")) == "at lambda 0.95 a sale at cost 0.06 frees nothing"


@pytest.mark.parametrize(
    ("golden", "value", "expected"),
    [
        ("CA1 .65", levered_apr(D("0.035"), D("0.026"), D("0.65")), "0.051714286"),
        ("CA1 .85", levered_apr(D("0.035"), D("0.026"), D("0.85")), "0.086"),
        ("CA2", levered_apr(D("0.0275"), D("0.0275"), D("0.85")), "0.0275"),
        ("CA3 y", effective_yield(D("0.028"), D("0.010"), D("0.5")), "0.033"),
        ("CA3", pickup(D("0.033"), D("0.0255"), D("0.85"), C_EXIT, D(180)), "0.028711111"),
        ("CA4", pickup(D("0.0305"), D("0.0275"), D("0.85"), C_EXIT, D(180)), "0.0032111111"),
        ("CA5", spread_that_pays(C_EXIT, D(3)), "0.146"),
        ("CA6 cost", round_trip(C_EXIT, D("0.9995"), NONE, NONE), "0.0017"),
        ("CA6", pickup(D("0.033"), D("0.0255"), D("0.85"), D("0.0017"), D(180)), "0.022965741"),
        ("CA7", spread_that_pays(C_EXIT, D(180)), "0.0024333333"),
        ("HF3", LT * (1 - D("0.022")) / D("1.08"), "0.86027778"),
        ("HF3 target", lambda_target(D("0.85"), D("0.93"), D("0.03"), LT, D("0.022"), D("1.08")), "0.85"),
        ("HF3 bound", lambda_target(D("0.88"), D("0.93"), D("0.03"), LT, D("0.022"), D("1.08")), "0.86027778"),
        ("LP1 once", loop_multiplier(D("0.85"), 1), "1.85"),
        ("LP1 five", loop_multiplier(D("0.85"), 5), "4.1523366"),
        ("LP1 limit", loop_multiplier(D("0.85"), None), "6.6666667"),
        ("XR1 flash", full_exit(D("85.002")).flash, "85.044501"),
        ("XR1 out", full_exit(D("85.002")).min_out, "85.002"),
    ],
)
def test_a_golden_number(golden: str, value: Decimal, expected: str) -> None:
    assert signs(value) == expected, golden


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no recorded history at {DATA}")
@pytest.mark.parametrize(
    ("window", "start", "unlevered", "levered", "factor"),
    [
        ("2024-08_crash_depeg", "2024-08-01", "0.00098080401", "0.0017561372", "1.1177999"),  # LX8
        ("2025-05_eth_squeeze", "2025-05-06", "0.00039213249", "0.00021142805", "1.1176114"),  # LX5
    ],
)
def test_recorded_weeks_left_alone(window: str, start: str, unlevered: str, levered: str, factor: str) -> None:
    def growth(asset: str, column: str) -> Decimal:
        with (DATA / window / "aave_daily.csv").open(encoding="utf-8") as file:
            column_of = [
                D(row[column]) for row in csv.DictReader(file) if row["asset"] == asset and row["timestamp"] >= start
            ]
        return column_of[-1] / column_of[0]

    token, debt = growth("weETH", "rate_vs_weth"), growth("WETH", "variable_borrow_index")
    assert signs(token - 1) == unlevered
    assert signs(held_return(token, debt, D("0.85"))) == levered
    assert signs(LT / D("0.85") * token / debt) == factor


# -------------------------------------------------------------------------------------------------------- for all
AMOUNT = st.decimals("0.01", "1e6", places=6)
LAMBDA = st.decimals("0.05", "0.88", places=4)
FEE = st.decimals(0, "0.001", places=6)
K = st.decimals("0.99", "1.01", places=6)


@given(new=AMOUNT, collateral=AMOUNT, share=st.decimals(0, "0.9", places=4), lam=LAMBDA, k=K, phi=FEE)
def test_an_entry_lands_at_exactly_lambda_or_takes_no_loan(
    new: Decimal, collateral: Decimal, share: Decimal, lam: Decimal, k: Decimal, phi: Decimal
) -> None:
    before = share * collateral
    position = lever(new, collateral, before, lam, k, phi)
    assert position.flash >= 0
    if position.flash:
        assert abs(position.ltv - lam) < D("1e-20")
    else:
        assert position.debt == before
        assert position.ltv >= lam - D("1e-20")


@given(new=AMOUNT, k=K, phi=FEE, lam=LAMBDA)
def test_a_gain_on_the_way_in_is_never_counted_on(new: Decimal, k: Decimal, phi: Decimal, lam: Decimal) -> None:
    position = lever(new, NONE, NONE, lam, k, phi)
    assert position == lever_by(position.flash, new, NONE, NONE, min(k, ONE), phi)
    assert position.collateral <= (new + position.flash)


def test_a_loan_that_never_pays_for_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="falls short of its own repayment"):
        lever(D(10), NONE, NONE, D("1.01"))


@given(
    collateral=AMOUNT,
    share=st.decimals("0.10", "0.97", places=4),
    to=st.decimals(0, "0.9", places=4),
    c=st.decimals(0, "0.3", places=4),
    phi=FEE,
)
def test_a_de_lever_lands_at_its_aim_or_at_nothing_or_is_refused(
    collateral: Decimal, share: Decimal, to: Decimal, c: Decimal, phi: Decimal
) -> None:
    debt = share * collateral
    outcome = delever(collateral, debt, to, c, phi)
    if isinstance(outcome, str):
        assert debt * (1 + phi) / (1 - c) > collateral
        return
    left, rest = debt - outcome.repaid, collateral - outcome.sold
    assert 0 <= outcome.repaid <= debt
    assert 0 <= outcome.sold <= collateral
    assert abs(outcome.sold * (1 - c) - outcome.repaid * (1 + phi)) < D("1e-15")
    is_at_aim = abs(left - to * rest) <= collateral * D("1e-20")
    assert is_at_aim or left == 0 or (share <= to and outcome == Delever(NONE, NONE))


@given(cash=AMOUNT, lam=LAMBDA, c=st.decimals(0, "0.05", places=4), phi=FEE)
def test_cash_out_keeps_lambda_and_delivers_the_cash(cash: Decimal, lam: Decimal, c: Decimal, phi: Decimal) -> None:
    freed = cash_out(cash, lam, c, phi)
    assert isinstance(freed, CashOut)
    assert abs(freed.repaid / freed.withdrawn - lam) < D("1e-20")
    assert abs(freed.left * (1 - c) - cash) < D("1e-12")


@given(debt=AMOUNT, phi=FEE, accrued=st.decimals(0, "0.0004", places=6))
def test_a_full_exit_pays_for_the_debt_as_it_is_by_then(debt: Decimal, phi: Decimal, accrued: Decimal) -> None:
    out = full_exit(debt, phi)
    assert out.flash >= debt * (1 + accrued)
    assert out.min_out >= debt
