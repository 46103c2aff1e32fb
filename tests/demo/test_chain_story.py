"""Stories are tables that the sandbox understands, and a demo is played where its strategies live, or refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from basis_daemon.demo import chain, exchange, linked
from basis_daemon.demo.chain_story import STORIES, Story, story_of
from basis_daemon.demo.configuration import SANDBOX_CHAIN_CONFIG, SANDBOX_CONFIG, SANDBOX_HEDGE_CONFIG
from basis_daemon.demo.faults import FaultLevel
from basis_daemon.demo.run import house_of
from basis_daemon.demo.stage import DemoOptions
from basis_daemon.domain.errors import ConfigError
from basis_daemon.sandbox.chain.control import ACTIONS
from basis_daemon.settings import lives_on_chain, load_settings

pytestmark = pytest.mark.slow


def options(*strategies: str, **changes: object) -> DemoOptions:
    found = {"strategies": strategies, "seed": 7, "days": 1} | changes
    return DemoOptions(**found)  # type: ignore[arg-type]  # one field each


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_scenes_follow_each_other_within_the_days_and_ask_for_what_the_sandbox_can_do(story: Story) -> None:
    times = [scene.at for scene in story.scenes]
    assert all(0 < before <= after < 1 for before, after in pairwise(times))
    assert {scene.action for scene in story.scenes if scene.house == "chain"} <= ACTIONS.keys()
    assert {scene.action for scene in story.scenes if scene.house != "chain"} <= {"conditions", "market"}


def test_a_kind_without_a_story_is_named() -> None:
    with pytest.raises(ConfigError, match="no demo of kind btc_basis: stories are written for pure_lending"):
        story_of("btc_basis")


@pytest.mark.parametrize("kind", STORIES)
def test_a_kind_with_a_story_lives_on_the_chain(kind: str) -> None:
    files = (SANDBOX_CHAIN_CONFIG, SANDBOX_HEDGE_CONFIG)
    known = [load_settings(file, {}, with_secrets=False).settings for file in files]
    homes = [(settings, name) for settings in known for name, s in settings.strategies.items() if s.kind == kind]
    assert homes
    assert all(lives_on_chain(settings, name) for settings, name in homes)


def test_the_configuration_is_that_of_the_sandbox_where_the_strategies_live() -> None:
    assert house_of(options("btc_basis", "eth_basis")) == (SANDBOX_CONFIG, exchange.perform)
    assert house_of(options("pure_lending")) == (SANDBOX_CHAIN_CONFIG, chain.perform)
    assert house_of(options("pure_lending", config=SANDBOX_CHAIN_CONFIG)) == (SANDBOX_CHAIN_CONFIG, chain.perform)
    for name in ("usdt_market_neutral_no_leverage", "usdt_market_neutral", "eth_basis_in_eth"):
        assert house_of(options(name, days=15)) == (SANDBOX_HEDGE_CONFIG, linked.perform)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (options("btc_basis", "pure_lending"), "btc_basis trades at exchanges and pure_lending on the chain"),
        (options("pure_lending", faults=FaultLevel.LIGHT), "--faults are those of the sandbox exchange"),
        (options("pure_lending", history=Path()), "--history is of exchanges"),
        (options("pure_lending", "eth_leveraged"), "a wallet belongs to one strategy: play them one by one"),
        (options("eth_leveraged", days=3), "--days 3, expected at least 17: it enters only after some days"),
        (options("pure_lending", config=SANDBOX_CONFIG), r"'pure_lending' is not in .*sandbox.yaml: it holds btc"),
    ],
)
def test_what_cannot_be_played_is_refused_in_words(asked: DemoOptions, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        house_of(asked)
