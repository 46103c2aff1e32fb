"""Errors classed by what the caller does next. A message holds the id, the value found and the value expected."""

from __future__ import annotations

from enum import StrEnum


class ErrorClass(StrEnum):
    """Why a venue refused an order; decides whether and when it may be asked again."""

    RETRYABLE = "retryable"
    RATE_LIMITED = "rate_limited"
    INSUFFICIENT = "insufficient"
    AUTH = "auth"
    BAD_PARAMS = "bad_params"
    MARKET_CLOSED = "market_closed"
    OUTCOME_UNKNOWN = "outcome_unknown"


class BasisError(Exception):
    """Root of every error that the daemon raises on purpose."""


class InvalidOrderError(BasisError, ValueError):
    """The order breaks the operation table or an invariant; build another one."""


class LastHopError(InvalidOrderError):
    """The order was stopped at the last look before the wire: nothing left, and it must not be sent again."""


class PlanRefusedError(BasisError):
    """Nothing of the list of orders was sent; the next decision starts over."""


class IllegalTransitionError(BasisError):
    """A state machine was asked for a step that its table does not hold; halt, the book is not to be trusted."""


class OrderRejectedError(BasisError):
    """The venue gave evidence that the order does not live; ``error_class`` says whether to try again."""

    def __init__(self, message: str, error_class: ErrorClass, code: str = "") -> None:
        super().__init__(message)
        self.error_class = error_class
        self.code = code


class VenueUnreachableError(BasisError):
    """Nothing left this process; the same id may go again."""


class OutcomeUnknownError(BasisError):
    """The request may have been executed; only the venue's evidence ends the doubt. Never send it again."""


class StaleDataError(BasisError):
    """A required input is older than its limit; wait, never substitute."""


class ReconciliationError(BasisError):
    """The venue's word and the book disagree beyond tolerance; trading stays disarmed."""


class IntegrityError(BasisError):
    """Something that cannot be true was observed (overfill, repeated sequence, broken chain); halt and page."""


class SecondDaemonError(BasisError):
    """Another daemon trades an account of ours; two would trade against each other, so this one does not begin."""


class JournalError(BasisError):
    """A durable write or read failed; no new risk may be taken, the process drains and stops."""


class MemoryExhaustedError(BasisError):
    """The book was left in order before the kernel would have ended the process; whoever watches it starts it again."""


class ConfigError(BasisError):
    """The configuration is wrong; the message names the key, the value found and the remedy."""


class ModeMismatchError(ConfigError):
    """A journal, key or host of another account or mode was offered; use the one that belongs to this configuration."""
