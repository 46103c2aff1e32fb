"""Scripted misbehaviour, armed through the control port and consumed in two places: the REST pipeline and the streams.

Every fault is armed for a number of uses and disappears after them. REST faults match method and path; stream faults
match the kind of stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

REST_KINDS = ("accept_then_drop", "delay_response_s", "reject", "garbage", "unavailable")
STREAM_KINDS = ("close_ws", "stall_ws", "poison_ws", "gap_ws", "duplicate_fill", "drop_fill", "expire_listen_key")


@dataclass(slots=True)
class Fault:
    """One armed fault. `path` is part of the REST path, or the beginning of a stream's kind.

    Kinds of streams: "spot" and "usdm" carry market data, "user-spot" and "user-usdm" the account's events.
    """

    kind: str
    count: int = 1
    method: str = ""
    path: str = ""
    seconds: float = 0.0
    code: int = -1001
    message: str = "Internal error; unable to process your request. Please try again."
    status: int = 400
    text: str = '{"e":"ACCOUNT_UPDATE"}'


def parse_fault(body: Mapping[str, Any]) -> Fault:
    """A fault from the control port's JSON; raises `ValueError` naming what is wrong."""
    known = REST_KINDS + STREAM_KINDS
    kind = body.get("kind")
    if kind not in known:
        raise ValueError(f"unknown fault kind {kind!r}; known: {', '.join(known)}")
    fields = {
        "count": int, "method": str, "path": str, "seconds": float, "code": int, "message": str, "status": int,
        "text": str,
    }  # fmt: skip
    unknown = sorted(set(body) - set(fields) - {"kind"})
    if unknown:
        raise ValueError(f"unknown fault fields {unknown}; known: {', '.join(fields)}")
    fault = Fault(kind=str(kind))
    for name, convert in fields.items():
        if name in body:
            setattr(fault, name, convert(body[name]))
    if fault.count < 1:
        raise ValueError(f"a fault is armed for at least one use, found count {fault.count}")
    return fault


class FaultBoard:
    """The armed faults, oldest first."""

    def __init__(self) -> None:
        self.armed: list[Fault] = []

    def arm(self, fault: Fault) -> None:
        self.armed.append(fault)

    def clear(self) -> None:
        self.armed.clear()

    def take(self, kinds: tuple[str, ...], path: str, method: str) -> Fault | None:
        """The first fault for a REST request, with one use taken from it."""
        return self._take(lambda f: f.kind in kinds and f.path in path and f.method in ("", method))

    def take_stream(self, kind: str, stream: str) -> Fault | None:
        """The first fault of `kind` for a stream, with one use taken from it; "user" stands for both user streams."""
        return self._take(lambda f: f.kind == kind and stream.startswith(f.path))

    def _take(self, fits: Callable[[Fault], bool]) -> Fault | None:
        for fault in self.armed:
            if fits(fault):
                fault.count -= 1
                if not fault.count:
                    self.armed.remove(fault)
                return fault
        return None
