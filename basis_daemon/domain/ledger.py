"""Double-entry ledger: every trade, fee, funding, transfer and rounding is an entry that sums to zero per asset.

Real accounts are position keys; nominal accounts say what the other side was. A perp holds contracts (asset
``perp:SYMBOL``) and its cost as signed open notional (asset ``cost:COIN``, of the coin that it settles in), never an
average price. An inverse perp's cost is what its contracts counted for when they were bought: negative for a long.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.pnl import slippage_of
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import Fee, Origin, Trade

GAS_KEY = PositionKey.of("wallet", Kind.TOKEN, "ETH")
"""What every transaction is paid from."""

COST_GRAIN = Decimal("1e-18")
"""Quote units to which a share of open notional is cut, so that every later sum is exact."""


class Cause(StrEnum):
    """Why a posting exists; also the nominal account on its other side."""

    TRADE = "trade"
    SLIPPAGE = "slippage"
    REALISED = "realised"
    FEE = "fee"
    FUNDING = "funding"
    ROUNDING = "rounding"
    TRANSFER = "transfer"
    TRANSFER_FEE = "transfer_fee"
    GAS = "gas"
    FLASH_FEE = "flash_fee"
    INTEREST = "interest"
    REBASE = "rebase"
    REWARD = "reward"
    OPENING = "opening"
    EXTERNAL = "external"
    LIQUIDATION = "liquidation"
    CORRECTION = "correction"


@dataclass(frozen=True, slots=True)
class Posting:
    """One signed line: ``amount`` of ``asset`` into ``account`` (a position key, or ``nominal:CAUSE``)."""

    account: str
    asset: str
    amount: Decimal
    cause: Cause


@dataclass(frozen=True, slots=True)
class CashFlow:
    """Money the venue moved without an order: funding, deposit, insurance, rebate. Positive = received."""

    flow_id: str
    key: PositionKey
    amount: Decimal
    cause: Cause
    venue_time: datetime
    instrument: PositionKey | None = None
    memo: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """Postings that belong together, with the id of the event that made them. Applying an id twice is a no-op."""

    event_id: str
    time: datetime
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        """Raises IntegrityError when the postings of an asset do not sum to zero."""
        sums: dict[str, Decimal] = {}
        for posting in self.postings:
            sums[posting.asset] = sums.get(posting.asset, Decimal(0)) + posting.amount
        for asset, total in sums.items():
            if total != 0:
                msg = f"entry {self.event_id}: postings of {asset} sum to {total}, expected 0"
                raise IntegrityError(msg)


def _pair(key: str, asset: str, amount: Decimal, cause: Cause) -> tuple[Posting, ...]:
    if amount == 0:
        return ()
    return Posting(key, asset, amount, cause), Posting(f"nominal:{cause}", asset, -amount, cause)


def entry_of_cash_flow(flow: CashFlow) -> Entry:
    """The flow against its nominal account."""
    return Entry(flow.flow_id, flow.venue_time, _pair(flow.key, flow.key.asset, flow.amount, flow.cause))


def entry_of_opening(report: AccountReport, coins: Mapping[PositionKey, str]) -> Entry:
    """What an account held when it was adopted; ``coins`` names what each perp's cost is counted in."""
    lines: tuple[Posting, ...] = ()
    for key, quantity in report.holdings.items():
        is_perp = key.kind is Kind.PERP
        lines += _pair(key, f"perp:{key.symbol}" if is_perp else key.asset, quantity, Cause.OPENING)
        if is_perp:
            cost = report.open_notional.get(key, Decimal(0))
            lines += _pair(key, f"cost:{coins[key]}", cost, Cause.OPENING)
    return Entry(opening_id(report.account), report.observed_at, lines)


def opening_id(account: str) -> str:
    """Event id of an account's opening entry."""
    return f"opening:{account}"


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a trade could have had: ``mid`` in quote per base at an exchange; ``rates`` on the chain, ETH per unit."""

    mid: Decimal | None = None
    rates: Mapping[str, Decimal] = field(default_factory=dict)


NOWHERE = Arrival()
"""Of a trade that no order of ours asked for."""


def entry_of_trade(
    trade: Trade, held: Decimal, open_notional: Decimal, instrument: Instrument | None, arrival: Arrival = NOWHERE
) -> Entry:
    """Postings of one fill, transfer step or transaction.

    ``held`` and ``open_notional`` are the position before the trade (perp fills only). What the venue's deltas say is
    booked to the digit; the difference between its realised P&L and ours is a ``rounding`` posting. What the trade lost
    against its ``arrival`` is ``slippage``, set apart from what was traded.
    """
    if trade.instrument.kind is Kind.PERP and instrument is not None and trade.qty_base:
        postings = _perp_postings(trade, held, open_notional, instrument, arrival.mid)
    else:
        postings = _plain_postings(trade, instrument, arrival)
    return Entry(trade.trade_id, trade.venue_time, postings)


_FOR_NOTHING = {Origin.REWARD: Cause.REWARD, Origin.PAYOUT: Cause.EXTERNAL, Origin.LOST: Cause.TRANSFER_FEE}
"""Why money came or went without anything in return."""


def _plain_postings(trade: Trade, instrument: Instrument | None, arrival: Arrival) -> tuple[Posting, ...]:
    """Deltas as they are, with the fee part and the slippage split off under their own causes."""
    rest = dict(trade.deltas)
    lines: tuple[Posting, ...] = ()
    if instrument is not None and (paid_in := instrument.quote_key) in rest:
        lost = slippage_of(trade, arrival.mid)
        rest[paid_in] -= lost
        lines += _pair(paid_in, paid_in.asset, lost, Cause.SLIPPAGE)
    for fee in trade.fees:
        key, why = _charged(trade, fee)
        rest[key] = rest.get(key, Decimal(0)) + fee.quantity
        lines += _pair(key, fee.asset, -fee.quantity, why)
    lost = _lost_to_rates(rest, arrival.rates)
    if lost:
        rest[GAS_KEY] = rest.get(GAS_KEY, Decimal(0)) - lost
        lines += _pair(GAS_KEY, GAS_KEY.asset, lost, Cause.SLIPPAGE)
    is_trade = trade.qty_base or trade.tx is not None
    cause = _FOR_NOTHING.get(trade.origin, Cause.TRADE if is_trade else Cause.TRANSFER)
    for key, amount in rest.items():
        lines += _pair(key, key.asset, amount, cause)
    return lines


def _lost_to_rates(moved: Mapping[PositionKey, Decimal], rates: Mapping[str, Decimal]) -> Decimal:
    """ETH that an exchange brought less than it gave, negative for a loss; 0 unless all of it has a rate."""
    kept = {key: amount for key, amount in moved.items() if amount}
    if not all(key.asset in rates for key in kept):
        return Decimal(0)
    worth = sum((key.sign * amount * rates[key.asset] for key, amount in kept.items()), Decimal(0))
    return worth.quantize(COST_GRAIN)


def _charged(trade: Trade, fee: Fee) -> tuple[PositionKey, Cause]:
    """Where a fee is paid from, and why: a transaction's own is gas, what it pays in a token is for a flash loan."""
    if trade.tx is None:
        why = Cause.FEE if trade.qty_base else Cause.TRANSFER_FEE
        return PositionKey.of(trade.account, Kind.SPOT, fee.asset), why
    if fee.asset == GAS_KEY.symbol:
        return GAS_KEY, Cause.GAS
    return PositionKey.of(GAS_KEY.venue, Kind.TOKEN, fee.asset), Cause.FLASH_FEE


def _perp_postings(
    trade: Trade, held: Decimal, open_notional: Decimal, instrument: Instrument, arrival: Decimal | None
) -> tuple[Posting, ...]:
    """A worse price than that of the arrival is a higher cost: slippage stands in the cost, of closing fills too."""
    quantity, worth = trade.deltas[trade.instrument], instrument.unit_worth(_priced(trade))
    cost, realised = perp_cost_change(held, open_notional, quantity, worth)
    wallet, coin, lost = instrument.quote_key, instrument.settle, slippage_of(trade, arrival, instrument.contract_value)
    fees = sum((fee.quantity for fee in trade.fees if fee.asset == coin), Decimal(0))
    stated = trade.deltas.get(wallet, Decimal(0)) + fees
    lines = _pair(trade.instrument, f"perp:{trade.instrument.symbol}", quantity, Cause.TRADE)
    lines += _pair(trade.instrument, f"cost:{coin}", cost + lost, Cause.TRADE)
    lines += _pair(trade.instrument, f"cost:{coin}", -lost, Cause.SLIPPAGE)
    lines += _pair(wallet, coin, realised, Cause.REALISED)
    lines += _pair(wallet, coin, stated - realised, Cause.ROUNDING)
    for fee in trade.fees:
        lines += _pair(PositionKey.of(trade.account, Kind.SPOT, fee.asset), fee.asset, -fee.quantity, Cause.FEE)
    return lines


def _priced(trade: Trade) -> Decimal:
    if trade.price is None:
        msg = f"trade {trade.trade_id}: perp fill without a price"
        raise IntegrityError(msg)
    return trade.price


def perp_cost_change(
    held: Decimal, open_notional: Decimal, quantity: Decimal, worth: Decimal
) -> tuple[Decimal, Decimal]:
    """(change of open notional, realised P&L) of a fill of signed ``quantity`` of which each unit counts for ``worth``.

    A fill that reduces the position by the share x realises x of the open notional; what crosses zero opens anew.
    """
    if held * quantity >= 0:
        return quantity * worth, Decimal(0)
    closing = quantity if abs(quantity) <= abs(held) else -held
    relieved = open_notional if closing == -held else (open_notional * -closing / held).quantize(COST_GRAIN)
    realised = -closing * worth - relieved
    return (quantity - closing) * worth - relieved, realised


class Ledger:
    """Balances as a fold of entries. One writer; ``apply`` is synchronous and idempotent by event id."""

    def __init__(self) -> None:
        self._balances: dict[tuple[str, str], Decimal] = {}
        self._totals: dict[tuple[Cause, str, str], Decimal] = {}
        self._seen: dict[str, tuple[datetime, tuple[str, ...]]] = {}
        self._seen_from: datetime | None = None
        """No event that is remembered is older; None where that would have to be looked up."""
        self._held: Mapping[PositionKey, Decimal] | None = None
        self._costs: Mapping[PositionKey, Decimal] | None = None

    def has(self, event_id: str) -> bool:
        """True when the event was applied before and is not forgotten."""
        return event_id in self._seen

    def forgets(self, before: Mapping[str, datetime]) -> bool:
        """False when no remembered event is so old that ``forget`` would look at it."""
        if self._seen_from is None and self._seen:
            self._seen_from = min(time for time, _ in self._seen.values())
        return self._seen_from is not None and self._seen_from < max(before.values())

    def forget(self, before: Mapping[str, datetime], keep: Container[str] = ()) -> None:
        """Let go of the ids of events that every account they touched has left behind its own instant.

        The caller vouches that no source tells of events before it again; ids in ``keep`` stay whatever their age.
        """
        oldest, self._seen_from = min(before.values()), None
        for event_id, (time, accounts) in list(self._seen.items()):
            limit = min((before.get(account, oldest) for account in accounts), default=oldest)
            if time < limit and event_id not in keep:
                del self._seen[event_id]

    def apply(self, entry: Entry) -> bool:
        """Fold one entry in; False, and no change, when its event id is known."""
        if entry.event_id in self._seen:
            return False
        for line in entry.postings:
            at = (line.account, line.asset)
            self._balances[at] = self._balances.get(at, Decimal(0)) + line.amount
            if not line.account.startswith("nominal:"):
                total = (line.cause, line.account, line.asset)
                self._totals[total] = self._totals.get(total, Decimal(0)) + line.amount
        accounts = {line.account.partition(":")[0] for line in entry.postings} - {"nominal"}
        self._seen[entry.event_id] = entry.time, tuple(sorted(accounts))
        if self._seen_from is not None and entry.time < self._seen_from:
            self._seen_from = entry.time
        self._held = self._costs = None
        return True

    def holding(self, key: PositionKey) -> Decimal:
        """Quantity under one key: contracts for a perp, asset units otherwise."""
        asset = f"perp:{key.symbol}" if key.kind is Kind.PERP else key.asset
        return self._balances.get((key, asset), Decimal(0))

    def open_notional(self, key: PositionKey, coin: str) -> Decimal:
        """Signed cost of a perp in the ``coin`` that it settles in; negative for a linear short."""
        return self._balances.get((key, f"cost:{coin}"), Decimal(0))

    def holdings(self) -> Mapping[PositionKey, Decimal]:
        """Every real account that was ever posted to, zero balances too: the same object until something is posted."""
        if self._held is None:
            self._held = {
                PositionKey(account): amount
                for (account, asset), amount in self._balances.items()
                if not account.startswith("nominal:") and not asset.startswith("cost:")
            }
        return self._held

    def lines(self) -> list[tuple[str, str, Decimal]]:
        """(account, asset, balance) of every real account that holds something, the cost of perps too."""
        return [
            (account, asset, amount)
            for (account, asset), amount in self._balances.items()
            if amount and not account.startswith("nominal:")
        ]

    def open_notionals(self) -> Mapping[PositionKey, Decimal]:
        """Signed cost per perp key: the same object until something is posted."""
        if self._costs is None:
            self._costs = {
                PositionKey(account): amount
                for (account, asset), amount in self._balances.items()
                if asset.startswith("cost:") and not account.startswith("nominal:")
            }
        return self._costs

    def total(self, cause: Cause, asset: str) -> Decimal:
        """What the real accounts received (+) or paid (-) of ``asset`` for this cause, ever."""
        return sum((v for (c, _, a), v in self._totals.items() if (c, a) == (cause, asset)), Decimal(0))

    def totals(self) -> dict[tuple[Cause, str, str], Decimal]:
        """What each (cause, account, asset) received or paid, ever."""
        return dict(self._totals)

    def sums(self) -> dict[str, Decimal]:
        """Everything posted per asset, real and nominal: zero each, or an entry was folded in by halves."""
        found: dict[str, Decimal] = {}
        for (_, asset), amount in self._balances.items():
            found[asset] = found.get(asset, Decimal(0)) + amount
        return found

    def event_times(self) -> list[tuple[str, datetime]]:
        """Every event whose id is remembered, and when it was."""
        return [(event_id, time) for event_id, (time, _) in self._seen.items()]

    def state(self) -> dict[str, object]:
        """Plain values for a snapshot; ``restore`` is its inverse."""
        return {
            "balances": [[a, s, str(v)] for (a, s), v in self._balances.items()],
            "totals": [[c.value, a, s, str(v)] for (c, a, s), v in self._totals.items()],
            "seen": [
                [event_id, time.isoformat(), accounts] for event_id, (time, accounts) in sorted(self._seen.items())
            ],
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Ledger:
        """A ledger equal to the one whose ``state`` this was."""
        ledger = cls()
        ledger._balances = {(a, s): Decimal(v) for a, s, v in state["balances"]}
        ledger._totals = {(Cause(c), a, s): Decimal(v) for c, a, s, v in state["totals"]}
        ledger._seen = {e: (datetime.fromisoformat(t), tuple(accounts)) for e, t, accounts in state["seen"]}
        return ledger
