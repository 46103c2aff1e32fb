"""The control port, market time as a client lives it, and the process as a whole."""

import asyncio
import json
import os
import signal
import stat
import sys
from pathlib import Path

import aiohttp
import pytest

from basis_daemon.sandbox.exchange.accounts import AccountSpec
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.venues.cex.network import SandboxNetwork, open_session, sandbox_from_ready_file
from tests.sandbox.conftest import SPEC, Clients, client

pytestmark = pytest.mark.slow

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"
PROGRAM = """
import sys
from pathlib import Path
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.server import run_sandbox
run_sandbox(ExchangeOptions(directory=Path(sys.argv[1]), days=1))
"""


async def test_status_and_clock_answer_in_plain_json(control: aiohttp.ClientSession) -> None:
    async with control.get("/status") as answer:
        status = await answer.json()
    assert (status["market_time"], status["end"], status["days"]) == (
        "2026-01-05T00:00:00Z", "2026-01-15T00:00:00Z", 10,
    )  # fmt: skip
    async with control.post("/clock", json={"advance_s": 3_600}) as answer:
        status = await answer.json()
    assert (status["market_time"], status["frames"], status["done"]) == ("2026-01-05T01:00:00Z", 60, False)
    async with control.post("/clock", json={"advance_s": 10 * 86_400}) as answer:
        assert (await answer.json())["done"]


@pytest.mark.parametrize("body", [{}, {"jump": 3}, {"mode": "warp"}])
async def test_a_command_that_means_nothing_is_refused(control: aiohttp.ClientSession, body: dict[str, object]) -> None:
    async with control.post("/clock", json=body) as answer:
        assert answer.status == 400
        assert "expected" in (text := await answer.text()) or "mode is one of" in text
    async with control.post("/faults", json={"kind": "explode"}) as answer:
        assert answer.status == 400


async def test_the_books_show_orders_positions_money_and_its_causes(
    clients: Clients, control: aiohttp.ClientSession
) -> None:
    await clients.spot.transfer("USDT", "100", "spot", "linear")
    await clients.perp.create_order(PERP, "market", "sell", "0.1", None, {"clientOrderId": "a" * 32})
    async with control.post("/clock", json={"advance_s": 8 * 3_600}):
        pass
    async with control.get("/books") as answer:
        book = (await answer.json())["accounts"]["sandbox-key"]
    assert [(o["clientOrderId"], o["status"]) for o in book["orders"]["usdm"]] == [("a" * 32, "FILLED")]
    assert set(book["income"]) == {"TRANSFER", "COMMISSION", "FUNDING_FEE"}
    wallet = 50_000 + sum(float(amount) for amount in book["income"].values())
    assert float(book["balances"]["usdm"]["USDT"]) == pytest.approx(wallet)
    assert book["transfers"][0]["type"] == "MAIN_UMFUTURE"


async def test_the_books_show_conditional_orders_with_their_triggers(
    clients: Clients, control: aiohttp.ClientSession
) -> None:
    params = {"clientOrderId": "b" * 32, "stopLossPrice": "1000", "reduceOnly": True}
    await clients.perp.create_order(PERP, "market", "sell", "0.1", None, params)
    async with control.get("/books") as answer:
        (held,) = (await answer.json())["accounts"]["sandbox-key"]["conditional"]
    assert (held["clientOrderId"], held["type"], held["status"]) == ("b" * 32, "STOP_MARKET", "NEW")
    assert (held["quantity"], held["trigger"]) == ("0.1", "1000")


def test_a_margined_sub_account_begins_with_its_money_in_the_futures_wallet() -> None:
    plain, margined = AccountSpec.of_sub_account("ml"), AccountSpec.margined("ml")
    assert (margined.spot, margined.usdm) == ((), plain.spot)
    assert (margined.api_key, margined.api_secret) == (plain.api_key, plain.api_secret)


@pytest.mark.feature("Q01", part="market-time")
async def test_market_time_waits_for_its_reader_and_slows_down_for_its_orders(tmp_path: Path) -> None:
    """An order sent on a frame usually meets the market of that frame: it does not run away from its readers."""
    options = ExchangeOptions(directory=tmp_path, mode="auto", days=1, accounts=(SPEC,))
    async with (
        SandboxExchange(options) as exchange,
        open_session(SandboxNetwork(exchange.port, exchange.ca_file)) as session,
    ):
        perp = client("binanceusdm", session)
        await perp.load_markets()
        lags = []
        for _ in range(20):
            seen = (await perp.watch_mark_price(PERP))["timestamp"]
            order = await perp.create_order(PERP, "market", "sell", "0.01", None)
            lags.append(order["lastUpdateTimestamp"] - seen)
        exchange.hold()
        await perp.close()
    assert min(lags) >= 0
    assert sorted(lags)[len(lags) // 2] <= 2 * 60_000
    assert max(lags) <= 30 * 60_000  # the first order of a connection waits for its handshake


async def test_an_automatic_run_ends_at_its_end_and_holds_there(tmp_path: Path) -> None:
    options = ExchangeOptions(directory=tmp_path, mode="auto", days=1, step_s=3_600, accounts=(SPEC,))
    async with (
        SandboxExchange(options) as exchange,
        open_session(SandboxNetwork(exchange.port, exchange.ca_file)) as session,
    ):
        async with session.ws_connect("wss://fstream.binance.com/ws/btcusdt@markPrice@1s") as socket:
            stamps: list[int] = []
            while not stamps or stamps[-1] < exchange.clock.end_ms:
                stamps.append((await socket.receive_json())["E"])
            moves = list(dict.fromkeys(stamps))  # before the first one and behind the last the market rests
            assert moves == [exchange.clock.start_ms + n * 3_600_000 for n in range(25)]
            assert (await socket.receive_json())["E"] == exchange.clock.end_ms  # the heartbeat of a market at rest
        assert exchange.status()["done"]


@pytest.mark.parametrize("how", ["signal", "shutdown"])
async def test_the_process_says_when_it_listens_and_leaves_nothing_behind(tmp_path: Path, how: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, str(tmp_path))
    ready = await asyncio.to_thread(ready_file, tmp_path / "ready.json")
    assert ready["pid"] == process.pid
    assert stat.S_IMODE((tmp_path / "leaf.key").stat().st_mode) == 0o600
    async with open_session(sandbox_from_ready_file(ready)) as session:
        async with session.get("https://fapi.binance.com/fapi/v1/ping") as answer:
            assert await answer.json() == {}
        if how == "signal":
            os.kill(process.pid, signal.SIGTERM)
        else:
            async with session.post(f"http://127.0.0.1:{ready['control_port']}/shutdown") as answer:
                assert answer.status == 200
    assert await process.wait() == 0
    assert not (tmp_path / "ready.json").exists()


def ready_file(path: Path) -> dict[str, int]:
    """The content of the ready file once the process has written it."""
    while not path.exists():
        os.sched_yield()
    content: dict[str, int] = json.loads(path.read_text())
    return content


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "warp"}, "mode is one of"),
        ({"window": "calm"}, "`data` is not set"),
        ({"speed": 0}, "positive multiple"),
    ],
)
def test_options_that_contradict_themselves_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExchangeOptions(directory=Path("unused"), **options)  # type: ignore[arg-type]  # wrong on purpose
