"""Binance's record of capital: rows of its deposit and withdrawal histories, as flows of the spot wallet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.domain.order_ids import origin_of
from basis_daemon.venues.cex.frames import Row, exact, instant

CREDITED, FAILED = frozenset({1, 6}), frozenset({1, 3, 5})
"""Status of a deposit that is there, and of a withdrawal that was cancelled, rejected, or failed."""


def spot_deposit(account: str, row: Row) -> Sequence[CashFlow]:
    """A deposit that was credited, also one that may not leave again yet; none while the chain is waited for."""
    if int(row["status"]) not in CREDITED:
        return ()
    at = instant(row.get("completeTime") or row["insertTime"])
    return (_capital(account, f"deposit:{row['id']}", row["coin"], exact(row["amount"]), at, "deposit"),)


def spot_withdrawal(account: str, row: Row) -> Sequence[CashFlow]:
    """A withdrawal and its fee, taken when it was asked for; given back if it failed. None for our own transfers."""
    if origin_of(str(row.get("withdrawOrderId") or "")) is not None:
        return ()
    name, coin, at = f"withdrawal:{row['id']}", row["coin"], _second(row["applyTime"])
    amount, fee = exact(row["amount"]), exact(row["transactionFee"])
    taken = [_capital(account, name, coin, -amount, at, "withdrawal")]
    if fee:
        taken.append(replace(taken[0], flow_id=f"{account}:{name}:fee", amount=-fee, cause=Cause.TRANSFER_FEE))
    if int(row["status"]) not in FAILED:
        return taken
    back = _second(row.get("completeTime") or row["applyTime"])
    return (*taken, *(replace(f, flow_id=f"{f.flow_id}:returned", amount=-f.amount, venue_time=back) for f in taken))


def _capital(account: str, name: str, coin: str, amount: Decimal, at: datetime, memo: str) -> CashFlow:
    key = PositionKey.of(account, Kind.SPOT, coin)
    return CashFlow(f"{account}:{name}", key, amount, Cause.EXTERNAL, at, memo=memo)


def _second(text: str) -> datetime:
    """The venue writes these stamps as UTC without saying so."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


CAPITAL_CALLS = (("sapiGetCapitalDepositHisrec", spot_deposit), ("sapiGetCapitalWithdrawHistory", spot_withdrawal))
