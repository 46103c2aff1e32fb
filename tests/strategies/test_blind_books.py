"""Whatever a book cannot see, it answers: it never raises, and it asks for nothing that adds risk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.order import Order, OrderOperation
from tests.strategies.hedge_scenes import (
    HedgeRun,
    candidate,
    entered,
    levered,
    levered_candidate,
    overlaid,
    overlay_candidate,
)

MAKERS: dict[str, Callable[[], HedgeRun]] = {
    "hedge candidate": candidate,
    "hedge": entered,
    "levered candidate": levered_candidate,
    "levered hedge": levered,
    "overlay candidate": overlay_candidate,
    "overlay": overlaid,
}
PARTS = ("books", "marks", "instruments", "lsts", "reserves", "emodes")
UNUSED = {"hedge": {"emodes"}, "levered": set[str](), "overlay": {"lsts", "emodes"}}
"""What a book never looks at."""
NONE_THERE: MappingProxyType[object, object] = MappingProxyType({})


@cache
def standing(name: str) -> HedgeRun:
    return MAKERS[name]()


def without(market: MarketSnapshot, gone: frozenset[str], *, has_gas: bool) -> MarketSnapshot:
    """A market of which whole parts were never seen: their names have no ages either."""
    seen = {name: age for name, age in market.ages.items() if not any(_is_of(name, part) for part in gone)}
    if not has_gas:
        seen = {name: age for name, age in seen.items() if not name.startswith("gas:")}
    blank = dict.fromkeys(gone, NONE_THERE)
    return replace(market, ages=seen, gas=market.gas if has_gas else None, **blank)  # type: ignore[arg-type]  # parts by name


def _is_of(name: str, part: str) -> bool:
    return name.startswith(f"{part[:-1]}:")


def adds(order: Order) -> bool:
    """True for what opens, borrows or puts in."""
    adding = {OrderOperation.BORROW, OrderOperation.SUPPLY, OrderOperation.STAKE, OrderOperation.FLASH_BORROW}
    is_trade = order.side is not None
    return (is_trade and not order.reduce_only and order.instrument.kind == "perp") or order.operation in adding


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=40, deadline=None)
@given(
    st.frozensets(st.sampled_from(PARTS), min_size=1),
    st.booleans(),
    st.sampled_from(["0", "0.2", "0.33", "0.42", "-0.24"]),
)
def test_what_was_never_seen_is_no_exception_and_no_new_risk(
    name: str, gone: frozenset[str], has_gas: bool, by: str
) -> None:
    known = standing(name)
    run = replace(known, holdings=dict(known.holdings), open_notional=dict(known.open_notional), acts=[])
    run.moves(by)
    market = without(run.market, gone, has_gas=has_gas)
    question = (run.time, "market", market, run.exposure_at(market), run.risk)
    assert run.strategy.assess(*question).strategy == run.strategy.name
    orders = run.strategy.make_strategy_decision(*question)
    if gone - UNUSED[name.split(maxsplit=1)[0]]:
        assert not any(adds(order) for order in orders)


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_old_is_no_exception_and_no_new_risk(name: str, data: st.DataObject) -> None:
    known = standing(name)
    run = replace(known, holdings=dict(known.holdings), open_notional=dict(known.open_notional), acts=[])
    run.moves(data.draw(st.sampled_from(["0", "0.2", "0.33", "0.42", "-0.24"])))
    names = sorted(run.market.ages)
    run.stale = data.draw(st.frozensets(st.sampled_from(names), min_size=1))
    found, orders = run.assess(), run.orders()
    assert found.strategy == run.strategy.name
    needed = {name for name in run.stale if not name.startswith(("reserve:aave_v3:atoken:USDT", "emode", "reward"))}
    if needed & {"account:wallet", "gas:wallet:token:ETH", "reserve:aave_v3:atoken:WETH"}:
        assert not any(adds(order) and order.operation is not OrderOperation.FLASH_BORROW for order in orders)
