"""Planted around orders: intents, outcomes, fills, pairs, ids."""

from __future__ import annotations

from tests.mutation.planted import Bug

RUNNER, GROUP, LIFE = "engine/order_runner.py", "engine/leg_group.py", "engine/order_life.py"

ORDERS = (
    Bug(
        "an intent is not durable when its order leaves", "I1", "engine/recorder.py",
        "        await self._journal.append_durable(rows)\n        for order in orders:",
        "        for row in rows:\n            self._journal.append(row)\n        for order in orders:",
    ),
    Bug(
        "an order without an answer is taken for one that never arrived", "I2", RUNNER,
        "            self._settle(life, OrderState.UNKNOWN, str(error))\n            await self.resolve(life)\n"
        "        else:",
        "            self._settle(life, OrderState.NEVER_ACCEPTED, str(error))\n        else:",
    ),
    Bug(
        "an order without an answer is followed by another one, its outcome left open", "I2", RUNNER,
        "            self._settle(life, OrderState.UNKNOWN, str(error))\n            await self.resolve(life)\n"
        "        else:",
        "            self._settle(life, OrderState.UNKNOWN, str(error))\n        else:",
    ),
    Bug(
        "an order without an answer is sent once more under its own id", "I2", RUNNER,
        "            self._settle(life, OrderState.UNKNOWN, str(error))\n            await self.resolve(life)\n"
        "        else:",
        "            self._settle(life, OrderState.UNKNOWN, str(error))\n"
        "            self._hear(life, await self._interfaces.interface(order).execute_order(order, timestamp))\n"
        "        else:",
    ),
    Bug(
        "an order that a venue does not show yet is buried", "I2", RUNNER,
        "if evidence.finding is Finding.ABSENT:",
        "if evidence.finding is not Finding.FOUND:",
    ),
    Bug(
        "a clip bears the id of the one before it", "I2", GROUP,
        "        self._attempt += 1\n        desk",
        "        self._attempt, self._clip = 1, 1\n        desk",
    ),
    Bug(
        "a second fill of an order takes the place of the first", "I3", LIFE,
        "            self.cum_filled += trade.qty_base\n",
        "            self.cum_filled = trade.qty_base\n",
    ),
    Bug(
        "an order that has ended lives again when an old word of it arrives", "I4", LIFE,
        "if trade.order_state is not self.state and trade.order_state in TRANSITIONS[self.state]:",
        "if trade.order_state is not self.state and TRANSITIONS:",
    ),
    Bug(
        "the second leg is as large as the first was meant to be", "I5", GROUP,
        "naked += abs(life.deltas.get(self._lead.instrument, Decimal(0)))",
        "naked += quantity",
    ),
    Bug(
        "what the second leg has filled is not taken off what is naked",
        "I5",
        GROUP,
        "            naked -= self._followed(life)\n            if life.cum",
        "            self._followed(life)\n            if life.cum",
    ),
    Bug(
        "the second leg follows beyond what was asked of it", "I14", GROUP,
        "self._tradable(self._follow, min(naked, self._follow_left))",
        "self._tradable(self._follow, naked)",
    ),
    Bug(
        "a first leg without its second is bought once more, and not given back", "I5", GROUP,
        "undo = self._lead.side.opposite if self._lead.side else None",
        "undo = self._lead.side",
    ),
    Bug(
        "a second plan begins while the first one runs", "I5", "engine/gate.py",
        "plan_in_flight=bool(running) and any(plan.urgency == 0 for plan in running),",
        "plan_in_flight=False,",
    ),
    Bug(
        "a heartbeat makes old books new", "I9", "supervisor.py",
        "            self._upkeep.look()\n",
        "            self._upkeep.look()\n"
        "            for held in (*self._mailbox.books.values(), *self._mailbox.marks.values()):\n"
        '                object.__setattr__(held, "received_ns", self._clock.monotonic_ns())\n',
    ),
    Bug(
        "a daemon that is not armed sends all the same", "I12", "engine/gate.py",
        "            is_armed=self._permissions.is_armed(),",
        "            is_armed=True,",
    ),
)  # fmt: skip
"""Bugs, each with the invariant that it breaks."""
