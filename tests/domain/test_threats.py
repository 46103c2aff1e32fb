"""The nearest liquidation of every account: percent, shocks, hours, and the one that binds. Unknown is never safe."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.lending import HealthLadder
from basis_daemon.domain.risk_book import LoanItem, LoanRisk, PerpRisk, RiskTerms, read_risk
from basis_daemon.domain.threats import (
    NEVER,
    Constraint,
    LadderState,
    Threat,
    binding,
    hours_of_interest,
    ladder_state,
    least_hours,
    nearest_threats,
    threats_of,
)
from basis_daemon.strategies.leveraged import EthLeveraged
from basis_daemon.strategies.onchain_parameters import LeveragedParameters
from tests.builders import NOW, PERP, paired, signs
from tests.domain.risk_books import TERMS, book, loan, short
from tests.strategies.chain_scenes import A_WEETH, DEBT, WEETH, Run, calm

D = Decimal


def only(position: PerpRisk | LoanRisk) -> Threat:
    return threats_of(book(position))[0]


# ------------------------------------------------------------------------------------------------- percent and shocks
@pytest.mark.feature("K04", part="distance")
def test_the_short_is_nearer_than_the_loan_although_its_percentage_is_larger() -> None:
    """The example of the specification: m .5 has d 48.5 % and z 1.94, lambda .85 has d 10.5 % and z 4.21."""
    threats = nearest_threats(threats_of(book(short("50"), loan())))
    assert [(signs(t.distance or D(0)), f"{t.z:.2f}") for t in threats] == [
        ("0.48514851", "1.94"),
        ("0.10526316", "4.21"),
    ]
    first = binding(threats)
    assert first is not None
    assert (first.site, first.constraint, first.driver) == ("binanceusdm", Constraint.MAINTENANCE, "ETH/USDT")
    assert str(first) == "maintenance margin of binanceusdm:perp:ETHUSDT at binanceusdm: a rise of ETH/USDT by 48.51%"


@pytest.mark.feature("K04", part="distance")
def test_the_driver_of_a_loan_in_e_mode_is_the_rate_of_its_token_and_no_price_of_ether() -> None:
    threat = only(loan())
    assert (threat.driver, threat.is_rise, threat.position) == ("weETH/ETH", False, "weETH against WETH")
    assert signs(threat.figure or D(0)) == "1.1176471"


@pytest.mark.feature("K04", part="distance")
def test_a_loan_of_dollars_against_ether_falls_with_ether() -> None:
    """EB2: 100 ETH at LT .83, .35 borrowed in USDT: HF 2.3714286, a fall of 57.8 %."""
    core = LoanItem("WETH", D(100), D(2500), D("0.83"), D(0))
    debt = LoanItem("USDT", D(87_500), D(1), D(1), D("0.05"))
    threat = only(LoanRisk("aave_v3", (core,), (debt,)))
    assert (threat.driver, threat.is_rise) == ("ETH/USDT", False)
    assert (signs(threat.figure or D(0)), signs(threat.distance or D(0))) == ("2.3714286", "0.57831325")
    assert (threat.level, f"{threat.z:.3f}") == (0, "2.313")


@pytest.mark.feature("K04", part="distance")
def test_a_loan_of_ether_against_dollars_is_liquidated_by_a_rise() -> None:
    core = LoanItem("USDT", D(5000), D(1), D("0.75"), D(0))
    debt = LoanItem("WETH", D(1), D(2500), D(1), D("0.02"))
    threat = only(LoanRisk("aave_v3", (core,), (debt,)))
    assert (threat.driver, threat.is_rise, threat.distance) == ("ETH/USDT", True, D("0.5"))


def test_the_protocols_own_health_factor_counts_where_it_is_the_worse_one() -> None:
    assert only(loan(told=D("1.05"))).figure == D("1.05")
    assert signs(only(loan(told=D("1.5"))).figure or D(0)) == "1.1176471"


# ------------------------------------------------------------------------------------------------------------- ladder
@pytest.mark.feature("K04", part="ladder")
@pytest.mark.feature("K07", part="view")
@pytest.mark.parametrize(
    ("position", "state"),
    [
        (short("50"), LadderState.ACTIVE),
        (short("26"), LadderState.TOP_UP),
        (short("13"), LadderState.REDUCE),
        (short("7"), LadderState.EMERGENCY),
        (loan("0.85"), LadderState.ACTIVE),
        (loan("0.88"), LadderState.TOP_UP),
        (loan("0.89"), LadderState.REDUCE),
        (loan("0.92"), LadderState.EMERGENCY),
    ],
)
def test_the_ladder_is_the_strategies_own_shorts_by_shocks_and_loans_in_e_mode_by_health(
    position: PerpRisk | LoanRisk, state: LadderState
) -> None:
    assert ladder_state(threats_of(book(position))) is state


# -------------------------------------------------------------------------------------------------------------- hours
@pytest.mark.feature("K04", part="hours")
def test_hours_of_a_short_at_the_drift_of_a_shock_a_day() -> None:
    """M .5, z 1.94: as many days at a shock a day; a rate that the short earns is not counted for it."""
    for funding in ("0", "0.0001"):
        threat = only(short("50", funding=funding))
        assert f"{threat.hours_drift:.4f}" == f"{(threat.z or D(0)) * 24:.4f}"
        assert threat.hours_drain == NEVER


@pytest.mark.feature("K04", part="hours")
def test_hours_of_a_short_that_pays_funding() -> None:
    """49 of margin above maintenance on a notional of 100: at 1 bp an hour gone in 4,900 hours."""
    threat = only(short("50", funding="-0.0001"))
    assert threat.hours_drain == D(4900)
    assert f"{threat.hours_drift:.6f}" == f"{D(49) / (D(101) * D('0.25') / 24 + D('0.01')):.6f}"


@pytest.mark.feature("K04", part="hours")
def test_hours_of_a_loan_are_those_of_its_interest() -> None:
    """HF4: from 1.1176471 to 1.07 at b - y .20 in 79.509751 days; to 1 it is longer by the same formula."""
    threat = only(loan())
    assert threat.hours_drain == hours_of_interest(threat.figure or D(0), D("0.20"))
    assert f"{(threat.hours_drain or D(0)) / 24:.3f}" == "202.987"
    assert (threat.hours_drift or D(0)) < (threat.z or D(0)) * 24 < (threat.hours_drain or D(0))


@pytest.mark.feature("K04", part="hours")
def test_no_hours_are_left_to_what_is_past_liquidation() -> None:
    threat = only(short("0.5", funding="-0.0001"))
    assert (threat.hours_drain, threat.hours_drift) == (D(0), D(0))


# ------------------------------------------------------------------------------------------------------------ unknown
@pytest.mark.feature("K04", part="unknown")
@pytest.mark.parametrize(
    ("position", "name"),
    [
        (short("50", missing=("mark:binanceusdm:perp:ETHUSDT",)), "mark:binanceusdm:perp:ETHUSDT"),
        (short("50", underlying="SOL"), "shock:SOL"),
        (loan(missing=("lending:aave_v3",)), "lending:aave_v3"),
    ],
)
def test_a_position_without_an_input_is_unknown_names_it_and_binds_before_what_is_well(
    position: PerpRisk | LoanRisk, name: str
) -> None:
    found = nearest_threats(threats_of(book(short("50"), position, loan())))
    assert (found[0].state, found[0].missing) == (LadderState.UNKNOWN, (name,))
    assert ladder_state(found) is LadderState.UNKNOWN
    assert name in str(found[0])
    assert least_hours(threat.hours_drift for threat in found) is None


@pytest.mark.feature("K04", part="unknown")
def test_what_must_act_comes_before_what_nobody_knows() -> None:
    found = nearest_threats(threats_of(book(short("50", missing=("account:binanceusdm",)), loan("0.92"))))
    assert [threat.state for threat in found] == [LadderState.EMERGENCY, LadderState.UNKNOWN]


@pytest.mark.feature("K04", part="unknown")
def test_a_picture_of_yesterday_is_unknown_as_a_whole() -> None:
    old = threats_of(book(short("50"), loan()), NOW + timedelta(hours=3))
    assert {threat.state for threat in old} == {LadderState.UNKNOWN}
    assert {threat.state for threat in threats_of(book(short("50")), NOW + timedelta(hours=2))} == {LadderState.ACTIVE}


@pytest.mark.feature("K04", part="unknown")
def test_an_unknown_rate_of_funding_makes_the_hours_unknown_and_not_the_distance() -> None:
    threat = only(short("50", funding=None))
    assert (threat.hours_drain, threat.hours_drift, threat.level) == (None, None, 0)


@pytest.mark.feature("K04", part="unknown")
def test_an_account_that_was_not_heard_of_is_unknown_although_nothing_is_known_to_lie_there() -> None:
    terms = replace(TERMS, liable=("binanceusdm", "bybit"))
    silent = replace(book(terms=terms), stale_accounts=("binanceusdm", "wallet"))
    (threat,) = threats_of(silent)
    assert (threat.site, threat.state, threat.missing) == (
        "binanceusdm", LadderState.UNKNOWN, ("account:binanceusdm",)
    )  # fmt: skip
    assert threats_of(book(terms=terms)) == ()


def test_a_book_without_anything_to_liquidate_is_active() -> None:
    assert (ladder_state(()), binding(()), least_hours(())) == (LadderState.ACTIVE, None, NEVER)


# ----------------------------------------------------------------------------------------------- read off the pictures
@pytest.mark.feature("K04", part="read")
def test_the_positions_of_a_basis_book_are_read_off_its_picture() -> None:
    scene = paired(D(1))
    exposure, market = scene.exposure, scene.market
    seen = read_risk("book", market, exposure, replace(TERMS, shocks=scene.strategy.charter.shocks))
    state = next(state for state in exposure.margins if state.quantity)
    assert [(p.instrument, p.quantity, p.margin) for p in seen.perps] == [(PERP, state.quantity, state.margin)]
    assert (seen.equity_usdt, seen.loans) == (exposure.equity_usdt, ())
    blind = paired(D(1)).but(stale=frozenset({f"mark:{PERP}"}))
    assert threats_of(read_risk("book", blind.market, blind.exposure, TERMS))[0].missing == (f"mark:{PERP}",)


@pytest.mark.feature("K04", part="read")
def test_the_debt_of_a_levered_book_is_read_off_its_picture() -> None:
    held = {A_WEETH: D(100), DEBT: D(85)}
    run = Run(EthLeveraged(LeveragedParameters(), "lev"), held, calm(WEETH).emode(A_WEETH), emode=1)
    charter = run.strategy.charter  # type: ignore[attr-defined]  # of a book strategy
    terms = RiskTerms(health=charter.health, shocks=charter.shocks)
    seen = read_risk("book", run.market, run.exposure, terms)
    threat = threats_of(seen)[0]
    assert (threat.driver, charter.health) == ("weETH/ETH", HealthLadder())
    assert threat.figure == seen.loans[0].told
    blind = replace(run, stale=frozenset({f"reserve:{A_WEETH}"}))
    assert threats_of(read_risk("book", blind.market, blind.exposure, terms))[0].state is LadderState.UNKNOWN
    silent = replace(run.exposure, lendings={})
    assert "lending:aave_v3" in threats_of(read_risk("book", run.market, silent, terms))[0].missing


# --------------------------------------------------------------------------------------------------------- properties
RATIOS = st.decimals("0.011", "3", places=4)


@given(margin=RATIOS, more=st.decimals("0.0001", "1", places=4), funding=st.decimals("-0.01", "0.01", places=5))
def test_more_margin_is_never_nearer_by_any_measure(margin: Decimal, more: Decimal, funding: Decimal) -> None:
    less, enough = (only(short(str(100 * m), funding=str(funding))) for m in (margin, margin + more))
    for name in ("distance", "z", "hours_drain", "hours_drift"):
        assert getattr(less, name) <= getattr(enough, name)
    assert (less.level or 0) >= (enough.level or 0)


@given(margin=RATIOS, funding=st.decimals("-0.01", "0", places=5))
def test_the_drift_never_takes_longer_than_the_drain_or_than_the_drift_alone(margin: Decimal, funding: Decimal) -> None:
    threat = only(short(str(100 * margin), funding=str(funding)))
    assert threat.hours_drift is not None
    assert threat.hours_drain is not None
    assert threat.z is not None
    assert threat.hours_drift <= min(threat.hours_drain, threat.z * 24 + D("1e-20"))
