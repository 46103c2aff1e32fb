"""The venue's word on one account. A failed or malformed answer raises; it never reads as empty."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import CashFlow
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.venues.cex.capital import CapitalRecord
from basis_daemon.venues.cex.desk import Desk, MarketTime
from basis_daemon.venues.cex.fills import Listing, trade_of
from basis_daemon.venues.cex.frames import Fill, OrderView, Row, WalletView, instant, milliseconds
from basis_daemon.venues.cex.limiter import Request
from basis_daemon.venues.cex.outcome import CallError
from basis_daemon.venues.cex.paging import Page, every_page
from basis_daemon.venues.cex.quirks import AccountQuirks, Fate
from basis_daemon.venues.cex.rows import fill_rows, order_view
from basis_daemon.venues.cex.transfer import CONFIRMED, moves_of, transfer_id

MOVES_LOOKED_AT = 100
LEAVING = Request(is_urgent=True, wait_max_s=5.0)
"""What is asked at the end of a life goes into the book that the next one begins with."""


class CEXAccountSource:
    """Reports, fills and cash flows of one account, over REST."""

    def __init__(self, desk: Desk, market_time: MarketTime, others: Sequence[AccountQuirks] = ()) -> None:
        """``others`` are the wallets between which and this one its key moves coin."""
        self._desk, self._market_time, self._others = desk, market_time, others
        self._capital = CapitalRecord(desk, self._now)

    @property
    def account(self) -> str:
        """The venue part of its keys."""
        return self._desk.name

    @property
    def accrues(self) -> bool:
        """False: whatever comes has a row of its own."""
        return False

    async def fetch_report(self) -> AccountReport:
        """Balances, positions, margin and open orders; ``observed_at`` is no later than the answer."""
        desk, seen = self._desk, self._now()
        open_ids: list[str] = []
        for listing in desk.declared():  # by symbol: without one the same question weighs forty times as much
            open_ids += await desk.learn("fetch_open_orders", listing.symbol, read=_client_ids)
            if desk.quirks.has_triggers:
                arguments = (listing.symbol, None, None, {"trigger": True})
                open_ids += await desk.learn("fetch_open_orders", *arguments, read=_client_ids)
        wallet = await desk.learn("fetch_balance", dict(desk.quirks.balance_params), read=desk.quirks.read_wallet)
        costs = {desk.listing_of_id(symbol).key: cost for symbol, cost in wallet.costs.items() if cost}
        return AccountReport(
            account=desk.name,
            observed_at=max(seen, wallet.time) if self._market_time.is_known() and wallet.time else wallet.time or seen,
            received_ns=desk.clock.monotonic_ns(),
            holdings={key: amount for key, amount in holdings_of(desk, wallet).items() if amount},
            covers=desk.quirks.kinds,
            margin=wallet.margin,
            open_notional=costs,
            open_order_ids=tuple(open_ids),
        )

    async def fetch_trades(self, since: datetime) -> Sequence[Trade]:
        """Fills since ``since``, oldest first; foreign orders keep the id that they bear."""
        found: list[Trade] = []
        for listing in self._desk.declared():
            found += await self._trades(listing, since)
        return sorted(found, key=lambda trade: (trade.venue_time, trade.trade_id))

    async def fetch_cash_flows(self, since: datetime) -> Sequence[CashFlow]:
        """Money that moved without an order, oldest first; nothing where the exchange keeps no such record."""
        flows = [*await self._capital.flows(since), *await self._incomes(since)]
        return sorted({flow.flow_id: flow for flow in flows}.values(), key=lambda flow: (flow.venue_time, flow.flow_id))

    async def _incomes(self, since: datetime) -> Sequence[CashFlow]:
        quirks = self._desk.quirks
        call, size = quirks.cash_flow_call, quirks.page_rows
        if call is None:
            return ()

        def read(answer: object) -> Page[CashFlow]:
            rows = _list_of_rows(answer)
            flows = [flow for row in rows if (flow := quirks.read_cash_flow(self._desk.name, row)) is not None]
            return Page(flows, instant(max(int(row["time"]) for row in rows)) if len(rows) >= size else None)

        async def fetch(start: datetime, end: datetime) -> Page[CashFlow]:
            window = {"startTime": milliseconds(start), "endTime": milliseconds(end), "limit": size}
            return await self._desk.learn(call, window, read=read)

        return await every_page(since, self._now(), quirks.page_window, fetch, self._desk.options.rarely)

    async def fetch_transfers(self, since: datetime) -> Sequence[Trade]:
        """Moves of coin between this wallet and the others, both ways."""
        found: list[Trade] = []
        for other in self._others:
            for source, target in ((self._desk.quirks, other), (other, self._desk.quirks)):
                for coin in self._desk.options.moved_coins:
                    found += await self._moves(coin, source, target, since)
        return sorted(found, key=lambda trade: (trade.venue_time, trade.trade_id))

    def hurry(self) -> None:
        """Its questions may use what the request budget keeps in reserve."""
        self._desk.patience = LEAVING

    async def _moves(self, coin: str, source: AccountQuirks, target: AccountQuirks, since: datetime) -> Sequence[Trade]:
        codes = {"fromAccount": source.wallet_code, "toAccount": target.wallet_code}
        arguments = (coin, milliseconds(since), MOVES_LOOKED_AT, codes)
        moves = await self._desk.learn("fetch_transfers", *arguments, read=moves_of)
        ends = PositionKey.of(source.name, Kind.SPOT, coin), PositionKey.of(target.name, Kind.SPOT, coin)
        return [
            Trade(
                trade_id=transfer_id(self.account, move.number),
                order_id="",
                account=self.account,
                instrument=ends[0],
                status=TradeStatus.FILLED,
                order_state=OrderState.SETTLED,
                venue_time=move.time,
                recv_time=self._desk.clock.wall(),
                cum_filled=move.amount,
                deltas={ends[0]: -move.amount, ends[1]: move.amount},
            )
            for move in moves
            if move.status == CONFIRMED and move.time >= since
        ]

    async def _trades(self, listing: Listing, since: datetime) -> Sequence[Trade]:
        quirks, fills, size = self._desk.quirks, self._desk.fills, self._desk.quirks.page_rows

        def read(answer: object) -> Page[Fill]:
            rows = fill_rows(answer, listing, quirks)
            return Page(rows, max(fill.time for fill in rows) if len(rows) >= size else None)

        async def fetch(start: datetime, end: datetime) -> Page[Fill]:
            arguments = (listing.symbol, milliseconds(start), size, {"until": milliseconds(end)})
            return await self._desk.learn("fetch_my_trades", *arguments, read=read)

        found = await every_page(since, self._now(), quirks.page_window, fetch, self._desk.options.rarely)
        for fill in found:
            fills.add(fill)
        for fill in found:
            if not fills.knows(fill.order_key):
                await self._identify(listing, fill)
        wanted, recv_time = {fill.trade_no for fill in found}, self._desk.clock.wall()
        orders = dict.fromkeys(fill.order_key for fill in found)
        complete = (fill for key in orders for fill in fills.fills(key) if fill.trade_no in wanted)
        return [trade_of(fill, listing, recv_time) for fill in complete]

    async def _identify(self, listing: Listing, fill: Fill) -> None:
        """Learn whose order a fill belongs to; one that the venue has forgotten stays without an id."""

        def read(row: object) -> OrderView:
            return order_view(row, listing, self._desk.quirks)

        try:
            view = await self._desk.ask(self._desk.data, "fetch_order", fill.order_no, listing.symbol, read=read)
        except CallError as fault:
            if fault.fate is not Fate.NOT_FOUND:
                msg = f"{self.account}: order number {fill.order_no} of fill {fill.trade_no}: {fault.text}"
                raise VenueUnreachableError(msg) from fault
        else:
            self._desk.fills.learn(view)

    def _now(self) -> datetime:
        """Market time where the venue has shown it, else the wall clock."""
        return self._market_time.newest if self._market_time.is_known() else self._desk.clock.wall()


def holdings_of(desk: Desk, wallet: WalletView) -> dict[PositionKey, Decimal]:
    """Balances and positions by key, zeros too. Raises KeyError for a position in what is not listed."""
    holdings = {PositionKey.of(desk.name, Kind.SPOT, asset): amount for asset, amount in wallet.balances.items()}
    return holdings | {desk.listing_of_id(symbol).key: amount for symbol, amount in wallet.positions.items()}


def _client_ids(answer: object) -> tuple[str, ...]:
    return tuple(str(row["clientOrderId"]) for row in _list_of_rows(answer))


def _list_of_rows(answer: object) -> list[Row]:
    if not isinstance(answer, list):
        raise ValueError(f"answer is {type(answer).__name__}, expected a list")  # noqa: TRY004 - a bad answer
    return answer
