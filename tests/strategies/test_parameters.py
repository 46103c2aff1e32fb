"""Parameters of a basis book: their defaults, and the refusal of what makes no sense."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from basis_daemon.domain.errors import ConfigError
from basis_daemon.strategies import STRATEGIES
from basis_daemon.strategies.parameters import RANGES, BasisParameters
from tests.builders import BINANCE, BYBIT, MARGIN, PERP, SPOT, D, parameters


def test_the_defaults_are_those_of_the_specification() -> None:
    p = BasisParameters(venues=(BINANCE,))
    found = (p.delta_soft, p.delta_rest, p.delta_hard, p.leg_drift, p.m_star, p.shock, p.k_confirm, p.venue_cap)
    assert found == (D("0.01"), D("0.002"), D("0.03"), D("0.02"), D("0.4"), D("0.2"), 3, D("0.5"))
    assert (p.entry_net_apr, p.exit_net_apr, p.funding_halflife_h) == (D("0.04"), D("0.005"), D(72))
    assert (p.ladder.z_open, p.ladder.z_restore, p.ladder.z_emergency) == (D("1.5"), D("1.1"), D("0.25"))


@pytest.mark.parametrize("key", sorted(RANGES))
def test_a_value_outside_its_range_is_refused_with_key_value_and_range(key: str) -> None:
    low, high = RANGES[key]
    outside = int(high) + 1 if key == "k_confirm" else D(high) + 1
    with pytest.raises(ConfigError) as error:
        parameters(**{key: outside})
    assert f"{key} {outside}, expected {low} to {high}" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"z_topup": D("1.5")}, "z_emergency < z_reduce < z_topup < z_open"),
        ({"delta_rest": D("0.01")}, "delta_rest < delta_soft < delta_hard"),
        ({"exit_net_apr": D("0.04")}, "exit_net_apr < entry_net_apr"),
        ({"slip_emergency_bp": D(50), "slip_cex_bp": D(50)}, "slip_cex_bp < slip_emergency_bp"),
    ],
)
def test_bounds_that_contradict_each_other_are_refused(changes: dict[str, Decimal], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parameters(**changes)


def test_venues_must_differ_and_weigh_something() -> None:
    with pytest.raises(ConfigError, match="every name once"):
        parameters(BINANCE, BINANCE)
    with pytest.raises(ConfigError, match="weight above 0"):
        parameters(BINANCE.model_copy(update={"weight": D(0)}))


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="m_stra"):
        parameters(m_stra=D(1))


def test_the_registered_book_declares_every_key_it_may_hold() -> None:
    routed = BINANCE.model_copy(update={"network": "tron"})
    book = STRATEGIES["btc_basis"](parameters(routed, BYBIT), "two venues")
    assert book.name == "two venues"
    assert book.instruments == {SPOT, PERP, "bybit:spot:BTC", "bybit:perp:BTCUSDT"}
    assert {MARGIN, "bybit:spot:USDT", "wallet:token:USDT", "binance:transit:USDT"} < book.declared_keys
    assert "wallet:token:USDT" not in STRATEGIES["btc_basis"](parameters(), "").declared_keys  # no route leads there
    assert book.decision_interval_s == 15
