"""What outsiders may send: JSON of any shape, numbers that are none, text in odd clothes, and true words gone bad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

ODD = (
    "", " ", "0", "-0", "1", "-1", "1e400", "-1e-400", "1e99999999999999999999", "NaN", "sNaN", "Infinity", "0x10",
    "1_0", "1__0", "1_", "9" * 5000, "١٢", "\x00", "\r\n", "%s%n", "{}", "../../etc/passwd", "\ud800", "null", "true",
)  # fmt: skip
NUMBERS = (
    st.integers() | st.floats() | st.sampled_from([0, -1, 2**63, 2**256, 10**400, -(10**400)])
    | st.sampled_from([True, False])
)  # fmt: skip
SCALARS = st.none() | NUMBERS | st.sampled_from(ODD) | st.text(max_size=12)
JUNK: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every part of a structure, its own first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inner for place in places(part, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:  # noqa: ANN401 - any JSON
    """A copy in which the part at ``path`` was changed in its parent; the whole itself is left alone."""
    copy = {**value} if isinstance(value, dict) else [*value]
    if len(path) == 1:
        change(copy, path[0])
    else:
        copy[path[0]] = changed(copy[path[0]], path[1:], change)
    return copy


@st.composite
def spoiled(draw: st.DrawFn, truths: st.SearchStrategy[Any]) -> Any:  # noqa: ANN401 - any JSON
    """A true word of which one to three parts were replaced by junk or left out."""
    word = draw(truths)
    for _ in range(draw(st.integers(1, 3))):
        ways = places(word)[1:]
        if not ways:
            break
        path, junk = draw(st.sampled_from(ways)), draw(st.just(...) | JUNK)

        def spoil(parent: Any, key: Any, junk: object = junk) -> None:  # noqa: ANN401 - any JSON
            if junk is ...:
                del parent[key]
            else:
                parent[key] = junk

        word = changed(word, path, spoil)
    return word
