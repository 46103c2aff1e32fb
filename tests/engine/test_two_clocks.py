"""Blocks and exchanges have clocks of their own: neither makes the other's readings look old."""

from __future__ import annotations

from datetime import datetime, timedelta

from basis_daemon.domain.chain import GasTick, ReserveTick
from basis_daemon.engine.freshness import Freshness, FreshnessLimits
from basis_daemon.engine.mailbox import Mailbox
from tests.builders import BINANCE, NOW, D, book_tick, mark_tick
from tests.strategies.chain_scenes import A_WETH, ETH, calm

SPOT, PERP = BINANCE.spot_key("ETH"), BINANCE.perp_key("ETH")
OWN = (SPOT, PERP, A_WETH, ETH)
HOUR = timedelta(hours=1)


def read(at: datetime) -> tuple[ReserveTick, GasTick]:
    """Two of the readings of one block."""
    found = calm().at(at)
    reserve = next(tick for tick in found if isinstance(tick, ReserveTick) and tick.instrument == A_WETH)
    return reserve, next(tick for tick in found if isinstance(tick, GasTick))


def seen(quoted: datetime, marked: datetime, *read_at: datetime) -> dict[str, bool]:
    """Which inputs are stale, by name."""
    mailbox = Mailbox()
    mailbox.put(book_tick(SPOT, D(2500), quoted))
    mailbox.put(mark_tick(PERP, D(2500), marked))
    for at in read_at:
        for tick in read(at):
            mailbox.put(tick)
    ages = Freshness(mailbox, FreshnessLimits(D(5), D(20))).ages(OWN, (), 0)
    return {name: age.is_stale for name, age in ages.items()}


def test_a_block_is_as_young_as_the_newest_block_whatever_time_the_exchange_has() -> None:
    assert set(seen(NOW + HOUR, NOW + HOUR, NOW).values()) == {False}
    assert set(seen(NOW, NOW, NOW + HOUR).values()) == {False}


def test_on_either_side_what_lags_behind_its_own_newest_is_stale() -> None:
    quotes = seen(NOW, NOW + timedelta(seconds=6), NOW + HOUR)
    assert (quotes[f"book:{SPOT}"], quotes[f"mark:{PERP}"]) == (True, False)
    assert not any(is_stale for name, is_stale in quotes.items() if name.startswith(("reserve", "gas")))


def test_a_reading_of_an_older_block_is_stale_beside_one_of_the_newest() -> None:
    mailbox = Mailbox()
    old, _ = read(NOW)
    _, new = read(NOW + timedelta(seconds=61))
    for tick in (old, new, book_tick(SPOT, D(2500), NOW)):
        mailbox.put(tick)
    ages = Freshness(mailbox, FreshnessLimits(D(5), D(20))).ages(OWN, (), 0)
    assert {name: age.is_stale for name, age in ages.items()} == {
        f"reserve:{A_WETH}": True,
        f"gas:{ETH}": False,
        f"book:{SPOT}": False,
    }
