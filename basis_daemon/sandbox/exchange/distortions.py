"""What a fault makes of an answer or of a frame: pure functions over JSON-ready structures."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

Json = dict[str, Any]
HTML = b"<html><head><title>Maintenance</title></head><body><h1>Back soon</h1></body></html>"
GARBAGE_BYTES = 20
LEAP = 1000
CROSSED_BY = Decimal("1.01")
ACCOUNT_PATHS = frozenset(
    {f"/fapi/v{n}/{name}" for n in (2, 3) for name in ("account", "balance", "positionRisk")}
    | {"/api/v3/account", "/dapi/v1/account", "/dapi/v1/balance"}
)
"""Answers that tell what an account holds."""


def garbled(form: str, body: bytes) -> tuple[bytes, str]:
    """(bytes, content type) of a 200 that helps nobody."""
    if form == "html":
        return HTML, "text/html"
    bodies = {"truncated": body[:GARBAGE_BYTES], "empty": b"", "object": b"{}"}
    return bodies[form], "application/json"


def lied(body: Any, asset: str, amount: Decimal) -> Any:  # noqa: ANN401 - any answer of the venue
    """The same answer with every balance or position of `asset` (or symbol) told `amount` too high."""
    told = copy.deepcopy(body)
    rows = (
        told
        if isinstance(told, list)
        else [r for part in ("balances", "assets", "positions") for r in told.get(part, ())]
    )
    for row in rows:
        if asset in (row.get("asset"), row.get("symbol")):
            for name in ("free", "walletBalance", "balance", "positionAmt"):
                if name in row:
                    row[name] = str(Decimal(row[name]) + amount)
    return told


def price_of(word: str, price: str, other: str) -> str:
    """What is told instead of `price`; `other` is the best price of the opposite side."""
    if word == "crossed":
        return str(Decimal(other) * CROSSED_BY)
    if word == "leap":
        return str(Decimal(price) * LEAP)
    return {"nan": "NaN", "zero": "0.00", "negative": f"-{price}"}[word]


def bad_mark(body: Json, word: str) -> Json:
    """A mark frame whose mark makes no sense."""
    return body | {"p": price_of(word, str(body["p"]), str(body["p"]))}


def bad_depth(body: Json, word: str, bid: str, ask: str) -> Json:
    """A depth frame with one more bid that makes no sense."""
    return body | {"b": [[price_of(word, bid, ask), "1.000"], *body["b"]]}
