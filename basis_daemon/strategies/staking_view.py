"""The picture of a staking book: its token, what a sale and a wait cost, and the way out that is cheaper."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TypeVar

from basis_daemon.domain.chain import LstTick
from basis_daemon.domain.gas import UNITS
from basis_daemon.domain.instrument import Kind
from basis_daemon.domain.lending import ZERO, OnchainEquity, onchain_equity
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.peg import PEG_BAND, is_pegged
from basis_daemon.domain.staking import ExitPath, discount, exit_path, waiting_cost
from basis_daemon.strategies.onchain_calls import EETH, SHARE_ROUNDING, WETH, Lst, ceiling, floor, handed_back, swap
from basis_daemon.strategies.onchain_memory import SECONDS_PER_DAY
from basis_daemon.strategies.onchain_orders import Operation
from basis_daemon.strategies.onchain_parameters import StakingParameters
from basis_daemon.strategies.onchain_view import REWARDS, ChainView, unknown
from basis_daemon.strategies.rules import brief

PS_co = TypeVar("PS_co", bound=StakingParameters, covariant=True)
ONE = Decimal(1)


@dataclass(frozen=True)
class StakeView(ChainView[PS_co]):
    """A book in ETH; a token is worth its issuer's rate, whatever the DEX pays."""

    @property
    def lst(self) -> Lst:
        """The token."""
        return self.p.lst

    @cached_property
    def tick(self) -> LstTick:
        """The token as last read; raises StaleDataError when it never was."""
        return self.frame.market.lsts.get(self.lst.key) or unknown(f"lst:{self.lst.key}")

    @property
    def rate(self) -> Decimal:
        """ETH per token at the issuer."""
        return self.tick.rate

    @cached_property
    def worth(self) -> OnchainEquity:
        """ETH; without a rate the token has no value, and equity is unknown as long as any is held."""
        values = {"ETH": ONE, "WETH": ONE, "stETH": ONE, "eETH": ONE}
        if self.lst.key in self.frame.market.lsts:
            values[self.lst.value] = self.rate
        return onchain_equity(self.frame.exposure.holdings, values, set(REWARDS))

    @property
    def tokens(self) -> Decimal:
        """In the wallet."""
        return self.held(self.lst.key)

    @property
    def bare(self) -> Decimal:
        """EETH that a plan left unwrapped on its way; what rounding leaves is none."""
        held = self.held(EETH) if self.lst is Lst.WEETH else ZERO
        return held if held > SHARE_ROUNDING * 1000 else ZERO

    @property
    def placed(self) -> Decimal:
        """ETH of equity that is in the token."""
        return self.tokens * self.rate + self.bare

    @cached_property
    def claimed(self) -> Decimal:
        """ETH that issuers owe."""
        held = self.frame.exposure.holdings.items()
        return sum((amount for key, amount in held if key.kind is Kind.CLAIM), ZERO)

    @cached_property
    def y_base(self) -> Decimal | None:
        """Growth of the rate per year; None before the window was seen."""
        return self.memory.lst.y_base(self.p.y_window)

    @cached_property
    def y_eff(self) -> Decimal | None:
        """With what is counted of the rewards."""
        return self.memory.lst.y_eff(self.p.y_window, self.p.reward_haircut)

    # ------------------------------------------------------------------------------------------------------ health
    @cached_property
    def health_fault(self) -> str | None:
        """Why nothing is put into the token now; None while it is healthy."""
        tick, fall = self.tick, self.memory.lst.fall
        if fall:
            return f"the rate of {self.lst} fell by {brief(fall)}"
        if tick.is_paused or not tick.deposits_open:
            return f"{tick.instrument.symbol}: the issuer {'is paused' if tick.is_paused else 'takes no deposits'}"
        if not is_pegged(tick):
            price = "unknown" if tick.pool_price is None else brief(tick.pool_price)
            return f"{self.lst} sells at {price}, rate {brief(tick.rate)}, band {PEG_BAND}"
        return None

    # --------------------------------------------------------------------------------------------------------- out
    @cached_property
    def sale_cost(self) -> Decimal | None:
        """Fraction of the rate that a sale costs, discount, fee and impact; None without a quote."""
        price = self.tick.pool_price
        return None if price is None else discount(price, self.rate)

    @property
    def waiting(self) -> Decimal:
        """What the issuer's queue costs. While the yield is unknown waiting costs nothing that could be counted on."""
        days = Decimal(int(self.memory.lst.wait.total_seconds())) / SECONDS_PER_DAY
        return waiting_cost(days, max(self.y_base or ZERO, ZERO))

    def slip(self, urgency: Decimal) -> Decimal:
        """Fraction that a sale may cost."""
        return self.p.slip_emergency if urgency else self.p.slip_dex

    def out(self, quantity: Decimal, urgency: Decimal) -> tuple[Operation, ...]:
        """Tokens of the wallet into ETH by the cheaper path: sold up to the quote, the rest handed to the issuer.

        An issuer that is paused takes nothing back: then only a sale is left.
        """
        quantity = max(floor(self.lst.key, min(quantity, self.tokens)), ZERO)
        is_sold = quantity > 0 and self._sells(quantity, urgency)
        sold = floor(self.lst.key, min(quantity, self.tick.quoted_size)) if is_sold else ZERO
        least = ceiling(WETH, sold * self.rate * (1 - self.slip(urgency)))
        sale = (swap(self.lst.key, WETH, sold, least),) if sold > 0 else ()
        if self.tick.is_paused:
            return sale
        return (*sale, *handed_back(self.lst, quantity - sold, self.rate, self.bare))

    def out_for(self, eth: Decimal, urgency: Decimal) -> tuple[Operation, ...]:
        """What frees so much ETH even if a sale costs all that it may."""
        quantity = eth / self.rate
        return self.out(quantity / (1 - self.slip(urgency)) if self._sells(quantity, urgency) else quantity, urgency)

    def _sells(self, quantity: Decimal, urgency: Decimal) -> bool:
        if self.sale_cost is None:
            return False
        gas_share = self.gas_of(UNITS[OrderOperation.SWAP]) / (quantity * self.rate)
        path = exit_path(self.sale_cost, gas_share, self.waiting, urgency, self.slip(urgency))
        return path is ExitPath.SWAP
