"""Transfers go to names of the address book over its own network, and what goes to ourselves stays ours on the way."""

from __future__ import annotations

from decimal import Decimal

import pytest
from eth_utils.address import to_checksum_address

from basis_daemon.domain.errors import ErrorClass, OrderRejectedError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.trade import OrderState
from basis_daemon.venues.chain.addresses import SANDBOX, RecipientEntry
from basis_daemon.venues.chain.tokens import ETH, held_at
from tests.venues.chain.trader import Trader

USDT = held_at("USDT")
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
    assert trade.order_state is OrderState.SETTLED
    assert trade.deltas[transit] == amount
    assert trader.ledger.holding(transit) == amount
    assert await trader.chain.balance(token.symbol, EXCHANGE) == int(amount.scaleb(6 if token is USDT else 18))
    await trader.assert_exact()


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
