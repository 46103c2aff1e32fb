"""Recorded hours driven through the ETH book with its overlay: strategies.md 6.0; E is counted in ETH.

Interest of core and debt accrues hourly at the rates of the day; USDT between wallet and exchange takes an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.strategies.overlay import EthBasisInEth
from basis_daemon.strategies.overlay_parameters import OverlayParameters
from tests.builders import BINANCE, D
from tests.strategies.chain_scenes import A_USDT, A_WETH, ETH, USDT_DEBT, WETH, Chain
from tests.strategies.hedge_scenes import ROUTED
from tests.strategies.recorded import MINUTES, candles, settled
from tests.strategies.recorded_chain import hours
from tests.strategies.recorded_hedge import PERP, Replay, look_on

CORE = D(100)


@dataclass
class OverlayReplay(Replay):
    """A core of 100 ETH; results are basis points of it."""

    lam_max: Decimal = D(0)

    def point(self, at: datetime, *, is_open: bool) -> None:
        """As any replay's, with the interest of an hour."""
        if is_open:
            reserves = self.chain.reserves
            self.holdings[A_WETH] = self.weigh(A_WETH) * (1 + reserves[A_WETH].supply_rate / 8760)
            self.holdings[USDT_DEBT] = self.weigh(USDT_DEBT) * (1 + reserves[A_USDT].borrow_rate / 8760)
        super().point(at, is_open=is_open)
        if core := self.weigh(A_WETH) * reserves_price(self):
            self.lam_max = max(self.lam_max, self.weigh(USDT_DEBT) / core)

    @property
    def ether(self) -> Decimal:
        """E in ETH."""
        return self.equity / self.price

    def ether_bp(self, usdt: Decimal) -> Decimal:
        """USDT of now as basis points of the core."""
        return usdt / self.price / CORE * 10_000


def reserves_price(run: OverlayReplay) -> Decimal:
    """The oracle's."""
    return run.chain.reserves[A_WETH].price


def replayed(window: str, start: datetime) -> OverlayReplay:
    """The window from ``start`` on."""
    spot, perp = (candles(window, market, "ETH", None) for market in ("spot", "perp"))
    venue = BINANCE.model_copy(update={**ROUTED, "withdrawal_fee_usdt": D(0)})
    given = {"venues": (venue,), "venue_cap": D(1), "uses_prediction": False, "lend_buffer": D(0)}
    p = OverlayParameters.model_validate(given)
    run = OverlayReplay(EthBasisInEth(p), {ETH: CORE, WETH: D(0)}, Chain(), parameters=p)
    funding = settled(window, "ETH")
    for hour in hours(window):
        if hour.at not in spot or hour.at not in perp:
            continue
        run.chain, run.spot, run.perp = hour.chain, spot[hour.at][0], perp[hour.at][0]
        if (event := funding.get(hour.at)) is not None:
            run.learn(event, is_paid=bool(run.holdings.get(PERP)))
        for place, minute in enumerate(MINUTES):
            run.spot, run.perp = spot[hour.at][place], perp[hour.at][place]
            at = hour.at + timedelta(minutes=minute)
            if hour.at >= start:
                run.point(at, is_open=place == 0)
            else:
                look_on(run, at, is_open=place == 0)
    return run
