"""The chain between two points of market time: what is known then, what accrues, what requests and rewards fall due."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.chain import BlockRef, ChainEvent, ClaimReport, GasTick, LendingReport, LstTick, RewardTick
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.lending_account import lending_report
from basis_daemon.simulation.chain.books import BARE, WAD, Books, Worth, decimals_of
from basis_daemon.simulation.chain.record import EIGEN_POOL, ChainRecord, GasRow, is_current
from basis_daemon.simulation.chain.reserve import EMODE_CATEGORY, RAY, Reserve, emode_tick
from basis_daemon.simulation.chain.scene import Delays, Quotes
from basis_daemon.venues.chain.tokens import AAVE, ETH, ETHER_DECIMALS, amount_of, atoken, held_at

BLOCK_S = 12
POOL_FEE = Decimal("0.0005")
"""Of the staking token's pool; what USDT costs against ether is in no file."""
EIGEN = held_at("EIGEN")
ZERO, ONE = Decimal(0), Decimal(1)


@dataclass(frozen=True, slots=True)
class Nature:
    """What no file holds: how long requests wait, what a market takes at once, what a flash loan costs.

    Without ``collateral_earns`` a staking token that is supplied earns what its rate grows, and nothing beside; rates
    that are ``drawn`` go from hour to hour.
    """

    delays: Delays
    size: Decimal
    flash_fee: Decimal
    collateral_earns: bool = True
    is_drawn: bool = False


@dataclass(slots=True)
class World:
    """Of one owner. ``lsts`` are the staking tokens somebody looks at; ``ether`` is USDT per ETH at an exchange.

    Nothing is asked of the record but what was known at ``block``.
    """

    record: ChainRecord
    nature: Nature
    lsts: Sequence[str]
    books: Books
    block: BlockRef
    ether: Decimal | None = None
    reserves: dict[str, Reserve] = field(default_factory=dict)
    _base: dict[str, tuple[int, int]] = field(default_factory=dict)
    _paid_until: datetime | None = None

    def reach(self, at: datetime, ether: Decimal | None) -> None:
        """A new block: indices accrue until then, and what was distributed can be collected."""
        self.ether = ether or self.ether
        self.block = _block(self.block.number + 1, at)
        for symbol in self.record.reserves:
            row = self.record.reserve(symbol, at)
            if row is None:
                continue
            if symbol not in self.reserves:
                self.reserves[symbol] = Reserve(symbol, row, at)
            self.reserves[symbol].reach(at, row)
        self._distribute(at)

    def stand(self) -> None:
        """What is held now is part of the recorded totals: it moves no rate."""
        self._base = {s: (self.books.supplied.get(s, 0), self.books.owed.get(s, 0)) for s in self.reserves}

    def resize(self) -> None:
        """Let the reserves feel what was added or taken since ``stand``."""
        worth = self.worth
        for symbol, reserve in self.reserves.items():
            supplied, owed = self._base.get(symbol, (0, 0))
            more = self.books.supplied.get(symbol, 0) - supplied, self.books.owed.get(symbol, 0) - owed
            scale = -decimals_of(symbol) - 27
            reserve.supplied = Decimal(more[0] * worth.income[symbol]).scaleb(scale)
            reserve.borrowed = Decimal(more[1] * worth.debt[symbol]).scaleb(scale)

    # ------------------------------------------------------------------------------------------------ what is known
    @property
    def worth(self) -> Worth:
        """What shares are worth at this block."""
        rates = {symbol: int(rate * WAD) for symbol in BARE if (rate := self.rate(symbol)) is not None}
        still = frozenset[str]() if self.nature.collateral_earns else rates.keys()
        return Worth(
            {s: RAY if s in still else reserve.income_index for s, reserve in self.reserves.items()},
            {symbol: reserve.debt_index for symbol, reserve in self.reserves.items()},
            rates,
        )

    def rate(self, symbol: str) -> Decimal | None:
        """ETH per staking token at its issuer; None before the first row."""
        reserve = self.reserves.get(symbol)
        row = self.record.token(symbol, self.block.time) if self.nature.is_drawn else None
        return row.drawn if row is not None else None if reserve is None else reserve.row.rate

    def price(self, symbol: str) -> Decimal:
        """Dollars at the lender's oracle: ether follows its exchange price where there is one, tokens their rate."""
        reserve = self.reserves[symbol]
        if symbol == "WETH" or reserve.row.rate is not None:
            dollar = self.reserves["USDT"].row.price if "USDT" in self.reserves else ONE
            ether = self.reserves["WETH"].row.price if self.ether is None else self.ether * dollar
            return ether * (self.rate(symbol) or ONE)
        return reserve.row.price

    @property
    def quotes(self) -> Quotes:
        """A day's median of discounts is what a sale costs; it is no ask, so nobody buys below the rate."""
        sale, purchase = dict[str, Decimal](), dict[str, Decimal]()
        for symbol in BARE:
            rate, row = self.rate(symbol), self.record.token(symbol, self.block.time)
            if rate is not None and row is not None:
                sale[symbol] = rate * (ONE + row.premium - POOL_FEE)
                purchase[symbol] = rate * (ONE + max(row.premium, ZERO) + POOL_FEE)
        if (reward := self.record.reward(EIGEN_POOL, self.block.time)) is not None:
            sale[EIGEN.symbol] = reward.price * (ONE - POOL_FEE)
        return Quotes(sale, purchase, self._usdt_per_ether, self.nature.size)

    @property
    def gas(self) -> GasRow | None:
        """The last sample."""
        return self.record.gas_at(self.block.time)

    @property
    def held(self) -> Mapping[PositionKey, Decimal]:
        """Everything by key."""
        return self.books.held(self.worth)

    @property
    def _usdt_per_ether(self) -> Decimal | None:
        if self.ether is not None or not {"WETH", "USDT"} <= self.reserves.keys():
            return self.ether
        return self.reserves["WETH"].row.price / self.reserves["USDT"].row.price

    # ---------------------------------------------------------------------------------------------- what it tells
    def events(self, received_ns: int) -> Iterator[ChainEvent]:
        """Everything that is watched, at this block, yields before costs; what is too old is left out."""
        at, wanted = self.block.time, {"USDT", "WETH", *self.lsts}
        for symbol in self.lsts:
            yield from self._token(symbol, received_ns)
        week, reward = self.record.week(at), self.record.reward(EIGEN_POOL, at)
        if week is not None and reward is not None:
            claimable = amount_of(self.books.rewards.get(EIGEN.symbol, 0), ETHER_DECIMALS)
            yield RewardTick(EIGEN, self.block, received_ns, week.published, reward.price, claimable)
        if (gas := self.gas) is not None:
            yield GasTick(ETH, self.block, received_ns, gas.base_wei, gas.tip_wei)
        for symbol, reserve in self.reserves.items():
            if symbol in wanted and is_current(reserve.row, at):
                yield reserve.tick(self.block, received_ns, self.price(symbol), self.nature.flash_fee)

    def _token(self, symbol: str, received_ns: int) -> Iterator[ChainEvent]:
        reserve, rate, quotes = self.reserves.get(symbol), self.rate(symbol), self.quotes
        if reserve is None or rate is None or symbol not in quotes.sale:
            return
        if not is_current(reserve.row, self.block.time):
            return
        yield LstTick(
            instrument=held_at(symbol),
            block=self.block,
            received_ns=received_ns,
            rate=rate,
            pool_price=quotes.sale[symbol],
            pool_price_buy=quotes.purchase[symbol],
            quoted_size=self.nature.size,
            pool_fee=POOL_FEE,
            is_paused=False,
            deposits_open=True,
            deposit_room=None,
            queue_wait_s=int(self.nature.delays.queue.total_seconds()),
            oracle_price_eth=rate,
        )
        yield emode_tick(symbol, self.block, received_ns)

    def report(self, books: Books | None = None) -> LendingReport | None:
        """The account by the lender; None while no reserve is known."""
        books, worth = books or self.books, self.worth
        if not self.reserves:
            return None
        own = (symbol for symbol in self.reserves if books.supplied.get(symbol) or books.owed.get(symbol))
        ticks = {s: self.reserves[s].tick(self.block, 0, self.price(s), self.nature.flash_fee) for s in own}
        supplied = {s: amount_of(books.lent(s, worth), decimals_of(s)) for s in ticks}
        owed = {s: amount_of(books.debt(s, worth), decimals_of(s)) for s in ticks if books.owed.get(s)}
        emode = emode_tick(self.lsts[0], self.block, 0) if books.emode == EMODE_CATEGORY and self.lsts else None
        return lending_report(AAVE, supplied, owed, books.collateral & ticks.keys(), ticks, emode)

    def claims(self) -> Mapping[PositionKey, ClaimReport]:
        """What issuers owe."""
        return {
            key: ClaimReport(
                key, self.block, amount_of(request.units, ETHER_DECIMALS), request.payable_at <= self.block.time
            )
            for key, request in self.books.requests.items()
        }

    # ------------------------------------------------------------------------------------------------------ rewards
    def _distribute(self, at: datetime) -> None:
        """A week's EIGEN for the restaked token, in the wallet or as collateral, once it could be known."""
        since, self._paid_until = self._paid_until, at
        if since is None:
            return
        rate = self.rate("weETH")
        for week in self.record.weeks:
            if since < week.at <= at and rate is not None:
                held = self.held
                tokens = held.get(held_at("weETH"), ZERO) + held.get(atoken("weETH"), ZERO)
                earned = int((tokens * rate * week.paid).scaleb(ETHER_DECIMALS))
                if earned:
                    self.books.rewards[EIGEN.symbol] = self.books.rewards.get(EIGEN.symbol, 0) + earned


def first_block(at: datetime) -> BlockRef:
    """Before anything happened."""
    return _block(int(at.timestamp()) // BLOCK_S, at - timedelta(seconds=BLOCK_S))


def _block(number: int, at: datetime) -> BlockRef:
    return BlockRef(number, f"0x{hashlib.sha256(f'{number}:{at.isoformat()}'.encode()).hexdigest()}", at)
