"""Figures that a test has measured, printed at the end of the run: `record_property("told", "20 kills: median 2 s")`.

They are told, never judged: what must hold is asserted by the test itself.
A worker's properties travel with its report.
"""

from __future__ import annotations

import pytest

PROPERTY = "told"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each figure, below the outcomes."""
    for report in terminalreporter.getreports("passed"):
        for name, line in report.user_properties:
            if name == PROPERTY:
                terminalreporter.write_line(f"{report.nodeid.rpartition('/')[2]}: {line}")
