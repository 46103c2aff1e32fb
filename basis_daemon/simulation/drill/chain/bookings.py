"""Bookings and reads of a drilled chain: what contracts would log, and calls return, is read out of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from basis_daemon.domain.chain import BlockRef, ChainEvent
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.position import AccountFigures
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import Clock, TradeSink
from basis_daemon.simulation.chain.trades import trades_of
from basis_daemon.simulation.drill.chain.node import Block, ChainNode, Mined
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.atomic_bookings import GroupBookings
from basis_daemon.venues.chain.bookings import Bookings, Recall
from basis_daemon.venues.chain.deltas import Amounts, Moved, Receipt
from basis_daemon.venues.chain.eye import ETHERFI, ChainEye, Sight, Watch
from basis_daemon.venues.chain.fees import FeePolicy
from basis_daemon.venues.chain.gas import GasDesk
from basis_daemon.venues.chain.reverts import Revert
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.tokens import AAVE, WALLET
from basis_daemon.venues.chain.transactions import TxRow

ZERO = Decimal(0)


class DrillBookings(GroupBookings):
    """Names, order, and undoing are the daemon's own."""

    def __init__(self, node: ChainNode, book: AddressBook, clock: Clock, on_trade: TradeSink, recall: Recall) -> None:
        super().__init__(book, node.address, clock, on_trade, recall)
        self._node = node

    def moved(self, receipt: Receipt) -> Moved:
        """What a transaction did to the account."""
        mined = self._mined_of(receipt)
        return Moved(mined.deltas, mined.rounding) if mined is not None and mined.is_success else Moved()

    def group_trades(self, row: TxRow, receipt: Receipt, why: Revert | None) -> tuple[Trade, ...]:
        """As the base says."""
        booked = self.book(row, receipt, why)
        return (booked, *self._others(row, booked))

    def _mined_of(self, receipt: Receipt) -> Mined | None:
        block = self._node.blocks.get(receipt.block.hash)
        return block.mined.get(receipt.tx_hash) if block is not None else None

    def _others(self, row: TxRow, booked: Trade) -> Iterable[Trade]:
        for place, order in enumerate(self._groups[row.order_id][1:], 1):
            own = {
                "trade_id": f"{booked.trade_id}/{place}",
                "order_id": order.order_id,
                "account": order.venue,
                "instrument": order.instrument,
            }
            nothing = {"deltas": {}, "fees": (), "qty_base": ZERO, "qty_quote": ZERO, "cum_filled": ZERO, "price": None}
            yield booked.model_copy(update=own | nothing)

    def _trade(self, row: TxRow, receipt: Receipt, why: Revert | None) -> Trade:
        """A group that went through is told by its orders; everything else as it is always told."""
        mined, orders = self._mined_of(receipt), self._groups.get(row.order_id)
        if orders is None or mined is None or mined.receipt is None or not receipt.is_success:
            return Bookings._trade(self, row, receipt, why)  # noqa: SLF001 - past the base, which reads logs
        told = replace(
            mined.receipt, tx_hash=row.hash, nonce=row.nonce, block=receipt.block,
            gas_units=row.gas_used, gas_price_wei=row.gas_price_wei,
        )  # fmt: skip
        return trades_of(orders, told, self._clock.wall())[0]

    def _deltas(self, receipt: Receipt) -> Amounts:
        """What goes to an account of ours is on its way, whoever remembers its order: calldata names it."""
        deltas, orders = self.moved(receipt).deltas, self._node.orders.get(receipt.call.data, ())
        if not any(order.operation is OrderOperation.TRANSFER for order in orders):
            return deltas
        gone = {key: -amount for key, amount in deltas.items() if amount < 0}
        return {**deltas, **{PositionKey.of(WALLET, Kind.TRANSIT, key.symbol): amount for key, amount in gone.items()}}


class DrillEye(ChainEye):
    """The daemon's own memory of heads, over one question for everything at a block."""

    def __init__(
        self,
        rpc: RpcPool,
        book: AddressBook,
        owner: str,
        clock: Clock,
        held: Callable[[], Mapping[PositionKey, Decimal]],
    ) -> None:
        super().__init__(rpc, book, owner, Watch(), GasDesk(rpc, FeePolicy()), clock, held)

    async def market(self) -> tuple[ChainEvent, ...]:
        """Everything that is watched, at the newest block."""
        block = await self._rpc.ask("state", _state_at((await self.newest()).block))
        return tuple(block.world.events(self._clock.monotonic_ns()))

    async def figures(self, accounts: Iterable[str]) -> tuple[AccountFigures, ...]:
        """What the protocols say of these accounts."""
        world = (await self._rpc.ask("state", _state_at((await self.newest()).block))).world
        claims, report = world.claims(), world.report()
        return tuple(
            AccountFigures(
                name,
                world.block.time,
                report if name == AAVE else None,
                {key: claim for key, claim in claims.items() if key.venue == name},
            )
            for name in accounts
        )

    async def _read(self, block: BlockRef, asked: tuple[int, ...]) -> Sight:
        found = await self._rpc.agreed("state", _state_at(block))
        zeros = dict.fromkeys((key for key in self._held() if key.kind is not Kind.CLAIM), ZERO)
        seen = {key: held for key, held in found.world.held.items() if not _is_hidden(key, asked)}
        return Sight(block, zeros | seen, asked)


def _is_hidden(key: PositionKey, asked: tuple[int, ...]) -> bool:
    """True for a claim that nobody asks about: its issuer lists none by their owner."""
    return key.venue == ETHERFI and key.kind is Kind.CLAIM and int(key.symbol) not in asked


def _state_at(block: BlockRef) -> Callable[[Any], Any]:
    async def ask(eth: Any) -> Block:  # noqa: ANN401 - a drilled node, where the pool knows web3 alone
        found: Block = await eth.state(block.hash)
        return found

    return ask
