"""How much of the daemon is its own in a drill."""

from __future__ import annotations

from enum import StrEnum


class Tier(StrEnum):
    """The engine over simulated accounts; or its clients too, and ccxt, web3 and aiohttp as they come."""

    COMPONENT = "component"
    FULL_STACK = "full-stack"
