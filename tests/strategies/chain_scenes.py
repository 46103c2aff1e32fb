"""A chain that exists in numbers only: readings of one block, a book on it, and a run that executes what is decided.

Every plan is cut into batches as the daemon cuts it, and every order moves exactly what it expects to move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from basis_daemon.domain.chain import (
    BlockRef,
    ChainEvent,
    ClaimReport,
    EModeTick,
    GasTick,
    LendingReport,
    LstTick,
    RateCurve,
    ReserveTick,
    RewardTick,
)
from basis_daemon.domain.decision import Assessment, Exposure, PlanEnded, ReasonCode, RiskView
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.market import DecisionIds, MarketSnapshot
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.plan import PlanState, batches
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.ports import Strategy
from tests.builders import FRESH, STALE, D, signs

START = datetime(2025, 5, 6, tzinfo=UTC)
K = PositionKey
ETH, WETH, USDT = K("wallet:token:ETH"), K("wallet:token:WETH"), K("wallet:token:USDT")
WEETH, WSTETH = K("wallet:lst:weETH"), K("wallet:lst:wstETH")
A_USDT, A_WETH, A_WEETH = K("aave_v3:atoken:USDT"), K("aave_v3:atoken:WETH"), K("aave_v3:atoken:weETH")
A_WSTETH, DEBT = K("aave_v3:atoken:wstETH"), K("aave_v3:vdebt:WETH")
USDT_DEBT = K("aave_v3:vdebt:USDT")
CHAIN = dict.fromkeys(("wallet", "aave_v3", "lido", "etherfi", "uniswap_v3", "eigenlayer"), "ethereum")
PRICE = D(2500)
RATE = D("1.066843501")


def changed(thing: Any, changes: Mapping[str, object]) -> Any:  # noqa: ANN401  - of whatever kind the caller holds
    """A copy with changes."""
    return replace(thing, **dict(changes))


def block(at: datetime) -> BlockRef:
    """The block of an instant."""
    return BlockRef(int(at.timestamp()) // 12, f"0x{int(at.timestamp()):x}", at)


def reserve_tick(key: PositionKey, at: datetime = START, **changes: object) -> ReserveTick:
    """A large, calm reserve: U .8, rates by its curve as recorded in spring 2025."""
    stable = key == A_USDT
    tick = ReserveTick(
        instrument=key,
        block=block(at),
        received_ns=0,
        supply_rate=D("0.035") if stable else D("0.0187"),
        borrow_rate=D("0.05") if stable else D("0.0255"),
        liquidity_index=D("1.08"),
        debt_index=D("1.11"),
        idle=D(400_000_000) if stable else D(300_000),
        debt=D(1_600_000_000) if stable else D(1_700_000),
        supplied=D(2_000_000_000) if stable else D(2_000_000),
        reserve_factor=D("0.10") if stable else D("0.15"),
        curve=RateCurve(D(0), D("0.92"), D("0.055") if stable else D("0.027"), D("0.35")),
        supply_cap=D(0),
        borrow_cap=D(0),
        price=D(1) if stable else PRICE,
        ltv=D("0.75"),
        liquidation_threshold=D("0.78"),
        liquidation_bonus=D("0.05"),
        flash_fee=D("0.0005"),
        is_active=True,
        is_frozen=False,
        is_paused=False,
        is_borrowable=True,
        is_flashable=True,
    )
    return changed(tick, changes)  # type: ignore[no-any-return]  # a copy of the tick


def lst_tick(key: PositionKey = WEETH, at: datetime = START, rate: Decimal = RATE, **changes: object) -> LstTick:
    """A healthy token: 7 bp below its rate at the DEX, a week of queue."""
    tick = LstTick(
        instrument=key,
        block=block(at),
        received_ns=0,
        rate=rate,
        pool_price=rate * D("0.9993"),
        pool_price_buy=rate * D("1.0003"),
        quoted_size=D(1000),
        pool_fee=D("0.0005"),
        is_paused=False,
        deposits_open=True,
        deposit_room=None,
        queue_wait_s=7 * 86_400,
        oracle_price_eth=rate,
    )
    return changed(tick, changes)  # type: ignore[no-any-return]  # a copy of the tick


def emode_tick(key: PositionKey = A_WEETH, at: datetime = START, **changes: object) -> EModeTick:
    """The reference: LTV .93, LT .95, bonus 1 %."""
    tick = EModeTick(
        instrument=key,
        block=block(at),
        received_ns=0,
        category=1,
        ltv=D("0.93"),
        liquidation_threshold=D("0.95"),
        liquidation_bonus=D("0.01"),
        collaterals=frozenset({key.symbol}),
        borrowables=frozenset({"WETH"}),
    )
    return changed(tick, changes)  # type: ignore[no-any-return]  # a copy of the tick


def gas_tick(at: datetime = START, gwei: int = 5) -> GasTick:
    """Cheap, as in spring 2025."""
    return GasTick(ETH, block(at), 0, (gwei - 1) * 10**9, 10**9)


@dataclass(frozen=True)
class Chain:
    """Readings that stand until they are changed, by their keys."""

    reserves: Mapping[PositionKey, ReserveTick] = field(default_factory=dict)
    lsts: Mapping[PositionKey, LstTick] = field(default_factory=dict)
    emodes: Mapping[PositionKey, EModeTick] = field(default_factory=dict)
    rewards: Mapping[PositionKey, RewardTick] = field(default_factory=dict)
    claims: Mapping[PositionKey, ClaimReport] = field(default_factory=dict)
    gwei: int = 5

    def reserve(self, key: PositionKey, **changes: object) -> Chain:
        """With another reading of a reserve."""
        return replace(self, reserves={**self.reserves, key: changed(self.reserves[key], changes)})

    def token(self, key: PositionKey, **changes: object) -> Chain:
        """With another reading of a staking token."""
        return replace(self, lsts={**self.lsts, key: changed(self.lsts[key], changes)})

    def emode(self, key: PositionKey, **changes: object) -> Chain:
        """With another reading of an e-mode."""
        return replace(self, emodes={**self.emodes, key: changed(self.emodes[key], changes)})

    def at(self, time: datetime) -> list[ChainEvent]:
        """All readings at the block of ``time``."""
        ticks: list[ChainEvent] = [*self.lsts.values(), *self.rewards.values(), *self.emodes.values()]
        ticks += self.reserves.values()
        return [*(replace(tick, block=block(time)) for tick in ticks), gas_tick(time, self.gwei)]


def calm(*lsts: PositionKey) -> Chain:
    """USDT and WETH reserves, and those of the tokens with their e-mode."""
    keys = [A_USDT, A_WETH, *(K(f"aave_v3:atoken:{lst.symbol}") for lst in lsts)]
    reserves = {key: reserve_tick(key) for key in keys}
    for lst in lsts:
        key = K(f"aave_v3:atoken:{lst.symbol}")
        reserves[key] = replace(reserves[key], price=PRICE * RATE, debt=D(100), idle=D(900_000), supplied=D(900_100))
    emodes = {K(f"aave_v3:atoken:{lst.symbol}"): emode_tick(K(f"aave_v3:atoken:{lst.symbol}")) for lst in lsts}
    return Chain(reserves=reserves, lsts={lst: lst_tick(lst) for lst in lsts}, emodes=emodes)


def nothing_wrong() -> RiskView:
    """At its high, nothing in flight."""
    return RiskView(sites=(), unit_value=D(1), unit_value_high=D(1))


@dataclass
class Run:
    """A book that lives: ``step`` reads the chain, remembers, decides, and does what was decided."""

    strategy: Strategy
    holdings: dict[PositionKey, Decimal]
    chain: Chain
    time: datetime = START
    risk: RiskView = field(default_factory=nothing_wrong)
    stale: frozenset[str] = frozenset()
    memory: object = None
    acts: list[tuple[datetime, Assessment, list[Order]]] = field(default_factory=list)
    decision: int = 0
    requests: int = 0
    budget_usdt: Decimal | None = None
    emode: int = 0

    def __post_init__(self) -> None:
        """Begins without a memory."""
        if self.memory is None:
            self.memory = self.strategy.initial_memory()

    # ------------------------------------------------------------------------------------------------ what it sees
    @property
    def market(self) -> MarketSnapshot:
        """The readings now, aged as ``stale`` says."""
        events = self.chain.at(self.time)
        prefix = {ReserveTick: "reserve", LstTick: "lst", EModeTick: "emode", RewardTick: "reward", GasTick: "gas"}
        names = [f"{prefix[type(event)]}:{event.instrument}" for event in events] + [f"account:{n}" for n in CHAIN]
        return MarketSnapshot(
            time=self.time,
            ids=DecisionIds("test-book", 3, self.decision),
            instruments={},
            books={},
            marks={},
            ages={name: STALE if name in self.stale else FRESH for name in names},
            memory=self.memory,
            reserves={e.instrument: e for e in events if isinstance(e, ReserveTick)},
            lsts={e.instrument: e for e in events if isinstance(e, LstTick)},
            emodes={e.instrument: e for e in events if isinstance(e, EModeTick)},
            rewards={e.instrument: e for e in events if isinstance(e, RewardTick)},
            gas=next(e for e in events if isinstance(e, GasTick)),
        )

    @property
    def exposure(self) -> Exposure:
        """The book as the engine hands it over: equity in USDT is not its business here."""
        return Exposure(
            time=self.time,
            equity_usdt=None,
            holdings=dict(self.holdings),
            prices={},
            net_delta={},
            margins=(),
            budget_usdt=self.budget_usdt,
            lendings=self.lendings,
            claims=self.chain.claims,
        )

    @property
    def lendings(self) -> Mapping[str, LendingReport]:
        """The account by the protocol: nothing where there is none."""
        reserves, terms = self.chain.reserves, self.chain.emodes
        if A_WETH not in reserves:
            return {}
        held = [(key, self.holdings.get(key, D(0))) for key in reserves]
        value = sum((amount * reserves[key].price for key, amount in held), D(0))
        debts = {A_WETH: DEBT, A_USDT: USDT_DEBT}
        owed = sum(
            (self.holdings.get(debts[key], D(0)) * reserves[key].price for key in debts if key in reserves), D(0)
        )
        mode = next((tick for tick in terms.values() if tick.category == self.emode), None)
        weth = reserves[A_WETH]
        ltv, threshold = (mode.ltv, mode.liquidation_threshold) if mode else (weth.ltv, weth.liquidation_threshold)
        health = value * threshold / owed if owed else None
        return {"aave_v3": LendingReport("aave_v3", value, owed, ltv, threshold, health, self.emode)}

    # ---------------------------------------------------------------------------------------------- what it does
    def assess(self) -> Assessment:
        """The reasons now."""
        return self.strategy.assess(self.time, "market", self.market, self.exposure, self.risk)

    def orders(self) -> list[Order]:
        """The orders now, cut into batches as they would be sent."""
        orders = self.strategy.make_strategy_decision(self.time, "market", self.market, self.exposure, self.risk)
        if orders:
            batches(orders, CHAIN)
        return orders

    def remember(self) -> None:
        """Folds the readings of this block."""
        for event in self.chain.at(self.time):
            self.memory = self.strategy.fold(self.memory, event)

    def step(self, **span: float) -> ReasonCode:
        """After ``span`` (as a timedelta takes it): read, decide, do."""
        self.time += timedelta(**span)
        self.decision += 1
        self.remember()
        found, orders = self.assess(), self.orders()
        if orders:
            self.acts.append((self.time, found, orders))
            self.execute(found, orders)
        return found.reason

    def live(self, **span: float) -> list[ReasonCode]:
        """So long in hours."""
        return [self.step(hours=1) for _ in range(int(timedelta(**span) / timedelta(hours=1)))]

    def grow(self, token: PositionKey, apr: Decimal, *, decides: bool = True, **span: float) -> list[ReasonCode]:
        """So long in hours while the token earns ``apr`` at issuer, oracle and DEX; undecided, it only looks on."""
        reasons = []
        for _ in range(int(timedelta(**span) / timedelta(hours=1))):
            self.rerate(token, self.chain.lsts[token].rate * (1 + apr / 8760))
            if decides:
                reasons.append(self.step(hours=1))
            else:
                self.time += timedelta(hours=1)
                self.remember()
        return reasons

    def rerate(self, token: PositionKey, rate: Decimal) -> None:
        """Another rate at the issuer, which oracle and DEX follow."""
        tick, collateral = self.chain.lsts[token], K(f"aave_v3:atoken:{token.symbol}")
        factor = rate / tick.rate
        names = ("pool_price", "pool_price_buy", "oracle_price_eth")
        prices = {name: getattr(tick, name) for name in names}
        moved = {name: None if price is None else price * factor for name, price in prices.items()}
        self.chain = self.chain.token(token, rate=rate, **moved)
        self.chain = self.chain.reserve(collateral, price=self.chain.reserves[collateral].price * factor)

    def execute(self, found: Assessment, orders: list[Order], state: PlanState = PlanState.DONE) -> None:
        """Everything as expected; requests get a number, and what they ask for becomes payable by the chain alone."""
        for order in orders:
            self.emode = int(order.memo or 0) if order.operation is OrderOperation.SET_EMODE else self.emode
            deltas = {self._numbered(key): amount for key, amount in order.expected_deltas.items()}
            for key, amount in deltas.items():
                self.holdings[key] = self.holdings.get(key, D(0)) + amount
                assert self.holdings[key] >= 0, f"{order.operation}: {key} would be {self.holdings[key]}"
            self._tell(order, deltas)
        why, done = found.reason, (found.targets, found.weights)
        ended = PlanEnded(self.strategy.name, self.decision, why, state, self.time, *done)
        self.memory = self.strategy.fold(self.memory, ended)

    def _numbered(self, key: PositionKey) -> PositionKey:
        if key.symbol != "*":
            return key
        self.requests += 1
        return K(f"{key.venue}:claim:{self.requests}")

    def _tell(self, order: Order, deltas: dict[PositionKey, Decimal]) -> None:
        trade = Trade(
            trade_id=f"{order.order_id}:0",
            order_id=order.order_id,
            account=order.venue,
            instrument=order.instrument,
            status=TradeStatus.FILLED,
            order_state=OrderState.FINAL,
            venue_time=self.time,
            recv_time=self.time,
            deltas=deltas,
        )
        self.memory = self.strategy.fold(self.memory, trade)
        for key, amount in deltas.items():
            if key.kind is Kind.CLAIM and amount > 0:
                report = ClaimReport(key, block(self.time), amount, is_payable=False)
                self.chain = replace(self.chain, claims={**self.chain.claims, key: report})

    def pay(self, key: PositionKey) -> None:
        """The issuer finalises a request."""
        report = replace(self.chain.claims[key], is_payable=True)
        self.chain = replace(self.chain, claims={**self.chain.claims, key: report})

    # ------------------------------------------------------------------------------------------------ what was done
    def done(self) -> list[str]:
        """Reasons of all plans so far."""
        return [found.reason.value for _, found, _ in self.acts]


def shown(orders: list[Order]) -> list[tuple[str, str]]:
    """(operation, amount) of every order, to six digits."""
    return [(order.operation.value, "MAX" if order.amount == "MAX" else signs(order.quantity, 6)) for order in orders]
