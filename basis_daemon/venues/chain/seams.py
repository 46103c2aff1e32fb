"""What the codecs and reads need from whoever owns the connection, and how they ask it: many questions at one block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.venues.chain.abi import Call, Function


class Answer(Protocol):
    """What came back from one call: what it returned, or its revert data when it is not ok."""

    @property
    def is_ok(self) -> bool:
        """False when the call reverted."""
        ...

    @property
    def data(self) -> bytes:
        """Return or revert data."""
        ...


class PinnedReader(Protocol):
    """Reads the state after one block and no other. Raises VenueUnreachableError when it gets no answer."""

    async def call_at(self, block: BlockRef, calls: Sequence[tuple[str, bytes]]) -> Sequence[Answer]:
        """One answer per (address, calldata), in order."""
        ...


@dataclass(slots=True)
class Slot:
    """Where the answer to one question will be."""

    function: Function
    to: str
    answer: Answer | None = None
    _read: tuple[Any, ...] | None = None

    def put(self, answer: Answer) -> None:
        """What was answered; it is read once, however often it is looked at."""
        self.answer, self._read = answer, None

    @property
    def values(self) -> tuple[Any, ...]:
        """All outputs; raises VenueUnreachableError while unanswered, and for a revert or an unreadable answer."""
        if self.answer is None or not self.answer.is_ok:
            how = "was never answered" if self.answer is None else f"reverted 0x{self.answer.data[:4].hex()}"
            raise VenueUnreachableError(f"{self.function.name} at {self.to} {how}, expected {self.function.outputs}")
        if self._read is None:
            self._read = self.function.answer(self.answer.data)
        return self._read

    @property
    def value(self) -> Any:  # noqa: ANN401 - the type is the signature's
        """The first output; raises like ``values``."""
        return self.values[0]

    @property
    def is_answered(self) -> bool:
        """True when the call went through and returned something."""
        return self.answer is not None and self.answer.is_ok and bool(self.answer.data)


class Questions:
    """Collects what is to be read, and has it read in one request at one block."""

    def __init__(self) -> None:
        self._slots: list[Slot] = []
        self._calls: list[tuple[str, bytes]] = []

    def ask(self, function: Function, to: str, *arguments: object) -> Slot:
        """The place of the answer, filled by ``put``."""
        return self.ask_call(function, function(to, *arguments))

    def ask_call(self, function: Function, call: Call) -> Slot:
        """The place of the answer to a call that is made already."""
        slot = Slot(function, call.to)
        self._slots.append(slot)
        self._calls.append((call.to, call.data))
        return slot

    async def put(self, reader: PinnedReader, block: BlockRef) -> None:
        """Ask everything that was collected. Raises VenueUnreachableError."""
        answers = await reader.call_at(block, self._calls)
        for slot, answer in zip(self._slots, answers, strict=True):
            slot.put(answer)
