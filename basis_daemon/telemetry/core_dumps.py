"""An image of this process's memory would hold its keys in plain text: none is ever written."""

from __future__ import annotations

import ctypes
import resource
import sys

PR_SET_DUMPABLE, NOT_DUMPABLE = 4, 0


def forbid_core_dumps() -> None:
    """From here on, whatever it dies of. On Linux also not through a handler that reads the core from a pipe."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, NOT_DUMPABLE, 0, 0, 0)
