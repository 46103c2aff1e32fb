"""The world in the words of the daemon's address book."""

from __future__ import annotations

from typing import Any

from web3.contract import AsyncContract

from basis_daemon.sandbox.chain.anvil import CHAIN_ID
from basis_daemon.sandbox.chain.build_dex import Dex, PoolPlan, is_token0
from basis_daemon.sandbox.chain.build_lending import EMODES, Lending
from basis_daemon.sandbox.chain.build_restaking import Restaking
from basis_daemon.sandbox.chain.build_staking import Staking
from basis_daemon.sandbox.chain.build_tools import Tools

World = dict[str, Any]
MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"


def describe(staking: Staking, lending: Lending, dex: Dex) -> World:
    """What is where, as the daemon's address book reads it."""
    tokens = staking.tokens
    return {
        "chain_id": CHAIN_ID,
        "tokens": {
            symbol: {"address": token.address, "decimals": 6 if symbol == "USDT" else 18}
            for symbol, token in tokens.items()
        },
        "aave_v3": {
            "pool": lending.pool.address,
            "addresses_provider": lending.provider.address,
            "oracle": lending.oracle.address,
            "data_provider": lending.data.address,
            "configurator": lending.configurator.address,
            "rate_strategy": lending.strategy.address,
            "emodes": {str(category): f"{symbol}/WETH" for category, symbol in EMODES.items()},
        },
        "lido": {
            "steth": staking.steth.address,
            "wsteth": staking.wsteth.address,
            "withdrawal_queue": staking.queue.address,
        },
        "etherfi": {
            "liquidity_pool": staking.pool.address,
            "eeth": staking.eeth.address,
            "weeth": staking.weeth.address,
            "withdraw_request_nft": staking.request_nft.address,
            "deposit_adapter": staking.deposit_adapter.address,
            "withdraw_adapter": staking.withdraw_adapter.address,
        },
        "uniswap_v3": {
            "factory": dex.factory.address,
            "router": dex.router.address,
            "quoter": dex.quoter.address,
            "position_manager": dex.manager.address,
            "pools": [_pool(plan, pool.address, tokens) for plan, pool in dex.pools],
        },
        "feeds": {symbol: feed.address for symbol, feed in staking.feeds.items()},
        "multicall3": MULTICALL3,
    }


def describe_more(restaking: Restaking, tools: Tools) -> World:
    """The rest: restaking, the source of flash loans, and Safe's contracts."""
    return {
        "eigenlayer": {
            "delegation_manager": restaking.delegation.address,
            "strategy_manager": restaking.manager.address,
            "rewards_coordinator": restaking.rewards.address,
            "steth_strategy": restaking.strategy.address,
            "operator": restaking.operator,
        },
        "morpho": {"morpho": tools.morpho.address},
        "safe": {
            "singleton": tools.safe.address,
            "proxy_factory": tools.factory.address,
            "multisend_call_only": tools.multisend.address,
            "fallback_handler": tools.handler.address,
        },
    }


def _pool(plan: PoolPlan, address: str, tokens: dict[str, AsyncContract]) -> World:
    pair = (plan.token, plan.quote)
    first, second = pair if is_token0(tokens[plan.token], tokens[plan.quote]) else reversed(pair)
    return {"token0": first, "token1": second, "fee": plan.fee, "address": address}
