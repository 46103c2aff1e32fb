"""A strategy that listens to a model needs one that speaks, and both must mean the same one."""

from __future__ import annotations

from pathlib import Path

import pytest

from basis_daemon.settings import strategy_parameters
from basis_daemon.strategies.ml_parameters import DirectionalParameters
from tests.settings.files import SMALL, faults, load

LISTENER = SMALL.replace("mode: paper", "mode: sandbox").replace(
    """    kind: btc_basis
    params:
      w: {binance: 1}
      venue_cap: 1.0
""",
    """    kind: ml_usdt_directional
    params: {w: {binance: 1}, venue_cap: 1.0, models: [softmax-1], max_drawdown: 0.05}
""",
)
SHA = "ab" * 32
GOOD = f"{{source: onnx, file: model.onnx, sha256: {SHA}, model_version: softmax-1}}"


def with_voice(voice: str) -> str:
    """The listener's file with this voice."""
    return f"{LISTENER}signals: {{btc: {voice}}}\n"


def test_a_listener_with_its_voice_loads(tmp_path: Path) -> None:
    settings = load(tmp_path, with_voice(GOOD)).settings
    parameters = strategy_parameters(settings, "btc")
    assert isinstance(parameters, DirectionalParameters)
    assert (parameters.symbol, parameters.models) == ("BTCUSDT", ("softmax-1",))
    assert settings.signals["btc"].sha256 == SHA


@pytest.mark.feature("M01")
@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        (LISTENER, "signals", "nothing"),
        (with_voice("{source: file}"), "signals.btc.file", "nothing"),
        (with_voice("{source: http}"), "signals.btc.url", "nothing"),
        (with_voice(GOOD.replace(f"sha256: {SHA}, ", "")), "signals.btc.sha256", "nothing"),
        (with_voice(GOOD.replace("softmax-1", "softmax-2")), "signals.btc.model_version", "softmax-2"),
        (with_voice("{source: file, file: words.jsonl, ttl_s: 301}"), "signals.btc.ttl_s", "301 s"),
        (with_voice("{source: pickle, file: model.pkl}"), "signals.btc.source", "'pickle'"),
        (with_voice(GOOD).replace("mode: sandbox", "mode: paper"), "mode", "paper"),
        (with_voice(GOOD).replace("models: [softmax-1]", "models: []"), "strategies.btc.params", None),
        (with_voice(GOOD).replace("btc: {source", "eth: {source"), "signals.eth", "a voice for nobody"),
    ],
)
def test_what_keeps_a_strategy_from_hearing_its_model_is_named(
    tmp_path: Path, text: str, key: str, found: str | None
) -> None:
    told = {fault.key: fault.found for fault in faults(tmp_path, text)}
    assert key in told
    assert found is None or told[key] == found


IN_COIN = with_voice(GOOD).replace("kind: ml_usdt_directional", "kind: ml_btc_directional")


def test_a_book_counted_in_coin_trades_contracts_that_settle_in_it(tmp_path: Path) -> None:
    at_coinm = IN_COIN.replace("enabled: true", "exchange: binancecoinm")
    parameters = strategy_parameters(load(tmp_path, at_coinm).settings, "btc")
    assert isinstance(parameters, DirectionalParameters)
    assert (parameters.symbol, parameters.share_class, parameters.is_inverse) == ("BTCUSD", "BTC", True)


@pytest.mark.parametrize(
    ("text", "found", "contracts"),
    [
        (IN_COIN, "binance", "inverse"),
        (with_voice(GOOD).replace("enabled: true", "exchange: binancecoinm"), "binancecoinm", "linear"),
    ],
)
def test_an_exchange_with_the_other_kind_of_contracts_is_refused(
    tmp_path: Path, text: str, found: str, contracts: str
) -> None:
    (told,) = [fault for fault in faults(tmp_path, text) if fault.key == "venues.binance.exchange"]
    assert told.found == found
    assert contracts in told.expected
