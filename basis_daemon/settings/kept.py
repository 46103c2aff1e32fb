"""What strategies are made of, as a text that a journal keeps: the file's own words on them, and no secret or place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum

from pydantic import ValidationError

from basis_daemon.domain.errors import JournalError
from basis_daemon.settings.document import read_document
from basis_daemon.settings.model import Settings
from basis_daemon.settings.replay import ReplaySettings

_KEPT = {"book", "mode", "venues", "transfers", "strategies"}
_LEFT_OUT = frozenset({"key", "secret", "key_file", "secret_file"})


def kept_text(settings: Settings, replay: ReplaySettings | None = None) -> str:
    """Exact, without what has its default, so that another default is another configuration."""
    said = settings.model_dump(include=_KEPT, exclude_unset=True)
    if replay is not None:
        said["replay"] = replay.model_dump(exclude_defaults=True)
    return _text(said)


def read_kept(text: str, where: str) -> Settings:
    """The settings back, as this version understands them. Raises JournalError naming ``where`` they were kept."""
    document = read_document(text, where)
    try:
        return Settings.model_validate(document.tree)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        remedy = "name a configuration of this version with --config"
        raise JournalError(f"{where}: the configuration kept there says {place}: {first['msg']}; {remedy}") from None


def _text(value: object) -> str:
    """JSON whose numbers are as exact as they were given."""
    if isinstance(value, Mapping):
        inner = (f"{json.dumps(str(name))}: {_text(own)}" for name, own in value.items() if name not in _LEFT_OUT)
        return f"{{{', '.join(inner)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    return json.dumps(str(value.value if isinstance(value, Enum) else value), ensure_ascii=False)
