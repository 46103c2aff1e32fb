"""Staked hedges that live: exchanges and a chain in numbers, one price for both, every order done as it is expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from basis_daemon.domain.decision import Assessment, Exposure, ReasonCode
from basis_daemon.domain.exposure import build_exposure
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.order import Order
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.position import PositionBook
from basis_daemon.strategies.hedge import UsdtMarketNeutralNoLeverage
from basis_daemon.strategies.hedge_levered import UsdtMarketNeutral
from basis_daemon.strategies.hedge_parameters import HedgeParameters, LeveredHedgeParameters
from basis_daemon.strategies.overlay import EthBasisInEth
from basis_daemon.strategies.overlay_parameters import OverlayParameters
from basis_daemon.strategies.parameters import BasisVenue
from basis_daemon.strategies.twofold import TwofoldMemory, TwofoldParameters
from tests.builders import (
    BINANCE,
    FRESH,
    STALE,
    D,
    book_tick,
    mark_tick,
    perp_instrument,
    settlements,
    spot_instrument,
)
from tests.strategies.chain_scenes import A_WETH, ETH, WEETH, Run, calm
from tests.strategies.levered_scenes import CHEAP

GOOD = D("0.0001")
"""Funding per 8 h at which the hedge of these scenes pays."""
ROUTED = {"network": "ethereum", "withdrawal_fee_usdt": D(5)}
ONE_VENUE = (BINANCE.model_copy(update=ROUTED),)
WEIGHTS = {"binance": D("0.4"), "bybit": D("0.3"), "okx": D("0.3")}
THREE_VENUES = tuple(
    BasisVenue.model_validate({"name": name, "spot_account": name, "perp_account": f"{name}perp", "weight": w} | ROUTED)
    for name, w in WEIGHTS.items()
)


def _given(venues: tuple[BasisVenue, ...]) -> dict[str, object]:
    """One venue takes the whole book unless told otherwise."""
    chosen = venues or ONE_VENUE
    return {"venues": chosen, "venue_cap": D(1) if len(chosen) == 1 else D("0.5")}


def hedge(*venues: BasisVenue, **changes: object) -> HedgeParameters:
    """Of the book without leverage."""
    return HedgeParameters.model_validate(_given(venues) | changes)


@dataclass
class HedgeRun(Run):
    """A run whose book also trades at exchanges; ``open_notional`` is the cost of its perps."""

    parameters: TwofoldParameters = field(default_factory=hedge)
    open_notional: dict[PositionKey, Decimal] = field(default_factory=dict)
    funding: Decimal = GOOD
    depth: Decimal = D(1000)
    perp_step: str = "0.001"

    @property
    def price(self) -> Decimal:
        """USDT per ETH at exchanges and oracle."""
        return self.chain.reserves[PositionKey("aave_v3:atoken:WETH")].price

    @property
    def mark(self) -> Decimal:
        """Of every perp."""
        return self.price

    def moves(self, by: str) -> None:
        """Every price in USDT moves by a fraction: rates of tokens against ETH stay."""
        reserves = self.chain.reserves
        moved = {
            key: tick if key.symbol == "USDT" else replace(tick, price=tick.price * (1 + D(by)))
            for key, tick in reserves.items()
        }
        self.chain = replace(self.chain, reserves=moved)

    @property
    def market(self) -> MarketSnapshot:
        """The chain's readings, and every venue's instruments, books and marks."""
        market, p = super().market, self.parameters
        instruments, books, marks, names = {}, {}, {}, []
        for venue in p.venues:
            spot, perp = venue.spot_key("ETH"), venue.perp_key("ETH")
            instruments[spot] = spot_instrument(spot, "ETH")
            instruments[perp] = perp_instrument(perp, "ETH", quantity_step=D(self.perp_step))
            books[spot] = book_tick(spot, self.price, self.time, self.depth)
            books[perp] = book_tick(perp, self.mark, self.time, self.depth)
            marks[perp] = mark_tick(perp, self.mark, self.time, self.funding)
            names += [f"book:{spot}", f"book:{perp}", f"mark:{perp}"]
            names += [f"account:{venue.spot_account}", f"account:{venue.perp_account}"]
        ages = {name: STALE if name in self.stale else FRESH for name in names}
        return replace(market, instruments=instruments, books=books, marks=marks, ages={**market.ages, **ages})

    @property
    def exposure(self) -> Exposure:
        """As the engine builds it."""
        return self.exposure_at(self.market)

    def exposure_at(self, market: MarketSnapshot) -> Exposure:
        """Of what is held, at a market."""
        book = PositionBook(1, self.time, dict(self.holdings), dict(self.open_notional))
        found = build_exposure(book, market, self.budget_usdt)
        return replace(found, lendings=self.lendings, claims=self.chain.claims)

    def remember(self) -> None:
        """Folds the chain's readings, the marks, and what was settled at this hour."""
        super().remember()
        for venue in self.parameters.venues:
            perp = venue.perp_key("ETH")
            self.memory = self.strategy.fold(self.memory, mark_tick(perp, self.mark, self.time, self.funding))
            if self.time.hour % 8 == 0:
                self.settle([self.funding], perp)

    def wait(self, rate: Decimal | None = None, *perps: PositionKey, **span: float) -> None:
        """So long passes without a decision, funding settling at this rate at ``perps``, elsewhere at its own."""
        self.time += timedelta(**span)
        super().remember()
        count = int(timedelta(**span) / timedelta(hours=8))
        self.settle([self.funding if rate is None else rate] * count, *perps)
        self.settle([self.funding] * count)
        self.remember()

    def settle(self, rates: list[Decimal], *perps: PositionKey) -> None:
        """Funding settled until now; what was settled before stands."""
        for perp in perps or [venue.perp_key("ETH") for venue in self.parameters.venues]:
            for event in settlements(perp, rates, self.time):
                self.memory = self.strategy.fold(self.memory, event)

    def execute(self, found: Assessment, orders: list[Order], state: PlanState = PlanState.DONE) -> None:
        """As any run; a perp's cost follows its fills, and shorts may stand below zero."""
        cost, prices = self.open_notional, {order.instrument: order.ref_price for order in orders}
        shorts = {key: amount for key, amount in self.holdings.items() if key.kind is Kind.PERP}
        lifted = {key: amount + 10**9 for key, amount in shorts.items()}
        self.holdings |= {venue.perp_key("ETH"): D(10**9) for venue in self.parameters.venues} | lifted
        super().execute(found, orders, state)
        for venue in self.parameters.venues:
            key = venue.perp_key("ETH")
            before, after = shorts.get(key, D(0)), self.holdings[key] - 10**9
            self.holdings[key] = after
            if abs(after) < abs(before):
                cost[key] = cost.get(key, D(0)) * after / before
            else:
                cost[key] = cost.get(key, D(0)) + (after - before) * (prices.get(key) or D(0))

    def weigh(self, key: PositionKey) -> Decimal:
        """What is held."""
        return self.holdings.get(key, D(0))

    def ratio(self, venue: BasisVenue = BINANCE) -> Decimal:
        """Margin ratio of one short."""
        (state,) = (s for s in self.exposure.margins if s.account == venue.perp_account)
        return state.margin / state.notional

    def delta(self) -> Decimal:
        """Share of equity, as the book sees it."""
        equity = self.exposure.equity_usdt
        assert equity is not None
        return self.assess().inputs["net_delta"].value * self.price / equity


def candidate(capital: str = "300000", *venues: BasisVenue, **changes: object) -> HedgeRun:
    """USDT at the exchanges by their weights, the gas reserve in the wallet, ten days seen from outside."""
    p = hedge(*venues, **changes)
    return _watched(HedgeRun(UsdtMarketNeutralNoLeverage(p), _cash(capital, p), calm(WEETH), parameters=p), "0.03")


def levered_candidate(
    capital: str = "300000", *venues: BasisVenue, rate: Decimal = CHEAP, **changes: object
) -> HedgeRun:
    """The same where WETH is borrowed at ``rate``."""
    p = LeveredHedgeParameters.model_validate(_given(venues) | changes)
    chain = calm(WEETH).reserve(A_WETH, borrow_rate=rate)
    return _watched(HedgeRun(UsdtMarketNeutral(p), _cash(capital, p), chain, parameters=p), "0.033")


def _cash(capital: str, p: TwofoldParameters) -> dict[PositionKey, Decimal]:
    whole = sum((venue.weight for venue in p.venues), D(0))
    return {ETH: p.reserve_eth} | {venue.cash_key: D(capital) * venue.weight / whole for venue in p.venues}


def _watched(run: HedgeRun, y: str) -> HedgeRun:
    run.grow(WEETH, D(y), days=10, decides=False)
    run.settle([GOOD] * 30)
    return run


def entered(capital: str = "300000", *venues: BasisVenue, **changes: object) -> HedgeRun:
    """The book once its ETH is staked, two days after, so that nothing of it was moved of late."""
    return _standing(candidate(capital, *venues, **changes))


def levered(capital: str = "300000", *venues: BasisVenue) -> HedgeRun:
    """The levered one."""
    return _standing(levered_candidate(capital, *venues))


def _standing(run: HedgeRun) -> HedgeRun:
    for _ in range(4):
        run.step(hours=1)
    assert run.done() == ["ENTRY", "SCALE", "ENTRY"], run.done()
    run.wait(days=2)
    return run


def overlay_candidate(eth: str = "100", *venues: BasisVenue, **changes: object) -> HedgeRun:
    """A core of ETH in the wallet, USDT to be borrowed at 5 %, funding of ten days seen."""
    p = OverlayParameters.model_validate(_given(venues) | {"lend_buffer": D(0)} | changes)
    chain = calm().reserve(A_WETH, liquidation_threshold=D("0.83"), ltv=D("0.80"))
    run = HedgeRun(EthBasisInEth(p), {ETH: D(eth) + p.reserve_eth}, chain, parameters=p, funding=D("0.0003"))
    run.wait(days=10)
    return run


def overlaid(eth: str = "100", *venues: BasisVenue, **changes: object) -> HedgeRun:
    """The book once its core is lent and its pair stands."""
    run = overlay_candidate(eth, *venues, **changes)
    for _ in range(3):
        run.step(hours=1)
    assert run.done() == ["ENTRY", "ENTRY"], run.done()
    run.wait(days=2)
    return run


def own(run: HedgeRun) -> TwofoldMemory:
    """What it remembers."""
    assert isinstance(run.memory, TwofoldMemory)
    return run.memory


def reasons(run: HedgeRun, hours: int) -> list[ReasonCode]:
    """So many hourly decisions."""
    return [run.step(hours=1) for _ in range(hours)]


def by_key(orders: list[Order]) -> Mapping[PositionKey, Decimal]:
    """What the orders are expected to change, summed."""
    changes: dict[PositionKey, Decimal] = {}
    for order in orders:
        for key, amount in order.expected_deltas.items():
            changes[key] = changes.get(key, D(0)) + amount
    return changes
