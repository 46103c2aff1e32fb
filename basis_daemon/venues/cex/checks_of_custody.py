"""Whether coin can come and go as the address book of the configuration has it: one question with one line each."""

from __future__ import annotations

from basis_daemon.domain.check import Check, green, red, yellow
from basis_daemon.venues.cex.custody import CEXCustody
from basis_daemon.venues.cex.examined import Examined
from basis_daemon.venues.cex.options import CustodyWish


def is_wanted(examined: Examined) -> bool:
    """True where the configuration lets coin cross."""
    return examined.desks[0].options.custody is not None


async def deposit_address(examined: Examined) -> Check:
    """The exchange's own word on where deposits go, against the address book."""
    wish, custody = _asked(examined)
    name, expected = examined.line("deposit_address"), f"{wish.deposit_address}, as transfers.venues has it"
    for coin in wish.first_max:
        found = await custody.deposit_address(coin)
        if found.lower() != wish.deposit_address.lower():
            remedy = "correct the address book, and ask the exchange's own page which of the two is right"
            return red(name, f"{found} for {coin}", expected, remedy)
    return green(name, wish.deposit_address)


async def ways(examined: Examined) -> Check:
    """Whether every coin may come and go now, and the first transfer is one that the exchange takes."""
    wish, custody = _asked(examined)
    name, said = examined.line("ways"), []
    for coin, first_max in wish.first_max.items():
        way = await custody.way(coin)
        if not (way.withdraws and way.deposits):
            what = "withdrawals" if not way.withdraws else "deposits"
            return yellow(name, f"{what} of {coin} are closed", "open", "wait: until then none of it crosses")
        if first_max < way.least:
            least = f"{way.least.normalize():f} {coin} or more, the exchange's least"
            remedy = f"raise transfers.venues.*.coins.{coin.lower()}.first_max"
            return red(name, f"first_max {first_max.normalize():f}", least, remedy)
        said.append(f"{coin} for {way.fee.normalize():f}, from {way.least.normalize():f}")
    return green(name, ", ".join(said))


async def whitelist(examined: Examined) -> Check:
    """Whether the exchange itself lets withdrawals go to the wallet alone: a second pair of eyes."""
    wish, custody = _asked(examined)
    name, known = examined.line("whitelist"), await custody.whitelist()
    lacking = [coin for coin in wish.first_max if (coin, wish.wallet.lower()) not in known]
    if not lacking:
        return green(name, f"{wish.wallet} is on it")
    remedy = "switch the withdrawal whitelist on at the exchange and put the wallet on it: then a thief needs both"
    return yellow(name, f"{wish.wallet} is not on it for {', '.join(lacking)}", "the wallet's address on it", remedy)


def _asked(examined: Examined) -> tuple[CustodyWish, CEXCustody]:
    desk = next(desk for desk in examined.desks if desk.quirks.custody is not None)
    wish = desk.options.custody
    if wish is None:
        raise RuntimeError("asked about transfers where there are none")
    return wish, CEXCustody(desk, examined.venue.market_time)
