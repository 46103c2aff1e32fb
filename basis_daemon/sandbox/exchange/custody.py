"""Coin that comes to, and leaves, the spot wallets over a chain: what may move, and what becomes of it.

The books of it alone, without a network: whoever carries the coin says what the chain did (`courier.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from basis_daemon.sandbox.exchange.accounts import Account, CapitalRow
from basis_daemon.sandbox.exchange.money import ZERO, truncate8
from basis_daemon.sandbox.exchange.orders import is_multiple
from basis_daemon.sandbox.exchange.rejects import RejectError
from basis_daemon.sandbox.exchange.venue import SpotBalanceEvent, Venue

DEPOSIT, WITHDRAWAL = "deposit", "withdrawal"
NETWORK, NETWORK_NAME = "ETH", "Ethereum (ERC20)"
"""The one network of this sandbox, as the venue calls it."""
PENDING, CREDITED, UNLOCKING = 0, 1, 6
"""Of a deposit: waiting for the chain; there; there, but it may not leave again yet."""
APPROVING, REJECTED, PROCESSING, FAILED, COMPLETED = 2, 3, 4, 5, 6
"""Of a withdrawal."""
ADDRESS = r"^(0x)[0-9A-Fa-f]{40}$"
ADDRESS_LENGTH = 42


@dataclass(slots=True)
class Way:
    """One coin on the network: what a withdrawal costs and must be, and what is open now."""

    coin: str
    fee: Decimal
    least: Decimal
    multiple: Decimal
    most: Decimal = Decimal(10_000_000)
    withdraws: bool = True
    deposits: bool = True


def _ways() -> dict[str, Way]:
    usdt = Way("USDT", Decimal("1.5"), Decimal(10), Decimal("0.000001"))
    ether = Way("ETH", Decimal("0.0003"), Decimal("0.001"), Decimal("0.00000001"))
    return {way.coin: way for way in (usdt, ether)}


@dataclass(frozen=True, slots=True)
class Incoming:
    """One payment to one of our deposit addresses, in whole units; ``place`` tells several of one transaction apart."""

    coin: str
    address: str
    amount: Decimal
    tx_id: str
    place: int


@dataclass(slots=True)
class Custody:
    """Ways, deposit addresses, and what is under way. Without a chain nothing comes in or goes out.

    ``is_holding`` keeps withdrawals waiting for a person, ``is_rejecting`` lets that person say no. ``confirmations``
    blocks until a deposit counts and a withdrawal is complete, ``unlocks_at`` until a deposit may leave again.
    """

    venue: Venue
    confirmations: int = 3
    unlocks_at: int = 6
    is_linked: bool = False
    is_holding: bool = False
    is_rejecting: bool = False
    ways: dict[str, Way] = field(default_factory=_ways)
    addresses: dict[str, Account] = field(default_factory=dict)
    whitelist: list[tuple[str, str]] = field(default_factory=list)
    _seen: dict[tuple[str, int], CapitalRow] = field(default_factory=dict)

    def steer(self, body: Mapping[str, Any]) -> None:
        """Set what ``body`` names: hold, reject, closed (coins), whitelist (coin, address). Raises ValueError."""
        if unknown := sorted(set(body) - {"hold", "reject", "closed", "whitelist"}):
            raise ValueError(f"custody {unknown}, expected some of closed, hold, reject, whitelist")
        self.is_holding = bool(body.get("hold", self.is_holding))
        self.is_rejecting = bool(body.get("reject", self.is_rejecting))
        if "closed" in body:
            for way in self.ways.values():
                way.withdraws = way.deposits = way.coin not in body["closed"]
        if "whitelist" in body:
            self.whitelist = [(str(coin), str(address).lower()) for coin, address in body["whitelist"]]

    def address_of(self, account: Account, coin: str) -> str:
        """Where the account's deposits are sent."""
        self._way(coin, NETWORK)
        return next(address for address, owner in self.addresses.items() if owner is account)

    def apply(
        self, account: Account, coin: str, network: str, address: str, amount: Decimal, client_id: str
    ) -> CapitalRow:
        """Take ``amount`` from the wallet at once; the fee comes out of it. The same client id may come twice here."""
        way = self._way(coin, network)
        if not way.withdraws:
            raise RejectError(-4019, "Current asset is not open for withdrawal")
        if len(address) != ADDRESS_LENGTH or not address.startswith("0x"):
            raise RejectError(-4007, "The address validation is not passed")
        if self.whitelist and (coin, address.lower()) not in self.whitelist:
            raise RejectError(-4035, "This address is not on the whitelist. Please join and try again")
        if not is_multiple(amount, way.multiple):
            raise RejectError(-4021, f"Asset withdrawal must be an integer multiple of {way.multiple}")
        if amount < way.least:
            raise RejectError(-4022, f"Not less than the minimum pick-up quantity {way.least}")
        if amount > way.most:
            raise RejectError(-4023, "Within 24 hours, the withdrawal exceeds the maximum amount")
        if account.holding(coin).free - self._unlocking(account, coin) < amount:
            raise RejectError(-4026, "The user has insufficient balance available")
        self._change(account, coin, -amount)
        row = CapitalRow(
            WITHDRAWAL, coin, amount - way.fee, way.fee, self.venue.now_ms, self.venue.next_transaction_id(),
            APPROVING, address=address, client_id=client_id,
        )  # fmt: skip
        account.capital.append(row)
        return row

    def decide(self) -> bool:
        """Let a person look at what waits for one: sent on its way, or given back. True when something changed."""
        if self.is_holding:
            return False
        waiting = list(self._withdrawals(APPROVING))
        for account, row in waiting:
            if self.is_rejecting:
                self._give_back(account, row, REJECTED)
            else:
                row.status = PROCESSING
        return bool(waiting)

    def to_send(self) -> list[CapitalRow]:
        """Approved, without a transaction."""
        return [row for _, row in self._withdrawals(PROCESSING) if not row.tx_id]

    def on_chain(self) -> list[CapitalRow]:
        """Sent, without enough blocks on top."""
        return [row for _, row in self._withdrawals(PROCESSING) if row.tx_id]

    def confirmed(self, row: CapitalRow, confirmations: int) -> None:
        """The transaction of a withdrawal stands under so many blocks, its own among them."""
        row.confirmations = confirmations
        if confirmations >= self.confirmations:
            row.status, row.done_ms = COMPLETED, self.venue.now_ms

    def failed(self, row: CapitalRow) -> None:
        """The chain refused it: the coin goes back."""
        owner = next(account for account, mine in self._withdrawals(PROCESSING) if mine is row)
        self._give_back(owner, row, FAILED)

    def saw(self, found: Incoming) -> bool:
        """A payment was found in the chain; False when it is known."""
        name, owner = (found.tx_id, found.place), self.addresses.get(found.address)
        if owner is None or name in self._seen or not self.ways[found.coin].deposits:
            return False
        row = CapitalRow(
            DEPOSIT, found.coin, truncate8(found.amount), ZERO, self.venue.now_ms, self.venue.next_transaction_id(),
            PENDING, address=found.address, tx_id=found.tx_id,
        )  # fmt: skip
        self._seen[name] = row
        owner.capital.append(row)
        return True

    def arriving(self) -> list[CapitalRow]:
        """Deposits whose blocks are still counted."""
        return [row for row in self._seen.values() if row.status != CREDITED]

    def counted(self, row: CapitalRow, confirmations: int | None) -> bool:
        """So many blocks stand on a deposit, None: it is in the chain no more. True when the balance changed."""
        owner = self.addresses[row.address]
        if confirmations is None:
            if row.status == PENDING:
                owner.capital.remove(row)
                self._seen = {name: known for name, known in self._seen.items() if known is not row}
            return False
        row.confirmations = confirmations
        is_credited = row.status == PENDING and confirmations >= self.confirmations
        if is_credited:
            row.status, row.done_ms = UNLOCKING, self.venue.now_ms
            self._change(owner, row.asset, row.amount)
        if row.status == UNLOCKING and confirmations >= self.unlocks_at:
            row.status = CREDITED
        return is_credited

    def _way(self, coin: str, network: str) -> Way:
        if coin not in self.ways or not self.is_linked:
            raise RejectError(-4018, "We don't have this asset")
        if network not in {"", NETWORK}:
            raise RejectError(-4001, f"Network {network} is not supported for {coin}")
        return self.ways[coin]

    def _withdrawals(self, status: int) -> Iterator[tuple[Account, CapitalRow]]:
        for account in self.venue.accounts.values():
            for row in account.capital:
                if row.kind == WITHDRAWAL and row.status == status:
                    yield account, row

    def _unlocking(self, account: Account, coin: str) -> Decimal:
        rows = (row for row in account.capital if (row.kind, row.asset, row.status) == (DEPOSIT, coin, UNLOCKING))
        return sum((row.amount for row in rows), ZERO)

    def _give_back(self, account: Account, row: CapitalRow, status: int) -> None:
        row.status, row.done_ms = status, self.venue.now_ms
        self._change(account, row.asset, row.amount + row.fee)

    def _change(self, account: Account, coin: str, amount: Decimal) -> None:
        account.holding(coin).free += amount
        account.spot_updated_ms = self.venue.now_ms
        self.venue.sink(account, SpotBalanceEvent((coin,), delta=amount))
