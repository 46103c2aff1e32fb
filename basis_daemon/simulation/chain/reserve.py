"""One reserve between its recorded midnights: indices accrue at the day's rates, and our own size moves the rates.

At each midnight the recorded index stands again, times what our own size has made of it meanwhile. What we held when
the replay began is part of the recorded totals: only what is added or taken since then moves anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.chain import BlockRef, EModeTick, RateCurve, ReserveTick
from basis_daemon.domain.lending import ONE, ZERO, compounded_index, linear_index, rates_after, utilisation_of
from basis_daemon.simulation.chain.record import ReserveRow
from basis_daemon.venues.chain.tokens import atoken

RAY_DIGITS = 27
RAY = 10**RAY_DIGITS
KINK, STEEP = Decimal("0.95"), Decimal("0.8")
"""No file holds a curve: a line through the recorded point up to here, and steep beyond."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What may be borrowed against collateral, when it is liquidated, and at what bonus; fractions."""

    ltv: Decimal
    threshold: Decimal
    bonus: Decimal


EMODE, EMODE_CATEGORY = Terms(Decimal("0.93"), Decimal("0.95"), Decimal("0.01")), 1
"""Of a staking token against WETH."""
_TERMS = {
    "WETH": Terms(Decimal("0.805"), Decimal("0.83"), Decimal("0.05")),
    "USDT": Terms(Decimal("0.75"), Decimal("0.78"), Decimal("0.045")),
}
_OTHER = Terms(Decimal("0.725"), Decimal("0.75"), Decimal("0.075"))


def terms_of(symbol: str) -> Terms:
    """Outside every e-mode, as the core market had them in the recorded weeks: no file holds them either."""
    return _TERMS.get(symbol, _OTHER)


@dataclass(slots=True)
class Reserve:
    """``supplied`` and ``borrowed`` are ours in tokens, beyond what we had when the replay began."""

    symbol: str
    row: ReserveRow
    at: datetime
    supplied: Decimal = ZERO
    borrowed: Decimal = ZERO
    _moved_income: Decimal = ONE
    _moved_debt: Decimal = ONE

    def reach(self, at: datetime, row: ReserveRow) -> None:
        """Go on to an instant and to the row that was known then."""
        if self.supplied or self.borrowed:
            seconds = Decimal(int((at - self.at).total_seconds()))
            borrow, supply = self.rates
            self._moved_income *= linear_index(ONE, supply, seconds) / linear_index(ONE, self.row.supply_rate, seconds)
            self._moved_debt *= compounded_index(ONE, borrow, seconds) / compounded_index(
                ONE, self.row.borrow_rate, seconds
            )
        self.at, self.row = at, row

    @property
    def income_index(self) -> int:
        """What a supplied unit is worth, in rays."""
        found = linear_index(self.row.liquidity_index, self.row.supply_rate, self._since_row) * self._moved_income
        return int(found.scaleb(RAY_DIGITS))

    @property
    def debt_index(self) -> int:
        """What an owed unit has become, in rays."""
        found = compounded_index(self.row.debt_index, self.row.borrow_rate, self._since_row) * self._moved_debt
        return int(found.scaleb(RAY_DIGITS))

    @property
    def idle(self) -> Decimal:
        """What can be withdrawn or borrowed."""
        return max(self.row.supplied - self.row.debt, ZERO) + self.supplied - self.borrowed

    @property
    def rates(self) -> tuple[Decimal, Decimal]:
        """Of borrowers and of lenders, a year: as recorded, unless our own size has moved them."""
        if not self.supplied and not self.borrowed:
            return self.row.borrow_rate, self.row.supply_rate
        as_recorded = self._tick(BlockRef(0, "", self.at), 0, self.row.price)
        found = rates_after(as_recorded, deposit=self.supplied, borrow=self.borrowed)
        return found.borrow, found.supply

    def tick(self, block: BlockRef, received_ns: int, price: Decimal, flash_fee: Decimal) -> ReserveTick:
        """As it is read at a block."""
        return self._tick(block, received_ns, price, flash_fee, is_ours=True)

    @property
    def _since_row(self) -> Decimal:
        return Decimal(int((self.at - self.row.at).total_seconds()))

    def _tick(
        self, block: BlockRef, received_ns: int, price: Decimal, flash_fee: Decimal = ZERO, *, is_ours: bool = False
    ) -> ReserveTick:
        row, terms = self.row, terms_of(self.symbol)
        borrow, supply = self.rates if is_ours else (row.borrow_rate, row.supply_rate)
        idle = self.idle if is_ours else max(row.supplied - row.debt, ZERO)
        own = (self.supplied, self.borrowed) if is_ours else (ZERO, ZERO)
        return ReserveTick(
            instrument=atoken(self.symbol),
            block=block,
            received_ns=received_ns,
            supply_rate=supply,
            borrow_rate=borrow,
            liquidity_index=Decimal(self.income_index).scaleb(-RAY_DIGITS),
            debt_index=Decimal(self.debt_index).scaleb(-RAY_DIGITS),
            idle=idle,
            debt=row.debt + own[1],
            supplied=row.supplied + own[0],
            reserve_factor=_factor(row),
            curve=_curve(row),
            supply_cap=ZERO,
            borrow_cap=ZERO,
            price=price,
            ltv=terms.ltv,
            liquidation_threshold=terms.threshold,
            liquidation_bonus=terms.bonus,
            flash_fee=flash_fee,
            is_active=True,
            is_frozen=False,
            is_paused=False,
            is_borrowable=True,
            is_flashable=True,
        )


def emode_tick(symbol: str, block: BlockRef, received_ns: int) -> EModeTick:
    """The category of a staking token."""
    return EModeTick(
        atoken(symbol), block, received_ns, EMODE_CATEGORY, EMODE.ltv, EMODE.threshold, EMODE.bonus,
        frozenset({symbol}), frozenset({"WETH"}),
    )  # fmt: skip


def _utilisation(row: ReserveRow) -> Decimal:
    return utilisation_of(row.debt, max(row.supplied - row.debt, ZERO))


def _factor(row: ReserveRow) -> Decimal:
    """What the protocol keeps of what borrowers pay, as the row itself has it."""
    paid = row.borrow_rate * _utilisation(row)
    return min(max(ONE - row.supply_rate / paid, ZERO), ONE) if paid else ZERO


def _curve(row: ReserveRow) -> RateCurve:
    used = _utilisation(row)
    kink = max(KINK, used)
    return RateCurve(ZERO, kink, row.borrow_rate * kink / used if used else row.borrow_rate, STEEP)
