"""``basis-daemon sandbox``: counterparties on loopback to practise against."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from basis_daemon.cli.answers import JsonOption, answer
from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import ConfigError
from basis_daemon.sandbox.chain.options import USER_FUNDS, ChainOptions
from basis_daemon.sandbox.exchange.accounts import AccountSpec
from basis_daemon.sandbox.exchange.faults import REST_KINDS, STREAM_KINDS
from basis_daemon.sandbox.exchange.generated import GeneratedPath
from basis_daemon.sandbox.exchange.market_events import EVENT_KINDS
from basis_daemon.sandbox.exchange.options import START, ExchangeOptions
from basis_daemon.sandbox.exchange.recorded import DataError
from basis_daemon.sandbox.exchange.server import run_sandbox

app = typer.Typer(no_args_is_help=True, help="Run the counterparties of sandbox mode. No real venue is ever contacted.")


class TimeMode(StrEnum):
    """How the sandbox's market time runs."""

    AUTO = "auto"
    MANUAL = "manual"
    PACED = "paced"


@app.command(
    epilog="`basis-daemon sandbox exchange --seed 7 --days 10` generates a market; "
    "`--data DIR --window 2024-03_funding_boom` replays a recorded one. Stop it with Ctrl-C. "
    f"Its control port scripts misbehaviour: POST /faults with a kind of {', '.join(REST_KINDS | STREAM_KINDS)}; POST "
    f"/market with one of {', '.join(EVENT_KINDS)}; GET /faults explains them."
)
def exchange(  # noqa: PLR0913 - one parameter per option of the command
    *,
    directory: Annotated[Path, typer.Option(help="Gets certificates and ready.json.")] = Path("runs/exchange"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Speaks as the exchange; 0 takes a free one.")] = 0,
    control_port: Annotated[int, typer.Option(min=0, max=65535, help="Steers it; 0 takes a free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the generated market; equal seeds, equal markets.")] = 7,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Length of the generated market.")] = 10,
    data: Annotated[Path | None, typer.Option(help="Recorded hours instead (candles_1h.csv, funding.csv).")] = None,
    window: Annotated[str | None, typer.Option(help="A directory below --data, with its dates.")] = None,
    mode: Annotated[
        TimeMode, typer.Option(help="auto: 1x while a request is open, else jumps; paced: --speed; manual: on command.")
    ] = TimeMode.AUTO,
    speed: Annotated[float, typer.Option(help="Multiple of real time in paced mode.")] = 60.0,
    step: Annotated[int, typer.Option(min=10, help="Market seconds per jump in auto mode.")] = 60,
    account: Annotated[
        list[str] | None, typer.Option(help="A sub-account beside the main one, with a key of its own; repeatable.")
    ] = None,
    margined: Annotated[
        list[str] | None, typer.Option(help="The same, with its money in the futures wallet; repeatable.")
    ] = None,
    coin_margined: Annotated[
        list[str] | None, typer.Option(help="The same, with bitcoin in the COIN-M wallet; repeatable.")
    ] = None,
    chain: Annotated[
        Path | None, typer.Option(help="ready.json of a sandbox chain: withdrawals and deposits are its transactions.")
    ] = None,
    confirmations: Annotated[int, typer.Option(min=1, max=64, help="Blocks until a deposit counts.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Run an exchange on loopback (Binance spot, USD-M and COIN-M futures) until it is told to stop.

    ready.json appears in --directory once it listens, names the ports and the CA file, and goes away at the end.
    """
    accounts = [AccountSpec.of_sub_account(name) for name in account or ()]
    accounts += [AccountSpec.margined(name) for name in margined or ()]
    accounts += [AccountSpec.coin_margined(name) for name in coin_margined or ()]
    try:
        options = ExchangeOptions(
            directory=directory, port=port, control_port=control_port, mode=mode.value, step_s=step, speed=speed,
            seed=seed, days=days, data=data, window=window,
            accounts=(AccountSpec(), *accounts),
            chain=chain, confirmations=confirmations, start=START if chain is None else _tomorrow(),
        )  # fmt: skip
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    ready = str(options.ready_file)
    answer({"ready_file": ready}, as_json=as_json, shown=Text(f"starting; it listens when {ready} appears"))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        run_sandbox(options)
    except (DataError, OSError) as error:
        message = f"sandbox exchange: {error}"
        raise ConfigError(message) from error


@app.command(
    epilog="`basis-daemon sandbox series --directory runs/five --days 3`, then `basis-daemon replay --strategy "
    "ml_btc_directional --history runs/five --signals runs/five/signals_ml_btc_directional.jsonl`."
)
def series(
    *,
    directory: Annotated[Path, typer.Option(help="Gets the files; it is a window for `replay`.")],
    seed: Annotated[int, typer.Option(help="Of market and words; equal seeds, equal files.")] = 7,
    days: Annotated[int, typer.Option(min=1, max=366, help="Length of the market.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Write a seeded market down as history: bars of five minutes, funding, and words of a model without skill."""
    from basis_daemon.demo.signals import words  # noqa: PLC0415 - whoever runs an exchange needs no strategies
    from basis_daemon.sandbox.exchange.series import write_series  # noqa: PLC0415 - the same
    from basis_daemon.settings import load_settings, strategy_parameters  # noqa: PLC0415 - the same
    from basis_daemon.simulation.replay import CONFIG  # noqa: PLC0415 - the same
    from basis_daemon.strategies.ml_parameters import DirectionalParameters  # noqa: PLC0415 - the same

    settings = load_settings(CONFIG, {}, with_secrets=False).settings
    try:
        begin, end = write_series(GeneratedPath(int(START.timestamp() * 1000), days, seed), directory)
        for name in settings.strategies:
            parameters = strategy_parameters(settings, name)
            if isinstance(parameters, DirectionalParameters):
                said = words(seed, parameters, begin, end)
                (directory / f"signals_{name}.jsonl").write_text(said, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"sandbox series: {error}") from error
    files = sorted(str(file) for file in directory.iterdir())
    answer({"directory": str(directory), "files": files}, as_json=as_json, shown=Text("\n".join(files)))


def _tomorrow() -> datetime:
    """Midnight: a market over a chain begins after the chain has, whose time follows it from then on."""
    return SystemClock().wall().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _funds() -> str:
    return ", ".join(f"{symbol}={amount}" for symbol, amount in USER_FUNDS.items())


def _amounts(given: list[str]) -> dict[str, Decimal]:
    try:
        return {symbol: Decimal(amount) for symbol, _, amount in (text.partition("=") for text in given)}
    except InvalidOperation:
        raise typer.BadParameter(f"--fund is SYMBOL=AMOUNT such as USDT=1000, found {', '.join(given)}") from None


@app.command(
    epilog="`basis-daemon sandbox chain --directory runs/chain` needs Node.js once, to install and build the world in "
    "your cache. Stop it with Ctrl-C. Its control port scripts what happens: prices, rates, rebases, pauses, time and "
    "reorganisations; GET / explains them."
)
def chain(
    *,
    directory: Annotated[Path, typer.Option(help="Gets world.json, user.key and ready.json.")] = Path("runs/chain"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="JSON-RPC, HTTP and WebSocket; 0 takes a free one.")] = 0,
    control_port: Annotated[int, typer.Option(min=0, max=65535, help="Steers it; 0 takes a free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the user's key.")] = 7,
    block_time: Annotated[
        float, typer.Option(min=0, help="Seconds between blocks; with 0 every transaction gets a block at once.")
    ] = 1.0,
    fund: Annotated[
        list[str] | None, typer.Option(help=f"SYMBOL=AMOUNT that the user begins with; repeatable. Else {_funds()}.")
    ] = None,
    prepare_only: Annotated[
        bool, typer.Option("--prepare-only", help="Install and build what is missing in the cache, and end.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run an Ethereum of its own on loopback until it is told to stop: Aave, Uniswap, Lido, ether.fi and a funded user.

    ready.json appears in --directory once it answers, names the addresses and files, and goes away at the end.
    """
    from basis_daemon.sandbox.chain.node import ChainError  # noqa: PLC0415 - web3 takes a second to load, and a book at exchanges never needs it
    from basis_daemon.sandbox.chain.server import run_chain  # noqa: PLC0415 - web3 takes a second to load, and a book at exchanges never needs it
    from basis_daemon.sandbox.chain.toolchain import ToolchainError  # noqa: PLC0415 - web3 takes a second to load, and a book at exchanges never needs it
    from basis_daemon.sandbox.chain.world import prepare  # noqa: PLC0415 - web3 takes a second to load, and a book at exchanges never needs it

    progress = partial(typer.echo, err=True)
    try:
        if prepare_only:
            state = str(prepare(progress).state)
            answer({"world": state}, as_json=as_json, shown=Text(f"the world is at {state}"))
            return
        options = ChainOptions(
            directory=directory, port=port, control_port=control_port, seed=seed, block_time_s=block_time or None,
            funds=_amounts(fund) if fund else USER_FUNDS,
        )  # fmt: skip
        ready = str(options.ready_file)
        answer({"ready_file": ready}, as_json=as_json, shown=Text(f"starting; it listens when {ready} appears"))
        run_chain(options, progress)
    except (ToolchainError, ChainError, OSError, ValueError) as error:
        message = f"sandbox chain: {error}"
        raise ConfigError(message) from error
