"""One websocket that pushes heads: its own, because a socket that also answers would let those answers hold it up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import msgspec

from basis_daemon.venues.chain.endpoint import (
    ChainIdentity,
    EndpointOptions,
    Header,
    WrongChainError,
    header_of,
)

HEARTBEAT_S = 10.0
MESSAGE_BYTES_MAX = 1_000_000
_CHAIN_ID, _GENESIS, _SUBSCRIBE = 1, 2, 3
_QUESTIONS: tuple[tuple[int, str, list[object]], ...] = (
    (_CHAIN_ID, "eth_chainId", []),
    (_GENESIS, "eth_getBlockByNumber", ["0x0", False]),
    (_SUBSCRIBE, "eth_subscribe", ["newHeads"]),
)
Message = dict[str, object]


async def listen_for_heads(
    endpoint: EndpointOptions,
    identity: ChainIdentity,
    on_open: Callable[[], Awaitable[None]],
    on_header: Callable[[Header], None],
    silence_s: float,
) -> str:
    """Passes every pushed header on until the connection ends; returns why it did, without the URL.

    ``on_open`` is awaited once heads are promised: what came before is not replayed. A socket that is silent for
    ``silence_s`` is given up: a dead subscription looks like a quiet chain.
    """
    if endpoint.ws_url is None:
        return "no websocket"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(connect=endpoint.connect_timeout_s)) as session,
            session.ws_connect(
                endpoint.ws_url.get_secret_value(), heartbeat=HEARTBEAT_S, max_msg_size=MESSAGE_BYTES_MAX
            ) as socket,
        ):
            async with asyncio.timeout(endpoint.timeout_s):
                await _subscribe(socket, identity, endpoint.name)
            await on_open()
            while True:
                async with asyncio.timeout(silence_s):
                    header = _pushed(await _receive(socket))
                if header is not None:
                    on_header(header)
    except WrongChainError as error:
        return str(error)
    except TimeoutError:
        return f"silent for {silence_s} s"
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError) as error:
        return type(error).__name__


async def _subscribe(socket: aiohttp.ClientWebSocketResponse, identity: ChainIdentity, name: str) -> None:
    for number, method, params in _QUESTIONS:
        await socket.send_bytes(
            msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        )
    answers: dict[object, Message] = {}
    while len(answers) < len(_QUESTIONS):
        message = await _receive(socket)
        if "id" in message:
            answers[message["id"]] = message
    genesis = answers[_GENESIS]["result"]
    found = str(answers[_CHAIN_ID]["result"]), str(genesis["hash"]) if isinstance(genesis, dict) else "none"
    expected = hex(identity.chain_id), identity.genesis_hash
    if found != expected:
        raise WrongChainError(f"websocket of {name}: chain id and genesis {found}, expected {expected}")
    if "result" not in answers[_SUBSCRIBE]:
        raise ValueError("heads are not pushed here")


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> Message:
    message = await socket.receive()
    if message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
        raise aiohttp.ClientConnectionError(f"socket ended with {message.type.name}")
    return msgspec.json.decode(message.data, type=Message)


def _pushed(message: Message) -> Header | None:
    params = message.get("params")
    result = params.get("result") if isinstance(params, dict) else None
    return header_of(result) if isinstance(result, dict) else None
