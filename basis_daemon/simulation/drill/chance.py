"""What a seed decides: how often each fault comes in its run, and every throw of the dice behind that."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection
from enum import StrEnum

from basis_daemon.rare_paths import RarePath


class Fault(StrEnum):
    """Everything that may go wrong; each is thrown for where it can happen."""

    UNREACHABLE = "unreachable"
    REQUEST_LOST = "request_lost"
    REQUEST_LATE = "request_late"
    ANSWER_LOST = "answer_lost"
    REFUSED = "refused"
    PARTIAL = "partial"
    QUERY_FAILS = "query_fails"
    QUERY_LAGS = "query_lags"
    FILL_TWICE = "fill_twice"
    FILL_LATE = "fill_late"
    STREAM_DROPS = "stream_drops"
    MARKET_STALLS = "market_stalls"
    MARKET_LEAPS = "market_leaps"
    THIN_TOP = "thin_top"
    BY_HAND = "by_hand"
    RIVAL = "rival"
    REPORT_LIES = "report_lies"
    DISK_FAILS = "disk_fails"
    DISK_SLOW = "disk_slow"
    DAWDLES = "dawdles"
    KILLED = "killed"
    KILLED_AT_POINT = "killed_at_point"
    CLOCK_STEPS = "clock_steps"
    HALTED = "halted"
    FLATTENED = "flattened"
    DISARMED = "disarmed"
    RPC_FAILS = "rpc_fails"
    RPC_BEHIND = "rpc_behind"
    RPC_NULL = "rpc_null"
    SEND_UNHEARD = "send_unheard"
    SEND_UNDERPAID = "send_underpaid"
    SEND_UNCLEAR = "send_unclear"
    TX_DELAYED = "tx_delayed"
    TX_DROPPED = "tx_dropped"
    REORGED = "reorged"
    GAS_SPIKES = "gas_spikes"
    RATES_TURN = "rates_turn"
    WAY_CLOSED = "way_closed"
    PAYOUT_HELD = "payout_held"
    PAYOUT_LATE = "payout_late"
    PAYOUT_REFUSED = "payout_refused"
    PAYOUT_UNNAMED = "payout_unnamed"
    PAYMENT_FORGOTTEN = "payment_forgotten"
    CREDIT_LATE = "credit_late"
    PAID_IN = "paid_in"
    CAPITAL_CALLED = "capital_called"
    KILLED_IN_TRANSFER = "killed_in_transfer"
    CLOSED_BY_HAND = "closed_by_hand"


RATES: dict[Fault, tuple[float, float]] = {
    Fault.UNREACHABLE: (0.0, 0.1),
    Fault.REQUEST_LOST: (0.0, 0.15),
    Fault.REQUEST_LATE: (0.0, 0.2),
    Fault.ANSWER_LOST: (0.0, 0.2),
    Fault.REFUSED: (0.0, 0.1),
    Fault.PARTIAL: (0.0, 0.4),
    Fault.QUERY_FAILS: (0.0, 0.3),
    Fault.QUERY_LAGS: (0.0, 0.5),
    Fault.FILL_TWICE: (0.0, 0.3),
    Fault.FILL_LATE: (0.0, 0.3),
    Fault.STREAM_DROPS: (0.0, 0.02),
    Fault.MARKET_STALLS: (0.0, 0.05),
    Fault.MARKET_LEAPS: (0.0, 0.02),
    Fault.THIN_TOP: (0.0, 0.8),
    Fault.BY_HAND: (0.0, 0.016),
    Fault.RIVAL: (0.0, 0.012),
    Fault.REPORT_LIES: (0.0, 0.01),
    Fault.DISK_FAILS: (0.0, 0.008),
    Fault.DISK_SLOW: (0.0, 0.2),
    Fault.DAWDLES: (0.0, 0.2),
    Fault.KILLED: (0.0, 0.06),
    Fault.KILLED_AT_POINT: (0.0, 0.02),
    Fault.CLOCK_STEPS: (0.0, 0.04),
    Fault.HALTED: (0.0, 0.02),
    Fault.FLATTENED: (0.0, 0.01),
    Fault.DISARMED: (0.0, 0.2),
    Fault.RPC_FAILS: (0.0, 0.1),
    Fault.RPC_BEHIND: (0.0, 0.3),
    Fault.RPC_NULL: (0.0, 0.3),
    Fault.SEND_UNHEARD: (0.0, 0.2),
    Fault.SEND_UNDERPAID: (0.0, 0.7),
    Fault.SEND_UNCLEAR: (0.0, 0.2),
    Fault.TX_DELAYED: (0.0, 0.6),
    Fault.TX_DROPPED: (0.0, 0.1),
    Fault.REORGED: (0.0, 0.15),
    Fault.GAS_SPIKES: (0.0, 0.05),
    Fault.RATES_TURN: (0.0, 0.1),
    Fault.WAY_CLOSED: (0.0, 0.1),
    Fault.PAYOUT_HELD: (0.0, 1.0),
    Fault.PAYOUT_LATE: (0.0, 1.0),
    Fault.PAYOUT_REFUSED: (0.0, 0.6),
    Fault.PAYOUT_UNNAMED: (0.0, 0.6),
    Fault.PAYMENT_FORGOTTEN: (0.0, 0.4),
    Fault.CREDIT_LATE: (0.0, 1.0),
    Fault.PAID_IN: (0.0, 0.03),
    Fault.CAPITAL_CALLED: (0.0, 0.08),
    Fault.KILLED_IN_TRANSFER: (0.0, 0.3),
    Fault.CLOSED_BY_HAND: (0.0, 0.5),
}
"""Least and most that a seed may draw, for each throw."""

SHARES: dict[RarePath, float] = {
    RarePath.SNAPSHOT_FALLS_DUE: 0.2,
    RarePath.MEMORY_IS_FULL: 0.3,
    RarePath.ANSWERS_NOTED: 0.5,
    RarePath.DOUBT_LASTS: 0.4,
    RarePath.SEEN_MOVING: 0.25,
    RarePath.CLIP_IS_LEAST: 0.4,
    RarePath.LEG_TIME_SPENT: 0.8,
    RarePath.PLAN_ENDS_EARLY: 0.1,
    RarePath.VALUATION_OVERTAKEN: 0.5,
    RarePath.GUARD_LOOKS_LATER: 0.3,
    RarePath.RECEIPT_SOUGHT_AGAIN: 0.5,
    RarePath.FEE_RAISED_EARLY: 0.5,
    RarePath.SECOND_NODE_FIRST: 0.5,
    RarePath.PAGE_ENDS_EARLY: 0.5,
}
"""Most that a seed may draw, for each passing of the place."""

Trouble = Fault | RarePath
"""What a seed may be played without."""

NEVER_SHARE = 0.4
"""Of the faults that a seed leaves out altogether: what is rare beside something else is common without it."""
PLAIN_SHARE = 0.25
"""Of the seeds that go no rare path at all."""


CHAOS_S, CHAOS_LEAST_S = 45.0, 4.5
LONG_EVERY, LONG_AT, LONG_TIMES = 21, 7, 4
"""One seed in so many lives so much longer: long enough to forget what is two days old. Every profile has its turn."""
CLIPS_IN_ONE = (1, 2, 4, 8)


def chaos_s_of(seed: int) -> float:
    """Virtual seconds of faults: as many seeds are short as long, by ratio; what comes early is met most often."""
    if seed % LONG_EVERY == LONG_AT:
        return CHAOS_S * LONG_TIMES
    most = math.log(CHAOS_S / CHAOS_LEAST_S)
    dice = random.Random(f"length of {seed}")
    return round(CHAOS_LEAST_S * math.exp(dice.uniform(0.0, most)), 1)


def clips_in_one_of(seed: int) -> int:
    """How many clips of the book are one in this seed: few and large ones, or many small ones."""
    dice = random.Random(f"clips of {seed}")
    return CLIPS_IN_ONE[dice.randrange(len(CLIPS_IN_ONE))]


class Chance:
    """The dice of one seed. ``without`` are faults that are left out, as when a failure is made small."""

    def __init__(self, seed: int, without: Collection[Trouble] = ()) -> None:
        self._dice = random.Random(seed)
        self.rates = {fault: self._rate(fault) for fault in Fault}
        self.rates |= {fault: 0.0 for fault in Fault if fault in without}
        self._coin = random.Random(f"rare paths of {seed}")
        is_plain = self._coin.random() < PLAIN_SHARE
        self.shares = {point: self._share(point) * (not is_plain and point not in without) for point in RarePath}
        self.is_on = False
        self.struck: Counter[Fault] = Counter()
        self.taken: Counter[RarePath] = Counter()

    def _rate(self, fault: Fault) -> float:
        is_left_out, (low, high) = self._dice.random() < NEVER_SHARE, RATES[fault]
        share = self._dice.random()
        return 0.0 if is_left_out else low + (high - low) * share

    def _share(self, point: RarePath) -> float:
        is_left_out, share = self._coin.random() < NEVER_SHARE, self._coin.random()
        return 0.0 if is_left_out else SHARES[point] * share

    def strikes(self, fault: Fault) -> bool:
        """True when it happens now; the dice are thrown whether or not faults are on, so that runs stay alike."""
        is_hit = self._dice.random() < self.rates[fault] and self.is_on
        if is_hit:
            self.struck[fault] += 1
        return is_hit

    def rarely(self, point: RarePath) -> bool:
        """A ``Rarely``; its coin is its own, so that faults stay alike whichever paths are taken."""
        is_taken = self._coin.random() < self.shares[point] and self.is_on
        if is_taken:
            self.taken[point] += 1
        return is_taken

    def between(self, low: float, high: float) -> float:
        """Any number between, evenly."""
        return self._dice.uniform(low, high)

    def below(self, count: int) -> int:
        """0 to ``count`` - 1."""
        return self._dice.randrange(count)

    def gauss(self, sigma: float) -> float:
        """Normal, around nothing."""
        return self._dice.gauss(0.0, sigma)

    def order(self, count: int) -> list[int]:
        """The numbers below ``count``, shuffled."""
        found = list(range(count))
        self._dice.shuffle(found)
        return found
