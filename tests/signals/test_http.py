"""A model behind HTTP is asked once a bar has closed; what it answers passes the same door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aiohttp import web
from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.prediction import PredictionTick
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.signals.http import HttpSignals, Service
from basis_daemon.venues.signals.intake import TEXT_MAX
from tests.signals.support import BAR, START, Told, mark, word

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOKEN = "a-token-of-a-test"


@asynccontextmanager
async def service(answer: Answer) -> AsyncIterator[str]:
    """A real server on loopback."""
    app = web.Application()
    app.router.add_get("/word", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/word"
    finally:
        await runner.cleanup()


async def heard(url: str, told: Told, bars: int = 1, timeout_s: float = 5) -> list[PredictionTick]:
    """What comes through until every closed bar was answered, taken or refused."""
    said: list[PredictionTick] = []
    source = HttpSignals(Service(url, timeout_s, SecretStr(TOKEN)), told.intake(), SystemClock())
    await source.start()
    source.see(mark(START))
    async with asyncio.timeout(30), TaskTree("test") as tree:
        tree.spawn("signal", source.run(said.append))
        for bar in range(1, bars + 1):
            source.see(mark(START + bar * BAR + timedelta(seconds=1)))
            await told.answered(bar)
        tree.cancel_all("heard")
    await source.close()
    return said


@pytest.mark.feature("M03")
async def test_it_is_asked_about_each_closed_bar_with_its_token_and_believed() -> None:
    asked: list[tuple[str, str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.query["symbol"], request.query["bar_time"], request.headers["Authorization"]))
        return web.json_response({**word(), "bar_time": request.query["bar_time"], "confidence": 0.75})

    told = Told()
    async with service(answer) as url:
        said = await heard(url, told, bars=2)
    bars = [START.isoformat(), (START + BAR).isoformat()]
    assert asked == [("BTCUSDT", bar, f"Bearer {TOKEN}") for bar in bars]
    assert [tick.prediction.bar_time.isoformat() for tick in said] == bars
    assert told.counted == ["accepted", "accepted"]


async def test_a_service_that_has_no_word_yet_is_asked_again() -> None:
    times = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal times
        times += 1
        return web.json_response(word()) if times == 3 else web.Response(status=204 if times == 1 else 503)

    told = Told()
    async with service(answer) as url:
        assert len(await heard(url, told)) == 1
    assert told.counted == ["accepted"]


async def test_an_answer_in_pieces_is_read_whole() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        text = json.dumps(word()).encode()
        for piece in (text[:10], text[10:60], text[60:]):
            await response.write(piece)  # each a chunk of its own on the wire
        return response

    told = Told()
    async with service(answer) as url:
        assert len(await heard(url, told)) == 1
    assert told.counted == ["accepted"]


@pytest.mark.parametrize(
    ("body", "counted_as"),
    [(b"{", "schema"), (b" " * (TEXT_MAX + 9), "schema"), (b'{"confidence": NaN}', "schema"), (b"[]", "schema")],
)
async def test_an_answer_that_is_no_word_is_counted_and_not_asked_for_again(body: bytes, counted_as: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    told = Told()
    async with service(answer) as url:
        assert await heard(url, told) == []
    assert told.counted == [counted_as]


@pytest.mark.slow
async def test_another_place_is_never_followed_to_and_silence_is_counted() -> None:
    elsewhere: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if "elsewhere" in request.query:
            elsewhere.append(request.headers.get("Authorization", ""))
            return web.json_response(word())
        raise web.HTTPFound(f"{request.path}?elsewhere=1")

    told = Told()
    async with service(answer) as url:
        assert await heard(url, told) == []
    assert told.counted == ["unanswered"]
    assert elsewhere == []


@pytest.mark.parametrize("url", ["http://models.example/word", "https://user:pass@models.example/", "ftp://127.0.0.1/"])
def test_only_tls_or_loopback_may_be_asked_and_no_password_stands_in_the_place(url: str) -> None:
    with pytest.raises(ConfigError, match="expected https without a password") as error:
        HttpSignals(Service(url, 1), Told().intake(), SystemClock())
    assert "pass@" not in str(error.value)
