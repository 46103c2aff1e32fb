"""Endpoints that hang, lie, lag or serve another chain, beside one that does not."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from web3.eth import AsyncEth

from basis_daemon.clock import SystemClock
from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import ConfigError, VenueUnreachableError
from basis_daemon.venues.chain.endpoint import Endpoint, newest_header
from basis_daemon.venues.chain.errors import DisagreementError
from basis_daemon.venues.chain.multicall import CallResult
from basis_daemon.venues.chain.rpc import PoolPolicy
from tests.chain_support import BareChain, Chain
from tests.venues.chain.proxy import ProxyNode
from tests.venues.chain.support import ELSEWHERE, ETHER, HASHES_ONLY, OWNER, SHORT, Notes, endpoint, pool_of, signed


async def number(eth: AsyncEth) -> int:
    return int(await eth.block_number)


async def head_of(chain: BareChain | Chain) -> BlockRef:
    async with pool_of(chain, [endpoint(chain.rpc_url)]) as pool:
        return (await pool.ask("head", newest_header)).block


# ---------------------------------------------------------------------------------------------------- questions
@pytest.mark.feature("X03", part="failover")
@pytest.mark.fault("F41")
async def test_an_endpoint_that_hangs_is_passed_over(bare_chain: BareChain, proxy: ProxyNode) -> None:
    endpoints = [endpoint(proxy.url, "slow", **SHORT), endpoint(bare_chain.rpc_url, "good")]
    async with pool_of(bare_chain, endpoints) as pool:
        proxy.hangs()
        assert await pool.ask("number", number) == 0
        asked = len(proxy.asked)
        assert await pool.ask("number", number) == 0
        assert len(proxy.asked) == asked, "it rests, and is not asked first again"


@pytest.mark.feature("X03", part="failover")
@pytest.mark.parametrize("garbage", [None, "0xzz", [], {"x": 1}])
async def test_an_endpoint_whose_answer_cannot_be_read_is_passed_over(
    bare_chain: BareChain, proxy: ProxyNode, garbage: object
) -> None:
    endpoints = [endpoint(proxy.url, "odd", **SHORT), endpoint(bare_chain.rpc_url, "good")]
    async with pool_of(bare_chain, endpoints) as pool:
        proxy.says("eth_getBlockByNumber", garbage)
        assert (await pool.ask("head", newest_header)).block.number == 0


@pytest.mark.fault("F27")
@pytest.mark.parametrize(
    "body", ["", "null", "[]", "7", "<html>busy</html>", "{", '{"jsonrpc": "2.0", "id": 1}', "x" * 33_000_000]
)
async def test_an_endpoint_that_answers_no_json_rpc_is_passed_over(
    bare_chain: BareChain, proxy: ProxyNode, body: str
) -> None:
    endpoints = [endpoint(proxy.url, "odd", **SHORT), endpoint(bare_chain.rpc_url, "good")]
    async with pool_of(bare_chain, endpoints) as pool:
        proxy.body = body
        assert await pool.ask("number", number) == 0


async def test_nobody_answers_is_an_error_and_never_a_zero(bare_chain: BareChain, proxy: ProxyNode) -> None:
    async with pool_of(bare_chain, [endpoint(proxy.url, "only", **SHORT)]) as pool:
        proxy.refuses("eth_blockNumber", "rate limited")
        with pytest.raises(VenueUnreachableError, match=r"only: Web3RPCError.*rate limited"):
            await pool.ask("number", number)


async def test_an_endpoint_that_is_the_only_one_is_asked_again_at_once(bare_chain: BareChain, proxy: ProxyNode) -> None:
    async with pool_of(bare_chain, [endpoint(proxy.url, "only", **SHORT)]) as pool:
        proxy.hangs()
        with pytest.raises(VenueUnreachableError, match="TimeoutError"):
            await pool.ask("number", number)
        proxy.is_honest()
        assert await pool.ask("number", number) == 0


@pytest.mark.feature("X03", part="identity")
@pytest.mark.fault("F41")
async def test_an_endpoint_of_another_chain_id_is_never_used(bare_chain: BareChain, proxy: ProxyNode) -> None:
    notes = Notes()
    proxy.says("eth_chainId", "0x1")
    endpoints = [endpoint(proxy.url, "mainnet"), endpoint(bare_chain.rpc_url, "good")]
    async with pool_of(bare_chain, endpoints, notes=notes) as pool:
        proxy.is_honest()
        await pool.survey()
        asked = len(proxy.asked)
        await pool.ask("number", number)
        await pool.send_raw(*signed())
        assert len(proxy.asked) == asked, "banned for good, for questions and for transactions"
    assert notes.told[0] == (
        "rpc_banned_alarm",
        {"endpoint": "mainnet", "why": "endpoint mainnet: chain id 1, expected 31337"},
    )


@pytest.mark.feature("X03", part="identity")
@pytest.mark.fault("F41")
async def test_an_endpoint_of_another_genesis_stops_the_start_when_it_is_the_only_one(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    proxy.bends("eth_getBlockByNumber", lambda block: {**block, "hash": "0x" + "ab" * 32})
    with pytest.raises(ExceptionGroup) as caught:
        async with pool_of(bare_chain, [endpoint(proxy.url, "fork")]):
            pass
    assert caught.group_contains(ConfigError, match=r"endpoint fork: genesis 0x(ab)+, expected 0x")


@pytest.mark.feature("X03", part="identity")
async def test_an_endpoint_that_changes_its_chain_while_running_is_found_out(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    endpoints = [endpoint(proxy.url, "moved"), endpoint(bare_chain.rpc_url, "good")]
    async with pool_of(bare_chain, endpoints) as pool:
        proxy.says("eth_chainId", "0xaa36a7")
        await pool.survey()
        proxy.asked.clear()
        await pool.ask("number", number)
        assert proxy.asked == []


@pytest.mark.feature("X03", part="heads")
@pytest.mark.fault("F41")
async def test_an_endpoint_that_lags_is_not_asked_until_it_has_caught_up(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    endpoints = [endpoint(proxy.url, "late"), endpoint(bare_chain.rpc_url, "good")]
    old = await bare_chain.rpc("eth_getBlockByNumber", "latest", HASHES_ONLY)
    async with pool_of(bare_chain, endpoints, PoolPolicy(lag_blocks_max=3)) as pool:
        await bare_chain.rpc("anvil_mine", "0x4")
        proxy.says("eth_getBlockByNumber", old)
        await pool.survey()
        assert (await pool.ask("head", newest_header)).block.number == 4
        proxy.is_honest()
        await pool.survey()
        proxy.asked.clear()
        await pool.ask("number", number)
        assert proxy.asked == ["eth_blockNumber"]


@pytest.mark.feature("X03", part="heads")
@pytest.mark.fault("F41")
async def test_an_endpoint_that_goes_back_is_not_asked_until_it_is_as_far_again(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    old = await bare_chain.rpc("eth_getBlockByNumber", "latest", HASHES_ONLY)
    await bare_chain.rpc("anvil_mine", "0x2")
    async with pool_of(bare_chain, [endpoint(proxy.url, "back")]) as pool:
        proxy.says("eth_getBlockByNumber", old)
        await pool.survey()
        with pytest.raises(VenueUnreachableError, match="at block 0 after 2, expected no way back"):
            await pool.ask("number", number)
        proxy.is_honest()
        await pool.survey()
        assert await pool.ask("number", number) == 2


@pytest.mark.feature("X03", part="heads")
async def test_an_endpoint_that_invents_blocks_does_not_make_the_others_late(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    endpoints = [
        endpoint(bare_chain.rpc_url, "good"), endpoint(bare_chain.rpc_url, "better"), endpoint(proxy.url, "liar"),
    ]  # fmt: skip
    async with pool_of(bare_chain, endpoints) as pool:
        proxy.bends("eth_getBlockByNumber", lambda block: {**block, "number": "0xffffff"})
        await pool.survey()
        assert (await pool.ask("head", newest_header)).block.number == 0


@pytest.mark.feature("X03", part="heads")
async def test_heads_that_are_too_old_are_no_heads(bare_chain: BareChain, proxy: ProxyNode) -> None:
    async with pool_of(bare_chain, [endpoint(proxy.url, "asleep")], PoolPolicy(head_age_max_s=60)) as pool:
        proxy.bends("eth_getBlockByNumber", lambda block: {**block, "timestamp": "0x1"})
        await pool.survey()
        with pytest.raises(VenueUnreachableError, match="s old, expected at most 60 s"):
            await pool.ask("number", number)


# ------------------------------------------------------------------------------------------------ two of a mind
@pytest.mark.feature("X03", part="confirmed")
@pytest.mark.fault("F41")
async def test_two_endpoints_that_disagree_are_both_not_believed(bare_chain: BareChain, proxy: ProxyNode) -> None:
    endpoints = [endpoint(proxy.url, "liar"), endpoint(bare_chain.rpc_url, "good")]
    async with pool_of(bare_chain, endpoints) as pool:
        proxy.bends("eth_getBalance", lambda _: hex(5 * ETHER))
        with pytest.raises(DisagreementError, match=r"liar: 5000000000000000000; good: 0"):
            await pool.agreed("balance", lambda eth: eth.get_balance(OWNER))


@pytest.mark.feature("X03", part="confirmed")
@pytest.mark.fault("F41")
async def test_a_third_endpoint_outvotes_the_one_that_lies(bare_chain: BareChain, proxy: ProxyNode) -> None:
    notes = Notes()
    endpoints = [
        endpoint(proxy.url, "liar"), endpoint(bare_chain.rpc_url, "good"), endpoint(bare_chain.rpc_url, "third"),
    ]  # fmt: skip
    async with pool_of(bare_chain, endpoints, notes=notes) as pool:
        proxy.bends("eth_getBalance", lambda _: hex(5 * ETHER))
        assert await pool.agreed("balance", lambda eth: eth.get_balance(OWNER)) == 0
    assert ("rpc_outvoted_alarm", {"endpoint": "liar", "what": "balance"}) in notes.told


async def test_a_second_opinion_that_cannot_be_had_is_missing(bare_chain: BareChain, proxy: ProxyNode) -> None:
    endpoints = [endpoint(bare_chain.rpc_url, "good"), endpoint(proxy.url, "dead", **SHORT)]
    async with pool_of(bare_chain, endpoints) as pool:
        proxy.hangs()
        with pytest.raises(VenueUnreachableError, match="1 answers, expected 2 alike; dead: TimeoutError"):
            await pool.agreed("balance", lambda eth: eth.get_balance(OWNER))


# ------------------------------------------------------------------------------------------------- block by block
TELLS_ITS_BLOCK, REVERTS_WITH_4_BYTES = "0x4360005260206000f3", "0x63deadbeef6000526004601cfd"


async def test_calls_are_answered_in_the_state_of_their_block_each_for_itself(chain: Chain) -> None:
    other = ELSEWHERE.lower().replace("ee", "dd")
    await chain.rpc("anvil_setCode", ELSEWHERE, TELLS_ITS_BLOCK)
    await chain.rpc("anvil_setCode", other, REVERTS_WITH_4_BYTES)
    await chain.rpc("anvil_mine", "0x1")
    block = await head_of(chain)
    await chain.rpc("anvil_mine", "0x5")
    async with pool_of(chain, [endpoint(chain.rpc_url)]) as pool:
        told, reverted = await pool.call_at(block, [(ELSEWHERE, b""), (other, b"")])
        assert (told.is_ok, int.from_bytes(told.data)) == (True, block.number)
        assert reverted == CallResult(is_ok=False, data=bytes.fromhex("deadbeef"))


@pytest.mark.feature("X03", part="confirmed")
@pytest.mark.fault("F41")
async def test_what_money_depends_on_is_asked_of_two(chain: Chain) -> None:
    await chain.rpc("anvil_setCode", ELSEWHERE, TELLS_ITS_BLOCK)
    await chain.rpc("anvil_mine", "0x1")
    block = await head_of(chain)
    async with ProxyNode(chain.rpc_url) as proxy:
        endpoints = [endpoint(chain.rpc_url, "good"), endpoint(proxy.url, "liar")]
        async with pool_of(chain, endpoints) as pool:
            await pool.confirmed_read(block, [(ELSEWHERE, b"")])
            proxy.bends("eth_call", lambda data: data.replace(f"{block.number:064x}", f"{7:064x}"))
            await pool.call_at(block, [(ELSEWHERE, b"")])
            with pytest.raises(DisagreementError, match=r"1 calls at block .*good.*liar"):
                await pool.confirmed_read(block, [(ELSEWHERE, b"")])


async def test_a_block_that_was_taken_back_has_no_state_any_more(bare_chain: BareChain) -> None:
    await bare_chain.rpc("anvil_mine", "0x3")
    block = await head_of(bare_chain)
    await bare_chain.rpc("anvil_reorg", 2, [])
    async with pool_of(bare_chain, [endpoint(bare_chain.rpc_url)]) as pool:
        with pytest.raises(VenueUnreachableError, match="1 calls at block 3"):
            await pool.call_at(block, [(ELSEWHERE, b"")])


async def test_a_chain_without_multicall_says_so(bare_chain: BareChain) -> None:
    block = await head_of(bare_chain)
    async with pool_of(bare_chain, [endpoint(bare_chain.rpc_url)]) as pool:
        with pytest.raises(VenueUnreachableError, match="there is no Multicall3"):
            await pool.call_at(block, [(ELSEWHERE, b"")])


@pytest.mark.parametrize("url", ["https://eth.example/KEY", "http://localhost:8545", "http://127.0.0.1.example:1"])
def test_a_sandbox_reaches_nothing_but_this_machine(url: str) -> None:
    with pytest.raises(ConfigError, match=r"endpoint node: host \S+, expected 127\.0\.0\.1"):
        Endpoint(endpoint(url, is_local=True), SystemClock())
    with pytest.raises(ConfigError, match=r"endpoint node: host"):
        Endpoint(endpoint("http://127.0.0.1:1", ws_url=SecretStr(url), is_local=True), SystemClock())
    Endpoint(endpoint("http://127.0.0.1:1", is_local=True), SystemClock())
