"""Hooks of the test run; fixtures and builders live beside the tests that use them."""

import hypothesis
import pytest

pytest_plugins = ("tests.features", "tests.chain_support")


def pytest_configure(config: pytest.Config) -> None:
    """Wall time is never asserted, so hypothesis measures none; the rest of its profile (or its CI profile) stays."""
    del config
    hypothesis.settings.register_profile("house", parent=hypothesis.settings.default, deadline=None)
    hypothesis.settings.load_profile("house")
