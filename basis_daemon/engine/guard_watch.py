"""The guard's eyes: once a second of process time, over all strategies at once, whatever any of them is doing.

It reads the book and the market as they are and moves the latch; it decides nothing and sends nothing. Its limits lie
behind those of the strategies: where a strategy defends itself in time, the guard has nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.decision import Exposure, MarginState
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.margin import distance_of
from basis_daemon.domain.threats import Threat
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.freshness import Freshness
from basis_daemon.engine.guard import Guard
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Clock
from basis_daemon.rare_paths import Rarely, RarePath, never

_NS = 1_000_000_000
AWAKE_GAP_S = 5
"""Process seconds between two looks after which the process itself was halted: silence is counted from then on anew."""

PEG_AGE_MAX_S = 300
"""Of USDT/USD (strategies.md 1.4); process seconds."""

Tightening = tuple[GuardState, str]


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """Where the guard tightens. ``z`` in shocks of the underlying, drawdown of the peak unit value, process seconds.

    Less than ``fee_coin_min_usdt`` of a fee coin is an alarm: without it fees are taken from what the book trades.
    ``gross_notional_max_usdt`` bounds perps and debts of all strategies together.
    ``usdt_proxy`` is the pair of a dollar against USDT, None where the peg is not watched; ``usdt_floor`` is in USD.
    """

    z_reducing: Decimal
    z_halted: Decimal
    drawdown_reducing: Decimal
    drawdown_halted: Decimal
    silent_max_s: Decimal
    break_max_s: Decimal
    fee_coins: tuple[PositionKey, ...]
    fee_coin_min_usdt: Decimal
    gross_notional_max_usdt: Decimal
    usdt_proxy: PositionKey | None
    usdt_floor: Decimal
    shocks: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Sight:
    """What is looked at: every strategy's book at the market as it is, and how far all lie below their highs.

    ``loans`` are the debts of those books that can be liquidated, asked for after them.
    """

    exposures: Callable[[], Sequence[Exposure]]
    drawdown: Callable[[], Decimal]
    loans: Callable[[], Sequence[Threat]] = tuple


class GuardWatch:
    """Tightens the guard for what it sees. ``look`` is synchronous and waits for nobody."""

    def __init__(
        self,
        guard: Guard,
        recorder: Recorder,
        freshness: Freshness,
        clock: Clock,
        alarm: Alarm,
        sight: Sight,
        limits: WatchLimits,
        rarely: Rarely = never,
    ) -> None:
        self._guard = guard
        self._recorder = recorder
        self._freshness = freshness
        self._clock = clock
        self._alarm = alarm
        self._sight = sight
        self._limits = limits
        self._rarely = rarely
        self._looked_ns: int | None = None
        self._awake_since_ns = clock.monotonic_ns()
        self._broken_since_ns: dict[PositionKey, int] = {}
        self._low: set[PositionKey] = set()

    def look(self) -> None:
        """One look at everything; the latch moves at most as far as the worst of it asks."""
        if self._rarely(RarePath.GUARD_LOOKS_LATER):
            return
        now_ns = self._clock.monotonic_ns()
        self._note_sleep(now_ns)
        exposures = self._sight.exposures()
        for exposure in exposures:
            self._look_at_fee_coins(exposure)
            for state, why in (*self._margin(exposure), *self._silence(exposure, now_ns)):
                self._guard.tighten(state, why)
        for state, why in (*self._loans(), *self._drawdown(), *self._gross(exposures), *self._breaks(now_ns)):
            self._guard.tighten(state, why)
        self._look_at_peg(exposures, now_ns)

    def _look_at_peg(self, exposures: Sequence[Exposure], now_ns: int) -> None:
        """No new risk while USDT is below its floor, or nobody says what it is worth; any book may see the pair."""
        proxy = self._limits.usdt_proxy
        if proxy is None:
            return
        age = self._freshness.ages((proxy,), (), now_ns).get(f"book:{proxy}")
        price = next((e.prices[proxy.symbol] for e in exposures if proxy.symbol in e.prices), None)
        if price is None or age is None or age.arrival_age_s > PEG_AGE_MAX_S:
            caution = f"USDT/USD is unknown: {proxy} was not heard for {PEG_AGE_MAX_S} s"
        else:
            usd = 1 / price
            floor = self._limits.usdt_floor
            caution = "" if usd >= floor else f"USDT is at {usd:.4f} USD, expected at least {floor}"
        if caution and not self._guard.caution:
            self._alarm("no new risk", {"why": caution})
        self._guard.caution = caution

    def _look_at_fee_coins(self, exposure: Exposure) -> None:
        """Told once when a balance falls below its minimum; a coin without a price yet is not judged."""
        least = self._limits.fee_coin_min_usdt
        for key in self._limits.fee_coins:
            price = exposure.prices.get(key.asset)
            if price is None or key not in exposure.holdings:
                continue
            worth = exposure.holdings.get(key, Decimal(0)) * price
            if worth >= least:
                self._low.discard(key)
            elif key not in self._low:
                self._low.add(key)
                self._alarm(
                    "fee coin runs low", {"holding": key, "worth_usdt": f"{worth:.2f}", "expected_usdt": str(least)}
                )

    def _note_sleep(self, now_ns: int) -> None:
        if self._looked_ns is None or now_ns - self._looked_ns > AWAKE_GAP_S * _NS:
            self._awake_since_ns = now_ns
        self._looked_ns = now_ns

    def _margin(self, exposure: Exposure) -> Iterator[Tightening]:
        """Every account with a position, by its distance to liquidation at the last mark."""
        limits = self._limits
        for state in exposure.margins:
            shock = limits.shocks.get(state.underlying)
            if shock is None or not state.notional:
                continue
            yield from self._nearness(state.instrument, distance_of(state) / shock)

    def _loans(self) -> Iterator[Tightening]:
        """Every debt, by the fall of its driver; one that nobody can judge is the silence of what it is read from."""
        for threat in self._sight.loans():
            if threat.z is not None:
                yield from self._nearness(f"{threat.position} at {threat.site}", threat.z)

    def _nearness(self, what: str, z: Decimal) -> Iterator[Tightening]:
        limits = self._limits
        found = f"{what} is {z:.4f} shocks from liquidation, expected at least"
        if z < limits.z_halted:
            yield GuardState.HALTED, f"{found} {limits.z_halted}"
        elif z < limits.z_reducing:
            yield GuardState.REDUCING, f"{found} {limits.z_reducing}"

    def _drawdown(self) -> Iterator[Tightening]:
        limits, drawdown = self._limits, self._sight.drawdown()
        found = f"unit value is {drawdown:.4%} below its high, expected at most"
        if drawdown > limits.drawdown_halted:
            yield GuardState.HALTED, f"{found} {limits.drawdown_halted:%}"
        elif drawdown > limits.drawdown_reducing:
            yield GuardState.REDUCING, f"{found} {limits.drawdown_reducing:%}"

    def _gross(self, exposures: Sequence[Exposure]) -> Iterator[Tightening]:
        """The capital threshold in aggregate: no sum of books that are each within their limits may pass it."""
        gross, limit = sum(map(gross_usdt, exposures), Decimal(0)), self._limits.gross_notional_max_usdt
        if gross > limit:
            found = f"perps and debts of all strategies are {gross:.2f} USDT"
            yield GuardState.REDUCING, f"{found}, expected at most {limit}"

    def _silence(self, exposure: Exposure, now_ns: int) -> Iterator[Tightening]:
        """Streams and accounts that something held depends on; what never spoke is silent since we look."""
        held = [key for key, quantity in exposure.holdings.items() if quantity]
        coins = (*self._limits.fee_coins, self._limits.usdt_proxy)
        traded = [key for key in held if key in self._recorder.state.instruments and key not in coins]
        if not traded:
            return
        accounts = sorted({key.venue for key in held if key.kind in {Kind.SPOT, Kind.PERP}})
        ages = self._freshness.ages(traded, accounts, now_ns)
        awake_s = Decimal(now_ns - self._awake_since_ns) / _NS
        for name in _inputs_of(traded, accounts):
            silent_s = min(ages[name].arrival_age_s, awake_s) if name in ages else awake_s
            if silent_s > self._limits.silent_max_s:
                limit = self._limits.silent_max_s
                yield GuardState.REDUCING, f"{name} has been silent for {silent_s:.0f} s, expected at most {limit} s"

    def _breaks(self, now_ns: int) -> Iterator[Tightening]:
        """A difference between book and venue that does not heal: warned of and frozen before, now only reduced."""
        found = self._recorder.state.breaks
        self._broken_since_ns = {key: self._broken_since_ns.get(key, now_ns) for key in found}
        for key, since_ns in self._broken_since_ns.items():
            open_s = Decimal(now_ns - since_ns) / _NS
            if open_s > self._limits.break_max_s:
                said = f"book holds {found[key].expected} of {key}, its venue says {found[key].actual}"
                yield GuardState.REDUCING, f"{said}, for {open_s:.0f} s: correct the book or the account, then rearm"


def gross_usdt(exposure: Exposure) -> Decimal:
    """What one book has open at exchanges, at the mark, and owes; a debt without a price is its source's silence."""
    perps = sum((_in_quote(state) for state in exposure.margins), Decimal(0))
    owed = [(key, amount) for key, amount in exposure.holdings.items() if key.kind is Kind.VDEBT and amount]
    return perps + sum((abs(amount) * exposure.prices.get(key.asset, Decimal(0)) for key, amount in owed), Decimal(0))


def _in_quote(state: MarginState) -> Decimal:
    """An inverse contract is worth quote units by itself."""
    return state.notional if state.contract_value is None else abs(state.quantity * state.contract_value)


def _inputs_of(traded: Sequence[PositionKey], accounts: Sequence[str]) -> Iterator[str]:
    for key in traded:
        yield f"book:{key}"
        if key.kind is Kind.PERP:
            yield f"mark:{key}"
    for account in accounts:
        yield f"account:{account}"
