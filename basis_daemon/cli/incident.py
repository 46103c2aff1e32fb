"""What a replayed incident says to people: in a word, and the first decision that is another one now."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

Json = dict[str, Any]
_STYLES = {"identical": "bold green", "diverged": "bold red"}
SHOWN_MAX = 12


def show(document: Json) -> RenderableType:
    """The whole answer."""
    head = Table.grid(padding=(0, 3))
    head.add_column(style="dim")
    head.add_column(overflow="fold")
    begun, ended = document["from"], document["to"]
    head.add_row("result", Text(document["result"], style=_STYLES.get(document["result"], "bold yellow")))
    head.add_row("decisions", f"{document['decisions']:,} taken again, {document['differing']:,} with other words, "
                              f"{document['diverging']:,} with other deeds")  # fmt: skip
    if begun is not None:
        head.add_row("from", f"row {begun['sequence']:,}, {begun['market_time']}")
        head.add_row("to", f"row {ended['sequence']:,}, {ended['market_time']}")
    if document["starts_behind"]:
        head.add_row("starts behind", f"row {document['starts_behind']:,}: what was before is pruned or emptied")
    for name, means in (("without_sight", "what they saw was not kept"), ("without_strategy", "not in --config")):
        if document[name]:
            head.add_row("left out", f"{document[name]:,} decisions: {means}")
    head.add_row("stream then", document["decision_stream_sha256"]["journal"])
    head.add_row("stream now", document["decision_stream_sha256"]["now"])
    parts: list[RenderableType] = [head]
    for turn, times in document["turns"].items():
        parts.append(Text(f"  {times:,} x {turn}", style="dim"))
    first = document["first_divergence"] or document["first_difference"]
    if first is not None:
        what = "first other deed" if document["first_divergence"] else "first other word"
        parts += [Text(), Text(f"{what}: {first['plan']} at {first['market_time']}, row {first['sequence']:,}", "bold")]
        parts += [_sides(first), _reasons(first)]
    return Group(*parts)


def _sides(first: Json) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "then", "now"):
        drawn.add_column(column, overflow="fold")
    then, now = first["then"], first["now"]
    for name in ("reason", "note", "urgency"):
        drawn.add_row(name, Text(str(then[name])), Text(str(now[name])))
    drawn.add_row("orders", Text("\n".join(then["orders"]) or "none"), Text("\n".join(now["orders"]) or "none"))
    if then["denied"]:
        drawn.add_row("denied", Text("\n".join(then["denied"])), "")
    return drawn


def _reasons(first: Json) -> Table:
    """What went in and what it was compared with, as far as it is another one."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("why", "then", "now"):
        drawn.add_column(column, overflow="fold")
    memory = (first["memory"] or {}).get("differs", {})
    named = {"threshold": first["why"].get("thresholds", {}), "input": first["why"].get("inputs", {}), "memory": memory}
    for kind, changed in named.items():
        for name, (then, now) in list(changed.items())[:SHOWN_MAX]:
            drawn.add_row(f"{kind} {name}", Text(_short(then)), Text(_short(now)))
    return drawn


def _short(value: object) -> str:
    """A number alone, without its age."""
    return str(value["value"]) if isinstance(value, dict) and "value" in value else str(value)
