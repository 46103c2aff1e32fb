"""Transfers go to names of the address book over its own network, and what goes to ourselves stays ours on the way."""

from __future__ import annotations

from decimal import Decimal

import pytest
from eth_utils.address import to_checksum_address

from basis_daemon.domain.decision import Exposure
from basis_daemon.domain.errors import ErrorClass, OrderRejectedError
from basis_daemon.domain.exposure import build_exposure
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.market import DecisionIds, MarketSnapshot
from basis_daemon.domain.position import PositionBook
from basis_daemon.domain.trade import OrderState
from basis_daemon.venues.chain.aave_reads import read_reserves
from basis_daemon.venues.chain.addresses import SANDBOX, RecipientEntry
from basis_daemon.venues.chain.staking_reads import read_lst
from basis_daemon.venues.chain.tokens import ETH, held_at
from tests.venues.chain.trader import Trader

USDT, WETH = held_at("USDT"), held_at("WETH")
STAKED = ("wstETH", "weETH")
EXCHANGE, INVESTOR = to_checksum_address("0x" + "e1" * 20), to_checksum_address("0x" + "1e" * 20)


@pytest.fixture
def trader(trader: Trader) -> Trader:
    """With an exchange account of ours and an investor in the book."""
    recipients = {
        "binance": RecipientEntry(address=EXCHANGE, is_ours=True),
        "investor": RecipientEntry(address=INVESTOR, is_ours=False),
    }
    trader.use_book(trader.book.model_copy(update={"recipients": recipients}))
    return trader


@pytest.mark.feature("T01", part="chain")
@pytest.mark.parametrize(("token", "amount"), [(USDT, Decimal("1234.567891")), (ETH, Decimal("1.000000000000000001"))])
async def test_what_goes_to_an_account_of_ours_is_in_transit(
    trader: Trader, token: PositionKey, amount: Decimal
) -> None:
    trade = await trader.do("transfer", "wallet", token_in=token, amount=amount, recipient="binance", network=SANDBOX)
    transit = PositionKey(f"wallet:transit:{token.symbol}")
    assert trade.order_state is OrderState.PENDING, "it has left, which is not to say that it is there"
    assert trade.deltas[transit] == amount
    assert trader.ledger.holding(transit) == amount
    assert await trader.chain.balance(token.symbol, EXCHANGE) == int(amount.scaleb(6 if token is USDT else 18))
    await trader.assert_exact()


@pytest.mark.feature("T03", part="chain")
@pytest.mark.feature("K01", part="chain")
async def test_what_is_in_transit_stays_in_equity_and_net_delta(trader: Trader) -> None:
    await trader.do("wrap", "wallet", token_in=ETH, token_out=WETH, amount=Decimal(3))
    before = await exposure_of(trader)
    gas = Decimal(0)
    for token, amount in ((USDT, Decimal(250_000)), (WETH, Decimal(2))):
        sent = await trader.do(
            "transfer", "wallet", token_in=token, amount=amount, recipient="binance", network=SANDBOX
        )
        gas += sent.fees[0].quantity
    after = await exposure_of(trader)
    assert after.holdings[PositionKey("wallet:transit:WETH")] == 2
    assert after.net_delta["WETH"] == before.net_delta["WETH"]
    assert after.net_delta["ETH"] == before.net_delta["ETH"] - gas
    assert before.equity_usdt is not None
    assert after.equity_usdt == before.equity_usdt - gas * after.prices["ETH"]


async def exposure_of(trader: Trader) -> Exposure:
    """The book in money, at the oracle's prices of this block."""
    block = await trader.actor.head()
    reserves = await read_reserves(trader.actor.reader, block, trader.book, ("USDT", "WETH"), 0)
    tokens = [await read_lst(trader.actor.reader, block, trader.book, name, Decimal(1), 0) for name in STAKED]
    market = MarketSnapshot(
        block.time, DecisionIds("test", 1, 1), {}, {}, {}, {}, None, {tick.instrument: tick for tick in reserves},
        lsts={tick.instrument: tick for tick in tokens},
    )  # fmt: skip
    return build_exposure(PositionBook(1, block.time, trader.ledger.holdings(), {}), market)


@pytest.mark.feature("T01", part="chain")
async def test_what_goes_to_somebody_else_is_gone(trader: Trader) -> None:
    trade = await trader.do(
        "transfer", "wallet", token_in=USDT, amount=Decimal(5), recipient="investor", network=SANDBOX
    )
    assert trade.deltas == {USDT: -5, ETH: -trade.fees[0].quantity}
    assert trader.ledger.total(Cause.EXTERNAL, "USDT") == -5, "capital that left is no loss"
    await trader.assert_exact()


@pytest.mark.feature("T01", part="chain")
@pytest.mark.parametrize(
    ("change", "message", "error_class"),
    [
        ({"recipient": INVESTOR}, "expected one of binance, investor", ErrorClass.AUTH),
        ({"recipient": "okx"}, "recipient okx, expected one of", ErrorClass.AUTH),
        ({"network": "mainnet"}, "network mainnet, expected sandbox", ErrorClass.BAD_PARAMS),
        ({"amount": Decimal(10_000_000)}, "spends USDT 10000000, expected at most", ErrorClass.INSUFFICIENT),
    ],
)
async def test_nothing_leaves_for_anybody_else_or_over_another_network(
    trader: Trader, change: dict[str, object], message: str, error_class: ErrorClass
) -> None:
    wish = {"token_in": USDT, "amount": Decimal(5), "recipient": "binance", "network": SANDBOX} | change
    with pytest.raises(OrderRejectedError, match=message) as refusal:
        await trader.do("transfer", "wallet", **wish)
    assert refusal.value.error_class is error_class
    assert trader.trades == []
