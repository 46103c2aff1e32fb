"""What is committed is what the source compiles to, and what an address runs is what is committed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.venues.chain.atomic_receiver import (
    NOWHERE,
    receiver_artifact,
    receiver_deployment,
    receiver_immutables,
)
from basis_daemon.venues.chain.contracts import __main__ as command
from basis_daemon.venues.chain.contracts.artifact import DEPLOYER, verify_code
from basis_daemon.venues.chain.contracts.compiler import FOLDER, CompilerError, compile_all, compiled, find_solc
from tests.contracts.flows import NodeReader
from tests.contracts.lab import Lab

pytestmark = pytest.mark.feature("A04")
CODE_SIZE_MAX = 24_576
"""EIP-170: no network takes a larger contract."""


@pytest.mark.slow
def test_the_committed_artefacts_are_what_the_sources_compile_to(chain_packages: Path) -> None:
    made = compile_all(chain_packages / "solc")
    assert command.differing(made) == []
    for name, text in made.items():
        artefact = json.loads(text)
        assert len(artefact["deployedBytecode"]) // 2 - 1 <= CODE_SIZE_MAX, name
        assert artefact["solc"].startswith("0.8.27+commit.40a35a09")


def test_a_changed_missing_or_superfluous_artefact_is_named(tmp_path: Path) -> None:
    for name in ("Same", "Changed", "Old"):
        (tmp_path / f"{name}.json").write_text(name)
    made = {"Same.json": "Same", "Changed.json": "Changed.", "New.json": "New"}
    assert command.differing(made, tmp_path) == ["Changed.json", "New.json", "Old.json"]


def test_the_command_says_what_is_missing_instead_of_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--check", "--solc", str(tmp_path)]) == 2
    assert "solc at" in capsys.readouterr().err


@pytest.mark.slow
def test_a_fault_in_a_source_is_told_in_the_compiler_s_words(chain_packages: Path) -> None:
    with pytest.raises(CompilerError, match="Expected"):
        compiled(chain_packages / "solc", {"Bad.sol": "pragma solidity 0.8.27; contract {}"})


def test_the_compiler_of_the_sandbox_chain_is_found(chain_packages: Path) -> None:
    del chain_packages  # only that they are there
    assert (find_solc() / "package.json").is_file()


def test_every_source_that_is_shipped_is_hashed_in_the_artefact() -> None:
    named = json.loads((FOLDER / "GroupReceiver.json").read_text())["sources"]
    assert set(named) == {path.name for path in FOLDER.glob("*.sol")}


async def test_the_receiver_lies_where_the_address_book_says_and_cannot_be_made_twice(lab: Lab) -> None:
    ours = receiver_deployment(lab.book, lab.morpho)
    assert ours.address == lab.receiver
    assert ours.call.to == DEPLOYER
    assert (await lab.send(lab.stranger, ours.call))["status"] == 0


async def test_the_deployed_code_is_the_shipped_one_with_the_right_addresses_in_it(lab: Lab) -> None:
    expected = receiver_immutables(lab.book, lab.morpho)
    await verify_code(NodeReader(lab), lab.receiver, receiver_artifact(), expected)
    assert expected.keys() == receiver_artifact().immutables.keys()


async def test_other_code_is_not_used(lab: Lab) -> None:
    expected = receiver_immutables(lab.book, lab.morpho)
    code = await NodeReader(lab).code(lab.receiver)
    for other in (b"", code[:-1], code + b"\0", bytes([code[0] ^ 1]) + code[1:]):
        await lab.rpc("anvil_setCode", lab.receiver, "0x" + other.hex())
        with pytest.raises(IntegrityError, match="other code"):
            await verify_code(NodeReader(lab), lab.receiver, receiver_artifact(), expected)


@pytest.mark.parametrize("name", sorted(receiver_artifact().immutables))
async def test_our_code_with_somebody_else_s_address_in_it_is_not_used(lab: Lab, name: str) -> None:
    artefact, expected = receiver_artifact(), receiver_immutables(lab.book, lab.morpho)
    code = bytearray(await NodeReader(lab).code(lab.receiver))
    place = artefact.immutables[name][0]
    code[place.end - 1] ^= 1
    await lab.rpc("anvil_setCode", lab.receiver, "0x" + code.hex())
    with pytest.raises(IntegrityError, match=name):
        await verify_code(NodeReader(lab), lab.receiver, artefact, expected)


async def test_an_address_that_nobody_checks_is_not_trusted(lab: Lab) -> None:
    expected = receiver_immutables(lab.book, lab.morpho)
    del expected["POOL"]
    with pytest.raises(IntegrityError, match="POOL"):
        await verify_code(NodeReader(lab), lab.receiver, receiver_artifact(), expected)
    named = {**receiver_immutables(lab.book, lab.morpho), "FEES": NOWHERE}
    with pytest.raises(IntegrityError, match="FEES"):
        await verify_code(NodeReader(lab), lab.receiver, receiver_artifact(), named)


async def test_a_book_without_a_protocol_gives_a_receiver_without_it(lab: Lab) -> None:
    book = lab.book.model_copy(update={"lido": None})
    ours = receiver_deployment(book, None)
    await lab.do(lab.whale, ours.call)
    await verify_code(NodeReader(lab), ours.address, receiver_artifact(), receiver_immutables(book, None))
    assert receiver_immutables(book, None)["WSTETH"] == NOWHERE
    changed = replace(receiver_artifact(), deployed=b"")
    with pytest.raises(IntegrityError, match="other code"):
        await verify_code(NodeReader(lab), ours.address, changed, receiver_immutables(book, None))
