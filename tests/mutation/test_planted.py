"""The planted bugs still fit the source, and the page in docs/ speaks of them and of no others."""

from __future__ import annotations

import pytest

from tests.mutation.catalogue import PLANTED
from tests.mutation.page import PAGE, page, told
from tests.mutation.planted import Bug, places

BUGS_MIN = 30
INVARIANTS = {f"I{number}" for number in range(1, 20)}


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.name)
def test_what_a_bug_replaces_stands_in_the_source_once(bug: Bug) -> None:
    assert places(bug) == 1
    assert bug.sound != bug.broken


def test_there_are_enough_bugs_each_with_a_name_and_a_place_of_its_own() -> None:
    assert len(PLANTED) >= BUGS_MIN
    assert len({bug.name for bug in PLANTED}) == len(PLANTED)
    assert len({(bug.file, bug.broken) for bug in PLANTED}) == len(PLANTED)
    assert {bug.against for bug in PLANTED} <= INVARIANTS


def test_the_page_names_the_planted_bugs_and_says_where_each_was_found() -> None:
    hunts = told(PAGE.read_text(encoding="utf-8"), PLANTED)
    assert [hunt.bug for hunt in hunts] == list(PLANTED)
    assert [hunt.bug.name for hunt in hunts if hunt.seed is None] == []
    assert page(hunts) == PAGE.read_text(encoding="utf-8")
