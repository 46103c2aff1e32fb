"""Money that moved: double entry, deduplication, and an attribution that leaves nothing unexplained."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import (
    Arrival,
    CashFlow,
    Cause,
    Entry,
    Ledger,
    Posting,
    entry_of_cash_flow,
    entry_of_trade,
    perp_cost_change,
)
from basis_daemon.domain.pnl import (
    SOURCES,
    basis_pnl,
    borrow_pnl,
    by_source,
    delta_pnl,
    delta_pnl_own_asset,
    funding_pnl,
    inverse_pnl,
    slippage_of,
    staking_pnl,
    supply_pnl,
)
from basis_daemon.domain.trade import Fee, OrderState, Trade, TradeStatus
from basis_daemon.domain.valuation import Posted, Valuation, attribute
from tests.builders import CASH, MARGIN, NOW, PERP, SPOT, D, perp_instrument, signs, spot_instrument

BNB = PositionKey("binance:spot:BNB")
BYBIT_PERP = PositionKey("bybit:perp:BTCUSDT")
PERPS = {key: perp_instrument(key) for key in (PERP, BYBIT_PERP)}


# ------------------------------------------------------------------------------------------------ golden components
def test_a_staked_hedge_adds_up_to_its_change_of_equity() -> None:
    q, rate0, rate1 = D(100), D("1.0660"), D("1.0662")
    debt, index0, index1 = D(50), D("1.05"), D("1.0502")
    short, price0, price1, mark0, mark1 = D(-56), D(2000), D(2100), D(2001), D(2099)
    net = q * rate0 - debt * index0 + short
    parts = {
        "delta": delta_pnl(net, price0, price1),
        "staking": staking_pnl(q, rate0, rate1, price1),
        "borrow": borrow_pnl(debt, index0, index1, price1),
        "basis": basis_pnl(short, mark0, price0, mark1, price1),
        "funding": funding_pnl(short, mark1, D("0.0001")),
        "fees": D(-12),
    }
    assert {name: signs(value) for name, value in parts.items()} == {
        "delta": "-190", "staking": "42", "borrow": "-21", "basis": "112", "funding": "11.7544", "fees": "-12",
    }  # fmt: skip
    change = q * (rate1 * price1 - rate0 * price0) - debt * (index1 * price1 - index0 * price0)
    change += short * (mark1 - mark0) + parts["funding"] - 12
    assert (net, sum(parts.values())) == (D("-1.9"), change)  # PA1
    assert signs(change) == "-57.2456"


def test_an_eth_class_adds_up_in_eth() -> None:
    own, usdt, short = D(125), D(-60_000), D(-25)
    price0, price1, mark0, mark1, rate, fee = D(2500), D(2600), D(2502), D(2601), D("0.0001"), D(13)
    parts = {
        "delta": delta_pnl_own_asset(usdt, short, price0, price1),
        "basis": basis_pnl(short, mark0, price0, mark1, price1) / price1,
        "funding": funding_pnl(short, mark1, rate) / price1,
        "fees": -fee / price1,
    }
    assert {name: signs(value) for name, value in parts.items()} == {
        "delta": "-0.038461538", "basis": "0.0096153846", "funding": "0.0025009615", "fees": "-0.005",
    }  # fmt: skip
    before = own + usdt / price0
    after = own + (usdt + short * (mark1 - mark0) - short * mark1 * rate - fee) / price1
    assert before == 101
    assert signs(after - before) == signs(sum(parts.values(), D(0))) == "-0.031345192"  # PA2
    assert abs(after - before - sum(parts.values())) < D("1e-40")


def test_a_supplied_balance_grows_with_its_index_once() -> None:
    scaled = D(100_000) / D("1.0668")
    assert signs(supply_pnl(scaled, D("1.0668"), D("1.0812"))) == "1349.8313"  # PL1


def test_an_inverse_contract_earns_coin() -> None:
    assert signs(inverse_pnl(D(600), D(100), D(60_000), D(57_000))) == "-0.052631579"  # ML5
    assert signs(inverse_pnl(D(600), D(100), D(60_000), D(63_000))) == "0.047619048"


# --------------------------------------------------------------------------------------------------- double entry
def test_an_entry_that_does_not_balance_is_refused() -> None:
    with pytest.raises(IntegrityError, match="postings of USDT sum to 1"):
        Entry("e", NOW, (Posting(CASH, "USDT", D(1), Cause.TRADE),))


@pytest.mark.feature("P01")
def test_a_fill_that_reduces_a_short_by_a_share_realises_that_share_of_its_cost() -> None:
    assert perp_cost_change(D(-2), D(-120_000), D("0.5"), D(58_000)) == (D(30_000), D(1_000))
    assert perp_cost_change(D(-2), D(-120_000), D(3), D(58_000)) == (D(178_000), D(4_000))
    assert perp_cost_change(D(-2), D(-120_000), D(-1), D(58_000)) == (D(-58_000), D(0))


class Desk:
    """Books random events through the ledger, like the handler does. ``lost`` is what fills lost to their arrival."""

    def __init__(self) -> None:
        self.ledger, self.count, self.lost = Ledger(), 0, D(0)
        for key, amount in ((CASH, D(10**7)), (MARGIN, D(10**6)), (BNB, D(100))):
            self.flow(key, amount, Cause.OPENING)
        self.flow(PositionKey("bybit:spot:USDT"), D(10**6), Cause.OPENING)

    def flow(self, key: PositionKey, amount: Decimal, cause: Cause) -> None:
        self.count += 1
        assert self.ledger.apply(entry_of_cash_flow(CashFlow(f"f{self.count}", key, amount, cause, NOW)))

    def trade(
        self, key: PositionKey, quantity: Decimal, price: Decimal, arrival: Decimal, fee: Fee, rounded: Decimal
    ) -> Entry:
        self.count += 1
        held, cost = self.ledger.holding(key), self.ledger.open_notional(key, "USDT")
        coin = PositionKey.of(key.venue, Kind.SPOT, "USDT")
        deltas = {key: quantity}
        if key.kind is Kind.PERP:
            deltas[coin] = perp_cost_change(held, cost, quantity, price)[1] + rounded
        else:
            deltas[coin] = -quantity * price
        paid = PositionKey.of(key.venue, Kind.SPOT, fee.asset)
        deltas[paid] = deltas.get(paid, D(0)) - fee.quantity
        fill = Trade(
            trade_id=f"t{self.count}", order_id="", account=key.venue, instrument=key, status=TradeStatus.FILLED,
            order_state=OrderState.FILLED, price=price, qty_base=abs(quantity), fees=(fee,), venue_time=NOW,
            recv_time=NOW, deltas=deltas,
        )  # fmt: skip
        self.lost += quantity * (arrival - price)
        entry = entry_of_trade(fill, held, cost, PERPS.get(key, spot_instrument()), Arrival(arrival))
        assert self.ledger.apply(entry)
        return entry

    def value(self, prices: dict[str, Decimal], marks: dict[PositionKey, Decimal]) -> Valuation:
        posted = tuple(Posted(*at, amount) for at, amount in self.ledger.totals().items())
        bases = {key: perp.base for key, perp in PERPS.items()}
        return Valuation(NOW, self.ledger.holdings(), self.ledger.open_notionals(), prices, marks, bases, posted)


quantities = st.decimals(min_value=D("0.001"), max_value=D(5), places=3)
prices = st.decimals(min_value=D(1_000), max_value=D(200_000), places=2)
cents = st.decimals(min_value=D("-0.005"), max_value=D("0.005"), places=8)
fees = st.builds(
    Fee,
    asset=st.sampled_from(["USDT", "BTC", "BNB"]),
    quantity=st.decimals(min_value=D("-0.0001"), max_value=D("0.01"), places=8),
)
step = st.one_of(
    st.tuples(
        st.just("trade"), st.sampled_from([SPOT, PERP, BYBIT_PERP]), quantities, st.booleans(), prices, prices, fees,
        cents,
    ),
    st.tuples(
        st.just("flow"), st.sampled_from([CASH, MARGIN]), cents,
        st.sampled_from([Cause.FUNDING, Cause.EXTERNAL, Cause.INTEREST, Cause.CORRECTION]),
    ),
    st.tuples(st.just("move"), quantities, cents),
)  # fmt: skip
markets = st.tuples(prices, prices, prices, st.decimals(min_value=D(100), max_value=D(1000), places=2))


def play(desk: Desk, steps: list[tuple[object, ...]]) -> list[Entry]:
    """Every step booked; a perp's fee in BTC is taken in USDT, as its venue would."""
    entries = []
    for what in steps:
        match what:
            case (
                "trade",
                PositionKey() as key,
                Decimal() as q,
                is_buy,
                Decimal() as price,
                Decimal() as arrival,
                Fee() as fee,
                Decimal() as r,
            ):
                is_odd = key.kind is Kind.PERP and fee.asset == "BTC"
                paid = Fee(asset="USDT", quantity=fee.quantity) if is_odd else fee
                entries.append(desk.trade(key, q if is_buy else -q, price, arrival, paid, r))
            case ("flow", PositionKey() as key, Decimal() as amount, Cause() as cause):
                desk.flow(key, amount, cause)
            case ("move", Decimal() as amount, Decimal() as fee):
                desk.flow(CASH, -amount, Cause.TRANSFER)
                desk.flow(MARGIN, amount - abs(fee), Cause.TRANSFER)
    return entries


def seen(market: tuple[Decimal, Decimal, Decimal, Decimal]) -> tuple[dict[str, Decimal], dict[PositionKey, Decimal]]:
    price, mark, other, bnb = market
    return {"USDT": D(1), "BTC": price, "BNB": bnb}, {PERP: mark, BYBIT_PERP: other}


@pytest.mark.feature("P02", part="cex")
@pytest.mark.feature("P03")
@given(st.lists(step, max_size=12), st.lists(step, max_size=12), markets, markets)
def test_nothing_of_a_change_of_equity_is_left_unexplained(
    before: list[tuple[object, ...]],
    between: list[tuple[object, ...]],
    then: tuple[Decimal, Decimal, Decimal, Decimal],
    now: tuple[Decimal, Decimal, Decimal, Decimal],
) -> None:
    desk = Desk()
    play(desk, before)
    opening = desk.value(*seen(then))
    lost_before = desk.lost
    play(desk, between)
    closing = desk.value(*seen(now))
    parts = attribute(opening, closing)
    assert parts["unexplained"] == 0
    assert sum(parts.values()) == closing.equity - opening.equity
    sources = by_source(parts)
    assert tuple(sources) == SOURCES
    assert sum(sources.values()) == closing.equity - opening.equity
    assert sources["slippage"] == desk.lost - lost_before


@pytest.mark.feature("P03")
def test_money_that_no_posting_tells_of_is_unexplained() -> None:
    desk = Desk()
    opening = desk.value(*seen((D(60_000),) * 3 + (D(500),)))
    stated = {**desk.ledger.holdings(), CASH: desk.ledger.holding(CASH) - 7}
    closing = Valuation(
        NOW, stated, opening.open_notional, opening.prices, opening.marks, opening.bases, opening.posted
    )
    assert attribute(opening, closing)["unexplained"] == -7


@given(held=st.sampled_from((D(2), D(-2))), marks=st.tuples(prices, prices))
def test_a_perp_whose_coin_has_no_price_of_its_own_moves_by_its_mark_alone(
    held: Decimal, marks: tuple[Decimal, Decimal]
) -> None:
    opening, closing = (
        Valuation(NOW, {PERP: held}, {PERP: held * 60_000}, {"USDT": D(1)}, {PERP: mark}, {PERP: "BTC"}, ())
        for mark in marks
    )
    parts = attribute(opening, closing)
    assert parts["delta"] == held * (marks[1] - marks[0])
    assert parts["basis"] == parts["unexplained"] == 0


@given(st.lists(step, min_size=1, max_size=12))
def test_every_entry_balances_and_counts_once(steps: list[tuple[object, ...]]) -> None:
    desk = Desk()
    entries = play(desk, steps)
    held, totals = desk.ledger.holdings(), desk.ledger.totals()
    for entry in entries:
        sums: dict[str, Decimal] = {}
        for line in entry.postings:
            sums[line.asset] = sums.get(line.asset, D(0)) + line.amount
        assert set(sums.values()) <= {D(0)}
        assert not desk.ledger.apply(entry)
    assert (desk.ledger.holdings(), desk.ledger.totals()) == (held, totals)


@given(st.lists(st.tuples(quantities, st.booleans(), prices), min_size=1, max_size=10), prices)
def test_realised_and_open_cost_together_are_what_was_paid(
    fills: list[tuple[Decimal, bool, Decimal]], mark: Decimal
) -> None:
    held = cost = realised = worth = D(0)
    for quantity, is_buy, price in fills:
        signed = quantity if is_buy else -quantity
        change, gained = perp_cost_change(held, cost, signed, price)
        held, cost, realised = held + signed, cost + change, realised + gained
        worth += signed * (mark - price)
    assert realised + held * mark - cost == worth
    assert held != 0 or cost == 0


def test_slippage_is_told_against_the_arrival_mid() -> None:
    fill = Trade(
        trade_id="t", order_id="o", account="binance", instrument=SPOT, status=TradeStatus.FILLED,
        order_state=OrderState.FILLED, price=D(60_006), qty_base=D(2), venue_time=NOW + timedelta(0), recv_time=NOW,
        deltas={SPOT: D(2), CASH: D(-120_012)},
    )  # fmt: skip
    assert slippage_of(fill, D(60_000)) == -12
    assert slippage_of(fill.model_copy(update={"deltas": {SPOT: D(-2)}}), D(60_000)) == 12
    assert slippage_of(fill, None) == 0
