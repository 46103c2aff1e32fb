"""What an exchange says, in words that every exchange shares. Decoders make these from frames and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from msgspec import Struct

from basis_daemon.domain.order import Side
from basis_daemon.domain.position import MarginReport
from basis_daemon.domain.trade import OrderState, Origin

Row = dict[str, Any]
"""One JSON object of a venue or one unified structure of ccxt."""

Foreign = Any
"""An object of ccxt, which has no types, or decoded JSON before it was read."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def instant(milliseconds: object) -> datetime:
    """Aware UTC instant of a venue stamp; raises ValueError for a stamp that is none."""
    if not isinstance(milliseconds, int | str):
        raise ValueError(f"stamp {milliseconds!r}, expected milliseconds")  # noqa: TRY004 - a bad value, not a bad call
    return EPOCH + int(milliseconds) * MILLISECOND


def milliseconds(time: datetime) -> int:
    """Inverse of ``instant``, rounded down."""
    return (time - EPOCH) // MILLISECOND


def exact(value: object) -> Decimal:
    """The number a venue wrote; raises ValueError when it is missing, unreadable or not finite."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r}, expected a number") from None
    if not number.is_finite():
        raise ValueError(f"{value!r}, expected a finite number")
    return number


def positive(value: object) -> Decimal:
    """``exact`` for prices; raises ValueError at zero and below."""
    if (number := exact(value)) <= 0:
        raise ValueError(f"{value!r}, expected a number above zero")
    return number


def maybe_exact(value: object) -> Decimal | None:
    """``exact``, or None for a field that the venue left out."""
    return None if value is None or value == "" else exact(value)


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill as the venue stated it. ``trade_no`` is unique per symbol; ``client_id`` is empty when not said."""

    symbol_id: str
    trade_no: str
    order_no: str
    client_id: str
    side: Side
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal | None
    fee_asset: str
    fee: Decimal
    realised: Decimal | None
    is_maker: bool | None
    time: datetime
    ordered: Decimal | None = None
    cum_filled: Decimal | None = None
    origin: Origin = Origin.ORDER

    @property
    def order_key(self) -> tuple[str, str]:
        """What tells orders of one account apart: venue order numbers repeat between symbols."""
        return self.symbol_id, self.order_no


@dataclass(frozen=True, slots=True)
class OrderView:
    """A venue's word on one order: how far it came, whether it lives; ``fills`` only where the answer held them."""

    symbol_id: str
    order_no: str
    client_id: str
    state: OrderState
    ordered: Decimal
    executed: Decimal
    time: datetime
    fills: tuple[Fill, ...] = ()

    @property
    def order_key(self) -> tuple[str, str]:
        """As of a Fill."""
        return self.symbol_id, self.order_no


@dataclass(frozen=True, slots=True)
class WalletView:
    """An account in the venue's figures: ``positions`` and their signed ``costs`` by the venue's symbols.

    ``time`` is None when the answer bears no stamp.
    """

    balances: Mapping[str, Decimal]
    positions: Mapping[str, Decimal]
    time: datetime | None
    margin: MarginReport | None = None
    costs: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FillSeen:
    """The private stream told of a fill."""

    time: datetime
    fill: Fill


@dataclass(frozen=True, slots=True)
class OrderEnded:
    """A resting order left the book without a fill of its own: cancelled, expired or decreased by the venue."""

    time: datetime
    view: OrderView


@dataclass(frozen=True, slots=True)
class OrderLinked:
    """A conditional order of ours became an ordinary one, whose own id may be another."""

    time: datetime
    symbol_id: str
    order_no: str
    client_id: str


class BookDelta(NamedTuple):
    """A frame of the book's changes: it continues a book of number ``follows`` and makes it one of number ``last``.

    Levels are (price, new size) as the venue wrote them; a size of zero takes the level away.
    """

    symbol_id: str
    follows: int
    last: int
    stamp_ms: int
    bids: Sequence[Sequence[str]]
    asks: Sequence[Sequence[str]]


class BookMoved(Struct, frozen=True):
    """A book frame arrived; ccxt holds the book."""

    time: datetime
    symbol_id: str


@dataclass(frozen=True, slots=True)
class MarkMoved:
    """Mark, index and the funding to come."""

    time: datetime
    symbol_id: str
    mark: Decimal
    index: Decimal
    funding: Decimal
    next_funding_time: datetime


@dataclass(frozen=True, slots=True)
class WalletMoved:
    """New balances and positions of what has just changed."""

    time: datetime
    balances: Mapping[str, Decimal]
    positions: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class AccountMoved:
    """Money moved, or a setting changed, without an order."""

    time: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The venue confirmed the private subscription."""


@dataclass(frozen=True, slots=True)
class LoginLost:
    """The private subscription is over although the connection may live on."""

    why: str


PrivateEvent = FillSeen | OrderEnded | OrderLinked | WalletMoved | AccountMoved
FrameEvent = PrivateEvent | BookMoved | MarkMoved | LoggedIn | LoginLost
