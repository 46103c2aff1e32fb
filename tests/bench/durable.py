"""P6 as rows: one durable trade against the disk's own price, and what waiting together saves."""

from __future__ import annotations

from tests.bench.journal import CONCURRENT_RATIO_MIN, SEQUENTIAL_RATIO_MAX, durable_trade_ratio
from tests.bench.measure import Bound, Row, Target

NAME = "journal"


def measure() -> list[Row]:
    """Rows for the report; the measuring is the journal's own."""
    got = durable_trade_ratio()
    return [
        Row(NAME, "write + fdatasync of 256 bytes", got["raw_p50_us"], "us", got["raw_p99_us"]),
        Row(NAME, "one durable trade", got["durable_p50_us"], "us", got["durable_p99_us"]),
        Row(
            NAME, "P6 durable trade / write + fdatasync", got["sequential_ratio"], p99=got["p99_ratio"],
            target=Target(Bound.AT_MOST, SEQUENTIAL_RATIO_MAX), note="p99: ratio of the 99th percentiles",
        ),
        Row(
            NAME, "P6 rows/s of 100 callers / of one", got["concurrent_ratio"],
            target=Target(Bound.AT_LEAST, CONCURRENT_RATIO_MIN), note=f"{got['concurrent_rows_per_s']:,.0f} rows/s",
        ),
    ]  # fmt: skip
