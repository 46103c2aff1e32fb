"""Who signs for an address. A key never leaves its signer: not in a repr, not in a log, not in an error."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_keys.datatypes import PublicKey, Signature
from eth_keys.exceptions import BadSignature
from eth_typing import Hash32
from pydantic import SecretStr

from basis_daemon.domain.errors import ConfigError, IntegrityError, VenueUnreachableError

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of the curve: of the two values of s that verify, the chain takes the lower one."""
_KEY = re.compile(r"(0x)?[0-9a-fA-F]{64}")
_LEGACY_PARITY = 27
"""What was added to the parity before transactions had types."""
TxFields = Mapping[str, Any]
"""An unsigned EIP-1559 transaction in web3's words, all fields present."""


class Signer(Protocol):
    """Signs transactions and permits of one address."""

    @property
    def address(self) -> str:
        """Checksummed."""
        ...

    async def sign(self, fields: TxFields) -> bytes:
        """The signed transaction as it goes over the wire. Raises VenueUnreachableError when the signer is away."""
        ...

    async def sign_digest(self, digest: bytes) -> tuple[int, int, int]:
        """(parity, r, s) of 32 bytes that are no transaction, s being the lower one; raises as ``sign``."""
        ...


class KeySigner:
    """Holds a private key in memory."""

    __slots__ = ("_account", "address")

    def __init__(self, key: SecretStr) -> None:
        """Raises ConfigError, without the key, for what is none."""
        self._account = _account_of(key.get_secret_value().strip())
        self.address: str = self._account.address

    @classmethod
    async def from_keystore(cls, path: Path, password: SecretStr) -> KeySigner:
        """Opens an encrypted key file; takes a second on a thread. Raises ConfigError for a bad file or password."""
        try:
            key = await asyncio.to_thread(_decrypt, path, password)
        except (OSError, ValueError, KeyError, TypeError) as error:
            # the cause may quote what was in the file
            raise ConfigError(f"keystore {path}: {_kind(error)}, expected a key file and its password") from None
        return cls(key)

    def __repr__(self) -> str:
        return f"KeySigner({self.address})"

    def __reduce__(self) -> str:
        raise TypeError(f"{self!r} is not to be copied or stored")

    async def sign(self, fields: TxFields) -> bytes:
        return bytes(self._account.sign_transaction(dict(fields)).raw_transaction)

    async def sign_digest(self, digest: bytes) -> tuple[int, int, int]:
        """(parity, r, s) of 32 bytes that are no transaction: a permit, made by ``atomic_permit``."""
        signed = self._account.unsafe_sign_hash(Hash32(digest))
        return signed.v - _LEGACY_PARITY, signed.r, signed.s


class KeyService(Protocol):
    """A key that nobody can take out, as in AWS KMS (key spec ECC_SECG_P256K1). Raises VenueUnreachableError."""

    async def public_key(self) -> bytes:
        """DER of the SubjectPublicKeyInfo, as KMS ``GetPublicKey`` gives it."""
        ...

    async def sign_digest(self, digest: bytes) -> bytes:
        """DER of the ECDSA signature of these 32 bytes, as KMS ``Sign`` gives it for message type DIGEST."""
        ...


class KmsSigner:
    """Has a key service sign: takes either s, returns the lower one with the parity that leads back to the address."""

    __slots__ = ("_public_key", "_service", "_timeout_s", "address")

    def __init__(self, service: KeyService, public_key: PublicKey, timeout_s: float) -> None:
        self._service, self._public_key, self._timeout_s = service, public_key, timeout_s
        self.address: str = public_key.to_checksum_address()

    @classmethod
    async def connect(cls, service: KeyService, timeout_s: float = 5.0) -> KmsSigner:
        """Asks which key it is. Raises ConfigError for a key of another curve, VenueUnreachableError."""
        async with _answering(timeout_s):
            found = await service.public_key()
        try:
            key = load_der_public_key(found)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"key service: public key not readable ({_kind(error)}), expected DER") from None
        if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256K1):
            raise ConfigError(f"key service: a key of {type(key).__name__}, expected curve secp256k1")
        point = key.public_numbers()
        return cls(service, PublicKey(point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")), timeout_s)

    def __repr__(self) -> str:
        return f"KmsSigner({self.address})"

    async def sign(self, fields: TxFields) -> bytes:
        """Raises IntegrityError when the service signed with another key or something else."""
        parity, r, s = await self.sign_digest(TypedTransaction.from_dict(dict(fields)).hash())
        return TypedTransaction.from_dict({**fields, "v": parity, "r": r, "s": s}).encode()

    async def sign_digest(self, digest: bytes) -> tuple[int, int, int]:
        """As ``KeySigner`` does; raises like ``sign``."""
        async with _answering(self._timeout_s):
            signature = await self._service.sign_digest(digest)
        return self._recoverable(digest, signature)

    def _recoverable(self, digest: bytes, signature: bytes) -> tuple[int, int, int]:
        try:
            r, s = decode_dss_signature(signature)
            low = min(s, _ORDER - s)
            for parity in (0, 1):
                if Signature(vrs=(parity, r, low)).recover_public_key_from_msg_hash(digest) == self._public_key:
                    return parity, r, low
        except (ValueError, BadSignature):
            pass
        raise IntegrityError(f"key service for {self.address}: its signature does not lead back to that address")


class _answering:  # noqa: N801 - reads as what it is: `async with _answering(5)`
    """A time-out that ends in the daemon's own word for it."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout, self._timeout_s = asyncio.timeout(timeout_s), timeout_s

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *raised: object) -> None:
        try:
            await self._timeout.__aexit__(*raised)  # type: ignore[arg-type]  # handed on as they came
        except TimeoutError:
            raise VenueUnreachableError(f"key service: no answer within {self._timeout_s} s, nothing signed") from None


def _account_of(key: str) -> LocalAccount:
    if not _KEY.fullmatch(key):  # the library fills up a key that lost a digit, and signs for somebody else
        raise ConfigError("private key: expected 32 bytes of hex, nothing less and nothing else")
    try:
        account: LocalAccount = Account.from_key(key)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"private key: {_kind(error)}, expected 32 bytes of hex") from None
    return account


def _decrypt(path: Path, password: SecretStr) -> SecretStr:
    return SecretStr("0x" + Account.decrypt(json.loads(path.read_text()), password.get_secret_value()).hex())


def _kind(error: Exception) -> str:
    return type(error).__name__
