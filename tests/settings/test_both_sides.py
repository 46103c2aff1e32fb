"""Books at exchanges and on the chain at once: the shipped file, what they need of it, and two books of one kind."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.demo.configuration import written_over
from basis_daemon.settings import lives_on_chain, load_settings, make_strategies, trades_at_exchanges
from basis_daemon.strategies.hedge import UsdtMarketNeutralNoLeverage
from basis_daemon.strategies.hedge_levered import UsdtMarketNeutral
from basis_daemon.strategies.overlay import EthBasisInEth
from tests.settings.files import CONFIG, edited, fault, faults

FILE = CONFIG / "sandbox_hedge.yaml"
PLAIN, LEVERED, IN_ETH = "usdt_market_neutral_no_leverage", "usdt_market_neutral", "eth_basis_in_eth"
KINDS = {PLAIN: UsdtMarketNeutralNoLeverage, LEVERED: UsdtMarketNeutral, IN_ETH: EthBasisInEth}
OFF = {f"strategies.{name}.enabled": "false" for name in KINDS}


def of_file(**changes: str) -> str:
    """The shipped file with some values written over; dots of keys as double underscores."""
    return written_over(FILE, {key.replace("__", "."): value for key, value in changes.items()})


def chosen(name: str) -> str:
    return written_over(FILE, OFF | {f"strategies.{name}.enabled": "true"})


@pytest.mark.parametrize("name", KINDS)
def test_every_book_of_the_shipped_file_can_be_switched_on_alone(tmp_path: Path, name: str) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(chosen(name), encoding="utf-8")
    settings = load_settings(file, {}, with_secrets=False).settings
    (book,) = make_strategies(settings)
    assert (type(book), book.name) == (KINDS[name], name)
    assert trades_at_exchanges(settings, name)
    assert lives_on_chain(settings, name)
    assert book.charter.is_on_chain
    assert book.charter.numeraire == ("ETH" if name == IN_ETH else "USDT")


def test_the_routes_of_the_address_book_reach_the_strategy() -> None:
    settings = load_settings(FILE, {}, with_secrets=False).settings
    (book,) = make_strategies(settings)
    assert isinstance(book, UsdtMarketNeutralNoLeverage)
    (venue,) = book.parameters.venues
    assert (venue.network, venue.withdrawal_fee_usdt, venue.route_eta_h) == ("ethereum", Decimal(5), Decimal(1))


def test_two_books_do_not_share_the_wallet(tmp_path: Path) -> None:
    told = {one.key for one in faults(tmp_path, written_over(FILE, {f"strategies.{LEVERED}.enabled": "true"}))}
    assert f"strategies.{LEVERED}.enabled" in told


@pytest.mark.parametrize(
    ("changes", "key", "found"),
    [
        ({"chain__enabled": "false"}, "chain", "nothing"),
        ({"transfers__enabled": "false"}, "transfers.enabled", "false"),
        ({"mode": "paper"}, "mode", "paper"),
        ({"risk__price_band_bp": "50"}, "risk.price_band_bp", "50 bp"),
        ({"guard__drawdown_reducing": "0.05"}, "guard.drawdown_reducing", "0.05"),
    ],
)
def test_what_the_book_cannot_be_without_is_told_by_key_and_value(
    tmp_path: Path, changes: dict[str, str], key: str, found: str
) -> None:
    told = {one.key: one for one in faults(tmp_path, of_file(**changes))}
    assert told[key].found == found
    assert told[key].expected
    assert told[key].remedy


def test_a_coin_without_a_route_is_told(tmp_path: Path) -> None:
    text = FILE.read_text(encoding="utf-8")
    line = next(line for line in text.splitlines(keepends=True) if line.lstrip().startswith("eth: {once_max"))
    told = fault(tmp_path, text.replace(line, ""))
    assert (told.key, told.found) == ("transfers.venues.binance.coins.eth", "nothing")
    assert f"strategies.{PLAIN} trades at exchanges and lives on the chain" in told.expected


def test_a_leverage_that_frees_no_margin_is_out_of_range(tmp_path: Path) -> None:
    told = fault(tmp_path, written_over(FILE, {f"strategies.{LEVERED}.params.lambda_target": "0.85"}))
    assert (told.key, told.found) == (f"strategies.{LEVERED}.params.lambda_target", "0.85")
    assert told.expected.startswith("0 to 0.8 ")


def test_a_share_class_that_the_kind_has_no_book_for_is_told(tmp_path: Path) -> None:
    told = fault(tmp_path, edited(("venue_cap: 1.0", "share_class: ETH")))
    assert (told.key, told.found, told.expected) == ("strategies.btc.params.share_class", "'ETH'", "USDT")
    assert "eth_basis in ETH too" in told.remedy
