"""The files of a window of recorded history, as a replay reads and a fetch writes them: numbers in recorded words."""

from __future__ import annotations

CANDLES, FUNDING, GAPS, AAVE = "candles_1h.csv", "funding.csv", "gaps.csv", "aave_daily.csv"
CANDLE_COLUMNS = ("timestamp", "venue", "market", "symbol", "open", "high", "low", "close", "volume", "quote_volume")
FUNDING_COLUMNS = ("timestamp", "venue", "symbol", "funding_rate", "interval_hours")
GAP_COLUMNS = ("series", "after", "before", "missing")
AAVE_COLUMNS = (
    "timestamp", "asset", "block_number", "liquidity_index", "supply_rate", "variable_borrow_index",
    "variable_borrow_rate", "total_supply", "total_variable_debt", "utilisation", "price_usd", "rate_vs_weth",
)  # fmt: skip
