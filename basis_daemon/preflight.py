"""What must hold before a book may be armed: the same lines for `doctor` and for `run`. Nothing is changed anywhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from basis_daemon.clock import SystemClock
from basis_daemon.domain.check import Check, Light, green, red, yellow
from basis_daemon.domain.errors import BasisError, ConfigError, SecondDaemonError
from basis_daemon.journal.reader import JournalReader
from basis_daemon.journal.schema import SCHEMA_VERSION, Identity, load_owner, refuse_stranger
from basis_daemon.journal.watermark import refuse_lost
from basis_daemon.settings import Fault, Settings, make_strategies
from basis_daemon.tasks import TaskTree
from basis_daemon.telemetry import get_logger
from basis_daemon.wiring_journal import journal_identity
from basis_daemon.wiring_purse import examine_chain, wallet_leases
from basis_daemon.wiring_venues import account_leases, examine_venues

_MB = 1_000_000
_OF_SECRETS = frozenset({"key", "secret", "key_file", "secret_file"})

PASSING = ".streams"
"""The line whose red passes by itself."""


class PreflightFailedError(BasisError):
    """Something is red: the daemon was asked to arm and does not; the message holds every red line."""

    def __init__(self, checks: Iterable[Check]) -> None:
        self.checks = tuple(checks)
        lines = "\n".join(str(check) for check in self.checks)
        super().__init__(f"not armed: repair this, or start without --arm to watch only\n{lines}")


async def clear_to_start(settings: Settings, *, arm: bool) -> None:
    """The preflight of a start: what is not green is told, and with ``arm`` red raises PreflightFailedError.

    A stream that is silent now is told and armed over: it may speak in a minute, until then the strategy is STALE and
    sends nothing new, and a book with open positions must not stand without its defence meanwhile.
    """
    checks, log = await examine(settings, is_start=True), get_logger("preflight")
    for check in checks:
        if check.light is not Light.GREEN:
            log.warning(check.name, light=check.light, found=check.found, expected=check.expected, remedy=check.remedy)
    reds = [check for check in checks if check.light is Light.RED and not check.name.endswith(PASSING)]
    if arm and reds:
        raise PreflightFailedError(reds)


async def examine(settings: Settings, *, is_start: bool = False) -> list[Check]:
    """Every line: this host first, then each venue. What venues note on the way is not told.

    A start looks at the part of the journal that it is built on, so that a book with open positions does not wait
    longer for its daemon with every month of its life; the whole is for whoever has the time.
    """
    found = [green("config", f"mode {settings.mode}, book {settings.book.name}"), secrets(settings)]
    found += [data_dir(settings.data_dir), disk(settings.data_dir, settings.journal.disk_soft_mb)]
    found += [lock(settings), journal(settings.journal_file, journal_identity(settings), is_start=is_start)]
    async with TaskTree("preflight") as tree:
        found += await examine_venues(settings, make_strategies(settings), SystemClock(), tree)
        found += await examine_chain(settings, SystemClock(), tree)
        tree.cancel_all("examined")  # what kept streams alive is closed and would only sleep on
    return found


def refused(faults: Iterable[Fault]) -> list[Check]:
    """The lines of a configuration that cannot be used: what is wrong with secrets apart from the rest."""
    found = []
    for fault in faults:
        line = "secrets" if fault.key.rpartition(".")[2] in _OF_SECRETS else "config"
        place = f" ({fault.where})" if fault.where else ""
        found.append(red(line, f"{fault.key or 'the file'}{place}: {fault.found}", fault.expected, fault.remedy))
    return found


def secrets(settings: Settings) -> Check:
    """How many there are; files with the wrong mode were refused when they were read."""
    return green("secrets", f"{len(settings.secrets)} read" if settings.secrets else f"none in mode {settings.mode}")


def data_dir(directory: Path) -> Check:
    """Whether the book's directory can be written, or made."""
    place = _nearest(directory)
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return green("data_dir", f"{directory}{'' if place == directory.absolute() else ', made at the first start'}")
    remedy = f"correct data_dir, or give this user {place}"
    return red("data_dir", f"{place}, which this user cannot write", "a directory to keep the journal in", remedy)


def disk(directory: Path, free_min_mb: int) -> Check:
    """Whether there is room for what a running daemon needs to add risk."""
    free_mb = shutil.disk_usage(_nearest(directory)).free // _MB
    found, least = f"{free_mb} MB free", f"at least {free_min_mb} MB, the journal.disk_soft_mb"
    if free_mb < free_min_mb:
        return red("disk", found, least, f"free space on the disk of {directory}: without it no risk is added")
    return green("disk", found)


def lock(settings: Settings) -> Check:
    """Whether another daemon holds the book, or its accounts from another directory."""
    file = Path(f"{settings.journal_file}.lock")
    if file.is_file():
        held = FileLock(file)
        try:
            held.acquire(timeout=0)
        except OSError as error:
            if not isinstance(error, Timeout):
                found = f"{file}: {error.strerror}"
                return red("lock", found, "a data_dir that can be written to", f"repair {file.parent}, or its disk")
            holder = file.read_text(encoding="utf-8").strip() or "unknown"
            found = f"{settings.journal_file} is written by another process (pid {holder})"
            return red(
                "lock", found, "no daemon on this book", "stop that daemon first: two would trade against each other"
            )
        held.release()
    with suppress(ConfigError):  # of a way to the venue that is not there its own line speaks
        for lease in (*account_leases(settings), *wallet_leases(settings)):
            try:
                with lease:
                    pass
            except SecondDaemonError as error:
                why, _, remedy = str(error).partition(": ")
                return red("lock", why, "no other daemon on this account", remedy)
    return green("lock", "no other daemon holds the book or its accounts")


def journal(file: Path, identity: Identity, *, is_start: bool) -> Check:
    """Whether the record holds, and is this book's: from its first row on, or at a start from the newest snapshot."""
    try:
        if not file.is_file() or not file.stat().st_size:
            refuse_lost(file)
            return green("journal", f"{file}, made at the first start")
        version, owner = load_owner(file)
        refuse_stranger(file, owner, identity)
        if version < SCHEMA_VERSION:
            remedy = "nothing to do: a start makes a backup beside it and migrates it, checking every row"
            return yellow("journal", f"schema {version}", f"schema {SCHEMA_VERSION}", remedy)
        with JournalReader.open(file) as reader:
            head = reader.verify_tail() if is_start else reader.verify()
    except BasisError as error:
        why, _, remedy = str(error).partition("; ")
        return red("journal", why, f"the unbroken journal of {identity.book}", remedy or "restore a backup")
    return green("journal", f"{head.sequence} rows, unbroken{' since the newest snapshot' if is_start else ''}")


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest one above it that exists."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.exists())
