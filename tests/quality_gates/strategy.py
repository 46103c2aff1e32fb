"""What every registered strategy owes: the port, orders and nothing else, and the same answer to the same question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from basis_daemon.domain.decision import Assessment, ReasonCode
from basis_daemon.domain.order import Order
from basis_daemon.ports import Strategy
from tests.quality_gates.gate import Found
from tests.quality_gates.pictures import Picture
from tests.quality_gates.ports import port_faults

NINE = (
    "pure_lending", "btc_basis", "eth_basis", "eth_staking_only", "eth_leveraged",
    "usdt_market_neutral_no_leverage", "usdt_market_neutral", "ml_btc_directional", "ml_usdt_directional",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subject:
    """A registered strategy: how to make one, and pictures that mean something to it."""

    name: str
    make: Callable[[], Strategy]
    pictures: Callable[[Strategy], Sequence[Picture]]


def strategies_honour_the_port(subjects: Sequence[Subject], registered: Mapping[str, object]) -> Found:
    """Every registered strategy is one of the nine, has pictures here, and has the port's methods."""
    faults = [f"{name} is none of the nine strategies" for name in registered if name not in NINE]
    known = {subject.name for subject in subjects}
    faults += [f"{name} is registered and has no pictures in tests/quality_gates" for name in registered.keys() - known]
    faults += [
        f"{subject.name}: {fault}" for subject in subjects for fault in port_faults(type(subject.make()), Strategy)
    ]
    if not registered:
        faults.append("no strategy is registered, expected at least one")
    return Found(", ".join(registered) or "nothing", tuple(faults))


def decisions_are_lists_of_orders(subjects: Sequence[Subject]) -> Found:
    """Enter, hold and stale: a list of Orders of this strategy, empty unless the picture asks for some."""
    return _shown(subjects, _wrong_answers)


def equal_inputs_give_equal_decisions(subjects: Sequence[Subject]) -> Found:
    """Asked twice, and asked of another object of the same parameters: equal answers, and the picture as it was."""
    return _shown(subjects, _unequal_answers)


def _shown(subjects: Sequence[Subject], look: Callable[[Subject, Strategy, Picture], Iterator[str]]) -> Found:
    faults: list[str] = []
    seen: list[str] = []
    for subject in subjects:
        strategy = subject.make()
        for picture in subject.pictures(strategy):
            seen.append(f"{subject.name} {picture.name}")
            faults += [f"{seen[-1]}: {fault}" for fault in look(subject, strategy, picture)]
    if not seen:
        faults.append("no strategy was shown a picture")
    return Found(", ".join(seen) or "nothing", tuple(faults))


def _wrong_answers(_: Subject, strategy: Strategy, picture: Picture) -> Iterator[str]:
    assessment: object = strategy.assess(*picture.question)
    orders: object = strategy.make_strategy_decision(*picture.question)
    if not isinstance(assessment, Assessment):
        yield f"assess returned {type(assessment).__name__}, expected an Assessment"
        return
    if not isinstance(orders, list) or any(type(order) is not Order for order in orders):
        yield f"answered {_kinds(orders)}, expected a list of Orders"
        return
    if bool(orders) is not picture.has_orders:
        expected = "some" if picture.has_orders else "none"
        yield f"{len(orders)} orders for {assessment.reason} ({assessment.note}), expected {expected}"
    if picture.name == "stale" and assessment.reason is not ReasonCode.STALE:
        yield f"assessed as {assessment.reason}, expected STALE"
    yield from (f"order {o.order_id} is of {o.strategy}" for o in orders if o.strategy != strategy.name)
    yield from (f"order {o.order_id} says {o.reason}" for o in orders if o.reason != assessment.reason)
    if len({order.order_id for order in orders}) != len(orders):
        yield "order ids repeat within one decision"


def _unequal_answers(subject: Subject, strategy: Strategy, picture: Picture) -> Iterator[str]:
    before = repr(picture.question)  # what is shown is read-only, and that cannot be copied
    first = (strategy.assess(*picture.question), strategy.make_strategy_decision(*picture.question))
    again = (strategy.assess(*picture.question), strategy.make_strategy_decision(*picture.question))
    twin = subject.make()
    other = (twin.assess(*picture.question), twin.make_strategy_decision(*picture.question))
    if first != again:
        yield "the second answer differs from the first"
    if first != other:
        yield "another object of the same parameters answers differently"
    if before != repr(picture.question):
        yield "the question was changed by asking it"


def _kinds(answer: object) -> str:
    items = answer if isinstance(answer, list | tuple) else ()
    return f"{type(answer).__name__} of {sorted({type(item).__name__ for item in items}) or 'nothing'}"
