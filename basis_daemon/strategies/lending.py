"""Pure lending: one asset supplied to Aave, a buffer in the wallet, no debt. The rules in their order; the first wins.

The reserve may be left for what it is (paused, frozen, nearly drained), for what USDT is worth, or for what it pays.
Whatever is the reason, the position is counted in full until its withdrawal has been seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cached_property

from basis_daemon.domain.chain import ReserveTick
from basis_daemon.domain.decision import InputUsed, ReasonCode, Rejected
from basis_daemon.domain.gas import planned_units
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.lending import ZERO, OnchainEquity, interest, lend_target, onchain_equity, rates_after
from basis_daemon.domain.order import OrderOperation as O
from basis_daemon.domain.order import Side
from basis_daemon.strategies.legs import DAY
from basis_daemon.strategies.onchain_calls import (
    AAVE,
    ETH,
    WALLET,
    WETH,
    WETH_RESERVE,
    floor,
    supply,
    unwrap,
    withdraw,
    wrap,
)
from basis_daemon.strategies.onchain_memory import Teaching
from basis_daemon.strategies.onchain_orders import Operation
from basis_daemon.strategies.onchain_parameters import LendingParameters
from basis_daemon.strategies.onchain_strategy import Family, OnchainStrategy, declared
from basis_daemon.strategies.onchain_view import GAS, REWARDS, SPECK, ChainView
from basis_daemon.strategies.rules import Act, Rule, Verdict, brief, drawdown_stop, in_flight, stale_gate

ONE = Decimal(1)
UTILISATION_MAX = Decimal("0.95")
IDLE_COVER = Decimal("1.2")
"""Idle liquidity below this multiple of the position: leave while one still can."""
POOR_FOR = timedelta(days=7)
BENEFIT_DAYS = Decimal(30)


@dataclass(frozen=True)
class LendView(ChainView[LendingParameters]):
    """The book and its reserve; amounts are units of the asset."""

    @property
    def is_usdt(self) -> bool:
        """True in the USDT class."""
        return self.p.asset == "USDT"

    @property
    def token(self) -> PositionKey:
        """What is supplied: USDT or WETH."""
        return token_of(self.p.asset)

    @property
    def atoken(self) -> PositionKey:
        """The position's key."""
        return reserve_of(self.p.asset)

    @cached_property
    def tick(self) -> ReserveTick:
        """The reserve."""
        return self.reserve(self.atoken)

    @cached_property
    def worth(self) -> OnchainEquity:
        """A USDT book does not count its gas; nobody counts rewards before they are sold."""
        if self.is_usdt:
            return onchain_equity(self.frame.exposure.holdings, {"USDT": ONE}, {"ETH", *REWARDS})
        return onchain_equity(self.frame.exposure.holdings, {"ETH": ONE, "WETH": ONE}, set(REWARDS))

    @property
    def unit_price(self) -> Decimal:
        """USDT per unit of the asset."""
        return ONE if self.is_usdt else self.frame.price

    @property
    def reserved(self) -> Decimal:
        """The gas of a USDT book is funded beside it."""
        return ZERO if self.is_usdt else self.p.reserve_eth

    @property
    def wallet(self) -> Decimal:
        """Free units outside Aave."""
        return self.held(self.token) if self.is_usdt else self.loose_eth

    @property
    def position(self) -> Decimal:
        """Units supplied, interest included."""
        return self.held(self.atoken)

    @property
    def target(self) -> Decimal:
        """Units that should be supplied."""
        return lend_target(self.investable, self.p.lend_buffer)

    def in_eth(self, amount: Decimal) -> Decimal:
        """Worth of an amount of the asset in ETH, in which gas is paid."""
        return amount * self.unit_price / self.frame.price


# ----------------------------------------------------------------------------------------------------------- rules
def drawdown(view: LendView) -> Verdict:
    """The stop by unit value: everything back to the wallet."""
    return drawdown_stop(view, view.p.max_drawdown, lambda: taken_home(view))


def taken_home(view: LendView) -> tuple[Operation, ...] | str:
    """All that is lent; of a book that is flattened what the reserve can pay now, or why that is nothing."""
    if not view.frame.risk.flatten:
        return _out(view, view.position) if view.position else ()
    if view.stuck or view.position <= SPECK:
        return view.stuck
    return _out(view, min(view.position, view.tick.idle)) or "nothing is idle in the reserve"


def withdrawal(view: LendView) -> Verdict:
    """Rule 4: the wallet pays at once; what it lacks is withdrawn so that buffer and position shrink alike."""
    lacking = view.owed - view.wallet
    if lacking <= SPECK:
        return Rejected(ReasonCode.WITHDRAWAL, f"the wallet covers {brief(view.owed)} {view.p.asset}")
    amount = min(max(lacking, view.position - view.target), view.position, view.tick.idle)
    fault, steps = view.gas_fault(), _out(view, amount)
    if fault is not None:
        return Rejected(ReasonCode.WITHDRAWAL, f"{brief(lacking)} are lacking, but {fault}")
    if not steps:
        return Rejected(ReasonCode.WITHDRAWAL, f"{brief(lacking)} are lacking, but nothing can be withdrawn")
    return Act(ReasonCode.WITHDRAWAL, f"withdraw {brief(amount)} for a pending {brief(view.owed)}", steps)


def leave(view: LendView) -> Verdict:
    """Withdraw everything, or what is there, when the reserve, USDT or the rate says so."""
    why = _reserve_trouble(view) or _rate_trouble(view)
    if why is None or view.position <= 0:
        return Rejected(ReasonCode.CARRY_EXIT, why or "the reserve is sound and pays")
    is_trouble = _reserve_trouble(view) is not None
    if fault := view.gas_fault(is_defence=is_trouble):
        return Rejected(ReasonCode.CARRY_EXIT, f"{why}; {fault}")
    available = min(view.position, view.tick.idle)
    note = f"{why}: withdraw {brief(available)} of {brief(view.position)} {view.p.asset}"
    return Act(ReasonCode.CARRY_EXIT, note, _out(view, available), page=is_trouble)


def _reserve_trouble(view: LendView) -> str | None:
    tick = view.tick
    if tick.is_paused or tick.is_frozen or not tick.is_active:
        state = "paused" if tick.is_paused else "frozen" if tick.is_frozen else "not active"
        return f"the reserve is {state}"
    if view.is_usdt and tick.price < view.p.usdt_floor:
        return f"USDT at {brief(tick.price)} USD < {view.p.usdt_floor}"
    if tick.idle < IDLE_COVER * view.position:
        return f"idle {brief(tick.idle)} < {IDLE_COVER} x position {brief(view.position)}"
    return None


def _rate_trouble(view: LendView) -> str | None:
    since = view.memory.lend.below_since
    if since is None or view.frame.time - since < POOR_FOR:
        return None
    return f"smoothed rate below {view.p.lend_min_apr} since {since.isoformat()}"


def refill(view: LendView) -> Verdict:
    """Back to target when the wallet holds less than half its buffer."""
    half = view.p.lend_buffer * view.investable / 2
    amount = min(view.position - view.target, view.tick.idle)
    if view.wallet >= half or amount <= 0:
        return Rejected(ReasonCode.LEG_DRIFT, f"wallet {brief(view.wallet)} >= half of the buffer, {brief(half)}")
    if not view.is_worth_moving(amount):
        return Rejected(ReasonCode.LEG_DRIFT, f"{brief(amount)} is below min_chain_move")
    if fault := view.gas_fault():
        return Rejected(ReasonCode.LEG_DRIFT, fault)
    note = f"wallet {brief(view.wallet)} < {brief(half)}: withdraw {brief(amount)} back to target"
    return Act(ReasonCode.LEG_DRIFT, note, _out(view, amount))


def lend(view: LendView) -> Verdict:
    """What the target lacks goes in, as far as cap, liquidity and wallet have room, if that pays its gas."""
    reason = ReasonCode.SCALE if view.position else ReasonCode.ENTRY
    amount, bound = min(_rooms(view), key=lambda room: room[0])
    amount = floor(view.token, max(amount, ZERO))
    if fault := _lend_fault(view, amount, bound):
        return Rejected(reason, fault)
    rate = rates_after(view.tick, deposit=amount).supply
    note = f"supply {brief(amount)} {view.p.asset} at {brief(rate)} a year, bounded by {bound}"
    return Act(reason, note, _in(view, amount))


def _rooms(view: LendView) -> list[tuple[Decimal, str]]:
    tick = view.tick
    rooms = [
        (view.target - view.position, "the target"),
        (view.p.lend_liq_share * tick.idle - view.position, "lend_liq_share of idle liquidity"),
        (view.wallet - view.owed, "the wallet"),
    ]
    return [*rooms, (tick.supply_cap - tick.supplied, "the supply cap")] if tick.supply_cap else rooms


def _lend_fault(view: LendView, amount: Decimal, bound: str) -> str | None:
    p, tick = view.p, view.tick
    if not view.is_worth_moving(amount) or amount <= 0:
        return f"{brief(amount)} {p.asset} is below min_chain_move, bounded by {bound}"
    if fault := _reserve_trouble(view) or _rate_trouble(view) or _halted(view):
        return fault
    if tick.utilisation >= UTILISATION_MAX:
        return f"utilisation {brief(tick.utilisation)} >= {UTILISATION_MAX}"
    rate = rates_after(tick, deposit=amount).supply
    if rate < p.lend_min_apr:
        return f"rate after own deposit {brief(rate)} < {p.lend_min_apr}"
    units = planned_units(step.operation for step in _in(view, amount))
    return view.gas_fault() or view.unpaid_gas(view.in_eth(interest(amount, rate, BENEFIT_DAYS)), units)


def _halted(view: LendView) -> str | None:
    if view.moved(view.atoken, Side.SELL, DAY):
        return "the position was reduced within 24 h"
    return view.frame.risk.halted_instruments.get(view.atoken)


# ----------------------------------------------------------------------------------------------------------- steps
def _in(view: LendView, amount: Decimal) -> tuple[Operation, ...]:
    lacking = ZERO if view.is_usdt else amount - view.held(WETH)
    wrapped = (wrap(lacking),) if lacking > 0 else ()
    return (*wrapped, supply(view.atoken, view.token, amount))


def _out(view: LendView, amount: Decimal) -> tuple[Operation, ...]:
    """All of it by MAX, which takes what accrues until then; an ETH book gets ETH back."""
    amount = floor(view.token, amount)
    if amount <= 0:
        return ()
    is_whole = amount == floor(view.token, view.position)
    out = withdraw(view.atoken, view.token, amount, held=view.position if is_whole else None)
    return (out,) if view.is_usdt else (out, unwrap(amount))


RULES: tuple[Rule[LendView], ...] = (drawdown, stale_gate, in_flight, withdrawal, leave, refill, lend)
"""Of rule 2 there is nothing: without debt nobody can be liquidated. Delta is that of the class by itself."""


ROUTES = frozenset({(O.SUPPLY, AAVE), (O.WITHDRAW, AAVE)})
WRAPPING = frozenset({(O.WRAP, WALLET), (O.UNWRAP, WALLET)})


def token_of(asset: str) -> PositionKey:
    """What is supplied."""
    return WETH if asset == "ETH" else PositionKey.of(WALLET, Kind.TOKEN, asset)


def reserve_of(asset: str) -> PositionKey:
    """The reserve, and the position in it."""
    return PositionKey.of(AAVE, Kind.ATOKEN, token_of(asset).symbol)


class PureLending(OnchainStrategy[LendingParameters, LendView]):
    """USDT or ETH at Aave."""

    def __init__(self, parameters: LendingParameters, name: str = "pure_lending") -> None:
        token, reserve = token_of(parameters.asset), reserve_of(parameters.asset)
        read = {reserve, WETH_RESERVE}
        family = Family(
            declared=declared({*read, ETH}, {ETH, token, reserve}),
            routes=ROUTES if parameters.asset == "USDT" else ROUTES | WRAPPING,
            cash=token if parameters.asset == "USDT" else ETH,
            needed=(*(f"reserve:{key}" for key in sorted(read)), f"account:{WALLET}", f"account:{AAVE}", GAS),
            teaching=Teaching(lend=reserve, halflife_h=parameters.borrow_halflife_h, hurdle=parameters.lend_min_apr),
            view=LendView,
            rules=RULES,
        )
        super().__init__(name, parameters, family)

    def _inputs(self, view: LendView) -> dict[str, InputUsed]:
        tick, memory = view.frame.market.reserves.get(view.atoken), view.memory.lend
        rows = [
            ("equity", view.worth.value),
            (f"position:{view.atoken}", view.position),
            ("rate_smoothed", memory.rate.average if memory.rate else None),
            ("drawdown", view.frame.risk.drawdown),
        ]
        if tick is not None:
            rows += [(f"reserve:{view.atoken}", tick.supply_rate), ("utilisation", tick.utilisation)]
            rows += [("idle", tick.idle), ("price_usd", tick.price)]
        return view.used(rows)

    def _thresholds(self, view: LendView) -> dict[str, Decimal]:
        p = view.p
        return {
            "lend_min_apr": p.lend_min_apr,
            "lend_liq_share": p.lend_liq_share,
            "utilisation_max": UTILISATION_MAX,
            "usdt_floor": p.usdt_floor,
            "max_drawdown": p.max_drawdown,
            "gas_cap_gwei": p.gas_cap_gwei,
        }
