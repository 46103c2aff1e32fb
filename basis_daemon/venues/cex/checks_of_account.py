"""What the key may do and how the account behind it stands. Each function gives one line, or raises what stopped it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from operator import itemgetter

from basis_daemon.domain.check import Check, green, red, yellow
from basis_daemon.venues.cex.boot import CROSS, is_hedged, modes_of
from basis_daemon.venues.cex.desk import Desk
from basis_daemon.venues.cex.examined import Examined
from basis_daemon.venues.cex.frames import Row

READ, WITHDRAW, INTERNAL = "read", "withdraw", "internal_transfer"
LEAVES_THE_HOUSE = frozenset({WITHDRAW, INTERNAL})
"""Rights with which whoever holds the key can take the money away."""
_BY_HAND = (
    "cancel its orders, close its positions and set it at the exchange, or start once without --arm: that sets it"
)


async def key(examined: Examined) -> Check:
    """Whether the venue takes the key and its signature."""
    desk = examined.desks[0]
    wallet = await desk.ask(desk.data, "fetch_balance", dict(desk.quirks.balance_params), read=desk.quirks.read_wallet)
    examined.wallets[desk.name] = wallet
    return green(examined.line("key"), "accepted")


async def rights(examined: Examined) -> Check:
    """The key's rights against those that the configuration asks for."""
    desk, name = examined.desks[0], examined.line("rights")
    wanted, flags = desk.options.rights | {READ}, desk.venue.rights
    asked = ", ".join(sorted(desk.options.rights))
    if desk.venue.rights_call is None or not desk.options.is_live_api:
        remedy = "look at the key's page yourself, and fund every wallet by hand: nothing can be moved between them"
        return yellow(name, "nothing: play money does not say what its keys may do", asked, remedy)
    row: Row = await desk.ask(desk.data, desk.venue.rights_call, {}, read=dict)
    examined.rights = row
    held = {flag: right for flag, right in flags.items() if row.get(flag)}
    dangerous = [flag for flag, right in held.items() if right in LEAVES_THE_HOUSE - wanted]
    missing = [flag for flag, right in flags.items() if right in wanted and flag not in held]
    spare = [flag for flag, right in held.items() if right not in wanted]
    if dangerous:
        remedy = f"switch {_listed(dangerous)} off at the exchange; who steals this key takes the money"
        return red(name, _listed(dangerous), f"no more than {asked}, as venues.*.rights says", remedy)
    if missing:
        examined.lacks_rights = True
        return red(name, f"no {_listed(missing)}", asked, f"switch {_listed(missing)} on at the exchange")
    if spare:
        return yellow(name, f"also {_listed(spare)}", asked, f"switch {_listed(spare)} off: the book does not need it")
    return green(name, asked)


async def ip(examined: Examined) -> Check:
    """Whether the key works from named addresses only."""
    desk, name, remedy = examined.desks[0], examined.line("ip"), "bind the key to this host's address at the exchange"
    flag = desk.venue.ip_flag
    if examined.rights is None or flag is None:
        return yellow(name, "not told", "a key bound to addresses", remedy)
    if examined.rights.get(flag):
        return green(name, "the key is bound to addresses")
    return yellow(name, "a key that works from everywhere", "a key bound to addresses", remedy)


async def balances(examined: Examined) -> Check:
    """Whether there is anything to trade with: here, or in the wallet that stands behind the account."""
    name = examined.line("balances")
    for desk in examined.desks:
        if desk.name not in examined.wallets:
            examined.wallets[desk.name] = await desk.ask(
                desk.data, "fetch_balance", dict(desk.quirks.balance_params), read=desk.quirks.read_wallet
            )
    held = [
        f"{amount.normalize():f} {asset} in {account}"
        for account, wallet in examined.wallets.items()
        for asset, amount in {**wallet.balances, **wallet.positions}.items()
        if amount and asset in _traded(examined.venue.desks[account])
    ]
    if held:
        return green(name, ", ".join(held))
    wanted = ", ".join(sorted(set().union(*(_traded(desk) for desk in examined.desks))))
    remedy = "bring money to the account, or configure the key of the one with it"
    is_backed = any(desk.options.custody is not None for desk in examined.desks)
    return (yellow if is_backed else red)(name, "nothing", f"some of {wanted}", remedy)


async def asset_mode(examined: Examined) -> Check:
    """Account-wide settings that the book counts on."""
    name, said = examined.line("asset_mode"), []
    for desk in examined.desks:
        for call, field, expected in desk.quirks.settings:
            found = await desk.ask(desk.data, call, {}, read=itemgetter(field))
            if found != expected:
                remedy = f"set {field} to {expected} at the exchange; that needs no open position"
                return red(name, f"{field} {found}", f"{field} {expected}", remedy)
            said.append(f"{field} {found}")
    return green(name, ", ".join(said) or "nothing to set")


async def position_mode(examined: Examined) -> Check:
    """One-way positions: a hedged account holds a long and a short that the book would see as one."""
    name = examined.line("position_mode")
    for desk in examined.perp_desks:
        if await is_hedged(desk):
            return red(name, f"hedged positions in {desk.name}", "one-way positions", _BY_HAND)
    return green(name, "one-way")


async def margin_mode(examined: Examined) -> Check:
    """Cross margin: the ladder knows no other."""
    name = examined.line("margin_mode")
    for desk in examined.perp_desks:
        for symbol, (margin, _) in (await modes_of(desk, _symbols(examined, desk))).items():
            if margin != CROSS:
                return red(name, f"{margin} for {symbol}", CROSS, _BY_HAND)
    return green(name, CROSS)


async def leverage(examined: Examined) -> Check:
    """Whether the configured leverage can be had; where it differs, the start sets it."""
    name, said = examined.line("leverage"), []
    for desk in examined.perp_desks:
        for symbol, (_, found) in (await modes_of(desk, _symbols(examined, desk))).items():
            wanted, most = desk.options.leverage, _leverage_max(examined, desk, symbol)
            if most is not None and most < wanted:
                held = f"at most {most.normalize():f}x for {symbol}"
                remedy = f"set venues.*.leverage to {most.normalize():f} or less, or let the position shrink"
                return red(name, held, f"{wanted}x", remedy)
            said.append(f"{found}x for {symbol}" + ("" if found == wanted else f", set to {wanted}x at the start"))
    return green(name, ", ".join(said) or "no perps")


def _leverage_max(examined: Examined, desk: Desk, symbol: str) -> Decimal | None:
    """What the venue allows for the position as it stands; None while its tiers are not known."""
    tiers, wallet = examined.tiers.get(symbol, ()), examined.wallets.get(desk.name)
    costs: Mapping[str, Decimal] = wallet.costs if wallet is not None else {}
    notional = max((abs(c) for s, c in costs.items() if desk.listing_of_id(s).symbol == symbol), default=Decimal(0))
    return next((tier.leverage_max for tier in tiers if notional <= tier.notional_cap), None)


def _symbols(examined: Examined, desk: Desk) -> list[str]:
    return [listing.symbol for listing in examined.listings[desk.name]]


def _traded(desk: Desk) -> set[str]:
    """What counts as money of the book: what its pairs and contracts are paid in, and what is declared."""
    return {desk.options.quote, *desk.options.moved_coins, *desk.options.spot_assets, *desk.perp_ids}


def _listed(names: list[str]) -> str:
    return ", ".join(names)
