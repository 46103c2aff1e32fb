"""What became of a request: the classifier reads every failure of a call to an exchange, and doubt is the default.

``ccxt.OperationFailed`` and its family, an answer that cannot be read, a cancellation from inside ccxt and whatever
nobody foresaw: UNKNOWN. Rejected is only what the venue said, by a code of its table or by ccxt's ExchangeError family;
a bare ExchangeError is not evidence (ccxt also raises it for an answer that broke off).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import aiohttp

from basis_daemon.domain.errors import BasisError, ErrorClass
from basis_daemon.venues.cex.ccxt_client import errors
from basis_daemon.venues.cex.limiter import BANNED, TOO_MANY
from basis_daemon.venues.cex.network import SandboxNetworkError
from basis_daemon.venues.cex.quirks import Fate, Verdict

T = TypeVar("T")
Verdicts = Mapping[str, Sequence[Verdict]]
TEXT_MAX = 300
UNKNOWN = Verdict(Fate.UNKNOWN, ErrorClass.OUTCOME_UNKNOWN)
_CODE = re.compile(r'"code"\s*:\s*"?(-?\d+)')
_STATUS = re.compile(rf"^\w+ ({TOO_MANY}|{BANNED}) ")
_QUERY = re.compile(r"\?\S*")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")

_FAMILIES: tuple[tuple[type[BaseException], Verdict], ...] = (
    (errors.OrderNotFound, Verdict(Fate.NOT_FOUND)),
    (errors.DuplicateOrderId, Verdict(Fate.DUPLICATE)),
    (errors.NoChange, Verdict(Fate.NO_CHANGE)),
    (errors.InsufficientFunds, Verdict(Fate.REJECTED, ErrorClass.INSUFFICIENT)),
    (errors.AuthenticationError, Verdict(Fate.REJECTED, ErrorClass.AUTH)),
    (errors.MarketClosed, Verdict(Fate.REJECTED, ErrorClass.MARKET_CLOSED, is_about_terms=True)),
    (errors.BadSymbol, Verdict(Fate.REJECTED, ErrorClass.BAD_PARAMS, is_about_terms=True)),
    (errors.OrderNotFillable, Verdict(Fate.REJECTED, ErrorClass.RETRYABLE)),
    (errors.OrderImmediatelyFillable, Verdict(Fate.REJECTED, ErrorClass.RETRYABLE)),
    (errors.InvalidOrder, Verdict(Fate.REJECTED, ErrorClass.BAD_PARAMS, is_about_terms=True)),
    (errors.BadRequest, Verdict(Fate.REJECTED, ErrorClass.BAD_PARAMS)),
    (errors.ArgumentsRequired, Verdict(Fate.REJECTED, ErrorClass.BAD_PARAMS)),
    (errors.NotSupported, Verdict(Fate.REJECTED, ErrorClass.BAD_PARAMS)),
    (errors.OperationRejected, Verdict(Fate.REJECTED, ErrorClass.RETRYABLE)),
)
"""First match wins. What is absent from here, ExchangeError itself and all of OperationFailed, stays unknown."""


class CallError(BasisError):
    """A call failed; ``fate`` says what that means for the request. Stays inside this package."""

    def __init__(self, verdict: Verdict, code: str, text: str) -> None:
        super().__init__(f"{verdict.fate}: {text}")
        self.fate = verdict.fate
        self.error_class = verdict.error_class
        self.is_about_terms = verdict.is_about_terms
        self.code = code
        self.text = text


async def outcome_of(work: Callable[[], Awaitable[T]], verdicts: Verdicts, timeout_s: float) -> T:
    """What ``work`` returns within ``timeout_s``; it calls the venue and reads the answer. Raises CallError.

    Our own errors pass through, and so does the cancellation of this task: whoever cancels an order mid-call has an
    order in doubt, as its intent says. A cancellation that ccxt made (a connection was closed) is a fault.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await work()
    except (BasisError, SandboxNetworkError):
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise CallError(UNKNOWN, "", "the connection was closed in mid-call") from None
    except Exception as error:  # noqa: BLE001 - what nobody foresaw leaves the outcome unknown
        fault = classify(error, verdicts)
        # the text of a ccxt error holds signed URLs: it must not be chained into a traceback
        raise fault from (None if isinstance(error, errors.BaseError) else error)


def classify(error: Exception, verdicts: Verdicts) -> CallError:
    """The fault behind an exception: by the venue's code, then by ccxt's family, else unknown."""
    raw = str(error)
    text = scrubbed(f"{type(error).__name__}: {raw}")
    code = match.group(1) if (match := _CODE.search(raw)) else ""
    for verdict in verdicts.get(code, ()):
        if verdict.words in raw:
            return CallError(verdict, code, text)
    if isinstance(error, errors.BaseError) and (status := _STATUS.match(raw)):
        return CallError(Verdict(Fate.REJECTED, ErrorClass.RATE_LIMITED), code or status.group(1), text)
    if isinstance(error.__cause__, aiohttp.ClientConnectorError):
        return CallError(Verdict(Fate.NOT_SENT, ErrorClass.RETRYABLE), code, text)
    for family, verdict in _FAMILIES:
        if isinstance(error, family):
            return CallError(verdict, code, text)
    return CallError(UNKNOWN, code, text)


def scrubbed(text: str) -> str:
    """One printable line without query strings: they hold signatures and listen keys."""
    return _UNPRINTABLE.sub(" ", _QUERY.sub("?...", text))[:TEXT_MAX]
