"""Hooks of the test run; fixtures and builders live beside the tests that use them."""

import decimal

import hypothesis
import pytest

from basis_daemon import DECIMAL_PRECISION

pytest_plugins = ("tests.features", "tests.told", "tests.chain_support")


def pytest_configure(config: pytest.Config) -> None:
    """Wall time is never asserted, so hypothesis measures none; the rest of its profile (or its CI profile) stays."""
    del config
    hypothesis.settings.register_profile("house", parent=hypothesis.settings.default, deadline=None)
    hypothesis.settings.load_profile("house")


@pytest.hookimpl(trylast=True)  # when everything is marked
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with journeys first, then those with slow tests: no worker is left alone with a long one at the end."""
    long = [{item.path for item in items if item.get_closest_marker(mark)} for mark in ("journey", "slow")]
    items.sort(key=lambda item: [item.path not in files for files in long])


@pytest.fixture(autouse=True)
def _decimal_context_of_the_house() -> None:
    """Tests that call ccxt without our door leave its rounding in the context, which every task of a worker shares."""
    context, house = decimal.getcontext(), decimal.Context(prec=DECIMAL_PRECISION)
    context.prec, context.rounding, context.traps = house.prec, house.rounding, house.traps
