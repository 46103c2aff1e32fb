"""Every task has a parent, a name and an end."""

from __future__ import annotations

import asyncio

import pytest

from basis_daemon.ports import TaskScope
from basis_daemon.tasks import TaskTree


class UnforeseenError(Exception):
    """What nobody had a plan for."""


async def forever() -> None:
    await asyncio.Event().wait()


async def fail(why: str) -> None:
    raise UnforeseenError(why)


async def test_children_are_named_counted_and_awaited() -> None:
    done: list[str | None] = []
    gate = asyncio.Event()

    async def child() -> None:
        await gate.wait()
        task = asyncio.current_task()
        done.append(task.get_name() if task else None)

    async with TaskTree("daemon") as tree:
        scope: TaskScope = tree
        scope.spawn("feed binance", child())
        scope.spawn("guard", child())
        assert (tree.live, tree.names) == (2, ("daemon/feed binance", "daemon/guard"))
        gate.set()
    assert done == ["daemon/feed binance", "daemon/guard"]
    assert (tree.live, tree.failures) == (0, ())


async def test_an_unforeseen_error_ends_the_siblings_and_reaches_the_parent_with_its_task_name() -> None:
    sibling_ended = asyncio.Event()

    async def sibling() -> None:
        try:
            await forever()
        finally:
            sibling_ended.set()

    tree = TaskTree("daemon")

    async def life() -> None:
        async with tree:
            tree.spawn("guard", sibling())
            tree.spawn("feed binance", fail("frame 7 is not JSON"))

    with pytest.raises(ExceptionGroup) as caught:
        await life()
    (error,) = caught.value.exceptions
    assert isinstance(error, UnforeseenError)
    assert error.__notes__ == ["in task daemon/feed binance"]
    assert sibling_ended.is_set()
    assert [(failure.task, str(failure.error)) for failure in tree.failures] == [
        ("daemon/feed binance", "frame 7 is not JSON")
    ]


async def test_an_error_of_a_nested_tree_carries_both_names() -> None:
    async def legs() -> None:
        async with TaskTree("batch 3") as inner:
            inner.spawn("leg 1", fail("no such leg"))

    with pytest.raises(ExceptionGroup) as caught:
        async with TaskTree("daemon") as tree:
            tree.spawn("engine", legs())
    (group,) = caught.value.exceptions
    assert isinstance(group, ExceptionGroup)
    assert group.__notes__ == ["in task daemon/engine"]
    assert group.exceptions[0].__notes__ == ["in task batch 3/leg 1"]


async def test_cancel_all_ends_every_child_and_is_no_failure() -> None:
    async with TaskTree("daemon") as tree:
        tree.spawn("a", forever())
        tree.spawn("b", forever())
        assert tree.cancel_all("drained") == 2
        tree.spawn("last words", done())  # an orderly end may need a child
    assert (tree.live, tree.failures) == (0, ())


async def done() -> None:
    return


@pytest.mark.parametrize("entered", [False, True])
async def test_nothing_is_spawned_outside_the_life_of_the_parent(entered: bool) -> None:
    tree = TaskTree("daemon")
    if entered:
        async with tree:
            pass
    work = done()
    with pytest.raises(RuntimeError, match="task daemon/late: spawned outside the life of its parent"):
        tree.spawn("late", work)
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        await work


async def test_nothing_is_spawned_while_the_tree_falls() -> None:
    tree = TaskTree("daemon")
    refused: list[str] = []

    async def stubborn() -> None:
        try:
            await forever()
        finally:
            try:
                tree.spawn("more", done())
            except RuntimeError as error:
                refused.append(str(error))

    async def life() -> None:
        async with tree:
            tree.spawn("stubborn", stubborn())
            tree.spawn("cause", fail("cause"))

    with pytest.raises(ExceptionGroup):
        await life()
    assert len(refused) == 1


async def test_cancelling_the_parent_cancels_the_children() -> None:
    ended = asyncio.Event()
    started = asyncio.Event()

    async def child() -> None:
        started.set()
        try:
            await forever()
        finally:
            ended.set()

    async def parent() -> None:
        async with TaskTree("inner") as inner:
            inner.spawn("child", child())

    async with TaskTree("outer") as outer:
        outer.spawn("parent", parent())
        await started.wait()
        outer.cancel_all()
    assert ended.is_set()
