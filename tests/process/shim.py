"""The preloaded shim: compiled once per run with the machine's own C compiler, steered by a few bytes in a file."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("shim.c")
_CONTROL = struct.Struct("=iiiiq232s")


@dataclass(frozen=True, slots=True)
class Shim:
    """What stands between processes started with ``environ`` and their C library."""

    library: Path
    control: Path
    place: str

    @classmethod
    def built(cls, directory: Path, place: str) -> Shim:
        """For files whose path holds ``place``. Skips the test where nothing can compile it, and says so."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler (cc, gcc) on this machine: the preload shim cannot be built")
        library = directory / "shim.so"
        command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
        shim = cls(library, directory / "shim.control", place)
        shim.set()
        return shim

    @property
    def environ(self) -> dict[str, str]:
        return dict(os.environ) | {"LD_PRELOAD": str(self.library), "SHIM_CONTROL": str(self.control)}

    def set(self, *, sync: int = 0, write: int = 0, opened: int = 0, wall_offset_s: int = 0) -> None:
        """From now on: the errno of syncs, writes and opening to write, 0 for none, and where the wall clock is."""
        packed = _CONTROL.pack(sync, write, opened, 0, wall_offset_s, self.place.encode())
        with self.control.open("r+b" if self.control.exists() else "wb") as file:
            file.write(packed)
