"""Carries coin between the exchange's books and a sandbox chain, in real time, as long as the exchange runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

import aiohttp

from basis_daemon.sandbox.exchange.accounts import CapitalRow
from basis_daemon.sandbox.exchange.chain_link import ChainLink, Head, LinkError
from basis_daemon.sandbox.exchange.custody import Custody

EVERY_S = 0.1
BEHIND_S = 12
"""Market seconds by which the chain may be late: a block of the real one."""
LOOKED_BACK = 12
"""Blocks that are looked at again: a reorganisation may have put a payment elsewhere."""
ETHER_PAIR, PRICE_STEP = "ETHUSDT", Decimal("0.0005")
"""What ether costs here it costs on the chain too, within what a pool takes for a swap."""


class Courier:
    """One per exchange. ``began`` gives the books the market's stamp, ``changed`` tells whoever listens."""

    def __init__(
        self, custody: Custody, link: ChainLink, began: Callable[[], None], changed: Callable[[], None]
    ) -> None:
        self._custody, self._link, self._began, self._changed = custody, link, began, changed
        self._raw: dict[str, str] = {}
        self._first = -1
        self._head = Head(-1, "")
        self._told_price = Decimal(1)

    async def run(self) -> None:
        """Until cancelled. A chain that is gone is waited for: coin stays where it is."""
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, LinkError):
                await self.round()
            await asyncio.sleep(EVERY_S)

    async def round(self) -> None:
        """Everything that can be done now, once."""
        self._began()
        if self._custody.decide():
            self._changed()
        for row in self._custody.to_send():
            await self._pay(row)
        head = await self._tide(await self._link.head())
        for row in self._custody.on_chain():
            await self._follow(row, head)
        if head != self._head:
            await self._look(head)
            self._head = head

    async def _tide(self, head: Head) -> Head:
        """The chain's time follows the market's, by a block whenever it has fallen behind; it never goes back.

        So does the price of ether there.
        """
        venue = self._custody.venue
        market_s, price = venue.now_ms // 1000, venue.index[ETHER_PAIR]
        is_behind, is_moved = market_s - head.at_s >= BEHIND_S, abs(price / self._told_price - 1) >= PRICE_STEP
        if is_behind:
            await self._link.next_at(market_s)
        if is_moved:
            await self._link.ether_costs(price)
            self._told_price = price
        elif is_behind:
            await self._link.mine()
        return await self._link.head() if is_behind or is_moved else head

    async def _pay(self, row: CapitalRow) -> None:
        row.tx_id, raw = await self._link.signed(row.asset, row.address, row.amount)
        self._raw[row.tx_id] = raw
        await self._link.send(raw)

    async def _follow(self, row: CapitalRow, head: Head) -> None:
        found = await self._link.confirmations(row.tx_id, head)
        self._began()
        if found is None:  # lost with its block: the same bytes go again
            await self._link.send(self._raw[row.tx_id])
        elif found[1]:
            self._custody.confirmed(row, found[0])
        else:
            self._custody.failed(row)
            self._changed()

    async def _look(self, head: Head) -> None:
        """Payments of new blocks, and how many blocks stand on those that were seen."""
        if self._first < 0:
            self._first = head.number
        first = max(self._first, min(self._head.number, head.number) - LOOKED_BACK)
        for found in await self._link.payments(self._custody.addresses, first, head.number):
            self._began()
            self._custody.saw(found)
        for row in self._custody.arriving():
            told = await self._link.confirmations(row.tx_id, head)
            self._began()
            if self._custody.counted(row, None if told is None or not told[1] else told[0]):
                self._changed()
