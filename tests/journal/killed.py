"""A process to be killed: appends one lazy and one durable row in turn and says so once the durable one is on disk."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.journal.builders import a_record, open_journal


async def write_until_killed(path: Path) -> None:
    journal = open_journal(path)
    number = 0
    while True:
        journal.append(a_record(f"{journal.generation} {number} lazy"))
        await journal.append_durable([a_record(f"{journal.generation} {number} durable")])
        sys.stdout.write(f"{journal.generation} {number}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    asyncio.run(write_until_killed(Path(sys.argv[1])))
