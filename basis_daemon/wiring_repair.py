"""A repair wired up: journal and accounts held as a daemon holds them, venues that can only be asked, and no engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack

from basis_daemon.clock import SystemClock
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.repair import Repair, apply, document, propose
from basis_daemon.engine.state import recover
from basis_daemon.settings import Settings
from basis_daemon.telemetry import Metrics
from basis_daemon.wiring_journal import make_alarm, open_journal
from basis_daemon.wiring_venues import account_leases, inspected


async def repair_book(settings: Settings, agrees: Callable[[Repair], bool]) -> tuple[Repair, bool]:
    """What the book lacks of its venues' word, and whether it was booked: that is for ``agrees`` to say.

    The daemon must be stopped: journal and accounts are held meanwhile. The venues are asked and never touched. Raises
    BasisError.
    """
    clock = SystemClock()
    journal = open_journal(settings, clock)
    try:
        with ExitStack() as leases:
            for lease in account_leases(settings):
                leases.enter_context(lease)
            recorder = Recorder(recover(journal), journal)
            found = await _proposed(settings, recorder, clock)
            is_booked = not found.is_empty and agrees(found)
            if is_booked:
                apply(found, recorder, json.dumps({"command": "repair", **document(found)}))
                recorder.snapshot()
            await recorder.flush()
            return found, is_booked
    finally:
        await journal.close()


async def _proposed(settings: Settings, recorder: Recorder, clock: SystemClock) -> Repair:
    venues = inspected(settings, clock, make_alarm(Metrics()))
    try:
        for venue in venues:
            recorder.state.instruments.update(await venue.inspect())
        return await propose(recorder.state, [v.source(account) for v in venues for account in v.accounts])
    finally:
        for venue in venues:
            await venue.close()
