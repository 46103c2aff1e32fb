"""The files of a window of recorded history, as a replay reads and a fetch writes them: numbers in recorded words."""

from __future__ import annotations

CANDLES, FUNDING, GAPS = "candles_1h.csv", "funding.csv", "gaps.csv"
CANDLE_COLUMNS = ("timestamp", "venue", "market", "symbol", "open", "high", "low", "close", "volume", "quote_volume")
FUNDING_COLUMNS = ("timestamp", "venue", "symbol", "funding_rate", "interval_hours")
GAP_COLUMNS = ("series", "after", "before", "missing")
