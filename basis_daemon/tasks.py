"""The parent of every task, and the only file of the package that starts one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """A child that ended with an error nobody below had a plan for."""

    task: str
    error: BaseException


class TaskTree:
    """A task group whose children have names. Honours `ports.TaskScope`.

    Known errors are the spawner's business: a child handles those it can. Any other error cancels the siblings and
    leaves `async with` inside an exception group, as from `asyncio.TaskGroup`, with a note that names tree and task.
    Trees nest: a child may open one of its own.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._group = asyncio.TaskGroup()
        self._children: dict[asyncio.Task[None], str] = {}
        self._failures: list[TaskFailure] = []
        self._closed = True

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._closed = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._group.__aexit__(kind, error, traceback)
        finally:
            self._closed = True

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start a child. Raises RuntimeError, with ``work`` closed and nothing started, before entry and after the end.

        After `cancel_all` a child is still taken, because an orderly end may need one.
        """
        path = f"{self._name}/{name}"
        if self._closed:
            work.close()
            message = f"task {path}: spawned outside the life of its parent, expected inside `async with`"
            raise RuntimeError(message)
        try:
            task = self._group.create_task(work, name=path)
        except RuntimeError:  # the group is shutting down after a failure
            work.close()
            raise
        self._children[task] = path
        task.add_done_callback(self._ended)

    @property
    def live(self) -> int:
        """How many children have not ended."""
        return len(self._children)

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of the live children, oldest first."""
        return tuple(self._children.values())

    @property
    def failures(self) -> tuple[TaskFailure, ...]:
        """Errors of children in the order in which they came; the first is the cause, later ones its consequences."""
        return tuple(self._failures)

    def cancel_all(self, reason: str = "") -> int:
        """Ask every live child to end and return how many were asked. Leaving `async with` waits for them."""
        asked = [task for task in self._children if task.cancel(reason or None)]
        return len(asked)

    def _ended(self, task: asyncio.Task[None]) -> None:
        path = self._children.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            error.add_note(f"in task {path}")
            self._failures.append(TaskFailure(path, error))
