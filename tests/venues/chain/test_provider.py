"""The way of one JSON-RPC question: what comes back is an answer to it, or no answer."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest
from pydantic import SecretStr
from web3.types import RPCEndpoint

from basis_daemon.sandbox.chain.rpc_port import RpcPort, Slip
from basis_daemon.venues.chain.provider import HttpProvider

METHOD = RPCEndpoint("eth_chainId")
TIMEOUT = aiohttp.ClientTimeout(total=5)


def answered(_: str, params: list[Any]) -> dict[str, Any]:
    return {"result": params}


async def asked(slips: list[Slip | None]) -> list[Any]:
    """What came of one question after the other; the errors among it as they were raised."""
    port = RpcPort(answered, lambda _: None if (slip := slips.pop(0)) is None else (slip, True))
    await port.start(0)
    provider = HttpProvider(SecretStr(port.url), TIMEOUT)
    await provider.open()
    found: list[Any] = []
    for number in range(len(slips)):
        try:
            found.append((await provider.make_request(METHOD, [number]))["result"])
        except (aiohttp.ClientError, ValueError) as error:
            found.append(error)
    await provider.close()
    with pytest.raises(aiohttp.ClientConnectionError, match="session is closed"):
        await provider.make_request(METHOD, [])
    await port.stop()
    return found


@pytest.mark.fault("F41")
def test_the_answer_to_another_question_is_no_answer() -> None:
    first, crossed, last = asyncio.run(asked([None, Slip.CROSSED, None]))
    assert (first, last) == ([0], [2])
    assert isinstance(crossed, ValueError)
    assert "answer to request" in str(crossed)


@pytest.mark.parametrize("slip", [one for one in Slip if one not in {Slip.LIMITED, Slip.MISFIT, Slip.UNHEARD}])
def test_whatever_goes_wrong_on_the_way_is_an_error_and_the_next_question_is_answered(slip: Slip) -> None:
    first, error, last = asyncio.run(asked([None, slip, None]))
    assert (first, last) == ([0], [2])
    assert isinstance(error, aiohttp.ClientError | ValueError)


def test_a_refusal_of_the_node_is_told_as_it_came() -> None:
    limited = {"code": -32_005, "message": "request limit reached"}

    async def ask() -> object:
        port = RpcPort(answered, lambda _: (Slip.LIMITED, False))
        await port.start(0)
        provider = HttpProvider(SecretStr(port.url), TIMEOUT)
        await provider.open()
        found = await provider.make_request(METHOD, [])
        await provider.close()
        await port.stop()
        return msgspec.json.decode(msgspec.json.encode(found["error"]))

    assert asyncio.run(ask()) == limited
