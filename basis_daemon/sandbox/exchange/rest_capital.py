"""The wallet calls under /sapi/v1/capital: what came to an account, what it sent away, and over which network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from basis_daemon.sandbox.exchange.accounts import CapitalRow
from basis_daemon.sandbox.exchange.custody import (
    ADDRESS,
    DEPOSIT,
    NETWORK,
    NETWORK_NAME,
    WITHDRAWAL,
    Way,
)
from basis_daemon.sandbox.exchange.endpoint import Call, Endpoint
from basis_daemon.sandbox.exchange.money import ZERO, plain, text8
from basis_daemon.sandbox.exchange.path import DAY_MS
from basis_daemon.sandbox.exchange.rejects import RejectError

Json = dict[str, Any]
SPAN_MS, NAMED_SPAN_MS = 90 * DAY_MS, 7 * DAY_MS


def deposits(call: Call) -> list[Json]:
    needed, tx_id = call.world.custody.confirmations, call.maybe("txId")
    return [
        {
            "id": str(row.number),
            "amount": text8(row.amount),
            "coin": row.asset,
            "network": NETWORK,
            "status": row.status,
            "address": row.address,
            "addressTag": "",
            "txId": row.tx_id,
            "insertTime": row.at_ms,
            "completeTime": row.done_ms,
            "transferType": 0,
            "confirmTimes": f"{row.confirmations}/{needed}",
            "unlockConfirm": call.world.custody.unlocks_at,
            "walletType": 0,
        }
        for row in _rows(call, DEPOSIT, SPAN_MS)
        if tx_id in {None, row.tx_id}
    ]


def withdrawals(call: Call) -> list[Json]:
    """Of the last seven days where a client id is named, as the venue has it."""
    client_id = call.maybe("withdrawOrderId")
    return [
        {
            "id": f"{row.number:032x}",
            "amount": text8(row.amount),
            "transactionFee": text8(row.fee),
            "coin": row.asset,
            "status": row.status,
            "address": row.address,
            "txId": row.tx_id,
            "applyTime": _second(row.at_ms),
            **({"completeTime": _second(row.done_ms)} if row.done_ms is not None else {}),
            "network": NETWORK,
            "transferType": 0,
            **({"withdrawOrderId": row.client_id} if row.client_id else {}),
            "info": "",
            "confirmNo": row.confirmations,
            "walletType": 0,
            "txKey": "",
        }
        for row in _rows(call, WITHDRAWAL, SPAN_MS if client_id is None else NAMED_SPAN_MS)
        if client_id in {None, row.client_id}
    ]


def apply(call: Call) -> Json:
    row = call.world.custody.apply(
        call.account,
        call.text("coin"),
        call.maybe("network") or "",
        call.text("address"),
        call.decimal("amount"),
        call.maybe("withdrawOrderId") or "",
    )
    return {"id": f"{row.number:032x}"}


def deposit_address(call: Call) -> Json:
    coin, custody = call.text("coin"), call.world.custody
    if call.maybe("network") not in {None, NETWORK}:
        raise RejectError(-4001, f"Network {call.maybe('network')} is not supported for {coin}")
    address = custody.address_of(call.account, coin)
    return {"coin": coin, "address": address, "tag": "", "url": f"https://etherscan.io/address/{address}"}


def coins(call: Call) -> list[Json]:
    """Every coin of the spot market; those that a chain carries with their network."""
    custody = call.world.custody
    pairs = [row for (market, _), row in call.venue.instruments.items() if market == "spot"]
    names = dict.fromkeys(coin for row in pairs for coin in (row.base, row.quote))
    return [_coin(call, name, custody.ways.get(name) if custody.is_linked else None) for name in names]


def _coin(call: Call, name: str, way: Way | None) -> Json:
    holding = call.account.spot.get(name)
    free, locked = (holding.free, holding.locked) if holding else (ZERO, ZERO)
    return {
        "coin": name,
        "name": name,
        "depositAllEnable": way is not None and way.deposits,
        "withdrawAllEnable": way is not None and way.withdraws,
        "free": text8(free),
        "locked": text8(locked),
        "freeze": "0",
        "withdrawing": "0",
        "ipoing": "0",
        "ipoable": "0",
        "storage": "0",
        "isLegalMoney": False,
        "trading": True,
        "networkList": [] if way is None else [_network(call, way)],
    }


def _network(call: Call, way: Way) -> Json:
    custody = call.world.custody
    return {
        "network": NETWORK,
        "coin": way.coin,
        "name": NETWORK_NAME,
        "isDefault": True,
        "depositEnable": way.deposits,
        "withdrawEnable": way.withdraws,
        "depositDesc": "",
        "withdrawDesc": "",
        "specialTips": "",
        "resetAddressStatus": False,
        "addressRegex": ADDRESS,
        "memoRegex": "",
        "withdrawFee": plain(way.fee),
        "withdrawMin": plain(way.least),
        "withdrawMax": plain(way.most),
        "withdrawIntegerMultiple": plain(way.multiple),
        "depositDust": "0.00000001",
        "minConfirm": custody.confirmations,
        "unLockConfirm": custody.unlocks_at,
        "sameAddress": False,
        "withdrawTag": False,
        "estimatedArrivalTime": 5,
        "busy": False,
        "contractAddressUrl": "https://etherscan.io/token/",
        "contractAddress": "",
    }


def addresses(call: Call) -> list[Json]:
    """The addresses that the owner of the account has put on the venue's whitelist; nothing while there is none."""
    return [
        {
            "address": address,
            "addressTag": "",
            "coin": coin,
            "name": address[:8],
            "network": NETWORK,
            "origin": "",
            "originType": "others",
            "whiteStatus": True,
        }
        for coin, address in call.world.custody.whitelist
    ]


def _rows(call: Call, kind: str, span_ms: int) -> Sequence[CapitalRow]:
    """Newest first, as the venue lists them."""
    coin = call.maybe("coin")
    rows = [row for row in call.account.capital if row.kind == kind and coin in {None, row.asset}]
    return call.window(rows, lambda row: row.at_ms, 1000, 1000, span_ms)[::-1]


def _second(at_ms: int) -> str:
    """The venue rounds these stamps up or down to a second; here always up, so that none is before its cause."""
    return datetime.fromtimestamp(-(-at_ms // 1000), UTC).strftime("%Y-%m-%d %H:%M:%S")


ENDPOINTS = (
    Endpoint("GET", "/sapi/v1/capital/deposit/hisrec", deposits, 1),
    Endpoint("GET", "/sapi/v1/capital/withdraw/history", withdrawals, 1),
    Endpoint("POST", "/sapi/v1/capital/withdraw/apply", apply, 1),
    Endpoint("GET", "/sapi/v1/capital/deposit/address", deposit_address, 1),
    Endpoint("GET", "/sapi/v1/capital/config/getall", coins, 10),
    Endpoint("GET", "/sapi/v1/capital/withdraw/address/list", addresses, 10),
)
