"""Many seeds in many processes, what they found in all, and a failure made as small as it still fails."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from basis_daemon.domain.errors import ConfigError
from basis_daemon.rare_paths import RarePath
from basis_daemon.simulation.drill.chance import CHAOS_S, Fault, Trouble, chaos_s_of, clips_in_one_of
from basis_daemon.simulation.drill.checks import Violation
from basis_daemon.simulation.drill.profiles import book_of
from basis_daemon.simulation.drill.stage import stage_of
from basis_daemon.simulation.drill.tier import Tier
from basis_daemon.simulation.drill.twin import Elsewhere, is_due
from basis_daemon.simulation.drill.world import Verdict, World
from basis_daemon.simulation.workers import workers
from basis_daemon.telemetry.memory import settle_heap

Json = dict[str, Any]
ZERO = Decimal(0)
FAILURES_KEPT = 20
SHORTEST_S = 5.0
STAGES_FROM = 64
"""Plans among which, of many, there is nearly every book in every size of its clips."""
_COUNTED = ("orders", "fills", "unknown", "late", "reorgs", "transfers", "steps")


@dataclass(frozen=True, slots=True)
class Plan:
    """One seed and how it is played; ``book`` is the name of a profile, or a file."""

    seed: int
    book: str | Path
    without: tuple[Trouble, ...] = ()
    chaos_s: float = CHAOS_S
    tier: Tier = Tier.COMPONENT

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.book if isinstance(self.book, Path) else book_of(self.book)


@dataclass(slots=True)
class Tally:
    """What all seeds so far have done; ``next_seed`` is the first that was not played."""

    first_seed: int
    next_seed: int
    seeds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    rare_paths: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    sim_s: float = 0.0
    failures: list[Json] = field(default_factory=list)
    violations: int = 0
    trace: str = ""
    profiles: dict[str, Counter[str]] = field(default_factory=dict)
    naked_max: Decimal = ZERO
    leg_risk_usdt_s: Decimal = ZERO

    def add(self, verdict: Verdict) -> None:
        """One more seed."""
        self.seeds += 1
        self.next_seed = max(self.next_seed, verdict.seed + 1)
        counts = {name: getattr(verdict, name) for name in _COUNTED}
        self.counts.update(counts)
        own = {"seeds": 1, "violations": len(verdict.violations), **counts}
        self.profiles.setdefault(verdict.profile, Counter()).update(own)
        self.naked_max = max(self.naked_max, verdict.naked_max)
        self.leg_risk_usdt_s = max(self.leg_risk_usdt_s, verdict.leg_risk_usdt_s)
        self.faults.update(verdict.struck)
        self.rare_paths.update(verdict.rare_paths)
        self.ends.update(verdict.ends)
        self.sim_s += verdict.seconds
        self.trace = sha256((self.trace + verdict.trace).encode()).hexdigest()
        self.violations += len(verdict.violations)
        if verdict.violations and len(self.failures) < FAILURES_KEPT:
            told = [_told(one) for one in verdict.violations]
            self.failures.append({"seed": verdict.seed, "profile": verdict.profile, "violations": told})

    def document(self) -> Json:
        """For ``--json`` and for ``--resume``."""
        crashes = sum(times for how, times in self.ends.items() if how != "drained")
        return {
            "first_seed": self.first_seed, "next_seed": self.next_seed, "seeds": self.seeds,
            "violations": self.violations, "orders": self.counts["orders"], "fills": self.counts["fills"],
            "crashes": crashes, "unknown_outcomes": self.counts["unknown"], "late_requests": self.counts["late"],
            "reorgs": self.counts["reorgs"], "transfers": self.counts["transfers"],
            "steps": self.counts["steps"], "sim_s": round(self.sim_s, 3),
            "faults": dict(sorted(self.faults.items())), "rare_paths": dict(sorted(self.rare_paths.items())),
            "ends": dict(sorted(self.ends.items())), "failures": self.failures,
            "profiles": {name: dict(counts) for name, counts in sorted(self.profiles.items())},
            "worst_naked_usdt": f"{self.naked_max:.2f}", "worst_leg_risk_usdt_s": f"{self.leg_risk_usdt_s:.2f}",
            "trace": self.trace,
        }  # fmt: skip


def resumed(file: Path, first_seed: int) -> Tally:
    """The tally of an earlier slice, or a new one. Raises ConfigError for a file that is none."""
    if not file.exists():
        return Tally(first_seed, first_seed)
    try:
        found = orjson.loads(file.read_bytes())
        counts = {"unknown": found["unknown_outcomes"], "late": found["late_requests"]}
        counts |= {name: found[name] for name in ("orders", "fills", "reorgs", "transfers", "steps")}
        return Tally(
            found["first_seed"], found["next_seed"], found["seeds"], Counter(counts), Counter(found["faults"]),
            Counter(found["rare_paths"]), Counter(found["ends"]), found["sim_s"], found["failures"],
            found["violations"], found["trace"], {name: Counter(own) for name, own in found["profiles"].items()},
            Decimal(found["worst_naked_usdt"]), Decimal(found["worst_leg_risk_usdt_s"]),
        )  # fmt: skip
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        remedy = "name a file that an earlier `simulate --resume` has written, or one that does not exist"
        raise ConfigError(f"--resume {file}: found no tally in it ({error!r}); {remedy}") from error


def campaign(plans: Sequence[Plan], jobs: int) -> Iterator[Verdict]:
    """Verdicts in the order of the seeds, as they come. Raises ConfigError before the first for a bad file."""
    if not plans:
        return
    for file in {plan.file: None for plan in plans if plan.tier is Tier.COMPONENT}:
        stage_of(file)
    for plan in plans[:STAGES_FROM]:  # what every process needs is made before there are several
        if plan.tier is Tier.COMPONENT:
            stage_of(plan.file, clips_in_one_of(plan.seed))
    settle_heap()
    with Elsewhere() as elsewhere:
        if jobs == 1:
            yield from map(partial(_repeated, elsewhere), plans, map(play, plans))
            return
        with workers(min(jobs, len(plans))) as pool:
            try:
                yield from map(partial(_repeated, elsewhere), plans, pool.map(play, plans, chunksize=4))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def _repeated(elsewhere: Elsewhere, plan: Plan, verdict: Verdict) -> Verdict:
    """Some seeds are played once more, in a process that hashes differently: it has to find the same (I19)."""
    if not is_due(plan.seed) or (trace := elsewhere.ask(_trace, plan)) == verdict.trace:
        return verdict
    facts = f"trace {verdict.trace[:16]} here, {trace[:16]} under another hash seed"
    return replace(verdict, violations=(*verdict.violations, Violation("I19", verdict.seconds, facts)))


def _trace(plan: Plan) -> str:
    return play(plan).trace


def play(plan: Plan) -> Verdict:
    """One seed in this process."""
    if plan.tier is Tier.FULL_STACK:
        from basis_daemon.simulation.full_stack.profiles import world_of  # noqa: PLC0415 - ccxt and web3 take a second

        return world_of(str(plan.book))(plan.seed, plan.without, plan.chaos_s).run()
    return World(stage_of(plan.file, clips_in_one_of(plan.seed)), plan.seed, plan.without, plan.chaos_s).run()


def cores() -> int:
    """Processes that run at once unless told otherwise."""
    return os.cpu_count() or 1


def smallest(plan: Plan, on_try: Callable[[Plan], None]) -> Plan:
    """The plan with as few faults and rare paths, and as short, as the first invariant that failed still fails with."""
    failed = {one.invariant for one in play(plan).violations}

    def still_fails(smaller: Plan) -> bool:
        on_try(smaller)
        return bool(failed & {one.invariant for one in play(smaller).violations})

    plain = replace(plan, without=(*plan.without, *RarePath))
    is_plain = still_fails(plain)  # as most are: then there is no need to try each of them
    plan = plain if is_plain else plan
    for trouble in Fault if is_plain else (*RarePath, *Fault):
        smaller = replace(plan, without=(*plan.without, trouble))
        if still_fails(smaller):
            plan = smaller
    while plan.chaos_s / 2 >= SHORTEST_S:
        smaller = replace(plan, chaos_s=plan.chaos_s / 2)
        if not still_fails(smaller):
            break
        plan = smaller
    return plan


def command_of(plan: Plan) -> str:
    """What repeats it."""
    words = [f"basis-daemon simulate --seed {plan.seed} --seeds 1"]
    words += [f"--profile {plan.book}"]
    words += [f"--tier {plan.tier}"] if plan.tier is not Tier.COMPONENT else []
    words += [f"--without {trouble}" for trouble in plan.without]
    if plan.chaos_s != chaos_s_of(plan.seed):
        words.append(f"--chaos-s {plan.chaos_s:g}")
    return " ".join(words)


def _told(violation: object) -> Mapping[str, object]:
    return {name: getattr(violation, name) for name in ("invariant", "at_s", "facts")}
