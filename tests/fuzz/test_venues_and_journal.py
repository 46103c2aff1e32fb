"""Frames and answers of an exchange, of a chain, files of a journal: a value, a refusal by name, nothing lost."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import BasisError, VenueUnreachableError
from basis_daemon.journal.reader import JournalReader
from basis_daemon.venues.cex.binance import BINANCE, decode, spot_wallet, usdm_fees, usdm_tier, usdm_wallet
from basis_daemon.venues.cex.fills import Listing
from basis_daemon.venues.cex.frames import FillSeen, MarkMoved, WalletMoved
from basis_daemon.venues.cex.funding import settlements
from basis_daemon.venues.cex.outcome import CallError, outcome_of
from basis_daemon.venues.cex.rows import fill_rows, order_view
from basis_daemon.venues.cex.tap import Tap
from basis_daemon.venues.chain.abi import Log, event, function
from basis_daemon.venues.chain.multicall import decode_results
from basis_daemon.venues.chain.reverts import decoded
from tests.fuzz.junk import JUNK, spoiled
from tests.journal.builders import a_record, open_journal
from tests.venues.test_binance_frames import PERP, execution_report, order_trade_update

pytestmark = [pytest.mark.slow, pytest.mark.feature("Q03", part="fuzz")]

MARK = {"e": "markPriceUpdate", "E": 1, "s": "BTCUSDT", "p": "60000", "i": "60000", "r": "0.0001", "T": 28_800_000}
WALLET = {"e": "ACCOUNT_UPDATE", "E": 1, "T": 1, "a": {"m": "ORDER", "B": [{"a": "USDT", "wb": "1.5", "cw": "1"}],
          "P": [{"s": "BTCUSDT", "pa": "-1", "ps": "BOTH"}]}}  # fmt: skip
DEPTH = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 1, "u": 2, "pu": 0, "b": [["1", "2"]], "a": [["3", "4"]]}
TRUTHS = (execution_report(), order_trade_update(), MARK, WALLET, DEPTH)
FRAMES = st.sampled_from(TRUTHS)
FRAME_BYTES = st.binary(max_size=100) | (spoiled(FRAMES) | JUNK).map(lambda said: json.dumps(said).encode())

ORDER = {
    "id": "1", "clientOrderId": "a", "status": "closed", "side": "buy", "amount": "1", "filled": "1", "timestamp": 5,
    "trades": [{"id": "7", "price": "2", "amount": "1", "cost": "2", "fee": {"cost": "0.1", "currency": "USDT"},
                "timestamp": 5, "takerOrMaker": "taker", "info": {}}],
}  # fmt: skip
FILL = {"id": "7", "order": "1", "side": "sell", "price": "2", "amount": "1", "timestamp": 5, "info": {}}
SPOT = {"info": {"balances": [{"asset": "BTC", "free": "1", "locked": "0"}], "updateTime": 5}}
USDM = {"info": {"assets": [{"asset": "USDT", "walletBalance": "1", "updateTime": 5}], "totalWalletBalance": "1",
        "positions": [{"symbol": "BTCUSDT", "positionAmt": "1", "positionSide": "BOTH", "notional": "5",
                       "unrealizedProfit": "1", "updateTime": 5}],
        "totalUnrealizedProfit": "0", "totalMaintMargin": "0", "maxWithdrawAmount": "0"}}  # fmt: skip
TIER = {"notionalFloor": 0, "notionalCap": 5, "maintMarginRatio": 0.1, "cum": 0, "initialLeverage": 5}
LISTED: Listing = PERP
READERS: Mapping[str, tuple[Callable[[Any], object], Any]] = {
    "order": (lambda said: order_view(said, LISTED, BINANCE.accounts[-1]), ORDER),
    "fills": (lambda said: fill_rows(said, LISTED, BINANCE.accounts[-1]), [FILL]),
    "spot wallet": (spot_wallet, SPOT),
    "futures wallet": (usdm_wallet, USDM),
    "tier": (usdm_tier, TIER),
    "fees": (usdm_fees, {"takerCommissionRate": "0.0004", "makerCommissionRate": "0.0002"}),
    "funding": (lambda said: settlements(said, LISTED.key), [{"timestamp": 5, "fundingRate": "0.1", "info": {}}]),
}


class Heard:
    """Hears frames as an account's feed does; ``read`` and ``spoilt`` are how many it made sense of, and not."""

    def __init__(self) -> None:
        self.read = self.spoilt = 0

    def frame(self, url: str, message: Any, received_ns: int) -> None:  # noqa: ANN401 - any JSON
        if isinstance(message, dict):
            for told in decode(message):
                assert_true(told)
        self.read += 1

    def poison(self, url: str, fault: Exception) -> None:
        assert not isinstance(fault, AssertionError), fault
        self.spoilt += 1

    def connected(self, url: str) -> None: ...

    def dropped(self, url: str, why: str) -> None: ...


def assert_true(told: object) -> None:
    """What comes through is a number wherever money is meant."""
    if isinstance(told, FillSeen):
        assert told.fill.price > 0
        assert told.fill.quantity > 0
        assert told.fill.fee.is_finite()
    elif isinstance(told, MarkMoved):
        assert told.mark > 0
        assert told.funding.is_finite()
    elif isinstance(told, WalletMoved):
        assert all(amount.is_finite() for amount in (*told.balances.values(), *told.positions.values()))


@pytest.mark.fault("F26", "F27", "F61")
@given(FRAME_BYTES)
@example(b"[" * 100_000)
@example(b'{"event": ' * 5_000)
@example(json.dumps(execution_report(E=10**30)).encode())
@example(json.dumps(execution_report(L="1e99999999999999999999")).encode())
def test_every_frame_is_read_or_counted_and_none_gets_through_the_guard(data: bytes) -> None:
    heard = shown(data)
    assert heard.read + heard.spoilt == 1


def shown(data: bytes) -> Heard:
    """Who listens, after one frame."""
    heard = Heard()

    def read(frame: str | bytes) -> None:
        heard.frame("", json.loads(frame), 0)

    Tap(heard, SystemClock())._guard_frame("", read, data)
    return heard


def test_the_frames_that_are_spoiled_here_are_good_before() -> None:
    assert [shown(json.dumps(frame).encode()).read for frame in TRUTHS] == [1] * len(TRUTHS)


@pytest.mark.fault("F12", "F27", "F61")
@pytest.mark.parametrize("kind", READERS)
def test_every_answer_is_read_or_leaves_the_outcome_unknown(kind: str) -> None:
    reader, truth = READERS[kind]
    reader(truth)

    @settings(max_examples=60)
    @given(spoiled(st.just(truth)) | JUNK)
    def answers(said: object) -> None:
        async def work() -> object:
            return reader(said)

        with suppress(CallError):
            asyncio.run(outcome_of(work, {}, 5.0))

    answers()


# -------------------------------------------------------------------------------------------------------- the chain
ANSWERED = [
    function("balanceOf(address) -> (uint256)"),
    function("getReserveData(address) -> ((uint256,uint128,address)[],bytes,string)"),
    function("getUserAccountData(address) -> (uint256,uint256,uint256,uint256,uint256,uint256)"),
    function("symbol() -> (string)"),
    function("f() -> (int24,bool,bytes32[])"),
]
TOLD = [event("Transfer(address indexed, address indexed, uint256)"), event("Supply(address indexed, bytes, string[])")]
TORN = st.binary(max_size=200) | st.lists(
    st.sampled_from([0, 1, 32, 64, 2**31, 2**255, 2**256 - 1]) | st.integers(0, 2**256 - 1), max_size=12
).map(lambda numbers: b"".join(number.to_bytes(32, "big") for number in numbers))


NO_UTF_8 = b"".join(number.to_bytes(32, "big") for number in (32, 2)) + b"\xff\xfe" + bytes(30)


@pytest.mark.fault("F41")
@given(st.sampled_from(ANSWERED), TORN)
@example(ANSWERED[3], NO_UTF_8)
def test_every_answer_of_a_contract_is_read_or_is_no_answer(asked: Any, data: bytes) -> None:  # noqa: ANN401 - of any type
    with suppress(VenueUnreachableError):
        assert len(asked.answer(data)) == len(asked.outputs)


@pytest.mark.fault("F41", "F44")
@given(st.sampled_from(TOLD), st.lists(st.binary(max_size=40), max_size=4), TORN)
def test_every_log_is_an_event_another_one_or_torn(kind: Any, topics: Sequence[bytes], data: bytes) -> None:  # noqa: ANN401 - of any type
    for first in ((), (kind.topic,)):
        log = Log("0x" + "ab" * 20, (*first, *topics), data)
        try:
            kind.read(log)
        except ValueError as torn:
            fault = str(torn)
            assert "cannot be read" in fault


@pytest.mark.fault("F39")
@given(TORN, st.integers(0, 4))
def test_revert_data_and_results_of_many_calls_are_read_or_refused(data: bytes, count: int) -> None:
    assert str(decoded(data))
    with suppress(ValueError):
        assert len(decode_results(data, count)) == count


# ------------------------------------------------------------------------------------------------------- the journal
ROWS = 40


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a journal whose writer died: rows in the file and in the log behind it."""
    path = tmp_path_factory.mktemp("whole") / "book" / "journal.db"
    path.parent.mkdir()
    image = path.parent.parent / "image"

    async def life() -> None:
        journal = open_journal(path)
        for number in range(ROWS):
            await journal.append_durable([a_record(payload(number))])
        await journal.flush()
        shutil.copytree(path.parent, image)
        await journal.close()

    asyncio.run(life())
    return image


def payload(number: int) -> str:
    return json.dumps({"row": number, "padding": "x" * 300})


@pytest.mark.fault("F51")
@pytest.mark.feature("H03", part="fuzz")
def test_a_journal_with_any_damage_holds_every_row_or_says_that_it_does_not(whole: Path, tmp_path: Path) -> None:
    """A flipped bit, a torn tail, a hole of zeros or a file that is gone, in any of its files."""
    files = sorted(file.name for file in whole.iterdir() if not file.name.endswith((".lock", "-shm")))
    assert len(files) == 3
    opened: list[bool] = []

    @settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(files), st.sampled_from(["bit", "cut", "zeros", "gone"]), st.floats(0, 1), st.integers(0, 7))
    def damage(name: str, how: str, share: float, bit: int) -> None:
        with TemporaryDirectory(dir=tmp_path) as place:
            shutil.copytree(whole, place, dirs_exist_ok=True)
            spoil(Path(place) / name, how, share, bit)
            opened.append(starts(Path(place) / "journal.db"))

    damage()
    assert any(opened)
    assert not all(opened)


def spoil(file: Path, how: str, share: float, bit: int) -> None:
    content = bytearray(file.read_bytes())
    at = min(int(len(content) * share), len(content) - 1)
    if how == "gone":
        file.unlink()
        return
    if how == "cut":
        del content[at:]
    elif how == "zeros":
        content[at : at + 512] = bytes(len(content[at : at + 512]))
    else:
        content[at] ^= 1 << bit
    file.write_bytes(content)


def starts(path: Path) -> bool:
    """Whether it opens and verifies; then every row that was acknowledged must be in it, as it was written."""
    try:
        asyncio.run(open_journal(path).close())
        with JournalReader.open(path) as reader:
            reader.verify()
            found = [row.record.payload for row in reader.rows() if '"row"' in str(row.record.payload)]
    except BasisError:
        return False
    assert found == [payload(number) for number in range(ROWS)]
    return True
