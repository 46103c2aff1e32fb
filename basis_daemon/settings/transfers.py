"""Between exchanges and the wallet: the address book of an operator, with what may go at once and within a day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from basis_daemon.settings.chain import ADDRESS
from basis_daemon.settings.section import Name, Number, Section, count, given, number

NETWORK = "ethereum"
"""What orders call the way over the wallet's chain."""


class CoinSettings(Section):
    """What of one coin may go, in units of the coin, each way."""

    once_max: Number = given("0", "1000000000", "of the coin", "at once; more is refused")
    day_max: Number = given("0", "1000000000", "of the coin", "within 24 hours; more is refused")
    first_max: Number = given("0", "1000000000", "of the coin", "of the first one each way: the test of a new route")
    approve_above: Number = given("0", "1000000000", "of the coin", "more waits for `basis-daemon transfers approve`")


class TransferVenueSettings(Section):
    """One exchange account and its address."""

    deposit_address: Annotated[str, Field(pattern=ADDRESS)]
    """Where the exchange takes deposits over Ethereum (ERC20); it has to name the same one before money leaves."""
    withdrawal_fee_usdt: Number = number("5", "0", "200", "USDT", "that a withdrawal is planned to cost")
    coins: Mapping[Name, CoinSettings] = Field(min_length=1)
    """What may go, by coin, in lower case as every name here."""


class TransferSettings(Section):
    """Only along these routes does money cross between an exchange and the wallet; whatever is not here is refused."""

    enabled: bool = False
    """False keeps the section, and nothing crosses."""
    confirmations: int = count(12, 1, 128, "blocks", "until what arrives at the wallet counts")
    eta_h: Number = number("1", "0.01", "48", "h", "that a transfer is planned to take")
    timeout_min: Number = number("180", "1", "2880", "min", "until a person has to look; nothing new leaves meanwhile")
    venues: Mapping[Name, TransferVenueSettings] = Field(min_length=1)
    """Exchange accounts by the name of their venue."""
