"""The picture of one decision on the chain: what is held, what it is worth in its class, what a transaction costs.

Equity is counted in the class's own numeraire (USDT or ETH) by ``domain.lending.onchain_equity`` and nowhere else. What
comes in USDT from outside, a pending withdrawal and the budget, is turned into the numeraire at P, the Aave oracle's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Generic, NoReturn, TypeVar

from basis_daemon.domain.chain import ReserveTick
from basis_daemon.domain.decision import InputUsed, capital_of
from basis_daemon.domain.errors import StaleDataError
from basis_daemon.domain.gas import GWEI, gas_cost
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.lending import ZERO, OnchainEquity
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.order import Side
from basis_daemon.strategies.onchain_calls import ETH, WALLET, WETH, WETH_RESERVE
from basis_daemon.strategies.onchain_memory import OnchainMemory
from basis_daemon.strategies.onchain_parameters import OnchainParameters
from basis_daemon.strategies.rules import Frame, brief, restriction_of

PC_co = TypeVar("PC_co", bound=OnchainParameters, covariant=True)
GAS = f"gas:{ETH}"
REWARDS = ("EIGEN", "ETHFI", "KING")
REWARD_KEYS = tuple(PositionKey.of(WALLET, Kind.TOKEN, symbol) for symbol in REWARDS)
"""The only symbols that may be dust."""


SPECK = Decimal("1e-6")
"""Units of the numeraire that rounding and a minute's interest may make: nothing is ordered for less."""


def unknown(name: str) -> NoReturn:
    """Raises StaleDataError for an input that the stale gate keeps from being asked for."""
    msg = f"{name} was never seen"
    raise StaleDataError(msg)


def eth_price(market: MarketSnapshot) -> Decimal:
    """P: dollars per ETH at the Aave oracle; 0 while it is unknown."""
    reserve = market.reserves.get(WETH_RESERVE)
    return ZERO if reserve is None else reserve.price


@dataclass(frozen=True)
class ChainView(ABC, Generic[PC_co]):
    """What every book on the chain looks at; ``needed`` names the inputs without which nothing new is risked."""

    frame: Frame[PC_co, OnchainMemory]
    needed: tuple[str, ...]

    @property
    def p(self) -> PC_co:
        """Parameters."""
        return self.frame.parameters

    @property
    def memory(self) -> OnchainMemory:
        """What was folded so far."""
        return self.frame.memory

    @property
    @abstractmethod
    def worth(self) -> OnchainEquity:
        """Equity in the numeraire, or what keeps it unknown."""

    @property
    def unit_price(self) -> Decimal:
        """USDT per unit of the numeraire."""
        return self.frame.price

    @property
    def reserved(self) -> Decimal:
        """Units of the numeraire kept in native ETH for gas."""
        return self.p.reserve_eth

    def held(self, key: PositionKey) -> Decimal:
        """Units under a key."""
        return self.frame.exposure.holdings.get(key, ZERO)

    @cached_property
    def stale(self) -> tuple[str, ...]:
        """Needed inputs that are old or were never seen."""
        return self.frame.market.stale(*self.needed)

    @cached_property
    def restriction(self) -> str | None:
        """Why only risk-reducing defence may act; None when everything may (rule 0)."""
        missing = self.worth.unknown if self.frame.price > 0 else (*self.worth.unknown, "price:ETH")
        return restriction_of(self.frame.risk, ", ".join(missing), ", ".join(self.stale), self.worth.value or None)

    @property
    def stuck(self) -> str:
        """Why nothing of a book that is flattened can leave the chain now; empty where nobody has said flatten."""
        if not self.frame.risk.flatten:
            return ""
        busy = sorted(leg for leg in self.frame.risk.legs_with_open_orders if leg.kind not in {Kind.SPOT, Kind.PERP})
        unseen = "" if self.frame.price > 0 else "price:ETH was never seen"
        found = (f"stale: {', '.join(self.stale)}" if self.stale else "", unseen)
        return "; ".join(why for why in (*found, f"orders are open on {', '.join(busy)}" if busy else "") if why)

    @property
    def equity(self) -> Decimal:
        """E in the numeraire; raises StaleDataError while it is unknown."""
        return unknown("equity") if self.worth.value is None else self.worth.value

    @cached_property
    def owed(self) -> Decimal:
        """A pending withdrawal, in the numeraire."""
        return self.frame.risk.withdrawal_pending_usdt / self.unit_price

    @cached_property
    def investable(self) -> Decimal:
        """E without the gas reserve and what is owed, up to the budget; never negative."""
        budget = self.frame.exposure.budget_usdt
        limit = None if budget is None else budget / self.unit_price
        return max(capital_of(self.equity - self.reserved - self.owed, limit), ZERO)

    # ------------------------------------------------------------------------------------------------------- money
    @cached_property
    def loose_eth(self) -> Decimal:
        """ETH and WETH in the wallet beyond the gas reserve; never negative."""
        return max(self.held(ETH) - self.p.reserve_eth, ZERO) + self.held(WETH)

    def usdt(self, amount: Decimal) -> Decimal:
        """Worth of an amount of the numeraire."""
        return amount * self.unit_price

    def is_worth_moving(self, amount: Decimal) -> bool:
        """True from ``min_chain_move`` on."""
        return self.usdt(amount) >= self.p.min_chain_move_usdt

    # --------------------------------------------------------------------------------------------------------- gas
    @property
    def gas_price(self) -> Decimal:
        """ETH per unit of gas; raises StaleDataError while it is unknown."""
        gas = self.frame.market.gas
        return unknown(GAS) if gas is None else gas.price_eth

    def gas_of(self, units: int) -> Decimal:
        """ETH that so many units cost now."""
        return gas_cost(units, self.gas_price)

    def gas_fault(self, *, is_defence: bool = False) -> str | None:
        """Why a transaction must wait for cheaper gas; None when it need not."""
        cap = self.p.emergency_gas_cap_gwei if is_defence else self.p.gas_cap_gwei
        price = self.gas_price / GWEI
        return f"gas {brief(price)} gwei > {cap}" if price > cap else None

    def unpaid_gas(self, benefit_eth: Decimal, units: int) -> str | None:
        """Why thirty days of benefit do not pay the gas; None when they do."""
        cost = self.gas_of(units)
        if benefit_eth >= cost / self.p.max_gas_share:
            return None
        return f"30 d bring {brief(benefit_eth)} ETH, gas {brief(cost)} is over {self.p.max_gas_share} of it"

    # ------------------------------------------------------------------------------------------------------ memory
    def moved(self, key: PositionKey, side: Side, span: timedelta) -> bool:
        """True when a plan moved this leg in this direction within the span."""
        moved = self.memory.legs.get(f"{key} {side}")
        return moved is not None and self.frame.time - moved < span

    def reserve(self, key: PositionKey) -> ReserveTick:
        """As last read; raises StaleDataError when it never was."""
        return self.frame.market.reserves.get(key) or unknown(f"reserve:{key}")

    def used(self, values: Iterable[tuple[str, Decimal | None]]) -> dict[str, InputUsed]:
        """Those that are known, each with its age on the process clock."""
        ages = self.frame.market.ages
        return {
            name: InputUsed(value, ages[name].arrival_age_s if name in ages else ZERO)
            for name, value in values
            if value is not None
        }
