"""Read models of a book: everything an operator or a report asks for, as a fold of journal rows from the first one.

The same views serve the control socket and a journal file at rest. They are JSON-ready: money and quantities are
decimal strings, instants ISO 8601.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, TypeVar

import orjson

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.exposure import AS_ETHER, ETHER
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.risk_book import RiskBook
from basis_daemon.domain.valuation import STAKED
from basis_daemon.engine.codec import (
    DecisionRow,
    GroupRow,
    GuardRow,
    OrderStateRow,
    PlanRow,
    TradeRow,
    load,
)
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.state import BookState
from basis_daemon.ports import RecordKind, StoredRecord

Json = dict[str, Any]
T = TypeVar("T")
ZERO = Decimal(0)
QUOTE = "USDT"
PLAN_ENDS = frozenset({PlanState.DONE, PlanState.ABORTED})


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """A journal row, read: where it stands and what it says."""

    at: StoredRecord
    row: T

    @property
    def time(self) -> str:
        """Market time."""
        return self.at.record.market_time.isoformat()


@dataclass(frozen=True, slots=True)
class Valued:
    """A valuation row as its own JSON; ``is_settled`` when no plan was running, so that no clip was half done."""

    at: StoredRecord
    row: Json
    is_settled: bool


@dataclass(slots=True)
class History:
    """What the fold into the book's state forgets and people ask about."""

    trades: dict[str, Seen[TradeRow]] = field(default_factory=dict)
    order_steps: dict[str, list[Seen[OrderStateRow]]] = field(default_factory=dict)
    plan_steps: dict[str, list[Seen[PlanRow]]] = field(default_factory=dict)
    plan_of_order: dict[str, str] = field(default_factory=dict)
    lives: dict[str, OrderLife] = field(default_factory=dict)
    """Every order, also those that have left memory."""
    intents: dict[str, StoredRecord] = field(default_factory=dict)
    acted: dict[str, Seen[DecisionRow]] = field(default_factory=dict)
    """Decisions with orders, approved or denied, by plan id."""
    idle: dict[tuple[str, str], Seen[DecisionRow]] = field(default_factory=dict)
    """The newest decision without orders, by strategy and reason."""
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    blocked: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each sentence, figures blotted out, was why nothing was done; by strategy."""
    sentences: dict[tuple[str, str], str] = field(default_factory=dict)
    """The newest wording of each, with its figures."""
    z_min: dict[str, Decimal] = field(default_factory=dict)
    """The nearest that any account of a strategy came to liquidation, in shocks, as its decisions saw it."""
    groups: list[Seen[GroupRow]] = field(default_factory=list)
    guard: list[Seen[GuardRow]] = field(default_factory=list)
    operator: list[StoredRecord] = field(default_factory=list)
    generations: dict[int, Json] = field(default_factory=dict)
    valuations: list[Valued] = field(default_factory=list)
    deltas: dict[str, list[Decimal]] = field(default_factory=dict)
    """By strategy: largest absolute net delta as a share of equity, at valuations and ends of plans outside clips."""


class BookView:
    """The state of a book and its history. ``fold`` may be called again with the rows that came since."""

    def __init__(self) -> None:
        self.state = BookState()
        self.history = History()
        self.first: StoredRecord | None = None
        self.last: StoredRecord | None = None
        self.latest_of: dict[str, Json] = {}
        """The newest valuation of each strategy."""
        self.risks: dict[str, RiskBook] = {}
        """What each strategy could be liquidated by, at its newest valuation."""
        self._cut: set[str] = set()
        """Strategies whose process ended within a plan, until the next life has ended one or finds nothing to do."""
        self._collect: Mapping[RecordKind, Callable[[StoredRecord], None]] = {
            RecordKind.TRADE: self._trade,
            RecordKind.ORDER_STATE: self._order_state,
            RecordKind.INTENT: self._intent,
            RecordKind.PLAN: self._plan,
            RecordKind.DECISION: self._decision,
            RecordKind.GROUP: lambda row: self.history.groups.append(Seen(row, load(GroupRow, row.record.payload))),
            RecordKind.GUARD: lambda row: self.history.guard.append(Seen(row, self.state.guard)),
            RecordKind.OPERATOR: self.history.operator.append,
            RecordKind.GENERATION: self._generation,
            RecordKind.VALUATION: self._valuation,
            RecordKind.RISK: self._risk,
            RecordKind.LIFE: self._life,
        }

    def fold(self, rows: Iterable[StoredRecord]) -> BookView:
        """Take rows in; those known already change nothing. Raises JournalError for a row that is not readable."""
        for row in rows:
            if row.sequence > self.state.sequence:
                if self.first is None and row.record.kind is RecordKind.SNAPSHOT:  # what came before it was pruned
                    self._begin_with(row)
                self.state.apply(row)
                self.first = self.first or row
                self.last = row
                if (collect := self._collect.get(row.record.kind)) is not None:
                    collect(row)
        return self

    def _begin_with(self, snapshot: StoredRecord) -> None:
        self.state = BookState.restore(snapshot.record.payload)
        for order_id, life in self.state.orders.items():
            self.history.lives[order_id] = life
            self.history.plan_of_order[order_id] = life.plan_id

    def _life(self, row: StoredRecord) -> None:
        order_id = row.record.causation_id
        if (back := self.state.orders.get(order_id)) is not None:
            self.history.lives[order_id] = back

    @property
    def latest(self) -> Json:
        """The newest valuations of all strategies as one, or an empty mapping before the first one."""
        return summed(self.latest_of.values())

    def _trade(self, row: StoredRecord) -> None:
        seen = Seen(row, load(TradeRow, row.record.payload))
        if seen.row.entry is not None:
            self.history.trades.setdefault(seen.row.trade.trade_id, seen)

    def _order_state(self, row: StoredRecord) -> None:
        seen = Seen(row, load(OrderStateRow, row.record.payload))
        self.history.order_steps.setdefault(seen.row.order_id, []).append(seen)

    def _intent(self, row: StoredRecord) -> None:
        life = next(reversed(self.state.orders.values()))
        order = life.order
        self.history.lives[order.order_id] = life
        plan = f"{order.strategy}:{row.generation}:{order.decision}"
        self.history.intents[order.order_id] = row
        self.history.plan_of_order[order.order_id] = plan
        if order.parent_id:
            self.history.plan_of_order[order.parent_id] = plan

    def _plan(self, row: StoredRecord) -> None:
        seen = Seen(row, load(PlanRow, row.record.payload))
        self.history.plan_steps.setdefault(seen.row.plan_id, []).append(seen)
        strategy = seen.row.strategy
        if seen.row.state not in PLAN_ENDS:
            return
        is_of_an_earlier_life = self.history.plan_steps[seen.row.plan_id][0].at.generation != row.generation
        (self._cut.add if is_of_an_earlier_life else self._cut.discard)(strategy)
        if self._is_settled(strategy) and strategy in self.latest_of:
            self._note_delta(strategy, self.state.ledger.holdings())

    def _decision(self, row: StoredRecord) -> None:
        history, decision = self.history, self.state.last_decision[row.record.correlation_id.rsplit(":", 2)[0]]
        key = (decision.strategy, decision.assessment.reason.value)
        history.reasons[key] += 1
        near = [used.value for name, used in decision.assessment.inputs.items() if name.startswith("z:")]
        if near:
            history.z_min[decision.strategy] = min(*near, history.z_min.get(decision.strategy, near[0]))
        if decision.order_ids:
            history.acted[row.record.correlation_id] = Seen(row, decision)
            if decision.denied:
                self._block(decision)
        else:
            history.idle[key] = Seen(row, decision)
            self._block(decision)
            if decision.assessment.reason is ReasonCode.HOLD:
                self._cut.discard(decision.strategy)

    def _block(self, decision: DecisionRow) -> None:
        said = decision.assessment
        sentence = f"{said.reason}: {said.note}"
        if said.reason is ReasonCode.HOLD and said.rejected:
            sentence = f"{said.rejected[-1].rule} not taken: {said.rejected[-1].why}"
        if decision.denied:
            sentence = f"denied by the risk gate: {'; '.join(decision.denied)}"
        key = (decision.strategy, without_figures(sentence))
        self.history.blocked[key] += 1
        self.history.sentences[key] = sentence

    def _generation(self, row: StoredRecord) -> None:
        said = orjson.loads(row.record.payload)
        self.history.generations[row.generation] = said if isinstance(said, dict) else {}

    def _valuation(self, row: StoredRecord) -> None:
        valuation = orjson.loads(row.record.payload)
        strategy = valuation["strategy"]
        is_settled = self._is_settled(strategy)
        self.history.valuations.append(Valued(row, valuation, is_settled))
        self.latest_of[strategy] = valuation
        if is_settled:
            held = {PositionKey(key): Decimal(q) for key, q in valuation["holdings"].items()}
            self._note_delta(strategy, held)

    def _risk(self, row: StoredRecord) -> None:
        self.risks[row.record.correlation_id] = load(RiskBook, row.record.payload)

    def _is_settled(self, strategy: str) -> bool:
        """True while no plan of the strategy runs, and none was cut by the end of its process: no clip is half done."""
        return strategy not in self._cut and all(plan.strategy != strategy for plan in self.state.running_plans())

    def _note_delta(self, strategy: str, holdings: Mapping[PositionKey, Decimal]) -> None:
        """The underlying whose net exposure is farthest from what it should be, at the prices of the last valuation.

        What is staked or lent ether is ether. A share class of a coin is to be long of that coin by its equity.
        """
        valuation = self.latest_of[strategy]
        prices, equity = valuation.get("prices", {}), Decimal(valuation.get("equity_usdt") or 0)
        worth = dict[str, Decimal]()
        for key, quantity in holdings.items():
            asset = underlying(key, valuation["bases"])
            if key.venue in valuation["accounts"] and asset in prices:
                base = ETHER if asset in AS_ETHER | STAKED else asset
                worth[base] = worth.get(base, ZERO) + key.sign * quantity * Decimal(prices[asset])
        worth.pop(QUOTE, None)
        if (numeraire := valuation.get("numeraire", QUOTE)) == ETHER:
            worth[ETHER] = worth.get(ETHER, ZERO) - equity
        else:
            worth.pop(numeraire, None)  # a book in coin that bets on the coin hedges nothing of it
        if worth and equity > 0:
            self.history.deltas.setdefault(strategy, []).append(max(map(abs, worth.values())) / equity)


def summed(rows: Iterable[Json]) -> Json:
    """Valuations of several strategies as one: amounts added, prices and accounts side by side; empty without any."""
    found: Json = {}
    for row in rows:
        if not found:
            found = dict(row)
            continue
        for name in ("equity_usdt", "capital_usdt"):
            found[name] = plain(Decimal(found[name]) + Decimal(row[name]))
        found["numeraire"] = numeraire_of((found, row))
        net, more = found["net_delta"], row["net_delta"]
        found["net_delta"] = net | {a: plain(Decimal(q) + Decimal(net.get(a, 0))) for a, q in more.items()}
        found |= {name: {**found[name], **row[name]} for name in ("prices", "marks", "bases", "holdings")}
        found |= {name: [*found[name], *row[name]] for name in ("margins", "accounts")}
        found["time"] = max(found["time"], row["time"])
    return found


def numeraire_of(rows: Iterable[Json]) -> str:
    """What these valuations are counted in; sums over several share classes say so."""
    classes = sorted({row.get("numeraire", QUOTE) for row in rows})
    return "+".join(classes) or QUOTE


def underlying(key: PositionKey, bases: Mapping[str, str]) -> str:
    """``BTC`` for ``binance:spot:BTC`` and for ``binanceusdm:perp:BTCUSDT``; ``bases`` are those of a valuation."""
    return bases.get(key, key.symbol.removesuffix(QUOTE)) if key.kind is Kind.PERP else key.asset


def without_figures(note: str) -> str:
    """A sentence with its numbers blotted out, so that equal reasons with other figures count as one."""
    return " ".join("#" if any(c.isdigit() for c in word) else word for word in note.split())


def plain(value: Decimal) -> str:
    """Without exponent and trailing zeros; never a negative zero."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text
