"""What becomes of a signed transaction at each kind of endpoint, and what its answer means."""

from __future__ import annotations

import logging

import pytest

from basis_daemon.domain.errors import OutcomeUnknownError, VenueUnreachableError
from basis_daemon.venues.chain.endpoint import EndpointOptions
from basis_daemon.venues.chain.errors import Refusal, refusal_of
from tests.chain_support import BareChain
from tests.venues.chain.proxy import ProxyNode
from tests.venues.chain.support import ETHER, OFF, OWNER, SHORT, Notes, endpoint, pool_of, signed


@pytest.mark.feature("X03", part="broadcast")
async def test_a_transaction_goes_to_every_healthy_endpoint(bare_chain: BareChain) -> None:
    await bare_chain.rpc("anvil_setBalance", OWNER, hex(ETHER))
    async with ProxyNode(bare_chain.rpc_url) as one, ProxyNode(bare_chain.rpc_url) as other:
        async with pool_of(bare_chain, [endpoint(one.url, "one"), endpoint(other.url, "other")]) as pool:
            assert await pool.send_raw(*signed()) is None
            assert await pool.send_raw(*signed()) in {None, Refusal.NONCE_TOO_LOW}
        assert "eth_sendRawTransaction" in one.asked
        assert "eth_sendRawTransaction" in other.asked


@pytest.mark.feature("X04", part="account")
async def test_a_private_transaction_is_shown_to_the_relay_alone(bare_chain: BareChain) -> None:
    await bare_chain.rpc("anvil_setBalance", OWNER, hex(ETHER))
    async with ProxyNode(bare_chain.rpc_url) as public, ProxyNode(bare_chain.rpc_url) as relay:
        endpoints = [endpoint(public.url, "public"), endpoint(relay.url, "relay", is_private=True)]
        async with pool_of(bare_chain, endpoints) as pool:
            assert await pool.send_raw(*signed(), is_private=True) is None
        assert "eth_sendRawTransaction" not in public.asked
        assert relay.asked == ["eth_sendRawTransaction"]


@pytest.mark.fault("F41", "F42")
async def test_a_send_that_one_endpoint_may_have_taken_is_in_doubt_until_one_says_so(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    await bare_chain.rpc("anvil_setBalance", OWNER, hex(ETHER))
    await bare_chain.rpc("evm_setAutomine", OFF)
    async with pool_of(bare_chain, [endpoint(proxy.url, "only", **SHORT)]) as pool:
        proxy.takes_and_hangs("eth_sendRawTransaction")
        with pytest.raises(OutcomeUnknownError, match="only: TimeoutError"):
            await pool.send_raw(*signed())
        assert proxy.asked.count("eth_sendRawTransaction") == 1, "never sent twice by itself"
        proxy.is_honest()
        assert await pool.send_raw(*signed()) is None, "already imported is success"


async def test_a_send_that_reached_nobody_is_certain(bare_chain: BareChain, proxy: ProxyNode) -> None:
    url = proxy.url
    endpoints = [endpoint(url, "gone", **SHORT)]
    async with pool_of(bare_chain, endpoints) as pool:
        await proxy.stop()
        with pytest.raises(VenueUnreachableError, match="nothing was sent"):
            await pool.send_raw(*signed())


async def test_a_node_that_answers_with_another_hash_leaves_a_doubt(bare_chain: BareChain, proxy: ProxyNode) -> None:
    async with pool_of(bare_chain, [endpoint(proxy.url, "liar")]) as pool:
        proxy.says("eth_sendRawTransaction", "0x" + "77" * 32)
        with pytest.raises(OutcomeUnknownError, match="answered hash 0x7777"):
            await pool.send_raw(*signed())


@pytest.mark.fault("F41", "F42")
async def test_a_gateway_that_counts_requests_leaves_a_doubt_and_no_nonce_free(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    async with pool_of(bare_chain, [endpoint(proxy.url, "counter")]) as pool:
        proxy.refuses("eth_sendRawTransaction", "request limit reached", code=-32005)
        with pytest.raises(OutcomeUnknownError, match=r"counter: rate_limited: .*request limit reached"):
            await pool.send_raw(*signed())


@pytest.mark.fault("F60")
async def test_no_url_stands_in_an_error_a_note_or_a_log(
    bare_chain: BareChain, proxy: ProxyNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    notes = Notes()
    secret = EndpointOptions(name="vendor", url=endpoint(proxy.url + "/v2/KEY-OF-VENDOR").url)
    with pytest.raises(ExceptionGroup) as caught:
        async with pool_of(bare_chain, [secret], notes=notes):
            pass
    assert caught.group_contains(VenueUnreachableError, match="vendor: no answer")
    assert "HTTP 404" in str(notes.told)
    assert "KEY-OF-VENDOR" not in repr(caught.value.exceptions) + str(notes.told) + repr(secret) + caplog.text


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("already known", Refusal.ALREADY_KNOWN),
        ("transaction already imported", Refusal.ALREADY_KNOWN),
        ("AlreadyKnown", Refusal.ALREADY_KNOWN),
        ("Known transaction", Refusal.ALREADY_KNOWN),
        ("unknown transaction type", Refusal.INVALID),
        ("nonce too low: next nonce 7, tx nonce 6", Refusal.NONCE_TOO_LOW),
        ("OldNonce, Current nonce: 7", Refusal.NONCE_TOO_LOW),
        ("replacement transaction underpriced", Refusal.UNDERPRICED_REPLACEMENT),
        ("could not replace existing tx", Refusal.UNDERPRICED_REPLACEMENT),
        ("transaction underpriced: tip needed 1", Refusal.FEE_TOO_LOW),
        ("max fee per gas less than block base fee: address 0x0", Refusal.FEE_TOO_LOW),
        ("insufficient funds for gas * price + value: balance 0", Refusal.INSUFFICIENT),
        ("Upfront cost exceeds account balance", Refusal.INSUFFICIENT),
        ("txpool is full", Refusal.POOL_FULL),
        ("in-flight transaction limit reached for delegated accounts", Refusal.POOL_FULL),
        ("exceeds block gas limit", Refusal.INVALID),
        ("intrinsic gas too low: gas 20000, minimum needed 21000", Refusal.INVALID),
        ("invalid sender", Refusal.INVALID),
        ("INVALID_TRANSACTION_SIGNATURE", Refusal.INVALID),
        ("invalid chain id for signer: have 1 want 5", Refusal.INVALID),
        ("only replay-protected (EIP-155) transactions allowed over RPC", Refusal.INVALID),
        ("tx fee (1.50 ether) exceeds the configured cap (1.00 ether)", Refusal.INVALID),
        ("max priority fee per gas higher than max fee per gas", Refusal.INVALID),
        ("oversized data: transaction size 131173, limit 131072", Refusal.INVALID),
        ("rlp: value size exceeds available input length", Refusal.INVALID),
        ("{'code': -32601, 'message': 'the method does not exist'}", Refusal.INVALID),
        ("{'code': -32603, 'message': 'Internal error'}", Refusal.UNCLEAR),
        ("{'code': -32015, 'message': 'upstream node timed out'}", Refusal.UNCLEAR),
        ("nonce gap: tx nonce 9, account nonce 7", Refusal.UNCLEAR),
        ("resource unavailable", Refusal.UNCLEAR),
        ("could not read the chain id: upstream timed out", Refusal.UNCLEAR),
        ("internal error: no priority fee within the time-out", Refusal.UNCLEAR),
        ("{'code': -32005, 'message': 'request limit reached'}", Refusal.RATE_LIMITED),
        ("daily request count exceeded, request rate limited", Refusal.RATE_LIMITED),
        ("Too Many Requests", Refusal.RATE_LIMITED),
    ],
)
@pytest.mark.fault("F42")
def test_a_refusal_is_understood_in_the_words_of_every_client(said: str, meant: Refusal) -> None:
    assert refusal_of(said) is meant
