"""The address book of the file: what it opens to strategies, and what has to fit before money may cross."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import OrderOperation
from basis_daemon.settings import make_strategies, strategy_parameters
from basis_daemon.settings.model import Settings
from basis_daemon.strategies.parameters import BasisParameters
from tests.settings.files import edited, fault, faults, load

ADDRESS = '"0x' + "ab" * 20 + '"'
BOUNDS = "{once_max: 50, day_max: 100, first_max: 5, approve_above: 50}"
CROSSING = f"""\
chain: {{enabled: true, recipients: {{}}}}
sandbox: {{ready_file: runs/ready.json, chain_ready_file: runs/chain.json}}
transfers:
  enabled: true
  venues:
    binance:
      deposit_address: {ADDRESS}
      withdrawal_fee_usdt: 3
      coins: {{usdt: {BOUNDS}}}
strategies:
"""


PAPER = edited()[edited().index("paper: {balances") :]


def crossing(*changes: tuple[str, str]) -> str:
    """The small file with a wallet and a way to it."""
    text = edited().replace(PAPER, "").replace("mode: paper", "mode: sandbox")
    text = text.replace("    enabled: true\n", "    enabled: true\n    rights: [trade, transfer, withdraw]\n")
    text = text.replace("strategies:\n", CROSSING)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def settings_of(folder: Path, text: str) -> Settings:
    return load(folder, text).settings


def test_a_strategy_that_weighs_the_exchange_has_the_wallet_behind_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, crossing())
    parameters = strategy_parameters(settings, "btc")
    assert isinstance(parameters, BasisParameters)
    assert (parameters.venues[0].network, parameters.venues[0].withdrawal_fee_usdt) == ("ethereum", Decimal(3))
    (book,) = make_strategies(settings)
    assert PositionKey("wallet:token:USDT") in book.declared_keys
    assert (OrderOperation.TRANSFER, "wallet") in book.charter.needed


def test_without_the_section_money_stays_where_it_is(tmp_path: Path) -> None:
    closed = crossing(("transfers:\n  enabled: true", "transfers:\n  enabled: false"))
    (book,) = make_strategies(settings_of(tmp_path, closed))
    assert "wallet" not in {key.venue for key in book.declared_keys}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("mode: sandbox", f"mode: paper\n{PAPER}"), "transfers.enabled"),
        (("chain: {enabled: true", "chain: {enabled: false"), "chain"),
        (("[trade, transfer, withdraw]", "[trade, transfer]"), "venues.binance.rights"),
        (("once_max: 50", "once_max: 4"), "transfers.venues.binance.coins.usdt"),
        (("day_max: 100", "day_max: 49"), "transfers.venues.binance.coins.usdt"),
        (("first_max: 5", "first_max: 0"), "transfers.venues.binance.coins.usdt"),
        (("recipients: {}", f"recipients: {{binance: {ADDRESS}}}"), "chain.recipients.binance"),
        ((ADDRESS, '"0x12"'), "transfers.venues.binance.deposit_address"),
    ],
)
def test_what_does_not_fit_is_told_by_its_key(tmp_path: Path, change: tuple[str, str], key: str) -> None:
    assert key in {told.key for told in faults(tmp_path, crossing(change))}


def test_a_venue_that_is_not_there_is_told(tmp_path: Path) -> None:
    told = fault(tmp_path, crossing(("    binance:\n      deposit_address", "    kraken:\n      deposit_address")))
    assert told.key == "transfers.venues.kraken"


def test_the_wallet_belongs_to_one_strategy_wherever_that_trades(tmp_path: Path) -> None:
    lender = "strategies:\n  lend: {kind: pure_lending, params: {asset: USDT}}\n"
    told = fault(tmp_path, crossing(("strategies:\n", lender)))
    assert (told.key, "strategies.lend has this one" in told.expected) == ("strategies.btc.enabled", True)
