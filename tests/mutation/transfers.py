"""Planted between exchanges and the wallet: found by the book that stands on both."""

from __future__ import annotations

from tests.mutation.planted import Bug

WITHDRAWAL, HEDGE = "venues/transfers/withdrawal.py", ("--profile", "hedge")

TRANSFERS = (
    Bug(
        "a withdrawal without an answer is asked for again under a new id", "I2", WITHDRAWAL,
        "            await self._step(order.order_id, TransferStep.UNKNOWN, why=str(doubt))\n            raise\n",
        '            await self._step(order.order_id, TransferStep.UNKNOWN, why=str(doubt))\n'
        '            again = f"{order.order_id[:-1]}f"\n'
        '            number = await self._exchange.withdraw(again, route.coin, row.amount, route.address)\n', HEDGE,
    ),
    Bug(
        "a withdrawal that nobody knows yet was never made", "I4", WITHDRAWAL,
        "        if now_ns - since_ns < max(self._terms.absence_s, self._exchange.absence_proof_s) * SECOND_NS:\n",
        "        if now_ns - since_ns < 0:\n", HEDGE,
    ),
    Bug(
        "a deposit of our own is booked as an investor's, too", "I18", "venues/transfers/bridge.py",
        "    return any(row.tx_id.lower() == tx_id.lower() if row.tx_id else row.is_open for row in rows)\n",
        "    return any(row.tx_id.lower() == tx_id.lower() and row.is_open for row in rows if row.tx_id)\n", HEDGE,
    ),
    Bug(
        "money on its way counts in nobody's equity", "I18", "domain/exposure.py",
        "        if quantity == 0:\n            continue\n",
        "        if quantity == 0 or key.kind is Kind.TRANSIT:\n            continue\n", HEDGE,
    ),
    Bug(
        "a withdrawal leaves before its step is on disk", "I1", "engine/transfer_log.py",
        "        await self._recorder.flush()\n", "", HEDGE,
    ),
)  # fmt: skip
"""Bugs, each with the invariant that it breaks."""
