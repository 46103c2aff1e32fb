"""What a book on the chain remembers: smoothed rates, the token's rate of a week, confirmations, claims under way.

Market time alone: block stamps drive every average, confirmation and timer. What was not seen confirms nothing: a gap
starts a confirmation anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.chain import EModeTick, LstTick, ReserveTick, RewardTick
from basis_daemon.domain.decision import PlanEnded, ReasonCode, Target
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.levered import spread_that_pays
from basis_daemon.domain.margin import ewma, ewma_weight
from basis_daemon.domain.peg import is_pegged
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.staking import discount, effective_yield, growth_apr, reward_apr
from basis_daemon.domain.trade import Trade, TradeStatus
from basis_daemon.strategies.legs import HOUR, Legs, after_plan

SECONDS_PER_DAY = 86_400
GAP_MAX = 3 * HOUR
"""Market time without a reading after which an hourly confirmation begins anew."""
WAIT_PLANNED = timedelta(days=7)
"""A queue whose issuer gives no estimate."""
FALL_MIN = Decimal("1e-6")
"""Less is the rounding of a contract."""
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Smoothed:
    """An hourly average and the hour that it includes last."""

    average: Decimal
    at: datetime


def smoothed(known: Smoothed | None, value: Decimal, at: datetime, halflife_h: Decimal) -> Smoothed:
    """The average once an hour or more has passed; the first value seeds it."""
    if known is None:
        return Smoothed(value, at)
    hours = (at - known.at) // HOUR
    if hours < 1:
        return known
    weight = ewma_weight(Decimal(hours), halflife_h)
    return Smoothed(ewma(known.average, value, weight), known.at + hours * HOUR)


@dataclass(frozen=True, slots=True)
class LendMemory:
    """The supply rate of a lender's reserve, and since when its average lies below the hurdle."""

    rate: Smoothed | None = None
    below_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """The token's rate at an instant."""

    at: datetime
    rate: Decimal


@dataclass(frozen=True, slots=True)
class LstMemory:
    """The token: ``samples`` of its rate every hour, oldest first, ``now`` the newest reading.

    ``peak`` and ``oracle_peak`` are the highest rate and oracle price of the window that ends now. ``disturbed_at`` is
    the last reading at which rate, oracle or peg was not as it should be; ``sale_cost`` what a sale cost at the last
    quote, ``wait`` the issuer's last estimate, ``rewards`` APR by token.
    """

    samples: tuple[Sample, ...] = ()
    now: Sample | None = None
    peak: Sample | None = None
    oracle_peak: Sample | None = None
    disturbed_at: datetime | None = None
    sale_cost: Decimal | None = None
    wait: timedelta = WAIT_PLANNED
    rewards: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def fall(self) -> Decimal:
        """Fraction that the rate lies below its peak; 0 where that is rounding."""
        return ZERO if self.now is None or self.peak is None else _fall(self.now.rate, self.peak)

    def y_base(self, window: timedelta) -> Decimal | None:
        """Growth of the rate per year over the window; None before it was seen whole."""
        if self.now is None:
            return None
        known = _at_least(self.samples, self.now.at - window)
        if not known:
            return None
        before = self.samples[known - 1]
        days = Decimal(int((self.now.at - before.at).total_seconds())) / SECONDS_PER_DAY
        return growth_apr(self.now.rate, before.rate, days)

    def y_eff(self, window: timedelta, haircut: Decimal) -> Decimal | None:
        """Base yield and what is counted of the rewards; None while the base is unknown."""
        base = self.y_base(window)
        return None if base is None else effective_yield(base, sum(self.rewards.values(), ZERO), haircut)


@dataclass(frozen=True, slots=True)
class BorrowMemory:
    """The debt: its smoothed rate, the last hours' ``spreads`` y_eff - b, and since when a spike would pay to leave.

    ``ltv`` and ``threshold`` are the e-mode's as last seen; ``is_tightened``: they fell, or the collateral was frozen,
    and no repair has answered it yet.
    """

    rate: Smoothed | None = None
    spreads: tuple[Decimal, ...] = ()
    seen_at: datetime | None = None
    spike_since: datetime | None = None
    ltv: Decimal | None = None
    threshold: Decimal | None = None
    is_tightened: bool = False
    is_frozen: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A request at an issuer: what was asked for, when, and when it should be payable."""

    amount: Decimal
    requested_at: datetime
    eta: datetime

    def is_overdue(self, now: datetime) -> bool:
        """True once twice the estimated time has passed."""
        return now - self.requested_at > 2 * (self.eta - self.requested_at)


@dataclass(frozen=True, slots=True)
class OnchainMemory:
    """Everything together.

    ``reduced_at``: when the health ladder acted, until leverage was taken again; ``left_at``: when cost made it leave.
    """

    lend: LendMemory = field(default_factory=LendMemory)
    lst: LstMemory = field(default_factory=LstMemory)
    borrow: BorrowMemory = field(default_factory=BorrowMemory)
    claims: Mapping[PositionKey, Claim] = field(default_factory=dict)
    legs: Legs = field(default_factory=dict)
    reduced_at: datetime | None = None
    left_at: datetime | None = None
    is_delegated: bool = False


@dataclass(frozen=True, slots=True)
class Teaching:
    """What folding needs beside the event; a key that is None is nobody's business here."""

    lend: PositionKey | None = None
    borrow: PositionKey | None = None
    lst: PositionKey | None = None
    collateral: PositionKey | None = None
    halflife_h: Decimal = Decimal(72)
    hurdle: Decimal = ZERO
    confirm_h: int = 48
    y_window: timedelta = timedelta(days=7)
    reward_haircut: Decimal = Decimal("0.5")
    c_exit_plan: Decimal = Decimal("0.0012")
    spike_horizon_days: Decimal = Decimal(3)
    share: PositionKey | None = None
    debt: PositionKey | None = None


def fold(memory: OnchainMemory, event: object, teaching: Teaching) -> OnchainMemory:
    """Memory after an event; the same object when the event teaches nothing."""
    if isinstance(event, ReserveTick):
        return _after_reserve(memory, event, teaching)
    if isinstance(event, LstTick):
        known = memory.lst if event.instrument != teaching.lst else _after_token(memory.lst, event, teaching)
        return memory if known is memory.lst else replace(memory, lst=known)
    if isinstance(event, RewardTick):
        return _after_reward(memory, event)
    if isinstance(event, EModeTick):
        return _after_emode(memory, event, teaching)
    if isinstance(event, Trade):
        return _after_trade(memory, event, teaching)
    return _after_plan(memory, event, teaching) if isinstance(event, PlanEnded) else memory


# --------------------------------------------------------------------------------------------------------- reserves
def _after_reserve(memory: OnchainMemory, tick: ReserveTick, teaching: Teaching) -> OnchainMemory:
    if tick.instrument == teaching.lend:
        known = _after_supply_rate(memory.lend, tick, teaching)
        memory = memory if known is memory.lend else replace(memory, lend=known)
    if tick.instrument == teaching.collateral:
        memory = _after_freeze(memory, tick)
    seen_at = memory.borrow.seen_at
    if tick.instrument == teaching.borrow and (seen_at is None or tick.venue_time > seen_at):
        memory = replace(memory, borrow=_after_borrow_rate(memory, tick, teaching))
    return memory


def _after_supply_rate(known: LendMemory, tick: ReserveTick, teaching: Teaching) -> LendMemory:
    rate = smoothed(known.rate, tick.supply_rate, tick.venue_time, teaching.halflife_h)
    if rate is known.rate:
        return known
    is_below = rate.average < teaching.hurdle
    return LendMemory(rate, (known.below_since or tick.venue_time) if is_below else None)


def _after_freeze(memory: OnchainMemory, tick: ReserveTick) -> OnchainMemory:
    borrow = memory.borrow
    if tick.is_frozen == borrow.is_frozen:
        return memory
    is_tightened = tick.is_frozen or borrow.is_tightened
    return replace(memory, borrow=replace(borrow, is_frozen=tick.is_frozen, is_tightened=is_tightened))


def _after_borrow_rate(memory: OnchainMemory, tick: ReserveTick, teaching: Teaching) -> BorrowMemory:
    known, at = memory.borrow, tick.venue_time
    rate = smoothed(known.rate, tick.borrow_rate, at, teaching.halflife_h)
    spreads = known.spreads
    if rate is not known.rate:
        is_gap = known.rate is not None and at - known.rate.at >= GAP_MAX
        y_eff = memory.lst.y_eff(teaching.y_window, teaching.reward_haircut)
        kept = () if is_gap or y_eff is None else spreads[-teaching.confirm_h :]
        spreads = kept if y_eff is None else (*kept, y_eff - rate.average)
    return replace(known, rate=rate, spreads=spreads, seen_at=at, spike_since=_spike(memory, tick, teaching))


def _spike(memory: OnchainMemory, tick: ReserveTick, teaching: Teaching) -> datetime | None:
    """Since when the rate of the moment is worth leaving for; None while it is not, or the token's yield is unknown."""
    known, at, y_base = memory.borrow, tick.venue_time, memory.lst.y_base(teaching.y_window)
    cost = max(teaching.c_exit_plan, memory.lst.sale_cost or ZERO)
    if y_base is None or tick.borrow_rate - y_base <= spread_that_pays(cost, teaching.spike_horizon_days):
        return None
    is_unbroken = known.seen_at is not None and at - known.seen_at <= HOUR
    return known.spike_since if is_unbroken and known.spike_since is not None else at


# ----------------------------------------------------------------------------------------------------------- token
def _after_token(known: LstMemory, tick: LstTick, teaching: Teaching) -> LstMemory:
    at = tick.venue_time
    if known.now is not None and at <= known.now.at:
        return known  # a block that was read already, or an older one
    now, seen = Sample(at, tick.rate), Sample(at, tick.oracle_price_eth or ZERO)
    peak, oracle_peak = (_peak(*pair, teaching.y_window) for pair in ((known.peak, now), (known.oracle_peak, seen)))
    is_low = _fall(now.rate, peak) > 0 or (tick.oracle_price_eth is not None and _fall(seen.rate, oracle_peak) > 0)
    return LstMemory(
        samples=_sampled(known.samples, now, teaching.y_window),
        now=now,
        peak=peak,
        oracle_peak=oracle_peak,
        disturbed_at=at if is_low or tick.is_paused or not is_pegged(tick) else known.disturbed_at,
        sale_cost=None if tick.pool_price is None else discount(tick.pool_price, tick.rate),
        wait=WAIT_PLANNED if tick.queue_wait_s is None else timedelta(seconds=tick.queue_wait_s),
        rewards=known.rewards,
    )


def _peak(known: Sample | None, found: Sample, window: timedelta) -> Sample:
    """The higher one, as long as it is not older than the window: what a human let stand so long is the new normal."""
    return found if known is None or found.rate >= known.rate or found.at - known.at > window else known


def _fall(rate: Decimal, peak: Sample) -> Decimal:
    fall = discount(rate, peak.rate) if peak.rate else ZERO
    return fall if fall > FALL_MIN else ZERO


def _sampled(samples: tuple[Sample, ...], found: Sample, window: timedelta) -> tuple[Sample, ...]:
    """With one more after an hour, and the oldest ones that the window no longer needs gone.

    The oracle moves in daily steps: a window that is hours longer than it says would count a step too many.
    """
    if samples and found.at - samples[-1].at < HOUR:
        return samples
    return (*samples[max(_at_least(samples, found.at - window) - 1, 0) :], found)


def _at_least(samples: tuple[Sample, ...], before: datetime) -> int:
    """How many samples, oldest first, were taken at ``before`` or earlier."""
    return next((place for place, sample in enumerate(samples) if sample.at > before), len(samples))


def _after_reward(memory: OnchainMemory, tick: RewardTick) -> OnchainMemory:
    apr = reward_apr(tick.per_week, tick.price_eth) if tick.per_week is not None else ZERO
    symbol = tick.instrument.symbol
    if memory.lst.rewards.get(symbol, ZERO) == apr:
        return memory
    return replace(memory, lst=replace(memory.lst, rewards={**memory.lst.rewards, symbol: apr}))


def _after_emode(memory: OnchainMemory, tick: EModeTick, teaching: Teaching) -> OnchainMemory:
    known = memory.borrow
    if tick.instrument != teaching.collateral or (tick.ltv, tick.liquidation_threshold) == (known.ltv, known.threshold):
        return memory
    is_lower = (
        known.ltv is not None
        and known.threshold is not None
        and (tick.ltv < known.ltv or tick.liquidation_threshold < known.threshold)
    )
    told = replace(
        known,
        ltv=tick.ltv,
        threshold=tick.liquidation_threshold,
        is_tightened=is_lower or known.is_tightened,
    )
    return replace(memory, borrow=told)


# ------------------------------------------------------------------------------------------------ trades and plans
def _after_trade(memory: OnchainMemory, trade: Trade, teaching: Teaching) -> OnchainMemory:
    """Requests that were made begin to wait, what was paid out is over; a delegation moves no share."""
    claims = dict(memory.claims)
    for key, change in trade.deltas.items():
        if key.kind is Kind.CLAIM:
            _count_claim(claims, key, change, trade.venue_time, memory.lst.wait)
    is_done = trade.status is TradeStatus.FILLED and trade.instrument == teaching.share
    is_delegated = memory.is_delegated or (is_done and teaching.share not in trade.deltas)
    if claims == memory.claims and is_delegated == memory.is_delegated:
        return memory
    return replace(memory, claims=claims, is_delegated=is_delegated)


def _count_claim(
    claims: dict[PositionKey, Claim], key: PositionKey, change: Decimal, at: datetime, wait: timedelta
) -> None:
    known = claims.pop(key, None) or Claim(ZERO, at, at + wait)
    if known.amount + change > 0:
        claims[key] = replace(known, amount=known.amount + change)


_LEGS = frozenset({Kind.ATOKEN, Kind.VDEBT, Kind.LST, Kind.SHARE})
_BY_HEALTH = frozenset({ReasonCode.LIQ_REDUCE, ReasonCode.LIQ_EMERGENCY})
_BY_COST = frozenset({ReasonCode.CARRY_EXIT, ReasonCode.SPIKE_EXIT})


def _is_leg(target: Target) -> bool:
    return target.key.kind in _LEGS


def _legs_of(event: PlanEnded, teaching: Teaching) -> tuple[Target, ...]:
    """The token is one leg, in the wallet or as collateral: supplying it is no sale."""
    token = {teaching.lst, teaching.collateral}
    rest = tuple(target for target in event.targets if target.key not in token)
    change = sum((target.difference for target in event.targets if target.key in token), ZERO)
    return rest if teaching.lst is None else (*rest, Target(teaching.lst, change, ZERO))


def _after_plan(memory: OnchainMemory, event: PlanEnded, teaching: Teaching) -> OnchainMemory:
    is_done = event.state is PlanState.DONE
    is_levered_again = is_done and any(t.key == teaching.debt and t.difference > 0 for t in event.targets)
    is_answered = is_done and event.reason in {ReasonCode.LTV_BAND, *_BY_HEALTH, *_BY_COST}
    return replace(
        memory,
        legs=after_plan(memory.legs, replace(event, targets=_legs_of(event, teaching)), _is_leg),
        borrow=replace(memory.borrow, is_tightened=False) if is_answered else memory.borrow,
        reduced_at=event.time if event.reason in _BY_HEALTH else None if is_levered_again else memory.reduced_at,
        left_at=event.time if event.reason in _BY_COST else memory.left_at,
    )
