"""Log lines carry time, ids and reasons, and never a secret."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from basis_daemon.tasks import TaskTree
from basis_daemon.telemetry import (
    MASK,
    LogFormat,
    LogLevel,
    Redactor,
    configure_logging,
    correlated,
    get_logger,
)

CANARY = 'cAnArY/7f3a+91\\bb"52=='
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIcanary\nQ29mZmVlIGNhbmFyeSBsaW5l\n-----END PRIVATE KEY-----\n"
NOON_IN_TOKYO = datetime(2026, 11, 22, 21, 0, 0, 5, tzinfo=timezone(timedelta(hours=9)))


@dataclass
class Written:
    """What a configured process wrote."""

    stream: io.StringIO
    redactor: Redactor = field(default_factory=Redactor)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def line(self) -> dict[str, Any]:
        (line,) = self.lines
        return line


@contextmanager
def logging_to_memory(
    log_format: LogFormat = LogFormat.JSON, level: LogLevel = LogLevel.INFO, *secrets: str
) -> Iterator[Written]:
    written = Written(io.StringIO(), Redactor(secrets))
    configured = configure_logging(lambda: NOON_IN_TOKYO, written.redactor, written.stream, level, log_format)
    try:
        yield written
    finally:
        configured.close()
        configured.close()


@pytest.mark.feature("V04")
@pytest.mark.feature("G03", part="log")
def test_a_line_is_one_json_object_with_utc_time_level_event_and_ids() -> None:
    with (
        logging_to_memory() as written,
        correlated(run_id="r1", config_hash="c0ffee"),
        correlated(strategy="btc", plan="p7", group_id="g1", order_id="o1", seq=42),
    ):
        get_logger("engine").info("order sent", quantity=Decimal("0.10"), wei=10**30)
    assert written.line == {
        "timestamp": "2026-11-22T12:00:00.000005Z",
        "level": "info",
        "event": "order sent",
        "logger": "engine",
        "run_id": "r1",
        "config_hash": "c0ffee",
        "strategy": "btc",
        "plan": "p7",
        "group_id": "g1",
        "order_id": "o1",
        "seq": 42,
        "quantity": "0.10",
        "wei": 10**30,
    }


@pytest.mark.feature("V04")
def test_lines_of_libraries_and_warnings_take_the_same_road_with_the_same_ids() -> None:
    with logging_to_memory() as written, correlated(run_id="r1", order_id="o1"):
        logging.getLogger("ccxt").warning("rate %s of %d", "limit", 9)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old API", DeprecationWarning, stacklevel=1)
    library, warning = written.lines
    assert library["event"] == "rate limit of 9"
    assert (library["logger"], library["level"]) == ("ccxt", "warning")
    assert "old API" in warning["event"]
    assert {(line["run_id"], line["order_id"]) for line in written.lines} == {("r1", "o1")}


@pytest.mark.feature("V04")
async def test_ids_follow_the_task_that_they_were_bound_for() -> None:
    async def work(order_id: str, turn: asyncio.Event, following: asyncio.Event) -> None:
        with correlated(order_id=order_id):
            await turn.wait()
            get_logger("venue").info("acknowledged")
            following.set()

    first, second, end = asyncio.Event(), asyncio.Event(), asyncio.Event()
    with logging_to_memory() as written, correlated(run_id="r1"):
        async with TaskTree("orders") as tree:
            tree.spawn("a", work("a", second, end))
            tree.spawn("b", work("b", first, second))
            first.set()
        get_logger("venue").info("all done")
    assert [(line.get("order_id"), line["run_id"]) for line in written.lines] == [
        ("b", "r1"),
        ("a", "r1"),
        (None, "r1"),
    ]


def test_lines_below_the_level_are_not_written() -> None:
    with logging_to_memory(LogFormat.JSON, LogLevel.WARNING) as written:
        get_logger("engine").info("quiet")
        logging.getLogger("library").info("quiet too")
        get_logger("engine").warning("loud")
    assert [line["event"] for line in written.lines] == ["loud"]


def test_closing_puts_back_what_was_there() -> None:
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = list(root.handlers), root.level
    with logging_to_memory(LogFormat.JSON, LogLevel.ERROR):
        assert root.handlers != handlers
        assert sys.excepthook is not hook
    assert (root.handlers, root.level, sys.excepthook) == (handlers, level, hook)


# -------------------------------------------------------------------------------------------------- no secret leaves
class VenueError(Exception):
    """Repeats the request, as exchanges' libraries do."""


def send(secret: str) -> None:
    message = f"POST https://api.binance.com/order?symbol=BTCUSDT&signature=5ig0000&apiKey=abc with {secret}"
    raise VenueError(message)


def sign_and_fail(secret: str) -> None:
    try:
        send(secret)
    except VenueError as error:
        failed = ValueError(f"cannot send: {secret!r}")
        failed.add_note(f"key was {secret}")
        raise failed from error


def leak_everywhere(secret: str) -> None:
    """Every way in which a secret has ever got into somebody's log."""
    log = get_logger("leaky")
    event = f"signing with {secret}"
    log.info(event, value=secret, nested={"deep": [{"er": (secret, {secret})}], secret: 1})
    log.info("typed", sealed=SecretStr(secret), request={"apiKey": "abc12345", "X-MBX-APIKEY": "abc12345"})
    log.info("object", thing=type("Thing", (), {"__repr__": lambda _: f"Thing({secret})"})(), raw=secret.encode())
    log.info("json in text", body=json.dumps({"payload": secret}), url=f"/x?y={secret}")
    logging.getLogger("foreign").warning("sent %s and %r", secret, {"secret": "unregistered-1"})
    try:
        sign_and_fail(secret)
    except ValueError as error:
        log.exception("failed")
        log.error("failed again", error=error, exc_info=error)  # noqa: TRY400 - the shape under test
        logging.getLogger("foreign").exception("failed")
        logging.getLogger("foreign").warning("failed: %s", error)
        sys.excepthook(ValueError, error, error.__traceback__)


@pytest.mark.feature("G04", part="redaction")
@pytest.mark.feature("V04")
@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.CONSOLE])
@pytest.mark.parametrize("secret", [CANARY, PEM, "plain-canary-000"])
@pytest.mark.fault("F60")
def test_no_canary_appears_in_the_whole_output_tracebacks_included(log_format: LogFormat, secret: str) -> None:
    with logging_to_memory(log_format, LogLevel.DEBUG) as written:
        written.redactor.register(SecretStr(secret))
        leak_everywhere(secret)
    output = written.text
    assert "cannot send" in output
    assert "Traceback" in output
    assert MASK in output
    for canary in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], "abc12345", "5ig0000", "apiKey=abc"):
        assert canary not in output
    assert not any(line in output for line in secret.splitlines() if len(line) >= 16 and not line.startswith("---"))


@pytest.mark.feature("G04", part="redaction")
@pytest.mark.parametrize(
    "key",
    ["api_key", "apiKey", "key", "SECRET", "client_secret", "passphrase", "password", "signature", "listenKey", "token",
     "accessToken", "X-MBX-APIKEY", "OK-ACCESS-SIGN", "Authorization"],
)  # fmt: skip
def test_a_value_under_a_telling_name_is_masked_without_being_registered(key: str) -> None:
    assert Redactor().line({"request": {key: "0123456789"}, key: "0123456789"}) == {"request": {key: MASK}, key: MASK}


@pytest.mark.parametrize("key", ["position_key", "token_in", "token_out", "keys", "signal", "design", "key_file"])
def test_words_of_the_trade_are_not_taken_for_secrets(key: str) -> None:
    assert Redactor().line({key: "wallet:token:USDT"}) == {key: "wallet:token:USDT"}


@pytest.mark.fault("F61")
def test_a_line_cannot_forge_another_one_or_move_the_cursor() -> None:
    with logging_to_memory() as written:
        get_logger("venue").info("said", text='x\n{"level": "error"}\x1b[2J')
    assert written.line["text"] == 'x\n{"level": "error"}\\x1b[2J'


def test_a_number_that_json_does_not_know_is_written_as_text() -> None:
    assert Redactor().line({"rate": float("nan"), "ok": True, "none": None}) == {
        "rate": "nan",
        "ok": True,
        "none": None,
    }


def test_a_structure_without_end_is_written_as_far_as_it_is_read() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert "[...]" in json.dumps(Redactor().line({"endless": endless}))


def test_a_secret_too_short_to_be_told_from_text_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="a secret of 3 characters cannot be masked") as caught:
        Redactor(["abc"])
    assert "abc" not in str(caught.value)


def test_a_line_that_cannot_be_written_is_reported_without_its_arguments() -> None:
    with logging_to_memory() as written:
        logging.getLogger("foreign").error("%d orders", "canary-in-arguments")
    assert written.line == {"level": "error", "event": "log line lost", "cause": "TypeError"}
