"""One spot account as an end of a transfer over a chain: asked through ccxt, every answer read or refused whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.errors import ConfigError, OrderRejectedError, OutcomeUnknownError, VenueUnreachableError
from basis_daemon.venues.cex.desk import Desk, MarketTime
from basis_daemon.venues.cex.frames import Foreign, Row
from basis_daemon.venues.cex.limiter import Request
from basis_daemon.venues.cex.outcome import CallError
from basis_daemon.venues.cex.quantise import plain
from basis_daemon.venues.cex.quirks import CustodyQuirks, Fate
from basis_daemon.venues.transfers.ends import Deposit, Way, Withdrawal


class CEXCustody:
    """Honours ``transfers.ends.ExchangeEnd``. Raises ConfigError for an account that has no such calls."""

    def __init__(self, desk: Desk, market_time: MarketTime) -> None:
        if desk.quirks.custody is None or not desk.options.is_live_api:
            raise ConfigError(f"account {desk.name}: coin cannot come or go over a chain, take it out of transfers")
        self._desk, self._market_time = desk, market_time
        self._calls: CustodyQuirks = desk.quirks.custody

    @property
    def account(self) -> str:
        """The venue part of its keys."""
        return self._desk.name

    @property
    def absence_proof_s(self) -> float:
        """As of the orders of the same account."""
        options = self._desk.options
        return (self._desk.venue.receive_window_ms + options.skew_alarm_ms) / 1000 + options.read_lag_s

    def now(self) -> datetime:
        """Market time where the exchange has shown it, else the wall clock."""
        return self._market_time.newest if self._market_time.is_known() else self._desk.clock.wall()

    async def way(self, coin: str) -> Way:
        """What holds for this coin on the network now."""
        return await self._desk.learn(self._calls.ways_call, {}, read=lambda rows: self._calls.read_way(rows, coin))

    async def balance(self, coin: str) -> Decimal:
        """Free and locked."""
        desk = self._desk
        wallet = await desk.learn("fetch_balance", dict(desk.quirks.balance_params), read=desk.quirks.read_wallet)
        return wallet.balances.get(coin, Decimal(0))

    async def deposit_address(self, coin: str) -> str:
        """Where the exchange says that deposits go."""
        wanted = {"coin": coin, "network": self._calls.network_id}
        return await self._desk.learn(self._calls.address_call, wanted, read=_address)

    async def whitelist(self) -> frozenset[tuple[str, str]]:
        """(coin, address in lower case) that the exchange's owner lets withdrawals go to."""
        return await self._desk.learn(self._calls.whitelist_call, {}, read=_listed)

    async def withdraw(self, order_id: str, coin: str, amount: Decimal, address: str) -> str:
        """Send once. The fee comes out of ``amount``."""
        desk = self._desk
        parameters = {"network": self._calls.network, self._calls.client_id: order_id}
        request = Request(is_urgent=True, wait_max_s=desk.options.limiter_wait_s)
        arguments = (coin, plain(amount), address, parameters)
        try:
            return await desk.ask(desk.orders, "withdraw", *arguments, read=_number, request=request)
        except CallError as fault:
            raise _meaning(order_id, fault) from fault

    async def withdrawals(self, coin: str, order_id: str | None) -> Sequence[Withdrawal]:
        """Newest first."""
        wanted: Row = {"coin": coin} | ({} if order_id is None else {self._calls.client_id: order_id})
        return await self._desk.learn(
            self._calls.withdrawals_call, wanted, read=lambda rows: [self._calls.read_withdrawal(row) for row in rows]
        )

    async def deposits(self, coin: str, tx_id: str) -> Sequence[Deposit]:
        """Newest first."""
        wanted = {"coin": coin, self._calls.tx_id: tx_id}
        return await self._desk.learn(
            self._calls.deposits_call, wanted, read=lambda rows: [self._calls.read_deposit(row) for row in rows]
        )


def _meaning(order_id: str, fault: CallError) -> Exception:
    if fault.fate is Fate.NOT_SENT:
        return VenueUnreachableError(f"withdrawal {order_id} did not leave: {fault.text}")
    if fault.fate in {Fate.REJECTED, Fate.SKEWED}:
        return OrderRejectedError(f"withdrawal {order_id}: {fault.text}", fault.error_class, fault.code)
    return OutcomeUnknownError(f"withdrawal {order_id}: {fault.text}; ask, never resend")


def _number(row: Foreign) -> str:
    if not row.get("id"):
        raise ValueError("withdrawal answered without an id, expected one")
    return str(row["id"])


def _listed(rows: Foreign) -> frozenset[tuple[str, str]]:
    return frozenset((str(row["coin"]), str(row["address"]).lower()) for row in rows if row["whiteStatus"] is True)


def _address(row: Foreign) -> str:
    if row.get("tag"):
        raise ValueError(f"deposit address with a tag {row['tag']!r}, expected none on this network")
    return str(row["address"])
