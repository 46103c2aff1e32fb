"""Planted around the chain: bytes before their row, nonces, groups."""

from __future__ import annotations

from tests.mutation.planted import Bug

ON_CHAIN = ("--profile", "chain")

CHAIN = (
    Bug(
        "a transaction is offered before it is on disk", "I1", "venues/chain/desk.py",
        "        await self._recorder.record(*end, TxEvent(row))\n        self._probe(KillPoint.TX_JOURNALLED)\n",
        "        await self._send(row)\n        await self._recorder.record(*end, TxEvent(row))\n"
        "        self._probe(KillPoint.TX_JOURNALLED)\n", ON_CHAIN,
    ),
    Bug(
        "half of what a group has done is heard", "I10", "engine/order_runner.py",
        "            self._handler.process_trades(trades)\n",
        "            self._handler.process_trades(trades[: len(trades) // 2])\n", ON_CHAIN,
    ),
    Bug(
        "a transaction takes the nonce of the one before it", "I11", "venues/chain/account.py",
        "Draft(request, self._recorder.book.next_nonce, gas, fees)",
        "Draft(request, max(self._recorder.book.next_nonce - 1, 0), gas, fees)", ON_CHAIN,
    ),
    Bug(
        "an error that says nothing of a transaction is a refusal of it", "I4", "venues/chain/errors.py",
        "return self not in {Refusal.RATE_LIMITED, Refusal.UNCLEAR}", "return True", ON_CHAIN,
    ),
    Bug(
        "an order keeps the end that a block gave it which is gone", "I3", "engine/order_life.py",
        "            self.state, self.ended_at = OrderState.SUBMITTED, None\n", "            pass\n", ON_CHAIN,
    ),
)  # fmt: skip
"""Bugs, each with the invariant that it breaks."""
