"""The bridge between the spot accounts of exchanges and the wallet, put together for one daemon."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.transfer import WALLET, RouteBook
from basis_daemon.ports import ExecutionInterface, TradeSink
from basis_daemon.venues.transfers.crossing import Surroundings, Terms
from basis_daemon.venues.transfers.deposit import DepositInterface
from basis_daemon.venues.transfers.ends import ChainEnd, ExchangeEnd, TransferLog
from basis_daemon.venues.transfers.interface import TransferExecutionInterface
from basis_daemon.venues.transfers.withdrawal import WithdrawalInterface

Routes = list[tuple[str, ExecutionInterface]]
_TRANSFERS = frozenset({OrderOperation.TRANSFER})


class Bridge:
    """``exchanges`` by the names of their accounts."""

    def __init__(
        self,
        book: RouteBook,
        chain: ChainEnd,
        exchanges: Mapping[str, ExchangeEnd],
        terms: Terms,
        around: Surroundings,
    ) -> None:
        self.book = book
        self._chain, self._exchanges = chain, exchanges
        self._terms, self._around = terms, around

    def joined(self, routes: Iterable[tuple[str, ExecutionInterface]], on_trade: TradeSink) -> Routes:
        """The same table, in which transfers of its accounts also cross."""
        return [(account, self._joined(account, interface, on_trade)) for account, interface in routes]

    def _joined(self, account: str, interface: ExecutionInterface, on_trade: TradeSink) -> ExecutionInterface:
        if interface.operations != _TRANSFERS:
            return interface
        given = self.book, self._terms, self._around, on_trade
        if account == WALLET:
            deposits = {
                name: DepositInterface(end, self._chain, interface, *given) for name, end in self._exchanges.items()
            }
            return TransferExecutionInterface(account, interface, deposits)
        if account not in self._exchanges:
            return interface
        withdrawal = WithdrawalInterface(self._exchanges[account], self._chain, *given)
        return TransferExecutionInterface(account, interface, {WALLET: withdrawal})


def is_own_transfer(
    log: TransferLog, signed_for: Callable[[str], Collection[str]], account: str, tx_id: str, number: str
) -> bool:
    """True for what crosses between this account and our wallet; while a transaction is not known yet, for every one.

    A withdrawal bears our id. Where the exchange's record has lost it, its transaction says whose it is, or ``number``,
    the exchange's own, if it was never sent; that is empty for a deposit. A deposit is ours by any transaction
    that the wallet has ``signed_for`` it: the exchange may credit a replacement before we have seen it mined.
    """
    rows = [row for row in log.rows() if account in {row.source, row.target}]
    if number and any(row.source == account and row.venue_id == number for row in rows):
        return True
    if any(tx_id.lower() in signed_for(row.order_id) for row in rows if row.source == WALLET):
        return True
    return any(row.tx_id.lower() == tx_id.lower() if row.tx_id else row.is_open for row in rows)
