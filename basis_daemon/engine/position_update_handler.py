"""The tight loop: after every trade the ledger, the new book, and what was expected against what the venue says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations

from basis_daemon.domain.breaks import TREATMENTS, Clues, classify
from basis_daemon.domain.errors import IntegrityError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause, entry_of_opening
from basis_daemon.domain.position import AccountFigures, AccountReport, Break, BreakKind, PositionBook, find_breaks
from basis_daemon.domain.trade import TRANSITIONS, Trade
from basis_daemon.engine.codec import BreakRow, ForeignOrderRow, HaltRow, TradeRow
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.position_monitor import PositionMonitor
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import EPOCH

EXTERNAL = "external"
"""Owner of whatever happens at an account that no intent of ours stands behind."""

MISSES_TO_BREAK = AGREEMENTS_TO_CLOSE = 2
"""The same difference must be read this often, in a row and each time after asking for what happened; and a break is
closed only by as many reports that agree: a venue that tells now this and now that does not make it come and go."""
_NS = 1_000_000_000

Alarm = Callable[[str, Mapping[str, str]], None]
"""(what happened, the values that say so); never blocks."""


def _ignore(*_: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class _Miss:
    """The same difference, read ``times`` in a row since ``since_ns`` (monotonic)."""

    times: int
    difference: Decimal
    since_ns: int


class PositionUpdateHandler:
    """The only writer of the book. Its changes are one synchronous critical section; the network is never inside it."""

    def __init__(self, recorder: Recorder, monitor: PositionMonitor, alarm: Alarm) -> None:
        self._recorder = recorder
        self._state = recorder.state
        self._monitor = monitor
        self._alarm = alarm
        self.on_foreign: Callable[[str], None] = _ignore
        self.on_capital: Callable[[], None] = _ignore
        self._reports: dict[str, AccountReport] = {}
        self._figures: dict[str, AccountFigures] = {}
        self._misses: dict[PositionKey, _Miss] = {}
        self._agreed: dict[PositionKey, int] = {}
        self._clues: dict[str, Clues] = {}
        self._changes: dict[str, int] = {}
        self._early: dict[str, bool] = {}
        self._is_inside = False
        self._fills: list[Trade] = []
        self.on_foreign_fill: list[Callable[[Trade], None]] = []
        """Told of every fill that no order of ours asked for, once each, when it is booked and the book published."""
        self.on_fill: list[Callable[[Trade], None]] = []
        """The same for every fill, whoever asked for it and whoever told of it."""

    def process_trades(self, trades: Iterable[Trade]) -> PositionBook:
        """Book trades, each once, and publish the book; an order that got more than it asked for halts its instrument.

        What others traded before the account was adopted is in its opening balance already.
        """
        self._enter()
        try:
            self._fills = []
            foreign = [trade for trade in trades if self._process(trade)]
            book = self._publish()
            fills = self._fills
        finally:
            self._is_inside = False
        for trade in fills:
            for tell in self.on_fill:
                tell(trade)
        for trade in foreign:
            for tell in self.on_foreign_fill:
                tell(trade)
        return book

    def _process(self, trade: Trade) -> bool:
        """True for a fill that was booked now and that no order of ours asked for."""
        state = self._state
        known = state.orders.get(trade.order_id)
        if known is None and self._is_past(trade):
            return False
        if trade.is_fill and state.ledger.has(trade.trade_id):
            if known is not None and trade.order_state in TRANSITIONS[known.state] - {known.state}:
                self._recorder.trade(TradeRow(trade, None))
            return False
        self._recorder.see_time(trade.venue_time)
        if known is None and trade.is_fill:
            known = self._looked_up(trade)
        was_dead = known is not None and known.was_never_alive
        entry = state.entry_of(trade) if trade.is_fill else None
        if entry is not None and (got := state.overfill(trade)) is not None:  # a journal that ends here has the halt
            asked = state.orders[trade.order_id].order.amount
            self.halt(trade.instrument, f"order {trade.order_id}: filled {got}, expected at most {asked}")
        self._recorder.trade(TradeRow(trade, entry))
        if entry is None:
            return False
        self._fills.append(trade)
        for account in {key.venue for key in trade.deltas}:
            self._changes[account] = self._changes.get(account, 0) + 1
        self._remember_turnover(trade)
        if known is None:
            self._tell_foreign(trade)
        if was_dead:
            self._alarm("fill of an order believed dead", {"trade_id": trade.trade_id, "order_id": trade.order_id})
        return known is None

    def _looked_up(self, trade: Trade) -> OrderLife | None:
        """The order behind a fill that memory does not know; for none of ours somebody is asked whose it is.

        That comes before the row of the fill: a journal that ends in between holds the halt of a rival, or neither.
        """
        known = self._recorder.recall(trade.order_id)
        if known is None:
            self.on_foreign(trade.order_id)
            return None
        facts = {"trade_id": trade.trade_id, "order_id": trade.order_id}
        self._alarm("fill of an order that had left memory", facts)
        return known

    def _tell_foreign(self, trade: Trade) -> None:
        facts = {"trade_id": trade.trade_id, "order_id": trade.order_id, "owner": EXTERNAL}
        what = "fill of an order that is not ours" if trade.qty_base else "transfer of another hand"
        if trade.is_forced:
            what = "position reduced by the venue"
            facts |= {"owner": "venue", "cause": trade.origin, "instrument": trade.instrument}
            facts |= {"quantity": str(trade.qty_base), "price": str(trade.price)}
        self._alarm(what, facts)

    def halt(self, instrument: PositionKey, why: str) -> None:
        """No new risk in this instrument until an operator rearms: what its venue says of it cannot be true."""
        self._alarm("instrument halted", {"instrument": instrument, "why": why})
        if instrument not in self._state.halts:
            self._recorder.record(HaltRow(instrument, why, is_on=True), instrument)

    def _is_past(self, trade: Trade) -> bool:
        """True for what the opening balance holds already, or what was asked for so long ago that its id is gone."""
        if self._is_in_opening(trade):
            return True
        if not trade.is_fill or not self._state.is_before_memory(trade) or self._state.ledger.has(trade.trade_id):
            return False
        facts = {"trade_id": trade.trade_id, "order_id": trade.order_id, "venue_time": trade.venue_time.isoformat()}
        self._alarm("fill from before memory ignored", facts)
        return True

    def _is_in_opening(self, trade: Trade) -> bool:
        """True for what the account's opening balance holds; before it is adopted that is everything.

        A balance read at a block holds all transactions of that block.
        """
        opened_at = self._state.openings.get(trade.account)
        if opened_at is None or trade.venue_time < opened_at:
            return True
        return trade.tx is not None and trade.venue_time == opened_at

    def process_cash_flows(self, flows: Iterable[CashFlow]) -> PositionBook:
        """Book funding and other money that moved without an order, each row of the venue once."""
        self._enter()
        try:
            for flow in flows:
                if self._state.is_past_flow(flow) or self._state.ledger.has(flow.flow_id):
                    continue
                self._recorder.see_time(flow.venue_time)
                self._recorder.record(flow, flow.flow_id, str(flow.instrument or ""))
                self._changes[flow.key.venue] = self._changes.get(flow.key.venue, 0) + 1
                if flow.cause is Cause.EXTERNAL:
                    self.on_capital()
            return self._publish()
        finally:
            self._is_inside = False

    def changes(self, account: str) -> int:
        """Counter of bookings of one account; equal before and after a query means that nothing moved in between."""
        return self._changes.get(account, 0)

    def has_breaks(self, account: str) -> bool:
        """True while a break of this account is open: one report that agrees does not close it."""
        return any(key.venue == account for key in self._state.breaks)

    def is_early(self, account: str) -> bool:
        """True when this account's last word had a transfer that the book has on its way still: do not add them up."""
        return self._early.get(account, False)

    def adopt(self, report: AccountReport) -> None:
        """First start: what the venue holds becomes the opening balance, a perp at the venue's own cost."""
        self._enter()
        try:
            self._recorder.see_time(report.observed_at)
            coins = {key: instrument.settle for key, instrument in self._state.instruments.items()}
            self._recorder.opening(entry_of_opening(report, coins), report.account)
            self._reports[report.account] = report
            self._publish()
        finally:
            self._is_inside = False

    def is_outdated(self, report: AccountReport) -> bool:
        """True for a report from before the last booked trade of its account: it proves nothing, and is ignored."""
        return report.observed_at < self._state.last_trade_time.get(report.account, EPOCH)

    def observe(self, report: AccountReport, *, is_settled: bool) -> tuple[Break, ...]:
        """Compare the venue's word with the book; returns the differences found now.

        With ``is_settled`` false (something moved, or an order is open) differences are only a reason to ask again. A
        stream's partial word never opens a break either. A report older than the last booked trade is ignored.
        """
        self._enter()
        try:
            return self._observe(report, is_settled=is_settled)
        finally:
            self._is_inside = False

    def _observe(self, report: AccountReport, *, is_settled: bool) -> tuple[Break, ...]:
        state = self._state
        if self.is_outdated(report):
            return ()
        self._recorder.see_time(report.observed_at)
        steps = {key: instrument.quantity_step for key, instrument in state.instruments.items()}
        waiting = {} if is_settled else dict.fromkeys(report.holdings, BreakKind.LAG)
        arriving = state.arriving()
        breaks = find_breaks(state.ledger.holdings(), report, steps, waiting)
        found = tuple([item for item in breaks if not _has_arrived(item, arriving.get(item.key, ()))])
        self._early[report.account] = len(found) < len(breaks)
        if report.is_partial or not is_settled:
            return found
        self._reports[report.account] = report
        self._adopt_foreign(report)
        off = {item.key: item for item in found}
        for key in dict.fromkeys((*self._misses, *state.breaks)):  # no set: its order is another one in every process
            if key.venue == report.account and key not in off:
                self._agree(key)
        clues = self._clues_of(report.account)
        for key, item in off.items():
            self._differ(key, replace(item, kind=classify(item, report, clues)), report.received_ns)
        if not off:
            self._clues[report.account] = Clues(report.observed_at)
        self._publish()
        return found

    def _clues_of(self, account: str) -> Clues:
        elsewhere = {key: miss.difference for key, miss in self._misses.items() if key.venue != account}
        return replace(self._clues.get(account, Clues()), differences=elsewhere)

    def _remember_turnover(self, trade: Trade) -> None:
        """What was traded since book and venue last agreed bounds the fees that may be missing."""
        clues = self._clues.get(trade.account, Clues())
        moved = dict(clues.traded)
        perp = self._state.instruments.get(trade.instrument) if trade.instrument.kind is Kind.PERP else None
        turnover = Decimal(0) if perp is None or trade.price is None else trade.qty_base * perp.unit_worth(trade.price)
        for key, amount in trade.deltas.items():
            is_coin = key.kind is Kind.SPOT and perp is not None
            moved[key] = moved.get(key, Decimal(0)) + abs(turnover if is_coin else amount)
        paid = clues.fee_assets | {fee.asset for fee in trade.fees}
        self._clues[trade.account] = replace(clues, traded=moved, fee_assets=paid)

    def _agree(self, key: PositionKey) -> None:
        self._misses.pop(key, None)
        self._agreed[key] = self._agreed.get(key, 0) + 1
        if key in self._state.breaks and self._agreed[key] >= AGREEMENTS_TO_CLOSE:
            self._recorder.record(BreakRow(is_open=False, found=self._state.breaks[key]), key)

    def _differ(self, key: PositionKey, item: Break, seen_ns: int) -> None:
        self._agreed.pop(key, None)
        before = self._misses.get(key)
        is_same = before is not None and before.difference == item.difference
        miss = _Miss(before.times + 1, item.difference, before.since_ns) if before and is_same else None
        self._misses[key] = miss = miss or _Miss(1, item.difference, seen_ns)
        treatment = TREATMENTS[item.kind]
        is_lasting = miss.times >= MISSES_TO_BREAK and seen_ns - miss.since_ns >= treatment.patience_s * _NS
        if is_lasting and key not in self._state.breaks:
            self._recorder.record(BreakRow(is_open=True, found=item), key)
            facts = {"holding": key, "difference": str(item.difference), "kind": item.kind, "policy": treatment.policy}
            self._alarm("book and venue differ", facts)

    def _adopt_foreign(self, report: AccountReport) -> None:
        """Orders of another hand at our account: adopted and told once; their fills are booked like any other."""
        state, seen = self._state, set(report.open_order_ids)
        for order_id in sorted(seen - state.orders.keys() - state.foreign_orders.keys()):
            row = ForeignOrderRow(report.account, order_id, EXTERNAL, is_open=True)
            self._recorder.record(row, order_id)
            self._alarm("order of another hand", {"account": report.account, "order_id": order_id, "owner": EXTERNAL})
            self.on_foreign(order_id)
        gone = [r for r in state.foreign_orders.values() if r.account == report.account and r.order_id not in seen]
        for row in gone:
            self._recorder.record(ForeignOrderRow(row.account, row.order_id, row.owner, is_open=False), row.order_id)

    def see_figures(self, told: AccountFigures) -> PositionBook:
        """Publish what a protocol says now; it is compared with nothing, and later than any word before it."""
        self._figures[told.account] = told
        return self.publish()

    def publish(self) -> PositionBook:
        """Publish again after a change that moved no money."""
        self._enter()
        try:
            return self._publish()
        finally:
            self._is_inside = False

    def _publish(self) -> PositionBook:
        return self._monitor.update_state(self._state, self._reports, self._figures)

    def _enter(self) -> None:
        if self._is_inside:
            raise IntegrityError("the book was entered twice; expected one synchronous writer")
        self._is_inside = True


def _has_arrived(item: Break, amounts: Sequence[Decimal]) -> bool:
    """True for a difference that some of these transfers make, there already and not yet in the book."""
    sums = [sum(some, Decimal(0)) for size in range(1, len(amounts) + 1) for some in combinations(amounts, size)]
    return any(abs(item.difference - total) <= item.tolerance for total in sums)
