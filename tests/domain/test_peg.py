"""A token's rate, market and oracle belong together: what is apart is named, and silence is no agreement."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.peg import PEG_BAND, divergence, is_pegged
from tests.strategies.chain_scenes import RATE, lst_tick

D = Decimal
ON, OFF = RATE * D("0.9995"), RATE * D("0.97")


@pytest.mark.feature("D06", part="domain")
@pytest.mark.parametrize(
    ("pool", "oracle", "said"),
    [
        (ON, RATE, ""),
        (ON, None, ""),
        (None, RATE, "no pool quotes it"),
        (OFF, RATE, "the market pays"),
        (RATE * D("1.03"), RATE, "the market pays"),
        (ON, OFF, "the oracle says"),
        (RATE * D("0.985"), RATE * D("1.015"), "the oracle says"),
        (ON, D(0), "the oracle says 0.000000"),
    ],
)
def test_what_is_apart_is_named(pool: object, oracle: object, said: str) -> None:
    found = divergence(lst_tick(pool_price=pool, oracle_price_eth=oracle))
    assert (said in found) if said and found else (found is None and not said)


@given(share=st.decimals(D("0.5"), D("1.5"), places=6))
def test_a_market_is_pegged_exactly_while_it_does_not_diverge_from_the_rate(share: object) -> None:
    assert isinstance(share, D)
    tick = lst_tick(pool_price=RATE * share, oracle_price_eth=None)
    assert is_pegged(tick) is (divergence(tick) is None) is (abs(1 - share) < PEG_BAND)
