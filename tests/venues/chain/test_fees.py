"""Fee arithmetic: never below what a pool takes, never above what the order allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.venues.chain.fees import FeePolicy, Fees, bumped, capped, fresh_fees, replacement, unlike
from tests.venues.chain.proxy import geth_takes

WEI = st.integers(min_value=0, max_value=10**14)


@st.composite
def fees(draw: st.DrawFn) -> Fees:
    tip = draw(WEI)
    return Fees(tip + draw(WEI), tip)


def test_a_fresh_offer_has_room_for_the_base_fee_to_double() -> None:
    policy = FeePolicy(tip_min_wei=1, tip_max_wei=100)
    assert fresh_fees(1000, [3, 50, 7], policy) == Fees(2007, 7)


@pytest.mark.parametrize(("tips", "tip"), [([], 2), ([0, 0, 0], 2), ([1000], 9), ([5, 5], 5)])
def test_the_tip_is_kept_within_its_bounds(tips: list[int], tip: int) -> None:
    assert fresh_fees(100, tips, FeePolicy(tip_min_wei=2, tip_max_wei=9)).tip_wei == tip


@pytest.mark.feature("X02", part="bump")
@pytest.mark.parametrize(
    ("before", "after"),
    [(Fees(8, 8), Fees(9, 9)), (Fees(9, 1), Fees(11, 2)), (Fees(0, 0), Fees(1, 1)), (Fees(1000, 10), Fees(1125, 12))],
)
def test_a_bump_is_an_eighth_rounded_up_on_both_fields(before: Fees, after: Fees) -> None:
    assert bumped(before) == after


@pytest.mark.feature("X02", part="bump")
@pytest.mark.fault("F42")
@given(fees())
def test_a_bump_is_taken_by_a_pool_that_wants_a_tenth_more(before: Fees) -> None:
    after = bumped(before)
    assert geth_takes((before.max_fee_wei, before.tip_wei), (after.max_fee_wei, after.tip_wei))


@pytest.mark.feature("X02", part="cap")
@given(fees(), fees(), WEI)
def test_a_replacement_stays_below_the_cap_or_is_none(pending: Fees, fresh: Fees, cap_wei: int) -> None:
    found = replacement(pending, fresh, cap_wei)
    if found is None:
        assert bumped(pending).max_fee_wei > cap_wei
    else:
        assert found.max_fee_wei <= cap_wei
        assert geth_takes((pending.max_fee_wei, pending.tip_wei), (found.max_fee_wei, found.tip_wei))
        assert found.max_fee_wei >= min(fresh.max_fee_wei, cap_wei)


@given(fees(), WEI)
def test_a_capped_offer_is_an_offer(offer: Fees, cap_wei: int) -> None:
    found = capped(offer, cap_wei)
    assert max(found.max_fee_wei, found.tip_wei) <= cap_wei


@given(fees(), st.integers(0, 20))
def test_offers_on_one_nonce_differ_by_a_few_wei_and_never_in_the_whole(offer: Fees, count: int) -> None:
    taken: list[Fees] = []
    for _ in range(min(count, offer.max_fee_wei)):
        taken.append(unlike(offer, taken))
    assert len(set(taken)) == len(taken)
    assert all(one.max_fee_wei == offer.max_fee_wei and abs(one.tip_wei - offer.tip_wei) <= 40 for one in taken)


def test_a_tip_above_the_whole_is_no_offer() -> None:
    with pytest.raises(ValueError, match="tip 2 wei, max fee 1 wei"):
        Fees(1, 2)
