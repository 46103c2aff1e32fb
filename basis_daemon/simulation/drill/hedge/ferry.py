"""Both sides of one seed's transfers: the cashiers of its exchanges, what people do there, and who watches."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING

from basis_daemon.domain.errors import BasisError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.transfer import TransferStep
from basis_daemon.engine.capital import Withdrawal
from basis_daemon.settings import Settings
from basis_daemon.simulation.drill.chain.node import ChainNode
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.drill.checks import Checks
from basis_daemon.simulation.drill.disk import KilledError
from basis_daemon.simulation.drill.exchange import Exchange
from basis_daemon.simulation.drill.hedge.checks import TransferChecks
from basis_daemon.simulation.drill.hedge.custody import Custody

if TYPE_CHECKING:
    from basis_daemon.wiring_book import Daemon

PAID_IN, CALLED = (50, 800), (2_000, 20_000)
"""USDT that somebody brings, and that an investor wants back."""


class Ferry:
    """Of one seed; without ``transfers`` in its settings nothing crosses, and nobody does anything."""

    def __init__(
        self, settings: Settings, exchanges: Iterable[Exchange], node: ChainNode, checks: Checks, chance: Chance
    ) -> None:
        self._chance = chance
        clips = [strategy.charter.clip_usdt for strategy in checks.stage.strategies]
        self.checks = TransferChecks(checks, node, max(clips))
        routes = settings.enabled_transfers
        found = {} if routes is None else {settings.venues[n].accounts.spot: one for n, one in routes.venues.items()}
        self.cashiers = {
            account: Custody(account, venue.deposit_address, exchange, node, self.checks)
            for exchange in exchanges
            for account, venue in found.items()
            if account in exchange.accounts
        }
        self.checks.begin(list(self.cashiers.values()))
        self._owed: list[Decimal] = []
        self._wishes = 0

    def tick(self) -> None:
        """A block later."""
        for custody in self.cashiers.values():
            custody.tick()
        if self.cashiers:
            self.checks.tick()

    @property
    def made(self) -> int:
        """Transfers that somebody has sent, either way."""
        return sum(len(custody.payouts) + len(custody.credits) for custody in self.cashiers.values())

    def at_rest(self, daemon: Daemon) -> None:
        """Where anything crosses."""
        if self.cashiers:
            self.checks.at_rest(daemon)

    def disturb(self, daemon: Daemon | None) -> None:
        """People bring money to an exchange, and want some back."""
        for custody in self.cashiers.values():
            paper, cash = custody.exchange.paper, PositionKey.of(custody.account, Kind.SPOT, "USDT")
            if self._chance.strikes(Fault.PAID_IN):
                custody.exchange.tell(
                    paper.move_money(cash, Decimal(self._chance.between(*PAID_IN)).quantize(Decimal(1)))
                )
            if self._owed and paper.wallets.free(cash) >= self._owed[0]:
                custody.exchange.tell(paper.move_money(cash, -self._owed.pop(0)))
            if self._chance.strikes(Fault.CAPITAL_CALLED) and daemon is not None:
                self._call(daemon)
        if daemon is not None:
            self._close(daemon)
            self.look(daemon)

    def look(self, daemon: Daemon) -> None:
        """Once a second, where anything crosses."""
        if self.cashiers:
            self.checks.look(daemon)

    def _close(self, daemon: Daemon) -> None:
        """A person looks what became of a transfer that takes too long, and says so."""
        for row in [row for row in daemon.recorder.state.transfers.values() if row.step is TransferStep.MANUAL]:
            ending = next((one for custody in self.cashiers.values() if (one := custody.ending(row))), None)
            if ending is None or not self._chance.strikes(Fault.CLOSED_BY_HAND):
                continue
            with suppress(BasisError, KilledError):
                daemon.transfers.close(row.order_id, ending, "drill")

    def _call(self, daemon: Daemon) -> None:
        self._wishes += 1
        amount = Decimal(self._chance.between(*CALLED)).quantize(Decimal(1))
        with suppress(BasisError, KilledError):
            daemon.cashier.withdraw(Withdrawal(f"wish-{self._wishes}", amount))
            self._owed.append(amount)
