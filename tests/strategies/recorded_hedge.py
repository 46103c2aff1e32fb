"""Recorded hours driven through a staked hedge: strategies.md 6.0, one venue, prices of Bybit, the chain as it was.

Ladder and delta act at every point of a bar's path, everything else at bar open. A sale of the sleeve is done in the
cycle that starts it and costs its discount and 5 bp; USDT that leaves the wallet is margin an hour later, and until
then its plan is in flight. Gas is that of the file, by planning units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.decision import Assessment, PlanEnded
from basis_daemon.domain.gas import GWEI, HEADROOM, planned_units
from basis_daemon.domain.instrument import Kind, PositionKey, round_down
from basis_daemon.domain.market import FundingSettled
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.plan import PlanState
from basis_daemon.strategies.hedge import UsdtMarketNeutralNoLeverage
from basis_daemon.strategies.hedge_levered import UsdtMarketNeutral
from basis_daemon.strategies.hedge_parameters import HedgeParameters, LeveredHedgeParameters
from tests.builders import BINANCE, D, mark_tick
from tests.strategies.chain_scenes import A_WEETH, A_WETH, DEBT, ETH, USDT, WEETH, WETH, Chain, nothing_wrong
from tests.strategies.hedge_scenes import ROUTED, HedgeRun
from tests.strategies.recorded import ANY_TIME, MINUTES, Stress, candles, moment, rows, settled
from tests.strategies.recorded_chain import hours

CAPITAL, SLIP, ON_THE_WAY = D(300_000), D("0.00015"), timedelta(hours=1)
PERP = BINANCE.perp_key("ETH")


@dataclass
class Replay(HedgeRun):
    """A hedge at the recorded prices, and what it came to; money in USDT."""

    spot: Decimal = D(0)
    perp: Decimal = D(0)
    perp_step: str = "0.01"
    waiting: tuple[datetime, list[Order], Assessment] | None = None
    earned: Decimal = D(0)
    costs: Decimal = D(0)
    started: Decimal = CAPITAL
    z_min: Decimal = D(100)
    delta_max: Decimal = D(0)
    log: list[tuple[str, str]] = field(default_factory=list)

    @property
    def price(self) -> Decimal:
        """Spot."""
        return self.spot

    @property
    def mark(self) -> Decimal:
        """Perp."""
        return self.perp

    @property
    def equity(self) -> Decimal:
        """E."""
        found = self.exposure.equity_usdt
        assert found is not None
        return found

    @property
    def result(self) -> Decimal:
        """Change of E in bp."""
        return self.bp(self.equity - self.started)

    def bp(self, amount: Decimal) -> Decimal:
        """Of the capital."""
        return amount / CAPITAL * 10_000

    def learn(self, event: FundingSettled, *, is_paid: bool) -> None:
        """A settlement, on Q at the open."""
        self.memory = self.strategy.fold(self.memory, event)
        if is_paid:
            cash = -self.weigh(PERP) * self.perp * event.rate
            self.holdings[BINANCE.margin_key] += cash
            self.earned += cash

    def point(self, at: datetime, *, is_open: bool) -> None:
        """One point of a path: remember, arrive, decide, do."""
        self.time = at
        if is_open:
            super(HedgeRun, self).remember()
            self.holdings[DEBT] = self.weigh(DEBT) * (1 + self.rate_of_debt / 8760)
        self.memory = self.strategy.fold(self.memory, mark_tick(PERP, self.perp, at, self.funding))
        self._arrive()
        self._measure()
        found = self.assess()
        if found.reason in ANY_TIME or is_open:
            orders = self.orders()
            if orders:
                self.log.append((found.reason.value, at.strftime("%m-%d %H:%M")))
                self._run(found, orders)
        self._measure()

    @property
    def rate_of_debt(self) -> Decimal:
        """Of WETH, a year."""
        return self.chain.reserves[PositionKey("aave_v3:atoken:WETH")].borrow_rate

    # ------------------------------------------------------------------------------------------------------ orders
    def _run(self, found: Assessment, orders: list[Order]) -> None:
        self.decision += 1
        for place, order in enumerate(orders):
            if order.operation is OrderOperation.TRANSFER and order.network == ROUTED["network"]:
                self._send(orders[place:], found)
                return
            self._do(order)
        self._end(found)

    def _send(self, rest: list[Order], found: Assessment) -> None:
        """The first of the rest travels; the others wait for it."""
        for key, amount in rest[0].expected_deltas.items():
            if amount < 0:
                self.holdings[key] += amount
                self.holdings[_transit(rest[0])] = self.weigh(_transit(rest[0])) - amount
        self.waiting = self.time + ON_THE_WAY, rest, found
        busy = {"binanceusdm": found.urgency} if found.urgency else {}
        self.risk = replace(self.risk, plan_in_flight=True, defence_in_flight=busy)

    def _arrive(self) -> None:
        if self.waiting is None or self.time < self.waiting[0]:
            return
        _, (sent, *rest), found = self.waiting
        self.waiting, self.risk = None, nothing_wrong()
        for key, amount in sent.expected_deltas.items():
            if amount > 0:
                self.holdings[key] = self.weigh(key) + amount
                self.holdings[_transit(sent)] -= amount
        self._run(found, rest) if rest else self._end(found)

    def _end(self, found: Assessment) -> None:
        done = (found.targets, found.weights)
        ended = PlanEnded(self.strategy.name, self.decision, found.reason, PlanState.DONE, self.time, *done)
        self.memory = self.strategy.fold(self.memory, ended)

    def _do(self, order: Order) -> None:
        before = self.weigh(PERP)
        for key, amount in self._deltas(order).items():
            self.holdings[key] = self.weigh(key) + amount
        after, price = self.weigh(PERP), order.ref_price or D(0)
        if before != after:
            known = self.open_notional.get(PERP, D(0))
            is_less = abs(after) < abs(before)
            self.open_notional[PERP] = known * after / before if is_less else known + (after - before) * price
        if order.side is not None:
            fee = self.market.instruments[order.instrument].taker_fee
            self.costs += order.quantity * price * (fee + SLIP)
            self.holdings[BINANCE.margin_key] -= order.quantity * price * SLIP
        elif order.operation is not OrderOperation.TRANSFER:
            gas = planned_units([order.operation]) * HEADROOM * self.chain.gwei * GWEI
            self.holdings[ETH] = self.weigh(ETH) - gas
            self.costs += gas * self.price

    def _deltas(self, order: Order) -> dict[PositionKey, Decimal]:
        """A swap brings what the quote says, which is more than the least that it must bring."""
        deltas = dict(order.expected_deltas)
        if order.operation is OrderOperation.SWAP and order.token_out is not None:
            quote = self.chain.lsts[WEETH].pool_price or D(0)
            unit = quote if order.token_in == WEETH else self.price
            deltas[order.token_out] = order.quantity * unit
            worth = order.quantity * (self.chain.lsts[WEETH].rate if order.token_in == WEETH else self.price)
            self.costs += (worth - order.quantity * unit) * (self.price if order.token_in == WEETH else 1)
        return deltas

    def _measure(self) -> None:
        equity, p = self.equity, self.parameters
        net = self.assess().inputs["net_delta"].value
        self.delta_max = max(self.delta_max, abs(net * self.price / equity))
        for state in self.exposure.margins:
            if state.quantity:
                z = ((1 + state.margin / state.notional) / (1 + state.maintenance_rate) - 1) / p.shock
                self.z_min = min(self.z_min, z)


def _transit(order: Order) -> PositionKey:
    source = next(key for key, amount in order.expected_deltas.items() if amount < 0)
    return PositionKey.of(source.venue, Kind.TRANSIT, source.symbol)


def book(lam: Decimal) -> Replay:
    """One venue, all of it; lambda 0 is the book without leverage."""
    venue = BINANCE.model_copy(update={**ROUTED, "withdrawal_fee_usdt": D(0)})
    given = {"venues": (venue,), "venue_cap": D(1), "uses_prediction": False}
    if lam:
        levered = LeveredHedgeParameters.model_validate({**given, "lambda_target": lam})
        return Replay(UsdtMarketNeutral(levered), {}, Chain(), parameters=levered)
    plain = HedgeParameters.model_validate(given)
    return Replay(UsdtMarketNeutralNoLeverage(plain), {}, Chain(), parameters=plain)


def opened(run: Replay, lam: Decimal) -> None:
    """It stands at m* as if it had always stood, without the cost of an entry."""
    reserve, rate = D("0.15"), run.chain.lsts[WEETH].rate
    staked = round_down(CAPITAL / D("1.5") / run.spot, D(run.perp_step))
    collateral = (staked - reserve) / (1 - lam)
    margin = D("0.5") * staked * run.perp
    run.holdings = {ETH: reserve, PERP: -staked, BINANCE.margin_key: margin, USDT: D(0), WETH: D(0)}
    run.holdings |= {A_WEETH: collateral / rate, DEBT: lam * collateral} if lam else {WEETH: collateral / rate}
    run.holdings[BINANCE.cash_key] = CAPITAL - staked * run.spot - margin
    run.open_notional = {PERP: -staked * run.perp}
    run.emode = 1 if lam else 0


def replayed(
    window: str, start: datetime, *, lam: Decimal = D(0), is_opened: bool = True, stress: Stress | None = None
) -> Replay:
    """The window from ``start`` on, after its lead-in has taught funding, marks and the token's rate."""
    spot, perp = (_paths(window, market, stress) for market in ("spot", "perp"))
    funding, run = settled(window, "ETH"), book(lam)
    for hour in _known(window, set(spot) & set(perp)):
        run.chain = hour[1]
        is_first = hour[0] == start
        run.spot, run.perp = spot[hour[0]][0], perp[hour[0]][0]
        if is_first and is_opened:
            opened(run, lam)
        elif is_first:
            run.holdings = {ETH: D("0.15"), BINANCE.cash_key: CAPITAL}
            run.started = CAPITAL + D("0.15") * run.spot
        if (event := funding.get(hour[0])) is not None:
            run.learn(event, is_paid=hour[0] > start and bool(run.holdings.get(PERP)))
        for place, minute in enumerate(MINUTES):
            at = hour[0] + timedelta(minutes=minute)
            run.spot, run.perp = spot[hour[0]][place], perp[hour[0]][place]
            if hour[0] >= start:
                run.point(at, is_open=place == 0)
            else:
                look_on(run, at, is_open=place == 0)
    return run


def _paths(window: str, market: str, stress: Stress | None) -> dict[datetime, tuple[Decimal, ...]]:
    """Where prices are stressed, from right after the open of a bar: an hour's return is not its own cause."""
    known, worse = candles(window, market, "ETH", None), candles(window, market, "ETH", stress)
    if stress is not None:
        worse[stress.since] = (known[stress.since][0], *worse[stress.since][1:])
    return worse


def _known(window: str, stamps: set[datetime]) -> Iterator[tuple[datetime, Chain]]:
    """Hours that have candles and a token; a hole of the token's rows keeps the last ones."""
    last: Chain | None = None
    rates = {moment(row["timestamp"]): D(row["rate_interpolated"]) for row in rows(window, "lst_market.csv")
             if row["asset"] == "weETH"}  # fmt: skip
    for hour in hours(window):
        last = _at_rate(hour.chain, rates[hour.at]) if WEETH in hour.chain.lsts else last
        if hour.at in stamps and last is not None:
            yield hour.at, replace(last, gwei=hour.chain.gwei)


def _at_rate(chain: Chain, rate: Decimal) -> Chain:
    """The hour's own rate of the token, at issuer, oracle and DEX."""
    tick = chain.lsts[WEETH]
    sale = (tick.pool_price or D(0)) * rate / tick.rate
    moved = chain.token(WEETH, rate=rate, pool_price=sale, oracle_price_eth=rate)
    return moved.reserve(A_WEETH, price=chain.reserves[A_WETH].price * rate)


def look_on(run: Replay, at: datetime, *, is_open: bool) -> None:
    """A point that teaches and decides nothing."""
    run.time = at
    if is_open:
        super(HedgeRun, run).remember()
    run.memory = run.strategy.fold(run.memory, mark_tick(PERP, run.perp, at, run.funding))
