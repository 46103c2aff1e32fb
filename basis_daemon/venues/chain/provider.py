"""How web3 reaches an endpoint: one session that keeps its connections, one try per request, no word of the URL.

web3's own provider takes a lock that all providers of a process share, on a thread, for every request (one that is
cancelled there leaves it taken for good), opens a connection each time, sends again what may have been executed, and
logs the URL, which may hold a key.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from pydantic import SecretStr
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

KEEPALIVE_S = 60.0
ANSWER_BYTES_MAX = 32_000_000
_HEADERS = {"Content-Type": "application/json"}


class HttpProvider(AsyncJSONBaseProvider):
    """JSON-RPC over HTTP. Raises aiohttp's errors, TimeoutError, and ValueError for an answer that is none."""

    def __init__(self, url: SecretStr, timeout: aiohttp.ClientTimeout) -> None:
        super().__init__()
        self._url, self._timeout = url, timeout
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Take a session; must be called inside the running event loop."""
        connector = aiohttp.TCPConnector(keepalive_timeout=KEEPALIVE_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, raise_for_status=True)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:  # noqa: ANN401 - web3's signature
        if self._session is None:
            raise RuntimeError("request before the session was opened")
        if self._session.closed:  # whoever still asks at the end of a life meets an endpoint that is gone, not a bug
            raise aiohttp.ClientConnectionError("the session is closed")
        question = self.form_request(method, params)
        data = self.encode_rpc_dict(question)
        asking = self._session.post(self._url.get_secret_value(), data=data, headers=_HEADERS, allow_redirects=False)
        async with asking as answer:
            body = bytearray()
            async for part in answer.content.iter_any():
                body += part
                if len(body) > ANSWER_BYTES_MAX:
                    raise ValueError(f"answer of more than {ANSWER_BYTES_MAX} bytes")
        response = self.decode_rpc_response(bytes(body))
        if not isinstance(response, dict):
            raise ValueError(f"answer is a {type(response).__name__}, expected an object")  # noqa: TRY004 - bad value
        if response.get("id") != question["id"]:  # web3 does not look: it would take the answer to another question
            raise ValueError(f"answer to request {response.get('id')!r:.40}, expected {question['id']}")
        return response
