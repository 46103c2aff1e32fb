"""The gate's check of caps: nothing adds to a name at its cap; what reduces, and defence of the ladder, always may."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from basis_daemon.domain.caps import UNCOUNTED, Bucket, Caps, Dimension, Held, exposures, held_by, names_behind
from basis_daemon.domain.deny import Denial, DenyReason
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.risk import ZERO, Effect, GateInput, RiskLimits, effect_of

SPECK = Decimal("1e-4")
"""Of equity: an order that adds less is not what adds; roundings and fees of a conversion are."""
REASON_OF: Mapping[Dimension, DenyReason] = {
    Dimension.VENUE: DenyReason.CAP_VENUE,
    Dimension.COUNTERPARTY: DenyReason.CAP_COUNTERPARTY,
    Dimension.CHAIN: DenyReason.CAP_CHAIN,
    Dimension.PROTOCOL: DenyReason.CAP_PROTOCOL,
    Dimension.STABLECOIN: DenyReason.CAP_STABLECOIN,
}


def cap_denials(orders: Sequence[Order], limits: RiskLimits, seen: GateInput) -> Iterator[Denial]:
    """One denial for each name that the plan as a whole would add to while it is at its cap, or past it.

    Names are those of all strategies together. Shares are of their equity together.
    """
    caps = limits.caps
    adding = [order for order in orders if _is_judged(order, orders, seen)] if caps.shares else []
    if not adding or seen.level or seen.is_operator:
        return
    books = (seen.exposure, *seen.peers)
    equities = [book.equity_usdt for book in books]
    known = [equity for equity in equities if equity is not None]
    equity = sum(known, ZERO) if len(known) == len(equities) else None
    own, rest = held_by(seen.exposure), [held_by(peer) for peer in seen.peers]
    before = exposures((own, *rest), caps)
    after = exposures((_moved(own, adding), *rest), caps)
    brought = _brought(adding, own, caps)
    for bucket, found in after.items():
        cap = caps.share(bucket)
        if cap is None or not _adds(bucket, before.get(bucket, ZERO), found, brought, equity):
            continue
        share = None if found is None or not equity or equity <= 0 else found / equity
        if share is None or share > cap:
            carrier = next((o for o in adding if _is_in(bucket, o, own, caps)), adding[0])
            yield Denial(REASON_OF[bucket[0]], carrier.order_id, share, cap, "of E", f"with {bucket[1]}")


def _is_judged(order: Order, orders: Sequence[Order], seen: GateInput) -> bool:
    """Defence is not; but a move of money is judged by where it goes, whatever waits for it there."""
    return order.operation is OrderOperation.TRANSFER or effect_of(order, orders, seen.exposure) is not Effect.DEFENCE


def _adds(
    bucket: Bucket,
    before: Decimal | None,
    after: Decimal | None,
    brought: Mapping[Bucket, Decimal | None],
    equity: Decimal | None,
) -> bool:
    """Whether the plan adds to a name; where that is unknown, whether it brings anything there at all."""
    least = SPECK * max(equity or ZERO, ZERO)
    if before is None or after is None:
        change = brought.get(bucket, ZERO)
        return change is None or change > least
    return after - before > least


def _brought(orders: Sequence[Order], own: Held, caps: Caps) -> Mapping[Bucket, Decimal | None]:
    """USDT that the orders bring to each name, less what they take; None where that has no price."""
    found: dict[Bucket, Decimal | None] = {}
    for key, amount in _moved(Held({}, own.prices, {}), orders).holdings.items():
        price = own.prices.get(key.asset)
        for bucket in names_behind(key, caps) if amount and key.kind not in UNCOUNTED else ():
            known = found.get(bucket, ZERO)
            found[bucket] = None if known is None or price is None else known + amount * price
    return found


def _moved(held: Held, orders: Sequence[Order]) -> Held:
    """Once every order has done what it expects to."""
    holdings = dict(held.holdings)
    for order in orders:
        for key, amount in order.expected_deltas.items():
            holdings[key] = holdings.get(key, ZERO) + amount
    return replace(held, holdings=holdings)


def _is_in(bucket: Bucket, order: Order, own: Held, caps: Caps) -> bool:
    """True for the order that brings something to a name."""
    change = _brought((order,), own, caps).get(bucket, ZERO)
    return change is None or change > 0
