"""Staking, wrapping, and claims that take days: on stand-ins that keep the issuers' own signatures and meaning."""

from __future__ import annotations

from decimal import Decimal

import pytest

from basis_daemon.domain.errors import ErrorClass, InvalidOrderError, OrderRejectedError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.venues.chain.lido import REQUEST_MAX, parts
from basis_daemon.venues.chain.tokens import ETH, held_at
from tests.venues.chain.trader import Trader

STETH, WSTETH, EETH, WEETH = held_at("stETH"), held_at("wstETH"), held_at("eETH"), held_at("weETH")
WETH = held_at("WETH")
MONTH = 30 * 86_400


def claim_of(trader: Trader, venue: str) -> PositionKey:
    """The one open claim in the ledger."""
    (found,) = [key for key, amount in trader.ledger.holdings().items() if key.venue == venue and amount]
    return found


@pytest.mark.feature("S05")
@pytest.mark.fault("F44")
async def test_lido_from_ether_to_ether_over_a_withdrawal_and_a_rebase(trader: Trader) -> None:
    staked = await trader.do(
        "stake", "lido", token_in=ETH, token_out=STETH, amount=Decimal(10), min_out=Decimal("9.99")
    )
    assert abs(staked.deltas[STETH] - 10) <= Decimal("2e-18")
    await trader.actor.controls.rebase("lido", Decimal("1.001"))
    await trader.assert_exact()
    assert trader.ledger.total(Cause.REBASE, "stETH") > Decimal("0.009")
    asked = await trader.do("unstake", "lido", token_in=STETH, amount=Decimal(8))
    claim = claim_of(trader, "lido")
    assert asked.deltas[STETH] == -8
    assert asked.deltas[claim] == 8
    with pytest.raises(OrderRejectedError, match="not finalised yet") as early:
        await trader.do("claim", "lido", instrument=claim, token_out=ETH, amount=Decimal(8))
    assert early.value.error_class is ErrorClass.RETRYABLE
    await trader.actor.controls.advance(5 * 86_400)
    await trader.actor.controls.finalize("lido")
    await trader.assert_exact()
    paid = await trader.do("claim", "lido", instrument=claim, token_out=ETH, amount=Decimal(8))
    assert abs(paid.deltas[claim] + 8) <= Decimal("2e-18"), "shares are rounded, once more"
    assert paid.deltas[ETH] == -paid.deltas[claim] - paid.fees[0].quantity
    await trader.assert_exact()
    with pytest.raises(OrderRejectedError, match="paid already"):
        await trader.do("claim", "lido", instrument=claim, token_out=ETH, amount=Decimal(8))


@pytest.mark.feature("S05")
async def test_a_claim_is_found_and_paid_once_by_a_process_that_did_not_make_it(trader: Trader) -> None:
    """The claim lives on the chain and in the ledger, not in memory."""
    await trader.do("stake", "lido", token_in=ETH, token_out=STETH, amount=Decimal(5), min_out=Decimal("4.9"))
    await trader.do("unstake", "lido", token_in=STETH, amount=Decimal("4.5"))
    claim = claim_of(trader, "lido")
    await trader.restart()
    assert (await trader.actor.balances()).held[claim] == Decimal("4.5")
    await trader.actor.controls.finalize("lido")
    wish = trader.order("claim", "lido", instrument=claim, token_out=ETH, amount=Decimal("4.5"))
    first, second = await trader.execute(wish), await trader.execute(wish)
    assert first.trade_id == second.trade_id
    await trader.assert_exact()
    assert trader.ledger.holding(claim) == 0


@pytest.mark.feature("S05")
async def test_a_slashed_claim_loses_by_a_rebase_and_pays_what_it_is_worth(trader: Trader) -> None:
    await trader.do("stake", "lido", token_in=ETH, token_out=STETH, amount=Decimal(5), min_out=Decimal("4.9"))
    await trader.do("unstake", "lido", token_in=STETH, amount=Decimal("4.9"))
    claim = claim_of(trader, "lido")
    await trader.actor.controls.rebase("lido", Decimal("0.9"))
    await trader.actor.controls.finalize("lido")
    await trader.assert_exact()
    assert trader.ledger.holding(claim) == pytest.approx(Decimal("4.41"), abs=Decimal("1e-15"))
    paid = await trader.do("claim", "lido", instrument=claim, token_out=ETH, amount=Decimal("4.41"))
    await trader.assert_exact()
    assert trader.ledger.holding(claim) == 0
    assert paid.qty_base < Decimal("4.42")


@pytest.mark.feature("S05")
async def test_wsteth_is_staked_through_its_wrapper_and_unstaked_without_unwrapping(trader: Trader) -> None:
    staked = await trader.do(
        "stake", "lido", token_in=ETH, token_out=WSTETH, amount=Decimal(12), min_out=Decimal("9.99")
    )
    assert staked.deltas[WSTETH] == pytest.approx(Decimal(10), abs=Decimal("0.01"))
    asked = await trader.do("unstake", "lido", token_in=WSTETH, amount=Decimal(5))
    claim = claim_of(trader, "lido")
    assert asked.deltas[WSTETH] == -5
    assert asked.deltas[claim] == pytest.approx(Decimal(6), abs=Decimal("0.01"))
    await trader.assert_exact()


@pytest.mark.parametrize(
    ("whole", "largest"),
    [(REQUEST_MAX, REQUEST_MAX), (REQUEST_MAX + 1, REQUEST_MAX), (2_500 * 10**18 + 1, REQUEST_MAX)],
)
def test_a_large_request_is_cut_into_equal_parts_that_sum_to_it(whole: int, largest: int) -> None:
    cut = parts(whole, largest)
    assert sum(cut) == whole
    assert max(cut) <= largest
    assert max(cut) - min(cut) <= 1
    assert len(cut) == -(-whole // largest)


@pytest.mark.feature("S05")
async def test_a_withdrawal_above_one_request_becomes_several_claims_of_one_transaction(trader: Trader) -> None:
    await trader.actor.fund(ETH=3_000)
    await trader.accrue_funds()
    await trader.do("stake", "lido", token_in=ETH, token_out=STETH, amount=Decimal(2_500), min_out=Decimal(2_499))
    asked = await trader.do("unstake", "lido", token_in=STETH, amount=Decimal(2_400))
    claims = {key: amount for key, amount in asked.deltas.items() if key.venue == "lido"}
    assert sorted(claims.values()) == [Decimal(800)] * 3
    await trader.assert_exact()


@pytest.mark.feature("S05")
async def test_a_paused_or_exhausted_issuer_takes_no_ether(trader: Trader) -> None:
    wish = {"token_in": ETH, "token_out": STETH, "amount": Decimal(10), "min_out": Decimal(9)}
    await trader.actor.controls.pause("lido_staking", on=True)
    with pytest.raises(OrderRejectedError, match="staking is paused"):
        await trader.do("stake", "lido", **wish)
    await trader.actor.controls.pause("lido_staking", on=False)
    steth = trader.chain.contract("StEth", "lido", "steth").functions
    await trader.actor.controls.act(steth.setStakingLimit(4 * 10**18, 1))
    with pytest.raises(OrderRejectedError, match="stakes ETH 10, expected at most 4"):
        await trader.do("stake", "lido", **wish)
    await trader.actor.controls.pause("etherfi", on=True)
    with pytest.raises(OrderRejectedError, match="deposits are paused"):
        await trader.do("stake", "etherfi", **(wish | {"token_out": EETH}))


async def test_a_stake_that_gives_less_than_its_least_is_refused(trader: Trader) -> None:
    with pytest.raises(OrderRejectedError, match=r"expected at least 9\.1") as refusal:
        await trader.do("stake", "lido", token_in=ETH, token_out=WSTETH, amount=Decimal(10), min_out=Decimal("9.1"))
    assert refusal.value.code == "min_out"


@pytest.mark.feature("S05")
async def test_etherfi_from_ether_to_weeth_and_back_to_ether(trader: Trader) -> None:
    await trader.do("stake", "etherfi", token_in=ETH, token_out=EETH, amount=Decimal(20), min_out=Decimal("19.9"))
    wrapped = await trader.do("wrap", "wallet", token_in=EETH, token_out=WEETH, amount=Decimal(10))
    assert wrapped.deltas[EETH] == -10
    assert wrapped.qty_base == 10
    assert wrapped.price == wrapped.deltas[WEETH] / 10
    await trader.assert_exact()
    await trader.actor.controls.rebase("etherfi", Decimal("1.0005"))
    await trader.assert_exact()
    assert trader.ledger.total(Cause.REBASE, "eETH") > 0
    await trader.do("unwrap", "wallet", token_in=WEETH, token_out=EETH, amount=Decimal(5))
    asked = await trader.do("unstake", "etherfi", token_in=EETH, amount=Decimal(9))
    claim = claim_of(trader, "etherfi")
    trader.actor.etherfi_claims.append(int(claim.symbol))
    assert asked.deltas[claim] == 9
    with pytest.raises(OrderRejectedError, match="not finalised yet"):
        await trader.do("claim", "etherfi", instrument=claim, token_out=ETH, amount=Decimal(9))
    await trader.actor.controls.finalize("etherfi")
    paid = await trader.do("claim", "etherfi", instrument=claim, token_out=ETH, amount=Decimal(9))
    assert paid.deltas[ETH] == -paid.deltas[claim] - paid.fees[0].quantity
    assert abs(paid.deltas[claim] + 9) <= Decimal("2e-18")
    with pytest.raises(OrderRejectedError, match="does not exist or was paid already"):
        await trader.do("claim", "etherfi", instrument=claim, token_out=ETH, amount=Decimal(9))
    await trader.assert_exact()


async def test_ether_and_staked_ether_are_wrapped_and_unwrapped_one_for_one(trader: Trader) -> None:
    wrapped = await trader.do("wrap", "wallet", token_in=ETH, token_out=WETH, amount=Decimal("1.5"))
    assert wrapped.deltas == {WETH: Decimal("1.5"), ETH: Decimal("-1.5") - wrapped.fees[0].quantity}
    back = await trader.do("unwrap", "wallet", token_in=WETH, token_out=ETH, amount=Decimal("0.5"))
    assert back.deltas == {WETH: Decimal("-0.5"), ETH: Decimal("0.5") - back.fees[0].quantity}
    await trader.do("stake", "lido", token_in=ETH, token_out=STETH, amount=Decimal(3), min_out=Decimal("2.9"))
    await trader.do("wrap", "wallet", token_in=STETH, token_out=WSTETH, amount=Decimal("2.4"))
    await trader.do("unwrap", "wallet", token_in=WSTETH, token_out=STETH, amount=Decimal(1))
    await trader.assert_exact()


async def test_only_a_token_and_its_own_wrapper_are_a_pair(trader: Trader) -> None:
    with pytest.raises(InvalidOrderError, match="expected one of ETH and WETH"):
        await trader.do("wrap", "wallet", token_in=STETH, token_out=WEETH)
    with pytest.raises(InvalidOrderError, match="token_out is stETH, expected eETH or weETH"):
        await trader.do("stake", "etherfi", token_in=ETH, token_out=STETH, min_out=Decimal("0.9"))


@pytest.mark.feature("S05")
async def test_weeth_is_staked_and_unstaked_in_one_transaction_each(trader: Trader) -> None:
    staked = await trader.do("stake", "etherfi", token_in=ETH, token_out=WEETH, amount=Decimal(20), min_out=Decimal(18))
    assert set(staked.deltas) == {ETH, WEETH}
    assert staked.qty_base == 20
    asked = await trader.do("unstake", "etherfi", token_in=WEETH, amount=Decimal(10))
    claim = claim_of(trader, "etherfi")
    trader.actor.etherfi_claims.append(int(claim.symbol))
    assert set(asked.deltas) == {ETH, WEETH, claim}
    assert asked.deltas[WEETH] == -10
    assert asked.deltas[claim] == pytest.approx(Decimal("10.668"), abs=Decimal("0.01"))
    await trader.assert_exact()
    with pytest.raises(OrderRejectedError, match=r"expected at least 19\.5"):
        await trader.do("stake", "etherfi", token_in=ETH, token_out=WEETH, amount=Decimal(20), min_out=Decimal("19.5"))
