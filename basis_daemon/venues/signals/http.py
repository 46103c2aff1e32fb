"""A model behind HTTP: asked once a bar has closed, again after a pause, and never followed to another place."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import MarketEvent
from basis_daemon.domain.prediction import PredictionTick, Refusal
from basis_daemon.ports import Clock
from basis_daemon.signals import PredictionSink
from basis_daemon.venues.signals.intake import TEXT_MAX, Bars, Intake, exact_json, fault_of

UNANSWERED = "unanswered"
TRIES = 5
PAUSE_FIRST_S = 0.2
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Service:
    """Where a model answers. ``token`` goes as a bearer's; only loopback may be asked without TLS."""

    url: str
    timeout_s: float
    token: SecretStr | None = None

    def check(self) -> None:
        """Raises ConfigError for a place that must not be asked."""
        parts = urlsplit(self.url)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not is_safe or not parts.hostname or parts.username or parts.password:
            found = f"{parts.scheme or 'no scheme'} at {parts.hostname or 'no host'}"
            raise fault_of("signals url", found, "https without a password in it, or http on loopback")

    @property
    def is_local(self) -> bool:
        """True when no other machine is asked."""
        return urlsplit(self.url).hostname in LOOPBACK


class HttpSignals:
    """``GET url?symbol=&bar_time=`` answers 200 with one word, or 204 while there is none yet."""

    def __init__(self, service: Service, intake: Intake, clock: Clock) -> None:
        service.check()
        self._service, self._intake, self._clock = service, intake, clock
        self._bars = Bars(intake.hearing.listening.bar)
        self._wanted: datetime | None = None
        self._now: datetime | None = None
        self._due = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None

    @property
    def strategy(self) -> str:
        """The instance that listens."""
        return self._intake.hearing.strategy

    @property
    def instrument(self) -> PositionKey:
        """Whose market events it is shown."""
        return self._intake.hearing.instrument

    async def start(self) -> None:
        """Open the session; nobody is asked before a bar has closed."""
        token = self._service.token
        headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
        timeout = aiohttp.ClientTimeout(total=self._service.timeout_s)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=False)

    def see(self, event: MarketEvent) -> Sequence[PredictionTick]:
        """Note the time; a bar that has closed is asked about."""
        self._now = event.venue_time
        if (bar := self._bars.closed(event.venue_time)) is not None:
            self._wanted = bar
            self._due.set()
        return ()

    async def run(self, sink: PredictionSink) -> None:
        """Ask about the newest bar that has closed; an older one is not worth asking for."""
        while True:
            await self._due.wait()
            self._due.clear()
            if self._wanted is not None and (tick := await self._word(self._wanted)) is not None:
                sink(tick)

    async def _word(self, bar: datetime) -> PredictionTick | None:
        why = ""
        for attempt in range(TRIES):
            if bar != self._wanted:
                break
            try:
                text = await self._ask(bar)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                why = type(error).__name__  # its text may quote what was sent
            else:
                if isinstance(text, bytes):
                    return self._read(text)
                why = f"status {text}"
            await self._clock.sleep(PAUSE_FIRST_S * 2**attempt)
        self._intake.refuse(UNANSWERED, f"bar {bar.isoformat()}: {why or 'the next bar closed'}")
        return None

    async def _ask(self, bar: datetime) -> bytes | int:
        """The body of a good answer, else its status. Raises aiohttp.ClientError and TimeoutError."""
        if self._session is None:
            raise fault_of("signals url", "no session", "start before run")
        words = {"symbol": self._intake.hearing.listening.symbol, "bar_time": bar.isoformat()}
        async with self._session.get(self._service.url, params=words, allow_redirects=False) as answer:
            if answer.status != HTTPStatus.OK:
                return answer.status
            return await _body(answer)

    def _read(self, text: bytes) -> PredictionTick | None:
        try:
            said = exact_json(text)
        except ValueError as error:
            self._intake.refuse(Refusal.SCHEMA, f"the answer: {type(error).__name__}, {len(text)} bytes")
            return None
        return self._intake.take(said, self._now) if self._now is not None else None

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    def state(self) -> Mapping[str, object]:
        """What was taken and refused."""
        return {"source": "http", "words": dict(self._intake.counts)}


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """What was answered, in however many pieces; of one that is too long so much that this is known."""
    found = bytearray()
    async for piece in answer.content.iter_any():
        found += piece
        if len(found) > TEXT_MAX:
            break
    return bytes(found)
