"""An EIP-2612 permit of an aToken: the owner's signature instead of a transaction of its own for the allowance."""

from __future__ import annotations

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from basis_daemon.domain.chain import BlockRef
from basis_daemon.venues.chain.abi import function
from basis_daemon.venues.chain.atomic_receiver import Permit
from basis_daemon.venues.chain.erc20 import Allowance
from basis_daemon.venues.chain.seams import PinnedReader, Questions
from basis_daemon.venues.chain.signers import Signer

DOMAIN_SEPARATOR = function("DOMAIN_SEPARATOR() -> (bytes32)")
NONCES = function("nonces(address) -> (uint256)")
_PERMIT_TYPE = keccak(text="Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")
_LEGACY_PARITY = 27
"""The token's ``ecrecover`` wants parity 0 and 1 as 27 and 28."""


def permit_digest(domain_separator: bytes, owner: str, need: Allowance, nonce: int, deadline: int) -> bytes:
    """The 32 bytes that the owner signs; ``domain_separator`` as the token itself states it."""
    fields = [_PERMIT_TYPE, owner, need.spender, need.units, nonce, deadline]
    inner = keccak(encode(["bytes32", "address", "address", "uint256", "uint256", "uint256"], fields))
    return keccak(b"\x19\x01" + domain_separator + inner)


async def permit_for(signer: Signer, reader: PinnedReader, block: BlockRef, need: Allowance, deadline: int) -> Permit:
    """The permit for an allowance; ``deadline`` unix seconds, that of the group. Raises VenueUnreachableError.

    ``reader`` should ask more than one endpoint: what is signed depends on its word.
    """
    asked = Questions()
    domain, nonce = asked.ask(DOMAIN_SEPARATOR, need.token), asked.ask(NONCES, need.token, signer.address)
    await asked.put(reader, block)
    return await sign_permit(signer, domain.value, need, nonce.value, deadline)


async def sign_permit(signer: Signer, domain_separator: bytes, need: Allowance, nonce: int, deadline: int) -> Permit:
    """The permit of this nonce. Raises VenueUnreachableError when the signer is away."""
    digest = permit_digest(domain_separator, signer.address, need, nonce, deadline)
    parity, r, s = await signer.sign_digest(digest)
    return Permit(need.units, deadline, _LEGACY_PARITY + parity, r.to_bytes(32, "big"), s.to_bytes(32, "big"))
