"""Lots of a book from its ledger: every posting counts, so that what is left in the lots is what is held.

* One pool for each coin of a strategy, wherever it lies: moving it between its own accounts, supplying or withdrawing
  it closes nothing, and what was borrowed counts against it, so that borrowed coin that was sold is a short lot.
* A perp is a pool of its own, measured in its quote coin.
* The coin of the share class is the measure and has no lots; for the ETH class WETH is ETH.
* Fees in the measure belong to cost and proceeds; a fee in another coin is a disposal of it for nothing.
* One coin for another without the measure between them (stake, wrap, swap) carries its cost over, without a gain.
* What came for nothing (opening balance, deposit, reward, interest) costs its price at the last valuation before it, or
  at the first of all; what left for nothing that way (withdrawal) leaves at its cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause, Entry, Posting
from basis_daemon.domain.lots import ZERO, Closed, Event, Lot, Queue

SAME_AS: Mapping[str, frozenset[str]] = {"ETH": frozenset({"ETH", "WETH"})}
"""Coins that are the measure of a share class beside its own name."""

_EXCHANGED = frozenset({Cause.TRADE, Cause.SLIPPAGE, Cause.TRANSFER, Cause.LIQUIDATION})
_PAID = frozenset({Cause.FEE, Cause.GAS, Cause.FLASH_FEE, Cause.TRANSFER_FEE})
_OUT_AT_COST = frozenset({Cause.EXTERNAL, Cause.OPENING})

Amounts = dict[str, Decimal]
QUOTE = "USDT"


@dataclass(slots=True)
class Pools:
    """Lots of one strategy; ``prices`` are those of its newest valuation, in ``measure``."""

    strategy: str
    measure: str
    prices: Mapping[str, Decimal]
    queues: dict[str, Queue] = field(default_factory=dict)

    def closed(self) -> Iterator[Closed]:
        """Everything that was closed, item by item."""
        for queue in self.queues.values():
            yield from queue.closed

    def open(self) -> Iterator[Lot]:
        """Everything that is still held, item by item."""
        for queue in self.queues.values():
            yield from queue.lots

    def held(self) -> Amounts:
        """What the lots say is there, by item: contracts of a perp, a coin net of its debt."""
        found: Amounts = {}
        for lot in self.open():
            found[lot.item] = found.get(lot.item, ZERO) + lot.quantity
        return found

    def book(self, entry: Entry, postings: Iterable[Posting]) -> None:
        """The strategy's own real postings of one event."""
        lines = list(postings)
        for key in dict.fromkeys(line.account for line in lines if line.asset.startswith("perp:")):
            self._perp(entry, PositionKey(key), lines)
        coins = [line for line in lines if not line.asset.startswith(("perp:", "cost:"))]
        goods = _net(line for line in coins if line.cause in _EXCHANGED)
        money = -sum((goods.pop(asset) for asset in list(goods) if self._is_money(asset)), ZERO)
        goods = {asset: amount for asset, amount in goods.items() if amount}
        for asset, amount in _net(line for line in coins if line.cause in _PAID).items():
            if self._is_money(asset):
                money -= amount
            elif asset in goods:
                goods[asset] += amount
            else:
                self._queue(asset).move(amount, ZERO, Event(entry.event_id, entry.time, Cause.FEE))
        self._exchange(entry, goods, money)
        for line in coins:
            if line.cause not in _EXCHANGED | _PAID and not self._is_money(line.asset):
                self._for_nothing(entry, line)

    def _perp(self, entry: Entry, key: PositionKey, lines: list[Posting]) -> None:
        quote = _quote(lines)
        quantity = sum((line.amount for line in lines if line.account == key and line.asset.startswith("perp:")), ZERO)
        value = sum((line.amount for line in lines if line.account == key and line.asset.startswith("cost:")), ZERO)
        coin = {Cause.REALISED, Cause.ROUNDING, Cause.FEE}
        value -= sum((line.amount for line in lines if line.asset == quote and line.cause in coin), ZERO)
        self._queue(key, quote).move(quantity, value, Event(entry.event_id, entry.time, Cause.TRADE))

    def _exchange(self, entry: Entry, goods: Amounts, money: Decimal) -> None:
        """Goods for money, negative where it was received, or for each other."""
        given, taken = ([a for a, amount in goods.items() if amount * sign > 0] for sign in (-1, 1))
        if len(goods) == 1 or not given or not taken:
            event = Event(entry.event_id, entry.time, Cause.TRADE)
            for asset, amount in goods.items():
                paid = money or self._worth(asset, amount)
                self._queue(asset).move(amount, paid if len(goods) == 1 else None, event)
            return
        event = Event(entry.event_id, entry.time, "conversion")
        cost: Decimal | None = money
        for asset in given:
            part = self._queue(asset).leave(-goods[asset], event)
            cost = cost + part if cost is not None and part is not None else None
        for asset in taken:
            self._queue(asset).move(goods[asset], cost if len(taken) == 1 else None, event)

    def _for_nothing(self, entry: Entry, line: Posting) -> None:
        amount, event = PositionKey(line.account).sign * line.amount, Event(entry.event_id, entry.time, line.cause)
        if amount < 0 and line.cause in _OUT_AT_COST:
            self._queue(line.asset).leave(-amount, event)
        else:
            paid = self._worth(line.asset, amount) if amount > 0 else ZERO
            self._queue(line.asset).move(amount, paid, event)

    def _worth(self, asset: str, amount: Decimal) -> Decimal | None:
        price = self.prices.get(asset)
        return amount * price if price is not None else None

    def _queue(self, item: str, measure: str | None = None) -> Queue:
        if item not in self.queues:
            self.queues[item] = Queue(item, measure or self.measure)
        return self.queues[item]

    def _is_money(self, asset: str) -> bool:
        return asset in SAME_AS.get(self.measure, frozenset({self.measure}))


def _quote(lines: Iterable[Posting]) -> str:
    """The coin in which the cost of a perp is counted; empty without one."""
    return next((line.asset.removeprefix("cost:") for line in lines if line.asset.startswith("cost:")), "")


def _net(lines: Iterable[Posting]) -> Amounts:
    found: Amounts = {}
    for line in lines:
        key = PositionKey(line.account)
        found[line.asset] = found.get(line.asset, ZERO) + key.sign * line.amount
    return found


@dataclass(frozen=True, slots=True)
class Valued:
    """Of a strategy at one of its valuations."""

    strategy: str
    accounts: tuple[str, ...]
    measure: str
    prices: Mapping[str, Decimal]
    undeclared: frozenset[str] = frozenset()


def pools_of(events: Sequence[Entry | Valued]) -> list[Pools]:
    """The lots of every strategy, from entries and valuations in the order of the journal.

    Accounts that no valuation names, and balances that count in none because nobody declared them, have pools of their
    own, under no strategy's name.
    """
    first: dict[str, Valued] = {}
    owner: dict[str, str] = {}
    strange: set[str] = set()
    for event in events:
        if isinstance(event, Valued):
            first.setdefault(event.strategy, event)
            owner |= dict.fromkeys(event.accounts, event.strategy)
            strange |= event.undeclared
    pools = {name: Pools(name, valued.measure, valued.prices) for name, valued in first.items()}
    nobodys = Pools("", QUOTE, next((valued.prices for valued in first.values() if valued.measure == QUOTE), {}))
    for event in events:
        if isinstance(event, Valued):
            pools[event.strategy].prices = event.prices
            nobodys.prices = event.prices if event.measure == QUOTE else nobodys.prices
            continue
        own: dict[str, list[Posting]] = {}
        for line in event.postings:
            if not line.account.startswith("nominal:"):
                name = "" if line.account in strange else owner.get(PositionKey(line.account).venue, "")
                own.setdefault(name, []).append(line)
        for name, lines in own.items():
            pools.get(name, nobodys).book(event, lines)
    return [*pools.values(), *([nobodys] if nobodys.queues else [])]
