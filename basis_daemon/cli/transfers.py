"""``basis-daemon transfers``: money between an exchange and the wallet, and what only a person may say of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from basis_daemon.cli.answers import JsonOption, answer
from basis_daemon.cli.book import ConfigFile, JournalOption, ReasonOption, SocketOption, source
from basis_daemon.cli.figures import grid
from basis_daemon.engine.transfer_desk import HOURS_MAX, Ending
from basis_daemon.engine.transfer_view import transfers as view_of

Json = dict[str, Any]
app = typer.Typer(no_args_is_help=True, help="Transfers between exchanges and the wallet.")


@app.command("list", epilog="`basis-daemon transfers list -c config/live.yaml`")
def show(
    *,
    journal: JournalOption = None,
    socket: SocketOption = None,
    config: ConfigFile = None,
    as_json: JsonOption = False,
) -> None:
    """Every transfer and how far it has come, and every approval; MANUAL ones take too long and bar all others."""
    found = source(journal, socket, config).ask("/transfers", view_of)
    answer(found, as_json=as_json, shown=_shown(found))


@app.command(epilog="`basis-daemon transfers approve binance wallet USDT 20000 --id 2024-07-topup -r 'margin is thin'`")
def approve(  # noqa: PLR0913 - one parameter per option of the command
    source_: Annotated[str, typer.Argument(metavar="FROM", help="The account that it leaves.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The account that it goes to.")],
    coin: Annotated[str, typer.Argument(metavar="COIN", help="Such as USDT.")],
    up_to: Annotated[str, typer.Argument(metavar="AMOUNT", help="At most, in units of the coin.")],
    *,
    reason: ReasonOption,
    wish_id: Annotated[str, typer.Option("--id", help="Names this word: said again under it, it is said once.")],
    hours: Annotated[int, typer.Option(min=1, max=HOURS_MAX, help="How long it holds.")] = 4,
    socket: SocketOption = None,
    config: ConfigFile = None,
    as_json: JsonOption = False,
) -> None:
    """Let one transfer leave that is larger than `approve_above`. It needs a route of the address book all the same.

    The strategy asks again by itself; what it then sends spends this word, whatever becomes of it.
    """
    asked: dict[str, object] = {
        "id": wish_id, "source": source_, "target": target, "coin": coin, "up_to": up_to, "hours": hours,
    }  # fmt: skip
    found = source(None, socket, config).command("/transfers/approve", reason, **asked)
    told = f"one transfer of at most {found['up_to']} {found['coin']} {found['source']} to {found['target']} "
    answer(found, as_json=as_json, shown=Text(f"{told}may leave until {found['until']}"))


@app.command(epilog="`basis-daemon transfers close ORDER_ID returned -c config/live.yaml -r 'ticket 4711: sent back'`")
def close(
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID", help="Of a transfer that is MANUAL in the list.")],
    ending: Annotated[Ending, typer.Argument(help="Where the money is; lost is booked as a cost of transfers.")],
    *,
    reason: ReasonOption,
    socket: SocketOption = None,
    config: ConfigFile = None,
    as_json: JsonOption = False,
) -> None:
    """Say what became of a transfer that took too long, after you have seen it yourself; others may leave again then.

    The next comparison with the venues tells a break if the money is somewhere else.
    """
    asked = {"order_id": order_id, "ending": ending.value}
    found = source(None, socket, config).command("/transfers/close", reason, **asked)
    told = f"transfer {order_id}: {found['amount']} {found['coin']} {found['source']} to {found['target']}, {ending}"
    answer(found, as_json=as_json, shown=Text(f"{told}; it is {found['step']}"))


def _shown(found: Json) -> RenderableType:
    moved = [
        (t["at"], t["order_id"], f"{t['source']} to {t['target']}", f"{t['amount']} {t['coin']}", t["step"], t["why"])
        for t in found["transfers"]
    ]
    words = [
        (
            a["at"],
            a["id"],
            f"{a['source']} to {a['target']}",
            f"{a['up_to']} {a['coin']}",
            a["until"],
            a["spent_on"] or "",
        )
        for a in found["approvals"]
    ]
    if not moved and not words:
        return Text("no transfer was made, and none approved")
    tables = (
        (("started", "order", "way", "amount", "step", "why"), moved),
        (("said", "approval", "way", "at most", "until", "spent on"), words),
    )
    return Group(*(grid(head, rows) for head, rows in tables if rows))
