"""Who loses money with whom, looking through what is held, and what the gate lets add to a name at its cap."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as told

from basis_daemon.domain.caps import Caps, Dimension, Held, exposures, gains_of
from basis_daemon.domain.deny import Denial, DenyReason
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.risk import GateInput, Refused
from basis_daemon.domain.risk_caps import REASON_OF
from basis_daemon.domain.risk_checks import review
from basis_daemon.strategies.lending import PureLending
from basis_daemon.strategies.onchain_parameters import LendingParameters
from tests.builders import BINANCE, CASH, idle, paired, parameters
from tests.domain.test_risk import LIMITS, OPERATIONS, changed, gate_of, reasons
from tests.strategies.chain_scenes import PRICE, Run, calm

D = Decimal
K = PositionKey
PRICES = {"USDT": D(1), "USDC": D(1), "ETH": D(2000), "WETH": D(2000), "weETH": D(2100), "wstETH": D(2400)}
PLACES = Caps(exchange_of={"binance": "binance", "binanceusdm": "binance", "desk2": "second"},
              operator_of={"binance": "binance", "second": "binance"})  # fmt: skip
WALLET, COIN = K("wallet:token:USDT"), K("binanceusdm:spot:USDT")


def behind(
    holdings: dict[str, str], gains: dict[PositionKey, Decimal | None] | None = None
) -> dict[str, Decimal | None]:
    held = Held({K(key): D(amount) for key, amount in holdings.items()}, PRICES, gains or {})
    return {f"{dimension} {name}": value for (dimension, name), value in exposures((held,), PLACES).items()}


# ------------------------------------------------------------------------------------------------------- look-through
@pytest.mark.feature("K10", part="look-through")
@pytest.mark.parametrize(
    ("holding", "names"),
    [
        ("binance:spot:USDT", {"venue binance", "counterparty binance", "counterparty tether", "stablecoin usdt"}),
        ("desk2:spot:BTC", {"venue second", "counterparty binance"}),
        ("binance:transit:ETH", {"venue binance", "counterparty binance"}),
        ("wallet:token:USDC", {"chain ethereum", "counterparty circle", "stablecoin usdc"}),
        ("wallet:token:ETH", {"chain ethereum"}),
        ("wallet:lst:wstETH", {"chain ethereum", "protocol lido", "counterparty lido"}),
        (
            "aave_v3:atoken:weETH",
            {"chain ethereum", "protocol aave_v3", "protocol etherfi", "protocol eigenlayer", "counterparty aave_v3",
             "counterparty etherfi", "counterparty eigenlayer"},
        ),
        ("aave_v3:atoken:USDT", {"chain ethereum", "protocol aave_v3", "counterparty aave_v3", "counterparty tether",
                                 "stablecoin usdt"}),
        ("eigenlayer:share:stETH", {"chain ethereum", "protocol lido", "protocol eigenlayer", "counterparty lido",
                                    "counterparty eigenlayer"}),
        ("lido:claim:48211", {"chain ethereum", "protocol lido", "counterparty lido"}),
        ("wallet:transit:USDT", {"chain ethereum", "counterparty tether", "stablecoin usdt"}),
    ],
)  # fmt: skip
def test_a_holding_stands_with_everybody_by_whose_failure_it_is_lost(holding: str, names: set[str]) -> None:
    assert set(behind({holding: "1"})) == names


@pytest.mark.feature("K10", part="look-through")
def test_a_lending_account_counts_net_of_what_it_owes() -> None:
    """100 weETH of 2,100 against 85 WETH of 2,000: 40,000 can be lost, with the lender as with the issuer."""
    found = behind({"aave_v3:atoken:weETH": "100", "aave_v3:vdebt:WETH": "85"})
    assert found["protocol aave_v3"] == found["counterparty etherfi"] == found["chain ethereum"] == D(40_000)


def test_profit_of_a_perp_stands_with_its_exchange_and_in_its_coin() -> None:
    found = behind({"binanceusdm:spot:USDT": "1000", "binanceusdm:perp:ETHUSDT": "-3"}, {COIN: D(250)})
    assert found["venue binance"] == found["stablecoin usdt"] == D(1250)


@pytest.mark.feature("K10", part="unknown")
@pytest.mark.parametrize("unpriced", ["wallet:token:KING", "aave_v3:vdebt:GHO"])
def test_what_has_no_price_makes_every_name_behind_it_unknown_and_no_other(unpriced: str) -> None:
    found = behind({unpriced: "1", "aave_v3:atoken:weETH": "100", "binance:spot:USDT": "5"})
    assert found["protocol etherfi"] is None
    assert found["venue binance"] == 5


def test_profit_of_an_inverse_perp_counts_in_its_own_coin_at_its_price() -> None:
    """2 BTC in the wallet and 2.1 of margin: a tenth of a coin, and no dollar of anybody."""
    told = [(K("binancecoinm:perp:BTCUSD"), "BTC", D("2.1"))]
    held = {K("binancecoinm:spot:BTC"): D(2)}
    assert gains_of(held, {"BTC": D(60_000)}, told) == {K("binancecoinm:spot:BTC"): D(6000)}
    assert gains_of(held, {}, told) == {K("binancecoinm:spot:BTC"): None}


def test_an_account_whose_margin_nobody_knows_is_unknown() -> None:
    assert behind({"binanceusdm:spot:USDT": "1000"}, {COIN: None})["venue binance"] is None


# --------------------------------------------------------------------------------------------------------------- gate
def arriving(amount: int = 10_000) -> list[Order]:
    """So much USDT from the wallet to the exchange."""
    return changed(
        idle().orders()[:1], 0, venue="wallet", instrument=WALLET, token_in=WALLET, recipient="binance",
        network="tron", amount=D(amount), expected_deltas={WALLET: D(-amount), CASH: D(amount)},
    )  # fmt: skip


def capped(dimension: Dimension, **shares: str) -> Caps:
    return replace(PLACES, shares={dimension: {name: D(share) for name, share in shares.items()}})


def denied(orders: list[Order], caps: Caps, **seen: object) -> list[Denial]:
    routed = BINANCE.model_copy(update={"network": "tron"})
    looked = gate_of(idle(D(50_000), wallet=D(50_000), parameters=parameters(routed)))
    looked = told(looked, operations={**OPERATIONS, "wallet": frozenset({OrderOperation.TRANSFER})}, **seen)
    verdict = review(orders, replace(LIMITS, caps=caps), looked)
    return list(verdict.denials) if isinstance(verdict, Refused) else []


@pytest.mark.feature("K10", part="gate")
@pytest.mark.parametrize(
    ("dimension", "name", "reason"),
    [
        (Dimension.VENUE, "binance", DenyReason.CAP_VENUE),
        (Dimension.COUNTERPARTY, "binance", DenyReason.CAP_COUNTERPARTY),
        (Dimension.VENUE, "other", DenyReason.CAP_VENUE),
    ],
)
def test_money_that_would_pass_a_cap_is_refused_by_its_own_reason(
    dimension: Dimension, name: str, reason: DenyReason
) -> None:
    assert denied(arriving(), capped(dimension, **{name: "0.6"})) == []
    (denial,) = denied(arriving(), capped(dimension, **{name: "0.599"}))
    assert (denial.reason, denial.found, denial.limit, denial.unit) == (reason, D("0.6"), D("0.599"), "of E")
    assert denial.detail == "with binance"


@pytest.mark.feature("K10", part="gate")
def test_a_coin_that_only_changes_its_place_adds_nothing_to_its_issuer() -> None:
    for dimension, name in ((Dimension.STABLECOIN, "usdt"), (Dimension.COUNTERPARTY, "tether")):
        assert denied(arriving(), capped(dimension, **{name: "0.1"})) == []


@pytest.mark.feature("K10", part="gate")
def test_what_takes_money_away_from_a_name_past_its_cap_is_never_barred() -> None:
    home = changed(arriving(), 0, venue="binance", instrument=CASH, token_in=CASH, recipient="wallet",
                   expected_deltas={CASH: D(-10_000), WALLET: D(10_000)})  # fmt: skip
    limits = replace(LIMITS, caps=capped(Dimension.VENUE, binance="0.1"), recipients=frozenset({"wallet"}))
    routed = BINANCE.model_copy(update={"network": "tron"})
    assert reasons(home, gate_of(idle(D(50_000), wallet=D(50_000), parameters=parameters(routed))), limits) == set()


@pytest.mark.feature("K10", part="gate")
def test_the_books_of_all_strategies_stand_with_the_same_names() -> None:
    """60 % of this book, but three quarters of both: the other one holds nothing elsewhere."""
    other = idle(D(60_000)).exposure
    caps = capped(Dimension.VENUE, binance="0.7")
    assert denied(arriving(), caps) == []
    assert denied(arriving(), caps, peers=(other,))[0].found == D("0.75")


@pytest.mark.feature("K10", part="unknown")
def test_an_unknown_exposure_is_at_its_cap_for_what_adds_and_for_nothing_else() -> None:
    blind = replace(idle(D(1)).exposure, equity_usdt=None)
    for caps in (capped(Dimension.VENUE, binance="2"), capped(Dimension.COUNTERPARTY, other="2")):
        found = denied(arriving(), caps, peers=(blind,))
        assert [denial.found for denial in found] == [None] * len(found) != []
    assert denied(arriving(), capped(Dimension.PROTOCOL, aave_v3="0"), peers=(blind,)) == []


@pytest.mark.feature("K10", part="gate")
def test_the_ladder_and_the_way_out_are_never_barred() -> None:
    caps = Caps({dimension: {"other": D(0)} for dimension in Dimension}, PLACES.exchange_of, PLACES.operator_of)
    limits = replace(LIMITS, caps=caps)
    for scene, level in ((paired(m=D("0.1")), 2), (paired(m=D("0.2"), cash=D(20_000)), 1)):
        assert reasons(scene.orders(), gate_of(scene, level=level), limits) == set()
    leaving = paired(rates={"binance": (D("-0.0003"),) * 30})
    assert reasons(leaving.orders(), gate_of(leaving), limits) == set()


def test_without_caps_nothing_is_counted() -> None:
    assert denied(arriving(50_000), Caps()) == []


# --------------------------------------------------------------------------------------------------------- properties
AMOUNTS = st.decimals("0.01", "1000000", places=2)


@given(debt=AMOUNTS, weeth=AMOUNTS, usdt=AMOUNTS, loose=AMOUNTS)
def test_nobody_can_lose_more_than_is_held_nor_less_than_nothing(
    debt: Decimal, weeth: Decimal, usdt: Decimal, loose: Decimal
) -> None:
    found = behind(
        {"aave_v3:atoken:weETH": str(weeth), "aave_v3:vdebt:WETH": str(debt), "binance:spot:USDT": str(usdt),
         "wallet:lst:weETH": str(loose)}
    )  # fmt: skip
    lent = max(weeth * 2100 - debt * 2000, D(0))
    assert abs((found["protocol aave_v3"] or D(0)) - lent) < D("1e-12")
    assert abs((found["protocol etherfi"] or D(0)) - lent - loose * 2100) < D("1e-12")
    assert found["venue binance"] == usdt


@given(amount=st.integers(1, 50_000), cap=st.decimals("0", "1", places=3))
@pytest.mark.slow
def test_what_the_gate_lets_pass_is_within_the_cap(amount: int, cap: Decimal) -> None:
    """50,000 lie at the exchange and as much in the wallet; less than a basis point of equity is no addition."""
    is_within = D(50_000 + amount) <= cap * 100_000
    found = denied(arriving(amount), capped(Dimension.VENUE, binance=str(cap)))
    assert (found == []) is (is_within or amount <= 10)


# --------------------------------------------------------------------------------------------------- a book that lends
def lending_gate(run: Run) -> GateInput:
    """A wallet of 100,000 USDT that would lend nearly all of it."""
    prices = {"USDT": D(1), "ETH": PRICE}
    exposure = replace(run.exposure, equity_usdt=D(100_000), prices=prices)
    everything = frozenset(OrderOperation)
    return GateInput(
        market=run.market,
        exposure=exposure,
        risk=run.risk,
        declared_keys=run.strategy.declared_keys,
        operations={"wallet": everything, "aave_v3": everything},
        is_armed=True,
    )


@pytest.mark.feature("K10", part="protocol")
def test_a_lender_adds_no_more_to_its_protocol_than_the_cap() -> None:
    run = Run(PureLending(LendingParameters()), {WALLET: D(100_000), K("wallet:token:ETH"): D("0.05")}, calm())
    run.time += timedelta(seconds=15)
    run.remember()
    orders = run.orders()
    assert orders
    for dimension, name in ((Dimension.PROTOCOL, "aave_v3"), (Dimension.COUNTERPARTY, "other")):
        assert reasons(orders, lending_gate(run), replace(LIMITS, caps=capped(dimension, **{name: "0.99"}))) == set()
        found = reasons(orders, lending_gate(run), replace(LIMITS, caps=capped(dimension, **{name: "0.5"})))
        assert found == {REASON_OF[dimension]}
