"""Configuration and the words of models: whatever stands there is read, or refused by name, and never anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from basis_daemon.demo.configuration import SANDBOX_CONFIG
from basis_daemon.domain.settings_faults import SettingsError
from basis_daemon.settings import load_settings
from basis_daemon.settings.document import read_document
from basis_daemon.settings.environment import PREFIX
from basis_daemon.venues.signals.intake import exact_json
from tests.fuzz.junk import JUNK, ODD, spoiled
from tests.signals.support import BAR, START, Told, word

pytestmark = pytest.mark.slow

DEEP = 60_000
NOW = START + BAR + timedelta(seconds=10)
TEXTS = st.text(max_size=60) | st.sampled_from(ODD) | st.builds(
    lambda sign, times: sign * times,
    st.sampled_from(["[", "{a: ", "- ", '{"a":', "? ", "&a ", "*a ", "%"]),
    st.sampled_from([1, 2, 20, 1_500]),
)  # fmt: skip
WORDS = st.binary(max_size=80) | spoiled(st.just(word())).map(lambda said: json.dumps(said).encode("utf-8", "replace"))


@pytest.mark.fault("F56")
@pytest.mark.feature("M03")
@given(WORDS)
@example(b"[" * DEEP)
@example(b'{"bar_time": ' * 4_000)
@example(b'{"confidence": 1e99999999999999999999}')
@example(b'{"confidence": -1e-99999999999999999999}')
@example(b'{"confidence": ' + b"9" * 5_000 + b"}")
def test_whatever_bytes_a_model_says_are_a_word_or_are_refused_and_counted(said: bytes) -> None:
    told = Told()
    intake = told.intake()
    try:
        found = exact_json(said)
    except ValueError:
        return
    tick = intake.take(found, NOW)
    assert (tick is None) == (told.counted != ["accepted"])


@pytest.mark.fault("F58")
@settings(max_examples=50)
@given(TEXTS)
@example("a: 1__0")
@example("a: 1_")
@example("a: 1e99999999999999999999")
@example("a: " + "9" * 5_000)
@example("[" * 3_000)
@example("{a: " * 3_000)
def test_a_file_of_any_text_is_a_document_with_its_faults_named(text: str) -> None:
    document = read_document(text, "book.yaml")
    assert isinstance(document.tree, dict)
    assert document.tree or document.faults or text.lstrip("\ufeff").lstrip()[:1] == "{"


KEYS = tuple(sorted(read_document(SANDBOX_CONFIG.read_text(encoding="utf-8"), "").lines))


def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, dict[str, str]], None]:
    """Loads a text under an environment; anything but settings or SettingsError escapes."""
    file = tmp_path_factory.mktemp("fuzz") / "book.yaml"

    def load(text: str, environ: dict[str, str]) -> None:
        file.write_text(text, encoding="utf-8", errors="replace")
        with suppress(SettingsError):
            load_settings(file, environ, with_secrets=False)

    return load


@pytest.mark.fault("F58")
def test_a_configuration_with_any_value_in_any_place_is_refused_by_name_or_good(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    load = loaded(tmp_path_factory)
    whole = SANDBOX_CONFIG.read_text(encoding="utf-8")
    truth = yaml.safe_load(whole)

    @settings(max_examples=30)
    @given(st.data())
    def values(data: st.DataObject) -> None:
        said: Any = data.draw(spoiled(st.just(truth)))
        load(json.dumps(said), {})

    @settings(max_examples=30)
    @given(st.sampled_from(KEYS), st.sampled_from(ODD) | TEXTS)
    @example("risk.orders_per_minute_max", "1__0")
    @example("risk.orders_per_minute_max", "9" * 5_000)
    @example("data_dir", "\x00")
    @example("risk.price_band_bp", "1e99999999999999999999")
    def variables(key: str, text: str) -> None:
        load(whole, {PREFIX + key.upper().replace(".", "__"): text})

    values()
    variables()


@given(JUNK)
def test_a_whole_file_of_junk_is_refused(said: object) -> None:
    document = read_document(json.dumps(said), "book.yaml")
    assert isinstance(document.tree, dict)
    assert Path(document.where("a.b")).name.startswith("book.yaml")
