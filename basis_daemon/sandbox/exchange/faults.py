"""Scripted misbehaviour, armed through the control port and consumed in two places: the REST pipeline and the streams.

Every fault is armed for a number of uses and disappears after them. REST faults match method and path; stream faults
match the kind of stream; both may be meant for one account or one symbol alone. What others do to the market or at the
account is in `market_events`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

REST_KINDS = {
    "accept_then_drop": "carried out, then the connection is cut",
    "late_request": "reaches the venue only after `seconds`, without them when the faults are cleared; then judged by "
    "its receive window",
    "delay_response_s": "carried out at once, answered after `seconds`, without them when the faults are cleared",
    "reject": "refused with `code`, `message`, `status` and, if given, Retry-After `retry_after_s`",
    "unavailable": "503 with `code`, not carried out",
    "executed_unknown": "carried out, answered `status` with `code` (-1006 or -1007: outcome unknown)",
    "bad_gateway": "502 with a page of HTML, not carried out",
    "garbage": "carried out, answered 200 with a body whose `form` is truncated, empty, html or object",
    "stale_account": "balances and positions are told as they were when asked before",
    "lie_account": "balances or positions of `asset` (or symbol) are told `amount` too high",
}
STREAM_KINDS = {
    "close_ws": "the connection is cut",
    "stall_ws": "the connection lives and says nothing any more",
    "gap_ws": "a book frame is left out",
    "poison_ws": "an extra frame: `text`, repeated `repeat` times",
    "duplicate_ws": "the next frame is sent twice",
    "reorder_ws": "the next frame comes after the one behind it",
    "price_ws": "the next price of a book or mark is `text`: nan, zero, negative, crossed or leap",
    "duplicate_fill": "a fill is told twice",
    "drop_fill": "a fill is not told",
    "expire_listen_key": "every listen key is over now",
}
FORMS = ("truncated", "empty", "html", "object")
PRICES = ("nan", "zero", "negative", "crossed", "leap")
UNKNOWN_OUTCOME, NOT_EXECUTED = -1006, -1001


@dataclass(slots=True)
class Fault:
    """One armed fault. `path` is part of the REST path, or the beginning of a stream's kind.

    Kinds of streams: "spot", "usdm" and "coinm" carry market data, the same behind "user-" the account's events. With
    `account` (an API key) or `symbol` it waits for a request, a frame or a stream of theirs.
    """

    kind: str
    count: int = 1
    method: str = ""
    path: str = ""
    account: str = ""
    symbol: str = ""
    seconds: float = 0.0
    code: int = NOT_EXECUTED
    message: str = "Internal error; unable to process your request. Please try again."
    status: int = 400
    text: str = '{"e":"ACCOUNT_UPDATE"}'
    repeat: int = 1
    form: str = "truncated"
    asset: str = ""
    amount: Decimal = Decimal(0)
    retry_after_s: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose request, frame or stream it is: an API key, and the symbols it is about, as far as either is known."""

    account: str = ""
    symbols: frozenset[str] = frozenset()

    def is_meant_by(self, fault: Fault) -> bool:
        """True unless the fault is meant for another account or another symbol."""
        return fault.account in ("", self.account) and (not fault.symbol or fault.symbol in self.symbols)


NOBODY = Subject()

_FIELDS: dict[str, Callable[[Any], Any]] = {
    "count": int, "method": str, "path": str, "account": str, "symbol": str, "seconds": float, "code": int,
    "message": str, "status": int, "text": str, "repeat": int, "form": str, "asset": str,
    "amount": lambda text: Decimal(str(text)), "retry_after_s": int,
}  # fmt: skip


def parse_fault(body: Mapping[str, Any]) -> Fault:
    """A fault from the control port's JSON; raises `ValueError` naming what is wrong and what is known."""
    known = REST_KINDS | STREAM_KINDS
    kind = body.get("kind")
    if kind not in known:
        raise ValueError(f"unknown fault kind {kind!r}; known: {', '.join(known)}")
    unknown = sorted(set(body) - set(_FIELDS) - {"kind"})
    if unknown:
        raise ValueError(f"unknown fault fields {unknown}; known: {', '.join(_FIELDS)}")
    fault = Fault(kind=str(kind))
    for name, convert in _FIELDS.items():
        if name in body:
            try:
                setattr(fault, name, convert(body[name]))
            except InvalidOperation:
                raise ValueError(f"fault field {name} is {body[name]!r}, expected a number") from None
    if fault.count < 1:
        raise ValueError(f"a fault is armed for at least one use, found count {fault.count}")
    if fault.form not in FORMS:
        raise ValueError(f"form is one of {', '.join(FORMS)}, found {fault.form!r}")
    if kind == "price_ws" and fault.text not in PRICES:
        raise ValueError(f"text of price_ws is one of {', '.join(PRICES)}, found {fault.text!r}")
    return fault


class FaultBoard:
    """The armed faults, oldest first, and how many of each kind have happened."""

    def __init__(self) -> None:
        self.armed: list[Fault] = []
        self.injected: Counter[str] = Counter()
        self._cleared = asyncio.Event()

    def arm(self, fault: Fault) -> None:
        self.armed.append(fault)

    def clear(self) -> None:
        """Nothing is armed any more, and whatever waited for that goes on."""
        self.armed.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    async def outlast(self, fault: Fault) -> None:
        """Return after the seconds of ``fault``, or, where it names none, when the faults are cleared."""
        await (asyncio.sleep(fault.seconds) if fault.seconds else self._cleared.wait())

    def take(self, kinds: Mapping[str, str], path: str, method: str, subject: Subject = NOBODY) -> Fault | None:
        """The first fault for a REST request, with one use taken from it."""
        return self._take(lambda f: f.kind in kinds and f.path in path and f.method in ("", method), subject)

    def take_stream(
        self, kind: str, stream: str, subject: Subject = NOBODY, text: tuple[str, ...] = ()
    ) -> Fault | None:
        """The first fault of `kind` for a stream, with one use taken from it; "user" stands for both user streams.

        With `text` only one that says one of these.
        """
        return self._take(
            lambda f: f.kind == kind and stream.startswith(f.path) and (not text or f.text in text), subject
        )

    def _take(self, fits: Callable[[Fault], bool], subject: Subject) -> Fault | None:
        for fault in self.armed:
            if fits(fault) and subject.is_meant_by(fault):
                fault.count -= 1
                self.injected[fault.kind] += 1
                if not fault.count:
                    self.armed.remove(fault)
                return fault
        return None
