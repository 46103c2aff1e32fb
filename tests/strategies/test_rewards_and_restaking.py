"""What a staking book does with rewards, and its sleeve at EigenLayer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from basis_daemon.domain.chain import RewardTick
from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import OrderOperation
from basis_daemon.strategies.onchain_parameters import StakingParameters
from tests.builders import D, signs, why_not
from tests.strategies.chain_scenes import ETH, START, WEETH, WETH, K, Run, block, shown
from tests.strategies.staking_scenes import EIGEN, ETHFI, KING, SHARE, SLEEVE, STETH, holder, staker

ENTRY, SCALE, HOLD = ReasonCode.ENTRY, ReasonCode.SCALE, ReasonCode.HOLD
WITHDRAWAL, DUST = ReasonCode.WITHDRAWAL, ReasonCode.DUST


# --------------------------------------------------------------------------------------------------------- rewards
def reward(key: PositionKey = EIGEN, **changes: object) -> RewardTick:
    tick = RewardTick(key, block(START), 0, D("0.190"), D("0.00053"))
    return replace(tick, **changes)  # type: ignore[arg-type]  # of the tick's own fields


def rewarded(run: Run, *ticks: RewardTick) -> Run:
    run.chain = replace(run.chain, rewards={tick.instrument: tick for tick in ticks})
    return run


def test_a_reward_is_collected_then_sold_and_then_staked() -> None:
    run = rewarded(holder(), reward(claimable=D(1000)))
    assert run.step(hours=1) is DUST
    assert shown(run.acts[0][2]) == [("claim_reward", "1000")]
    rewarded(run, reward())
    assert run.step(hours=1) is DUST
    (sale,) = run.acts[1][2]
    assert (sale.operation, sale.token_in, sale.token_out) == (OrderOperation.SWAP, EIGEN, WETH)
    assert sale.min_out == D("1000") * D("0.00053") * D("0.997")
    assert run.step(hours=1) is HOLD
    assert run.holdings[EIGEN] == 0


def test_a_basket_is_unwrapped_before_it_is_sold() -> None:
    basket = {EIGEN: D("0.5"), ETHFI: D("0.3")}
    run = rewarded(holder(), reward(KING, price_eth=D("0.01"), per_week=None, basket=basket))
    run.holdings[KING] = D(100)
    assert run.step(hours=1) is DUST
    (order,) = run.acts[0][2]
    assert order.expected_deltas == {KING: D(-100), EIGEN: D(50), ETHFI: D(30)}


@pytest.mark.parametrize(
    ("amount", "gwei", "why"),
    [("300", 5, "<= dust_min 0.002 of E"), ("500", 80, "20 x gas"), ("5000", 61, "gas 61 gwei > 60")],
)
def test_rewards_that_are_worth_less_than_their_trouble_wait(amount: str, gwei: int, why: str) -> None:
    run = rewarded(holder(), reward())
    run.holdings[EIGEN] = D(amount)
    run.chain = replace(run.chain, gwei=gwei)
    assert run.step(hours=1) is HOLD
    assert why in why_not(run.assess(), DUST)


def test_rewards_without_a_fresh_price_wait_and_count_nothing() -> None:
    run = rewarded(holder(), reward())
    before = run.assess().inputs["equity"].value
    run.holdings[EIGEN] = D(5000)
    run.stale = frozenset({f"reward:{EIGEN}"})
    assert run.step(hours=1) is HOLD
    assert run.assess().inputs["equity"].value == before
    assert "stale: reward:wallet:token:EIGEN" in why_not(run.assess(), DUST)


def test_half_of_what_rewards_pay_is_counted_as_yield() -> None:  # ST6
    run = rewarded(holder(), reward())
    run.step(hours=1)
    found = run.assess().inputs
    assert signs(found["y_eff"].value - found["y_base"].value) == "0.0026182"


# ---------------------------------------------------------------------------------------------------------- sleeve


def test_the_sleeve_is_staked_deposited_and_delegated_once() -> None:
    run = staker(**SLEEVE)
    assert run.step() is SCALE
    stake, deposit, delegate = run.acts[0][2]
    assert shown([stake, deposit, delegate]) == [("stake", "20"), ("deposit_strategy", "20"), ("delegate", "1")]
    assert (stake.venue, stake.token_out, deposit.venue) == ("lido", STETH, "eigenlayer")
    assert delegate.recipient == SLEEVE["operators"][0]
    assert run.step(hours=1) is ENTRY
    assert shown(run.acts[1][2]) == [("stake", "79.9"), ("wrap", "79.9")]
    run.holdings[ETH] += 20
    assert run.step(hours=1) is SCALE
    assert [kind for kind, _ in shown(run.acts[2][2])] == ["stake", "deposit_strategy"]


def test_a_delegation_that_did_not_come_through_is_asked_for_alone() -> None:
    run = staker("0.1", **SLEEVE)
    run.holdings |= {SHARE: D(20), WEETH: D(75)}
    assert run.step() is SCALE
    assert shown(run.acts[0][2]) == [("delegate", "1")]
    assert run.step(hours=1) is HOLD


def test_a_sleeve_above_its_weight_comes_back_in_two_queues() -> None:
    run = staker("0.1", **SLEEVE)
    run.holdings |= {SHARE: D(40), WEETH: D(56)}
    assert run.step() is ReasonCode.LEG_DRIFT
    assert [kind for kind, _ in shown(run.acts[0][2])] == ["queue_withdrawal"]
    claim = K("eigenlayer:claim:1")
    assert run.holdings[claim] > 19
    run.pay(claim)
    assert run.step(hours=1) is WITHDRAWAL
    (done,) = run.acts[1][2]
    assert (done.operation, done.token_out) == (OrderOperation.COMPLETE_WITHDRAWAL, STETH)
    assert run.step(hours=1) is ReasonCode.LEG_DRIFT
    assert run.acts[2][2][0].operation is OrderOperation.UNSTAKE
    assert run.acts[2][2][0].venue == "lido"
    run.pay(K("lido:claim:2"))
    assert run.step(hours=1) is WITHDRAWAL
    assert run.holdings[ETH] > 19


def test_the_sleeve_is_the_last_to_pay_a_withdrawal() -> None:
    run = staker("0.1", "10", **SLEEVE)
    run.holdings[SHARE] = D(20)
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(50_000))
    assert run.step() is WITHDRAWAL
    assert [kind for kind, _ in shown(run.acts[0][2])] == ["unwrap", "unstake", "queue_withdrawal"]


def test_a_sleeve_without_operators_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"without operators, expected at least one"):
        StakingParameters(eigenlayer_weight=D("0.1"))
