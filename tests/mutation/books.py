"""Planted around the book: money, reconciliation, memory."""

from __future__ import annotations

from tests.mutation.planted import Bug

LEDGER, HANDLER, SUPERVISOR = "domain/ledger.py", "engine/position_update_handler.py", "supervisor.py"

BOOKS = (
    Bug(
        "a fill that is told twice is booked twice", "I3", LEDGER,
        "        self._seen[entry.event_id] = entry.time, tuple(sorted(accounts))\n",
        "        del accounts\n",
    ),
    Bug(
        "fills that no stream brought are not asked for", "I3", "engine/reconciler.py",
        "        self._handler.process_trades(await self._source.fetch_trades(since))\n",
        "        await self._source.fetch_trades(since)\n",
    ),
    Bug(
        "fills of another hand are not booked", "I3", HANDLER,
        "        was_dead = known is not None and known.was_never_alive\n",
        "        was_dead = known is not None and known.was_never_alive\n"
        "        if known is None:\n            return False\n",
    ),
    Bug(
        "money that moved without an order is booked to the cent", "I3", LEDGER,
        "_pair(flow.key, flow.key.asset, flow.amount, flow.cause))",
        '_pair(flow.key, flow.key.asset, flow.amount.quantize(Decimal("0.01")), flow.cause))',
    ),
    Bug(
        "a fee is booked as a cost of the trade", "I18", LEDGER,
        "        why = Cause.FEE if trade.qty_base else Cause.TRANSFER_FEE\n",
        "        why = Cause.TRADE if trade.qty_base else Cause.TRANSFER_FEE\n",
    ),
    Bug(
        "the other side of an entry is left out", "I18", LEDGER,
        "        for line in entry.postings:\n            at =",
        "        for line in entry.postings[: len(entry.postings) // 2 * 2 - 1]:\n            at =",
    ),
    Bug(
        "funding is booked as a trade",
        "I18",
        LEDGER,
        "_pair(flow.key, flow.key.asset, flow.amount, flow.cause))",
        "_pair(flow.key, flow.key.asset, flow.amount, Cause.TRADE))",
    ),
    Bug(
        "a difference that has healed stays open", "I14", HANDLER,
        "self._agreed[key] = self._agreed.get(key, 0) + 1",
        "self._agreed[key] = 1",
    ),
    Bug(
        "doubt of an earlier life is left alone", "I14", SUPERVISOR,
        "            await self._runner.resolve(life)\n        for plan",
        "            self._recorder.move(life.order, type(life.state).CANCELLED)\n        for plan",
    ),
    Bug(
        "plans of an earlier life are never ended", "I14", SUPERVISOR,
        '            self._recorder.record(ended, plan.plan_id, "restart")\n',
        "            del ended\n",
    ),
    Bug(
        "a fill of nobody's order stops the daemon", "I15", "engine/recorder.py",
        "        life = self.state.orders.get(row.trade.order_id)\n",
        "        life = self.state.orders[row.trade.order_id]\n",
    ),
    Bug(
        "orders that have ended are never forgotten", "I16", "engine/upkeep.py",
        "        self._recorder.forget(FORGET_MAX, ENDED_FEW if is_full else ENDED_MAX)\n",
        "",
    ),
    Bug(
        "ids of events are never forgotten", "I16", LEDGER,
        "            if time < limit and event_id not in keep:\n",
        "            if time > limit and event_id not in self._seen:\n",
    ),
    Bug(
        "a plan that has ended is kept as one in flight", "I16", "engine/strategy_engine.py",
        "        self._plans.pop(row.plan_id, None)\n",
        "        self._plans.get(row.plan_id)\n",
    ),
    Bug(
        "the pause between two questions is another one in every process", "I19", "engine/order_runner.py",
        "        backoff_s = BACKOFF_FIRST_S\n",
        "        backoff_s = BACKOFF_FIRST_S + hash(order.order_id) % 97 / 1000\n",
    ),
)  # fmt: skip
"""Bugs, each with the invariant that it breaks."""
