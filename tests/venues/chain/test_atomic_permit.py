from __future__ import annotations

import pytest
from eth_keys.datatypes import Signature
from eth_utils.crypto import keccak
from pydantic import SecretStr

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.venues.chain.atomic_permit import sign_permit
from basis_daemon.venues.chain.erc20 import Allowance
from basis_daemon.venues.chain.signers import KeySigner, KmsSigner, Signer
from tests.venues.chain.support import KEY, OWNER
from tests.venues.chain.test_signers import LocalKeyService

NEED = Allowance("aweETH", "0x" + "11" * 20, "0x" + "22" * 20, 10**18)


async def test_a_key_and_a_key_service_sign_the_same_digest_for_the_same_address() -> None:
    """And they do not need the same bytes for it: what counts is where the signature leads."""
    signers: list[Signer] = [KeySigner(SecretStr(KEY)), await KmsSigner.connect(LocalKeyService())]
    digest = keccak(text="anything")
    for signer in signers:
        parity, r, s = await signer.sign_digest(digest)
        key = Signature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(digest)
        assert key.to_checksum_address() == signer.address == OWNER


async def test_a_permit_says_what_was_asked_and_in_the_words_that_tokens_read() -> None:
    permit = await sign_permit(KeySigner(SecretStr(KEY)), bytes(32), NEED, nonce=3, deadline=99)
    assert (permit.value, permit.deadline, permit.v in {27, 28}) == (NEED.units, 99, True)
    assert len(permit.r) == len(permit.s) == 32


async def test_a_key_service_that_is_away_gives_no_permit() -> None:
    signer = await KmsSigner.connect(LocalKeyService(), timeout_s=5)
    signer._service = Away()
    with pytest.raises(VenueUnreachableError):
        await sign_permit(signer, bytes(32), NEED, nonce=0, deadline=99)


class Away(LocalKeyService):
    """Gone since it told its key."""

    async def sign_digest(self, digest: bytes) -> bytes:
        raise VenueUnreachableError("key service: gone")
