"""Source files to look at: those of this repository, or those of a folder that a test has planted."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parent.parent.parent


class Tree:
    """Files by name relative to ``root``, with `/` between parts."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self._root = root
        self._names = tuple(sorted(names))

    @classmethod
    def of_repository(cls) -> Self:
        """What git tracks or would track here."""
        command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return cls(ROOT, [name for name in set(listed.split("\0")) if name and (ROOT / name).is_file()])

    @classmethod
    def of_folder(cls, root: Path) -> Self:
        """Every file below ``root``."""
        return cls(root, [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()])

    def files(self, *endings: str) -> list[str]:
        """Names with one of these endings."""
        return [name for name in self._names if name.endswith(endings)]

    def python(self, *folders: str) -> list[str]:
        """Python files below these folders, below any folder when none is named."""
        return [name for name in self.files(".py") if name.startswith(tuple(f"{f}/" for f in folders) or "")]

    def text(self, name: str) -> str:
        """Contents of one file; a byte that is no UTF-8 is replaced."""
        return (self._root / name).read_text(encoding="utf-8", errors="replace")

    def parsed(self, name: str) -> ast.Module:
        """Syntax tree of one Python file."""
        return ast.parse(self.text(name), filename=name)
