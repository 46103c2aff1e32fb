"""What the venue answers when it refuses: code, message and HTTP status, word for word."""

from __future__ import annotations

from decimal import Decimal

NO_SUCH_ORDER = -2013


class RejectError(Exception):
    """A refusal with Binance's code; the wire turns it into `{"code":..., "msg":...}`."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(f"{code} {message}")
        self.code, self.message, self.status = code, message, status


def missing(name: str) -> RejectError:
    return RejectError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str, pattern: str) -> RejectError:
    return RejectError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'.")


def invalid_symbol() -> RejectError:
    return RejectError(-1121, "Invalid symbol.")


def invalid_type(name: str) -> RejectError:
    return RejectError(-1116, f"Invalid orderType. ({name} is not modelled by the sandbox exchange)")


def unknown_order() -> RejectError:
    return RejectError(NO_SUCH_ORDER, "Order does not exist.")


def unknown_cancel() -> RejectError:
    return RejectError(-2011, "Unknown order sent.")


def spot_filter(name: str) -> RejectError:
    return RejectError(-1013, f"Filter failure: {name}")


def spot_closed() -> RejectError:
    return RejectError(-1013, "Market is closed.")


def spot_insufficient() -> RejectError:
    return RejectError(-2010, "Account has insufficient balance for requested action.")


def spot_duplicate() -> RejectError:
    return RejectError(-2010, "Duplicate order sent.")


def spot_would_take() -> RejectError:
    return RejectError(-2010, "Order would immediately match and take.")


def futures_closed() -> RejectError:
    return RejectError(-4108, "Symbol is on delivering or delivered or settling or closed or pre-trading.")


def futures_margin() -> RejectError:
    return RejectError(-2019, "Margin is insufficient.")


def futures_reduce_only() -> RejectError:
    return RejectError(-2022, "ReduceOnly Order is rejected.")


def futures_duplicate() -> RejectError:
    return RejectError(-4116, "ClientOrderId is duplicated.")


def futures_min_notional(least: Decimal) -> RejectError:
    return RejectError(-4164, f"Order's notional must be no smaller than {least} (unless you choose reduce only).")


def futures_post_only() -> RejectError:
    return RejectError(
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. "
        "The order will not be recorded in the order history",
    )


def futures_fill_or_kill() -> RejectError:
    return RejectError(
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected. "
        "The order will not be recorded in the order history",
    )
