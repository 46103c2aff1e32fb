"""Builders of atomic groups: the bundles of a levered staking book as orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import ExecutionMode, Order, OrderOperation, PostCondition, PostConditionKind

D = Decimal
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
WETH = PositionKey("wallet:token:WETH")
ETH = PositionKey("wallet:token:ETH")
DEBT = PositionKey("aave_v3:vdebt:WETH")
ISSUER = {"wstETH": "lido", "weETH": "etherfi"}
O = OrderOperation  # noqa: E741  builders are read by operation, not by class name


def health(bound: str) -> PostCondition:
    return PostCondition(kind=PostConditionKind.HEALTH_FACTOR_MIN, subject="aave_v3", bound=D(bound))


def ltv(bound: str) -> PostCondition:
    return PostCondition(kind=PostConditionKind.LTV_MAX, subject="aave_v3", bound=D(bound))


def debt_max(bound: Decimal) -> PostCondition:
    return PostCondition(kind=PostConditionKind.DEBT_MAX, subject=DEBT, bound=bound)


def leg(place: int, operation: OrderOperation, venue: str, amount: Decimal | str, **changes: object) -> Order:
    """One order of the group; the expected deltas are given by the tokens unless they are named."""
    fields: dict[str, Any] = {
        "order_id": f"{place:032x}",
        "strategy": "eth_leveraged",
        "decision": 1,
        "leg": place,
        "group_id": "lever",
        "execution_mode": ExecutionMode.ATOMIC,
        "sequence_in_group": place,
        "operation": operation,
        "venue": venue,
        "instrument": changes.get("token_out") or changes.get("token_in") or WETH,
        "amount": amount,
        "reason": "ENTRY",
        "created_at": NOW,
        "expected_deltas": {} if operation is O.SET_EMODE else {WETH: D(1)},
    }
    return Order(**(fields | changes))


Wanted = tuple[OrderOperation, str, Decimal | str, Mapping[str, object]]


@dataclass(frozen=True)
class EntryGroup:
    """Loan and own WETH into a staking token; all amounts in ETH, the minimum in the token."""

    loan: Decimal
    own: Decimal = D(0)
    lst: str = "weETH"
    lst_min: Decimal = D("0.000000000000000001")
    emode: int | None = None
    swap: bool = False
    route: tuple[str, ...] = ()
    deadline: datetime | None = LATER
    conditions: Sequence[PostCondition] = field(default_factory=lambda: (health("1.05"), ltv("0.95")))

    def orders(self) -> list[Order]:
        token, spent = PositionKey(f"wallet:lst:{self.lst}"), self.loan + self.own
        legs: list[Wanted] = []
        if self.emode is not None:
            legs.append((O.SET_EMODE, "aave_v3", D(1), {"memo": str(self.emode)}))
        legs.append((O.FLASH_BORROW, "aave_v3", self.loan, {"token_out": WETH, "deadline": self.deadline}))
        acquired: dict[str, object] = {"token_out": token, "min_out": self.lst_min, "deadline": self.deadline}
        if self.swap:
            legs.append((O.SWAP, "uniswap_v3", spent, {"token_in": WETH, "route": self.route, **acquired}))
        else:
            legs.append((O.UNWRAP, "wallet", spent, {"token_in": WETH, "token_out": ETH}))
            legs.append((O.STAKE, ISSUER[self.lst], spent, {"token_in": ETH, **acquired}))
        legs.append((O.SUPPLY, "aave_v3", spent, {"token_in": token}))
        borrowed: dict[str, object] = {
            "token_out": WETH,
            "memo": "debt_mode",
            "post_conditions": tuple(self.conditions),
        }
        legs.append((O.BORROW, "aave_v3", self.loan, borrowed))
        return _numbered(legs)


@dataclass(frozen=True)
class ExitGroup:
    """A loan repays debt; collateral comes back and some of it is sold."""

    loan: Decimal
    sell: Decimal
    weth_min: Decimal
    repay: Decimal | str = "MAX"
    withdraw: Decimal | str = "MAX"
    lst: str = "weETH"
    repaid: Decimal | None = None
    route: tuple[str, ...] = ()
    deadline: datetime | None = LATER
    conditions: Sequence[PostCondition] = ()

    def orders(self) -> list[Order]:
        token = PositionKey(f"wallet:lst:{self.lst}")
        repaid = self.repaid if self.repaid is not None else self.loan * D("1.0005")
        sale: dict[str, object] = {"token_in": token, "token_out": WETH, "min_out": self.weth_min, "route": self.route}
        sale |= {"deadline": self.deadline, "post_conditions": tuple(self.conditions)}
        held = self.withdraw if isinstance(self.withdraw, Decimal) else self.sell + 1
        legs: list[Wanted] = [
            (O.FLASH_BORROW, "aave_v3", self.loan, {"token_out": WETH}),
            (O.REPAY, "aave_v3", self.repay, {"token_in": WETH}),
            (O.WITHDRAW, "aave_v3", self.withdraw, {"token_out": token, "expected_deltas": {token: held}}),
            (O.SWAP, "uniswap_v3", self.sell, sale),
            (O.FLASH_REPAY, "aave_v3", repaid, {"token_in": WETH}),
        ]
        return _numbered(legs)


def _numbered(legs: Sequence[Wanted]) -> list[Order]:
    return [leg(place, operation, venue, amount, **rest) for place, (operation, venue, amount, rest) in enumerate(legs)]


def changed(orders: Sequence[Order], place: int, **changes: object) -> list[Order]:
    """The same group with one order changed, not validated again where the change keeps it valid."""
    orders = list(orders)
    orders[place] = orders[place].model_copy(update=changes)
    return orders


def without(orders: Sequence[Order], place: int) -> list[Order]:
    return [order for at, order in enumerate(orders) if at != place]
