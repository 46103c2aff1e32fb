"""Directional books: a model's word decides the side, a bracket guards it, and everything doubtful is flat.

The side is a matter of words and time alone; here it becomes one order per venue, wanted minus held. A position may
always be left; one is taken only when every input is fresh, nothing guards against it, and funding does not eat it.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import cached_property

from basis_daemon.domain.bracket import Guarding
from basis_daemon.domain.decision import Exposure, InputUsed, ReasonCode, Rejected, RiskView
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.margin import EMERGENCY, REDUCE, ZERO
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.order import OrderOperation, Side
from basis_daemon.strategies import ml_memory
from basis_daemon.strategies.charter import Charter
from basis_daemon.strategies.defence import REASONS
from basis_daemon.strategies.ml_memory import DirectionalMemory, Taste
from basis_daemon.strategies.ml_parameters import DirectionalParameters
from basis_daemon.strategies.ml_view import ContractView, DirectionalView, contract_key, look
from basis_daemon.strategies.orders import Leg, Single, Step
from basis_daemon.strategies.ruled import Declared, RuledStrategy
from basis_daemon.strategies.rules import Act, Frame, Rule, Verdict, brief, drawdown_stop, in_flight, stale_gate

FUNDING_SHARE = Decimal("0.1")
"""Of the distance to the take-profit: what funding may cost over the longest hold."""
HOUR_S = 3600


def _closed(contract: ContractView, slip: Decimal) -> Single:
    """All of it, reduce-only."""
    side = Side.SELL if contract.held > 0 else Side.BUY
    return Single(Leg(contract.key, side, abs(contract.held), reduce_only=True), slip)


def _all_closed(view: DirectionalView, slip: Decimal) -> tuple[Step, ...]:
    return tuple(_closed(contract, slip) for contract in view.contracts if contract.held)


# ---------------------------------------------------------------------------------------------------------- defence
def nearest_liquidation(view: DirectionalView) -> Verdict:
    """Rule 2: nothing is added to a position that is near liquidation: it is left."""
    looked = []
    for contract in sorted((c for c in view.contracts if c.held), key=lambda c: c.z):
        level = view.p.ladder.level(contract.z)
        looked.append(f"{contract.venue.name}: z {brief(contract.z)}, level {level}")
        is_under_way = view.frame.risk.defence_in_flight.get(contract.venue.perp_account, 0) >= level
        if level >= REDUCE and not is_under_way:
            slip = view.p.slip_emergency_bp if level == EMERGENCY else view.p.slip_cex_bp
            step = _closed(contract, slip)
            return Act(REASONS[level], looked[-1], (step,), level, page=level == EMERGENCY)
    return Rejected(ReasonCode.LIQ_REDUCE, "; ".join(looked) or "no position is open")


def drawdown(view: DirectionalView) -> Verdict:
    """The stop by unit value: flat, until an operator lets it in again."""
    return drawdown_stop(view, view.p.max_drawdown, lambda: _left(view))


def _left(view: DirectionalView) -> tuple[Step, ...] | str:
    """Everything; of a book that is flattened whatever can be closed, or what keeps the rest."""
    slip = view.p.slip_emergency_bp
    if not view.frame.risk.flatten:
        return _all_closed(view, slip)
    held = [contract for contract in view.contracts if contract.held]
    stuck = [fault for contract in held if (fault := contract.close_fault) is not None]
    steps = tuple(_closed(contract, slip) for contract in held if contract.close_fault is None)
    return steps or "; ".join([*stuck, *(f"never seen: {name}" for name in view.missing)])


def daily_loss(view: DirectionalView) -> Verdict:
    """A bad day ends at once and lasts until the next one."""
    lost, limit = view.frame.risk.day_loss, view.p.ml_daily_loss
    if lost is None or lost < limit or view.frame.risk.in_doubt:
        told = "is unknown" if lost is None else f"{brief(lost)}, limit {limit}"
        return Rejected(ReasonCode.DRAWDOWN, f"loss of the day {told}")
    steps = _all_closed(view, view.p.slip_cex_bp)
    return Act(ReasonCode.DRAWDOWN, f"loss of the day {brief(lost)} >= {limit}: flat until tomorrow", steps)


def watch(view: DirectionalView) -> Verdict:
    """A mark beyond the bracket closes here what no venue guards; the stop before the take-profit."""
    for half in Guarding:
        for contract in (c for c in view.contracts if c.held and view.frame.memory.sd and not c.is_guarded):
            side = 1 if contract.held > 0 else -1
            bracket = contract.bracket(side)
            if bracket.fired(contract.mark, side) is half:
                note = f"{contract.key}: mark {brief(contract.mark)} is beyond the {half} of {bracket}"
                return Act(ReasonCode.BRACKET, note, (_closed(contract, view.p.slip_emergency_bp),), REDUCE)
    return Rejected(ReasonCode.BRACKET, "no mark is beyond a bracket")


def delta(view: DirectionalView) -> Verdict:
    """Rule 3: what stands beyond the last executed target is taken off; what is missing is a matter of the signal."""
    if view.frame.risk.plan_in_flight or view.frame.risk.in_doubt or not view.equity:
        return Rejected(ReasonCode.DELTA, "a plan is in flight, orders are in doubt, or equity is unknown")
    for contract in view.contracts:
        wanted = view.reached(contract)
        beyond = contract.held - wanted
        share = contract.usdt(beyond) / (view.equity * (contract.mark if contract.cv else 1))
        is_excess = beyond * contract.held > 0
        if is_excess and share > view.p.delta_soft and not contract.stale:
            amount = min(abs(beyond), abs(contract.held))
            leg = Leg(contract.key, Side.SELL if beyond > 0 else Side.BUY, amount, reduce_only=True)
            note = f"{contract.key}: {contract.held} held, {wanted} executed, {brief(share)} of E"
            return Act(ReasonCode.DELTA, note, (Single(leg, view.p.slip_cex_bp),))
    return Rejected(ReasonCode.DELTA, "nothing is held beyond the last executed target")


# ----------------------------------------------------------------------------------------------------------- signal
def signal(view: DirectionalView) -> Verdict:
    """Wanted minus held at every venue, a reversal in one order; a new position carries its bracket."""
    why = f"{'expired' if view.is_expired else f'side {view.side}'}, {_heard(view)}"
    looked = [view.frame.memory.refused] if view.frame.memory.refused else []
    steps = []
    for contract in view.contracts:
        wanted = view.target(contract)
        fault = _entry_fault(view, contract, wanted) if wanted else None
        reached = wanted if fault is None else _kept(contract, wanted)
        if fault:
            looked.append(f"{contract.venue.name}: {fault}")
        if _is_worth(view, contract, reached):
            steps.append(_traded(view, contract, reached))
    if not steps:
        return Rejected(ReasonCode.SIGNAL, f"{why}: {'; '.join(looked) or 'what is wanted is held'}")
    return Act(ReasonCode.SIGNAL, f"{why}: {', '.join(str(step.leg.quantity) for step in steps)}", tuple(steps))


def _heard(view: DirectionalView) -> str:
    """Whose word the side follows from."""
    last = view.frame.memory.last
    return "nothing heard" if last is None else f"model {last.model} of bar {last.bar.isoformat()}"


def _kept(contract: ContractView, wanted: Decimal) -> Decimal:
    """What may stand where nothing may be added: what is held of the wanted side, nothing of the other."""
    if contract.held * wanted <= 0:
        return ZERO
    return contract.held if abs(contract.held) < abs(wanted) else wanted


def _is_worth(view: DirectionalView, contract: ContractView, reached: Decimal) -> bool:
    """A way out is always worth an order."""
    gap = reached - contract.held
    least = max(view.p.min_order_usdt, contract.perp.notional_min)
    return bool(gap) and (not reached or contract.usdt(gap) >= least)


def _entry_fault(view: DirectionalView, contract: ContractView, wanted: Decimal) -> str | None:
    frozen, halted = view.frame.memory.frozen_until, view.frame.risk.halted_until.get(contract.venue.perp_account)
    until = max((at for at in (frozen, halted) if at is not None and at > view.frame.time), default=None)
    if until is not None:
        return f"frozen until {until.isoformat()}"
    if why := view.frame.risk.halted_instruments.get(contract.key):
        return why
    cost, limit = funding_cost(view, contract, 1 if wanted > 0 else -1), take_distance(view) * FUNDING_SHARE
    return f"funding {brief(cost)} over the hold >= {brief(limit)}" if cost >= limit else None


def funding_cost(view: DirectionalView, contract: ContractView, side: int) -> Decimal:
    """Fraction of the position that funding costs over the longest hold; negative where it earns."""
    hours = Decimal(view.p.ml_max_hold_bars * view.p.bar_s) / HOUR_S
    return side * contract.mark_tick.funding_predicted * hours / (contract.perp.funding_interval_h or 8)


def take_distance(view: DirectionalView) -> Decimal:
    """Fraction between entry and take-profit."""
    width = view.p.width
    return width.take_sd * width.sd(view.frame.memory.sd)


def _traded(view: DirectionalView, contract: ContractView, wanted: Decimal) -> Single:
    gap = wanted - contract.held
    is_reducing = wanted * contract.held >= 0 and abs(wanted) < abs(contract.held)
    leg = Leg(contract.key, Side.BUY if gap > 0 else Side.SELL, abs(gap), reduce_only=is_reducing)
    bracket = None if is_reducing else contract.bracket(1 if wanted > 0 else -1)
    return Single(leg, view.p.slip_cex_bp, bracket)


RULES: tuple[Rule[DirectionalView], ...] = (
    nearest_liquidation,
    drawdown,
    daily_loss,
    watch,
    delta,
    stale_gate,
    in_flight,
    signal,
)


class Directional(RuledStrategy[DirectionalParameters, DirectionalMemory, DirectionalView]):
    """One contract of one asset on a model's word."""

    share_class = "USDT"

    def __init__(self, parameters: DirectionalParameters, name: str) -> None:
        p = parameters
        if p.share_class != self.share_class:
            msg = f"{type(self).__name__}: parameters are of class {p.share_class}, expected {self.share_class}"
            raise ConfigError(msg)
        contracts = frozenset(contract_key(venue, p) for venue in p.venues)
        coin = p.asset if p.is_inverse else "USDT"
        wallets = frozenset(PositionKey.of(venue.perp_account, Kind.SPOT, coin) for venue in p.venues)
        self._taste = Taste(
            listening=p.listening,
            enter=p.ml_conf_enter,
            hold=p.ml_conf_hold,
            hold_bars_max=p.ml_max_hold_bars,
            flip_bars_min=p.ml_flip_min_bars,
            instruments=contracts,
        )
        self._wallets = tuple(sorted(wallets))
        super().__init__(name, p, Declared(contracts, contracts | wallets), RULES, DirectionalMemory)

    @cached_property
    def charter(self) -> Charter:
        """Limits as configured; one perp at every venue."""
        p = self.parameters
        return Charter(
            max_drawdown=p.max_drawdown,
            slip_emergency_bp=p.slip_emergency_bp,
            needed=frozenset((OrderOperation.PERP_TRADE, venue.perp_account) for venue in p.venues),
            cash=self._wallets,
            ladder=p.ladder,
            shocks={p.asset: p.shock},
            venue_cap=p.venue_cap,
            exchange_of={venue.perp_account: venue.name for venue in p.venues},
            traded_at={venue.name: frozenset({p.asset}) for venue in p.venues},
            clip_usdt=p.clip_usdt,
            unhedged_max_s=p.unhedged_max_s,
            numeraire=p.share_class,
        )

    @property
    def decision_interval_s(self) -> Decimal:
        """Market seconds between decisions at least."""
        return self._parameters.decision_interval_s

    def initial_memory(self) -> DirectionalMemory:
        """Nothing heard."""
        return DirectionalMemory()

    def fold(self, memory: object, event: object) -> DirectionalMemory:
        """Memory after an event; the same object when the event teaches nothing."""
        return ml_memory.fold(self._own(memory), event, self._taste)

    def _look(self, timestamp: datetime, market: MarketSnapshot, exposure: Exposure, risk: RiskView) -> DirectionalView:
        price = exposure.prices.get(self._parameters.asset, ZERO)
        own = self._own(market.memory)
        return look(Frame(self._parameters, timestamp, market, exposure, risk, own, price), self._taste)

    def _inputs(self, view: DirectionalView) -> dict[str, InputUsed]:
        memory, ages = view.frame.memory, view.frame.market.ages
        used = {"equity": view.equity, "drawdown": view.frame.risk.drawdown, "side": Decimal(memory.side)}
        if memory.last is not None:
            used |= {"confidence": memory.last.confidence, "sd": memory.last.sd}
        if view.frame.risk.day_loss is not None:
            used["day_loss"] = view.frame.risk.day_loss
        found = {name: InputUsed(value) for name, value in used.items()}
        for contract in view.contracts:
            name = f"mark:{contract.key}"
            found[name] = InputUsed(contract.mark, ages[name].arrival_age_s if name in ages else ZERO)
            found[f"held:{contract.key}"] = InputUsed(contract.held)
        return found

    def _thresholds(self, view: DirectionalView) -> dict[str, Decimal]:
        p = view.p
        return {
            "ml_conf_enter": p.ml_conf_enter,
            "ml_conf_hold": p.ml_conf_hold,
            "ml_daily_loss": p.ml_daily_loss,
            "max_drawdown": p.max_drawdown,
            "take_distance": take_distance(view),
        } | {f"target:{contract.key}": view.target(contract) for contract in view.contracts}


class MlUsdtDirectional(Directional):
    """BTCUSDT, counted in USDT."""

    def __init__(self, parameters: DirectionalParameters, name: str = "ml_usdt_directional") -> None:
        super().__init__(parameters, name)


class MlBtcDirectional(Directional):
    """BTCUSD, counted in BTC: the coin is capital and margin, the signal an overlay on it."""

    share_class = "BTC"

    def __init__(self, parameters: DirectionalParameters, name: str = "ml_btc_directional") -> None:
        super().__init__(parameters, name)
