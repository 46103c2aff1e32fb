"""What the daemon says about itself: log lines that carry no secret, and counters."""

from basis_daemon.telemetry.logs import LogFormat, Logging, LogLevel, configure_logging, correlated, get_logger
from basis_daemon.telemetry.memory import MemoryWatch, settle_heap
from basis_daemon.telemetry.metrics import Metrics, Sample
from basis_daemon.telemetry.redaction import MASK, Redactor
from basis_daemon.telemetry.service_manager import ServiceManager
from basis_daemon.telemetry.watchdog import LoopWatchdog

__all__ = [
    "MASK",
    "LogFormat",
    "LogLevel",
    "Logging",
    "LoopWatchdog",
    "MemoryWatch",
    "Metrics",
    "Redactor",
    "Sample",
    "ServiceManager",
    "configure_logging",
    "correlated",
    "get_logger",
    "settle_heap",
]
