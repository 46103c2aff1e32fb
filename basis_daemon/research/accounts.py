"""The ledger as a Beancount file: plain text double entry that accounting programs read and check.

One transaction for each event of the ledger, whose postings sum to zero in every commodity. Accounts of the book are
``Assets:VENUE:KIND:SYMBOL``, a debt is ``Liabilities:...`` with what is owed as negative, and what was on the other
side is named by its cause. ``Equity:Trading`` is where one coin became another: its balance is what was traded.
A perp is its contracts (``PERP.BTCUSDT``) and what they cost (``COST.USDT``, signed open notional).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC
from decimal import Decimal
from typing import TextIO

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import Cause, Entry, Posting

NOMINAL: dict[Cause, str] = {
    Cause.TRADE: "Equity:Trading",
    Cause.TRANSFER: "Equity:Transfers",
    Cause.OPENING: "Equity:Opening",
    Cause.EXTERNAL: "Equity:Capital",
    Cause.CORRECTION: "Equity:Corrections",
    Cause.REALISED: "Income:Realised",
    Cause.FUNDING: "Income:Funding",
    Cause.INTEREST: "Income:Interest",
    Cause.REBASE: "Income:Staking",
    Cause.REWARD: "Income:Rewards",
    Cause.SLIPPAGE: "Expenses:Slippage",
    Cause.FEE: "Expenses:Fees",
    Cause.GAS: "Expenses:Gas",
    Cause.FLASH_FEE: "Expenses:Flash-Fees",
    Cause.TRANSFER_FEE: "Expenses:Transfer-Fees",
    Cause.ROUNDING: "Expenses:Rounding",
    Cause.LIQUIDATION: "Expenses:Liquidation",
}
"""The other side of a posting, by its cause."""

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9-]+")
_NOT_IN_A_COIN = re.compile(r"[^A-Z0-9'._-]+")
_COMMODITY_CHARS_MAX = 24


def write_accounts(entries: Iterable[Entry], book: str, sink: TextIO) -> int:
    """Commodities and accounts as they are met, then the transactions; returns how many of these."""
    told = [entry for entry in entries if entry.postings]
    coins = _commodities(told)
    sink.write(f'; Ledger of {book}, exact to the digit; times are UTC.\noption "title" "{_quoted(book)}"\n\n')
    first = min((entry.time for entry in told), default=None)
    if first is None:
        return 0
    day = f"{first.astimezone(UTC):%Y-%m-%d}"
    sink.writelines(f'{day} commodity {coin}\n  name: "{_quoted(asset)}"\n' for asset, coin in coins.items())
    names = dict.fromkeys(_account(line.account, line.cause) for entry in told for line in entry.postings)
    sink.writelines(f"{day} open {name}\n" for name in names)
    for entry in sorted(told, key=lambda entry: entry.time):
        sink.write("\n")
        sink.writelines(_transaction(entry, coins))
    return len(told)


def _transaction(entry: Entry, coins: dict[str, str]) -> Iterator[str]:
    time = entry.time.astimezone(UTC)
    why = ", ".join(dict.fromkeys(line.cause.value for line in entry.postings))
    yield f'{time:%Y-%m-%d} * "{_quoted(why)}"\n'
    yield f'  event: "{_quoted(entry.event_id)}"\n  time: "{time.isoformat()}"\n'
    is_owed = False
    for line in entry.postings:
        is_owed = _is_owed(line) or (is_owed and line.account.startswith("nominal:"))
        amount = -line.amount if is_owed else line.amount
        yield f"  {_account(line.account, line.cause)}  {_plain(amount)} {coins[line.asset]}\n"


def _is_owed(line: Posting) -> bool:
    """A debt is kept as what is owed; its posting and the nominal one behind it change sign together."""
    return not line.account.startswith("nominal:") and PositionKey(line.account).kind is Kind.VDEBT


def _plain(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _account(account: str, cause: Cause) -> str:
    if account.startswith("nominal:"):
        return NOMINAL[cause]
    key = PositionKey(account)
    root = "Liabilities" if key.kind is Kind.VDEBT else "Assets"
    return ":".join((root, *(_name(part) for part in (key.venue, key.kind.value, key.symbol))))


def _name(part: str) -> str:
    """A component begins with a capital or a digit; case beyond that is the venue's own."""
    clean = _NOT_IN_A_NAME.sub("-", part).strip("-")
    return clean[:1].upper() + clean[1:]


def _commodities(entries: Iterable[Entry]) -> dict[str, str]:
    """Commodity by asset, each its own. Raises ConfigError when two assets would bear one name."""
    assets = dict.fromkeys(line.asset for entry in entries for line in entry.postings)
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    for asset in assets:
        coin = _commodity(asset)
        if coin in taken:
            raise ConfigError(
                f"assets {taken[coin]} and {asset} would both be commodity {coin}, expected a name for each; export "
                "the postings as CSV, where names are kept as they are"
            )
        found[asset], taken[coin] = coin, asset
    return found


def _commodity(asset: str) -> str:
    """Upper case, from a letter to a letter or digit: ``perp:BTCUSDT`` is PERP.BTCUSDT, ``1INCH`` is X.1INCH."""
    coin = _NOT_IN_A_COIN.sub("-", asset.upper().replace(":", ".")).strip("'._-") or "X"
    coin = coin if coin[0].isalpha() and len(coin) > 1 else f"X.{coin}"
    return coin[:_COMMODITY_CHARS_MAX].rstrip("'._-")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


assert NOMINAL.keys() == set(Cause), "every cause needs the account on its other side"  # noqa: S101  a table that lags its enum must stop the import
