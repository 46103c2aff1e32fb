"""Where whatever is logged goes: stderr, because stdout is for answers, with every secret of the settings cut out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from basis_daemon.clock import SystemClock
from basis_daemon.settings import Settings
from basis_daemon.telemetry import Redactor, configure_logging
from basis_daemon.wiring_exchanges import SANDBOX_SECRET


@contextmanager
def logged(settings: Settings) -> Iterator[None]:
    """Logging as these settings want it, until the context is left."""
    redactor = Redactor((*settings.secrets, SANDBOX_SECRET))
    logging = configure_logging(SystemClock().wall, redactor, sys.stderr, settings.log.level, settings.log.format)
    try:
        yield
    finally:
        logging.close()
