"""Planted around what outlives a process and what stops one: journal, snapshots, guard, fence."""

from __future__ import annotations

from tests.mutation.planted import Bug

STATE, GUARD = "engine/state.py", "engine/guard.py"

LATCHES = (
    Bug(
        "a snapshot forgets what was decided", "I6", STATE,
        '"sequence", "market_time", "memories", "decisions", "last_decision"',
        '"sequence", "market_time", "memories", "last_decision"',
    ),
    Bug(
        "a snapshot forgets until when a venue has answered", "I6", STATE,
        '            "asked_until", "transfers"',
        '            "transfers"',
    ),
    Bug(
        "a trade is written without its money",
        "I6",
        "engine/recorder.py",
        "str(correlation), str(causation), text or later(row)))\n",
        "str(correlation), str(causation), text or later(TradeRow(row.trade, None) if type(row) is TradeRow else row))"
        ")\n",
    ),
    Bug(
        "intents are not counted as rows", "I7", "engine/recorder.py",
        "        state.sequence += len(rows)\n        self.rows_since_snapshot += len(rows)\n"
        "        await self._journal.append_durable(rows)\n",
        "        self.rows_since_snapshot += len(rows)\n        await self._journal.append_durable(rows)\n",
    ),
    Bug(
        "a break is folded and never written", "I7", "engine/recorder.py",
        "        self._journal.append(Record(kind, state.market_time, str(correlation), str(causation), text or later",
        "        if kind is RecordKind.BREAK:\n            return\n"
        "        self._journal.append(Record(kind, state.market_time, str(correlation), str(causation), text or later",
    ),
    Bug(
        "a halt pages and latches nothing", "I8", GUARD,
        '        self._recorder.record(row, "guard")\n        state =',
        "        state =",
    ),
    Bug(
        "a halt is forgotten by a snapshot", "I8", STATE,
        '            "guard", "trade_count"',
        '            "trade_count"',
    ),
    Bug(
        "a plan goes on with its next clip after a halt", "I8", GUARD,
        "return self.state is not GuardState.ACTIVE and not order.is_risk_reducing",
        "return self.state is GuardState.REDUCING and not order.is_risk_reducing",
    ),
    Bug(
        "an order of a second daemon is taken for a person's", "I17", "engine/fence.py",
        "        if origin.epoch >= epoch:\n",
        "        if origin.epoch >= epoch + 1_000_000:\n",
    ),
    Bug(
        "nobody looks whose a fill without an intent is", "I17", "wiring_book.py",
        "    handler.on_foreign = fence.meet\n",
        "",
    ),
    Bug(
        "a book that is flattened keeps its pairs", "I8", "strategies/defence.py",
        "    return (*alone, *across, *together, *moves) or view.stuck",
        "    return tuple(alone) or view.stuck",
    ),
)  # fmt: skip
"""Bugs, each with the invariant that it breaks."""
