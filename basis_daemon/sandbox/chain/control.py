"""The control port: plain HTTP on loopback for whoever scripts the chain. It is no part of the chain."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

import orjson
from aiohttp import web

from basis_daemon.sandbox.chain.controls import ChainControls
from basis_daemon.sandbox.chain.node import ChainError

Json = dict[str, Any]
Action = Callable[[ChainControls, Json], Awaitable[Json]]


class Driven(Protocol):
    """What the control port may ask of the running chain."""

    @property
    def controls(self) -> ChainControls: ...
    async def status(self) -> Json: ...
    async def books(self) -> Json: ...
    def ask_to_stop(self) -> None: ...


class BodyError(ValueError):
    """The body lacks a field or has one of the wrong kind; the message names it."""


def _decimal(body: Json, field: str) -> Decimal:
    try:
        return Decimal(str(body[field]))
    except KeyError:
        raise BodyError(f"{field} is missing") from None
    except InvalidOperation:
        raise BodyError(f"{field} is a number, found {body[field]!r}") from None


def _optional(body: Json, field: str) -> Decimal | None:
    return _decimal(body, field) if field in body else None


def _text(body: Json, *fields: str) -> str:
    """The first of the fields that is given."""
    found = next((body[field] for field in fields if field in body), None)
    if not isinstance(found, str):
        raise BodyError(f"{' or '.join(fields)} is a text, found {found!r}")
    return found


def _flag(body: Json) -> bool:
    if not isinstance(body.get("on"), bool):
        raise BodyError(f"on is true or false, found {body.get('on')!r}")
    return bool(body["on"])


async def _price(controls: ChainControls, body: Json) -> Json:
    await controls.price(_text(body, "token"), usd=_optional(body, "usd"), factor=_optional(body, "factor"))
    return {}


async def _rebase(controls: ChainControls, body: Json) -> Json:
    protocol = _text(body, "protocol")
    await controls.rebase(protocol, _decimal(body, "factor"))
    return {"rate": str(Decimal(await controls.rate_wad(protocol)).scaleb(-18))}


async def _finalize(controls: ChainControls, body: Json) -> Json:
    return {"last_id": await controls.finalize(_text(body, "protocol"), _optional(body, "discount") or Decimal(0))}


async def _rates(controls: ChainControls, body: Json) -> Json:
    return {"borrow_apr": str(await controls.rates(_text(body, "asset"), _decimal(body, "borrow_apr")))}


async def _utilisation(controls: ChainControls, body: Json) -> Json:
    return {"borrow_apr": str(await controls.utilisation(_text(body, "asset"), _decimal(body, "share")))}


async def _pause(controls: ChainControls, body: Json) -> Json:
    await controls.pause(_text(body, "reserve", "issuer"), on=_flag(body))
    return {}


async def _freeze(controls: ChainControls, body: Json) -> Json:
    await controls.freeze(_text(body, "reserve"), on=_flag(body))
    return {}


async def _caps(controls: ChainControls, body: Json) -> Json:
    supply, borrow = (_optional(body, side) for side in ("supply", "borrow"))
    await controls.caps(
        _text(body, "reserve"),
        supply=None if supply is None else int(supply),
        borrow=None if borrow is None else int(borrow),
    )
    return {}


async def _reward(controls: ChainControls, body: Json) -> Json:
    return {"claim": await controls.reward(_text(body, "account"), _decimal(body, "amount"))}


async def _slash(controls: ChainControls, body: Json) -> Json:
    await controls.slash(_decimal(body, "fraction"))
    return {}


async def _mine(controls: ChainControls, body: Json) -> Json:
    return {"block": await controls.mine(int(_decimal(body, "blocks")))}


async def _time(controls: ChainControls, body: Json) -> Json:
    if "reach_s" in body:
        block = await controls.reach(int(_decimal(body, "reach_s")))
    else:
        block = await controls.advance(int(_decimal(body, "advance_s")))
    seconds = (await controls.client.eth.get_block(block))["timestamp"]
    return {"block": block, "time": datetime.fromtimestamp(seconds, UTC).isoformat()}


async def _pool_price(controls: ChainControls, body: Json) -> Json:
    await controls.pool_price(_text(body, "pool"), _decimal(body, "factor"))
    return {}


async def _ether(controls: ChainControls, body: Json) -> Json:
    await controls.ether(_decimal(body, "usdt"))
    return {}


async def _reorg(controls: ChainControls, body: Json) -> Json:
    return {"head": await controls.reorg(int(_decimal(body, "depth")))}


async def _gas(controls: ChainControls, body: Json) -> Json:
    await controls.gas(_decimal(body, "base_fee_gwei"))
    return {}


async def _fund(controls: ChainControls, body: Json) -> Json:
    amounts = {symbol: _decimal(body, symbol) for symbol in body if symbol != "account"}
    await controls.fund(_text(body, "account"), **amounts)
    return {}


ACTIONS: dict[str, tuple[Action, str]] = {
    "price": (
        _price,
        "token; usd (ETH, USDT) or factor on the issuer's rate (wstETH, weETH): what the oracle says",
    ),
    "rebase": (_rebase, "protocol (lido, etherfi), factor: what every share stands for, below 1 for a loss"),
    "finalize": (_finalize, "protocol, discount (lido only): all open withdrawal requests become claimable"),
    "rates": (_rates, "asset, borrow_apr: the curve is bent so that borrowing costs that at today's utilisation"),
    "utilisation": (_utilisation, "asset, share: the crowd borrows or repays until that share of the reserve is lent"),
    "pause": (_pause, "reserve (a symbol) or issuer (lido, lido_staking, lido_queue, etherfi), on"),
    "freeze": (_freeze, "reserve, on: no new supply or borrowing"),
    "caps": (_caps, "reserve, supply, borrow: whole tokens, 0 for none"),
    "reward": (_reward, "account, amount of EIGEN: posts a root and answers with the claim that proves it"),
    "slash": (_slash, "fraction of all stake delegated to EigenLayer's operator"),
    "mine": (_mine, "blocks"),
    "time": (_time, "advance_s, or reach_s (Unix seconds): chain time moves on by one block"),
    "pool_price": (_pool_price, "pool (weETH/WETH), factor on the fair price: a whale swaps until it is so"),
    "ether": (_ether, "usdt: ether costs that, at the oracle and in the pool of WETH and USDT"),
    "reorg": (_reorg, "depth: that many blocks are replaced by empty ones"),
    "gas": (_gas, "base_fee_gwei of a block mined now"),
    "fund": (_fund, "account, and whole amounts by symbol (ETH, USDT, weETH, ..)"),
}


class _Control:
    """The handlers, over one chain."""

    def __init__(self, chain: Driven) -> None:
        self._chain = chain

    async def explain(self, request: web.Request) -> web.Response:
        return _json({"actions": {name: means for name, (_, means) in ACTIONS.items()}})

    async def status(self, request: web.Request) -> web.Response:
        return _json(await self._chain.status())

    async def books(self, request: web.Request) -> web.Response:
        return _json(await self._chain.books())

    async def claims(self, request: web.Request) -> web.Response:
        """What EigenLayer's own service would tell: the newest reward claim of every account."""
        return _json({"claims": self._chain.controls.claims})

    async def shutdown(self, request: web.Request) -> web.Response:
        self._chain.ask_to_stop()
        return _json({"stopping": True})

    async def act(self, request: web.Request) -> web.Response:
        name = request.match_info["action"]
        if name not in ACTIONS:
            return _json({"error": f"action: one of {', '.join(ACTIONS)}, found {name!r}"}, 404)
        action, _ = ACTIONS[name]
        try:
            return _json(await action(self._chain.controls, await _body(request)))
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        except ChainError as error:
            return _json({"error": str(error)}, 409)


def control_app(chain: Driven) -> web.Application:
    """Behind the control port: GET / explains, /status, /books and /claims tell, POST /<action> acts."""
    handler = _Control(chain)
    app = web.Application()
    app.router.add_get("/", handler.explain)
    app.router.add_get("/status", handler.status)
    app.router.add_get("/books", handler.books)
    app.router.add_get("/claims", handler.claims)
    app.router.add_post("/shutdown", handler.shutdown)
    app.router.add_post("/{action}", handler.act)
    return app


async def _body(request: web.Request) -> Json:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise BodyError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BodyError("the body is not a JSON object")
    return body


def _json(body: object, status: int = 200) -> web.Response:
    # not orjson: amounts in wei are too large for it
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")
