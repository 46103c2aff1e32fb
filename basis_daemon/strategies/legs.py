"""Which way plans moved each leg, and when: no rule undoes within a day what another did, except toward less risk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from basis_daemon.domain.decision import PlanEnded, Target
from basis_daemon.domain.order import Side

HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)

Legs = Mapping[str, datetime]
"""When a plan last moved ``"KEY SIDE"``."""


def after_plan(legs: Legs, event: PlanEnded, is_leg: Callable[[Target], bool]) -> dict[str, datetime]:
    """The legs after a plan, finished or not."""
    moved = (target for target in event.targets if is_leg(target) and target.difference)
    return dict(legs) | {f"{target.key} {_side(target)}": event.time for target in moved}


def _side(target: Target) -> Side:
    return Side.BUY if target.difference > 0 else Side.SELL
