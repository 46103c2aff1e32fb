"""Why a contract refused: revert data read into a name, a class that says what to do next, and a sentence.

Aave's pool reverts with the bare errors of its internal library, which no interface lists: the table in
``reverts.json`` holds all of them, with those of the other contracts that we call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from basis_daemon.domain.errors import ErrorClass, OrderRejectedError
from basis_daemon.venues.chain.abi import SELECTOR_BYTES, error_selector, function

_STRING, _PANIC = error_selector("Error(string)"), error_selector("Panic(uint256)")
_PANICS = {
    0x01: "an assertion failed",
    0x11: "arithmetic over- or underflow (more is taken than is there)",
    0x12: "division by zero",
    0x21: "a value outside its enumeration",
    0x32: "an index out of bounds",
}
_TEXT_MAX = 200
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

C = ErrorClass
_CLASSES: Mapping[ErrorClass, frozenset[str]] = {
    C.INSUFFICIENT: frozenset(
        {
            "NotEnoughAvailableUserBalance", "HealthFactorLowerThanLiquidationThreshold",
            "CollateralCannotCoverNewBorrow", "LtvValidationFailed", "UserInIsolationModeOrLtvZero",
            "UnderlyingBalanceZero", "NoDebtOfSelectedType", "ERC20InsufficientBalance", "ERC20InsufficientAllowance",
            "SafeERC20FailedOperation", "SharesAmountTooHigh", "NotEnoughEther", "BALANCE_EXCEEDED",
            "ALLOWANCE_EXCEEDED", "STF", "STE", "TF", "IIA", "GPv2: failed transferFrom",
        }
    ),
    C.MARKET_CLOSED: frozenset(
        {
            "ReserveInactive", "ReserveFrozen", "ReservePaused", "BorrowingNotEnabled", "BorrowCapExceeded",
            "SupplyCapExceeded", "DebtCeilingExceeded", "FlashloanDisabled", "PriceOracleSentinelCheckFailed",
            "EnforcedPause", "ResumedExpected", "CurrentlyPaused", "StrategyNotWhitelisted", "STAKING_PAUSED",
            "STAKE_LIMIT", "CONTRACT_IS_STOPPED", "RootDisabled", "Pausable: paused",
        }
    ),
    C.RETRYABLE: frozenset(
        {
            "Too little received", "Too much requested", "Transaction too old", "LOK", "WithdrawalDelayNotElapsed",
            "RequestNotFoundOrNotFinalized", "RootNotActivated", "Panic", "InvalidHint", "ReentrancyGuardReentrantCall",
        }
    ),
    C.AUTH: frozenset({"NotOwner", "WithdrawerNotCaller", "WithdrawerNotStaker", "UnauthorizedCaller"}),
}  # fmt: skip
"""What the caller does next, by error; whatever is absent is BAD_PARAMS, and Aave's Caller... errors are AUTH."""

_SENTENCES: Mapping[str, str] = {
    "HealthFactorLowerThanLiquidationThreshold": "the position would stand below the liquidation threshold",
    "CollateralCannotCoverNewBorrow": "the debt would exceed what the collateral may carry at its loan-to-value limit",
    "LtvValidationFailed": "the account's collateral gives no borrowing power",
    "NotEnoughAvailableUserBalance": "more is withdrawn than was supplied",
    "NotBorrowableInEMode": "the asset cannot be borrowed in the account's e-mode",
    "SupplyCapExceeded": "the reserve takes no more: its supply cap is reached",
    "BorrowCapExceeded": "the reserve lends no more: its borrow cap is reached",
    "Too little received": "the pool pays less than the least that the order accepts",
    "Transaction too old": "the deadline passed before inclusion",
    "STF": "the token could not be taken: balance or allowance is too small",
    "STAKE_LIMIT": "the issuer takes no more for now: its stake limit is used up",
    "RequestNotFoundOrNotFinalized": "the withdrawal request is not finalised yet",
    "WithdrawalDelayNotElapsed": "the withdrawal delay is not over yet",
    "GPv2: failed transferFrom": "the token could not be taken: balance or allowance is too small",
}


@dataclass(frozen=True, slots=True)
class Revert:
    """A refusal. ``name`` is the contract's own word for it, ``reason`` ours; ``code`` the selector or the word."""

    name: str
    arguments: tuple[object, ...]
    error_class: ErrorClass
    reason: str

    def __str__(self) -> str:
        told = f"({', '.join(map(str, self.arguments))})" if self.arguments else ""
        return f"{self.name}{told}: {self.reason}"

    def rejection(self, order_id: str, what: str) -> OrderRejectedError:
        """The order's refusal by its contract."""
        return OrderRejectedError(f"order {order_id}: {what} would revert: {self}", self.error_class, self.name)


def decoded(data: bytes) -> Revert:
    """The refusal behind revert data; never raises, whatever the data is."""
    selector, rest = data[:SELECTOR_BYTES], data[SELECTOR_BYTES:]
    if not data:
        return Revert("", (), C.BAD_PARAMS, "reverted without a word")
    if selector == _STRING and (text := _values(("string",), rest)) is not None:
        return _named(str(text[0])[:_TEXT_MAX], ())
    if selector == _PANIC and (code := _values(("uint256",), rest)) is not None:
        number = int(str(code[0]))
        return Revert("Panic", (number,), C.RETRYABLE, _PANICS.get(number, f"panic 0x{number:02x}"))
    signature = _table().get(selector)
    if signature is None:
        return Revert(f"0x{selector.hex()}", (), C.BAD_PARAMS, f"unknown error, {len(data)} bytes")
    known = function(signature)
    return _named(known.name, _values(known.inputs, rest) or ())


def error_class_of(name: str) -> ErrorClass:
    """What the caller does next after this error."""
    for error_class, names in _CLASSES.items():
        if name in names:
            return error_class
    return C.AUTH if name.startswith("Caller") else C.BAD_PARAMS


def _named(name: str, arguments: tuple[object, ...]) -> Revert:
    return Revert(name, arguments, error_class_of(name), _SENTENCES.get(name) or _WORDS.sub(" ", name).lower())


def _values(types: tuple[str, ...], data: bytes) -> tuple[object, ...] | None:
    try:
        return tuple(decode(types, data))
    except (DecodingError, OverflowError, UnicodeDecodeError):
        return None


@cache
def _table() -> Mapping[bytes, str]:
    """Every known custom error's signature by its selector."""
    file = resources.files(__package__) / "reverts.json"
    families = json.loads(file.read_text(encoding="utf-8"))["errors"]
    return {bytes.fromhex(sel[2:]): text for family in families.values() for sel, text in family.items()}
