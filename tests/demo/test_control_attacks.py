"""F59 on the control socket: words that are malformed, huge or never end cost nothing, and the halt goes through."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from basis_daemon.engine.codec import GuardState
from basis_daemon.web.client import LocalClient
from basis_daemon.web.control import ControlServer
from tests.demo.story import told
from tests.demo.test_control_socket import Office, client, office

__all__ = ["client", "office"]
pytestmark = [pytest.mark.slow, pytest.mark.fault("F59")]

COMMANDS = ("/halt", "/rearm", "/withdraw", "/transfers/approve", "/transfers/close")
SLOW, HUGE_BYTES = 200, 2_000_000
ANSWER_S = 20.0
NAMES = st.sampled_from(
    ["reason", "id", "amount_usdt", "source", "target", "coin", "up_to", "hours", "order_id", "ending"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=40)
    | st.sampled_from(["NaN", "-1", "1e9", "0", "../../etc/passwd", "\x00", "drill"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
BODIES = (
    st.binary(max_size=200)
    | VALUES.map(lambda value: orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
    | st.dictionaries(NAMES, VALUES, max_size=8).map(orjson.dumps)
)
LINES = st.binary(max_size=120).map(lambda junk: junk + b"\r\n\r\n") | st.text(
    st.characters(codec="latin-1", exclude_characters=" \r\n"), max_size=40
).map(lambda path: f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"))


async def asked(path: Path, said: bytes, *, hangs_up: bool = False) -> bytes:
    """The first line of what comes back, until the end of the connection or of all patience."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(said)
        if hangs_up:
            writer.write_eof()
        async with asyncio.timeout(ANSWER_S):
            return await reader.readline()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def request(path: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_no_words_whatsoever_break_the_socket_or_are_obeyed_without_a_reason(tmp_path: Path) -> None:
    """Every answer is one, no status is of a failure of ours, and what did not say why changed nothing."""
    path = tmp_path / "control.sock"
    with asyncio.Runner() as runner:
        office = Office(runner.run(told()))
        server = ControlServer(office.desk, path)
        runner.run(server.start())

        @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
        @given(st.sampled_from(COMMANDS), BODIES)
        def commands(command: str, body: bytes) -> None:
            answer = runner.run(asked(path, request(command, body)))
            assert answer.split()[1:2] in ([b"200"], [b"400"], [b"404"], [b"409"]), answer
            assert b" 200 " not in answer or office.audited, "what took effect stands in the journal"

        @settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
        @given(LINES)
        def lines(said: bytes) -> None:
            answer = runner.run(asked(path, said, hangs_up=True))
            assert not answer.startswith(b"HTTP/1.1 5"), answer

        try:
            commands()
            lines()
        finally:
            runner.run(server.close())


async def test_a_body_beyond_all_measure_is_refused_and_a_halt_goes_through(
    client: LocalClient, office: Office, tmp_path: Path
) -> None:
    answer = await asked(tmp_path / "control.sock", request("/halt", b'{"reason": "%b"}' % (b"x" * HUGE_BYTES)))
    assert answer.split()[1:2] in ([b"413"], []), answer
    assert office.audited == []
    assert (await client.post("/halt", {"reason": "drill"}))["live"]["guard"] == "HALTED"


async def test_callers_that_never_finish_a_word_do_not_keep_a_halt_waiting(office: Office, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with ControlServer(office.desk, path):
        slow = [await asyncio.open_unix_connection(str(path)) for _ in range(SLOW)]
        for number, (_, writer) in enumerate(slow):
            writer.write(b"POST /halt HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"[: 10 + number % 60])
            await writer.drain()
        async with LocalClient.at_socket(path) as hurried:
            await hurried.post("/halt", {"reason": "while others dawdle"})
        assert office.guard.state is GuardState.HALTED
        for _, writer in slow:
            writer.close()
