"""Listen keys of futures: one per account, valid for an hour of real time after the last keep-alive."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from basis_daemon.sandbox.exchange.accounts import Account

VALID_MS = 3_600_000


@dataclass(slots=True)
class _Key:
    text: str
    account: Account
    until_ms: int


class ListenKeys:
    """Issues, extends and expires keys. Times are wall milliseconds."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}
        self._issued = 0

    def issue(self, account: Account, real_ms: int) -> str:
        """The account's valid key, extended; a new one if it has none."""
        for key in self._keys.values():
            if key.account is account and key.until_ms > real_ms:
                key.until_ms = real_ms + VALID_MS
                return key.text
        self._issued += 1
        text = hashlib.sha256(f"{account.api_key}/{self._issued}/{real_ms}".encode()).hexdigest()
        self._keys[text] = _Key(text, account, real_ms + VALID_MS)
        return text

    def extend(self, account: Account, real_ms: int) -> str | None:
        """The extended key, or None if the account has no valid one."""
        for key in self._keys.values():
            if key.account is account and key.until_ms > real_ms:
                key.until_ms = real_ms + VALID_MS
                return key.text
        return None

    def revoke(self, account: Account) -> None:
        self._keys = {text: key for text, key in self._keys.items() if key.account is not account}

    def owner(self, text: str, real_ms: int) -> Account | None:
        key = self._keys.get(text)
        return key.account if key is not None and key.until_ms > real_ms else None

    def expire(self, real_ms: int, *, everything: bool = False) -> list[tuple[str, Account]]:
        """Drop and return the keys that are over (all of them when a fault asks for it)."""
        over = [key for key in self._keys.values() if everything or key.until_ms <= real_ms]
        for key in over:
            del self._keys[key.text]
        return [(key.text, key.account) for key in over]
