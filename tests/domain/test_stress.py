"""Shocks that come together while nobody acts: the specification's own numbers, who falls first, what never rises."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.caps import Caps
from basis_daemon.domain.instrument import MarginTier, PositionKey
from basis_daemon.domain.risk_book import LoanItem, LoanRisk, RiskBook
from basis_daemon.domain.stress import Cell, Grid, Scenario, shocked, stress
from basis_daemon.domain.stressed_margin import accounts_of
from tests.builders import NOW, signs
from tests.domain.risk_books import SHOCKS, TERMS, loan, short

D = Decimal
K = PositionKey
MARGIN, LST, COIN = K("binanceusdm:spot:USDT"), K("wallet:lst:weETH"), K("binance:spot:ETH")
PLACES = Caps(exchange_of={"binance": "binance", "binanceusdm": "binance"})
RATE = D("1.0668")


def only(book: RiskBook, *, outage: str = "", **shocks: object) -> Cell:
    """The one cell with these shocks."""
    said = {name: D(str(shock)) for name, shock in shocks.items()}
    price, basis, peg, borrow, funding = (
        (said.get(name, D(0)),) for name in ("price", "basis", "peg", "borrow", "funding")
    )
    grid = Grid(price, basis, peg, borrow, funding, (outage,) if outage else (), said.get("days", D(0)))
    return stress((book,), grid)[-1]


def pair(margin: str = "40") -> RiskBook:
    """A short of 100 coins at 1 and as many coins on the same exchange, m as given in percent."""
    held = {MARGIN: D(margin), COIN: D(100), K("binanceusdm:perp:ETHUSDT"): D(-100)}
    terms = replace(TERMS, caps=PLACES)
    prices = {"USDT": D(1), "ETH": D(1)}
    return RiskBook("pair", terms, NOW, D(margin) + 100, (), (short(margin),), (), held, prices)


def staked_hedge() -> RiskBook:
    """MN1 and MN2: S 80 at 2500 as weETH on Aave with lambda .65, short 80, margin 100,000."""
    price, owed, whole = D(2500), D("148.57143"), D("228.57143")
    tokens = whole / RATE
    perp = replace(short("0"), quantity=D(-80), mark=price, margin=D(100_000))
    item = LoanItem("weETH", tokens, price * RATE, D("0.95"), D(0), is_staked=True)
    debt = LoanItem("WETH", owed, price, D(1), D("0.0255"))
    held = {
        MARGIN: D(100_000), K("binanceusdm:perp:ETHUSDT"): D(-80), K("aave_v3:atoken:weETH"): tokens,
        K("aave_v3:vdebt:WETH"): owed,
    }  # fmt: skip
    prices = {"USDT": D(1), "weETH": price * RATE, "WETH": price, "ETH": price}
    loan_ = LoanRisk("aave_v3", (item,), (debt,), None, 1, D("0.01"))
    terms = replace(TERMS, caps=PLACES)
    return RiskBook("hedge", terms, NOW, D(300_000), (), (perp,), (loan_,), held, prices, ("weETH",))


# ------------------------------------------------------------------------------------------------------------- golden
@pytest.mark.feature("K11", part="golden")
def test_the_unattended_squeeze_liquidates_the_staked_hedge() -> None:
    """MN5: +0.49919174 leaves m 0.00053913183, d -0.0093671962; the sleeve on Aave does not notice."""
    book = staked_hedge()
    (account,) = accounts_of(book.perps)
    factor = D("2624.59") / D("1750.67")
    margin = account.margin + account.profit(factor, D(0))
    assert signs(margin / (80 * 2500 * factor)) == "0.00053913183"
    assert signs(account.z(factor, D(0), SHOCKS) * SHOCKS["ETH"]) == "-0.0093671962"
    cell = only(book, price="0.49919174")
    assert (cell.first.site, cell.first.how) == ("binanceusdm", "liquidated") if cell.first else False
    assert cell.survivors == ("aave_v3 weETH against WETH",)


@pytest.mark.feature("K11", part="golden")
@pytest.mark.parametrize(("price", "ratio"), [("0.15", "0.2173913"), ("-0.20", "0.75")])
def test_a_short_left_alone_keeps_the_margin_that_the_formula_says(price: str, ratio: str) -> None:
    """CX1: m .40 after +15 % is 0.2173913; after -20 % it is (.4 + .2) / .8."""
    (account,) = accounts_of(pair().perps)
    factor = 1 + D(price)
    assert signs((account.margin + account.profit(factor, D(0))) / (100 * factor)) == ratio


@pytest.mark.feature("K11", part="golden")
@pytest.mark.parametrize(("fall", "is_liquidated"), [("-0.5782", False), ("-0.5784", True)])
def test_the_eth_book_survives_until_its_fall_to_liquidation(fall: str, is_liquidated: bool) -> None:
    """EB2: HF 2.3714286, a fall of ETH by 0.57831325 liquidates."""
    core = LoanItem("WETH", D(100), D(2500), D("0.83"), D(0))
    debt = LoanItem("USDT", D(87_500), D(1), D(1), D("0.05"))
    held = {K("aave_v3:atoken:WETH"): D(100), K("aave_v3:vdebt:USDT"): D(87_500)}
    book = RiskBook("eth", TERMS, NOW, D(162_500), (), (), (LoanRisk("aave_v3", (core,), (debt,)),), held,
                    {"WETH": D(2500), "USDT": D(1)})  # fmt: skip
    first = only(book, price=fall).first
    assert first is not None
    assert (first.how == "liquidated") is is_liquidated


@pytest.mark.feature("K11", part="golden")
def test_health_under_a_fall_of_the_peg() -> None:
    """HF1: lambda .85 has HF 1.1176471, and a fall of the token by 0.10526316 brings it to 1."""
    fallen = shocked(loan(), Scenario(peg=D("-0.10526316")))
    assert f"{fallen.weighted / fallen.owed:.7f}" == "1.0000000"
    assert shocked(loan(), Scenario(price=D("-0.9"))).weighted / shocked(loan(), Scenario(price=D("-0.9"))).owed > D(
        "1.1176"
    )


# ----------------------------------------------------------------------------------------------------- equity and falls
@pytest.mark.feature("K11", part="equity")
def test_a_hedged_pair_keeps_its_equity_whatever_the_price_and_loses_the_basis() -> None:
    book = pair()
    assert only(book, price="0.1").equity_usdt == only(book).equity_usdt == D(140)
    assert only(book, basis="0.01").equity_usdt == D(139)
    assert only(book, funding="-0.001", days=1).equity_usdt == D("139.7")


@pytest.mark.feature("K11", part="equity")
def test_a_liquidated_account_has_lost_its_margin_and_the_long_leg_goes_on_alone() -> None:
    cell = only(pair(), price="0.5")
    assert (cell.first.how, cell.equity_usdt) == ("liquidated", D(150)) if cell.first else False


@pytest.mark.feature("K11", part="equity")
def test_a_liquidated_loan_costs_the_bonus_on_half_the_debt_and_on_all_of_it_far_below_one() -> None:
    """Collateral 100 ETH of 2,000, lambda .85, bonus 1 %: at -11 % half of 170,000 is repaid, at -16 % all of it."""
    held = {K("aave_v3:atoken:weETH"): D(100), K("aave_v3:vdebt:WETH"): D(85)}
    book = RiskBook("lev", TERMS, NOW, D(30_000), (), (), (loan(),), held, {"weETH": D(2000), "WETH": D(2000)},
                    ("weETH",))  # fmt: skip
    assert only(book, peg="-0.11").equity_usdt == 200_000 * D("0.89") - 170_000 - 850
    assert only(book, peg="-0.149").equity_usdt == D(0)
    assert only(book, peg="-0.5").equity_usdt == D(0), "a lender takes no more than the collateral"
    assert only(book, peg="-0.05").equity_usdt == D(20_000)
    assert only(book, borrow="0.365", days=10).equity_usdt == D(30_000) - 1700


@pytest.mark.feature("K11", part="outage")
@pytest.mark.parametrize(
    ("who", "left", "site"),
    [("binance", "200000", "binanceusdm"), ("aave_v3", "100000", "aave_v3"), ("etherfi", "100000", "aave_v3"),
     ("tether", "200000", "binanceusdm")],
)  # fmt: skip
def test_what_stands_with_whoever_fails_is_lost(who: str, left: str, site: str) -> None:
    cell = only(staked_hedge(), outage=who)
    assert f"{cell.equity_usdt:.0f}" == left
    assert [(each.site, each.how, each.at) for each in cell.casualties] == [(site, "lost", D(0))]
    assert len(cell.survivors) == 1


@pytest.mark.feature("K11", part="first")
def test_the_first_to_fall_is_the_one_whose_limit_the_growing_shocks_reach_first() -> None:
    """A rise by 48.5 % and a fall of the peg by 32 %: the short falls at .97 of 50 %, the loan at .79 of 40 %."""
    cell = only(staked_hedge(), price="0.5", peg="-0.4")
    assert [(each.site, each.how) for each in cell.casualties] == [
        ("aave_v3", "liquidated"),
        ("binanceusdm", "liquidated"),
    ]
    first, second = (each.at for each in cell.casualties)
    assert 0 < first < second < 1


@pytest.mark.feature("K11", part="first")
def test_a_site_falls_when_it_is_liquidated_and_not_when_it_is_in_danger() -> None:
    """M .4 with mm .01 has d 0.38613861: of a rise by half, 0.7723 of the way."""
    first = only(pair(), price="0.5").first
    assert first is not None
    assert abs(first.at - D("0.38613861") / D("0.5")) < D("0.0003")


@pytest.mark.feature("K11", part="first")
def test_an_emergency_is_a_casualty_that_survives() -> None:
    cell = only(pair(), price="0.31")
    assert [each.how for each in cell.casualties] == ["EMERGENCY"]
    assert cell.survivors


@pytest.mark.feature("K11", part="unknown")
def test_what_is_not_known_neither_survives_nor_falls_and_leaves_no_equity() -> None:
    blind = replace(pair(), perps=(short("40", missing=("mark:x",)),), equity_usdt=None)
    cell = only(blind, price="0.5")
    assert (cell.equity_usdt, cell.survivors, cell.casualties) == (None, (), ())
    assert cell.unknown == ("binanceusdm binanceusdm:perp:ETHUSDT",)
    strange = replace(pair(), terms=replace(TERMS, shocks={}))
    assert only(strange, price="0.5").unknown == cell.unknown


def test_two_perps_of_one_account_fall_together() -> None:
    """100 of margin over two shorts of 100; each was told its margin less what the other must keep."""
    tiers = (MarginTier(D(0), D(1000), D("0.01"), D(0), D(50)), MarginTier(D(1000), D(10_000), D("0.02"), D(10), D(20)))
    other = K("binanceusdm:perp:BTCUSDT")
    two = [replace(short("99"), tiers=tiers), replace(short("99", "BTC"), instrument=other, tiers=tiers)]
    (account,) = accounts_of(two)
    assert account.margin == D(100)
    assert account.z(D("1.5"), D(0), SHOCKS) < 0 < account.z(D("1.45"), D(0), SHOCKS)


def test_the_grid_crosses_every_axis_and_every_exchange() -> None:
    axis = (D(0), D("0.1"))
    cells = stress((staked_hedge(),), Grid(axis, axis, axis, axis, axis, None, D(1)))
    assert len(cells) == 2**5 * 2
    assert {cell.scenario.outage for cell in cells} == {"", "binance"}
    assert stress((staked_hedge(),), Grid(axis, axis, axis, axis, axis, None, D(1))) == cells


# --------------------------------------------------------------------------------------------------------- properties
MOVES = st.decimals("-0.9", "3", places=3)
SMALL = st.decimals("-0.4", "0", places=3)


@given(price=MOVES, worse=st.decimals("0", "1", places=3), margin=st.integers(2, 300))
def test_a_short_that_a_rise_liquidates_is_liquidated_by_every_larger_one(
    price: Decimal, worse: Decimal, margin: int
) -> None:
    naked = replace(pair(str(margin)), holdings={MARGIN: D(margin), K("binanceusdm:perp:ETHUSDT"): D(-100)})
    less, more = (only(naked, price=move) for move in (price, price + worse))
    order = {"": 0, "EMERGENCY": 1, "liquidated": 2}
    assert order[_how(less)] <= order[_how(more)]
    assert (more.equity_usdt or D(0)) <= (less.equity_usdt or D(0))


def _how(cell: Cell) -> str:
    return cell.first.how if cell.first is not None else ""


@given(peg=SMALL, worse=SMALL, borrow=st.decimals("0", "3", places=2), more=st.decimals("0", "3", places=2))
@pytest.mark.slow
def test_a_lower_peg_and_a_dearer_debt_never_leave_more(
    peg: Decimal, worse: Decimal, borrow: Decimal, more: Decimal
) -> None:
    book = staked_hedge()
    mild = only(book, peg=peg, borrow=borrow, days=3)
    hard = only(book, peg=peg + worse, borrow=borrow + more, days=3)
    assert (hard.equity_usdt or D(0)) <= (mild.equity_usdt or D(0))
    assert len(hard.survivors) <= len(mild.survivors)


@given(price=MOVES, basis=SMALL, peg=SMALL)
def test_every_site_survives_falls_or_is_unknown(price: Decimal, basis: Decimal, peg: Decimal) -> None:
    cell = only(staked_hedge(), price=price, basis=basis, peg=peg)
    dead = [each for each in cell.casualties if each.how != "EMERGENCY"]
    assert len(dead) + len(cell.survivors) + len(cell.unknown) == 2
    assert all(0 <= each.at <= 1 for each in cell.casualties)
    assert list(cell.casualties) == sorted(cell.casualties, key=lambda each: each.at)
