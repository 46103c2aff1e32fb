"""The world as built: real contracts at their places, realistic rates, and what the controls do to it."""

from decimal import Decimal

import pytest

from basis_daemon.sandbox.chain.steering import RAY, WAD
from tests.chain_support import Chain

D = Decimal


async def _reserve(chain: Chain, symbol: str) -> tuple[Decimal, Decimal]:
    """(rate for suppliers, rate for borrowers) a year."""
    data = chain.contract("AaveProtocolDataProvider", "aave_v3", "data_provider")
    row = await data.functions.getReserveData(chain.token(symbol).address).call()
    return D(row[5]) / RAY, D(row[6]) / RAY


async def test_rates_are_those_of_a_busy_market(chain: Chain) -> None:
    supply, _ = await _reserve(chain, "USDT")
    assert D("0.049") < supply < D("0.051")
    _, borrow = await _reserve(chain, "WETH")
    assert D("0.0259") < borrow < D("0.0261")


async def test_the_oracle_prices_staking_tokens_at_their_issuers_rate(chain: Chain) -> None:
    oracle = chain.contract("AaveOracle", "aave_v3", "oracle").functions
    usd = {s: D(await oracle.getAssetPrice(chain.token(s).address).call()) / 10**8 for s in ("WETH", "wstETH", "weETH")}
    assert usd == {"WETH": 2500, "wstETH": 3000, "weETH": D("2667")}


@pytest.mark.feature("Y04", part="local")
async def test_a_user_supplies_borrows_and_sees_his_account(chain: Chain) -> None:
    user = await chain.account(WETH=10)
    pool, weth = chain.contract("PoolInstance", "aave_v3", "pool"), chain.token("WETH")
    await chain.send(user, weth.functions.approve(pool.address, 10 * WAD))
    await chain.send(user, pool.functions.supply(weth.address, 10 * WAD, user.address, 0))
    borrowed = await chain.send(user, pool.functions.borrow(chain.token("USDT").address, 10**9, 2, 0, user.address))
    assert borrowed["status"] == 1
    collateral, debt, *_ = await pool.functions.getUserAccountData(user.address).call()
    assert (round(collateral / 10**8), round(debt / 10**8)) == (25_000, 1_000)
    assert await chain.balance("USDT", user.address) == 10**9


async def test_every_test_finds_the_world_as_built(chain: Chain) -> None:
    user = await chain.account(USDT=1000)
    assert await chain.client.eth.get_transaction_count(user.address) == 0
    assert await chain.balance("USDT", user.address) == 10**9


async def test_the_oracle_follows_the_controls(chain: Chain) -> None:
    oracle = chain.contract("AaveOracle", "aave_v3", "oracle").functions
    await chain.controls.price("weETH", factor=D("0.96"))
    await chain.controls.price("ETH", usd=D("2000"))
    assert await oracle.getAssetPrice(chain.token("weETH").address).call() == 2000 * 10668 * 96 * 100
    with pytest.raises(ValueError, match=r"asset: one of WETH, USDT, wstETH, weETH, found 'BTC'"):
        await chain.controls.price("BTC", usd=D(1))
    with pytest.raises(ValueError, match="a factor on its issuer's rate"):
        await chain.controls.price("weETH", usd=D(1))


@pytest.mark.parametrize(("asset", "apr"), [("WETH", "0.30"), ("USDT", "0.2466"), ("WETH", "0.001")])
async def test_a_borrow_rate_can_be_set(chain: Chain, asset: str, apr: str) -> None:
    reached = await chain.controls.rates(asset, D(apr))
    assert abs(reached - D(apr)) < D("0.0001")
    assert (await _reserve(chain, asset))[1] == reached


@pytest.mark.parametrize(("share", "rate"), [("0.97", "0.307"), ("0.9", "0.027"), ("0.45", "0.0135")])
async def test_the_crowd_uses_up_a_reserve_or_gives_it_back(chain: Chain, share: str, rate: str) -> None:
    assert abs(await chain.controls.utilisation("WETH", D(share)) - D(rate)) < D("0.0005")
    with pytest.raises(ValueError, match="from 0 to less than 1, found 1"):
        await chain.controls.utilisation("WETH", D(1))


@pytest.mark.parametrize("factor", ["0.96", "1", "1.01"])
@pytest.mark.parametrize("pool", ["WETH/USDT", "wstETH/WETH", "weETH/WETH", "EIGEN/WETH"])
async def test_a_pool_stands_where_it_is_put(chain: Chain, pool: str, factor: str) -> None:
    await chain.controls.pool_price(pool, D(factor))
    token, quote = pool.split("/")
    row = next(p for p in chain.world["uniswap_v3"]["pools"] if {p["token0"], p["token1"]} == {token, quote})
    slot = await chain.controls.contracts.named("UniswapV3Pool", row["address"]).functions.slot0().call()
    raw = (D(slot[0]) / 2**96) ** 2
    decimals = {s: chain.world["tokens"][s]["decimals"] for s in (token, quote)}
    price = (raw if row["token0"] == token else 1 / raw) * D(10) ** (decimals[token] - decimals[quote])
    assert abs(price / await chain.controls.fair_price(pool) - D(factor)) < D("0.000001")


async def test_a_quote_of_a_large_sale_loses_little(chain: Chain) -> None:
    quoter = chain.contract("QuoterV2", "uniswap_v3", "quoter")
    order = (chain.token("weETH").address, chain.token("WETH").address, 300 * WAD, 100, 0)
    paid = (await quoter.functions.quoteExactInputSingle(order).call())[0]
    assert D("0.999") < D(paid) / (300 * WAD) / D("1.0668") < 1


@pytest.mark.parametrize(("protocol", "token"), [("lido", "stETH"), ("etherfi", "eETH")])
@pytest.mark.parametrize("factor", ["1.001", "0.99"])
async def test_a_rebase_moves_every_balance(chain: Chain, protocol: str, token: str, factor: str) -> None:
    user = await chain.account(**{token: 100})
    held = await chain.balance(token, user.address)
    await chain.controls.rebase(protocol, D(factor))
    assert abs(await chain.balance(token, user.address) - int(held * D(factor))) <= 2


async def test_a_paused_reserve_takes_nothing(chain: Chain) -> None:
    user = await chain.account(WETH=1)
    pool, weth = chain.contract("PoolInstance", "aave_v3", "pool"), chain.token("WETH")
    await chain.send(user, weth.functions.approve(pool.address, WAD))
    await chain.controls.pause("WETH", on=True)
    assert (await chain.send(user, pool.functions.supply(weth.address, WAD, user.address, 0)))["status"] == 0
    await chain.controls.pause("WETH", on=False)
    await chain.controls.freeze("WETH", on=True)
    assert (await chain.send(user, pool.functions.supply(weth.address, WAD, user.address, 0)))["status"] == 0
    await chain.controls.freeze("WETH", on=False)
    assert (await chain.send(user, pool.functions.supply(weth.address, WAD, user.address, 0)))["status"] == 1


async def test_time_blocks_fees_and_reorganisations_obey(chain: Chain) -> None:
    before = await chain.client.eth.get_block("latest")
    number = await chain.controls.advance(3600)
    after = await chain.client.eth.get_block(number)
    assert number == before["number"] + 1
    assert after["timestamp"] - before["timestamp"] >= 3600
    await chain.controls.mine(5)
    head = await chain.client.eth.get_block("latest")
    replaced = await chain.controls.reorg(3)
    assert replaced != head["hash"].to_0x_hex()
    assert await chain.client.eth.block_number == head["number"]
    await chain.controls.gas(D(77))
    assert (await chain.client.eth.get_block("latest"))["baseFeePerGas"] == 77 * 10**9


async def test_multicall_stands_at_its_canonical_address(chain: Chain) -> None:
    multicall = chain.controls.contracts.named("Multicall3", chain.world["multicall3"])
    symbol = chain.token("WETH").encode_abi("symbol")
    calls = [(chain.token("WETH").address, False, symbol), (chain.token("USDT").address, True, "0x12345678")]
    answers = await multicall.functions.aggregate3(calls).call()
    assert [ok for ok, _ in answers] == [True, False]
