"""What Aave says at one block, in the domain's words: reserves, e-modes, an account. All is read, nothing assumed.

Figures come from the pool and its oracle themselves; the bit fields are those of the protocol's ReserveConfiguration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.chain import BlockRef, EModeTick, LendingReport, RateCurve, ReserveTick
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.venues.chain.abi import MAX, function
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.erc20 import BALANCE_OF
from basis_daemon.venues.chain.seams import PinnedReader, Questions, Slot
from basis_daemon.venues.chain.tokens import amount_of, atoken, vdebt

RESERVE_DATA = function(
    "getReserveData(address) -> (((uint256),uint128,uint128,uint128,uint128,uint128,uint40,uint16,"
    "address,address,address,address,uint128,uint128,uint128))"
)
NORMALIZED_INCOME = function("getReserveNormalizedIncome(address) -> (uint256)")
NORMALIZED_DEBT = function("getReserveNormalizedVariableDebt(address) -> (uint256)")
VIRTUAL_BALANCE = function("getVirtualUnderlyingBalance(address) -> (uint128)")
TOTAL_SUPPLY = function("totalSupply() -> (uint256)")
ASSET_PRICE = function("getAssetPrice(address) -> (uint256)")
FLASH_PREMIUM = function("FLASHLOAN_PREMIUM_TOTAL() -> (uint128)")
RATE_STRATEGY = function("getInterestRateStrategyAddress(address) -> (address)")
RATE_DATA = function("getInterestRateDataBps(address) -> ((uint16,uint32,uint32,uint32))")
EMODE_CONFIG = function("getEModeCategoryCollateralConfig(uint8) -> ((uint16,uint16,uint16))")
EMODE_COLLATERALS = function("getEModeCategoryCollateralBitmap(uint8) -> (uint128)")
EMODE_BORROWABLES = function("getEModeCategoryBorrowableBitmap(uint8) -> (uint128)")
USER_ACCOUNT = function("getUserAccountData(address) -> (uint256,uint256,uint256,uint256,uint256,uint256)")
USER_EMODE = function("getUserEMode(address) -> (uint256)")
USER_CONFIG = function("getUserConfiguration(address) -> ((uint256))")

RAY = 10**27
RAY_DIGITS, BASE_DIGITS, WAD_DIGITS, BPS_DIGITS = 27, 8, 18, 4
BONUS_BASE_BPS = 10_000


@dataclass(frozen=True, slots=True)
class Configuration:
    """A reserve's bit field: rates in basis points, caps in whole tokens (0: none)."""

    bits: int

    def field(self, first: int, count: int) -> int:
        """``count`` bits from bit ``first``."""
        return (self.bits >> first) & ((1 << count) - 1)

    def has(self, bit: int) -> bool:
        """True when this bit is set."""
        return bool(self.field(bit, 1))


@dataclass(frozen=True, slots=True)
class ReserveAsked:
    """The questions about one reserve; what they tell once they are answered. Amounts are whole tokens."""

    symbol: str
    decimals: int
    data: Slot
    income: Slot
    debt_index: Slot
    reach: Slot
    held: Slot
    made: Slot
    owed: Slot
    price: Slot
    strategy: Slot

    @property
    def config(self) -> Configuration:
        """Flags, caps and terms."""
        return Configuration(self.data.value[0][0])

    @property
    def idle(self) -> Decimal:
        """What can be withdrawn or borrowed now: what the pool accounts for, and what is there."""
        return amount_of(min(self.reach.value, self.held.value), self.decimals)

    @property
    def debt(self) -> Decimal:
        """All that is owed."""
        return amount_of(self.owed.value, self.decimals)

    @property
    def supplied(self) -> Decimal:
        """What counts against the cap: all aTokens, and what the treasury has not minted yet."""
        return amount_of(self.made.value + self.data.value[12] * self.income.value // RAY, self.decimals)

    @property
    def borrow_rate(self) -> Decimal:
        """Per year."""
        return amount_of(self.data.value[4], RAY_DIGITS)

    @property
    def supply_cap(self) -> Decimal:
        """0 for none."""
        return Decimal(self.config.field(116, 36))

    @property
    def borrow_cap(self) -> Decimal:
        """0 for none."""
        return Decimal(self.config.field(80, 36))

    @property
    def is_active(self) -> bool:
        """False for a reserve that is not in use."""
        return self.config.has(56)

    @property
    def is_frozen(self) -> bool:
        """True while nothing new is supplied or borrowed."""
        return self.config.has(57)

    @property
    def is_paused(self) -> bool:
        """True while nothing goes in or out."""
        return self.config.has(60)

    @property
    def is_borrowable(self) -> bool:
        """True where it is lent outside every e-mode."""
        return self.config.has(58)


async def read_reserves(
    reader: PinnedReader, block: BlockRef, book: AddressBook, symbols: Iterable[str], received_ns: int
) -> tuple[ReserveTick, ...]:
    """One tick per reserve, all at ``block``. Raises VenueUnreachableError; a part of the picture is no picture."""
    questions = Questions()
    asked = [ask_reserve(questions, book, symbol) for symbol in symbols]
    premium = questions.ask(FLASH_PREMIUM, book.aave.pool)
    await questions.put(reader, block)
    more = Questions()
    curves = [more.ask(RATE_DATA, one.strategy.value, book.token(one.symbol).address) for one in asked]
    await more.put(reader, block)
    fee = amount_of(premium.value, BPS_DIGITS)
    return tuple(_reserve_tick(one, curve, fee, block, received_ns) for one, curve in zip(asked, curves, strict=True))


def ask_reserve(questions: Questions, book: AddressBook, symbol: str) -> ReserveAsked:
    """Everything about a reserve but its rate curve; raises ConfigError for an asset that the market does not list."""
    token, reserve, pool = book.token(symbol), book.reserve(symbol), book.aave.pool
    return ReserveAsked(
        symbol,
        token.decimals,
        data=questions.ask(RESERVE_DATA, pool, token.address),
        income=questions.ask(NORMALIZED_INCOME, pool, token.address),
        debt_index=questions.ask(NORMALIZED_DEBT, pool, token.address),
        reach=questions.ask(VIRTUAL_BALANCE, pool, token.address),
        held=questions.ask(BALANCE_OF, token.address, reserve.atoken),
        made=questions.ask(TOTAL_SUPPLY, reserve.atoken),
        owed=questions.ask(TOTAL_SUPPLY, reserve.vdebt),
        price=questions.ask(ASSET_PRICE, book.aave.oracle, token.address),
        strategy=questions.ask(RATE_STRATEGY, book.aave.data_provider, token.address),
    )


def _reserve_tick(
    asked: ReserveAsked, curve: Slot, flash_fee: Decimal, block: BlockRef, received_ns: int
) -> ReserveTick:
    config = asked.config
    return ReserveTick(
        instrument=atoken(asked.symbol),
        block=block,
        received_ns=received_ns,
        supply_rate=amount_of(asked.data.value[2], RAY_DIGITS),
        borrow_rate=asked.borrow_rate,
        liquidity_index=amount_of(asked.income.value, RAY_DIGITS),
        debt_index=amount_of(asked.debt_index.value, RAY_DIGITS),
        idle=asked.idle,
        debt=asked.debt,
        supplied=asked.supplied,
        reserve_factor=amount_of(config.field(64, 16), BPS_DIGITS),
        curve=_curve(curve.value),
        supply_cap=asked.supply_cap,
        borrow_cap=asked.borrow_cap,
        price=amount_of(asked.price.value, BASE_DIGITS),
        ltv=amount_of(config.field(0, 16), BPS_DIGITS),
        liquidation_threshold=amount_of(config.field(16, 16), BPS_DIGITS),
        liquidation_bonus=_bonus(config.field(32, 16)),
        flash_fee=flash_fee,
        is_active=asked.is_active,
        is_frozen=asked.is_frozen,
        is_paused=asked.is_paused,
        is_borrowable=asked.is_borrowable,
        is_flashable=config.has(63),
    )


def _curve(row: tuple[int, int, int, int]) -> RateCurve:
    kink, base, slope1, slope2 = (amount_of(part, BPS_DIGITS) for part in row)
    return RateCurve(base=base, kink=kink, slope1=slope1, slope2=slope2)


def _bonus(bps: int) -> Decimal:
    """What a liquidator gets on top, as a fraction; the protocol stores it together with the whole."""
    return amount_of(bps - BONUS_BASE_BPS, BPS_DIGITS) if bps else Decimal(0)


async def read_emode(
    reader: PinnedReader, block: BlockRef, book: AddressBook, category: int, collateral: str, received_ns: int
) -> EModeTick:
    """The e-mode ``category``, told for the collateral ``collateral``. Raises VenueUnreachableError."""
    questions, pool = Questions(), book.aave.pool
    config = questions.ask(EMODE_CONFIG, pool, category)
    into, out_of = questions.ask(EMODE_COLLATERALS, pool, category), questions.ask(EMODE_BORROWABLES, pool, category)
    rows = {name: questions.ask(RESERVE_DATA, pool, book.token(name).address) for name in book.aave.reserves}
    await questions.put(reader, block)
    ltv, threshold, bonus = config.value
    places = {name: slot.value[7] for name, slot in rows.items()}
    return EModeTick(
        instrument=atoken(collateral),
        block=block,
        received_ns=received_ns,
        category=category,
        ltv=amount_of(ltv, BPS_DIGITS),
        liquidation_threshold=amount_of(threshold, BPS_DIGITS),
        liquidation_bonus=_bonus(bonus),
        collaterals=frozenset(name for name, place in places.items() if into.value >> place & 1),
        borrowables=frozenset(name for name, place in places.items() if out_of.value >> place & 1),
    )


@dataclass(frozen=True, slots=True)
class LendingAccount:
    """An account at Aave at one block: the protocol's figures, its balances, and which of them stand for debt."""

    report: LendingReport
    balances: Mapping[PositionKey, Decimal]
    collaterals: frozenset[str]


async def read_account(reader: PinnedReader, block: BlockRef, book: AddressBook, owner: str) -> LendingAccount:
    """What ``owner`` has and owes, zeros too. Raises VenueUnreachableError."""
    questions, pool = Questions(), book.aave.pool
    figures, emode = questions.ask(USER_ACCOUNT, pool, owner), questions.ask(USER_EMODE, pool, owner)
    config = questions.ask(USER_CONFIG, pool, owner)
    places: dict[str, Slot] = {}
    slots: dict[PositionKey, Slot] = {}
    for name, reserve in book.aave.reserves.items():
        places[name] = questions.ask(RESERVE_DATA, pool, book.token(name).address)
        slots[atoken(name)] = questions.ask(BALANCE_OF, reserve.atoken, owner)
        slots[vdebt(name)] = questions.ask(BALANCE_OF, reserve.vdebt, owner)
    await questions.put(reader, block)
    collateral, debt, _, threshold, ltv, health = figures.values
    used = config.value[0]
    return LendingAccount(
        LendingReport(
            account=owner,
            collateral=amount_of(collateral, BASE_DIGITS),
            debt=amount_of(debt, BASE_DIGITS),
            ltv=amount_of(ltv, BPS_DIGITS),
            liquidation_threshold=amount_of(threshold, BPS_DIGITS),
            health_factor=None if health == MAX else amount_of(health, WAD_DIGITS),
            emode=emode.value,
        ),
        {key: amount_of(slot.value, book.token(key.symbol).decimals) for key, slot in slots.items()},
        frozenset(name for name, slot in places.items() if used >> (2 * slot.value[7] + 1) & 1),
    )
