"""Whether the venue can be reached and its market is one to trade in. Each function gives one line, or raises."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal

from basis_daemon.domain.check import Check, green, red, yellow
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.market import BookTick, MarkTick, StreamChanged
from basis_daemon.ports import FeedEvent
from basis_daemon.venues.cex.boot import fees_of, tiers_of
from basis_daemon.venues.cex.examined import Examined
from basis_daemon.venues.cex.frames import Row, exact, instant
from basis_daemon.venues.cex.quirks import Stream

SKEW_MAX_MS = 1_000
"""An exchange refuses what is stamped further ahead; corrected, but such a clock is wrong elsewhere too."""
FEE_MAX = Decimal("0.002")
"""Of the notional, for taking: dearer fills eat a month of carry."""
BASIS_MAX = Decimal("0.05")
"""Between spot and perp, and between perp and its mark: beyond that one of them is not the market we think."""
LISTEN_S = 8.0
"""Less than the silence after which a stream would be dialled again."""
FUNDING_ROWS = 3


async def reach(examined: Examined) -> Check:
    """Name, TLS and an answer of every wallet's host."""
    await examined.open()
    for desk in examined.desks:
        await desk.ask(desk.data, "fetch_time", read=int)
    return green(examined.line("reach"), f"{', '.join(desk.name for desk in examined.desks)} answer over TLS")


async def clock(examined: Examined) -> Check:
    """How far our clock is from the venue's."""
    name, worst = examined.line("clock"), 0
    for desk in examined.desks:
        worst = max(worst, await desk.measure_skew(), key=abs)
    found = f"{abs(worst)} ms {'ahead of' if worst >= 0 else 'behind'} the exchange"
    remedy = "let chrony or systemd-timesyncd set this host's clock, and see that it runs"
    if abs(worst) > SKEW_MAX_MS:
        return red(name, found, f"at most {SKEW_MAX_MS} ms", remedy)
    alarm_ms = examined.desks[0].options.skew_alarm_ms
    return yellow(name, found, f"at most {alarm_ms} ms", remedy) if abs(worst) > alarm_ms else green(name, found)


async def symbols(examined: Examined) -> Check:
    """Whether everything declared is listed, and trading."""
    name, said = examined.line("symbols"), []
    for desk in examined.desks:
        await desk.load_markets()
        for listing in desk.declared():
            market = desk.data.market(listing.symbol)
            if not market["active"]:
                state = market["info"].get("status", "inactive")
                remedy = "take it out of the strategies, or wait until it trades again"
                return red(name, f"{listing.key} is {state}", "a market that trades", remedy)
            said.append(str(listing.key))
        examined.listings[desk.name] = desk.declared()
    return green(name, ", ".join(said))


async def fees(examined: Examined) -> Check:
    """The schedule that plans are calculated with."""
    name, said = examined.line("fees"), []
    for desk in examined.desks:
        for listing in examined.listings[desk.name]:
            rates = await fees_of(desk, listing)
            if rates.taker > FEE_MAX:
                found = f"{_percent(rates.taker)} for taking {listing.key}"
                remedy = "check the fee level of the account; the carry would go to the exchange"
                return red(name, found, f"at most {_percent(FEE_MAX)}", remedy)
            said.append(f"{listing.key} {_percent(rates.taker)} taking, {_percent(rates.maker)} making")
    return green(name, "; ".join(said))


async def tiers(examined: Examined) -> Check:
    """The margin tiers of every perp."""
    for desk in examined.perp_desks:
        examined.tiers = {**examined.tiers, **await tiers_of(desk, examined.listings[desk.name])}
    said = [f"{symbol}: {len(rows)}" for symbol, rows in examined.tiers.items()]
    return green(examined.line("tiers"), ", ".join(said) or "no perps")


async def funding(examined: Examined) -> Check:
    """The rate that forms, the next settlement, and a record of the last ones."""
    name, said = examined.line("funding"), []
    for desk in examined.perp_desks:
        for listing in examined.listings[desk.name]:
            rate, left_s = await desk.ask(desk.data, "fetch_funding_rate", listing.symbol, read=_forming)
            arguments = (listing.symbol, None, FUNDING_ROWS)
            rows = await desk.ask(desk.data, "fetch_funding_rate_history", *arguments, read=len)
            if left_s <= 0 or rows < FUNDING_ROWS:
                found = f"{listing.key}: next settlement in {left_s:.0f} s, {rows} settlements on record"
                expected = f"a settlement to come and {FUNDING_ROWS} on record"
                return red(name, found, expected, "the carry cannot be judged: wait until the exchange says it")
            said.append(f"{listing.key} {_percent(rate)} in {left_s / 3600:.1f} h")
    return green(name, ", ".join(said) or "no perps")


def _forming(row: Row) -> tuple[Decimal, float]:
    """(rate, seconds of market time to the settlement)."""
    left = instant(row["fundingTimestamp"]) - instant(row["timestamp"])
    return exact(row["fundingRate"]), left.total_seconds()


async def streams(examined: Examined) -> Check:
    """Whether every stream that the book needs delivers; what it says of prices is kept."""
    name, feed = examined.line("streams"), examined.venue.feed(examined.scope)
    keys = {desk: [listing.key for listing in examined.listings[desk.name]] for desk in examined.desks}
    waiting = {f"{key} {Stream.BOOK}" for desk in examined.desks for key in keys[desk]}
    waiting |= {f"{key} {Stream.MARK}" for desk in examined.perp_desks for key in keys[desk]}
    if not examined.is_read_only and not examined.lacks_rights:
        waiting |= {f"{desk.name} {Stream.USER}" for desk in examined.desks}
    count, heard = len(waiting), asyncio.Event()

    def sink(event: FeedEvent) -> None:
        waiting.discard(_stream_of(examined, event))
        if not waiting:
            heard.set()

    for account in feed.accounts:
        account.attach()
    examined.scope.spawn("preflight:streams", feed.run(sink))
    with suppress(TimeoutError):
        async with asyncio.timeout(LISTEN_S):
            await heard.wait()
    await feed.close()
    if waiting:
        remedy = "see whether a proxy or firewall cuts websockets, and whether the exchange reports trouble"
        return red(name, f"nothing in {LISTEN_S:g} s from {', '.join(sorted(waiting))}", "every stream", remedy)
    return green(name, f"{count} of {count} deliver")


def _stream_of(examined: Examined, event: FeedEvent) -> str:
    if isinstance(event, BookTick):
        examined.books[event.instrument] = event
        return f"{event.instrument} {Stream.BOOK}"
    if isinstance(event, MarkTick):
        examined.marks[event.instrument] = event
        return f"{event.instrument} {Stream.MARK}"
    is_login = isinstance(event, StreamChanged) and event.stream == Stream.USER and event.is_up
    return f"{event.account} {Stream.USER}" if isinstance(event, StreamChanged) and is_login else ""


async def prices(examined: Examined) -> Check:
    """Whether spot, perp and mark are prices of one thing."""
    name, said = examined.line("prices"), []
    for desk in examined.perp_desks:
        for listing in examined.listings[desk.name]:
            perp, mark = examined.books[listing.key].mid, examined.marks[listing.key].mark
            others = {f"mark of {listing.key}": mark} | _spot_mids(examined, listing.base)
            for what, price in others.items():
                if abs(perp / price - 1) > BASIS_MAX:
                    found = f"{listing.key} at {_price(perp)}, {what} at {_price(price)}"
                    remedy = "do not trade until they agree; compare them with another exchange"
                    return red(name, found, f"no more than {_percent(BASIS_MAX)} between them", remedy)
            said.append(f"{listing.key} {_price(perp)}, " + ", ".join(f"{w} {_price(p)}" for w, p in others.items()))
    return green(name, "; ".join(said) or "no perps")


def _spot_mids(examined: Examined, base: str) -> dict[str, Decimal]:
    keys = [PositionKey.of(desk.name, Kind.SPOT, base) for desk in examined.desks if desk.quirks.has_spot]
    return {str(key): examined.books[key].mid for key in keys if key in examined.books}


def _percent(fraction: Decimal) -> str:
    return f"{(fraction * 100).normalize():f} %"


def _price(price: Decimal) -> str:
    return f"{price:.2f}"
