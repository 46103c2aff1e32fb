"""``basis-daemon wallet``: what an operator sets up once for a wallet on a chain."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer
from rich.text import Text

from basis_daemon.cli.answers import JsonOption, answer, out_of_the_tree
from basis_daemon.cli.config import ConfigOption
from basis_daemon.settings import load_settings
from basis_daemon.wiring_logs import logged

app = typer.Typer(no_args_is_help=True, help="Set up or mend a wallet while its daemon is stopped.")


@app.callback()
def wallet() -> None:
    """Set up or mend a wallet while its daemon is stopped."""


@app.command("deploy", epilog="`basis-daemon wallet deploy -c config/sandbox_chain.yaml`, once per network.")
def deploy_receiver(config: ConfigOption, *, as_json: JsonOption = False) -> None:
    """Put the contract that runs atomic groups on the chain, or say where it is already.

    It holds nothing and belongs to nobody; its address follows from its code, and a daemon compares that code before it
    uses it. The one transaction this takes is journalled as every other.
    """
    from basis_daemon.wiring_wallet import deploy  # noqa: PLC0415 - web3 takes a second to load, and a book at exchanges never needs it

    settings = load_settings(config, os.environ).settings
    with logged(settings), out_of_the_tree():
        address = asyncio.run(deploy(settings))
    answer({"receiver": address}, as_json=as_json, shown=Text(f"receiver of atomic groups: {address}"))


@app.command("adopt", epilog='`basis-daemon wallet adopt -c config/live.yaml --why "moved ether by hand"`.')
def adopt_nonce(
    config: ConfigOption,
    *,
    why: Annotated[str, typer.Option("--why", help="What the other hand did; it is journalled.")],
    as_json: JsonOption = False,
) -> None:
    """Take the chain's nonce as the wallet's own, after another hand signed with its key and the wallet was halted.

    Find out first who it was. Orders that lost their nonce to it are given up; what it moved is for `repair`. Where
    every nonce is the wallet's own nothing changes.
    """
    from basis_daemon.wiring_wallet import adopt  # noqa: PLC0415 - as above

    settings = load_settings(config, os.environ).settings
    with logged(settings), out_of_the_tree():
        found = asyncio.run(adopt(settings, why))
    told = {"nonce": found.nonce, "foreign": found.foreign, "orders": found.orders}
    shown = f"next nonce {found.nonce}: "
    if not found.foreign:
        shown += "every one before it is the wallet's own, nothing was changed"
    else:
        shown += f"{found.foreign} before it taken by another hand"
        shown += f", given up: {', '.join(found.orders)}" if found.orders else ""
    answer(told, as_json=as_json, shown=Text(shown))
