"""How an account and its markets stand, changed by whoever drives the sandbox and then the truth of the venue.

Nothing here is an answer: the key's rights, the modes and the market states are what every endpoint decides by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from basis_daemon.sandbox.exchange.accounts import Account, FeeSchedule
from basis_daemon.sandbox.exchange.instruments import FUTURES, Key, Market
from basis_daemon.sandbox.exchange.money import ZERO
from basis_daemon.sandbox.exchange.venue import SpotBalanceEvent, Venue

MARKETS: dict[str, Market] = {market: market for market in ("spot", *FUTURES)}


def apply_conditions(venue: Venue, body: Mapping[str, Any]) -> None:
    """Set what ``body`` names, for ``api_key`` or the only account. Raises ValueError naming what is wrong."""
    wanted = {name: value for name, value in body.items() if name != "api_key"}
    known = {**_OF_ACCOUNT, **_OF_VENUE}
    unknown = sorted(set(wanted) - set(known))
    if unknown or not wanted:
        raise ValueError(f"expected some of {', '.join(sorted(known))}, found {unknown}")
    account = _account(venue, body.get("api_key"))
    try:
        for name, value in wanted.items():
            if name in _OF_VENUE:
                _OF_VENUE[name](venue, value)
            else:
                _OF_ACCOUNT[name](venue, account, value)
    except (AttributeError, TypeError, KeyError, InvalidOperation) as error:
        raise ValueError(f"conditions {sorted(wanted)}: {type(error).__name__} {error}") from error


def _account(venue: Venue, api_key: str | None) -> Account:
    if api_key is None and len(venue.accounts) == 1:
        return next(iter(venue.accounts.values()))
    if api_key not in venue.accounts:
        raise ValueError(f"api_key {api_key!r} is none of this venue's {len(venue.accounts)} accounts")
    return venue.accounts[str(api_key)]


def _set_rights(_: Venue, account: Account, rights: Mapping[str, bool]) -> None:
    unknown = sorted(set(rights) - set(account.rights))
    if unknown:
        raise ValueError(f"rights {unknown}, expected some of {', '.join(account.rights)}")
    account.rights.update({name: bool(value) for name, value in rights.items()})


def _set_hedge_mode(_: Venue, account: Account, value: object) -> None:
    account.hedge_mode = bool(value)


def _set_multi_assets(_: Venue, account: Account, value: object) -> None:
    account.multi_assets = bool(value)


def _set_margin_type(venue: Venue, account: Account, types: Mapping[str, str]) -> None:
    for symbol, margin_type in types.items():
        account.position(venue.instrument("usdm", symbol).symbol).margin_type = margin_type


def _set_leverage_max(_: Venue, account: Account, value: object) -> None:
    account.leverage_max = int(str(value))


def _set_balances(venue: Venue, account: Account, balances: Mapping[str, str]) -> None:
    """What is free in the spot wallet, as after a withdrawal or a deposit."""
    for asset, text in balances.items():
        holding, amount = account.holding(asset), Decimal(text)
        if amount < ZERO:
            raise ValueError(f"balance of {asset} is {amount}, expected 0 or more")
        delta, holding.free = amount - holding.free, amount
        if delta:
            account.spot_updated_ms = venue.now_ms
            venue.sink(account, SpotBalanceEvent((asset,), delta))


def _key_of(venue: Venue, name: str) -> Key:
    market, _, symbol = name.partition(":")
    key = MARKETS[market], symbol
    if key not in venue.instruments:
        raise ValueError(f"market {name!r}, expected one of {', '.join(map(':'.join, venue.instruments))}")
    return key


def _set_fees(venue: Venue, rates: Mapping[str, str]) -> None:
    known = {name: getattr(venue.fees, name) for name in FeeSchedule.__dataclass_fields__}
    venue.fees = FeeSchedule(**(known | {name: Decimal(text) for name, text in rates.items()}))


def _shift_prices(venue: Venue, shifts: Mapping[str, str]) -> None:
    """A fraction by which a market trades above its script."""
    for name, text in shifts.items():
        venue.price_shift[_key_of(venue, name)] = Decimal(text)


_OF_ACCOUNT: Mapping[str, Callable[[Venue, Account, Any], None]] = {
    "rights": _set_rights,
    "hedge_mode": _set_hedge_mode,
    "multi_assets": _set_multi_assets,
    "margin_type": _set_margin_type,
    "leverage_max": _set_leverage_max,
    "balances": _set_balances,
}
_OF_VENUE: Mapping[str, Callable[[Venue, Any], None]] = {
    "fees": _set_fees,
    "price_shift": _shift_prices,
}
