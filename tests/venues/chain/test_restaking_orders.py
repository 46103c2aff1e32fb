"""EigenLayer by its new signatures: in, delegated, queued for days, out again, rewarded, slashed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from eth_utils.address import to_checksum_address

from basis_daemon.domain.errors import ErrorClass, InvalidOrderError, OrderRejectedError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.venues.chain.eigenlayer import SHARE
from basis_daemon.venues.chain.tokens import ETH, held_at
from tests.venues.chain.trader import Trader

STETH, EIGEN = held_at("stETH"), held_at("EIGEN")
DELAY_BLOCKS = 51


async def restaked(trader: Trader, amount: Decimal) -> None:
    least = amount - Decimal("0.001")
    await trader.do("stake", "lido", token_in=ETH, token_out=STETH, amount=amount, min_out=least)
    held = (await trader.actor.balances()).held[STETH]
    await trader.do("deposit_strategy", "eigenlayer", instrument=SHARE, token_in=STETH, amount=held)


async def delegated(trader: Trader) -> None:
    operator = trader.chain.world["eigenlayer"]["operator"]
    await trader.do("delegate", "eigenlayer", instrument=SHARE, recipient=operator, expected_deltas={})


def open_claim(trader: Trader) -> PositionKey:
    (found,) = [
        key for key, amount in trader.ledger.holdings().items() if key.venue == "eigenlayer" and amount and key != SHARE
    ]
    return found


@pytest.mark.feature("S06")
async def test_stake_is_deposited_delegated_queued_and_completed_over_days(trader: Trader) -> None:
    await restaked(trader, Decimal(30))
    await trader.assert_exact()
    assert trader.ledger.holding(SHARE) == pytest.approx(Decimal(30), abs=Decimal("1e-15"))
    await delegated(trader)
    await trader.actor.controls.rebase("lido", Decimal("1.001"))
    await trader.assert_exact()
    assert trader.ledger.holding(SHARE) > Decimal("30.02"), "what is restaked goes on earning"
    await trader.do("queue_withdrawal", "eigenlayer", instrument=SHARE, token_in=SHARE, amount=Decimal(12))
    claim = open_claim(trader)
    await trader.assert_exact()
    assert trader.ledger.holding(claim) == pytest.approx(Decimal(12), abs=Decimal("1e-12"))
    wish = {"instrument": claim, "token_out": STETH, "amount": Decimal(12)}
    with pytest.raises(OrderRejectedError, match="completable in block") as early:
        await trader.do("complete_withdrawal", "eigenlayer", **wish)
    assert early.value.error_class is ErrorClass.RETRYABLE
    await trader.restart()
    await trader.actor.controls.mine(DELAY_BLOCKS)
    done = await trader.do("complete_withdrawal", "eigenlayer", **wish)
    assert done.deltas[STETH] == -done.deltas[claim]
    await trader.assert_exact()
    assert trader.ledger.holding(claim) == 0
    with pytest.raises(OrderRejectedError, match="is not queued"):
        await trader.do("complete_withdrawal", "eigenlayer", **wish)


@pytest.mark.feature("S06")
async def test_all_of_it_can_be_withdrawn_whatever_its_shares_are_worth(trader: Trader) -> None:
    await restaked(trader, Decimal(7))
    await trader.actor.controls.rebase("lido", Decimal("1.0003"))
    whole = (await trader.accrue()).held[SHARE]
    await trader.do("queue_withdrawal", "eigenlayer", instrument=SHARE, token_in=SHARE, amount=whole)
    await trader.assert_exact()
    assert trader.ledger.holding(SHARE) == 0


@pytest.mark.feature("S06")
async def test_slashing_is_a_rebase_of_what_is_restaked_and_of_what_is_queued(trader: Trader) -> None:
    await restaked(trader, Decimal(20))
    await delegated(trader)
    await trader.do("queue_withdrawal", "eigenlayer", instrument=SHARE, token_in=SHARE, amount=Decimal(10))
    claim = open_claim(trader)
    await trader.accrue()
    await trader.actor.controls.slash(Decimal("0.1"))
    await trader.assert_exact()
    assert trader.ledger.holding(claim) == pytest.approx(Decimal(9), abs=Decimal("1e-9"))
    assert trader.ledger.holding(SHARE) == pytest.approx(Decimal(9), abs=Decimal("1e-9"))
    await trader.actor.controls.mine(DELAY_BLOCKS)
    await trader.do("complete_withdrawal", "eigenlayer", instrument=claim, token_out=STETH, amount=Decimal(9))
    await trader.assert_exact()


@pytest.mark.feature("S06")
@pytest.mark.feature("X13", part="claim")
async def test_rewards_are_claimed_once_and_posted_as_rewards(trader: Trader) -> None:
    wish = {"instrument": EIGEN, "token_out": EIGEN, "amount": Decimal(40)}
    with pytest.raises(OrderRejectedError, match="no claim of EIGEN"):
        await trader.do("claim_reward", "eigenlayer", **wish)
    await trader.actor.controls.reward(trader.account.address, Decimal(40))
    got = await trader.do("claim_reward", "eigenlayer", **wish)
    assert got.deltas[EIGEN] == 40
    assert trader.ledger.total(Cause.REWARD, "EIGEN") == 40
    await trader.assert_exact()
    with pytest.raises(OrderRejectedError, match="expected more than 40 claimed before"):
        await trader.do("claim_reward", "eigenlayer", **wish)


@pytest.mark.feature("S06")
async def test_only_a_registered_operator_is_delegated_to_and_only_once(trader: Trader) -> None:
    nobody = to_checksum_address("0x" + "44" * 20)
    with pytest.raises(OrderRejectedError, match="is no operator"):
        await trader.do("delegate", "eigenlayer", instrument=SHARE, recipient=nobody, expected_deltas={})
    await delegated(trader)
    with pytest.raises(OrderRejectedError, match="already, expected nobody"):
        await delegated(trader)


@pytest.mark.feature("S06")
async def test_more_than_is_restaked_is_not_withdrawn_and_only_steth_goes_in(trader: Trader) -> None:
    await restaked(trader, Decimal(3))
    with pytest.raises(OrderRejectedError, match=r"withdraws stETH 4, expected at most 3"):
        await trader.do("queue_withdrawal", "eigenlayer", instrument=SHARE, token_in=SHARE, amount=Decimal(4))
    with pytest.raises(InvalidOrderError, match="expected stETH"):
        await trader.do("deposit_strategy", "eigenlayer", instrument=SHARE, token_in=held_at("WETH"))
    with pytest.raises(InvalidOrderError, match="expected eigenlayer:claim:ROOT"):
        await trader.do("complete_withdrawal", "eigenlayer", instrument=SHARE, token_out=STETH)
