"""The wallet calls under /sapi/v1/capital: what the owner of an account brought and took away."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from basis_daemon.sandbox.exchange.accounts import CapitalRow
from basis_daemon.sandbox.exchange.endpoint import Call, Endpoint
from basis_daemon.sandbox.exchange.money import text8
from basis_daemon.sandbox.exchange.path import DAY_MS
from basis_daemon.sandbox.exchange.settlement import DEPOSIT, WITHDRAWAL

Json = dict[str, Any]
SPAN_MS = 90 * DAY_MS
CREDITED, COMPLETED = 1, 6


def deposits(call: Call) -> list[Json]:
    return [
        {
            "id": str(row.number),
            "amount": text8(row.amount),
            "coin": row.asset,
            "network": "ETH",
            "status": CREDITED,
            "address": "0x0",
            "addressTag": "",
            "txId": f"0x{row.number:x}",
            "insertTime": row.at_ms,
            "completeTime": row.at_ms,
            "transferType": 0,
            "confirmTimes": "1/1",
            "unlockConfirm": 1,
            "walletType": 0,
        }
        for row in _rows(call, DEPOSIT)
    ]


def withdrawals(call: Call) -> list[Json]:
    return [
        {
            "id": f"{row.number:032x}",
            "amount": text8(row.amount),
            "transactionFee": text8(row.fee),
            "coin": row.asset,
            "status": COMPLETED,
            "address": "0x0",
            "txId": f"0x{row.number:x}",
            "applyTime": _second(row.at_ms),
            "completeTime": _second(row.at_ms),
            "network": "ETH",
            "transferType": 0,
            "withdrawOrderId": "",
            "info": "",
            "confirmNo": 1,
            "walletType": 0,
            "txKey": "",
        }
        for row in _rows(call, WITHDRAWAL)
    ]


def _rows(call: Call, kind: str) -> list[CapitalRow]:
    """Newest first, as the venue lists them."""
    rows = [row for row in call.account.capital if row.kind == kind]
    return call.window(rows, lambda row: row.at_ms, 1000, 1000, SPAN_MS)[::-1]


def _second(at_ms: int) -> str:
    """The venue rounds these stamps up or down to a second; here always up, so that none is before its cause."""
    return datetime.fromtimestamp(-(-at_ms // 1000), UTC).strftime("%Y-%m-%d %H:%M:%S")


ENDPOINTS = (
    Endpoint("GET", "/sapi/v1/capital/deposit/hisrec", deposits, 1),
    Endpoint("GET", "/sapi/v1/capital/withdraw/history", withdrawals, 1),
)
