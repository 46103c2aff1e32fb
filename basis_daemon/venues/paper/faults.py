"""Faults a test or a drill writes down beforehand: which request goes wrong, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from basis_daemon.domain.errors import ErrorClass


class FaultKind(StrEnum):
    """What happens to one request to execute."""

    UNREACHABLE = "unreachable"
    LOST_BEFORE_ACCEPT = "lost_before_accept"
    LOST_AFTER_ACCEPT = "lost_after_accept"
    REJECT = "reject"
    PARTIAL = "partial"
    DUPLICATE_FILL = "duplicate_fill"
    FILL_BEFORE_ACK = "fill_before_ack"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``share`` is the part of the available quantity that PARTIAL leaves; ``error_class`` is REJECT's.

    After LOST_AFTER_ACCEPT the stream is silent about the fills of that moment too: only a question brings them.
    FILL_BEFORE_ACK answers with a bare acknowledgement that the stream has already overtaken.
    """

    kind: FaultKind
    share: Decimal = Decimal(1)
    error_class: ErrorClass = ErrorClass.RETRYABLE


class FaultPlan:
    """Faults by the ordinal of the request, counted from 1 over the whole venue; a request without a row succeeds."""

    def __init__(self, on_execute: Mapping[int, Fault] | None = None) -> None:
        self._on_execute = dict(on_execute or {})
        self._executes = 0
        self._silent = 0

    def add(self, ahead: int, fault: Fault) -> None:
        """Let the ``ahead``-th request to execute from now on (1 is the next one) go wrong."""
        self._on_execute[self._executes + ahead] = fault

    def silence(self, queries: int) -> None:
        """Leave the next so many questions (find, cancel, fetch) without an answer."""
        self._silent += queries

    def next_execute(self) -> Fault | None:
        """Count one request to execute; its fault, if it has one."""
        self._executes += 1
        return self._on_execute.pop(self._executes, None)

    def next_query_is_silent(self) -> bool:
        """Count one question; True when it gets no answer."""
        is_silent = self._silent > 0
        self._silent -= is_silent
        return is_silent
