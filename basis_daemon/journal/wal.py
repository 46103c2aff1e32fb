"""What SQLite does not tell: how much of a write-ahead log it has dropped, and whether that was whole.

A commit that the power cut off in the middle is a torn tail: nobody was told that it is on disk, and it is cut. A log
in which several commits stand behind the place where reading had to stop was damaged after they were synced: then
SQLite drops committed rows without a word, and what is left must not be traded on.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from basis_daemon.domain.errors import IntegrityError

_WAL_HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoint, salt, salt, checksum, checksum
_FRAME_HEADER = struct.Struct(">6I")  # page, pages after a commit or 0, salt, salt, checksum, checksum
_INDEX_FRAMES = struct.Struct("=I")
_INDEX_FRAMES_AT = 16
"""Where the wal-index header holds the number of the last valid frame (sqlite.org/walformat.html)."""


@dataclass(frozen=True, slots=True)
class TornTail:
    """Bytes of a commit that was never whole."""

    wal: Path
    bytes_cut: int

    def __str__(self) -> str:
        return f"{self.wal}: the last commit was torn and is cut off ({self.bytes_cut} bytes); nobody was told of it"


def torn_tail(journal: Path) -> TornTail | None:
    """What the log holds behind its last valid commit; call it while a connection that has read the file is open.

    Raises IntegrityError when more than one commit stands there.
    """
    wal, index = journal.with_name(journal.name + "-wal"), journal.with_name(journal.name + "-shm")
    if not wal.exists() or not index.exists() or wal.stat().st_size < _WAL_HEADER.size:
        return None
    with index.open("rb") as file:
        file.seek(_INDEX_FRAMES_AT)
        (valid,) = _INDEX_FRAMES.unpack(file.read(_INDEX_FRAMES.size))
    commits = _commits_behind(wal, valid)
    if len(commits) > 1:
        raise IntegrityError(
            f"{wal}: {len(commits)} commits stand behind a damaged place in the log and cannot be read: "
            f"frame {valid + 1} is not whole"
        )
    return TornTail(wal, commits[0]) if commits else None


def _commits_behind(wal: Path, valid: int) -> list[int]:
    """For each commit of the log's present turn behind its last valid frame: bytes from there to its end."""
    with wal.open("rb") as file:
        _, _, page_bytes, _, *salts, _, _ = _WAL_HEADER.unpack(file.read(_WAL_HEADER.size))
        frame_bytes = _FRAME_HEADER.size + page_bytes
        found: list[int] = []
        number = valid
        while True:
            file.seek(_WAL_HEADER.size + number * frame_bytes)
            head = file.read(_FRAME_HEADER.size)
            if len(head) < _FRAME_HEADER.size:
                return found
            _, pages, *theirs, _, _ = _FRAME_HEADER.unpack(head)
            number += 1
            if pages and theirs == salts:
                found.append((number - valid) * frame_bytes)
