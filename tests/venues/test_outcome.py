"""What a failed call means, judged on the exceptions that ccxt really raises for what Binance really answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import ccxt.pro
import pytest
from ccxt.base import errors

from basis_daemon.domain.errors import ErrorClass, VenueUnreachableError
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.network import SandboxNetworkError
from basis_daemon.venues.cex.outcome import CallError, classify, outcome_of, scrubbed
from basis_daemon.venues.cex.quirks import Fate

SPOT_URL, USDM_URL = "https://api.binance.com/api/v3/order", "https://fapi.binance.com/fapi/v1/order"
EXCHANGES = {SPOT_URL: ccxt.pro.binance(), USDM_URL: ccxt.pro.binanceusdm()}


def raised(url: str, status: int, body: str) -> Exception:
    """The exception of ccxt for an HTTP answer."""
    exchange = EXCHANGES[url]
    try:
        parsed: Any = json.loads(body)
    except ValueError:
        parsed = None

    def answer() -> None:
        exchange.handle_errors(status, "Reason", url, "POST", {}, body, parsed, {}, "")
        exchange.handle_http_status_code(status, "Reason", url, "POST", body)

    with pytest.raises(errors.BaseError) as caught:
        answer()
    error: Exception = caught.value
    return error


def body(code: int, text: str = "Some words.") -> str:
    return json.dumps({"code": code, "msg": text})


def verdict(error: Exception) -> tuple[Fate, ErrorClass]:
    fault = classify(error, BINANCE.verdicts)
    return fault.fate, fault.error_class


@pytest.mark.feature("O04", part="classifier")
@pytest.mark.parametrize("url", [SPOT_URL, USDM_URL])
@pytest.mark.parametrize(
    ("status", "text"),
    [
        (503, body(-1006, "An unexpected response was received from the message bus. Execution status unknown.")),
        (408, body(-1007, "Timeout waiting for response from backend server. Send status unknown.")),
        (500, body(-1000, "An unknown error occurred while processing the request.")),
        (500, body(-1001, "Internal error; unable to process your request. Please try again.")),
        (502, "<html>Bad Gateway</html>"),
        (504, "<html>Gateway Time-out</html>"),
        (403, "<html>WAF</html>"),
        (400, body(-9999, "A code that nobody knows.")),
    ],
)
@pytest.mark.fault("F12")
def test_what_the_venue_does_not_explain_stays_unknown(url: str, status: int, text: str) -> None:
    assert verdict(raised(url, status, text))[0] is Fate.UNKNOWN


@pytest.mark.parametrize(
    "error",
    [
        errors.RequestTimeout("binance POST https://api.binance.com/api/v3/order"),
        errors.ExchangeNotAvailable("binance POST https://api.binance.com/api/v3/order"),
        errors.OperationFailed("binance"),
        errors.NetworkError("binance"),
        errors.BadResponse("binance"),
        errors.NullResponse("binance"),
        errors.ExchangeError("binance POST https://api.binance.com/api/v3/order"),  # an answer that broke off
        errors.BaseError("binance"),
        KeyError("orderId"),
        ValueError("answer without order id"),
        TimeoutError(),
        RuntimeError("what nobody foresaw"),
    ],
)
@pytest.mark.fault("F12")
def test_silence_and_surprise_are_unknown(error: Exception) -> None:
    assert verdict(error) == (Fate.UNKNOWN, ErrorClass.OUTCOME_UNKNOWN)


@pytest.mark.parametrize(
    ("url", "status", "text", "error_class"),
    [
        (SPOT_URL, 400, body(-2010, "Account has insufficient balance for requested action."), ErrorClass.INSUFFICIENT),
        (USDM_URL, 400, body(-2019, "Margin is insufficient."), ErrorClass.INSUFFICIENT),
        (SPOT_URL, 400, body(-1013, "Filter failure: PRICE_FILTER"), ErrorClass.BAD_PARAMS),
        (SPOT_URL, 400, body(-1013, "Filter failure: NOTIONAL"), ErrorClass.BAD_PARAMS),
        (SPOT_URL, 400, body(-1013, "Market is closed."), ErrorClass.MARKET_CLOSED),
        (USDM_URL, 400, body(-4108, "Symbol is on delivering or delivered."), ErrorClass.MARKET_CLOSED),
        (USDM_URL, 400, body(-4164, "Order's notional must be no smaller than 100"), ErrorClass.BAD_PARAMS),
        (USDM_URL, 400, body(-2022, "ReduceOnly Order is rejected."), ErrorClass.BAD_PARAMS),
        (USDM_URL, 400, body(-5022, "Due to the order could not be executed as maker"), ErrorClass.RETRYABLE),
        (SPOT_URL, 400, body(-2010, "Order would immediately match and take."), ErrorClass.RETRYABLE),
        (SPOT_URL, 401, body(-2015, "Invalid API-key, IP, or permissions for action."), ErrorClass.AUTH),
        (SPOT_URL, 400, body(-1022, "Signature for this request is not valid."), ErrorClass.AUTH),
        (SPOT_URL, 429, body(-1003, "Too much request weight used"), ErrorClass.RATE_LIMITED),
        (USDM_URL, 418, body(-1003, "Way too much request weight used; IP banned"), ErrorClass.RATE_LIMITED),
        (USDM_URL, 429, "<html>too many</html>", ErrorClass.RATE_LIMITED),
        (USDM_URL, 503, body(-1008, "Request throttled by system-level protection."), ErrorClass.RATE_LIMITED),
    ],
)
def test_a_refusal_by_the_venues_own_word_is_rejected(
    url: str, status: int, text: str, error_class: ErrorClass
) -> None:
    assert verdict(raised(url, status, text)) == (Fate.REJECTED, error_class)


@pytest.mark.parametrize(
    ("url", "text", "fate"),
    [
        (SPOT_URL, body(-1021, "Timestamp for this request is outside of the recvWindow."), Fate.SKEWED),
        (USDM_URL, body(-5028, "The requested timestamp is outside the recvWindow of ME"), Fate.SKEWED),
        (SPOT_URL, body(-2010, "Duplicate order sent."), Fate.DUPLICATE),
        (USDM_URL, body(-4116, "ClientOrderId is duplicated."), Fate.DUPLICATE),
        (SPOT_URL, body(-2013, "Order does not exist."), Fate.NOT_FOUND),
        (USDM_URL, body(-2011, "Unknown order sent."), Fate.NOT_FOUND),
        (USDM_URL, body(-4046, "No need to change margin type."), Fate.NO_CHANGE),
        (USDM_URL, body(-4059, "No need to change position side."), Fate.NO_CHANGE),
    ],
)
def test_answers_that_are_no_refusals(url: str, text: str, fate: Fate) -> None:
    assert verdict(raised(url, 400, text))[0] is fate


async def test_a_refused_connection_proves_that_nothing_left() -> None:
    key = aiohttp.client_reqrep.ConnectionKey("h", 443, True, True, None, None, None, None)  # noqa: FBT003 - their constructor takes it so
    wrapped = errors.ExchangeNotAvailable("binance POST https://api.binance.com/api/v3/order")
    wrapped.__cause__ = aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "refused"))
    reset = errors.ExchangeNotAvailable("binance POST https://api.binance.com/api/v3/order")
    reset.__cause__ = aiohttp.ServerDisconnectedError()

    assert verdict(wrapped)[0] is Fate.NOT_SENT
    assert verdict(reset)[0] is Fate.UNKNOWN


async def test_a_call_closed_from_inside_is_unknown_and_our_own_cancellation_passes() -> None:
    async def closed_by_ccxt() -> None:
        raise asyncio.CancelledError

    with pytest.raises(CallError) as fault:
        await outcome_of(closed_by_ccxt, BINANCE.verdicts, 5)
    assert fault.value.fate is Fate.UNKNOWN

    async def never_ends() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):  # the caller's scope, not ours: an order in doubt
        async with asyncio.timeout(0.01):
            await outcome_of(never_ends, BINANCE.verdicts, 5)


async def test_what_takes_too_long_is_unknown() -> None:
    async def never_ends() -> None:
        await asyncio.Event().wait()

    with pytest.raises(CallError) as fault:
        await outcome_of(never_ends, BINANCE.verdicts, 0.01)
    assert fault.value.fate is Fate.UNKNOWN


@pytest.mark.parametrize("error", [VenueUnreachableError("nothing left"), SandboxNetworkError("not mapped")])
async def test_our_own_errors_pass_as_they_are(error: Exception) -> None:
    async def fails() -> None:
        raise error

    with pytest.raises(type(error)) as passed:
        await outcome_of(fails, BINANCE.verdicts, 5)
    assert passed.value is error


@pytest.mark.fault("F60")
async def test_no_query_string_survives_into_an_error_or_its_cause() -> None:
    async def fails() -> None:
        raise errors.RequestTimeout("binance GET https://api.binance.com/api/v3/account?timestamp=1&signature=abcdef")

    with pytest.raises(CallError) as fault:
        await outcome_of(fails, BINANCE.verdicts, 5)

    assert "signature" not in f"{fault.value} {fault.value.text}"
    assert fault.value.__cause__ is None
    assert fault.value.__suppress_context__


@pytest.mark.fault("F61")
def test_a_venues_text_cannot_forge_a_line_of_the_log() -> None:
    assert scrubbed("bad\r\nlevel=info all is well\x1b[31m") == "bad level=info all is well [31m"
