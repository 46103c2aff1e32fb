"""Which world a profile of the whole stack is; what it needs is loaded where it is played."""

from __future__ import annotations

from basis_daemon.simulation.full_stack.world import StackWorld


def world_of(profile: str) -> type[StackWorld]:
    """The exchange with its pair, or the chain with what is lent there."""
    if profile == "chain":
        from basis_daemon.simulation.full_stack.chain.world import ChainWorld  # noqa: PLC0415 - web3 takes a second

        return ChainWorld
    from basis_daemon.simulation.full_stack.exchange import ExchangeWorld  # noqa: PLC0415 - ccxt takes a second

    return ExchangeWorld
