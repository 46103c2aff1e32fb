"""What a chain node means by an error, in the daemon's classes. Its words differ by client; the meaning does not."""

from __future__ import annotations

import re
from enum import StrEnum

from basis_daemon.domain.errors import BasisError, ErrorClass, IntegrityError, OrderRejectedError, VenueUnreachableError

TEXT_MAX = 300


class Refusal(StrEnum):
    """Why a node did not take a transaction."""

    ALREADY_KNOWN = "already_known"
    NONCE_TOO_LOW = "nonce_too_low"
    UNDERPRICED_REPLACEMENT = "underpriced_replacement"
    FEE_TOO_LOW = "fee_too_low"
    INSUFFICIENT = "insufficient"
    POOL_FULL = "pool_full"
    INVALID = "invalid"
    RATE_LIMITED = "rate_limited"
    UNCLEAR = "unclear"

    @property
    def is_certain(self) -> bool:
        """False where the words leave open whether a node has it: a gateway's, or such as nobody knows."""
        return self not in {Refusal.RATE_LIMITED, Refusal.UNCLEAR}


_NEVER = (
    r"intrinsic gas|gas ?limit|priority fee|tip (above|higher)|exceeds the configured cap",
    r"invalid (sender|signature|chain|transaction|params|argument)|invalid_\w*signature",
    r"chain ?id|replay[- ]protected|eip-155|(transaction|tx) ?type|\brlp\b|oversized|too large|init ?code",
    r"-32(700|600|601|602)",
)
"""What no node would take whenever it is offered; the codes are those of JSON-RPC for a request that it cannot read."""

_WORDS: tuple[tuple[Refusal, re.Pattern[str]], ...] = tuple(
    (refusal, re.compile(pattern, re.IGNORECASE))
    for refusal, pattern in (
        (Refusal.RATE_LIMITED, r"(request|rate|quota|credit)\w*[ -](count |rate )?limit|too many requests|-32005"),
        (Refusal.ALREADY_KNOWN, r"already ?known|already imported|already_exists|(?<!un)known transaction"),
        (Refusal.UNDERPRICED_REPLACEMENT, r"replacement transaction underpriced|replacement ?not ?allowed|not replace"),
        (Refusal.NONCE_TOO_LOW, r"nonce (is )?too low|nonce_too_low|old ?nonce"),
        (Refusal.INSUFFICIENT, r"insufficient ?funds|upfront cost exceeds|insufficient balance"),
        (Refusal.FEE_TOO_LOW, r"less than block base fee|transaction underpriced|fee ?too ?low|gas price below"),
        (Refusal.POOL_FULL, r"pool is full|limit reached|txpool_limit"),
        (Refusal.UNCLEAR, r"internal (server )?error|-32603|timed? ?-?out|upstream|unavailable"),
        (Refusal.INVALID, "|".join(_NEVER)),
    )
)
"""First match wins: a gateway's words first, which are none of a node.

The nodes are anvil, geth, reth, Nethermind, Besu and Erigon, each in the words that it uses. What failed inside a
node or behind a gateway is unclear whatever else its words name: the pool may have the transaction."""


def refusal_of(message: str) -> Refusal:
    """The meaning of an error that a node gave to ``eth_sendRawTransaction``."""
    return next((refusal for refusal, words in _WORDS if words.search(message)), Refusal.UNCLEAR)


class ForeignNonceError(IntegrityError):
    """A nonce of ours was used by a transaction that is not ours: somebody else signs with this key. Halt."""


def foreign_nonce(address: str, nonce: int, found: str) -> ForeignNonceError:
    """With the remedy in its message."""
    return ForeignNonceError(
        f"address {address}: nonce {nonce} belongs to another hand: {found}; somebody else signs with this key, so "
        "nothing more is signed here. Find out who; if it was you, stop the daemon, say `basis-daemon wallet adopt` "
        "and start again"
    )


class DisagreementError(VenueUnreachableError):
    """Two endpoints answered the same question about the same block differently; neither is believed."""


class SimulationRevertedError(OrderRejectedError):
    """The call reverts on the present state, so nothing was signed; ``revert_data`` is the contract's own answer."""

    def __init__(self, message: str, revert_data: bytes) -> None:
        super().__init__(message, ErrorClass.BAD_PARAMS, code="0x" + revert_data[:4].hex())
        self.revert_data = revert_data


class NodeRefusalError(BasisError):
    """A node understood and refused; the next one would say the same."""

    def __init__(self, refusal: Refusal, text: str) -> None:
        super().__init__(f"{refusal}: {text}")
        self.refusal = refusal
