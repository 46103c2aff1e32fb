"""One account per API key: a spot wallet, a wallet per kind of futures, and the records a client may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from basis_daemon.sandbox.exchange.instruments import CONTRACTS, TIERS, Instrument, Market, Tiers
from basis_daemon.sandbox.exchange.money import ZERO
from basis_daemon.sandbox.exchange.orders import AlgoOrder, OrderStore

DEFAULT_LEVERAGE = 20
RIGHTS: dict[str, bool] = {
    "ipRestrict": True,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "enableMargin": False,
    "enableFutures": True,
    "permitsUniversalTransfer": True,
    "enableVanillaOptions": False,
    "enableSpotAndMarginTrading": True,
    "enablePortfolioMarginTrading": False,
}
"""What a new key may do, in the venue's words."""


@dataclass(frozen=True, slots=True)
class AccountSpec:
    """Credentials and opening balances of one account."""

    api_key: str = "sandbox-key"
    api_secret: str = field(default="sandbox-secret", repr=False)
    spot: tuple[tuple[str, Decimal], ...] = (("USDT", Decimal(100_000)),)
    usdm: tuple[tuple[str, Decimal], ...] = ()
    coinm: tuple[tuple[str, Decimal], ...] = ()

    @classmethod
    def of_sub_account(cls, name: str) -> AccountSpec:
        """A sub-account with a key of its own and the opening balances of the main one."""
        main = cls()
        return cls(f"{main.api_key}-{name}", f"{main.api_secret}-{name}")

    @classmethod
    def margined(cls, name: str) -> AccountSpec:
        """The same, with its money in the futures wallet."""
        found = cls.of_sub_account(name)
        return replace(found, spot=(), usdm=found.spot)

    @classmethod
    def coin_margined(cls, name: str) -> AccountSpec:
        """A sub-account with two bitcoins in the wallet of inverse contracts and nothing else."""
        return replace(cls.of_sub_account(name), spot=(), coinm=(("BTC", Decimal(2)),))


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """Fractions of the traded notional."""

    spot_maker: Decimal = Decimal("0.001")
    spot_taker: Decimal = Decimal("0.001")
    bnb_discount: Decimal = Decimal("0.25")
    usdm_maker: Decimal = Decimal("0.0002")
    usdm_taker: Decimal = Decimal("0.0005")
    coinm_maker: Decimal = Decimal("0.0001")
    coinm_taker: Decimal = Decimal("0.0005")

    def of_futures(self, market: Market, *, maker: bool) -> Decimal:
        """What a fill of a perp costs."""
        if market == "coinm":
            return self.coinm_maker if maker else self.coinm_taker
        return self.usdm_maker if maker else self.usdm_taker


@dataclass(slots=True)
class Holding:
    """One spot balance; what open orders hold is `locked`."""

    free: Decimal = ZERO
    locked: Decimal = ZERO


@dataclass(slots=True)
class Position:
    """A netted perp position.

    `cost` is what the open quantity stood for at its fills, signed and in the margin asset: unrealised profit is what
    it stands for at the mark against that, and no average price is ever stored.
    """

    symbol: str
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    leverage: int = DEFAULT_LEVERAGE
    margin_type: str = "CROSSED"
    updated_ms: int = 0
    ladders: Mapping[str, Tiers] = field(default_factory=lambda: TIERS)

    @property
    def tiers(self) -> Tiers:
        """The margin tiers of its symbol as the venue has them now."""
        return self.ladders[self.symbol]

    @property
    def contract(self) -> Instrument:
        """What one unit of the quantity stands for."""
        return CONTRACTS[self.symbol]

    @property
    def entry_price(self) -> Decimal:
        return self.contract.price_of(self.quantity, self.cost) if self.quantity else ZERO

    def unrealised(self, mark: Decimal) -> Decimal:
        return self.contract.profit(self.contract.value(self.quantity, mark), self.cost)


@dataclass(frozen=True, slots=True)
class IncomeRow:
    """One change of a futures wallet and its cause; the venue lists these as income."""

    kind: str
    symbol: str
    amount: Decimal
    asset: str
    at_ms: int
    tran_id: int
    trade_id: str = ""


@dataclass(frozen=True, slots=True)
class TransferRow:
    """One move between the spot and a futures wallet of an account."""

    kind: str
    asset: str
    amount: Decimal
    at_ms: int
    tran_id: int


@dataclass(slots=True)
class CapitalRow:
    """A deposit to, or a withdrawal from, the spot wallet; ``amount`` is what came or went, the fee beside it.

    ``status`` is a code of the venue, ``done_ms`` when it ended; ``client_id`` is the client's name of a withdrawal.
    """

    kind: str
    asset: str
    amount: Decimal
    fee: Decimal
    at_ms: int
    number: int
    status: int
    done_ms: int | None = None
    address: str = "0x0"
    tx_id: str = ""
    client_id: str = ""
    confirmations: int = 0


@dataclass(slots=True)
class Account:
    """What the venue knows about one API key: its spot wallet, and its futures of one `market` with their own wallet.

    The USD-M account of a key is its main one; `coinm` is the one beside it, over the same spot wallet and rights.
    """

    number: int
    api_key: str
    secret: str
    opened_ms: int
    spot: dict[str, Holding] = field(default_factory=dict)
    wallet: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    income: list[IncomeRow] = field(default_factory=list)
    transfers: list[TransferRow] = field(default_factory=list)
    capital: list[CapitalRow] = field(default_factory=list)
    stores: dict[Market, OrderStore] = field(default_factory=dict)
    algos: dict[int, AlgoOrder] = field(default_factory=dict)
    pays_fees_in_bnb: bool = False
    hedge_mode: bool = False
    multi_assets: bool = False
    leverage_max: int | None = None
    rights: dict[str, bool] = field(default_factory=RIGHTS.copy)
    spot_updated_ms: int = 0
    ladders: Mapping[str, Tiers] = field(default_factory=lambda: TIERS)
    cancel_at_real: dict[str, float] = field(default_factory=dict)
    market: Market = "usdm"
    margin_asset: str = "USDT"
    coinm: Account | None = None

    @property
    def futures(self) -> tuple[Account, ...]:
        """It, and the account of inverse contracts beside it."""
        return (self,) if self.coinm is None else (self, self.coinm)

    def of_market(self, market: Market) -> Account:
        """The one whose orders of this market these are."""
        return self.coinm if market == "coinm" and self.coinm is not None else self

    def holding(self, asset: str) -> Holding:
        return self.spot.setdefault(asset, Holding())

    def position(self, symbol: str) -> Position:
        return self.positions.setdefault(symbol, Position(symbol, ladders=self.ladders))

    def store(self, market: Market) -> OrderStore:
        return self.stores.setdefault(market, OrderStore())


def open_account(number: int, spec: AccountSpec, at_ms: int, ladders: Mapping[str, Tiers]) -> Account:
    account = Account(number, spec.api_key, spec.api_secret, at_ms, spot_updated_ms=at_ms, ladders=ladders)
    for asset, amount in spec.spot:
        account.holding(asset).free = amount
    account.wallet = {"USDT": ZERO, "BNB": ZERO} | dict(spec.usdm)
    account.coinm = replace(
        account, wallet={"BTC": ZERO} | dict(spec.coinm), positions={}, income=[], transfers=[], capital=[],
        stores={}, algos={}, cancel_at_real={}, market="coinm", margin_asset="BTC", coinm=None,
    )  # fmt: skip
    return account
