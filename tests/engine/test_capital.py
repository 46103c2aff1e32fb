"""Investor capital on its way out: reserved once, freed by its strategy, gone when the venue's record says so."""

from __future__ import annotations

from decimal import Decimal

import pytest

from basis_daemon.engine.capital import Cashier, Withdrawal, WithdrawalRefusedError
from tests.builders import POOR, RICH
from tests.engine.support import Rig, agrees, folded
from tests.engine.turn_support import Room, idle_rig, opened, paired_rig
from tests.venues.paper_support import CASH, COIN, MARGIN, PERP, D

WISH = Withdrawal("july-fees", D(10_000), None)
BOOK = "btc_basis"


def till(room: Room) -> Cashier:
    return Cashier(room.rig.recorder, {BOOK: room.valuer}, {BOOK: (CASH,)})


def pending(rig: Rig) -> Decimal:
    return rig.state.pending_withdrawal({CASH})


async def leave(room: Room, amount: Decimal) -> None:
    """The operator takes money out at the venue, and its record is read."""
    room.rig.stage.venue.deposit(CASH, -amount)
    for reconciler in room.reconcilers:
        await reconciler.reconcile()


async def test_what_is_asked_for_twice_under_one_key_is_reserved_once() -> None:
    async with opened(Room(idle_rig(), rate=POOR)) as room:
        assert await room.valuer.value_now()
        first, again = till(room).withdraw(WISH), till(room).withdraw(WISH)
        assert first == again
        assert pending(room.rig) == 10_000
        with pytest.raises(WithdrawalRefusedError, match="10000 USDT of btc_basis were asked for under this id"):
            till(room).withdraw(Withdrawal("july-fees", D(9_000)))


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Withdrawal("much", D(100_001)), "expected more than 0 and at most 100000.00"),
        (Withdrawal("none", D(0)), "expected more than 0"),
        (Withdrawal("whose", D(5), "eth_basis"), "strategy eth_basis, expected one of btc_basis"),
    ],
)
async def test_what_the_book_cannot_pay_is_refused_and_nothing_is_reserved(wish: Withdrawal, said: str) -> None:
    async with opened(Room(idle_rig(), rate=POOR)) as room:
        assert await room.valuer.value_now()
        with pytest.raises(WithdrawalRefusedError, match=said):
            till(room).withdraw(wish)
        assert room.rig.state.withdrawals == {}


async def test_a_book_that_was_never_valued_pays_nothing() -> None:
    with pytest.raises(WithdrawalRefusedError, match="was never valued"):
        till(Room(idle_rig())).withdraw(WISH)


async def test_reserved_cash_is_not_deployed_and_leaves_as_a_flow_that_moves_no_share_price() -> None:
    async with opened(Room(idle_rig(), rate=RICH)) as room:
        assert await room.valuer.value_now()
        till(room).withdraw(Withdrawal("redeemed", D(40_000)))
        await room.at(1)
        assert room.reasons[0] == "ENTRY"
        assert 40_000 <= room.rig.held(CASH) < 41_000
        assert room.rig.held(PERP) < 0
        assert await room.valuer.value_now()
        value = room.valuer.unit_value
        await leave(room, D(40_000))
        assert pending(room.rig) == 0
        assert await room.valuer.value_now()
        assert round(room.valuer.unit_value - value, 20) == 0


@pytest.mark.feature("P04", part="withdrawal")
async def test_a_withdrawal_from_a_standing_pair_unwinds_it_reserves_the_money_and_is_booked_when_it_leaves() -> None:
    async with opened(Room(paired_rig(), rate=POOR)) as room:
        assert await room.valuer.value_now()
        value = room.valuer.unit_value
        till(room).withdraw(WISH)
        await room.at(16)
        assert room.reasons[-1] in {"HOLD", "WITHDRAWAL"}
        assert "WITHDRAWAL" in room.reasons
        rho = 1 + room.rig.held(PERP)
        assert abs(rho - D(10_000) / D(84_000)) < D("0.002")
        assert abs(room.rig.held(COIN) + room.rig.held(PERP)) < D("0.001")
        assert abs(room.rig.held(MARGIN) / 60_000 / -room.rig.held(PERP) - D("0.4")) < D("0.01")
        assert 10_000 <= room.rig.held(CASH) < 10_200
        await room.at(40)
        assert pending(room.rig) == 10_000
        assert 10_000 <= room.rig.held(CASH) < 10_200, "not deployed again"
        assert await room.valuer.value_now()
        unwound = room.valuer.unit_value
        assert unwound < value, "unwinding costs fees, and these are the book's"
        await leave(room, D(10_000))
        assert pending(room.rig) == 0
        assert folded(room.rig).withdrawals == room.rig.state.withdrawals
        assert room.valuer.due.is_set()
        assert await room.valuer.value_now()
        assert room.valuer.last is not None
        assert room.valuer.last.components["flows"] == -10_000
        assert room.valuer.last.components["unexplained"] == 0
        assert round(room.valuer.unit_value - unwound, 20) == 0
        assert agrees(room.rig)
