"""What closing every leg would cost off the books as they are; what has no quote has no cost that anybody knows."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick
from basis_daemon.domain.unwind_cost import UnwindLeg, unwind_legs, walked
from basis_daemon.strategies.leveraged import EthLeveraged
from basis_daemon.strategies.onchain_parameters import LeveragedParameters
from tests.builders import MARGIN, NOW, PERP, SPOT, paired, perp_instrument, spot_instrument
from tests.strategies.chain_scenes import A_WEETH, DEBT, PRICE, RATE, WEETH, Run, calm

D = Decimal
EMERGENCY_BP = D(100)


def book(*, size: str = "2", gap: str = "10") -> BookTick:
    """Two levels of ``size`` on either side of 60,000, a gap apart."""
    steps = (D(gap), 2 * D(gap))
    bids = tuple((60_000 - step, D(size)) for step in steps)
    asks = tuple((60_000 + step, D(size)) for step in steps)
    return BookTick(SPOT, NOW, 0, bids, asks)


def closed(quantity: str, tick: BookTick | None = None) -> UnwindLeg:
    return walked("leg", D(quantity), tick or book(), spot_instrument(), D(60_000), D("0.01"))


# ------------------------------------------------------------------------------------------------------------ exchanges
@pytest.mark.feature("C12", part="unwind")
@pytest.mark.parametrize(("quantity", "lost"), [("2", "20"), ("3", "40"), ("-2", "20"), ("-3", "40")])
def test_a_leg_is_walked_through_its_own_book_and_pays_the_fee(quantity: str, lost: str) -> None:
    """Against 60,000: two coins lose 10 each, the third 20; the fee is 10 bp of what is paid or got."""
    leg = closed(quantity)
    paid = abs(D(quantity)) * 60_000 - D(lost) * (1 if D(quantity) > 0 else -1)
    assert leg.cost == D(lost) + paid * D("0.001")
    assert (leg.value, leg.beyond) == (abs(D(quantity)) * 60_000, D(0))


@pytest.mark.feature("K04", part="unwind")
@pytest.mark.parametrize("quantity", ["10", "-10"])
def test_what_the_book_does_not_hold_is_taken_at_the_emergency_bound(quantity: str) -> None:
    """Four coins are quoted; six are taken 1 % beyond the last level."""
    leg = closed(quantity)
    assert leg.beyond == 360_000
    assert leg.cost is not None
    assert leg.cost > 6 * 60_000 * D("0.01")


@given(st.decimals("0.001", "20", places=3), st.decimals("0.001", "20", places=3), st.sampled_from([1, -1]))
def test_a_larger_leg_never_costs_less(quantity: Decimal, more: Decimal, sign: int) -> None:
    costs = [closed(str(sign * size)).cost for size in (quantity, quantity + more)]
    assert (costs[0] or D(0)) <= (costs[1] or D(0))


@pytest.mark.feature("K04", part="unwind")
def test_both_legs_of_a_pair_are_closed_and_dollars_are_there_already() -> None:
    scene = paired(D(1))
    legs = unwind_legs(scene.market, scene.exposure, "USDT", EMERGENCY_BP)
    assert {leg.what for leg in legs} == {SPOT, PERP}
    base, short = scene.exposure.holdings[SPOT], scene.exposure.holdings[PERP]
    fees = {SPOT: base * 60_000 * D("0.001"), PERP: -short * 60_000 * perp_instrument().taker_fee}
    assert {leg.what: leg.cost for leg in legs} == fees, "a book without a spread costs its fee"
    assert MARGIN not in {leg.what for leg in legs}


@pytest.mark.feature("K04", part="unwind")
@pytest.mark.parametrize("name", [f"book:{PERP}", f"mark:{PERP}"])
def test_a_leg_whose_quote_is_old_has_no_cost_that_anybody_knows(name: str) -> None:
    scene = paired(D(1)).but(stale=frozenset({name}))
    legs = {leg.what: leg for leg in unwind_legs(scene.market, scene.exposure, "USDT", EMERGENCY_BP)}
    assert (legs[PERP].cost, legs[PERP].missing) == (None, f"book:{PERP}")
    assert legs[SPOT].cost is not None


@pytest.mark.feature("K04", part="unwind")
def test_what_a_contract_that_settles_in_its_own_coin_costs_is_not_known_here() -> None:
    scene = paired(D(1))
    inverse = replace(scene.market.instruments[PERP], quote="USD")
    market = replace(scene.market, instruments={**scene.market.instruments, PERP: inverse})
    legs = {leg.what: leg for leg in unwind_legs(market, scene.exposure, "USDT", EMERGENCY_BP)}
    assert (legs[PERP].cost, legs[PERP].missing) == (None, f"inverse:{PERP}")


# ---------------------------------------------------------------------------------------------------------------- chain
def levered(**changes: object) -> Run:
    """100 weETH against 85 WETH."""
    run = Run(EthLeveraged(LeveragedParameters()), {A_WEETH: D(100), DEBT: D(85)}, calm(WEETH).emode(A_WEETH), emode=1)
    return replace(run, **changes)  # type: ignore[arg-type]  # named by the caller


def legs_of(run: Run) -> dict[str, UnwindLeg]:
    prices = {"ETH": PRICE, "WETH": PRICE, "weETH": RATE * PRICE, "USDT": D(1)}
    exposure = replace(run.exposure, prices=prices)
    return {leg.what: leg for leg in unwind_legs(run.market, exposure, "ETH", EMERGENCY_BP)}


@pytest.mark.feature("K04", part="unwind")
def test_a_staking_token_costs_its_discount_and_a_debt_the_flash_fee_and_gas() -> None:
    """7 bp below the rate with 5 bp of pool fee, for less than the quote's size; 850,000 units at 5 gwei."""
    legs = legs_of(levered())
    worth = 100 * RATE * PRICE
    assert legs[A_WEETH].cost == worth * D("0.0007")
    assert legs[DEBT].cost == 85 * PRICE * D("0.0005")
    assert legs["gas"].cost == 850_000 * 5 * D("1e-9") * D("1.15") * PRICE


@pytest.mark.feature("K04", part="unwind")
def test_impact_grows_with_the_size_beyond_the_quote_and_the_pools_fee_does_not() -> None:
    """The quote is good for 1,000: 4,000 lose 5 bp of fee and four times the 2 bp of impact."""
    legs = legs_of(levered(holdings={PositionKey("wallet:lst:weETH"): D(4000)}))
    leg = legs[WEETH]
    worth = 4000 * RATE * PRICE
    assert leg.cost is not None
    assert abs(leg.cost - worth * D("0.0013")) < D("1e-9")
    assert leg.beyond == 3000 * RATE * PRICE
    assert legs["gas"].cost == 235_000 * 5 * D("1e-9") * D("1.15") * PRICE


@pytest.mark.feature("K04", part="unwind")
def test_without_a_quote_or_a_price_of_gas_the_cost_is_unknown() -> None:
    run = levered()
    silent = replace(run, chain=run.chain.token(WEETH, pool_price=None))
    assert (legs_of(silent)[A_WEETH].cost, legs_of(silent)[A_WEETH].missing) == (None, f"quote:{A_WEETH}")
    old = levered(stale=frozenset({"gas:wallet:token:ETH", f"reserve:{PositionKey('aave_v3:atoken:WETH')}"}))
    assert legs_of(old)["gas"].cost is None
    assert legs_of(old)[DEBT].cost is None
