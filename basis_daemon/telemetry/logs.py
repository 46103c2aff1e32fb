"""One road for every log line: structlog's own, those of libraries, warnings, and errors that nobody caught."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from basis_daemon.telemetry.redaction import Redactor

TALKATIVE = ("web3", "websockets")
"""Libraries that tell of every connection; what goes wrong there is told all the same."""
_FIRST = ("timestamp", "level", "event", "logger")


class LogLevel(StrEnum):
    """The least important line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a line looks; ``auto`` is the console for a terminal and JSON for everything else."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class Logging:
    """Logging as configured for this process; ``close`` puts back what was there."""

    def __init__(self, handler: logging.Handler, before: tuple[list[logging.Handler], int]) -> None:
        self._handler = handler
        self._before = before
        self._excepthook = sys.excepthook

    def close(self) -> None:
        """Stop writing; safe to call twice."""
        root = logging.getLogger()
        if self._handler in root.handlers:
            root.handlers[:], level = self._before
            root.setLevel(level)
            sys.excepthook = self._excepthook
            logging.captureWarnings(capture=False)
            structlog.reset_defaults()
        self._handler.close()


def configure_logging(
    wall: Callable[[], datetime],
    redactor: Redactor,
    stream: TextIO,
    level: LogLevel = LogLevel.INFO,
    log_format: LogFormat = LogFormat.AUTO,
) -> Logging:
    """Send everything to ``stream``: one JSON object a line, or the console's words.

    Standard logging, warnings and errors that end the process take the same road, so that none of them passes the
    redactor by. ``wall`` stamps the lines (UTC).
    """
    console = log_format is LogFormat.CONSOLE or (log_format is LogFormat.AUTO and stream.isatty())
    handler = _OneRoadHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.contextvars.merge_contextvars],
            processors=_last_steps(wall, redactor, _console(stream) if console else _as_json),
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # loggers are made at import, before anyone has configured anything
    )
    for talkative in TALKATIVE:
        logging.getLogger(talkative).setLevel(logging.WARNING)
    root = logging.getLogger()
    configured = Logging(handler, (list(root.handlers), root.level))
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    return configured


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger of that name; an event is a short constant phrase, whatever varies is a keyword."""
    return cast("structlog.stdlib.BoundLogger", structlog.get_logger(name))


@contextmanager
def correlated(
    *,
    run_id: str | None = None,
    config_hash: str | None = None,
    strategy: str | None = None,
    plan: str | None = None,
    group_id: str | None = None,
    order_id: str | None = None,
    seq: int | None = None,
) -> Iterator[None]:
    """Put these ids on every line written inside, also by tasks started inside; ids of an outer block stay."""
    given = {name: value for name, value in locals().items() if value is not None}
    with structlog.contextvars.bound_contextvars(**given):
        yield


def _last_steps(wall: Callable[[], datetime], redactor: Redactor, render: Processor) -> list[Processor]:
    """From one line of whatever origin to its text. Exceptions become text before the redactor, never after it."""

    def stamp(_logger: object, _method: str, line: EventDict) -> EventDict:
        line["timestamp"] = wall().astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return line

    def redact(_logger: object, _method: str, line: EventDict) -> EventDict:
        return redactor.line(line)

    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        stamp,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
        render,
    ]


def _as_json(_logger: object, _method: str, line: MutableMapping[str, Any]) -> str:
    ordered = {name: line.pop(name) for name in _FIRST if name in line} | dict(sorted(line.items()))
    return json.dumps(ordered, ensure_ascii=False)


def _console(stream: TextIO) -> Processor:
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """A traceback on its own would pass the redactor by."""
    if issubclass(kind, KeyboardInterrupt):
        return
    get_logger("basis_daemon").critical("uncaught error", exc_info=(kind, error, traceback))


class _OneRoadHandler(logging.StreamHandler[TextIO]):
    """Writes lines. One that cannot be rendered is reported by name only: the standard report would show arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        cause = sys.exception()
        self.stream.write(f'{{"level": "error", "event": "log line lost", "cause": "{type(cause).__name__}"}}\n')
