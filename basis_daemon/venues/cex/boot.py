"""What a venue must say before it is traded on: filters, fees, margin tiers, and modes that read back as configured.

Terms are read again while it runs: what is not listed any more, or closed, is halted and stays as it was last known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from operator import itemgetter

from basis_daemon.domain.errors import ConfigError, VenueUnreachableError
from basis_daemon.domain.instrument import Instrument, Kind, MarginTier, PositionKey
from basis_daemon.venues.cex.desk import Desk, MarketTime
from basis_daemon.venues.cex.fills import Listing
from basis_daemon.venues.cex.frames import Row, exact, instant, maybe_exact
from basis_daemon.venues.cex.limiter import Request
from basis_daemon.venues.cex.options import Fees
from basis_daemon.venues.cex.outcome import CallError
from basis_daemon.venues.cex.quirks import Fate

UNBOUNDED = exact("1e12")
CROSS, IS_HEDGED = "cross", False


async def read_instruments(desk: Desk) -> Mapping[PositionKey, Instrument]:
    """Every declared instrument with its filters, fees and tiers. Raises CallError, ValueError, KeyError."""
    return await _described(desk, desk.declared(), None)


async def _described(
    desk: Desk, listings: Sequence[Listing], request: Request | None
) -> Mapping[PositionKey, Instrument]:
    tiers = await tiers_of(desk, listings, request) if desk.quirks.has_perps else {}
    hours = await _funding_intervals(desk, listings, request) if desk.quirks.has_perps else {}
    found = {}
    for listing in listings:
        fees = await fees_of(desk, listing, request)
        market, symbol = desk.data.market(listing.symbol), listing.symbol
        found[listing.key] = _instrument(market, listing, fees, tiers.get(symbol, ()), hours.get(symbol))
    return found


async def reread_instruments(desk: Desk, request: Request) -> Mapping[PositionKey, Instrument]:
    """The same instruments as the venue lists them now; what it does not list is halted. Raises like the first time."""
    asked = desk.declared() if desk.quirks.lists_one_symbol else desk.declared()[:1]
    listed = {symbol_id for listing in asked for symbol_id in await _relisted(desk, listing, request)}
    there = [listing for listing in desk.declared() if listing.symbol_id in listed]
    gone = [listing.key for listing in desk.declared() if listing.symbol_id not in listed]
    halted = {key: replace(desk.instruments[key], is_halted=True) for key in gone}
    return {**await _described(desk, there, request), **halted}


async def _relisted(desk: Desk, listing: Listing, request: Request) -> set[str]:
    """Works a listing in and returns the declared symbols that it holds; one of everything serves all of them."""

    def read(answer: Row) -> set[str]:
        declared = {one.symbol_id for one in desk.declared()}
        rows = [row for row in answer["symbols"] if row["symbol"] in declared]
        for row in rows:
            desk.data.relist(row)
        return {row["symbol"] for row in rows}

    params = {"symbol": listing.symbol_id} if desk.quirks.lists_one_symbol else {}
    try:
        return await desk.ask(desk.data, desk.quirks.listing_call, params, read=read, request=request)
    except CallError as fault:
        if not fault.is_about_terms:
            raise
        return set()


async def _funding_intervals(desk: Desk, listings: Sequence[Listing], request: Request | None) -> Mapping[str, int]:
    """Hours between settlements by symbol, where the venue states them."""
    if desk.options.terms is not None or not listings:
        return {}

    def read(answer: Mapping[str, Row]) -> Mapping[str, int]:
        return {
            symbol: int(str(row["interval"]).removesuffix("h")) for symbol, row in answer.items() if row["interval"]
        }

    symbols = [listing.symbol for listing in listings]
    return await desk.ask(desk.data, "fetch_funding_intervals", symbols, read=read, request=request)


async def fees_of(desk: Desk, listing: Listing, request: Request | None = None) -> Fees:
    """The rates of this key on one market. Raises CallError."""
    if desk.options.terms is not None:
        return desk.options.terms.fees[listing.key.kind]
    call, symbol = desk.quirks.fee_call, {"symbol": listing.symbol_id}
    return await desk.ask(desk.data, call, symbol, read=desk.quirks.read_fees, request=request)


def _instrument(
    market: Row, listing: Listing, fees: Fees, tiers: Sequence[MarginTier], funding_interval_h: int | None
) -> Instrument:
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
        funding_interval_h=funding_interval_h,
        is_halted=market["active"] is False,
        contract_value=listing.contract_value,
    )


async def tiers_of(
    desk: Desk, listings: Sequence[Listing], request: Request | None = None
) -> Mapping[str, Sequence[MarginTier]]:
    """Margin tiers by symbol. Raises CallError, and VenueUnreachableError naming what has none."""
    read_tier, terms = desk.quirks.read_tier, desk.options.terms
    if terms is not None:
        return {listing.symbol: terms.tiers for listing in listings}
    if read_tier is None or not listings:
        return {}

    def read(answer: Mapping[str, Sequence[Row]]) -> Mapping[str, Sequence[MarginTier]]:
        return {symbol: tuple(read_tier(row["info"]) for row in rows) for symbol, rows in answer.items()}

    symbols = [listing.symbol for listing in listings]
    tiers = await desk.ask(desk.data, "fetch_leverage_tiers", symbols, read=read, request=request)
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
    if await is_hedged(desk):
        await _change(desk, "set_position_mode", IS_HEDGED)
        _compare(desk.name, "hedged position mode", await is_hedged(desk), IS_HEDGED)
    symbols = [listing.symbol for listing in listings]
    for symbol, (margin_mode, leverage) in (await modes_of(desk, symbols)).items():
        if margin_mode != CROSS:
            await _change(desk, "set_margin_mode", CROSS, symbol)
        if leverage != desk.options.leverage:
            await _change(desk, "set_leverage", desk.options.leverage, symbol)
    for symbol, (margin_mode, leverage) in (await modes_of(desk, symbols)).items():
        _compare(f"{desk.name} {symbol}", "margin mode", margin_mode, CROSS)
        _compare(f"{desk.name} {symbol}", "leverage", leverage, desk.options.leverage)


async def is_hedged(desk: Desk) -> bool:
    """Whether the account holds long and short of one symbol side by side. Raises CallError."""
    return await desk.ask(desk.data, "fetch_position_mode", read=lambda row: bool(row["hedged"]))


async def modes_of(desk: Desk, symbols: Sequence[str]) -> Mapping[str, tuple[str, int]]:
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


async def learn_market_time(desk: Desk, market_time: MarketTime) -> None:
    """What day it is in the market, before any stream has spoken: the wall clock is no answer to that."""
    for symbol in [listing.symbol for listing in desk.declared() if listing.key.kind is Kind.PERP][:1]:
        market_time.advance(await desk.learn("fetch_funding_rate", symbol, read=_stamp))


def _stamp(answer: Row) -> datetime:
    return instant(answer["timestamp"])
