"""The append-only book of record: what is in it happened, and the state of everything else is a fold of it.

`sqlite.SqliteJournal` writes it, `reader.JournalReader` reads and verifies it beside a living daemon, and
`memory.MemoryJournal` is the same port without a disk.
"""
