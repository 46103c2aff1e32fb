"""The closed list of reasons for which an order is denied, and what a denial says."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Self


class DenyReason(StrEnum):
    """Every reason for which an order may be refused before it leaves; the text behind each is its documentation."""

    doc: str

    def __new__(cls, value: str, doc: str) -> Self:
        member = str.__new__(cls, value)
        member._value_, member.doc = value, doc
        return member

    DISARMED = "disarmed", "The daemon is not armed: it decides and records, and sends nothing."
    READ_ONLY = "read_only", "The daemon runs read-only and holds no permission to trade."
    KILL_SWITCH = "kill_switch", "The kill switch is on: only risk-reducing defence may leave."
    GUARD_HALTED = "guard_halted", "The guard is HALTED: only defence of the ladder, or the operator, may act."
    GUARD_REDUCING = "guard_reducing", "The guard is REDUCING: nothing that adds risk may leave."
    GUARD_CAUTION = "guard_caution", "The guard sees a reason to add no risk now, such as USDT off its peg."
    IN_DOUBT = "in_doubt", "The outcome of an earlier order is unknown: only defence of level 2 or 3 may leave."
    UNRESOLVED_BREAK = "unresolved_break", "Book and venue disagree under a key: only risk-reducing defence may leave."
    STALE_INPUT = "stale_input", "A price or account that the order depends on is past its age limit or was never seen."
    EQUITY_UNKNOWN = "equity_unknown", "Something held has no price, so equity is unknown and no risk may be added."
    ACCOUNT_HALTED = "account_halted", "No new risk at this account for now (forced reduction, halted withdrawals)."
    INSTRUMENT_HALTED = (
        "instrument_halted",
        "The venue takes no orders for the instrument, or it was halted here until an operator looks: no new risk.",
    )
    DUPLICATE_ID = "duplicate_id", "The order id occurs twice in the plan or was used before."
    UNDECLARED_KEY = "undeclared_key", "The order touches a position key that its strategy never declared."
    UNSUPPORTED_OPERATION = "unsupported_operation", "No interface of this venue executes the operation."
    RECIPIENT_NOT_ALLOWED = "recipient_not_allowed", "The recipient of the transfer is not on the allow-list."
    EXPIRED = "expired", "The order's expiry lies behind market time."
    QUANTITY_STEP = "quantity_step", "The quantity is not a multiple of the instrument's step."
    BELOW_MINIMUM = "below_minimum", "Quantity or notional is below the venue's minimum for the instrument."
    PRICE_BAND = (
        "price_band",
        "Reference or limit price, or the slippage bound, lies outside the band around the market.",
    )
    NOTIONAL_CAP = "notional_cap", "The notional of one order exceeds its cap."
    VENUE_CAP = "venue_cap", "The share of equity at one exchange would exceed its cap."
    CAP_VENUE = "cap_venue", "More money than its cap would stand at one venue, counted over all strategies."
    CAP_COUNTERPARTY = (
        "cap_counterparty",
        "More money than its cap would be lost with one exchange, issuer or protocol, looking through what is held.",
    )
    CAP_CHAIN = "cap_chain", "More money than its cap would stand on one chain."
    CAP_PROTOCOL = "cap_protocol", "More money than its cap would stand with one protocol, staking tokens included."
    CAP_STABLECOIN = "cap_stablecoin", "More money than its cap would stand in one stablecoin, wherever it lies."
    BALANCE = "balance", "A balance would run below zero if every order filled at its bound."
    MARGIN_AFTER = "margin_after", "The account would stand nearer to liquidation than z_open allows for new risk."
    ORDER_RATE = "order_rate", "More orders within a minute than the limit."
    PLAN_FAILURES = (
        "plan_failures",
        "Plans of this kind failed in a row, so the next one waits: new risk for 2 s to an hour, anything else less.",
    )


def deny_reasons_markdown() -> str:
    """The reference page of all reasons, generated so that it cannot lag the code."""
    rows = [f"| `{reason.value}` | {reason.doc} |" for reason in DenyReason]
    head = ["# Why an order is denied", "", "Generated from `basis_daemon/domain/deny.py`; do not edit.", ""]
    return "\n".join([*head, "| reason | meaning |", "|---|---|", *rows, ""])


@dataclass(frozen=True, slots=True)
class Denial:
    """One failed check: the number ``found`` (None when it is not known), its ``limit`` and their ``unit``."""

    reason: DenyReason
    order_id: str
    found: Decimal | None
    limit: Decimal | None
    unit: str
    detail: str = ""

    def __str__(self) -> str:
        """One line for the journal and for people."""
        found = "unknown" if self.found is None else _plain(self.found)
        limit = "" if self.limit is None else f", limit {_plain(self.limit)}"
        return f"{self.reason} {self.order_id}: {self.detail} {found}{limit} {self.unit}".replace("  ", " ").rstrip()


def _plain(value: Decimal) -> str:
    """Eight significant digits without an exponent."""
    return f"{Decimal(f'{value:.8g}').normalize() + 0:f}"
