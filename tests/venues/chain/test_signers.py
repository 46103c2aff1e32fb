"""What signs is right, and what it signs with is seen nowhere."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import (
    BasisError,
    ConfigError,
    IntegrityError,
    OrderRejectedError,
    VenueUnreachableError,
)
from basis_daemon.telemetry.logs import TALKATIVE
from basis_daemon.venues.chain.account import ChainAccount
from basis_daemon.venues.chain.signers import KeySigner, KmsSigner
from tests.chain_support import BareChain
from tests.venues.chain.support import ELSEWHERE, ETHER, GWEI, KEY, OWNER, MemoryTxJournal, request, rig_on

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
PASSWORD = "opens-every-door"
FORMS = (KEY, KEY[2:], KEY[2:].upper(), str(int(KEY, 16)), repr(bytes.fromhex(KEY[2:])))


def fields(nonce: int = 0) -> dict[str, object]:
    return {
        "type": 2, "chainId": 31337, "nonce": nonce, "to": ELSEWHERE, "value": 5, "data": "0x1234", "gas": 30_000,
        "maxFeePerGas": 10 * GWEI, "maxPriorityFeePerGas": GWEI, "accessList": [],
    }  # fmt: skip


Bend = Callable[[int, int], tuple[int, int]]
BENDS: dict[str, Bend] = {
    "another s": lambda r, s: (r, s ^ 1),
    "swapped": lambda r, s: (s, r),
    "no r": lambda r, s: (r * 0, s),
    "no s": lambda r, s: (r, s * 0),
}


class LocalKeyService:
    """What a key service does, with a key of this process; ``bend`` spoils its signatures."""

    def __init__(
        self, key: int = int(KEY, 16), bend: Callable[[int, int], tuple[int, int]] = lambda r, s: (r, s)
    ) -> None:
        self._key = ec.derive_private_key(key, ec.SECP256K1())
        self._bend = bend
        self.hanging: asyncio.Event | None = None

    async def public_key(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    async def sign_digest(self, digest: bytes) -> bytes:
        if self.hanging is not None:
            await self.hanging.wait()
        signature = self._key.sign(digest, ec.ECDSA(Prehashed(SHA256())))
        return encode_dss_signature(*self._bend(*decode_dss_signature(signature)))


# ------------------------------------------------------------------------------------------------- what is signed
async def test_a_key_signs_what_it_was_given() -> None:
    raw = HexBytes(await KeySigner(SecretStr(KEY)).sign(fields()))
    assert Account.recover_transaction(raw) == OWNER
    assert TypedTransaction.from_bytes(raw).as_dict()["value"] == 5


async def test_a_keystore_opens_with_its_password_only(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(Account.encrypt(bytes.fromhex(KEY[2:]), "right", iterations=2)))
    assert (await KeySigner.from_keystore(file, SecretStr("right"))).address == OWNER
    with pytest.raises(ConfigError, match=r"keystore .*key\.json: \w*ValueError"):
        await KeySigner.from_keystore(file, SecretStr("wrong"))


@pytest.mark.feature("X12")
@settings(max_examples=50)
@given(key=st.integers(1, ORDER - 1), nonce=st.integers(0, 2**32), is_high=st.booleans())
@pytest.mark.slow
def test_a_key_service_signs_as_the_key_itself_would_be_seen_to(key: int, nonce: int, is_high: bool) -> None:
    def half(r: int, s: int) -> tuple[int, int]:
        return r, max(s, ORDER - s) if is_high else min(s, ORDER - s)

    async def sign() -> tuple[str, bytes]:
        signer = await KmsSigner.connect(LocalKeyService(key, half))
        return signer.address, await signer.sign(fields(nonce))

    address, raw = asyncio.run(sign())
    assert address == Account.from_key(key.to_bytes(32, "big")).address
    assert Account.recover_transaction(HexBytes(raw)) == address
    assert TypedTransaction.from_bytes(HexBytes(raw)).vrs()[2] <= ORDER // 2, "the chain refuses the higher s"


@pytest.mark.feature("X12")
async def test_transactions_of_a_key_service_are_mined(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        signer = await KmsSigner.connect(LocalKeyService())
        account = ChainAccount(signer, rig.rpc, MemoryTxJournal(), SystemClock(), rig.events.append, rig.policy)
        await account.start()
        for number in range(20):
            await account.submit(request(f"order-{number}"))
        await rig.mine()
        assert len(await rig.on_chain()) == 20


async def test_a_key_service_that_does_not_answer_signs_nothing() -> None:
    service = LocalKeyService()
    signer = await KmsSigner.connect(service, timeout_s=0.05)
    service.hanging = asyncio.Event()
    with pytest.raises(VenueUnreachableError, match="nothing signed"):
        await signer.sign(fields())


@pytest.mark.parametrize("bend", BENDS)
async def test_a_signature_that_leads_elsewhere_is_not_used(bend: str) -> None:
    signer = await KmsSigner.connect(LocalKeyService(bend=BENDS[bend]))
    with pytest.raises(IntegrityError, match="does not lead back"):
        await signer.sign(fields())


async def test_a_key_of_another_curve_is_refused() -> None:
    class Other(LocalKeyService):
        async def public_key(self) -> bytes:
            key = ec.generate_private_key(ec.SECP256R1()).public_key()
            return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    with pytest.raises(ConfigError, match="expected curve secp256k1"):
        await KmsSigner.connect(Other())


async def test_a_signer_that_signs_something_else_sends_nothing_and_halts_the_account(bare_chain: BareChain) -> None:
    class Generous(KeySigner):
        async def sign(self, fields: object) -> bytes:
            assert isinstance(fields, dict)
            return await super().sign({**fields, "value": ETHER})

    async with rig_on(bare_chain) as rig:
        account = ChainAccount(
            Generous(SecretStr(KEY)), rig.rpc, MemoryTxJournal(), SystemClock(), rig.events.append, rig.policy,
            note=rig.notes,
        )  # fmt: skip
        await account.start()
        with pytest.raises(OrderRejectedError, match="nothing was sent"):
            await account.submit(request())
        assert isinstance(account.halted, IntegrityError)
        with pytest.raises(OrderRejectedError, match="the account is halted"):
            await account.submit(request("order-2"))
        assert rig.notes.events.count("account_halted_alarm") == 1
        assert rig.events == []
        await rig.mine()
        assert await rig.on_chain() == []


# --------------------------------------------------------------------------------------------- what nobody may see
def hunt(text: str) -> None:
    for form in FORMS:
        assert form not in text


@pytest.mark.fault("F60")
async def test_the_key_stands_in_no_text_that_a_signer_leaves() -> None:
    signer = KeySigner(SecretStr(KEY))
    hunt(f"{signer!r} {signer!s} {signer.address} {[signer]} {vars(KeySigner)}")
    with pytest.raises(TypeError):
        pickle.dumps(signer)
    with pytest.raises(TypeError):
        copy.copy(signer)


@pytest.mark.fault("F60")
@pytest.mark.parametrize("spoilt", [KEY + "00", KEY[:-1], KEY[:-1] + "g", "not a key " + KEY])
async def test_the_key_stands_in_no_error_about_it(spoilt: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KeySigner(SecretStr(spoilt))
    hunt("".join(traceback.format_exception(caught.value)))
    assert spoilt not in "".join(traceback.format_exception(caught.value))


@pytest.mark.fault("F60")
async def test_a_keystore_with_a_plain_key_in_it_is_refused_without_a_word_of_it(tmp_path: Path) -> None:
    for content in (KEY, json.dumps({"crypto": KEY}), json.dumps({"version": 3, "crypto": {"kdf": KEY}}), "{"):
        file = tmp_path / "key.json"
        file.write_text(content)
        with pytest.raises(ConfigError) as caught:
            await KeySigner.from_keystore(file, SecretStr(PASSWORD))
        told = "".join(traceback.format_exception(caught.value))
        hunt(told)
        assert PASSWORD not in told


@pytest.mark.fault("F60")
async def test_the_key_stands_in_no_log_journal_or_note_of_a_whole_life(
    bare_chain: BareChain, caplog: pytest.LogCaptureFixture
) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    root.addHandler(handler)
    for talker in (None, *TALKATIVE):  # which a daemon makes quieter
        caplog.set_level(logging.DEBUG, talker)
    try:
        async with rig_on(bare_chain) as rig:
            await rig.account.submit(request())
            await rig.foreign(5)
            await rig.mine(3)
            hunt(str(rig.events) + str(rig.notes.told) + str(rig.journal.read(OWNER)) + repr(vars(rig.account)))
            with pytest.raises(BasisError) as caught:
                await rig.account.submit(request("order-2", value=1000 * ETHER))
            hunt("".join(traceback.format_exception(caught.value)))
    finally:
        root.removeHandler(handler)
    hunt(stream.getvalue())
    assert stream.getvalue(), "the libraries spoke, so that there was something to hunt in"
