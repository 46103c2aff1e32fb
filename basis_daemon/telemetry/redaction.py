"""Takes secrets out of whatever is about to be written, however deep they are hidden."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import SecretBytes, SecretStr

MASK = "[redacted]"
LENGTH_MIN = 4
"""A shorter value cannot be told from ordinary text; replacing it would shred every line."""

_PEM_LINE_MIN = 16
_DEPTH_MAX = 12
_SECRET_WORDS = frozenset(
    {
        *("secret", "secrets", "password", "passphrase", "signature", "mnemonic"),
        *("apikey", "authorization", "credential", "credentials"),
    }
)
_SECRET_LAST_WORDS = frozenset({"key", "token", "sign"})
_HARMLESS_KEYS = frozenset({"position_key", "instrument_key", "dedupe_key", "config_key", "dotted_key"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NAMES = (
    r"signature|api_?key|x-mbx-apikey|ok-access-(?:key|sign|passphrase)|secret|password|passphrase|token|listen_?key"
)
_IN_TEXT = re.compile(
    rf"""(?ix) (?P<before> \b(?:{_NAMES}) = | ['"](?:{_NAMES})['"] \s* : \s* ['"] ) (?P<value> [^&\s"',;)]+ )"""
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Redactor:
    """Masks by type (SecretStr), by name of the key, and every registered value wherever it occurs."""

    def __init__(self, secrets: Iterable[SecretStr | str] = ()) -> None:
        self._spellings: set[str] = set()
        self._values: re.Pattern[str] | None = None
        self.register(*secrets)

    def register(self, *secrets: SecretStr | str) -> None:
        """Mask these values from now on, also JSON-escaped, URL-quoted, and line by line when they have lines.

        Raises ValueError (without showing the value) for one shorter than ``LENGTH_MIN``.
        """
        for secret in secrets:
            value = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
            if len(value) < LENGTH_MIN:
                message = f"a secret of {len(value)} characters cannot be masked, expected at least {LENGTH_MIN}"
                raise ValueError(message)
            self._spellings |= _spellings(value)
        longest_first = sorted(self._spellings, key=lambda spelling: (-len(spelling), spelling))
        self._values = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def line(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """The log line without secrets, as plain JSON values: nothing is left to ask for its text later."""
        return {self.text(str(key)): self._value(str(key), value, 0) for key, value in line.items()}

    def text(self, text: str) -> str:
        """The text without secrets and without control characters that could move a terminal's cursor."""
        if self._values is not None:
            text = self._values.sub(MASK, text)
        text = _IN_TEXT.sub(lambda found: found["before"] + MASK, text)
        return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)

    def _value(self, key: str, value: object, depth: int) -> object:
        if isinstance(value, SecretStr | SecretBytes) or (_names_a_secret(key) and value not in (None, "", b"")):
            return MASK
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if depth < _DEPTH_MAX:
            if isinstance(value, Mapping):
                return {self.text(str(k)): self._value(str(k), v, depth + 1) for k, v in value.items()}
            if isinstance(value, list | tuple | set | frozenset):
                return [self._value("", item, depth + 1) for item in value]
        return self.text(_words_of(value))


def _words_of(value: object) -> str:
    """What a log line says for a value: its text; for an exception also its type."""
    return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)


def _names_a_secret(key: str) -> bool:
    if key.lower() in _HARMLESS_KEYS:
        return False
    words = [word.lower() for word in _WORD.findall(key)]
    return bool(words) and (words[-1] in _SECRET_LAST_WORDS or not _SECRET_WORDS.isdisjoint(words))


def _spellings(value: str) -> set[str]:
    lines = {line.strip() for line in value.splitlines() if not line.startswith("-----")}
    values = {value, value.strip()} | {line for line in lines if len(line) >= _PEM_LINE_MIN}
    ways = {way for one in values for way in (one, json.dumps(one)[1:-1], repr(one)[1:-1], quote(one, safe=""))}
    return {way for way in ways | {quote_plus(one) for one in values} if len(way) >= LENGTH_MIN}
