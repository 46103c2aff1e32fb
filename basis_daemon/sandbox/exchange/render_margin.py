"""Futures accounts and positions as Binance prints them, in the shapes of v2 and v3."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from basis_daemon.sandbox.exchange.accounts import Account, Position
from basis_daemon.sandbox.exchange.instruments import most_notional
from basis_daemon.sandbox.exchange.margin import (
    MarginState,
    SymbolMargin,
    liquidation_price,
    margin_of,
    resting_of,
    symbol_margin,
)
from basis_daemon.sandbox.exchange.money import ZERO, plain, text8
from basis_daemon.sandbox.exchange.venue import Venue

Json = dict[str, Any]


def account_v3(account: Account, venue: Venue) -> Json:
    state = margin_of(account, venue.marks)
    sums = _sums(state)
    totals = {f"total{key[0].upper()}{key[1:]}": value for key, value in sums.items() if key not in _PLAIN_KEYS}
    return {
        **totals,
        "totalUnrealizedProfit": sums["unrealizedProfit"],
        "availableBalance": sums["availableBalance"],
        "maxWithdrawAmount": sums["maxWithdrawAmount"],
        "assets": asset_rows(account, venue, state),
        "positions": [
            _account_position(position, state.symbols[symbol], venue.now_ms)
            for symbol, position in account.positions.items()
            if position.quantity and symbol in state.symbols
        ],
    }


def asset_rows(account: Account, venue: Venue, state: MarginState) -> list[Json]:
    """Every coin of the wallet; what trades is charged to the margin asset."""
    return [
        {
            "asset": asset,
            **(_sums(state) if asset == account.margin_asset else _plain_sums(amount)),
            "updateTime": venue.now_ms,
        }
        for asset, amount in account.wallet.items()
    ]


_PLAIN_KEYS = ("availableBalance", "maxWithdrawAmount", "unrealizedProfit")


def account_positions(account: Account, venue: Venue) -> list[Json]:
    """Every symbol, held or not."""
    state = margin_of(account, venue.marks)
    listed = {symbol: account.position(symbol) for symbol in venue.known(account.market)}
    return [
        _account_position(position, _margin(account, venue, state, symbol), venue.now_ms)
        | {
            "leverage": str(position.leverage),
            "entryPrice": entry_text(position),
            "maxNotional": plain(most_notional(position.tiers, position.leverage)),
            "isolated": position.margin_type == "ISOLATED",
        }
        for symbol, position in listed.items()
    ]


def account_v2(account: Account, venue: Venue) -> Json:
    return account_v3(account, venue) | {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "multiAssetsMargin": False,
        "updateTime": 0,
        "positions": account_positions(account, venue),
    }


def _sums(state: MarginState) -> Json:
    return {
        "walletBalance": text8(state.wallet),
        "unrealizedProfit": text8(state.unrealised),
        "marginBalance": text8(state.margin_balance),
        "maintMargin": text8(state.maintenance),
        "initialMargin": text8(state.position_initial + state.order_initial),
        "positionInitialMargin": text8(state.position_initial),
        "openOrderInitialMargin": text8(state.order_initial),
        "crossWalletBalance": text8(state.wallet),
        "crossUnPnl": text8(state.unrealised),
        "availableBalance": text8(state.available),
        "maxWithdrawAmount": text8(state.max_withdraw),
    }


def _plain_sums(amount: Decimal) -> Json:
    return _sums(MarginState(amount, ZERO, ZERO, ZERO, ZERO, {}))


def balances(account: Account, venue: Venue) -> list[Json]:
    state = margin_of(account, venue.marks)
    rows = []
    for asset, amount in account.wallet.items():
        own = state if asset == account.margin_asset else MarginState(amount, ZERO, ZERO, ZERO, ZERO, {})
        rows.append(
            {
                "accountAlias": f"sandbox{account.number}",
                "asset": asset,
                "balance": text8(own.wallet),
                "crossWalletBalance": text8(own.wallet),
                "crossUnPnl": text8(own.unrealised),
                "availableBalance": text8(own.available),
                "maxWithdrawAmount": text8(own.max_withdraw),
                "marginAvailable": True,
                "updateTime": venue.now_ms,
            }
        )
    return rows


def position_v3(account: Account, venue: Venue, symbol: str, state: MarginState) -> Json:
    position = account.position(symbol)
    own = _margin(account, venue, state, symbol)
    return {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": f"{position.quantity:.{position.contract.quantity_places}f}",
        "entryPrice": entry_text(position),
        "breakEvenPrice": entry_text(position),
        "markPrice": text8(venue.marks[symbol]),
        "unRealizedProfit": text8(own.unrealised),
        "liquidationPrice": plain(round(liquidation_price(position, state), 8)),
        "isolatedMargin": "0",
        "notional": text8(own.notional),
        "marginAsset": account.margin_asset,
        "isolatedWallet": "0",
        "initialMargin": text8(own.position_initial + own.order_initial),
        "maintMargin": text8(own.maintenance),
        "positionInitialMargin": text8(own.position_initial),
        "openOrderInitialMargin": text8(own.order_initial),
        "adl": 2,
        "bidNotional": plain(own.resting.bids),
        "askNotional": plain(own.resting.asks),
        "updateTime": position.updated_ms,
    }


def position_v2(account: Account, venue: Venue, symbol: str, state: MarginState) -> Json:
    position = account.position(symbol)
    return position_v3(account, venue, symbol, state) | {
        "leverage": str(position.leverage),
        "maxNotionalValue": plain(most_notional(position.tiers, position.leverage)),
        "marginType": "cross" if position.margin_type == "CROSSED" else "isolated",
        "isAutoAddMargin": "false",
    }


def _account_position(position: Position, own: SymbolMargin, now_ms: int) -> Json:
    return {
        "symbol": position.symbol,
        "positionSide": "BOTH",
        "positionAmt": plain(position.quantity),
        "unrealizedProfit": text8(own.unrealised),
        "isolatedMargin": "0",
        "notional": text8(own.notional),
        "isolatedWallet": "0",
        "initialMargin": text8(own.position_initial + own.order_initial),
        "positionInitialMargin": text8(own.position_initial),
        "openOrderInitialMargin": text8(own.order_initial),
        "maintMargin": text8(own.maintenance),
        "updateTime": position.updated_ms or now_ms,
    }


def _margin(account: Account, venue: Venue, state: MarginState, symbol: str) -> SymbolMargin:
    own = state.symbols.get(symbol)
    if own is None:
        own = symbol_margin(account.position(symbol), venue.marks[symbol], resting_of(account, symbol))
    return own


def entry_text(position: Position) -> str:
    return plain(round(position.entry_price, 8))
