"""A frozen description of what differs between exchanges; one small file per exchange fills it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.instrument import Kind, MarginTier
from basis_daemon.domain.ledger import CashFlow
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.trade import Origin
from basis_daemon.venues.cex.frames import BookDelta, FrameEvent, Row, WalletView
from basis_daemon.venues.cex.options import Fees
from basis_daemon.venues.transfers.ends import Deposit, Way, Withdrawal


class Stream(StrEnum):
    """The connections of one account."""

    BOOK = "book"
    MARK = "mark"
    USER = "user"


class Fate(StrEnum):
    """What a failed call tells about the request."""

    REJECTED = "rejected"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"
    SKEWED = "skewed"
    DUPLICATE = "duplicate"
    NOT_FOUND = "not_found"
    NO_CHANGE = "no_change"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one code of the venue is read. ``words`` must occur in its text, for codes that mean several things.

    ``is_about_terms``: what the venue lists, or its filters or tiers, may not be what we believe any more.
    """

    fate: Fate
    error_class: ErrorClass = ErrorClass.BAD_PARAMS
    words: str = ""
    is_about_terms: bool = False


@dataclass(frozen=True, slots=True)
class Pool:
    """One request budget per minute and IP. ``sections`` are prefixes of ccxt's API sections; ``header`` is lower case.

    ``weight_per_cost`` turns ccxt's cost into the venue's weight; ``reserve`` is the share kept for what reduces risk.
    """

    name: str
    sections: tuple[str, ...]
    weight_max: int
    header: str
    weight_per_cost: float = 1.0
    reserve: float = 0.2


def _nothing(_: object) -> None:
    """What an account does where the exchange needs nothing."""


def _no_parameters(_symbol_id: str, _milliseconds: int) -> Row:
    """Where a call takes none."""
    return {}


def _any_hand(_: str) -> Origin:
    """Where no client id is special."""
    return Origin.ORDER


def _no_flow(account: str, row: Row) -> None:
    """Where the exchange keeps no record of money that moved without an order."""


def no_fees(row: Row) -> Fees:
    """The reader of an exchange that has not said how it tells its fees."""
    raise ValueError(f"fees are not read here: {sorted(row)}")


@dataclass(frozen=True, slots=True)
class CustodyQuirks:
    """How a spot account is asked about coin that comes and goes over a chain; the readers are pure.

    ``network`` is ccxt's name of Ethereum and ``network_id`` the exchange's own. ``client_id`` and ``tx_id`` are the
    parameters by which its records find one withdrawal of ours and one transaction's deposits. ``read_way`` takes the
    answer of ``ways_call`` and a coin.
    """

    network: str
    network_id: str
    client_id: str
    tx_id: str
    ways_call: str
    withdrawals_call: str
    deposits_call: str
    address_call: str
    whitelist_call: str
    read_way: Callable[[Any, str], Way]
    read_withdrawal: Callable[[Row], Withdrawal]
    read_deposit: Callable[[Row], Deposit]


@dataclass(frozen=True, slots=True)
class AccountQuirks:
    """One wallet with its own keys in the book. The callables are pure; they raise ValueError or KeyError on nonsense.

    ``decode`` reads a frame, ``stream_of`` a connection's URL, ``read_wallet`` a unified balance, ``read_realised`` the
    raw row of a fill, ``read_fees`` the answer of ``fee_call`` for one symbol, ``read_cash_flow`` a raw row of
    ``cash_flow_call``, by account (None: booked elsewhere).
    ``settings`` are (call, field, value) that the account must have. ``keep_login_call`` prolongs the private login;
    ``forget_login`` clears from ccxt's options what must not be used again after a private disconnect.
    ``trigger_params`` go with a conditional order (None: there are none); ``read_triggered`` is the number of the
    ordinary order that it became. ``listing_call`` tells what is listed, for one symbol if it ``lists_one_symbol``, in
    raw rows that ccxt can parse. ``read_delta`` reads a frame of book changes that we can work in ourselves (None: it
    is ccxt's to handle). ``capital_calls`` are (call, reader of a raw row, by account) of deposits and withdrawals,
    asked for ``capital_window`` at once. ``custody`` is how coin comes and goes over a chain (None: not by us).
    ``countdown_call`` sets the dead man's switch of a symbol to so many milliseconds (None: there is none).
    ``is_inverse``: its contracts are margined in their coin; ``contract_suffix`` ends their symbols at the venue and
    is left out of keys. ``lines`` number the connections by ccxt's name of a public subscription, where nothing else
    in the URL tells them apart.
    """

    name: str
    ccxt_id: str
    trades: frozenset[OrderOperation]
    kinds: frozenset[Kind]
    wallet_code: str
    listing_call: str
    client_options: Mapping[str, object]
    markets_params: Mapping[str, object]
    stream_of: Callable[[str], Stream | None]
    decode: Callable[[Row], Sequence[FrameEvent]]
    read_wallet: Callable[[Row], WalletView]
    forget_login: Callable[[MutableMapping[str, Any]], None] = _nothing
    balance_params: Mapping[str, object] = field(default_factory=dict)
    read_realised: Callable[[Row], Decimal | None] = _nothing
    read_tier: Callable[[Row], MarginTier] | None = None
    fee_call: str = ""
    read_fees: Callable[[Row], Fees] = no_fees
    cash_flow_call: str | None = None
    keep_login_call: str | None = None
    read_cash_flow: Callable[[str, Row], CashFlow | None] = _no_flow
    settings: tuple[tuple[str, str, object], ...] = ()
    countdown_call: str | None = None
    countdown_params: Callable[[str, int], Row] = _no_parameters
    trigger_params: Mapping[str, object] | None = None
    read_triggered: Callable[[Row], str | None] = _nothing
    read_delta: Callable[[Row], BookDelta | None] = _nothing
    capital_calls: tuple[tuple[str, Callable[[str, Row], Sequence[CashFlow]]], ...] = ()
    capital_window: timedelta = timedelta(days=80)
    page_window: timedelta = timedelta(days=1)
    page_rows: int = 1000
    custody: CustodyQuirks | None = None
    is_up_when_connected: bool = False
    lists_one_symbol: bool = False
    is_inverse: bool = False
    contract_suffix: str = ""
    lines: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_spot(self) -> bool:
        """True when it trades spot pairs."""
        return OrderOperation.SPOT_TRADE in self.trades

    @property
    def has_triggers(self) -> bool:
        """True when the venue itself holds stops and take-profits."""
        return self.trigger_params is not None

    @property
    def has_perps(self) -> bool:
        """True when it trades contracts: then marks, funding, leverage and margin exist."""
        return OrderOperation.PERP_TRADE in self.trades


@dataclass(frozen=True, slots=True)
class VenueQuirks:
    """One exchange. ``idempotency`` is how long the venue refuses a repeated client id.

    ``verdicts`` are tried in order for a code; ``id_params`` are ccxt's parameter names for our id when creating,
    querying and cancelling; ``live_hosts`` are all that real money may reach, ``play_hosts`` all that the exchange's
    own play money (demo trading, testnet) may. Where only public data is wanted, ``public_sections`` (ccxt's) and what
    begins with ``public_urls`` stay open, with a key ``terms_paths`` too. ``rights_call`` tells a key's ``rights``: the
    venue's flags and what we call them; ``ip_flag`` is set for a key that is bound to addresses.
    ``origin_of`` tells from a client id whether the venue itself is behind an order.
    """

    name: str
    accounts: tuple[AccountQuirks, ...]
    idempotency: Literal["open_only", "windowed", "permanent"]
    receive_window_ms: int
    id_params: tuple[str, str, str]
    pools: tuple[Pool, ...]
    verdicts: Mapping[str, tuple[Verdict, ...]]
    live_hosts: frozenset[str]
    play_hosts: frozenset[str]
    transfer_account: str
    public_sections: frozenset[str] = frozenset()
    public_urls: tuple[str, ...] = ()
    terms_paths: frozenset[str] = frozenset()
    rights_call: str | None = None
    rights: Mapping[str, str] = field(default_factory=dict)
    ip_flag: str | None = None
    origin_of: Callable[[str], Origin] = _any_hand

    def named(self, spot: str, derivatives: str) -> VenueQuirks:
        """The same exchange with its wallets under these names: a sub-account has wallets and a key of its own."""
        names = {account.name: derivatives if account.has_perps else spot for account in self.accounts}
        accounts = tuple(replace(account, name=names[account.name]) for account in self.accounts)
        return replace(self, accounts=accounts, transfer_account=names[self.transfer_account])

    def account(self, name: str) -> AccountQuirks:
        """Raises KeyError for a wallet the exchange does not have."""
        return {account.name: account for account in self.accounts}[name]
