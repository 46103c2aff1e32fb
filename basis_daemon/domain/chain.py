"""What a chain tells at one block: lending reserves, liquid staking tokens, gas. Rates are fractions per year.

Everything of one block shares its number, so that a decision never mixes two states of the chain. Amounts are whole
units of the asset (never wei), prices US dollars unless said otherwise, instants UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.instrument import PositionKey

SECONDS_PER_YEAR = 31_536_000
"""365 days, as Aave counts."""


@dataclass(frozen=True, slots=True)
class BlockRef:
    """Where a reading was taken: the block, its hash, and its own time, which is market time."""

    number: int
    hash: str
    time: datetime


@dataclass(frozen=True, slots=True)
class RateCurve:
    """Borrow rate over utilisation U: ``base + slope1 U/kink`` up to the kink, steeper by ``slope2`` beyond it."""

    base: Decimal
    kink: Decimal
    slope1: Decimal
    slope2: Decimal

    def borrow_rate(self, utilisation: Decimal) -> Decimal:
        """Per year, for 0 <= U <= 1."""
        if utilisation <= self.kink:
            return self.base + self.slope1 * utilisation / self.kink
        return self.base + self.slope1 + self.slope2 * (utilisation - self.kink) / (1 - self.kink)


@dataclass(frozen=True, slots=True)
class ReserveTick:
    """One Aave reserve at one block; ``instrument`` is its aToken key (``aave_v3:atoken:USDT``).

    ``idle`` is what can be withdrawn or borrowed now, ``debt`` all variable debt, ``supplied`` all aTokens, caps 0 for
    none. ``price`` is the Aave oracle's. ``ltv``, ``liquidation_threshold`` are those outside every e-mode.
    """

    instrument: PositionKey
    block: BlockRef
    received_ns: int
    supply_rate: Decimal
    borrow_rate: Decimal
    liquidity_index: Decimal
    debt_index: Decimal
    idle: Decimal
    debt: Decimal
    supplied: Decimal
    reserve_factor: Decimal
    curve: RateCurve
    supply_cap: Decimal
    borrow_cap: Decimal
    price: Decimal
    ltv: Decimal
    liquidation_threshold: Decimal
    liquidation_bonus: Decimal
    flash_fee: Decimal
    is_active: bool
    is_frozen: bool
    is_paused: bool
    is_borrowable: bool
    is_flashable: bool

    @property
    def name(self) -> str:
        """What its age goes by."""
        return f"reserve:{self.instrument}"

    @property
    def venue_time(self) -> datetime:
        """Market time of the reading."""
        return self.block.time

    @property
    def utilisation(self) -> Decimal:
        """``debt / (idle + debt)``; 0 for a reserve that nobody uses."""
        whole = self.idle + self.debt
        return self.debt / whole if whole else Decimal(0)


@dataclass(frozen=True, slots=True)
class EModeTick:
    """One e-mode of one Aave market at one block; ``instrument`` is the aToken key of the collateral it is read for."""

    instrument: PositionKey
    block: BlockRef
    received_ns: int
    category: int
    ltv: Decimal
    liquidation_threshold: Decimal
    liquidation_bonus: Decimal
    collaterals: frozenset[str]
    borrowables: frozenset[str]

    @property
    def name(self) -> str:
        """What its age goes by."""
        return f"emode:{self.instrument}"

    @property
    def venue_time(self) -> datetime:
        """Market time of the reading."""
        return self.block.time


@dataclass(frozen=True, slots=True)
class LstTick:
    """A liquid staking token at one block; ``instrument`` is its key in the wallet (``wallet:lst:weETH``).

    ``rate`` is ETH per token at the issuer, ``pool_price`` ETH per token that the DEX pays for a sale of
    ``quoted_size`` tokens, fee and impact included, None without a quote. ``queue_wait_s`` is the issuer's own estimate
    of a withdrawal requested now, None where it gives none; ``deposit_room`` ETH, None for no limit.
    """

    instrument: PositionKey
    block: BlockRef
    received_ns: int
    rate: Decimal
    pool_price: Decimal | None
    pool_price_buy: Decimal | None
    quoted_size: Decimal
    pool_fee: Decimal
    is_paused: bool
    deposits_open: bool
    deposit_room: Decimal | None
    queue_wait_s: int | None
    oracle_price_eth: Decimal | None

    @property
    def name(self) -> str:
        """What its age goes by."""
        return f"lst:{self.instrument}"

    @property
    def venue_time(self) -> datetime:
        """Market time of the reading."""
        return self.block.time


@dataclass(frozen=True, slots=True)
class GasTick:
    """What inclusion costs at one block, wei per unit of gas; ``instrument`` is ``wallet:token:ETH``."""

    instrument: PositionKey
    block: BlockRef
    received_ns: int
    base_fee_wei: int
    priority_fee_wei: int

    @property
    def name(self) -> str:
        """What its age goes by."""
        return f"gas:{self.instrument}"

    @property
    def venue_time(self) -> datetime:
        """Market time of the reading."""
        return self.block.time

    @property
    def price_eth(self) -> Decimal:
        """ETH per unit of gas for a transaction that is included soon."""
        return Decimal(self.base_fee_wei + self.priority_fee_wei) / Decimal(10) ** 18


@dataclass(frozen=True, slots=True)
class RewardTick:
    """A reward token as it was last handed out and as it sells now; ``instrument`` is ``wallet:token:EIGEN``.

    ``per_week`` tokens per ETH of the staking token in the last distributed week, None before the first; ``price_eth``
    ETH per token that the DEX pays; ``claimable`` tokens that can be collected now. ``basket`` is what one token is
    unwrapped into (KING), empty for a token that is sold as it is.
    """

    instrument: PositionKey
    block: BlockRef
    received_ns: int
    per_week: Decimal | None
    price_eth: Decimal
    claimable: Decimal = Decimal(0)
    basket: Mapping[PositionKey, Decimal] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What its age goes by."""
        return f"reward:{self.instrument}"

    @property
    def venue_time(self) -> datetime:
        """Market time of the reading."""
        return self.block.time


ChainEvent = ReserveTick | EModeTick | LstTick | GasTick | RewardTick
"""What a chain feed delivers; all events of one head carry the same block."""


@dataclass(frozen=True, slots=True)
class LendingReport:
    """An account at Aave in the protocol's own figures (``getUserAccountData``), US dollars at its oracle.

    ``health_factor`` is None without debt.
    """

    account: str
    collateral: Decimal
    debt: Decimal
    ltv: Decimal
    liquidation_threshold: Decimal
    health_factor: Decimal | None
    emode: int


@dataclass(frozen=True, slots=True)
class ClaimReport:
    """What an issuer owes for one request (``lido:claim:48211``), in units that it pays out; payable once finalised."""

    instrument: PositionKey
    block: BlockRef
    amount: Decimal
    is_payable: bool
