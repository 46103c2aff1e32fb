"""One thing wrong at a time, at a running sandbox exchange and through the real client: exactly its line turns red."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.domain.check import Check, Light
from basis_daemon.journal.schema import Identity, Run
from basis_daemon.journal.schema import Mode as JournalMode
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.preflight import data_dir, disk, examine, refused
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.settings import Settings, SettingsError, load_settings
from basis_daemon.web.client import LocalClient
from basis_daemon.wiring_journal import journal_identity
from basis_daemon.wiring_venues import account_leases
from tests.settings.files import CONFIG

pytestmark = pytest.mark.slow

SANDBOX = CONFIG / "sandbox.yaml"
READY = "BASIS_DAEMON__SANDBOX__READY_FILE"
LINES = [
    *("config", "secrets", "data_dir", "disk", "lock", "journal"),
    *(f"binance.{name}" for name in (
        "reach", "clock", "symbols", "key", "rights", "ip", "balances", "fees", "tiers", "asset_mode",
        "position_mode", "margin_mode", "leverage", "funding", "streams", "prices",
    )),
]  # fmt: skip


@dataclass
class Site:
    """A sandbox exchange that listens, and the environment of a daemon beside it."""

    directory: Path
    exchange: SandboxExchange
    control: LocalClient
    environ: dict[str, str] = field(default_factory=dict)

    def settings(self) -> Settings:
        return load_settings(SANDBOX, self.environ).settings

    async def checks(self) -> list[Check]:
        """What `doctor` shows."""
        try:
            settings = self.settings()
        except SettingsError as error:
            return refused(error.faults)
        return await examine(settings)

    async def set(self, **conditions: object) -> None:
        await self.control.post("/conditions", conditions)

    async def break_wire(self, **fault: object) -> None:
        await self.control.post("/faults", fault | {"count": 999})


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    options = ExchangeOptions(directory=tmp_path / "exchange")
    async with SandboxExchange(options) as exchange, LocalClient.at_port(exchange.control_port) as control:
        await control.post("/clock", {"hold": True})
        environ = {READY: str(options.ready_file), "BASIS_DAEMON__DATA_DIR": str(tmp_path / "book")}
        yield Site(tmp_path, exchange, control, environ)


Mistake = Callable[[Site], Awaitable[None]]


def condition(**conditions: object) -> Mistake:
    async def make(site: Site) -> None:
        await site.set(**conditions)

    return make


def wire(kind: str, path: str, **fields: object) -> Mistake:
    async def make(site: Site) -> None:
        await site.break_wire(kind=kind, path=path, **fields)

    return make


def market_event(kind: str, market: str) -> Mistake:
    async def make(site: Site) -> None:
        await site.control.post("/market", {"kind": kind, "market": market, "symbol": "BTCUSDT"})

    return make


def setting(**values: str) -> Mistake:
    async def make(site: Site) -> None:
        site.environ.update({f"BASIS_DAEMON__{name}": value for name, value in values.items()})

    return make


async def a_key_file_that_everybody_reads(site: Site) -> None:
    file = site.directory / "key"
    file.write_text("sandbox-key", encoding="utf-8")
    file.chmod(0o644)
    site.environ["BASIS_DAEMON__VENUES__BINANCE__KEY_FILE"] = str(file)
    site.environ["BASIS_DAEMON__VENUES__BINANCE__SECRET"] = "sandbox-secret"
    site.environ["BASIS_DAEMON__MODE"] = "testnet"  # the sandbox reads no key files


async def a_data_dir_below_a_file(site: Site) -> None:
    (site.directory / "taken").touch()
    site.environ["BASIS_DAEMON__DATA_DIR"] = str(site.directory / "taken" / "book")


async def journal_of(site: Site, identity: Identity) -> SqliteJournal:
    site.settings().data_dir.mkdir()
    return SqliteJournal.open(site.settings().journal_file, identity, Run("config", "version"), SystemClock())


async def a_journal_of_another_book(site: Site) -> None:
    await (await journal_of(site, Identity("other", JournalMode.SANDBOX, "accounts"))).close()


async def a_journal_with_a_damaged_row(site: Site) -> None:
    await (await journal_of(site, journal_identity(site.settings()))).close()
    file = site.settings().journal_file
    content = file.read_bytes()
    assert b"config_hash" in content
    file.write_bytes(content.replace(b'"config"', b'"forged"'))


async def an_exchange_that_is_gone(site: Site) -> None:
    ready = site.directory / "gone.json"
    ready.write_text(f'{{"port": 1, "ca_file": "{site.exchange.ca_file}"}}', encoding="utf-8")
    site.environ[READY] = str(ready)


async def a_clock_that_is_wrong(site: Site) -> None:
    await site.control.post("/clock", {"skew_ms": 60_000})


WRONG_KEY = {"VENUES__BINANCE__KEY": "no-such-key", "VENUES__BINANCE__SECRET": "sandbox-secret"}
WRONG_SECRET = {"VENUES__BINANCE__KEY": "sandbox-key", "VENUES__BINANCE__SECRET": "no-such-secret"}

MISTAKES: Mapping[str, tuple[Mistake, str, str]] = {
    "unknown key in the file": (setting(RISK__PRICE_BAND_PB="80"), "config", "did you mean price_band_bp?"),
    "secret file open to all": (a_key_file_that_everybody_reads, "secrets", "chmod 600"),
    "data_dir not writable": (a_data_dir_below_a_file, "data_dir", "correct data_dir"),
    "another book's journal": (a_journal_of_another_book, "journal", "a journal file of its own"),
    "damaged journal": (a_journal_with_a_damaged_row, "journal", "restore a backup"),
    "no exchange there": (an_exchange_that_is_gone, "binance.reach", "check DNS"),
    "no ready file": (setting(SANDBOX__READY_FILE="nowhere.json"), "binance.reach", "check DNS"),
    "skewed clock": (a_clock_that_is_wrong, "binance.clock", "chrony"),
    "wrong key": (setting(**WRONG_KEY), "binance.key", "make a new key"),
    "wrong secret": (setting(**WRONG_SECRET), "binance.key", "make a new key"),
    "may withdraw": (condition(rights={"enableWithdrawals": True}), "binance.rights", "enableWithdrawals off"),
    "may pay other users": (condition(rights={"enableInternalTransfer": True}), "binance.rights", "Transfer off"),
    "no futures": (condition(rights={"enableFutures": False}), "binance.rights", "switch enableFutures on"),
    "no transfers": (condition(rights={"permitsUniversalTransfer": False}), "binance.rights", "Transfer on"),
    "cannot withdraw as asked": (
        setting(VENUES__BINANCE__RIGHTS="[trade, transfer, withdraw]"), "binance.rights", "enableWithdrawals on",
    ),
    "empty account": (condition(balances={"USDT": "0"}), "binance.balances", "bring money"),
    "halted spot": (market_event("halt", "spot"), "binance.symbols", "until it trades again"),
    "halted perp": (market_event("halt", "usdm"), "binance.symbols", "until it trades again"),
    "delisted perp": (market_event("delist", "usdm"), "binance.symbols", "wait for the listing"),
    "dear fees": (condition(fees={"usdm_taker": "0.01"}), "binance.fees", "fee level"),
    "no tiers": (wire("reject", "/leverageBracket"), "binance.tiers", "ask again"),
    "several margin coins": (condition(multi_assets=True), "binance.asset_mode", "set multiAssetsMargin to False"),
    "hedged positions": (condition(hedge_mode=True), "binance.position_mode", "start once without --arm"),
    "isolated margin": (condition(margin_type={"BTCUSDT": "ISOLATED"}), "binance.margin_mode", "without --arm"),
    "leverage not to be had": (condition(leverage_max=3), "binance.leverage", "leverage to 3 or less"),
    "no funding record": (wire("reject", "/fapi/v1/fundingRate"), "binance.funding", "ask again"),
    "silent stream": (wire("stall_ws", "spot"), "binance.streams", "proxy or firewall"),
    "two prices": (condition(price_shift={"usdm:BTCUSDT": "0.2"}), "binance.prices", "do not trade"),
}  # fmt: skip


def reds(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks if check.light is Light.RED}


@pytest.mark.feature("U02")
async def test_against_a_running_sandbox_everything_is_green(site: Site) -> None:
    checks = await site.checks()
    assert [check.name for check in checks if check.light is not Light.GREEN] == []
    assert [check.name for check in checks] == LINES


@pytest.mark.feature("U02")
@pytest.mark.feature("G05")
@pytest.mark.parametrize("mistake", MISTAKES)
async def test_each_mistake_turns_its_own_line_red_and_says_what_to_do(site: Site, mistake: str) -> None:
    make, line, remedy = MISTAKES[mistake]
    await make(site)

    checks = await site.checks()

    assert list(reds(checks)) == [line], [str(check) for check in checks]
    found = reds(checks)[line]
    assert remedy in found.remedy
    assert found.found != found.expected != ""
    others = [check for check in checks if check.light is Light.YELLOW]
    assert {check.found for check in others} <= {"not asked"}, [str(check) for check in others]
    assert "no-such-secret" not in str(checks)


@pytest.mark.feature("G05")
async def test_a_key_that_works_from_everywhere_is_worth_a_look(site: Site) -> None:
    await site.set(rights={"ipRestrict": False})
    (told,) = [check for check in await site.checks() if check.light is not Light.GREEN]
    assert (told.name, told.light) == ("binance.ip", Light.YELLOW)
    assert "bind the key" in told.remedy


@pytest.mark.feature("G05")
async def test_a_key_may_withdraw_when_the_file_asks_for_it(site: Site) -> None:
    await setting(VENUES__BINANCE__RIGHTS="[trade, transfer, withdraw]")(site)
    await site.set(rights={"enableWithdrawals": True})
    assert [check.name for check in await site.checks() if check.light is not Light.GREEN] == []


async def test_a_right_that_the_book_does_not_need_is_worth_a_look(site: Site) -> None:
    await site.set(rights={"enableMargin": True})
    (told,) = [check for check in await site.checks() if check.light is not Light.GREEN]
    assert (told.name, told.light, told.found) == ("binance.rights", Light.YELLOW, "also enableMargin")


async def test_a_book_that_another_daemon_holds_is_named_with_its_process(site: Site) -> None:
    journal = await journal_of(site, journal_identity(site.settings()))
    try:
        checks = await site.checks()
    finally:
        await journal.close()
    assert list(reds(checks)) == ["lock"]
    assert "is written by another process (pid " in reds(checks)["lock"].found


async def test_an_account_that_another_daemon_trades_from_elsewhere_is_named(site: Site) -> None:
    (lease,) = account_leases(site.settings())
    with lease:
        checks = await site.checks()
    assert list(reds(checks)) == ["lock"]
    assert f"another daemon on this machine (pid {os.getpid()})" in reds(checks)["lock"].found


async def test_the_clock_is_tolerated_while_it_is_only_a_little_off(site: Site) -> None:
    await site.control.post("/clock", {"skew_ms": 750})
    (told,) = [check for check in await site.checks() if check.light is not Light.GREEN]
    assert (told.name, told.light) == ("binance.clock", Light.YELLOW)


async def test_silence_that_passes_is_no_fault(site: Site) -> None:
    await site.control.post("/faults", {"kind": "unavailable", "path": "/commissionRate", "count": 2})
    assert reds(await site.checks()) == {}


def test_a_relative_data_dir_that_is_there_is_not_promised_for_the_first_start(tmp_path: Path) -> None:
    with chdir(tmp_path):
        assert data_dir(Path("book")).found == "book, made at the first start"
        Path("book").mkdir()
        assert data_dir(Path("book")).found == "book"


def test_a_full_disk_is_red(tmp_path: Path) -> None:
    told = disk(tmp_path / "book", free_min_mb=2**62)
    assert (told.light, told.name) == (Light.RED, "disk")
    assert "free space" in told.remedy
