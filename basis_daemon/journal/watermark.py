"""The newest committed sequence and its chain value, kept in a small file beside the journal.

A bit flipped in a WAL, or a WAL deleted, makes SQLite forget committed rows at the end without a word, and the chain of
what is left still holds. This file remembers how far the journal had come. It is written after every commit and synced
when the journal is checkpointed: it may lag behind the journal after a power loss, but it is never ahead of it.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path
from typing import Self

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.journal.rows import Head

_BODY = struct.Struct(">8sQ32s")
_MAGIC = b"BDHEAD1\n"
_CHECK_BYTES = 16


def watermark_path(journal: Path) -> Path:
    return journal.with_name(journal.name + ".head")


def load_watermark(journal: Path) -> Head | None:
    """How far the journal had come, or None where no watermark was kept. Raises IntegrityError for a damaged one."""
    path = watermark_path(journal)
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not content.strip(b"\0"):
        return None  # made, but the power went before its first write reached the disk
    body, check = content[: _BODY.size], content[_BODY.size :]
    if len(body) == _BODY.size and check == _check(body):
        magic, sequence, chain = _BODY.unpack(body)
        if magic == _MAGIC:
            return Head(sequence, chain)
    raise IntegrityError(f"{path} is damaged; verify the journal, compare it with the venues, then move this file away")


def refuse_lost(journal: Path) -> None:
    """Raises IntegrityError where rows were committed to a journal that is now absent or blank."""
    mark = load_watermark(journal)
    if mark is not None and mark.sequence:
        raise IntegrityError(
            f"journal {journal}: rows 1 to {mark.sequence} were committed and are gone, the file is absent or empty; "
            f"restore a backup, or move {watermark_path(journal).name} away to begin a new book"
        )


class Watermark:
    """The open file; written by the journal's writer thread, synced by its checkpointer."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def open(cls, journal: Path) -> Self:
        return cls(os.open(watermark_path(journal), os.O_RDWR | os.O_CREAT, 0o600))

    def record(self, head: Head) -> None:
        """Survives the death of the process from here on, that of the machine from the next ``sync`` on."""
        body = _BODY.pack(_MAGIC, head.sequence, head.chain)
        os.pwrite(self._descriptor, body + _check(body), 0)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:_CHECK_BYTES]
