"""What a fill, a settlement and a liquidation do to money. Pure; shared by paper and replay.

A perp is a quantity and its cost as signed open notional, never an average price, so that netting is exact. Cash is
cut to ``COST_GRAIN`` where a product has more digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.instrument import Instrument, Kind, MarginTier, PositionKey, unit_worth
from basis_daemon.domain.ledger import COST_GRAIN, perp_cost_change
from basis_daemon.domain.order import Side
from basis_daemon.domain.position import MarginReport
from basis_daemon.domain.trade import Fee
from basis_daemon.venues.paper.matching import Fill

ZERO = Decimal(0)
_GRAIN_EXPONENT = -18


def cut(amount: Decimal) -> Decimal:
    """``amount`` with at most the digits of COST_GRAIN: every later sum of such amounts is exact."""
    exponent = amount.as_tuple().exponent
    return amount if isinstance(exponent, int) and exponent >= _GRAIN_EXPONENT else amount.quantize(COST_GRAIN)


@dataclass(frozen=True, slots=True)
class Booking:
    """What one fill moves: deltas by key, fee inside; for a perp also the change of open notional and realised P&L."""

    deltas: Mapping[PositionKey, Decimal]
    fees: tuple[Fee, ...]
    cost_change: Decimal = ZERO
    realised: Decimal | None = None


def fee_rate(fill: Fill, instrument: Instrument) -> Decimal:
    """Fraction of the notional."""
    return instrument.maker_fee if fill.is_maker else instrument.taker_fee


def spot_booking(fill: Fill, side: Side, instrument: Instrument) -> Booking:
    """A buyer pays the fee in base out of what was bought, a seller in quote out of the proceeds."""
    rate, value = fee_rate(fill, instrument), cut(fill.quantity * fill.price)
    if side is Side.BUY:
        fee = Fee(asset=instrument.base, quantity=cut(fill.quantity * rate))
        deltas = {instrument.key: fill.quantity - fee.quantity, instrument.quote_key: -value}
    else:
        fee = Fee(asset=instrument.quote, quantity=cut(value * rate))
        deltas = {instrument.key: -fill.quantity, instrument.quote_key: value - fee.quantity}
    return Booking(deltas, (fee,) if fee.quantity else ())


def perp_booking(fill: Fill, side: Side, instrument: Instrument, held: Decimal, open_notional: Decimal) -> Booking:
    """The fill against the position before it: cash moves by realised P&L and fee, never by notional."""
    quantity, worth = fill.quantity * side.sign, instrument.unit_worth(fill.price)
    cost, realised = perp_cost_change(held, open_notional, quantity, worth)
    fee = Fee(asset=instrument.settle, quantity=cut(fill.quantity * abs(worth) * fee_rate(fill, instrument)))
    deltas = {instrument.key: quantity}
    if cash := realised - fee.quantity:
        deltas[instrument.quote_key] = cash
    return Booking(deltas, (fee,) if fee.quantity else (), cost, realised)


def booking(fill: Fill, side: Side, instrument: Instrument, held: Decimal, open_notional: Decimal) -> Booking:
    """By the kind of the instrument's key; ``held`` and ``open_notional`` matter to a perp only."""
    if instrument.key.kind is Kind.PERP:
        return perp_booking(fill, side, instrument, held, open_notional)
    return spot_booking(fill, side, instrument)


def funding_cash(quantity: Decimal, mark: Decimal, rate: Decimal, contract_value: Decimal | None = None) -> Decimal:
    """Coin received (+) or paid (-) at a settlement: ``-Q x mark x f``, mark at settlement."""
    return cut(-quantity * abs(unit_worth(mark, contract_value)) * rate)


@dataclass(frozen=True, slots=True)
class PerpHolding:
    """One position at one mark; ``quantity`` and ``open_notional`` are signed, short negative.

    ``leverage`` is what the account has set; a tier may allow less.
    """

    instrument: Instrument
    quantity: Decimal
    open_notional: Decimal
    mark: Decimal
    leverage: Decimal

    @property
    def notional(self) -> Decimal:
        """Absolute notional at mark, in the margin coin."""
        return abs(self._worth)

    @property
    def unrealised(self) -> Decimal:
        """What it counts for at the mark, less its cost."""
        return self._worth - self.open_notional

    @property
    def _worth(self) -> Decimal:
        return self.quantity * self.instrument.unit_worth(self.mark)

    @property
    def maintenance(self) -> Decimal:
        """By the tier that holds the notional; above the last cap the last tier goes on."""
        tier = self._tier()
        return max(ZERO, self.notional * tier.maintenance_rate - tier.maintenance_deduction)

    @property
    def initial(self) -> Decimal:
        """What must stay behind the position, at the leverage that is set or the highest its tier allows."""
        return self.notional / min(self._tier().leverage_max, self.leverage)

    def _tier(self) -> MarginTier:
        tiers = self.instrument.tiers
        return self.instrument.tier(self.notional) if self.notional <= tiers[-1].notional_cap else tiers[-1]


def margin_report(wallet: Decimal, holdings: Iterable[PerpHolding]) -> MarginReport:
    """Cross margin of one account in its margin coin, without credit for spot."""
    held = tuple(holdings)
    return MarginReport(
        wallet=wallet,
        unrealised=sum((perp.unrealised for perp in held), ZERO),
        maintenance=sum((perp.maintenance for perp in held), ZERO),
    )


def is_liquidated(report: MarginReport) -> bool:
    """True once maintenance has reached equity, with a position open."""
    return ZERO < report.maintenance >= report.equity


def withdrawable(wallet: Decimal, holdings: Iterable[PerpHolding]) -> Decimal:
    """What may leave the margin wallet: unrealised profit stays, unrealised loss and initial margin stay covered."""
    held = tuple(holdings)
    loss = min(ZERO, sum((perp.unrealised for perp in held), ZERO))
    return wallet + loss - sum((perp.initial for perp in held), ZERO)
