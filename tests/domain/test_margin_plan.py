"""Which cash goes where: the specification's own amounts, the order of the sources, and what no plan may ever do."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.levered import delever
from basis_daemon.domain.margin import short_distance, target_ratio
from basis_daemon.domain.margin_plan import WALLET, Move, Repair, Source, drawn, plan_of
from basis_daemon.domain.risk_book import LoanItem, LoanRisk, RiskBook, RiskTerms, read_risk
from basis_daemon.domain.threats import LadderState
from basis_daemon.domain.ways import Way
from tests.builders import NOW, paired, signs
from tests.domain.risk_books import TERMS, loan, short

D = Decimal
K = PositionKey
NAMES = ("binance", "bybit", "okx")
FEE, Z_OPEN = D(5), D("1.5")


def way(name: str, *, is_connected: bool = True) -> Way:
    """Two wallets of an exchange, an hour away from everything else."""
    return Way(K(f"{name}:spot:USDT"), K(f"{name}usdm:spot:USDT"), is_connected, FEE, D(1), D(0))


def exchanges(
    margins: dict[str, Decimal], cash: dict[str, Decimal], wallet: Decimal = D(0), **changes: object
) -> RiskBook:
    """A short of 100 coins at 1 at each exchange, with so much margin; m* .5, shock .25."""
    perps = tuple(
        replace(short(str(margin)), account=f"{name}usdm", instrument=K(f"{name}usdm:perp:ETHUSDT"))
        for name, margin in margins.items()
    )
    held = {way(name).cash_key: amount for name, amount in cash.items()} | {WALLET: wallet}
    held |= {way(name).margin_key: margin for name, margin in margins.items()}
    held |= {perp.instrument: perp.quantity for perp in perps}
    terms = replace(TERMS, ways=tuple(way(name) for name in margins), m_star=D("0.5"))
    found = RiskBook("book", terms, NOW, D(1000), (), perps, (), held, {"USDT": D(1)})
    return replace(found, **changes)  # type: ignore[arg-type]  # named by the caller


def sent(repair: Repair) -> list[tuple[str, str, str]]:
    return [(move.source, f"{move.amount:.2f}", f"{move.fee}") for move in repair.moves]


# ------------------------------------------------------------------------------------------------------------- golden
@pytest.mark.feature("K04", part="plan")
def test_idle_cash_restores_m_star_with_the_short_untouched() -> None:
    """CX10: N 83.333333, M 16.666667, m .2: X0 25."""
    notional, margin = D("83.333333"), D("16.6666667")
    perp = replace(short("0"), quantity=-notional, margin=margin)
    held = {
        WALLET: D(0),
        way("binance").cash_key: D(1000),
        way("binance").margin_key: margin,
        perp.instrument: -notional,
    }
    terms = replace(TERMS, ways=(way("binance"),), m_star=D("0.5"))
    (repair,) = plan_of(RiskBook("book", terms, NOW, D(1000), (), (perp,), (), held, {}))
    assert (repair.threat.state, f"{repair.needed:.5f}") == (LadderState.TOP_UP, "25.00000")
    assert sent(repair) == [("binance:spot:USDT", "25.00", "0")]
    assert (repair.lacking, repair.note) == (D(0), "")


@pytest.mark.feature("K04", part="plan")
def test_cash_that_is_lacking_comes_from_the_long_leg_against_a_smaller_short() -> None:
    """CX4: without cash X is 16.666667 of both legs."""
    notional = D("83.333333")
    perp = replace(short("0"), quantity=-notional, margin=D("16.666667"))
    terms = replace(TERMS, ways=(way("binance"),), m_star=D("0.5"))
    (repair,) = plan_of(RiskBook("book", terms, NOW, D(100), (), (perp,), (), {perp.instrument: -notional}, {}))
    assert (sent(repair), f"{repair.lacking:.4f}") == ([], "25.0000")
    assert "sells 16.67 USDT of the long leg" in repair.note


@pytest.mark.feature("K04", part="plan")
def test_a_debt_in_dollars_is_repaid_to_its_lambda() -> None:
    """EB6 at 1,900, with a fall that has come nearer: 87,500 on 100 ETH repay 21,000 to lambda .35."""
    core = LoanItem("WETH", D(100), D(1900), D("0.52"), D(0))
    debt = LoanItem("USDT", D(87_500), D(1), D(1), D("0.05"))
    terms = replace(TERMS, lambda_target=D("0.35"))
    held = {WALLET: D(30_000)}
    loan_ = LoanRisk("aave_v3", (core,), (debt,))
    (repair,) = plan_of(RiskBook("book", terms, NOW, D(1), (), (), (loan_,), held, {}))
    assert (repair.needed, repair.lacking, repair.unit) == (D(21_000), D(0), "USDT")
    assert [(move.source, move.target, move.amount) for move in repair.moves] == [
        (WALLET, K("aave_v3:vdebt:USDT"), D(21_000))
    ]


@pytest.mark.feature("K04", part="plan")
def test_a_levered_debt_is_repaid_by_a_flash_loan_where_no_coin_of_it_lies_loose() -> None:
    """DL4: C 100, D 88 to .85 at c .006: R 20.708333; health 1.0795 acts only below reduce, here told as 1.05."""
    terms = replace(TERMS, lambda_target=D("0.85"), exit_cost=D("0.006"))
    (repair,) = plan_of(RiskBook("lev", terms, NOW, D(1), (), (), (loan("0.88", told=D("1.05")),), {}, {}))
    assert (repair.needed, repair.lacking) == (D(3), D(3))
    bundle = delever(D(100), D(88), D("0.85"), D("0.006"))
    assert not isinstance(bundle, str)
    assert (signs(bundle.repaid), repair.sold) == ("20.708333", bundle.sold)
    assert plan_of(RiskBook("lev", terms, NOW, D(1), (), (), (loan("0.88"),), {}, {}))[0].needed == 0, (
        "warn repays nothing"
    )


def test_an_emergency_of_a_loan_goes_below_the_target() -> None:
    terms = replace(TERMS, lambda_target=D("0.85"), exit_cost=D("0.001"))
    held = {K("wallet:token:WETH"): D(500)}
    (repair,) = plan_of(RiskBook("lev", terms, NOW, D(1), (), (), (loan("0.92"),), held, {}))
    assert (repair.needed, repair.lacking) == (D(12), D(0))


# -------------------------------------------------------------------------------------------------------------- order
@pytest.mark.feature("K04", part="plan")
def test_own_cash_first_then_the_wallet_then_what_others_spare() -> None:
    """30 are needed at binance: 10 beside it, 10 of 15 in the wallet (fee 5), the rest from bybit's cash."""
    margins = {"binance": D(20), "bybit": D(60)}
    (repair,) = plan_of(exchanges(margins, {"binance": D(10), "bybit": D(30)}, D(15)))
    assert sent(repair) == [
        ("binance:spot:USDT", "10.00", "0"), ("wallet:token:USDT", "10.00", "5"), ("bybit:spot:USDT", "10.00", "5")
    ]  # fmt: skip
    assert repair.lacking == 0


@pytest.mark.feature("K04", part="plan")
def test_the_most_severe_is_served_first_and_no_cash_twice() -> None:
    margins = {"binance": D(20), "bybit": D(10)}
    first, second = plan_of(exchanges(margins, {"binance": D(0), "bybit": D(0)}, D(50)))
    assert (first.threat.site, first.threat.state) == ("bybitusdm", LadderState.REDUCE)
    assert sent(first) == [("wallet:token:USDT", "40.00", "5")]
    assert (second.threat.site, sent(second), second.lacking) == ("binanceusdm", [], D(30))


@pytest.mark.feature("K04", part="plan")
def test_what_travels_is_counted_as_coming_and_not_sent_again() -> None:
    book = exchanges({"binance": D(20)}, {"binance": D(100)}, coming={K("binanceusdm:spot:USDT"): D(25)})
    (repair,) = plan_of(book)
    assert (repair.needed, repair.coming, sent(repair)) == (D(30), D(25), [("binance:spot:USDT", "5.00", "0")])


@pytest.mark.feature("K04", part="plan")
def test_cash_that_was_not_heard_of_is_not_planned_with() -> None:
    stale = ("binance", "wallet")
    (repair,) = plan_of(exchanges({"binance": D(20)}, {"binance": D(100)}, D(100), stale_accounts=stale))
    assert (sent(repair), repair.lacking) == ([], D(30))


def test_an_exchange_without_a_route_is_served_from_its_own_cash_alone() -> None:
    book = exchanges({"binance": D(20)}, {"binance": D(3)}, D(100))
    book = replace(book, terms=replace(book.terms, ways=(way("binance", is_connected=False),)))
    (repair,) = plan_of(book)
    assert sent(repair) == [("binance:spot:USDT", "3.00", "0")]


def test_what_nobody_can_judge_is_named_and_nothing_is_planned_for_it() -> None:
    blind = replace(exchanges({"binance": D(20)}, {}), perps=(short("20", missing=("mark:x",)),))
    (repair,) = plan_of(blind)
    assert (repair.moves, repair.note) == ((), "not known: mark:x")


def test_a_calm_book_needs_nothing() -> None:
    assert plan_of(exchanges({"binance": D(50)}, {"binance": D(10)})) == ()


def test_sources_beyond_the_horizon_are_not_drawn() -> None:
    near, far = Source("near", D(5), D(0)), Source("far", D(50), D(4))
    assert drawn((near, far), D(10), D(2)) == (near,)
    assert drawn((near, far), D(10)) == (near, Source("far", D(5), D(4)))


# --------------------------------------------------------------------------------------------------------- properties
CASH = st.decimals("0", "200", places=2)
MARGINS = st.decimals("0.02", "120", places=2)


def of_three(margins: tuple[Decimal, ...], cash: tuple[Decimal, ...], wallet: Decimal) -> RiskBook:
    return exchanges(dict(zip(NAMES, margins, strict=True)), dict(zip(NAMES, cash, strict=True)), wallet)


BOOKS = st.builds(of_three, st.tuples(MARGINS, MARGINS, MARGINS), st.tuples(CASH, CASH, CASH), CASH)


def taken(moves: list[Move]) -> dict[PositionKey, Decimal]:
    found: dict[PositionKey, Decimal] = {}
    for move in moves:
        found[move.source] = found.get(move.source, D(0)) + move.amount + move.fee
    return found


@given(BOOKS)
def test_never_more_than_is_free_leaves_a_source_and_no_exchange_falls_below_its_floor(book: RiskBook) -> None:
    moves = [move for repair in plan_of(book) for move in repair.moves]
    for key, amount in taken(moves).items():
        assert move_is_possible(book, key, amount)


def move_is_possible(book: RiskBook, key: PositionKey, amount: Decimal) -> bool:
    """Cash may go to nothing, margin only as far as z stays at z_open."""
    perp = next((perp for perp in book.perps if perp.account == key.venue), None)
    if perp is None:
        return amount <= book.holdings[key]
    z = short_distance((perp.margin - amount) / D(100), perp.maintenance_rate) / D("0.25")
    return z >= Z_OPEN


@given(BOOKS)
def test_every_threat_gets_no_more_than_it_needs_and_what_is_lacking_is_said(book: RiskBook) -> None:
    for repair in plan_of(book):
        covered = sum((move.amount for move in repair.moves), D(0))
        m_star = target_ratio(D("0.5"), D("0.25"), D("0.01"), Z_OPEN)
        margin = next(perp.margin for perp in book.perps if perp.account == repair.threat.site)
        assert repair.needed == m_star * 100 - margin
        assert covered - repair.needed <= D("0.01") * len(repair.moves)
        assert abs(repair.lacking - max(repair.needed - covered, D(0))) < D("1e-12")
        assert (repair.threat.level or 0) >= 1


@given(BOOKS, st.decimals("0", "50", places=2))
def test_more_cash_never_leaves_more_open(book: RiskBook, more: Decimal) -> None:
    richer = replace(book, holdings={**book.holdings, WALLET: book.holdings[WALLET] + more})
    lacking = [sum((repair.lacking for repair in plan_of(each)), D(0)) for each in (book, richer)]
    assert lacking[1] <= lacking[0] + FEE * 3


# ------------------------------------------------------------------------------------------------------ one computation
@pytest.mark.feature("K04", part="plan")
@pytest.mark.parametrize("m", ["0.205", "0.20", "0.15"])
def test_the_plan_draws_what_the_strategy_sends(m: str) -> None:
    """The same sources in the same order, to the cent: nobody decides twice."""
    scene = paired(m=D(m), cash=D(50_000))
    charter, exposure = scene.strategy.charter, scene.exposure
    terms = RiskTerms(charter.ladder, charter.health, charter.shocks, ways=charter.ways, m_star=charter.m_star)
    (repair,) = plan_of(read_risk("btc_basis", scene.market, exposure, terms))
    orders = scene.orders()
    assert [(order.token_in, order.amount) for order in orders] == [(m.source, m.amount) for m in repair.moves]
    assert repair.lacking == 0
