"""What somebody else's transaction brought to the wallet, by the chain's own word."""

from __future__ import annotations

from decimal import Decimal

import pytest

from basis_daemon.venues.chain.arrivals import WalletEnd
from basis_daemon.venues.chain.endpoint import hex_of
from tests.venues.chain.trader import Trader

D = Decimal


@pytest.fixture
def wallet(trader: Trader) -> WalletEnd:
    return WalletEnd(trader.rpc, trader.book, trader.account.address, trader.account.signed_for)


@pytest.mark.feature("T01", part="arrival")
async def test_ether_out_of_a_contract_is_known_by_what_the_balance_grew(trader: Trader, wallet: WalletEnd) -> None:
    stranger = await trader.chain.account(eth=10, WETH=3)
    router = trader.chain.contract("SwapRouter", "uniswap_v3", "router")
    weth = trader.chain.token("WETH").functions.transfer(router.address, 3 * 10**18)
    await trader.chain.send(stranger, weth)
    sent = await trader.chain.send(stranger, router.functions.unwrapWETH9(0, wallet.address))
    name = hex_of(sent["transactionHash"])
    arrival = await wallet.arrival("ETH", name, D(3))
    assert arrival is not None
    assert (arrival.amount, arrival.confirmations) == (D(3), 1)
    assert await wallet.arrival("ETH", name, D(2)) is None, "it is not what was expected, so a person has to look"


@pytest.mark.feature("T01", part="arrival")
async def test_tokens_count_by_the_event_of_their_own_contract_alone(trader: Trader, wallet: WalletEnd) -> None:
    stranger = await trader.chain.account(eth=10, USDT=50, WETH=3)
    usdt = trader.chain.token("USDT").functions
    brought = await trader.chain.send(stranger, usdt.transfer(wallet.address, 7_500_000))
    elsewhere = await trader.chain.send(stranger, usdt.transfer(stranger.address, 7_500_000))
    other = await trader.chain.send(stranger, trader.chain.token("WETH").functions.transfer(wallet.address, 10**18))
    found = await wallet.arrival("USDT", hex_of(brought["transactionHash"]), D("7.5"))
    assert found is not None
    assert (found.amount, found.confirmations) == (D("7.5"), 3)
    for receipt in (elsewhere, other):
        assert await wallet.arrival("USDT", hex_of(receipt["transactionHash"]), D("7.5")) is None


async def test_a_transaction_that_no_block_holds_brought_nothing(trader: Trader, wallet: WalletEnd) -> None:
    assert await wallet.arrival("USDT", "0x" + "12" * 32, D(1)) is None
    assert await wallet.balance("USDT") == D(await trader.chain.balance("USDT", wallet.address)).scaleb(-6)
