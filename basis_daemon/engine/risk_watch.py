"""Risk as it stands: whatever of any strategy can be liquidated, read when asked, kept at each valuation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.decision import Exposure
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.risk_book import RiskBook, RiskTerms, read_risk
from basis_daemon.domain.threats import Constraint, Threat, threats_of
from basis_daemon.engine.codec import dump
from basis_daemon.engine.picture import Survey
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import RecordKind


@dataclass(frozen=True, slots=True)
class Watched:
    """One strategy: its accounts at the market as it is, and by what they are judged."""

    survey: Survey
    terms: RiskTerms


class RiskWatch:
    """Reads and keeps; what the positions mean is said by pure functions of them.

    ``on_look`` is told of every position that can be liquidated, whenever the guard looks.
    """

    def __init__(self, watched: Mapping[str, Watched], recorder: Recorder) -> None:
        self._watched = watched
        self._recorder = recorder
        self._seen: dict[str, tuple[MarketSnapshot, Exposure]] = {}
        self.on_look: Callable[[Sequence[Threat]], None] | None = None

    def books(self) -> tuple[RiskBook, ...]:
        """Of every strategy, now."""
        self.exposures()
        return tuple(self._book(name) for name in self._seen)

    def others(self, strategy: str) -> list[Exposure]:
        """Accounts of every strategy but this one, now."""
        return [one.survey()[1] for name, one in self._watched.items() if name != strategy]

    def exposures(self) -> list[Exposure]:
        """Every strategy's accounts, for the guard; what it asks for afterwards is of the same instant."""
        self._seen = {name: one.survey()[:2] for name, one in self._watched.items()}
        if self.on_look is not None:
            self.on_look([threat for name in self._seen for threat in threats_of(self._book(name))])
        return [exposure for _, exposure in self._seen.values()]

    def loans(self) -> list[Threat]:
        """Debts of what was last seen that can be liquidated."""
        owing = [name for name, (_, exposure) in self._seen.items() if _owes(exposure)]
        found = [threat for name in owing for threat in threats_of(self._book(name))]
        return [threat for threat in found if threat.constraint is Constraint.HEALTH]

    def _book(self, strategy: str) -> RiskBook:
        market, exposure = self._seen[strategy]
        return read_risk(strategy, market, exposure, self._watched[strategy].terms, self._coming())

    def _coming(self) -> Mapping[PositionKey, Decimal]:
        """What travels, by where it will be."""
        found: dict[PositionKey, Decimal] = {}
        for life in self._recorder.state.open_orders():
            targets = [key for key, amount in life.order.expected_deltas.items() if amount > 0]
            for key in targets if life.is_travelling else ():
                found[key] = found.get(key, Decimal(0)) + life.in_transit
        return found

    def keep(self, strategy: str, market: MarketSnapshot, exposure: Exposure) -> None:
        """Journal one strategy's positions as they were valued, so that a file answers as the daemon did."""
        book = read_risk(strategy, market, exposure, self._watched[strategy].terms, self._coming())
        self._recorder.note(RecordKind.RISK, dump(book), strategy)


def _owes(exposure: Exposure) -> bool:
    return any(amount and key.kind is Kind.VDEBT for key, amount in exposure.holdings.items())
