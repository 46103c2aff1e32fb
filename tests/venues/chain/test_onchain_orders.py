"""Orders through the account to the real contracts and back: exact trades, exact ledgers, named refusals."""

from __future__ import annotations

from decimal import Decimal

import pytest

from basis_daemon.domain.errors import ErrorClass, InvalidOrderError, OrderRejectedError, OutcomeUnknownError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import OrderState, TradeStatus
from basis_daemon.ports import Finding
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.aave_reads import read_reserves
from basis_daemon.venues.chain.tokens import ETH, atoken, held_at, vdebt
from tests.venues.chain.trader import Trader

USDT, WETH, WEETH = held_at("USDT"), held_at("WETH"), held_at("weETH")


async def borrowing_power(trader: Trader, collateral: Decimal) -> tuple[Decimal, Decimal]:
    """Supply so much weETH; the most WETH that it may carry, and what is too much without being liquidatable."""
    await trader.do("supply", "aave_v3", token_in=WEETH, amount=collateral)
    at = await trader.actor.head()
    weeth, weth = await read_reserves(trader.actor.reader, at, trader.book, ["weETH", "WETH"], 0)
    worth = collateral * weeth.price / weth.price
    middle = (weeth.ltv + weeth.liquidation_threshold) / 2
    return (worth * weeth.ltv).quantize(Decimal("1e-18")), (worth * middle).quantize(Decimal("1e-18"))


@pytest.mark.feature("S08")
@pytest.mark.feature("X09")
async def test_a_day_of_lending_leaves_ledger_and_chain_equal_to_the_wei(trader: Trader) -> None:
    await trader.do("supply", "aave_v3", token_in=USDT, amount=Decimal("250000.123456"))
    await trader.do("supply", "aave_v3", token_in=WEETH, amount=Decimal("99.999999999999999999"))
    await trader.assert_exact()
    await trader.do("borrow", "aave_v3", token_out=WETH, amount=Decimal("30.5"))
    await trader.actor.controls.advance(86_400)
    await trader.do("repay", "aave_v3", token_in=WETH, amount=Decimal("7.000000000000000003"))
    await trader.do("withdraw", "aave_v3", token_out=USDT, amount=Decimal("1000.000001"))
    await trader.assert_exact()
    await trader.actor.controls.advance(30 * 86_400)
    await trader.do("repay", "aave_v3", token_in=WETH, amount="MAX")
    await trader.do("withdraw", "aave_v3", token_out=USDT, amount="MAX")
    await trader.do("withdraw", "aave_v3", token_out=WEETH, amount="MAX")
    await trader.assert_exact()
    assert trader.ledger.holding(atoken("USDT")) == trader.ledger.holding(vdebt("WETH")) == 0
    assert trader.ledger.total(Cause.INTEREST, "USDT") > 0
    assert trader.ledger.total(Cause.GAS, "ETH") < 0
    assert abs(trader.ledger.total(Cause.ROUNDING, "USDT")) <= Decimal("0.000010")


async def test_a_trade_tells_the_transaction_and_its_gas(trader: Trader) -> None:
    before = await trader.actor.balances()
    trade = await trader.do("supply", "aave_v3", token_in=USDT, amount=Decimal(1_000))
    after = await trader.actor.balances()
    assert (trade.status, trade.order_state, trade.account) == (TradeStatus.FILLED, OrderState.FILLED, "aave_v3")
    assert trade.tx is not None
    gas = sum((fee.quantity for told in trader.trades for fee in told.fees), Decimal(0))
    assert before.held[ETH] - after.held[ETH] == gas, "the approval's gas and the supply's"
    assert trade.deltas == {USDT: -1_000, atoken("USDT"): 1_000, ETH: -trade.fees[0].quantity}


@pytest.mark.feature("X08")
@pytest.mark.fault("F44")
async def test_an_allowance_is_made_exact_before_and_used_up_after(trader: Trader) -> None:
    pool, token = trader.book.aave.pool, trader.book.token("USDT").address
    assert await trader.actor.allowed(token, pool) == 0
    trade = await trader.do("supply", "aave_v3", token_in=USDT, amount=Decimal(777))
    assert await trader.actor.allowed(token, pool) == 0
    approval = next(told for told in trader.trades if told.trade_id != trade.trade_id)
    assert approval.order_id == trade.order_id
    assert approval.deltas == {ETH: -approval.fees[0].quantity}
    assert approval.order_state is OrderState.SUBMITTED, "the order goes on"


@pytest.mark.feature("X08")
@pytest.mark.fault("F44")
async def test_a_token_that_wants_zero_first_gets_zero_first(trader: Trader) -> None:
    """USDT refuses to change an allowance that is not zero."""
    pool, token = trader.book.aave.pool, trader.book.token("USDT").address
    await trader.do("approve", "wallet", token_in=USDT, recipient="aave_v3", amount=Decimal(5), expected_deltas={})
    assert await trader.actor.allowed(token, pool) == 5_000_000
    await trader.do("supply", "aave_v3", token_in=USDT, amount=Decimal(9))
    assert await trader.actor.allowed(token, pool) == 0
    assert len(trader.trades) == 1 + 2 + 1


@pytest.mark.feature("X08")
async def test_an_allowance_can_be_taken_back(trader: Trader) -> None:
    wish = {"token_in": WETH, "recipient": "uniswap_v3", "amount": Decimal(3), "expected_deltas": {}}
    router, token = trader.book.dex.router, trader.book.token("WETH").address
    await trader.do("approve", "wallet", **wish)
    assert await trader.actor.allowed(token, router) == 3 * 10**18
    await trader.do("approve", "wallet", memo="revoke", **wish)
    assert await trader.actor.allowed(token, router) == 0


@pytest.mark.feature("X08")
async def test_only_spenders_of_the_address_book_are_allowed_anything(trader: Trader) -> None:
    with pytest.raises(InvalidOrderError, match=r"0x1234, expected a token for one of aave_v3"):
        await trader.do("approve", "wallet", token_in=WETH, recipient="0x1234", expected_deltas={})
    assert trader.trades == []


async def test_the_same_order_again_is_not_sent_again(trader: Trader) -> None:
    wish = trader.order("supply", "aave_v3", token_in=WETH, amount=Decimal(1))
    first, second = await trader.execute(wish), await trader.execute(wish)
    assert first.trade_id == second.trade_id
    await trader.assert_exact()


async def test_an_order_is_found_by_a_new_process_and_booked_once(trader: Trader) -> None:
    wish = trader.order("supply", "aave_v3", token_in=WETH, amount=Decimal(1))
    done = await trader.execute(wish)
    await trader.restart()
    interface = trader.interfaces[wish.operation, wish.venue]
    evidence = await interface.find_order(wish, wish.created_at)
    assert evidence.finding is Finding.FOUND
    assert evidence.trade is not None
    assert (evidence.trade.trade_id, evidence.trade.deltas) == (done.trade_id, done.deltas)
    await trader.assert_exact()
    never = trader.order("supply", "aave_v3", token_in=WETH)
    assert (await interface.find_order(never, never.created_at)).finding is Finding.ABSENT


@pytest.mark.fault("F47")
async def test_an_order_that_became_final_in_an_earlier_run_is_found_by_what_the_chain_has_of_it(
    trader: Trader,
) -> None:
    """The bytes of what is final are kept nowhere else."""
    wish = trader.order("wrap", "wallet", token_in=ETH, token_out=WETH, amount=Decimal(1))
    done = await trader.execute(wish)
    await became_final(trader, wish)
    evidence = await trader.interfaces[wish.operation, wish.venue].find_order(wish, wish.created_at)
    assert evidence.trade is not None
    assert (evidence.trade.trade_id, evidence.trade.deltas) == (done.trade_id, done.deltas)
    await trader.assert_exact()


@pytest.mark.fault("F47")
async def test_one_that_reverted_in_an_earlier_run_is_found_with_its_reason(trader: Trader) -> None:
    most, _ = await borrowing_power(trader, Decimal(10))
    wish = trader.order("borrow", "aave_v3", token_out=WETH, amount=most * Decimal("0.99"))
    failed = await trader.execute_while(wish, trader.actor.controls.price("weETH", factor=Decimal("0.97")))
    assert failed.order_state is OrderState.REJECTED
    await became_final(trader, wish)
    evidence = await trader.interfaces[wish.operation, wish.venue].find_order(wish, wish.created_at)
    assert evidence.trade is not None
    assert (evidence.trade.order_state, evidence.trade.error) == (failed.order_state, failed.error)
    await trader.assert_exact()


async def became_final(trader: Trader, wish: Order) -> None:
    """And then the process ended."""
    await trader.actor.controls.mine(4)
    handle = trader.account.find(wish.order_id)
    assert handle is not None
    assert (await handle.final()).is_final
    await trader.restart()


@pytest.mark.feature("X06")
@pytest.mark.feature("X07")
async def test_a_borrow_beyond_the_collateral_is_refused_by_simulation_with_the_pools_reason(trader: Trader) -> None:
    most, wanted = await borrowing_power(trader, Decimal(1))
    assert most < wanted
    nonce = await trader.chain.client.eth.get_transaction_count(trader.account.address)
    with pytest.raises(OrderRejectedError, match="CollateralCannotCoverNewBorrow: the debt would exceed") as refusal:
        await trader.do("borrow", "aave_v3", token_out=WETH, amount=wanted)
    assert refusal.value.error_class is ErrorClass.INSUFFICIENT
    assert refusal.value.code == "CollateralCannotCoverNewBorrow"
    assert await trader.chain.client.eth.get_transaction_count(trader.account.address) == nonce, "nothing was signed"


@pytest.mark.feature("X06")
async def test_a_withdrawal_that_would_be_liquidatable_is_refused_before_signing(trader: Trader) -> None:
    await trader.do("supply", "aave_v3", token_in=WEETH, amount=Decimal(10))
    await trader.do("borrow", "aave_v3", token_out=WETH, amount=Decimal(7))
    with pytest.raises(OrderRejectedError, match="HealthFactorLowerThanLiquidationThreshold"):
        await trader.do("withdraw", "aave_v3", token_out=WEETH, amount=Decimal(5))


@pytest.mark.parametrize(
    ("what", "message", "error_class"),
    [
        ("pause", "reserve WETH is paused", ErrorClass.MARKET_CLOSED),
        ("freeze", "reserve WETH is frozen", ErrorClass.MARKET_CLOSED),
    ],
)
@pytest.mark.feature("X09")
async def test_a_closed_reserve_takes_no_supply(
    trader: Trader, what: str, message: str, error_class: ErrorClass
) -> None:
    await getattr(trader.actor.controls, what)("WETH", on=True)
    with pytest.raises(OrderRejectedError, match=message) as refusal:
        await trader.do("supply", "aave_v3", token_in=WETH)
    assert refusal.value.error_class is error_class
    assert trader.trades == [], "not even an approval was sent"


@pytest.mark.feature("X09")
async def test_caps_and_idle_liquidity_are_named_with_value_and_bound(trader: Trader) -> None:
    await trader.actor.controls.caps("WETH", supply=600_000, borrow=520_000)
    with pytest.raises(OrderRejectedError, match=r"supplies WETH 400, expected at most") as full:
        await trader.do("supply", "aave_v3", token_in=WETH, amount=Decimal(400))
    assert full.value.code == "supply_cap"
    await trader.do("supply", "aave_v3", token_in=WEETH, amount=Decimal(100))
    with pytest.raises(OrderRejectedError, match=r"borrows WETH 10, expected at most") as lent:
        await trader.do("borrow", "aave_v3", token_out=WETH, amount=Decimal(10))
    assert lent.value.code == "borrow_cap"
    await trader.actor.controls.caps("WETH", borrow=0)
    with pytest.raises(OrderRejectedError, match=r"of idle 90000, expected at most") as idle:
        await trader.do("borrow", "aave_v3", token_out=WETH, amount=Decimal(90_000))
    assert (idle.value.code, idle.value.error_class) == ("idle", ErrorClass.MARKET_CLOSED)


@pytest.mark.feature("X09")
async def test_what_is_not_there_cannot_be_spent_withdrawn_or_repaid(trader: Trader) -> None:
    with pytest.raises(OrderRejectedError, match=r"spends USDT 2000000, expected at most 1000000"):
        await trader.do("supply", "aave_v3", token_in=USDT, amount=Decimal(2_000_000))
    with pytest.raises(OrderRejectedError, match=r"supplied WETH 0, expected more"):
        await trader.do("withdraw", "aave_v3", token_out=WETH, amount=Decimal(1))
    with pytest.raises(OrderRejectedError, match=r"debt of WETH 0, expected more"):
        await trader.do("repay", "aave_v3", token_in=WETH, amount="MAX")


async def test_an_emode_that_does_not_lend_the_asset_refuses_it(trader: Trader) -> None:
    await trader.do("supply", "aave_v3", token_in=WEETH, amount=Decimal(100))
    await trader.do("set_emode", "aave_v3", memo="2", expected_deltas={})
    with pytest.raises(OrderRejectedError, match=r"e-mode 2 lends \['WETH'\], expected USDT"):
        await trader.do("borrow", "aave_v3", token_out=USDT, amount=Decimal(100))
    with pytest.raises(OrderRejectedError, match="e-mode 77 has no terms"):
        await trader.do("set_emode", "aave_v3", memo="77", expected_deltas={})


async def test_an_order_that_names_no_wallet_key_is_no_order(trader: Trader) -> None:
    with pytest.raises(InvalidOrderError, match="expected a key of the wallet"):
        await trader.do("supply", "aave_v3", token_in=PositionKey("binance:spot:USDT"))
    wish = trader.order("wrap", "aave_v3", token_in=ETH, token_out=WETH)
    with pytest.raises(InvalidOrderError, match="aave_v3 cannot, it does"):
        await trader.interfaces["supply", "aave_v3"].execute_order(wish, wish.created_at)


@pytest.mark.feature("X07")
async def test_a_transaction_that_reverts_in_its_block_costs_its_gas_and_tells_why(trader: Trader) -> None:
    """Simulated well, then the world changed before inclusion."""
    most, _ = await borrowing_power(trader, Decimal(10))
    wish = trader.order("borrow", "aave_v3", token_out=WETH, amount=(most * Decimal("0.99")).quantize(Decimal("1e-18")))
    trade = await trader.execute_while(wish, trader.actor.controls.price("weETH", factor=Decimal("0.97")))
    assert (trade.status, trade.order_state) == (TradeStatus.FAILED, OrderState.REJECTED)
    assert set(trade.deltas) == {ETH}
    assert trade.error is not None
    assert trade.error.code == "CollateralCannotCoverNewBorrow"
    assert trade.error.error_class is ErrorClass.INSUFFICIENT
    await trader.assert_exact()


@pytest.mark.feature("X08")
async def test_two_orders_that_need_the_same_allowance_take_turns(trader: Trader) -> None:
    """An allowance is exact, so the second may not overwrite the first one's."""
    first, second = (trader.order("supply", "aave_v3", token_in=WETH, amount=Decimal(n)) for n in (3, 5))
    done = await trader.execute_both(first, second)
    assert sorted(trade.deltas[atoken("WETH")] for trade in done) == [3, 5]
    assert await trader.actor.allowed(trader.book.token("WETH").address, trader.book.aave.pool) == 0
    await trader.assert_exact()


async def test_an_order_for_somebody_else_is_no_order_of_ours(trader: Trader) -> None:
    with pytest.raises(InvalidOrderError, match="on_behalf_of 0x1234"):
        await trader.do("supply", "aave_v3", token_in=WETH, on_behalf_of="0x1234")


async def test_a_transaction_that_is_not_included_in_time_is_in_doubt_and_found_later(trader: Trader) -> None:
    wish = trader.order("wrap", "wallet", token_in=ETH, token_out=WETH, timeout_s=Decimal("0.3"))
    interface = trader.interfaces[wish.operation, wish.venue]
    async with trader.without_blocks():
        with pytest.raises(OutcomeUnknownError, match=r"is BROADCAST after 0\.3 s"):
            await trader.execute(wish)
        assert (await interface.find_order(wish, wish.created_at)).finding is Finding.NOT_YET
    await trader.until(lambda: bool(trader.trades))
    evidence = await interface.find_order(wish, wish.created_at)
    assert evidence.finding is Finding.FOUND
    assert evidence.trade is not None
    assert evidence.trade.deltas[WETH] == 1
    await trader.assert_exact()


async def test_a_cancelled_order_leaves_its_gas_and_nothing_else(trader: Trader) -> None:
    wish = trader.order("wrap", "wallet", token_in=ETH, token_out=WETH, timeout_s=Decimal("0.3"))
    interface = trader.interfaces[wish.operation, wish.venue]
    async with trader.without_blocks():
        with pytest.raises(OutcomeUnknownError):
            await trader.execute(wish)
        assert (await interface.cancel_order(wish)).finding is Finding.NOT_YET
    await trader.until(lambda: bool(trader.trades))
    evidence = await interface.find_order(wish, wish.created_at)
    assert evidence.trade is not None
    assert evidence.trade.order_state is OrderState.CANCELLED
    assert set(evidence.trade.deltas) == {ETH}
    await trader.assert_exact()


@pytest.mark.fault("F36")
async def test_an_order_whose_nonce_another_hand_took_stays_in_doubt_and_the_next_is_refused(trader: Trader) -> None:
    wish = trader.order("wrap", "wallet", token_in=ETH, token_out=WETH, amount=Decimal(1))

    async def execute() -> None:
        with pytest.raises(OutcomeUnknownError, match="somebody else signs with this key"):
            await trader.execute(wish)

    async with trader.without_blocks(), TaskTree("order") as tree:
        tree.spawn("order", execute())
        row = await trader.broadcast.get()
        await trader.usurp(row.nonce)
    wrap = trader.interfaces[wish.operation, wish.venue]
    assert (await wrap.find_order(wish, wish.created_at)).finding is not Finding.FOUND
    with pytest.raises(OrderRejectedError, match="nothing was signed, the account is halted"):
        await trader.do("wrap", "wallet", token_in=ETH, token_out=WETH, amount=Decimal(1))
