"""A venue asked everything that must hold before it is traded on; nothing is changed there.

Every check is one question with one line as its answer. What rests on something that is red is not asked: it is yellow,
so that one fault shows as one red line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from basis_daemon.domain.check import Check, Light, red, yellow
from basis_daemon.domain.errors import ConfigError, ErrorClass, InvalidOrderError, VenueUnreachableError
from basis_daemon.ports import TaskScope
from basis_daemon.venues.cex import checks_of_account, checks_of_custody, checks_of_market
from basis_daemon.venues.cex.examined import Examined
from basis_daemon.venues.cex.network import SandboxNetworkError
from basis_daemon.venues.cex.outcome import CallError
from basis_daemon.venues.cex.quirks import Fate
from basis_daemon.venues.cex.venue import CEXVenue

TRIES = 3
PAUSE_S = 0.5
REACH, KEY, RIGHTS, SYMBOLS, TIERS = "reach", "key", "rights", "symbols", "tiers"
_PASSING = frozenset({Fate.UNKNOWN, Fate.NOT_SENT})
"""Silence may pass: asked again before it is called a fault."""


def _always(_: Examined) -> bool:
    """Whatever the configuration says."""
    return True


@dataclass(frozen=True, slots=True)
class Step:
    """One check. ``needs`` must not be red before it is asked; ``is_private`` ones ask in the name of an account."""

    name: str
    work: Callable[[Examined], Awaitable[Check]]
    remedy: str
    needs: tuple[str, ...] = (REACH,)
    is_private: bool = True
    is_wanted: Callable[[Examined], bool] = _always


_ASK = "see whether the exchange reports trouble, then ask again"
_SIGNED, _LISTED = (REACH, KEY), (REACH, SYMBOLS, KEY)
STEPS: Sequence[Step] = (
    Step(REACH, checks_of_market.reach, "check DNS, firewall and the exchange's status page", (), is_private=False),
    Step("clock", checks_of_market.clock, _ASK, is_private=False),
    Step(SYMBOLS, checks_of_market.symbols, "correct the strategy, or wait for the listing", is_private=False),
    Step(KEY, checks_of_account.key, "make a new key at the exchange and put it where key_file and secret_file point"),
    Step(RIGHTS, checks_of_account.rights, _ASK, _SIGNED),
    Step("ip", checks_of_account.ip, _ASK, _SIGNED),
    Step("deposit_address", checks_of_custody.deposit_address, _ASK, _SIGNED, is_wanted=checks_of_custody.is_wanted),
    Step("ways", checks_of_custody.ways, _ASK, _SIGNED, is_wanted=checks_of_custody.is_wanted),
    Step("whitelist", checks_of_custody.whitelist, _ASK, _SIGNED, is_wanted=checks_of_custody.is_wanted),
    Step("balances", checks_of_account.balances, _ASK, _SIGNED),
    Step("fees", checks_of_market.fees, _ASK, _LISTED, is_private=False),
    Step(TIERS, checks_of_market.tiers, _ASK, _LISTED, is_private=False),
    Step("asset_mode", checks_of_account.asset_mode, _ASK, _SIGNED),
    Step("position_mode", checks_of_account.position_mode, _ASK, _SIGNED),
    Step("margin_mode", checks_of_account.margin_mode, _ASK, (*_LISTED, TIERS)),
    Step("leverage", checks_of_account.leverage, _ASK, (*_LISTED, TIERS)),
    Step("funding", checks_of_market.funding, _ASK, (REACH, SYMBOLS), is_private=False),
    Step("streams", checks_of_market.streams, _ASK, _LISTED, is_private=False),
    Step("prices", checks_of_market.prices, _ASK, (REACH, SYMBOLS, "streams"), is_private=False),
)


async def examine(venue: CEXVenue, name: str, scope: TaskScope) -> list[Check]:
    """One line per check, in the order of ``STEPS``; the names begin with ``name``. Opens the venue and closes it."""
    examined = Examined(venue, name, scope)
    found: dict[str, Check] = {}
    culprit_of: dict[str, str] = {}
    try:
        for step in STEPS:
            if not step.is_wanted(examined) or (step.is_private and examined.is_read_only):
                continue
            blocked = next((culprit_of[need] for need in step.needs if need in culprit_of), None)
            check = await _line(examined, step) if blocked is None else _not_asked(examined, step, blocked)
            found[step.name] = check
            if blocked is not None or check.light is Light.RED:
                culprit_of[step.name] = blocked or step.name
    finally:
        await venue.close()
    return list(found.values())


def unopened(name: str, why: str) -> list[Check]:
    """The lines of a venue to which there is no way at all."""
    step, *others = [one for one in STEPS if one.is_wanted is _always]
    line = f"{name}.{step.name}"
    found = [red(line, why, "a way to the exchange", step.remedy)]
    return found + [_blocked(f"{name}.{other.name}", line) for other in others]


async def _line(examined: Examined, step: Step) -> Check:
    """What one step says; whatever stops it is red, silence only after some tries.

    A refusal for want of a right that is known to be missing is no second fault.
    """
    name, why = examined.line(step.name), ""
    for attempt in range(TRIES):
        try:
            return await step.work(examined)
        except CallError as fault:
            why = fault.text
            if examined.lacks_rights and fault.error_class is ErrorClass.AUTH:
                return _not_asked(examined, step, RIGHTS)
            if fault.fate not in _PASSING or attempt + 1 == TRIES:
                break
        except (ConfigError, InvalidOrderError, VenueUnreachableError, SandboxNetworkError, OSError) as error:
            why = str(error)
            break
        await examined.clock.sleep(PAUSE_S)
    return red(name, why, "an answer", step.remedy)


def _not_asked(examined: Examined, step: Step, blocked: str) -> Check:
    return _blocked(examined.line(step.name), examined.line(blocked))


def _blocked(line: str, by: str) -> Check:
    return yellow(line, "not asked", f"{by} without a fault", f"repair {by} first")
