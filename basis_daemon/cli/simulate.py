"""``basis-daemon simulate``: the daemon's own engine against a venue of ill will, one seed after another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from basis_daemon.cli.answers import ExitCode, JsonOption, answer, out_of_the_tree
from basis_daemon.clock import SystemClock
from basis_daemon.rare_paths import RarePath
from basis_daemon.simulation.drill.profiles import PROFILES, STACK_PROFILES, profile_of, profiles_of
from basis_daemon.simulation.drill.tier import Tier

if TYPE_CHECKING:
    from basis_daemon.simulation.drill.campaign import Plan, Tally

Json = dict[str, Any]
app = typer.Typer()
TOLD_EVERY = 25
_NS = 1_000_000_000
COMPONENT = Tier.COMPONENT
PROFILE_HELP = (
    f"The book that is drilled: {', '.join(PROFILES)}, or a file; of the full stack {' or '.join(STACK_PROFILES)}; "
    "else they take turns."
)


@app.command(
    epilog="`basis-daemon simulate --seeds 1000` is a drill of some minutes; `--seed 4711 --seeds 1` repeats one; "
    "`--resume runs/drill.json` goes on where the last slice ended."
)
def simulate(  # noqa: PLR0913 - one parameter per option of the command
    *,
    seeds: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many, one after the other.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The first one.")] = 0,
    without: Annotated[
        list[str] | None, typer.Option(metavar="FAULT", help="Leave this fault or rare path out; repeatable.")
    ] = None,
    chaos_s: Annotated[
        float | None, typer.Option(min=1, max=3600, help="Virtual seconds of faults; else the seed's own, 4.5 to 180.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, max=256, help="Processes at once; else one per core.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Keep the tally here, and go on behind its seeds.")] = None,
    profile: Annotated[
        str | None,
        typer.Option(help=PROFILE_HELP),
    ] = None,
    tier: Annotated[Tier, typer.Option(help="The engine alone; or with its clients, ccxt and web3.")] = COMPONENT,
    until_violation: Annotated[bool, typer.Option("--until-violation", help="End at the first failure.")] = False,
    as_is: Annotated[bool, typer.Option("--as-is", help="Do not look for a smaller failure.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Drill a book: engine, strategy, gate, guard, journal logic and reconciliation, in virtual time, out of one seed.

    The venue keeps books of its own. Requests are lost, late, refused or unanswered, fills come twice, late or never,
    streams drop, markets stall and leap, somebody trades by hand, disks fill, clocks step, the process is killed at any
    moment and at every named point, and an operator halts; and the
    daemon goes ways of its own that it hardly ever goes. What must hold is checked at every request and fill, as the
    venue sees it, and once the faults have ended everything has to be in order again. Equal seeds give equal traces.

    Exit code 0 when nothing was violated, 1 otherwise: then the first failure is made as small as it still fails.
    """
    from basis_daemon.simulation.drill import campaign  # noqa: PLC0415 - the whole engine, for this command alone
    from basis_daemon.simulation.drill.chance import chaos_s_of  # noqa: PLC0415 - the same

    clock, console = SystemClock(), Console(stderr=True)
    tally = campaign.resumed(resume, seed) if resume is not None else campaign.Tally(seed, seed)
    begun_ns, before = clock.monotonic_ns(), tally.seeds
    plans = [
        campaign.Plan(number, _book(profile, number, tier), _faults(without or ()), chaos_s or chaos_s_of(number), tier)
        for number in range(tally.next_seed, tally.next_seed + seeds)
    ]
    workers = jobs or campaign.cores()
    with out_of_the_tree():
        for verdict in campaign.campaign(plans, workers):
            tally.add(verdict)
            _keep(resume, tally, console)
            if until_violation and tally.violations:
                break
    _keep(resume, tally)
    took_s = (clock.monotonic_ns() - begun_ns) / _NS
    document = tally.document() | _speed(tally, before, took_s, workers)
    if tally.failures:
        first = next((plan for plan in plans if plan.seed == tally.failures[0]["seed"]), None)
        if first is not None and not as_is:
            document["smallest"] = _smallest(first, console)
    answer(document, as_json=as_json, shown=_shown(document))
    if tally.violations:
        raise typer.Exit(ExitCode.FAILED_CHECK)


def _book(profile: str | None, seed: int, tier: Tier) -> str | Path:
    """The name of a profile, or a file."""
    names = profiles_of(tier)
    if profile is None or profile in names:
        return profile or profile_of(seed, tier)
    if tier is Tier.COMPONENT and Path(profile).is_file():
        return Path(profile)
    known = f"a name of {', '.join(names)}"
    expected = known if tier is Tier.FULL_STACK else f"a file or {known}"
    raise typer.BadParameter(f"--profile: found {profile!r}, expected {expected}")


def _faults(names: list[str] | tuple[str, ...]) -> tuple[Any, ...]:
    from basis_daemon.simulation.drill.chance import Fault  # noqa: PLC0415 - as above

    known = {str(trouble): trouble for trouble in (*Fault, *RarePath)}
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"--without: {name!r} is no fault; expected one of {', '.join(known)}")
    return tuple(known[name] for name in names)


def _keep(resume: Path | None, tally: Tally, console: Console | None = None) -> None:
    """Now; where somebody is told of it, once in a while."""
    if console is not None and tally.seeds % TOLD_EVERY:
        return
    if console is not None:
        console.print(f"{tally.seeds} seeds, {tally.violations} violations", style="dim")
    if resume is None:
        return
    resume.parent.mkdir(parents=True, exist_ok=True)
    fresh = resume.with_suffix(".new")
    fresh.write_bytes(orjson.dumps(tally.document(), option=orjson.OPT_INDENT_2))
    fresh.replace(resume)


def _speed(tally: Tally, before: int, took_s: float, workers: int) -> Json:
    """Of this run; ``before`` seeds of an earlier one tell nothing of it."""
    seeds_per_hour = int((tally.seeds - before) / took_s * 3600)
    found: Json = {"seconds": round(took_s, 3), "jobs": workers, "seeds_per_hour": seeds_per_hour}
    if not before:
        found["sim_hours_per_second"] = round(tally.sim_s / 3600 / took_s, 3)
        found["orders_per_second"] = round(tally.counts["orders"] / took_s, 1)
    return found


def _smallest(plan: Plan, console: Console) -> Json:
    from basis_daemon.simulation.drill.campaign import command_of, play, smallest  # noqa: PLC0415 - as above

    found = smallest(plan, lambda tried: console.print(f"smaller? {command_of(tried)}", style="dim"))
    told = [f"{one.invariant} at {one.at_s} s: {one.facts}" for one in play(found).violations]
    return {"command": command_of(found), "violations": told}


def _shown(document: Json) -> RenderableType:
    drawn = Table(box=None, pad_edge=False, show_header=False)
    for name in (
        "seeds",
        "orders",
        "fills",
        "crashes",
        "unknown_outcomes",
        "late_requests",
        "reorgs",
        "transfers",
        "seeds_per_hour",
    ):
        drawn.add_row(name.replace("_", " "), f"{document[name]:,}")
    drawn.add_row("rare paths", ", ".join(f"{name} {times:,}" for name, times in document["rare_paths"].items()))
    drawn.add_row("faults", ", ".join(f"{name} {times:,}" for name, times in document["faults"].items()))
    verdict = Text("nothing was violated", style="green")
    if document["violations"]:
        verdict = Text(f"{document['violations']} violations", style="bold red")
    parts: list[RenderableType] = [drawn, Text(), verdict]
    for failure in document["failures"]:
        parts += [
            Text(f"seed {failure['seed']}: {one['invariant']} {one['facts']}") for one in failure["violations"][:3]
        ]
    if "smallest" in document:
        parts.append(Text(f"as small as it still fails: {document['smallest']['command']}"))
    return Group(*parts)
