"""Which cash goes where when margin or health is short: sources in their order, what may be drawn, a plan for all.

The ladder of a strategy draws from these sources, one threat at a time; the plan shows the same draws for all of them
at once, most severe first, so that no cash is counted twice. It decides nothing and sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.instrument import Kind, PositionKey, round_down, round_up
from basis_daemon.domain.levered import delever
from basis_daemon.domain.margin import EMERGENCY, REDUCE, TOP_UP, required_ratio, target_ratio, top_up
from basis_daemon.domain.risk_book import LoanRisk, PerpRisk, RiskBook
from basis_daemon.domain.threats import LadderState, Threat, nearest_threats, threats_of
from basis_daemon.domain.ways import Way

ZERO = Decimal(0)
CENT = Decimal("0.01")
WALLET = PositionKey("wallet:token:USDT")
EMERGENCY_STEP = Decimal("0.05")
"""By which an emergency goes below the target lambda."""


@dataclass(frozen=True, slots=True)
class Source:
    """Money outside the pair: ``eta_h`` market hours until it is margin."""

    name: str
    amount: Decimal
    eta_h: Decimal


@dataclass(frozen=True, slots=True)
class Pool:
    """Free USDT at one exchange: beside the margin, and of the margin what leaves z at ``z_open``."""

    way: Way
    cash: Decimal
    spare: Decimal


def sources_of(to: Way, own_cash: Decimal, wallet: Decimal, others: Iterable[Pool]) -> tuple[Source, ...]:
    """Cheapest first: the exchange's own cash, the wallet, then what other exchanges can spare; fees come off it.

    Cash that was not heard of is zero here: it may be there, and nobody may plan with it.
    """
    found = []
    if own_cash > 0:
        found.append(Source(to.cash_key, round_down(own_cash, CENT), to.internal_eta_h))
    if not to.is_connected:
        return tuple(found)
    away = [pool for pool in others if pool.way.is_connected and pool.way != to]
    spare = [(WALLET, wallet), *((p.way.cash_key, p.cash) for p in away), *((p.way.margin_key, p.spare) for p in away)]
    fee = to.fee_usdt
    found += [Source(key, round_down(amount - fee, CENT), to.route_eta_h) for key, amount in spare if amount > fee]
    return tuple(found)


def drawn(sources: Iterable[Source], needed: Decimal, horizon_h: Decimal | None = None) -> tuple[Source, ...]:
    """Cash that arrives within the horizon, in its order, the last source cut to what is needed."""
    found: list[Source] = []
    for source in sources:
        if needed > 0 and source.amount > 0 and (horizon_h is None or source.eta_h <= horizon_h):
            found.append(Source(source.name, min(source.amount, needed), source.eta_h))
            needed -= found[-1].amount
    return tuple(found)


def spare_margin(margin: Decimal, notional: Decimal, mm: Decimal, shock: Decimal, z_open: Decimal) -> Decimal:
    """Coin that could leave a margin account while z stays at ``z_open``; all of it without a position."""
    return max(margin - required_ratio(z_open, shock, mm) * notional, ZERO)


# ---------------------------------------------------------------------------------------------------------------- plan
@dataclass(frozen=True, slots=True)
class Move:
    """``amount`` arrives; ``fee`` leaves the source on top of it."""

    source: PositionKey
    target: PositionKey
    amount: Decimal
    fee: Decimal
    eta_h: Decimal


@dataclass(frozen=True, slots=True)
class Repair:
    """What one threat needs and gets: USDT of margin, or units of the debt; ``lacking`` is not covered by cash.

    ``coming`` is on its way already. A loan that cash does not cover sells ``sold`` of its collateral (in units of the
    debt) by a flash loan; ``note`` says what the ladder does about the rest, or why nothing can be planned.
    """

    threat: Threat
    unit: str
    needed: Decimal
    coming: Decimal = ZERO
    moves: tuple[Move, ...] = ()
    lacking: Decimal = ZERO
    sold: Decimal = ZERO
    note: str = ""


def plan_of(book: RiskBook) -> tuple[Repair, ...]:
    """One strategy's threats, most severe first, over its own cash: a strategy never pays for another."""
    purse = _Purse(book)
    found = []
    perps = {perp.instrument: perp for perp in book.perps}
    loans = {loan.account: loan for loan in book.loans}
    for threat in nearest_threats(threats_of(book)):
        if threat.state is LadderState.UNKNOWN:
            found.append(Repair(threat, "USDT", ZERO, note=f"not known: {', '.join(threat.missing)}"))
        elif threat.level and threat.site in loans:
            found.append(_of_loan(book, threat, loans[threat.site], purse))
        elif threat.level and (perp := perps.get(PositionKey(threat.position))) is not None:
            found.append(_of_perp(book, threat, perp, purse))
    return tuple(found)


class _Purse:
    """What of a strategy's free cash nobody has planned with yet."""

    def __init__(self, book: RiskBook) -> None:
        self._book = book
        self.left: dict[PositionKey, Decimal] = {}
        for way in book.terms.ways:
            if not way.is_unified and way.cash_key.venue not in book.stale_accounts:
                self.left[way.cash_key] = book.holdings.get(way.cash_key, ZERO)
            self.left[way.margin_key] = _spare(book, way)
        if WALLET.venue not in book.stale_accounts:
            self.left[WALLET] = book.holdings.get(WALLET, ZERO)

    def sources(self, to: Way) -> tuple[Source, ...]:
        """As the ladder would see them now."""
        pools = [Pool(way, self._cash(way), self.left[way.margin_key]) for way in self._book.terms.ways]
        return sources_of(to, self._cash(to), self.left.get(WALLET, ZERO), pools)

    def _cash(self, way: Way) -> Decimal:
        return ZERO if way.is_unified else self.left.get(way.cash_key, ZERO)

    def take(self, to: Way, needed: Decimal) -> Iterator[Move]:
        """Draw, and remember what is gone."""
        for source in drawn(self.sources(to), needed):
            key = PositionKey(source.name)
            fee = ZERO if key == to.cash_key else to.fee_usdt
            amount = round_up(source.amount, CENT)
            self.left[key] -= amount + fee
            yield Move(key, to.margin_key, amount, fee, source.eta_h)


def _spare(book: RiskBook, way: Way) -> Decimal:
    """Of an account without a position all of it; of one that nobody can judge, nothing."""
    account = way.margin_key.venue
    own = [perp for perp in book.perps if perp.account == account]
    if account in book.stale_accounts or any(perp.mark is None or perp.missing for perp in own):
        return ZERO
    if not own:
        return book.holdings.get(way.margin_key, ZERO)
    shocks, z_open = book.terms.shocks, book.terms.ladder.z_open
    return min(
        spare_margin(p.margin, abs(p.quantity) * (p.mark or ZERO), p.maintenance_rate, shocks[p.underlying], z_open)
        if p.underlying in shocks
        else ZERO
        for p in own
    )


def _of_perp(book: RiskBook, threat: Threat, perp: PerpRisk, purse: _Purse) -> Repair:
    terms = book.terms
    way = next((way for way in terms.ways if way.margin_key.venue == perp.account), None)
    if way is None or terms.m_star is None or perp.mark is None:
        return Repair(threat, "USDT", ZERO, note="its strategy tops nothing up: it reduces")
    m_star = target_ratio(terms.m_star, terms.shocks[perp.underlying], perp.maintenance_rate, terms.ladder.z_open)
    whole = top_up(m_star, abs(perp.quantity) * perp.mark, perp.margin)
    coming = sum((book.coming.get(key, ZERO) for key in {way.cash_key, way.margin_key}), ZERO)
    moves = tuple(purse.take(way, max(whole - coming, ZERO)))
    lacking = max(whole - coming - sum((move.amount for move in moves), ZERO), ZERO)
    return Repair(threat, "USDT", whole, coming, moves, lacking, note=_rest_of(threat, lacking, m_star))


def _rest_of(threat: Threat, lacking: Decimal, m_star: Decimal) -> str:
    if not lacking and threat.level == TOP_UP:
        return ""
    if not lacking:
        return "what is not margin within the leg budget comes too late: the ladder reduces the pair beside it"
    return f"the ladder sells {lacking / (1 + m_star):.2f} USDT of the long leg and buys back as much of the short"


def _of_loan(book: RiskBook, threat: Threat, loan: LoanRisk, purse: _Purse) -> Repair:
    target, unit = book.terms.lambda_target, loan.debt[0].symbol
    if target is None or len(loan.debt) != 1:
        return Repair(threat, unit, ZERO, note="no target of lambda is known for it")
    if loan.emode and (threat.level or 0) < REDUCE:
        return Repair(threat, unit, ZERO, note="below warn nothing is added, and nothing is repaid yet")
    price = loan.debt[0].price
    to = target - (EMERGENCY_STEP if threat.level == EMERGENCY else ZERO)
    collateral = sum((item.value for item in loan.collateral), ZERO) / price
    needed = max(loan.debt[0].amount - to * collateral, ZERO)
    moves = tuple(_repaid(book, loan, unit, needed, purse))
    lacking = max(needed - sum((move.amount for move in moves), ZERO), ZERO)
    if not lacking:
        return Repair(threat, unit, needed, moves=moves)
    owed = loan.debt[0].amount - (needed - lacking)
    bundle = delever(collateral, owed, to, book.terms.exit_cost)
    if isinstance(bundle, str):
        return Repair(threat, unit, needed, moves=moves, lacking=lacking, note=bundle)
    note = f"a flash loan of {bundle.repaid:.6f} {unit} repays, {bundle.sold:.6f} {unit} of collateral pay it back"
    return Repair(threat, unit, needed, moves=moves, lacking=lacking, sold=bundle.sold, note=note)


def _repaid(book: RiskBook, loan: LoanRisk, unit: str, needed: Decimal, purse: _Purse) -> Iterator[Move]:
    """Out of the wallet, in the debt's own coin; gas is never spent on it, so ether stays."""
    source = PositionKey.of(WALLET.venue, Kind.TOKEN, unit)
    if source.venue in book.stale_accounts:
        return
    free = purse.left.setdefault(source, book.holdings.get(source, ZERO))
    amount = min(free, needed)
    if amount > 0:
        purse.left[source] -= amount
        yield Move(source, PositionKey.of(loan.account, Kind.VDEBT, unit), amount, ZERO, ZERO)
