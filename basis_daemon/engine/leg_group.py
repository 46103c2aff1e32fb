"""A parallel group where nothing is atomic: clips, a second leg sized by the first one's actual fill, a leg budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from basis_daemon.domain.instrument import Instrument, round_down
from basis_daemon.domain.market import BookTick
from basis_daemon.domain.order import Order, Side
from basis_daemon.domain.order_ids import order_id
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.codec import GroupRow
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.order_runner import OrderRunner
from basis_daemon.ports import Clock, KillPoint
from basis_daemon.rare_paths import RarePath

_BP = Decimal(10_000)
_NS = Decimal(1_000_000_000)
MISSES_MAX = 3
"""So many clips without any fill end a group: the band is too narrow for the market, the next decision looks again."""


RETRY_FIRST_S = 0.2
"""Process time before the next try of an order that did not leave; doubled by each further one."""

FOLLOW_TRIES_MAX = 10
"""So many short fills of the second leg count as a slow leg, however little time has passed."""


@dataclass(frozen=True, slots=True)
class LegBudget:
    """How a hedged group is cut and what it may risk (strategies.md 1.4). USDT, fractions, bp and process seconds."""

    clip_usdt: Decimal
    depth_share: Decimal
    depth_band_bp: Decimal
    unhedged_max_s: Decimal
    slippage_emergency_bp: Decimal
    quote_max_s: Decimal = Decimal(5)


class GroupEnd(StrEnum):
    """How a group ended."""

    HEDGED = "hedged"
    COMPLETED_MARKETABLE = "completed_marketable"
    REVERSED = "reversed"
    ABORTED = "aborted"
    NAKED = "naked"


@dataclass(frozen=True, slots=True)
class Desk:
    """What a group needs of its surroundings."""

    runner: OrderRunner
    clock: Clock
    quote: Callable[[Order], BookTick | None]
    instrument: Callable[[Order], Instrument]
    is_stopped: Callable[[], bool]
    book: str
    epoch: int


class LegGroup:
    """Two legs in clips. The first order of the group leads, the second follows what the first really got."""

    def __init__(self, lead: Order, follow: Order, budget: LegBudget, desk: Desk) -> None:
        self._lead, self._follow = lead, follow
        self._budget, self._desk = budget, desk
        self._attempt = 0
        self._clip = 0
        self._follow_left = follow.quantity
        self._naked_since_ns: int | None = None
        self._naked_max = Decimal(0)
        self._naked_s_max = Decimal(0)
        self._clip_naked_max = Decimal(0)
        self._legging_usdt_s = Decimal(0)

    async def run(self, timestamp: datetime) -> GroupRow:
        """The leg risk that was run, and how the group ended: less than a tradable step stays unhedged."""
        end, naked, misses = GroupEnd.HEDGED, Decimal(0), 0
        remaining = self._lead.quantity
        while end is GroupEnd.HEDGED and misses < MISSES_MAX:
            if self._desk.is_stopped() or self._is_blind():
                end = GroupEnd.ABORTED
                break
            quantity = self._clip_quantity(remaining)
            if quantity is None:
                end = GroupEnd.HEDGED if self._desk.quote(self._lead) else GroupEnd.ABORTED
                break
            if self._clip:
                self._desk.runner.probe(KillPoint.BETWEEN_CLIPS)
            self._clip += 1
            life = await self._send(self._lead, self._lead.side, quantity, self._lead.max_slippage_bp, timestamp)
            remaining -= life.cum_filled
            misses = 0 if life.cum_filled else misses + 1
            if life.cum_filled:
                naked += abs(life.deltas.get(self._lead.instrument, Decimal(0)))
                self._start_naked(naked)
                end, naked = await self._hedge(naked, timestamp)
        if misses >= MISSES_MAX:
            end = GroupEnd.ABORTED
        group = self._lead.group_id or self._lead.order_id
        return GroupRow(group, self._lead.strategy, self._naked_max, self._naked_s_max, end, self._legging_usdt_s)

    async def _hedge(self, naked: Decimal, timestamp: datetime) -> tuple[GroupEnd, Decimal]:
        """Follow until less than a tradable quantity is unhedged; past the time budget reverse the first leg."""
        band, tries = self._follow.max_slippage_bp, 0
        while (quantity := self._to_follow(naked)) is not None:
            self._desk.runner.probe(KillPoint.BETWEEN_LEGS)
            life = await self._send(self._follow, self._follow.side, quantity, band, timestamp)
            naked -= self._followed(life)
            if life.cum_filled < quantity:
                band, tries = self._budget.slippage_emergency_bp, tries + 1
                if self._is_late(tries) or life.state is OrderState.REJECTED:
                    return await self._give_up(naked, timestamp)
                await self._pause_if_unsent(life, tries)
        self._end_naked()
        return GroupEnd.HEDGED, naked

    def _is_late(self, tries: int) -> bool:
        """True once the fast leg has stood alone for as long, or the slow one was filled short as often, as it may."""
        is_spent = self._naked_s() > self._budget.unhedged_max_s or tries > FOLLOW_TRIES_MAX
        return is_spent or self._desk.runner.rarely(RarePath.LEG_TIME_SPENT)

    async def _give_up(self, naked: Decimal, timestamp: datetime) -> tuple[GroupEnd, Decimal]:
        """One last marketable attempt on the slow leg, then the fast leg is undone; says which of the two it was."""
        side, band = self._follow.side, self._budget.slippage_emergency_bp
        if (quantity := self._to_follow(naked)) is not None:
            life = await self._send(self._follow, side, quantity, band, timestamp)
            naked -= self._followed(life)
        if self._to_follow(naked) is None:
            self._end_naked()
            return GroupEnd.COMPLETED_MARKETABLE, naked
        undo = self._lead.side.opposite if self._lead.side else None
        for tries in range(MISSES_MAX):
            quantity = self._tradable(self._lead, naked)
            if quantity is None:
                break
            life = await self._send(self._lead, undo, quantity, band, timestamp, is_undo=True)
            naked -= abs(life.deltas.get(self._lead.instrument, Decimal(0)))
            await self._pause_if_unsent(life, tries + 1)
        is_flat = self._tradable(self._lead, naked) is None
        self._end_naked()
        return GroupEnd.REVERSED if is_flat else GroupEnd.NAKED, naked

    async def _pause_if_unsent(self, life: OrderLife, tries: int) -> None:
        """A venue that cannot be reached now may be in a moment; the budget of seconds goes on counting."""
        if life.state is OrderState.NEVER_ACCEPTED:
            left_s = max(self._budget.unhedged_max_s - self._naked_s(), Decimal(0))
            await self._desk.clock.sleep(min(RETRY_FIRST_S * 2 ** (tries - 1), float(left_s) + RETRY_FIRST_S))

    def _is_blind(self) -> bool:
        """True when a leg's quote is too old to begin another clip on."""
        now_ns, limit_ns = self._desk.clock.monotonic_ns(), self._budget.quote_max_s * _NS
        quotes = [quote for leg in (self._lead, self._follow) if (quote := self._desk.quote(leg)) is not None]
        return any(now_ns - quote.received_ns > limit_ns for quote in quotes)

    async def _send(
        self,
        leg: Order,
        side: Side | None,
        quantity: Decimal,
        band_bp: Decimal | None,
        timestamp: datetime,
        *,
        is_undo: bool = False,
    ) -> OrderLife:
        quote = self._desk.quote(leg)
        self._attempt += 1
        desk = self._desk
        child = order_id(desk.book, desk.epoch, leg.strategy, leg.decision, leg.leg, self._clip, self._attempt)
        done = -quantity if is_undo else quantity
        fields = leg.model_dump() | {
            "order_id": child,
            "parent_id": leg.order_id,
            "clip": self._clip,
            "attempt": self._attempt,
            "side": side,
            "sequence_in_group": leg.sequence_in_group + is_undo,  # what takes the first leg back closes the gap too
            "amount": quantity,
            "max_slippage_bp": band_bp,
            "reduce_only": leg.reduce_only != (is_undo and leg.instrument.kind == "perp"),  # a closed short comes back
            "ref_price": quote.mid if quote else leg.ref_price,
            "ref_time": quote.venue_time if quote else leg.ref_time,
            "expected_deltas": {key: amount * done / leg.quantity for key, amount in leg.expected_deltas.items()},
        }
        return await desk.runner.run(Order(**fields), timestamp)

    def _clip_quantity(self, remaining: Decimal) -> Decimal | None:
        """The next clip of the first leg: within the clip size and a share of what rests near the mid on both legs."""
        quote = self._desk.quote(self._lead)
        if quote is None:
            return None
        bound = self._budget.clip_usdt / quote.mid
        for leg in (self._lead, self._follow):
            if (book := self._desk.quote(leg)) is not None:
                bound = min(bound, self._resting(leg, book) * self._budget.depth_share)
        step = self._desk.instrument(self._lead)
        floor = max(step.quantity_min, step.notional_min / quote.mid)
        least = floor + step.quantity_step
        bound = least if self._desk.runner.rarely(RarePath.CLIP_IS_LEAST) else max(bound, least)
        left_over = remaining - bound
        return self._tradable(self._lead, remaining if left_over < floor else bound)

    def _resting(self, leg: Order, book: BookTick) -> Decimal:
        """Base quantity on the side this leg takes, within the band around the mid."""
        levels, width = (book.asks if leg.side is Side.BUY else book.bids), self._budget.depth_band_bp / _BP
        return sum((size for price, size in levels if abs(price / book.mid - 1) <= width), Decimal(0))

    def _tradable(self, leg: Order, quantity: Decimal) -> Decimal | None:
        """``quantity`` floored to what the venue takes, or None when that is too little to trade."""
        instrument = self._desk.instrument(leg)
        floored = round_down(quantity, instrument.quantity_step)
        price = quote.mid if (quote := self._desk.quote(leg)) else leg.ref_price
        if floored < instrument.quantity_min or price is None:
            return None
        return None if floored * price < instrument.notional_min and not leg.reduce_only else floored

    def _to_follow(self, naked: Decimal) -> Decimal | None:
        """What the second leg owes the first, never more than was asked of it: of a sale no more may be there."""
        return self._tradable(self._follow, min(naked, self._follow_left))

    def _followed(self, life: OrderLife) -> Decimal:
        self._follow_left -= life.cum_filled
        return abs(life.deltas.get(self._follow.instrument, Decimal(0)))

    def _start_naked(self, quantity: Decimal) -> None:
        if self._naked_since_ns is None:
            self._naked_since_ns = self._desk.clock.monotonic_ns()
        quote = self._desk.quote(self._lead)
        price = quote.mid if quote else (self._lead.ref_price or Decimal(0))
        self._clip_naked_max = max(self._clip_naked_max, quantity * price)
        self._naked_max = max(self._naked_max, self._clip_naked_max)

    def _naked_s(self) -> Decimal:
        """Process time since the first leg stood alone; zero while none does."""
        since_ns = self._naked_since_ns
        return Decimal(0) if since_ns is None else (self._desk.clock.monotonic_ns() - since_ns) / _NS

    def _end_naked(self) -> None:
        self._naked_s_max = max(self._naked_s_max, self._naked_s())
        self._legging_usdt_s += self._clip_naked_max * self._naked_s()
        self._naked_since_ns, self._clip_naked_max = None, Decimal(0)
