"""Staking tokens off their peg, told once when they leave it and once when they are back."""

from __future__ import annotations

from collections.abc import Iterable

from basis_daemon.domain.chain import LstTick
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.peg import PEG_BAND, divergence
from basis_daemon.venues.chain.notes import Note


class PegWatch:
    """Looks at every reading of a token; what follows from it is for strategies and operators."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._off: set[PositionKey] = set()

    def see(self, events: Iterable[object]) -> None:
        """Everything that was told of one block."""
        for tick in events:
            if isinstance(tick, LstTick):
                self._judge(tick)

    def _judge(self, tick: LstTick) -> None:
        token, why = tick.instrument, divergence(tick)
        if why is not None and token not in self._off:
            self._off.add(token)
            self._note("lst_off_peg_alarm", {"token": token, "why": why, "band": str(PEG_BAND)})
        elif why is None and token in self._off:
            self._off.discard(token)
            self._note("lst_at_peg", {"token": token, "block": tick.block.number})
