"""Who is asking: API key, HMAC signature and the receive window. Signing stamps are real time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.endpoint import Endpoint
from basis_daemon.sandbox.exchange.rejects import RejectError, illegal, missing

RECV_WINDOW_MS, MOST_RECV_WINDOW_MS = 5_000, 60_000
AHEAD_MS = 1_000


def signed_part(payload: str) -> str:
    """What the signature covers: the query and body without the signature itself."""
    return "&".join(part for part in payload.split("&") if part and not part.startswith("signature="))


def owner_of(accounts: Mapping[str, Account], api_key: str) -> Account:
    if not api_key:
        raise RejectError(-2014, "API-key format invalid.", 401)
    account = accounts.get(api_key)
    if account is None:
        raise RejectError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    return account


def right_for(endpoint: Endpoint) -> str:
    """The right without which the venue does not carry this out, in its own words."""
    if endpoint.path.startswith(("/fapi/", "/dapi/")):
        return "enableFutures"
    if endpoint.method == "GET":
        return "enableReading"
    if endpoint.path == "/sapi/v1/asset/transfer":
        return "permitsUniversalTransfer"
    if endpoint.path.endswith("/withdraw/apply"):
        return "enableWithdrawals"
    return "enableSpotAndMarginTrading"


def check_signature(account: Account, payload: str, signature: str) -> None:
    if not signature:
        raise missing("signature")
    expected = hmac.new(account.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, signature.lower()):
        raise RejectError(-1022, "Signature for this request is not valid.")


def check_stamp(params: Mapping[str, str], real_ms: int) -> None:
    raw, raw_window = params.get("timestamp", ""), params.get("recvWindow") or str(RECV_WINDOW_MS)
    if not raw.isdigit():
        raise missing("timestamp")
    if not raw_window.isdigit():
        raise illegal("recvWindow", "^[0-9]{1,20}$")
    stamp, window = int(raw), int(raw_window)
    if window > MOST_RECV_WINDOW_MS:
        raise RejectError(-1131, "recvWindow must be less than 60000.")
    if stamp > real_ms + AHEAD_MS:
        raise RejectError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if real_ms - stamp > window:
        raise RejectError(-1021, "Timestamp for this request is outside of the recvWindow.")


def admit(
    endpoint: Endpoint, accounts: Mapping[str, Account], api_key: str, payload: str, params: Mapping[str, str]
) -> Account | None:
    """The account an endpoint acts for, its signature checked; the stamp is judged later, once the caller is known."""
    if endpoint.security == "NONE":
        return None
    account = owner_of(accounts, api_key)
    if endpoint.security == "SIGNED":
        check_signature(account, payload, params.get("signature", ""))
    if not account.rights[right_for(endpoint)]:
        raise RejectError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    return account
