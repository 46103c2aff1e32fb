"""Every source that a book on the chain has: each is told by its own name, and together they are the change."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import (
    GAS_KEY,
    Arrival,
    CashFlow,
    Cause,
    Entry,
    Ledger,
    Posting,
    entry_of_cash_flow,
    entry_of_trade,
)
from basis_daemon.domain.pnl import by_source
from basis_daemon.domain.trade import Fee, OrderState, Origin, Trade, TradeStatus, TxInfo
from basis_daemon.domain.valuation import Posted, Valuation, attribute
from tests.builders import NOW, D

LST = PositionKey.of("wallet", Kind.LST, "weETH")
WETH = PositionKey.of("wallet", Kind.TOKEN, "WETH")
EIGEN = PositionKey.of("wallet", Kind.TOKEN, "EIGEN")
SUPPLIED = PositionKey.of("aave_v3", Kind.ATOKEN, "USDT")
COLLATERAL = PositionKey.of("aave_v3", Kind.ATOKEN, "weETH")
OWED = PositionKey.of("aave_v3", Kind.VDEBT, "WETH")
TX = TxInfo(hash="0x1", block=1, gas_used=100_000, gas_price=10**9, nonce=0)
Amounts = Mapping[PositionKey, Decimal]
NO_RATES: Mapping[str, Decimal] = MappingProxyType({})
RATES = {"ETH": D(1), "WETH": D(1), "weETH": D("1.06")}


class Wallet:
    """A USDT class with lending, a debt, a staking token and a reward token, booked as the handler books."""

    def __init__(self) -> None:
        self.ledger, self.count = Ledger(), 0
        for key, amount in ((LST, D(100)), (WETH, D(50)), (GAS_KEY, D(5)), (SUPPLIED, D(10_000)), (OWED, D(40))):
            self.flow(key, amount, Cause.OPENING)

    def flow(self, key: PositionKey, amount: Decimal, cause: Cause) -> None:
        self.count += 1
        assert self.ledger.apply(entry_of_cash_flow(CashFlow(f"f{self.count}", key, amount, cause, NOW)))

    def transact(
        self, deltas: Amounts, gas: Decimal, flash_fee: Decimal, origin: Origin, rates: Mapping[str, Decimal] = NO_RATES
    ) -> None:
        """One transaction; its gas and the fee of its flash loan are among the deltas, as a receipt tells them."""
        self.count += 1
        fees = [Fee(asset="ETH", quantity=gas)] + [Fee(asset="WETH", quantity=flash_fee)] * bool(flash_fee)
        moved = dict(deltas)
        for key, amount in ((GAS_KEY, gas), (WETH, flash_fee)):
            moved[key] = moved.get(key, D(0)) - amount
        trade = Trade(
            trade_id=f"t{self.count}", order_id="", account="wallet", instrument=LST, status=TradeStatus.FILLED,
            order_state=OrderState.FINAL, fees=tuple(fees), venue_time=NOW, recv_time=NOW, deltas=moved, tx=TX,
            origin=origin,
        )  # fmt: skip
        assert self.ledger.apply(entry_of_trade(trade, D(0), D(0), None, Arrival(rates=rates)))

    def correct(self, amount: Decimal) -> None:
        """What an operator has said of a difference."""
        self.count += 1
        lines = (
            Posting(WETH, "WETH", amount, Cause.CORRECTION),
            Posting("nominal:correction", "WETH", -amount, Cause.CORRECTION),
        )
        assert self.ledger.apply(Entry(f"c{self.count}", NOW, lines))

    def value(self, price: Decimal, rate: Decimal, eigen: Decimal) -> Valuation:
        posted = tuple(Posted(*at, amount) for at, amount in self.ledger.totals().items())
        prices = {"USDT": D(1), "ETH": price, "WETH": price, "weETH": price * rate, "EIGEN": eigen}
        return Valuation(NOW, self.ledger.holdings(), {}, prices, {}, {}, posted)


amounts = st.decimals(min_value=D("-3"), max_value=D(3), places=9)
paid = st.decimals(min_value=D(0), max_value=D("0.05"), places=9)
event = st.one_of(
    st.tuples(st.just("interest"), st.sampled_from([SUPPLIED, OWED]), paid),
    st.tuples(st.just("swap"), amounts, amounts, paid, paid),
    st.tuples(st.just("reward"), paid, paid),
    st.tuples(st.just("supply"), amounts, paid),
    st.tuples(st.just("rebase"), amounts),
    st.tuples(st.just("external"), amounts),
    st.tuples(st.just("correction"), amounts),
)
markets = st.tuples(
    st.decimals(min_value=D(500), max_value=D(9_000), places=2),
    st.decimals(min_value=D("0.9"), max_value=D("1.2"), places=8),
    st.decimals(min_value=D("0.1"), max_value=D(9), places=4),
)


def play(wallet: Wallet, events: list[tuple[object, ...]]) -> None:
    for what in events:
        match what:
            case ("interest", PositionKey() as key, Decimal() as amount):
                wallet.flow(key, amount, Cause.INTEREST)
            case ("swap", Decimal() as given, Decimal() as taken, Decimal() as gas, Decimal() as fee):
                wallet.transact({WETH: -given, LST: taken}, gas, fee, Origin.ORDER, RATES)
            case ("reward", Decimal() as amount, Decimal() as gas):
                wallet.transact({EIGEN: amount}, gas, D(0), Origin.REWARD)
            case ("supply", Decimal() as amount, Decimal() as gas):
                wallet.transact({WETH: amount, OWED: amount}, gas, D(0), Origin.ORDER)
            case ("rebase", Decimal() as amount):
                wallet.flow(LST, amount, Cause.REBASE)
            case ("external", Decimal() as amount):
                wallet.flow(WETH, amount, Cause.EXTERNAL)
            case ("correction", Decimal() as amount):
                wallet.correct(amount)


@pytest.mark.feature("P02", part="chain")
@pytest.mark.feature("P03")
@given(st.lists(event, max_size=10), st.lists(event, max_size=10), markets, markets)
@pytest.mark.slow
def test_the_sources_of_a_chain_book_sum_to_its_change_of_equity(
    before: list[tuple[object, ...]],
    between: list[tuple[object, ...]],
    then: tuple[Decimal, Decimal, Decimal],
    now: tuple[Decimal, Decimal, Decimal],
) -> None:
    wallet = Wallet()
    play(wallet, before)
    opening = wallet.value(*then)
    play(wallet, between)
    closing = wallet.value(*now)
    sources = by_source(attribute(opening, closing))
    assert sources["unexplained"] == 0
    assert sum(sources.values()) == closing.equity - opening.equity
    swapped = sum((D("1.06") * e[2] - e[1] for e in between if e[0] == "swap"), D(0))  # type: ignore[operator]  # drawn so
    assert sources["slippage"] == swapped * now[0]


@pytest.mark.feature("P02", part="chain")
def test_each_source_of_a_chain_book_stands_under_its_own_name() -> None:
    wallet = Wallet()
    opening = wallet.value(D(2_000), D("1.06"), D(1))
    wallet.flow(SUPPLIED, D(3), Cause.INTEREST)
    wallet.flow(OWED, D("0.01"), Cause.INTEREST)
    wallet.transact({WETH: D("-1.06"), LST: D(1)}, D("0.002"), D("0.0005"), Origin.ORDER)
    wallet.transact({EIGEN: D(7)}, D(0), D(0), Origin.REWARD)
    wallet.flow(WETH, D(2), Cause.EXTERNAL)
    closing = wallet.value(D(2_000), D("1.07"), D(1))
    found = {source: amount for source, amount in by_source(attribute(opening, closing)).items() if amount}
    assert found == {
        "lending": D(3), "borrow": D(-20), "staking": D(100) * D("0.01") * 2_000, "gas": D(-4), "flash_fee": D(-1),
        "rewards": D(7), "flows": D(4_000), "price": D("0.01") * 2_000,
    }  # fmt: skip


@pytest.mark.feature("P02", part="chain")
def test_what_a_sale_lost_to_the_issuers_rate_is_slippage_also_inside_a_bundle() -> None:
    """A de-lever: collateral is sold below its rate and debt repaid, in one transaction with gas and a flash fee."""
    wallet = Wallet()
    opening = wallet.value(D(2_000), D("1.06"), D(1))
    sold = {COLLATERAL: D(-10), OWED: D("-10.5")}
    wallet.transact(sold, D("0.002"), D("0.0005"), Origin.ORDER, RATES)
    found = by_source(attribute(opening, wallet.value(D(2_000), D("1.06"), D(1))))
    assert {source: amount for source, amount in found.items() if amount} == {
        "slippage": (D("10.5") - D("10.6")) * 2_000, "gas": D(-4), "flash_fee": D(-1),
    }  # fmt: skip


def test_a_swap_into_a_coin_that_has_no_rate_has_no_slippage_that_anybody_knows() -> None:
    wallet = Wallet()
    opening = wallet.value(D(2_000), D("1.06"), D(1))
    wallet.transact({EIGEN: D(-7), WETH: D("0.003")}, D(0), D(0), Origin.ORDER, RATES)
    found = by_source(attribute(opening, wallet.value(D(2_000), D("1.06"), D(1))))
    assert {source: amount for source, amount in found.items() if amount} == {"price": D(-1)}
