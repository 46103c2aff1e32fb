"""What operators send over the control socket: malformed words are refused before anything is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

from basis_daemon.engine.attribution import Asked, By
from basis_daemon.engine.capital import Withdrawal
from basis_daemon.engine.transfer_desk import Approval, Ending

Json = dict[str, Any]
REASON_CHARS_MIN, REASON_CHARS_MAX = 3, 500
_WISH_ID = re.compile(r"[A-Za-z0-9._-]{4,64}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ORDER_ID = re.compile(r"[!-~]{1,64}")
_USDT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")
_COIN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,18})?")


def asked_of(request: web.Request) -> Asked:
    """Which part of the book's life, as a query says it; what is malformed is refused."""
    query = request.query
    try:
        by = By(query["by"]) if "by" in query else None
        return Asked(_instant(query.get("from")), _instant(query.get("to")), by, query.get("strategy"))
    except ValueError as error:
        expected = f"from and to such as 2024-03-01T00:00:00Z, by one of {', '.join(By)}"
        raise web.HTTPBadRequest(text=f"pnl was asked for with {dict(query)} ({error}), expected {expected}") from error


def _instant(text: str | None) -> datetime | None:
    """Raises ValueError for what is no instant, and for one without its zone."""
    found = datetime.fromisoformat(text) if text is not None else None
    if found is not None and found.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return found


async def body_of(request: web.Request) -> Json:
    """The JSON object that was sent; empty for anything else. Aiohttp keeps what was read."""
    try:
        body = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


async def reason_of(request: web.Request) -> str:
    """Why; raises HTTPBadRequest without one."""
    reason = (await body_of(request)).get("reason")
    if not isinstance(reason, str) or not REASON_CHARS_MIN <= len(reason.strip()) <= REASON_CHARS_MAX:
        bounds = f"{REASON_CHARS_MIN} to {REASON_CHARS_MAX} characters that say why; nothing was done"
        raise web.HTTPBadRequest(text=f"reason is {str(reason)[:40]!r}, expected {bounds}")
    return reason.strip()


async def flag_of(request: web.Request, name: str) -> bool:
    """Whether it was said; raises HTTPBadRequest for anything but a truth value."""
    found = (await body_of(request)).get(name, False)
    if not isinstance(found, bool):
        raise web.HTTPBadRequest(text=f"{name} is {str(found)[:40]!r}, expected true or false; nothing was done")
    return found


async def withdrawal_of(request: web.Request) -> Withdrawal:
    """A withdrawal of capital as asked for; raises HTTPBadRequest."""
    body = await body_of(request)
    wish_id = _text(body, "id", _WISH_ID, "4 to 64 letters, digits, dots, dashes that name this wish")
    amount = _text(body, "amount_usdt", _USDT, "a string such as 10000 or 2500.50, in USDT")
    strategy = body.get("strategy")
    if strategy is not None and not isinstance(strategy, str):
        raise web.HTTPBadRequest(text="strategy is no text, expected a strategy's name or nothing; nothing was done")
    return Withdrawal(wish_id, Decimal(amount), strategy)


async def approval_of(request: web.Request) -> Approval:
    """A word that lets one transfer leave; raises HTTPBadRequest."""
    body = await body_of(request)
    wish_id = _text(body, "id", _WISH_ID, "4 to 64 letters, digits, dots, dashes that name this word")
    source, target = (_text(body, side, _NAME, "an account's name") for side in ("source", "target"))
    coin = _text(body, "coin", _NAME, "a coin such as USDT")
    up_to = _text(body, "up_to", _COIN, "a string such as 10000 or 2.5, in units of the coin")
    hours = body.get("hours")
    if not isinstance(hours, int) or isinstance(hours, bool):
        raise web.HTTPBadRequest(text=f"hours is {str(hours)[:40]!r}, expected a whole number; nothing was done")
    return Approval(wish_id, source, target, coin.upper(), Decimal(up_to), hours)


async def ending_of(request: web.Request) -> tuple[str, Ending]:
    """The order of a transfer and what became of it; raises HTTPBadRequest."""
    body = await body_of(request)
    order_id = _text(body, "order_id", _ORDER_ID, "a transfer's order id")
    ending = _text(body, "ending", re.compile("|".join(Ending)), f"one of {', '.join(Ending)}")
    return order_id, Ending(ending)


def _text(body: Mapping[str, object], key: str, shape: re.Pattern[str], expected: str) -> str:
    found = body.get(key)
    if not isinstance(found, str) or not shape.fullmatch(found):
        raise web.HTTPBadRequest(text=f"{key} is {str(found)[:80]!r}, expected {expected}; nothing was done")
    return found
