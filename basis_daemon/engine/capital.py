"""Investor capital on its way out: asked for once, freed by its strategy, and gone when the venue's record says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.errors import BasisError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.engine.codec import WithdrawalRow
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.valuation import Valuer


class WithdrawalRefusedError(BasisError):
    """The book cannot pay this; nothing was reserved."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What an operator asks for. Repeated under one id it is the same wish."""

    wish_id: str
    amount_usdt: Decimal
    strategy: str | None = None


class Cashier:
    """Reserves capital. ``wallets`` are the spot wallets of each strategy from which an operator takes it.

    ``valuers`` know what each strategy is worth: none pays for another.
    """

    def __init__(
        self, recorder: Recorder, valuers: Mapping[str, Valuer], wallets: Mapping[str, tuple[PositionKey, ...]]
    ) -> None:
        self._recorder = recorder
        self._valuers = valuers
        self._wallets = wallets

    def withdraw(self, wish: Withdrawal) -> WithdrawalRow:
        """Reserve the amount: its strategy frees it and never deploys it again. Raises WithdrawalRefusedError."""
        name, known = self._strategy_of(wish), self._recorder.state.withdrawals.get(wish.wish_id)
        if known is not None:
            if (known.amount_usdt, known.strategy) != (wish.amount_usdt, name):
                raise WithdrawalRefusedError(
                    f"withdrawal {wish.wish_id}: {known.amount_usdt} USDT of {known.strategy} were asked for under "
                    f"this id, now {wish.amount_usdt} of {name}; name another id for another wish"
                )
            return known
        last = self._valuers[name].last
        if last is None:
            raise WithdrawalRefusedError(f"withdrawal {wish.wish_id}: the book was never valued; ask again when it was")
        asked = (row for row in self._recorder.state.withdrawals.values() if row.strategy == name)
        free = last.equity_usdt - sum((row.pending_usdt for row in asked), Decimal(0))
        if not 0 < wish.amount_usdt <= free:
            raise WithdrawalRefusedError(
                f"withdrawal {wish.wish_id}: {wish.amount_usdt} USDT, expected more than 0 and at most {free:.2f}, the "
                "equity that is not reserved yet"
            )
        row = WithdrawalRow(wish.wish_id, name, wish.amount_usdt, wish.amount_usdt, self._wallets[name])
        self._recorder.record(row, f"withdrawal:{wish.wish_id}", "operator")
        return row

    def _strategy_of(self, wish: Withdrawal) -> str:
        names = ", ".join(sorted(self._wallets))
        if wish.strategy is None and len(self._wallets) == 1:
            return next(iter(self._wallets))
        if wish.strategy not in self._wallets or wish.strategy is None:
            raise WithdrawalRefusedError(
                f"withdrawal {wish.wish_id}: strategy {wish.strategy}, expected one of {names}"
            )
        return wish.strategy
