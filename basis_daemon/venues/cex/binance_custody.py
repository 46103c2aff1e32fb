"""Binance's record of coin that comes and goes over Ethereum: its ways, withdrawals and deposits, row by row."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from basis_daemon.venues.cex.frames import Row, exact, instant
from basis_daemon.venues.cex.quirks import CustodyQuirks
from basis_daemon.venues.transfers.ends import Deposit, Progress, Way, Withdrawal

NETWORK = "ETH"
CREDITED = frozenset({1, 6})
"""Success, and credited but not yet free to leave again: the balance has both."""
_PROGRESS = {
    0: Progress.WAITING,
    2: Progress.WAITING,
    4: Progress.SENDING,
    6: Progress.SENT,
    1: Progress.RETURNED,
    3: Progress.RETURNED,
    5: Progress.RETURNED,
}
"""Email sent, awaiting approval, processing, completed; cancelled, rejected, failed."""


def read_way(answer: Any, coin: str) -> Way:  # noqa: ANN401 - an answer as ccxt passes it on
    """The coin on the network; closed where the exchange does not list it. Raises KeyError, ValueError on nonsense."""
    listed = next((row for row in answer if row["coin"] == coin), None)
    if listed is None:
        raise ValueError(f"{coin} is not among the exchange's {len(answer)} coins")
    row = next((one for one in listed["networkList"] if one["network"] == NETWORK), None)
    if row is None:
        return Way(withdraws=False, deposits=False, fee=Decimal(0), least=Decimal(0), most=Decimal(0),
                   multiple=Decimal(1))  # fmt: skip
    return Way(
        withdraws=_flag(row["withdrawEnable"]),
        deposits=_flag(row["depositEnable"]),
        fee=exact(row["withdrawFee"]),
        least=exact(row["withdrawMin"]),
        most=exact(row["withdrawMax"]),
        multiple=exact(row["withdrawIntegerMultiple"]),
    )


def read_withdrawal(row: Row) -> Withdrawal:
    """Raises KeyError for a status that it has never told."""
    return Withdrawal(
        number=str(row["id"]),
        client_id=str(row.get("withdrawOrderId") or ""),
        amount=exact(row["amount"]),
        fee=exact(row["transactionFee"]),
        address=str(row["address"]),
        tx_id=str(row.get("txId") or ""),
        progress=_PROGRESS[int(row["status"])],
        time=datetime.strptime(row["applyTime"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC),
    )


def read_deposit(row: Row) -> Deposit:
    """Credited or not yet."""
    return Deposit(
        number=str(row["id"]),
        amount=exact(row["amount"]),
        address=str(row["address"]),
        tx_id=str(row["txId"]),
        is_credited=int(row["status"]) in CREDITED,
        time=instant(row.get("completeTime") or row["insertTime"]),
    )


def _flag(value: object) -> bool:
    """Raises ValueError for what is neither yes nor no: a way that may be closed is not open."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r}, expected true or false")  # noqa: TRY004 - a bad answer, not a wrong call
    return value


CUSTODY = CustodyQuirks(
    network="ERC20",
    network_id=NETWORK,
    client_id="withdrawOrderId",
    tx_id="txId",
    ways_call="sapiGetCapitalConfigGetall",
    withdrawals_call="sapiGetCapitalWithdrawHistory",
    deposits_call="sapiGetCapitalDepositHisrec",
    address_call="sapiGetCapitalDepositAddress",
    whitelist_call="sapiGetCapitalWithdrawAddressList",
    read_way=read_way,
    read_withdrawal=read_withdrawal,
    read_deposit=read_deposit,
)
