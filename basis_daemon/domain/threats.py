"""The nearest liquidation over all accounts of all strategies: how far in percent, shocks and hours, and which binds.

Two clocks tell the hours. The **drain** holds every price still: predicted funding that a position pays, or interest of
a debt beyond what its collateral is lent for (growth of a staking token is not counted on), takes the margin away. The
**drift** adds a price that moves against the position in a straight line, so many shocks a day. What a position earns
is never counted for it. Hours are ``NEVER`` where nothing is taken away, None where an input is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from basis_daemon.domain.lending import days_to_health
from basis_daemon.domain.margin import inverse_distance
from basis_daemon.domain.risk_book import LoanRisk, PerpRisk, RiskBook, RiskTerms

ZERO, ONE = Decimal(0), Decimal(1)
NEVER = Decimal("Infinity")
HOURS_PER_DAY, HOURS_PER_YEAR = Decimal(24), Decimal(8760)
PICTURE_AGE_MAX = timedelta(hours=2)
"""Two valuations: a picture that lags the market's time by more says nothing of now."""


class LadderState(StrEnum):
    """Where a strategy stands on its ladder; UNKNOWN is not a level, and never counts as safe."""

    ACTIVE = "ACTIVE"
    UNKNOWN = "UNKNOWN"
    TOP_UP = "TOP-UP"
    REDUCE = "REDUCE"
    EMERGENCY = "EMERGENCY"


_STATES = (LadderState.ACTIVE, LadderState.TOP_UP, LadderState.REDUCE, LadderState.EMERGENCY)


class Constraint(StrEnum):
    """What is broken first."""

    MAINTENANCE = "maintenance margin"
    HEALTH = "health factor"


@dataclass(frozen=True, slots=True)
class Threat:
    """One position that can be liquidated, by the driver that is nearest to doing it.

    ``distance`` is the adverse move of the driver as a fraction, ``is_rise`` its direction, ``z`` the same in shocks,
    ``level`` 0 to 3; all None while the position is unknown, for what ``missing`` names. ``figure`` is the margin ratio
    or the health factor.
    """

    strategy: str
    site: str
    position: str
    constraint: Constraint
    driver: str
    is_rise: bool
    figure: Decimal | None
    distance: Decimal | None
    z: Decimal | None
    level: int | None
    hours_drain: Decimal | None
    hours_drift: Decimal | None
    missing: tuple[str, ...] = ()

    @property
    def state(self) -> LadderState:
        """Its step of the ladder."""
        return LadderState.UNKNOWN if self.level is None else _STATES[self.level]

    @property
    def _urgency(self) -> tuple[int, int, Decimal]:
        """What acts comes first, then what nobody can judge, then what is well."""
        if self.level is None or self.z is None:
            return 1, 0, ZERO
        return (0 if self.level else 2), -self.level, self.z

    def __str__(self) -> str:
        """One line for people."""
        if self.distance is None or self.z is None:
            return f"{self.constraint} of {self.position} at {self.site} is unknown: {', '.join(self.missing)}"
        way = "rise" if self.is_rise else "fall"
        return f"{self.constraint} of {self.position} at {self.site}: a {way} of {self.driver} by {self.distance:.2%}"


def nearest_threats(threats: Iterable[Threat]) -> tuple[Threat, ...]:
    """The binding one first: level falling, then what is unknown, then z rising; equals keep their order."""
    return tuple(sorted(threats, key=lambda threat: threat._urgency))  # noqa: SLF001 - its own order


def ladder_state(threats: Iterable[Threat]) -> LadderState:
    """The worst step of any; UNKNOWN where nothing known is worse."""
    return next((threat.state for threat in nearest_threats(threats)), LadderState.ACTIVE)


def least_hours(hours: Iterable[Decimal | None]) -> Decimal | None:
    """The shortest; None as soon as one is not known, ``NEVER`` for none at all."""
    found = list(hours)
    known = [each for each in found if each is not None]
    return None if len(known) < len(found) else min(known, default=NEVER)


def threats_of(book: RiskBook, now: datetime | None = None) -> tuple[Threat, ...]:
    """Every position of a book that can be liquidated, CEX accounts before lending accounts.

    A picture that lags ``now`` too far is unknown as a whole.
    """
    found = (*(_of_perp(book, perp) for perp in book.perps), *(loan_threat(book, loan) for loan in book.loans))
    seen = {threat.site for threat in found}
    silent = (account for account in book.terms.liable if account in book.stale_accounts and account not in seen)
    found = (*found, *(_of_silence(book, account) for account in silent))
    if now is None or now - book.time <= PICTURE_AGE_MAX:
        return found
    return tuple(_unknown(each, f"picture of {book.time.isoformat()}") for each in found)


def _of_silence(book: RiskBook, account: str) -> Threat:
    """An account that was not heard of holds nothing as far as we know, which is not far enough."""
    blank = Threat(
        book.strategy, account, "whatever it holds", Constraint.MAINTENANCE, "",
        is_rise=False, figure=None, distance=None, z=None, level=None, hours_drain=None, hours_drift=None,
    )  # fmt: skip
    return _unknown(blank, f"account:{account}")


def _unknown(threat: Threat, *missing: str) -> Threat:
    blind = replace(threat, figure=None, distance=None, z=None, level=None, hours_drain=None, hours_drift=None)
    return replace(blind, missing=(*threat.missing, *missing))


# ------------------------------------------------------------------------------------------------------------ perps
def _of_perp(book: RiskBook, perp: PerpRisk) -> Threat:
    terms = book.terms
    shock = terms.shocks.get(perp.underlying)
    missing = perp.missing if shock is not None else (*perp.missing, f"shock:{perp.underlying}")
    blank = Threat(
        book.strategy, perp.account, perp.instrument, Constraint.MAINTENANCE, f"{perp.underlying}/USDT",
        is_rise=perp.quantity < 0, figure=None, distance=None, z=None, level=None, hours_drain=None, hours_drift=None,
    )  # fmt: skip
    if missing or perp.mark is None or shock is None:
        return _unknown(blank, *missing)
    coins, mm = perp.coins(perp.mark), perp.maintenance_rate
    notional = abs(coins)
    spare = perp.margin - mm * notional
    slope = ONE + mm if perp.quantity < 0 else ONE - mm
    distance = spare / (notional * slope)
    if perp.contract_value is not None:  # no straight line: what is left of the margin over the way that is left
        distance = inverse_distance(perp.margin, coins, mm)
        slope = spare / (notional * distance) if distance > 0 else ONE
    z = distance / shock
    drain = None
    if perp.funding_hourly is not None:
        drain = max(coins * perp.funding_hourly, ZERO)
    drifting = notional * slope * shock * terms.drift / HOURS_PER_DAY
    return replace(
        blank,
        figure=perp.margin / notional,
        distance=distance,
        z=z,
        level=terms.ladder.level(z),
        hours_drain=None if drain is None else _hours(spare, drain),
        hours_drift=None if drain is None else _hours(spare, drifting + drain),
    )


def _hours(spare: Decimal, taken: Decimal) -> Decimal:
    """Until ``spare`` is gone at so much an hour; 0 once it is."""
    if spare <= 0:
        return ZERO
    return spare / taken if taken > 0 else NEVER


# ------------------------------------------------------------------------------------------------------------ loans
FALL_MAX = Decimal("0.99")
"""A coin that has to lose more than this to liquidate a loan is not what drives it."""


@dataclass(frozen=True, slots=True)
class _Way:
    """One driver of a loan: what moves with it in US dollars, how far it may move, its shock."""

    driver: str
    is_rise: bool
    moved: Decimal
    distance: Decimal
    shock: Decimal | None

    @property
    def z(self) -> Decimal:
        return self.distance / self.shock if self.shock else ZERO


def loan_threat(book: RiskBook, loan: LoanRisk) -> Threat:
    """One loan of a book, as it stands or as it would."""
    terms = book.terms
    names = "+".join(i.symbol for i in loan.collateral), "+".join(i.symbol for i in loan.debt)
    blank = Threat(
        book.strategy, loan.account, f"{names[0]} against {names[1]}", Constraint.HEALTH, "",
        is_rise=False, figure=None, distance=None, z=None, level=None, hours_drain=None, hours_drift=None,
    )  # fmt: skip
    ways = [] if loan.missing else list(_ways(loan, terms))
    unshocked = tuple(f"shock:{way.driver}" for way in ways if way.shock is None)
    if loan.missing or unshocked or not ways:
        return _unknown(blank, *loan.missing, *unshocked, *(() if loan.missing or ways else (f"driver:{names[0]}",)))
    near = min(ways, key=lambda way: way.z)
    weighted, spread = loan.weighted, _spread(loan)
    health, shock = weighted / loan.owed, near.shock or ZERO
    taken = near.moved * shock * terms.drift / HOURS_PER_DAY + weighted * spread / HOURS_PER_YEAR
    return replace(
        blank,
        driver=near.driver,
        is_rise=near.is_rise,
        figure=health,
        distance=near.distance,
        z=near.z,
        level=terms.health.level(health) if loan.emode else terms.ladder.level(near.z),
        hours_drain=hours_of_interest(health, spread),
        hours_drift=_hours(weighted - loan.owed, taken),
    )


def _ways(loan: LoanRisk, terms: RiskTerms) -> Iterator[_Way]:
    """The rate of every staking token, and ETH/USD where more of one side than of the other moves with it."""
    spare = loan.weighted - loan.owed
    own = sum((item.weighted for item in loan.collateral), ZERO)
    share = loan.weighted / own if own else ZERO
    staked = [item for item in loan.collateral if item.is_staked and item.weighted]
    for item in staked:
        moved = share * item.weighted
        yield _Way(f"{item.symbol}/ETH", is_rise=False, moved=moved, distance=spare / moved,
                   shock=terms.shocks.get(item.symbol))  # fmt: skip
    ether = share * sum((i.weighted for i in loan.collateral if i.is_ether), ZERO)
    net = ether - sum((item.value for item in loan.debt if item.is_ether), ZERO)
    if net and (net < 0 or not staked or spare < net * FALL_MAX):
        yield _Way("ETH/USDT", is_rise=net < 0, moved=abs(net), distance=spare / abs(net),
                   shock=terms.shocks.get("ETH"))  # fmt: skip


def _spread(loan: LoanRisk) -> Decimal:
    """What debt grows by beyond what the collateral is lent for, a year of the whole; never negative."""
    own = sum((item.weighted for item in loan.collateral), ZERO)
    paid = sum((item.value * item.rate for item in loan.debt), ZERO) / loan.owed
    earned = sum((item.weighted * item.rate for item in loan.collateral), ZERO) / own if own else ZERO
    return max(paid - earned, ZERO)


def hours_of_interest(health: Decimal, spread: Decimal) -> Decimal:
    """Hours until interest alone, ``spread`` a year, brings a health factor to 1."""
    if health <= 1:
        return ZERO
    return days_to_health(health, ONE, spread) * HOURS_PER_DAY if spread > 0 else NEVER


def binding(threats: Sequence[Threat]) -> Threat | None:
    """The one that comes first; None where nothing can be liquidated."""
    return next(iter(nearest_threats(threats)), None)
