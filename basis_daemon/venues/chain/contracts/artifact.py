"""A committed artefact, the creation of its contract, and the proof that an address holds that code and no other.

A contract is created through the deterministic deployer that every network has: its address follows from its code and
its constructor's arguments, so that whoever knows the address book knows the address, and nobody deploys it twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Protocol

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.venues.chain.abi import Call

DEPLOYER = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
"""Takes a salt and creation code and creates the contract with CREATE2; the same address on every network."""
SALT = bytes(32)
ADDRESS_BYTES = 20


class CodeReader(Protocol):
    """Reads code. Raises VenueUnreachableError when it gets no answer."""

    async def code(self, address: str) -> bytes:
        """What the address runs now; nothing where no contract is."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes of the code that the constructor fills in."""

    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Artifact:
    """What solc made of one contract. ``immutables`` are the places of each value fixed at deployment, by its name."""

    contract: str
    abi: tuple[Mapping[str, Any], ...]
    creation: bytes
    deployed: bytes
    immutables: Mapping[str, tuple[Place, ...]]

    @property
    def constructor(self) -> tuple[str, ...]:
        """Names of the constructor's arguments, all of them addresses."""
        inputs = next((entry["inputs"] for entry in self.abi if entry["type"] == "constructor"), ())
        return tuple(given["name"] for given in inputs)


@dataclass(frozen=True, slots=True)
class Deployment:
    """The one transaction that creates the contract, and where it will be."""

    call: Call
    address: str


@cache
def load(contract: str) -> Artifact:
    """The artefact that is shipped under this name."""
    text = (resources.files(__package__) / f"{contract}.json").read_text(encoding="utf-8")
    raw = json.loads(text)
    return Artifact(
        raw["contract"],
        tuple(raw["abi"]),
        bytes.fromhex(raw["bytecode"].removeprefix("0x")),
        bytes.fromhex(raw["deployedBytecode"].removeprefix("0x")),
        {
            name: tuple(Place(place["start"], place["length"]) for place in places)
            for name, places in raw["immutableReferences"].items()
        },
    )


def deployment(artifact: Artifact, arguments: Mapping[str, str]) -> Deployment:
    """The creation with these constructor arguments (addresses by name); raises KeyError for a missing one."""
    given = [arguments[name] for name in artifact.constructor]
    code = artifact.creation + encode(["address"] * len(given), given)
    seed = b"\xff" + bytes.fromhex(DEPLOYER[2:]) + SALT + keccak(code)
    return Deployment(Call(DEPLOYER, SALT + code), to_checksum_address(keccak(seed)[-ADDRESS_BYTES:]))


async def verify_code(reader: CodeReader, address: str, artifact: Artifact, expected: Mapping[str, str]) -> None:
    """Raises IntegrityError unless ``address`` runs this artefact with the ``expected`` immutables (addresses by name).

    Every immutable has to be named: one that nobody checked could point the contract at somebody else's.
    """
    code = await reader.code(address)
    if _masked(code, artifact) != _masked(artifact.deployed, artifact):
        raise IntegrityError(
            f"{artifact.contract} at {address}: found {len(code)} bytes of other code (keccak 0x{keccak(code).hex()}), "
            f"expected the {len(artifact.deployed)} bytes of the shipped artefact; do not use it"
        )
    found = {name: _address_in(code, places) for name, places in artifact.immutables.items()}
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != (wanted := expected.get(name)):
            raise IntegrityError(
                f"{artifact.contract} at {address}: {name} is {found.get(name)}, expected {wanted}; do not use it"
            )


def _masked(code: bytes, artifact: Artifact) -> bytes:
    blank = bytearray(code)
    for places in artifact.immutables.values():
        for place in places:
            blank[place.start : place.end] = bytes(len(blank[place.start : place.end]))
    return bytes(blank)


def _address_in(code: bytes, places: tuple[Place, ...]) -> str:
    """The address at all of these places; no address where they differ."""
    found = {code[place.start : place.end] for place in places}
    word = found.pop() if len(found) == 1 else b""
    if len(word) < ADDRESS_BYTES or any(word[:-ADDRESS_BYTES]):
        return ""
    return to_checksum_address(word[-ADDRESS_BYTES:])
