"""A window without the series a strategy needs: it is asked all the same, hour by hour, and says that it holds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.decision import Assessment, Exposure, RiskView
from basis_daemon.domain.instrument import Kind
from basis_daemon.domain.market import DecisionIds, MarketSnapshot
from basis_daemon.engine.codec import dump
from basis_daemon.engine.judgement import Outcome
from basis_daemon.settings import Settings, strategy_parameters
from basis_daemon.simulation.chain.record import AAVE, GAS, LST, ChainRecord
from basis_daemon.simulation.history import HOUR
from basis_daemon.simulation.outcome import held
from basis_daemon.simulation.run import Span
from basis_daemon.simulation.windows import Window
from basis_daemon.strategies import STRATEGIES
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.venues.chain.tokens import WALLET

_ONE = Decimal(1)


def instance_of(settings: Settings, name: str) -> BookStrategy:
    """The instance itself, whether the file enables it or not."""
    return STRATEGIES[settings.strategies[name].kind](strategy_parameters(settings, name), name)


def needs_chain(strategy: BookStrategy) -> bool:
    """True for an instance that has a wallet: it lives there, or its money goes that way."""
    return any(key.venue == WALLET for key in strategy.declared_keys)


def lacking(strategy: BookStrategy, record: ChainRecord) -> list[str]:
    """Series on chain that the instance needs and this record does not hold."""
    tokens = sorted(key.symbol for key in strategy.instruments if key.kind is Kind.LST)
    reserves = sorted(key.symbol for key in strategy.instruments if key.kind is Kind.ATOKEN)
    found = [f"{LST} {symbol}" for symbol in tokens if not record.tokens.get(symbol)]
    found += [f"{AAVE} {symbol}" for symbol in dict.fromkeys(tokens + reserves) if not record.reserves.get(symbol)]
    return found if record.gas else [*found, GAS]


def hold(strategy: BookStrategy, window: Window, span: Span, missing: Sequence[str]) -> Outcome:
    """The strategy's own answers on a picture in which nothing was ever seen, one an hour."""
    reasons, digest, last = Counter[str](), hashlib.sha256(), None
    at = span.start
    while at < span.end:
        last = _asked(strategy, at)
        reasons[last.reason.value] += 1
        digest.update(f"{at.isoformat()}\n{dump(last)}\n".encode())
        at += HOUR
    note = f"{last.reason.value}: {last.note}" if last is not None else None
    return held(strategy.name, window.name, span, dict(reasons), missing, note, digest.hexdigest())


def _asked(strategy: BookStrategy, at: datetime) -> Assessment:
    market = MarketSnapshot(at, DecisionIds("", 0, 0), {}, {}, {}, {}, strategy.initial_memory())
    return strategy.assess(at, "market", market, Exposure(at, None, {}, {}, {}, ()), RiskView((), _ONE, _ONE))
