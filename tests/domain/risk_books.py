"""Positions that can be liquidated, as the risk view reads them: a short at an exchange, a loan in e-mode."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.risk_book import LoanItem, LoanRisk, PerpRisk, RiskBook, RiskTerms
from tests.builders import NOW

D = Decimal
SHOCKS = {"BTC": D("0.20"), "ETH": D("0.25"), "weETH": D("0.025")}
TERMS = RiskTerms(shocks=SHOCKS)
ETH_PERP = PositionKey("binanceusdm:perp:ETHUSDT")


def short(margin: str, underlying: str = "ETH", funding: str | None = "0", **changes: object) -> PerpRisk:
    """A short of 100 at a mark of 1: ``margin`` is the ratio in percent."""
    rate = None if funding is None else D(funding)
    perp = PerpRisk("binanceusdm", ETH_PERP, underlying, D(-100), D(1), D(margin), D("0.01"), (), rate)
    return replace(perp, **changes)  # type: ignore[arg-type]  # named by the caller


def loan(ltv: str = "0.85", **changes: object) -> LoanRisk:
    """100 ETH of weETH in e-mode against WETH."""
    collateral = LoanItem("weETH", D(100), D(2000), D("0.95"), D(0), is_staked=True)
    debt = LoanItem("WETH", D(100) * D(ltv), D(2000), D(1), D("0.20"))
    known = LoanRisk("aave_v3", (collateral,), (debt,), None, 1, D("0.01"))
    return replace(known, **changes)  # type: ignore[arg-type]  # named by the caller


def book(*positions: PerpRisk | LoanRisk, terms: RiskTerms = TERMS) -> RiskBook:
    perps = tuple(p for p in positions if isinstance(p, PerpRisk))
    loans = tuple(p for p in positions if isinstance(p, LoanRisk))
    return RiskBook("book", terms, NOW, D(150), (), perps, loans, {}, {})
