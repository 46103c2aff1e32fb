"""Tables as files for other programs. Numbers stay exact: decimal text in CSV and in Parquet, which says so itself."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TextIO

from basis_daemon.domain.errors import ConfigError
from basis_daemon.engine.export import Cell, Holds, Table

EXACT = "decimal number as text, exact; cast it to DECIMAL where it is summed"
_SAYS = {Holds.TEXT: "text", Holds.DECIMAL: EXACT, Holds.TIME: "instant, UTC"}


def write_csv(table: Table, sink: TextIO) -> int:
    """A header and the rows; returns how many. Instants are ISO 8601 in UTC, an empty cell is nothing known."""
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(table.columns)
    count = 0
    for row in table.rows():
        writer.writerow([_text(cell) for cell in row])
        count += 1
    return count


def _text(cell: Cell) -> str:
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    return cell.astimezone(UTC).isoformat() if isinstance(cell, datetime) else cell or ""


def write_parquet(table: Table, file: Path) -> int:
    """One row group of text and instants (microseconds, UTC); returns how many rows.

    Decimals are text, because no number type of the format holds every digit; each field's metadata says what it holds.
    Raises ConfigError when the research extra is missing.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - it lives in the research extra
        from pyarrow import parquet  # noqa: PLC0415 - the same
    except ImportError as error:
        raise ConfigError("Parquet needs pyarrow: install basis-daemon[research], or write CSV") from error
    types = {Holds.TEXT: pa.string(), Holds.DECIMAL: pa.string(), Holds.TIME: pa.timestamp("us", tz="UTC")}
    fields = [pa.field(name, types[holds], metadata={"holds": _SAYS[holds]}) for name, holds in table.columns.items()]
    rows = list(table.rows())
    cells = [[f"{cell:f}" if isinstance(cell, Decimal) else cell for cell in row] for row in rows]
    columns = [pa.array([row[place] for row in cells], type=field.type) for place, field in enumerate(fields)]
    whole = pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata={"table": table.name, "decimals": EXACT}))
    parquet.write_table(whole, file, compression="zstd")
    return len(rows)
