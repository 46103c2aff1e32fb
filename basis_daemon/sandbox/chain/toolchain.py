"""Where the chain's packages live and how they get there: `npm ci` into a cache of the user, keyed by the lock file.

Nothing of it enters the source tree or the wheel, whose manifests are all that is shipped: the packages carry licences
of their own. What is compiled from them, and the world's state, lie beside them under the same key.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

MANIFESTS = Path(__file__).resolve().parent
"""The folder of package.json and package-lock.json."""
INSTALL_TIMEOUT_S = 600
LOCK_TIMEOUT_S = 900
ANVIL_VERSION = "1.7.1"
NODE_MAJOR_MIN = 20

Progress = Callable[[str], None]
"""Told, in a few words, what takes long."""


class ToolchainError(Exception):
    """Something the sandbox chain needs is not on this machine; the message says what to install."""


def silent(_: str) -> None:
    """A listener to progress that does not listen."""


def cache_root() -> Path:
    """``basis-daemon/chain`` in the user's cache (XDG_CACHE_HOME), owner-only."""
    base = os.environ.get("XDG_CACHE_HOME")
    root = (Path(base) if base else Path.home() / ".cache") / "basis-daemon" / "chain"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    return root


def digest(*parts: bytes) -> str:
    """Sixteen hexadecimal digits that change with any part."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:16]


def lock_digest() -> str:
    return digest((MANIFESTS / "package.json").read_bytes(), (MANIFESTS / "package-lock.json").read_bytes())


def home() -> Path:
    """The cache folder of this lock file: packages, artefacts and worlds."""
    return cache_root() / lock_digest()


def exclusive() -> FileLock:
    """Held by whoever fills the cache; a second process waits and then finds it filled."""
    return FileLock(cache_root() / "filling.lock", timeout=LOCK_TIMEOUT_S)


def need(program: str) -> str:
    """The full path of node or npm; raises `ToolchainError` that says what to install."""
    found = shutil.which(program)
    if found is None:
        raise ToolchainError(
            f"`{program}` is not on PATH: the sandbox chain is built from npm packages; install Node.js "
            f"{NODE_MAJOR_MIN} or newer, which brings npm, and start again"
        )
    return found


def install(progress: Progress = silent) -> Path:
    """The folder `node_modules` of this lock file, installed now unless it is there; call it under `exclusive()`.

    Raises `ToolchainError` when Node.js or npm is missing or the installation fails.
    """
    modules = home() / "node_modules"
    if modules.is_dir():
        return modules
    npm = need("npm")
    _need_recent_node()
    progress("installing the chain's packages with npm (once, about 230 MB)")
    home().mkdir(exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=home(), prefix="installing-") as name:
        folder = Path(name)
        for manifest in ("package.json", "package-lock.json"):
            shutil.copy(MANIFESTS / manifest, folder)
        _run([npm, "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"], folder)
        (folder / "node_modules").rename(modules)
    return modules


def _need_recent_node() -> None:
    command = [need("node"), "--version"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()  # noqa: S603 - node by its full path
    major = told.removeprefix("v").partition(".")[0]
    if not major.isdecimal() or int(major) < NODE_MAJOR_MIN:
        raise ToolchainError(f"`node` is {told or 'of no known version'}; install Node.js {NODE_MAJOR_MIN} or newer")


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - npm by its full path, with fixed arguments
            command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ToolchainError(f"npm ci did not end within {INSTALL_TIMEOUT_S} s; is the registry reachable?") from None
    if done.returncode:
        told = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise ToolchainError(f"npm ci failed with status {done.returncode}, so the chain has no contracts:\n{told}")


def anvil_binary() -> Path:
    """The node's ELF file: from the locked package, or `anvil` on PATH where the lock has none for this platform.

    Raises `ToolchainError` when there is neither.
    """
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"anvil-{platform.system().lower()}-{machine}"
    locked = home() / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"
    if locked.is_file():
        return locked
    found = shutil.which("anvil")
    if found is None:
        raise ToolchainError(
            f"no node for this machine: the lock file has no @foundry-rs/{package}, and there is no `anvil` on PATH; "
            f"install Foundry {ANVIL_VERSION} (glibc, Linux) so that `anvil` is found"
        )
    return Path(found)
