"""What a venue must say before it is traded on: filters, fees, margin tiers, and modes that read back as configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

from basis_daemon.domain.errors import ConfigError, VenueUnreachableError
from basis_daemon.domain.instrument import Instrument, MarginTier, PositionKey
from basis_daemon.venues.cex.desk import Desk
from basis_daemon.venues.cex.fills import Listing
from basis_daemon.venues.cex.frames import Row, exact, maybe_exact
from basis_daemon.venues.cex.options import Fees
from basis_daemon.venues.cex.outcome import CallError
from basis_daemon.venues.cex.quirks import Fate

UNBOUNDED = exact("1e12")
CROSS, IS_HEDGED = "cross", False


async def read_instruments(desk: Desk) -> Mapping[PositionKey, Instrument]:
    """Every declared instrument with its filters, fees and tiers. Raises CallError, ValueError, KeyError."""
    listings = desk.declared()
    tiers = await _tiers(desk, listings) if desk.quirks.has_perps else {}
    found = {}
    for listing in listings:
        fees = await _fees(desk, listing)
        found[listing.key] = _instrument(desk.data.market(listing.symbol), listing, fees, tiers.get(listing.symbol, ()))
    return found


async def _fees(desk: Desk, listing: Listing) -> Fees:
    if desk.options.terms is not None:
        return desk.options.terms.fees[listing.key.kind]
    return await desk.ask(desk.data, "fetch_trading_fee", listing.symbol, read=_read_fees)


def _read_fees(row: Row) -> Fees:
    return Fees(exact(row["taker"]), exact(row["maker"]))


def _instrument(market: Row, listing: Listing, fees: Fees, tiers: Sequence[MarginTier]) -> Instrument:
    amount, cost, step = market["limits"]["amount"], market["limits"]["cost"], exact(market["precision"]["amount"])
    return Instrument(
        key=listing.key,
        base=listing.base,
        quote=listing.quote,
        quantity_step=step,
        price_tick=exact(market["precision"]["price"]),
        quantity_min=maybe_exact(amount["min"]) or step,
        quantity_max=maybe_exact(amount["max"]) or UNBOUNDED,
        notional_min=maybe_exact(cost["min"]) or exact(0),
        taker_fee=fees.taker,
        maker_fee=fees.maker,
        tiers=tuple(tiers),
    )


async def _tiers(desk: Desk, listings: Sequence[Listing]) -> Mapping[str, Sequence[MarginTier]]:
    read_tier, terms = desk.quirks.read_tier, desk.options.terms
    if terms is not None:
        return {listing.symbol: terms.tiers for listing in listings}
    if read_tier is None or not listings:
        return {}

    def read(answer: Mapping[str, Sequence[Row]]) -> Mapping[str, Sequence[MarginTier]]:
        return {symbol: tuple(read_tier(row["info"]) for row in rows) for symbol, rows in answer.items()}

    symbols = [listing.symbol for listing in listings]
    tiers = await desk.ask(desk.data, "fetch_leverage_tiers", symbols, read=read)
    if missing := sorted(set(symbols) - {symbol for symbol, rows in tiers.items() if rows}):
        raise VenueUnreachableError(f"{desk.name}: no margin tiers for {', '.join(missing)}")
    return tiers


async def set_modes(desk: Desk) -> None:
    """One-way positions, cross margin and the configured leverage, set where they differ and read back.

    Raises ConfigError naming what the venue holds and what was expected; CallError.
    """
    for call, field, expected in desk.quirks.settings:
        _compare(desk.name, field, await desk.ask(desk.data, call, {}, read=itemgetter(field)), expected)
    listings = desk.declared() if desk.quirks.has_perps else ()
    if not listings:
        return
    if await _is_hedged(desk):
        await _change(desk, "set_position_mode", IS_HEDGED)
        _compare(desk.name, "hedged position mode", await _is_hedged(desk), IS_HEDGED)
    symbols = [listing.symbol for listing in listings]
    for symbol, (margin_mode, leverage) in (await _modes(desk, symbols)).items():
        if margin_mode != CROSS:
            await _change(desk, "set_margin_mode", CROSS, symbol)
        if leverage != desk.options.leverage:
            await _change(desk, "set_leverage", desk.options.leverage, symbol)
    for symbol, (margin_mode, leverage) in (await _modes(desk, symbols)).items():
        _compare(f"{desk.name} {symbol}", "margin mode", margin_mode, CROSS)
        _compare(f"{desk.name} {symbol}", "leverage", leverage, desk.options.leverage)


async def _is_hedged(desk: Desk) -> bool:
    return await desk.ask(desk.data, "fetch_position_mode", read=lambda row: bool(row["hedged"]))


async def _modes(desk: Desk, symbols: Sequence[str]) -> Mapping[str, tuple[str, int]]:
    """(margin mode, leverage) by symbol."""

    def read(answer: Mapping[str, Row]) -> Mapping[str, tuple[str, int]]:
        return {symbol: (answer[symbol]["marginMode"], int(answer[symbol]["longLeverage"])) for symbol in symbols}

    return await desk.ask(desk.data, "fetch_leverages", list(symbols), read=read)


async def _change(desk: Desk, method: str, *args: object) -> None:
    """Ask for a mode; what the venue then holds is judged by reading it back."""
    try:
        await desk.ask(desk.data, method, *args, read=lambda _: None)
    except CallError as fault:
        if fault.fate is not Fate.NO_CHANGE:
            desk.note("mode_refused", {"account": desk.name, "call": method, "text": fault.text})


def _compare(what: str, field: str, found: object, expected: object) -> None:
    if found != expected:
        raise ConfigError(f"{what}: {field} is {found} at the venue, expected {expected}")
