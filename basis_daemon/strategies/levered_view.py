"""The picture of a levered book: collateral and debt at the Aave oracle, their terms, and what leaving costs.

The driver of its health is the token against ETH at that oracle: neither ETH/USD nor the DEX moves it. A discount at
the DEX makes leaving dear, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from basis_daemon.domain.chain import EModeTick, LendingReport, ReserveTick
from basis_daemon.domain.lending import ZERO, health_of, rates_after
from basis_daemon.domain.levered import lambda_target, pickup, round_trip
from basis_daemon.domain.staking import discount
from basis_daemon.strategies.onchain_calls import AAVE, DEBT, WETH_RESERVE
from basis_daemon.strategies.onchain_parameters import LeveragedParameters
from basis_daemon.strategies.onchain_view import GAS, unknown
from basis_daemon.strategies.rules import brief
from basis_daemon.strategies.staking_view import StakeView


@dataclass(frozen=True)
class LeverView(StakeView[LeveragedParameters]):
    """Amounts are ETH at the Aave oracle unless they are tokens."""

    @cached_property
    def collateral_reserve(self) -> ReserveTick:
        """The token's reserve."""
        return self.reserve(self.lst.reserve)

    @cached_property
    def weth(self) -> ReserveTick:
        """The reserve that the debt is owed to."""
        return self.reserve(WETH_RESERVE)

    @cached_property
    def emode(self) -> EModeTick:
        """Terms of the category; raises StaleDataError when they were never read."""
        return self.frame.market.emodes.get(self.lst.reserve) or unknown(f"emode:{self.lst.reserve}")

    @cached_property
    def report(self) -> LendingReport | None:
        """The account in the protocol's own figures."""
        return self.frame.exposure.lendings.get(AAVE)

    @property
    def is_in_emode(self) -> bool:
        """True when the account is in the token's category."""
        return self.report is not None and self.report.emode == self.emode.category

    @cached_property
    def oracle(self) -> Decimal:
        """ETH per token at the Aave oracle."""
        return self.collateral_reserve.price / self.weth.price

    @property
    def supplied(self) -> Decimal:
        """Tokens that are collateral."""
        return self.held(self.lst.reserve)

    @property
    def collateral(self) -> Decimal:
        """``C``."""
        return self.supplied * self.oracle

    @property
    def debt(self) -> Decimal:
        """``D``."""
        return self.held(DEBT)

    @property
    def lam(self) -> Decimal:
        """``lambda``; 0 without debt, and where ``loan_fault`` says that there is none to speak of."""
        return self.debt / self.collateral if self.debt and self.collateral > 0 else ZERO

    @property
    def placed(self) -> Decimal:
        """ETH of equity in the token, levered or not."""
        return (self.tokens + self.supplied) * self.rate + self.bare - self.debt

    @cached_property
    def health(self) -> Decimal | None:
        """The worse of ours and the protocol's own; None without debt."""
        terms = self.emode if self.is_in_emode else self.collateral_reserve
        own = health_of(self.collateral, self.debt, terms.liquidation_threshold)
        told = self.report.health_factor if self.report is not None else None
        return own if own is None or told is None else min(own, told)

    @cached_property
    def lam_target(self) -> Decimal:
        """``lambda*`` by the terms of now."""
        p, emode = self.p, self.emode
        threshold = emode.liquidation_threshold
        return lambda_target(p.lambda_target, emode.ltv, p.ltv_buffer, threshold, p.s_lst, p.hf_min_target)

    # ------------------------------------------------------------------------------------------------------- costs
    @cached_property
    def cost(self) -> Decimal | None:
        """``c``: what a sale costs against the oracle, at least as planned; None without a quote."""
        price = self.tick.pool_price
        return None if price is None else max(self.p.c_exit_plan, discount(price, self.oracle))

    @property
    def phi(self) -> Decimal:
        """Fee of a flash loan that is paid back."""
        return self.weth.flash_fee

    @property
    def k(self) -> Decimal:
        """Oracle value of what one ETH buys at the issuer."""
        return self.oracle / self.rate

    @property
    def sale_max(self) -> Decimal:
        """Oracle value of what the quote is good for."""
        return self.tick.quoted_size * self.oracle

    def pickup(self, spread: Decimal, flash: Decimal) -> Decimal | None:
        """What leverage adds a year at this y_eff - b, after own impact on b; None while leaving has no price.

        The loan of the entry becomes debt and costs no fee: only the one that leaves pays ``phi``.
        """
        if self.cost is None:
            return None
        impact = rates_after(self.weth, borrow=flash).borrow - rates_after(self.weth).borrow
        cost = round_trip(self.cost, self.k, ZERO, self.phi)
        return pickup(spread, impact, self.lam_target, cost, self.p.hold_days_carry)

    @property
    def defence_inputs(self) -> tuple[str, ...]:
        """What a repair of the health factor must know, and nothing more."""
        collateral = self.lst.reserve
        reserves = (f"reserve:{collateral}", f"reserve:{WETH_RESERVE}", f"emode:{collateral}")
        return (*reserves, f"lst:{self.lst.key}", f"account:{AAVE}", GAS)

    @cached_property
    def blind(self) -> str | None:
        """Why the health factor is not known now; None when it is."""
        stale = self.frame.market.stale(*self.defence_inputs)
        if stale:
            return f"stale: {', '.join(stale)}"
        return self.loan_fault

    @property
    def loan_fault(self) -> str | None:
        """Why nobody can say how the debt stands; None when it is known, or when there is none."""
        if not self.debt:
            return None
        if self.report is None:
            return f"unknown: lending:{AAVE}"
        return None if self.collateral > 0 else f"a debt of {brief(self.debt)} WETH without collateral"

    @cached_property
    def restriction(self) -> str | None:
        """As any book's; a debt without the protocol's own word about it is unknown too.

        The loan is looked at when everything that it takes was seen: at the first words of a head it is not yet.
        """
        return super().restriction or self.loan_fault

    @property
    def health_at_target(self) -> Decimal:
        """HF at the top of the band, which must stay above warn."""
        return self.emode.liquidation_threshold / (self.lam_target + self.p.lambda_up)


def kink_room(reserve: ReserveTick) -> Decimal:
    """What may be borrowed before the rate turns steep, within what lies there and the cap; never negative."""
    rooms = [reserve.curve.kink * (reserve.idle + reserve.debt) - reserve.debt, reserve.idle]
    if reserve.borrow_cap:
        rooms.append(reserve.borrow_cap - reserve.debt)
    return max(min(rooms), ZERO)
